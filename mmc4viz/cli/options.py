"""Options that several commands share, and how their values are read. Loads next to nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import Field, fields
from decimal import Decimal
from typing import Any, TypeVar

import click

from mmc4viz.types import SETTINGS, ConfigError, LoaderConfig, choices_of

F = TypeVar("F", bound=Callable[..., Any])

# Values that the core defines in modules that are slow to import; a test compares them.
INPUT_FORMATS = (
    "mmc4-members", "mmc4", "omnicorpus-similarity", "mint-1t", "textbook", "omnicorpus", "obelics",
    "obelics-urls", "interleaved", "nemo-curator", "moscar", "pin",
)  # fmt: skip
UNITS = ("sentence", "paragraph")
FORMAT_OPTIONS = (
    click.option(
        "--input-format",
        type=click.Choice(INPUT_FORMATS),
        metavar="NAME",
        help="Format of the shards (mmc4viz formats). [recognized from their content]",
    ),
    click.option(
        "--unit",
        type=click.Choice(UNITS),
        default=UNITS[0],
        show_default=True,
        help="What the texts of formats other than MMC4's are cut into.",
    ),
)


def with_format(function: F) -> F:
    """Add the options that say how shards are read."""
    for option in reversed(FORMAT_OPTIONS):
        function = option(function)
    return function


_INPUTS = (
    click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help="Read settings from a YAML or JSON file; command-line options override it.",
    ),
    click.option(
        "--image-dir",
        metavar="DIR",
        help="Image folder for MMC4's .jsonl shards: DIR/k/NAME (k: the shard's position), "
        "DIR/SHARD_images/NAME or DIR/NAME. [SHARD_images/NAME next to the shard]",
    ),
    *FORMAT_OPTIONS,
)


SHARDS = click.argument("shards", nargs=-1, metavar="[SHARD...]")
INDEX = click.option("--index", "index_dir", metavar="DIR", help="Use an index instead of SHARDs.")

SIMILARITY = click.option(
    "--similarity",
    metavar="NAME",
    help="Score set of the index to use; own is the scores in the shards. [the config's, or own]",
)


SEED = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Random seed."
)


def output_format(*kinds: str) -> Callable[[F], F]:
    """Return the option ``--format`` with these formats, of which the first is the default."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(kinds),
        default=kinds[0],
        show_default=True,
        help="Output format.",
    )


_BUDGET = (
    click.option(
        "--budget",
        metavar="AMOUNT",
        help="What is trained on in all: sequences such as 60M, or '2.4B tokens' (text tokens) or "
        "'300M images'.",
    ),
    click.option(
        "--corpus-size",
        metavar="N",
        help="Documents of the whole corpus, such as 101.2M, if these are a random part of it. "
        "[the documents at hand]",
    ),
)


def with_budget(command: F) -> F:
    """Add the options for a training budget to a command."""
    for option in reversed(_BUDGET):
        command = option(command)
    return command


WORKERS = click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=os.cpu_count(),
    show_default=True,
    help="Number of worker processes.",
)


def _setting(of: Field[Any]) -> Callable[[F], F]:
    """Return a setting's option."""
    known = SETTINGS[of.name]
    if of.name == "loader":
        names = ", ".join(choices_of(of.name))
        own = f"{known.help} One of {names}; or module:NAME, a profile of your own. [{of.default}]"
        return click.option("--loader", metavar="NAME", help=own)
    kind = click.Choice(known.choices) if known.choices else type(of.default)
    note = "" if of.name == "clip_model" else f" [{of.default}]"
    name = f"--{of.name.replace('_', '-')}"
    return click.option(name, type=kind, help=f"{known.help}{note}")


def with_settings(command: F) -> F:
    """Add the options for all settings to a command."""
    for option in reversed([*map(_setting, fields(LoaderConfig)), *_INPUTS]):
        command = option(command)
    return command


