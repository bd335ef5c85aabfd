"""The commands: options in, lines out. Computes nothing, and loads Streamlit only to start it."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from tqdm import tqdm

from mmc4viz.corpus.columns import read_columns
from mmc4viz.corpus.curves import MAX_STEPS, Thresholds, scale_of
from mmc4viz.corpus.shards import Shard, expand, image_source, samples
from mmc4viz.corpus.sweep import match_corpus, sweep
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.tokens import Tokenizer, load_tokenizer
from mmc4viz.loader.walk import walk
from mmc4viz.model import (
    ASSIGNMENT_NAMES,
    ConfigError,
    LoaderConfig,
    Mmc4vizError,
    ShardError,
    Verdict,
)
from mmc4viz.settings import read_settings

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = (
    click.option("--threshold", type=float, help="Drop pairs scoring below this. [0.24]"),
    click.option("--min-images", type=int, help="Fewest image tokens in a sequence. [1]"),
    click.option("--max-images", type=int, help="Keep so many pairs, in image order. [6]"),
    click.option("--max-tokens", type=int, help="Cut the sequence at this length. [256]"),
    click.option(
        "--min-kb",
        type=int,
        help="An image of n bytes is too small when n // 1000 <= this; -1: no limit. [10]",
    ),
    click.option(
        "--assignment", type=click.Choice(ASSIGNMENT_NAMES), help="How to match. [one_to_one]"
    ),
    click.option(
        "--single-image-keep", type=float, help="Odds that a single-image document stays. [0.5]"
    ),
    click.option(
        "--tokenizer", help="gpt2 (built in), a tokenizer.json, a folder, or a Hugging Face id."
    ),
    click.option("--clip-model", help="Name of the model whose similarity the shards carry."),
    click.option(
        "--config", "config_file", metavar="FILE", help="Read settings from JSON; flags win."
    ),
    click.option(
        "--image-dir",
        metavar="DIR",
        help="Images of MMC4's own jsonl: DIR/k/NAME (k: the shard's position) or DIR/NAME.",
    ),
)


def _with_settings(command: F) -> F:
    """Give a command the options that every command shares."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmc4viz")
def cli() -> None:
    r"""See what a similarity threshold costs before a model is trained on images and text.

    SHARD is a WebDataset tar as OpenFlamingo's converter writes it, or MMC4's own .jsonl
    (.jsonl.gz, .jsonl.zip); also a folder, a glob, or shard-{0000..0003}.tar.

    \b
    mmc4viz app                                  the dashboard, on the sample
    mmc4viz app shards/                          the dashboard, on your shards
    mmc4viz curve shards/ --grid 0.2:0.3:0.01    what each threshold leaves
    mmc4viz explain shards/ --threshold 0.24     what becomes of each document
    """


@cli.command()
@click.argument("shards", nargs=-1, required=True, metavar="SHARD...")
@_with_settings
@click.option("--format", "form", type=click.Choice(["table", "jsonl"]), default="table")
@click.option("--token-ids", is_flag=True, help="Add each sequence's token ids (jsonl).")
def explain(
    shards: tuple[str, ...], image_dir: str | None, form: str, token_ids: bool, **settings: Any
) -> None:
    """Say what the loader does to each document, and why."""
    config = _config(settings)
    tokenizer = _tokenizer(config)
    found, folder = expand(shards), _checked_folder(image_dir)
    write = _verdict_lines(token_ids) if form == "jsonl" else _verdict_table()
    failures = 0
    with _progress("documents", None) as advance:
        for shard in found:
            source = image_source(shard, folder)
            try:
                for sample in samples(shard):
                    document = parse_document(sample.key, sample.raw, source)
                    write(shard, walk(document, config, tokenizer))
                    advance(1)
            except ShardError as error:
                failures += 1
                _complain(str(error))
            if source.sizes_unknown:
                _note(f"{shard.name}: no images, so sizes are unknown and the size filter is off")
    if failures:
        sys.exit(2)


