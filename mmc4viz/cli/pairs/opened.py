"""A table of pairs as a command was given it: the table or its index, scores and conditions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mmc4viz.cli.common import progress
from mmc4viz.data.jobs import processes
from mmc4viz.pairs.opened import OpenedPairs, opened_index, opened_table
from mmc4viz.pairs.selection import Together
from mmc4viz.pairs.settings import read_settings
from mmc4viz.types import ConfigError


def open_pairs(
    options: dict[str, Any], *, count_now: bool = True, joint: bool = False
) -> OpenedPairs:
    """Open a table or its index.

    Parameters
    ----------
    options : dict
        Of the command.
    count_now : bool
        Whether the table is counted at once, if it has no index.
    joint : bool
        Whether the first two scores are counted together although they do not decide together.

    Raises
    ------
    ConfigError
        For contradictory options.
    """
    options = _with_settings(options)
    shards, index = options["shards"], options["index_dir"]
    if bool(shards) == bool(index):
        raise ConfigError("give a TABLE or --index DIR" + (", not both" if shards else ""))
    together, other, second = _together(options)
    given: dict[str, Any] = {"strict": options["strict"], "together": together, "other": other,
                             "joined": options["score_file"]}  # fmt: skip
    columns = options["named"], options["where"]
    opened = opened_index(index, *columns, **given) if index else opened_table(
        shards, *columns, **given
    )  # fmt: skip
    if joint and shards:
        opened = opened.deciding(opened.columns, joint=len(opened.columns) == 2)
    opened = replace(
        opened, second=second, settings=options["settings"], make_workers=processes,
        show_progress=partial(progress, "rows"),
    )  # fmt: skip
    if count_now:
        opened.curves  # noqa: B018 - counts
    return opened


def _with_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, completed by those of a config."""
    file = options.get("config_file")
    if not file:
        return {**options, "settings": None}
    settings = read_settings(file)
    return {**settings.options(), **{k: v for k, v in options.items() if v}, "settings": settings,
            "shards": options["shards"], "index_dir": options["index_dir"]}  # fmt: skip


def _together(options: dict[str, Any]) -> tuple[Together, str | None, float | None]:
    """Return how two scores decide, the name of the second, and its threshold."""
    words: tuple[Together, ...] = ("and", "or", "sum")
    given = [(word, str(options[f"{word}_"])) for word in words if options[f"{word}_"]]
    if not given:
        return "one", None, None
    if len(given) > 1:
        raise ConfigError("give one of --and, --or and --sum")
    (word, text), *_ = given
    name, equals, value = text.partition("=")
    if not equals:
        return word, name, None
    if word == "sum":
        raise ConfigError("--sum COLUMN has no threshold of its own: --threshold is for the sum")
    try:
        return word, name, _finite(value)
    except ValueError:
        raise ConfigError(f"--{word} {text}: {value!r} is not a finite number") from None


def _finite(text: str) -> float:
    """Read a finite number.

    Raises
    ------
    ValueError
        For anything else.
    """
    found = float(text)
    if not np.isfinite(found):
        raise ValueError
    return found