_SECTIONS = (
    click.option(
        "--similarity", "similarity", metavar="NAME", multiple=True,
        help="Score set of the index to use; own is the scores in the shards. Or NAME=FILE: "
        "similarity file of another model, for the report; repeatable. [the config's, or own]",
    ),
    click.option(
        "--labels", "labels_file", metavar="FILE",
        help="Label file: adds precision with its CI and inter-annotator agreement to the report.",
    ),
    click.option(
        "--models", multiple=True, metavar="A B ...",
        help="Models that the report compares with the one in use; own is the scores in the "
        "shards. [all]",
    ),
    click.option(
        "--by", "slices_by", multiple=True, metavar="WHAT",
        help="Adds slices to the report: what to divide by, as in mmc4viz slices; repeatable.",
    ),
    click.option(
        "--slices", "slices_file", metavar="FILE",
        help="Your own table to divide by, as in mmc4viz slices; adds slices to the report.",
    ),
)  # fmt: skip


def with_sections(command: F) -> F:
    """Add the options for the content of the report to a command."""
    for option in reversed(_SECTIONS):
        command = option(command)
    return command


_PAIRS = {
    "score": click.option(
        "--score", "named", metavar="COLUMN[=MODEL]", multiple=True,
        help="Of a table of pairs: the column that --threshold is for, by name, CLIP model or a "
        "part of the name; repeatable. [its CLIP scores]",
    ),
    "and": click.option(
        "--and", "and_", metavar="COLUMN[=T]",
        help="Of a table of pairs: also keep only rows whose other score reaches T.",
    ),
    "or": click.option(
        "--or", "or_", metavar="COLUMN[=T]",
        help="Of a table of pairs: also keep rows whose other score reaches T.",
    ),
    "sum": click.option(
        "--sum", "sum_", metavar="COLUMN",
        help="Of a table of pairs: the threshold is for the sum of both scores.",
    ),
    "scores": click.option(
        "--scores", "score_file", metavar="FILE[:KEY]",
        help="Of a table of pairs: join the columns of another table, by its column with ids of "
        "rows, or by KEY, for --score, --and, --where and so on.",
    ),
    "where": click.option(
        "--where", metavar="CONDITION", multiple=True,
        help="Of a table of pairs: only rows such as 'width>=200', 'aspect<=3' or 'NSFW=UNLIKELY'; "
        "repeatable.",
    ),
    "strict": click.option(
        "--strict", is_flag=True,
        help="Of a table of pairs: keep scores above the threshold (>), not those that reach it.",
    ),
}  # fmt: skip
PAIR_OPTIONS = (
    "named", "and_", "or_", "sum_", "score_file", "where", "strict", "first", "near", "fraction",
)  # fmt: skip
"""Parameters of commands that only a table of pairs takes."""


def with_pairs(*names: str) -> Callable[[F], F]:
    """Add options for tables of pairs to a command; all by default."""

    def decorate(command: F) -> F:
        for name in reversed(names or tuple(_PAIRS)):
            command = _PAIRS[name](command)
        return command

    return decorate


class Share(click.ParamType[float]):
    """A share between 0 and 1, optionally as a percentage."""

    name = "share"

    def __init__(self, option: str) -> None:
        self.option = option

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse ``0.1`` or ``10%``."""
        text = str(value).strip()
        try:
            number = Decimal(text.removesuffix("%"))
            share = float(number / 100 if text.endswith("%") else number)
        except (ArithmeticError, ValueError):  # a signaling NaN is not a float
            share = -1.0
        if not 0 < share < 1:
            raise ConfigError(
                f"{self.option} expects a share between 0 and 1, such as 0.1 or 10%, not {value}"
            )
        return share


class Positive(click.ParamType[float]):
    """A positive, finite number."""

    name = "number"

    def __init__(self, option: str) -> None:
        self.option = option

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse ``4`` or ``0.5``."""
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise ConfigError(f"{self.option} expects a positive number, such as 4, not {value}")
        return number


class ManyModels(click.Command):
    """A command whose ``--models`` takes all names up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each name."""
        spread: list[str] = []
        taking = False
        for word in args:
            if word == "--models" or word.startswith("-"):
                taking = word == "--models"
                spread += [] if taking else [word]
            else:
                spread += ["--models", word] if taking else [word]
        if args and args[-1] == "--models":
            raise ConfigError("--models needs at least one model name")
        return super().parse_args(ctx, spread)