@cli.command()
@click.argument("shards", nargs=-1, required=True, metavar="SHARD...")
@_with_settings
@click.option("--thresholds", metavar="T,T,…", help="Thresholds to answer for.")
@click.option("--grid", metavar="START:STOP:STEP", help="Likewise, evenly spaced, with STOP.")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv")
def curve(
    shards: tuple[str, ...],
    image_dir: str | None,
    thresholds: str | None,
    grid: str | None,
    form: str,
    **settings: Any,
) -> None:
    """Say what is left at each threshold: documents, pairs, tokens, and every loss.

    Without --thresholds or --grid, the grid of the similarity's own scale.
    """
    config = _config(settings)
    asked = _thresholds(thresholds, grid)
    tokenizer = _tokenizer(config)
    found, folder = expand(shards), _checked_folder(image_dir)
    with _progress("documents", None) as advance:
        columns = [read_columns(shard, tokenizer, folder, advance) for shard in found]
    for part in columns:
        if part.error is not None:
            _complain(part.error)
        if part.sizes_unknown:
            _note(f"{part.shard.name}: no images, so sizes are unknown and the size filter is off")
    matched = match_corpus(columns, config)
    chosen = scale_of(matched.scores()).thresholds() if asked is None else asked
    _write_rows(sweep(matched, config, chosen).rows(config.single_image_keep), form)
    if any(part.error is not None for part in columns):
        sys.exit(2)


@cli.command(context_settings={"ignore_unknown_options": False})
@click.argument("shards", nargs=-1, metavar="[SHARD...]")
@click.option("--config", "config_file", metavar="FILE", help="Start from these settings (JSON).")
@click.option("--image-dir", metavar="DIR", help="Images of MMC4's own jsonl.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8501, show_default=True)
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def app(
    shards: tuple[str, ...],
    config_file: str | None,
    image_dir: str | None,
    host: str,
    port: int,
    browser: bool,
) -> None:
    """Open the dashboard: on the sample, or on SHARDs."""
    paths = [str(Path(shard.path).resolve()) for shard in expand(shards)]
    if config_file is not None:
        _config({"config_file": config_file})
        config_file = str(Path(config_file).resolve())
    folder = _checked_folder(image_dir)
    start = {"shards": paths, "config": config_file, "image_dir": folder}
    os.environ["MMC4VIZ_APP"] = json.dumps(start)
    from streamlit.web import bootstrap

    import mmc4viz.ui

    options = {
        "server_address": host,
        "server_port": port,
        "server_headless": not browser,
        "browser_gatherUsageStats": False,
        "server_showEmailPrompt": False,
    }
    bootstrap.load_config_options(options)
    bootstrap.run(str(Path(mmc4viz.ui.__file__).with_name("main.py")), False, [], options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; every error is one line on standard error and exit code 2."""
    warnings.filterwarnings("ignore", module="PIL")
    try:
        code = cli.main(arguments, prog_name="mmc4viz", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_asked:
        click.echo(help_asked.format_message())
        code = 0
    except click.ClickException as error:
        _complain(error.format_message())
        code = 2
    except Mmc4vizError as error:
        _complain(str(error))
        code = 2
    except BrokenPipeError:  # the reader had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        _complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _config(settings: dict[str, Any]) -> LoaderConfig:
    """Build the setting: defaults, then the file, then flags."""
    file = settings.get("config_file")
    names = [field.name for field in fields(LoaderConfig)]
    flags = {name: settings[name] for name in names if settings.get(name) is not None}
    return LoaderConfig.from_mapping({**(read_settings(file) if file else {}), **flags})


def _tokenizer(config: LoaderConfig) -> Tokenizer:
    tokenizer = load_tokenizer(config.tokenizer)
    tokenizer.check_room(config.max_tokens)
    return tokenizer


def _checked_folder(image_dir: str | None) -> str | None:
    if image_dir is not None and not Path(image_dir).is_dir():
        raise ConfigError(f"{image_dir}: no such folder of images")
    return None if image_dir is None else str(Path(image_dir).resolve())


def _thresholds(listed: str | None, grid: str | None) -> Thresholds | None:
    """Read ``--thresholds`` or ``--grid``; ascending and without repeats."""
    if listed is not None and grid is not None:
        raise ConfigError("give --thresholds or --grid, not both")
    if listed is not None:
        return np.unique([_number(text, "--thresholds") for text in listed.split(",")])
    if grid is None:
        return None
    parts = grid.split(":")
    if len(parts) != 3:
        raise ConfigError(f"--grid is START:STOP:STEP, for example 0.2:0.3:0.01, not {grid!r}")
    start, stop, step = (_number(text, "--grid") for text in parts)
    if step <= 0 or stop < start:
        raise ConfigError(f"--grid rises from START to STOP by a STEP above 0, unlike {grid!r}")
    steps = math.floor((stop - start) / step + 1e-9)
    if steps >= MAX_STEPS:
        raise ConfigError(f"--grid has {steps + 1:,} steps; the most is {MAX_STEPS:,}")
    digits = max(_decimals(text) for text in parts)
    values = [round(start + k * step, digits) for k in range(steps + 1)]
    return np.unique([*values, stop])


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is no number") from None
    if not math.isfinite(value):
        raise ConfigError(f"{option}: {text!r} is no finite number")
    return value


def _decimals(text: str) -> int:
    """Count the decimals a number is written with.

    Examples
    --------
    >>> _decimals("0.25"), _decimals("1e-3"), _decimals("2")
    (2, 3, 0)
    """
    mantissa, _, exponent = text.strip().lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))


def _verdict_lines(token_ids: bool) -> Callable[[Shard, Verdict], None]:
    def write(shard: Shard, verdict: Verdict) -> None:
        click.echo(json.dumps(_as_json(shard, verdict, token_ids)))

    return write


def _as_json(shard: Shard, verdict: Verdict, token_ids: bool) -> dict[str, Any]:
    record = {
        "shard": shard.name,
        "key": verdict.key,
        "outcome": verdict.outcome,
        "detail": verdict.detail,
        "keep_probability": verdict.keep_probability,
        "image_tokens": verdict.image_tokens,
        "text_tokens": verdict.text_tokens,
        "misbound": verdict.misbound,
        "images": [{"image": i, "fate": fate} for i, fate in enumerate(verdict.images)],
        "pairs": [
            {"image": p.image, "sentence": p.sentence, "score": p.score, "fate": p.fate}
            for p in verdict.pairs
        ],
    }
    return record | ({"token_ids": list(verdict.token_ids)} if token_ids else {})


def _verdict_table() -> Callable[[Shard, Verdict], None]:
    """Write a line a document in columns; text from the web is stripped of control characters."""
    layout = "{:<18} {:<34} {:<20} {:>5} {:>6} {:>6} {:>6} {:>6} {:>8}  {}"
    head = ("shard", "key", "outcome", "odds", "images", "pairs", "image", "text", "misbound")
    click.echo(layout.format(*head, "detail"))

    def write(shard: Shard, verdict: Verdict) -> None:
        click.echo(
            layout.format(
                printable(shard.name),
                printable(verdict.key),
                verdict.outcome,
                f"{verdict.keep_probability:g}",
                len(verdict.images),
                len(verdict.pairs),
                verdict.image_tokens,
                verdict.text_tokens,
                verdict.misbound,
                printable(verdict.detail or ""),
            )
        )

    return write


def printable(text: str) -> str:
    r"""Escape whatever a terminal might act upon.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _write_rows(rows: list[dict[str, Any]], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


@contextmanager
def _progress(unit: str, total: int | None) -> Iterator[Callable[[int], Any]]:
    """Show progress on standard error, after a second, if that is a terminal."""
    with tqdm(total=total, unit=f" {unit}", delay=1, disable=None, file=sys.stderr) as bar:
        yield bar.update


def _complain(message: str) -> None:
    click.echo(f"mmc4viz: {printable(' '.join(message.split()))}", err=True)


def _note(message: str) -> None:
    click.echo(f"mmc4viz: note: {printable(message)}", err=True)
