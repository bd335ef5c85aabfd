"""A table of pairs as a command was given it: the table or its index, scores and conditions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mmc4viz.cli.common import progress
from mmc4viz.data.jobs import processes
from mmc4viz.data.storage import remember
from mmc4viz.pairs.count import CountPlan, count, open_pair_index, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.histogram import PairTally
from mmc4viz.pairs.layout import ScoreColumn, named_column
from mmc4viz.pairs.recognise import JoinedFile
from mmc4viz.pairs.selection import PairSelection, RowCondition, Together, conditions_on
from mmc4viz.pairs.settings import PairSettings, read_settings
from mmc4viz.pairs.table import PairTable, keys_of, open_table
from mmc4viz.types import ConfigError


@dataclass
class OpenedPairs:
    """A table, what is counted of it, and by which scores rows are kept.

    Attributes
    ----------
    paths : tuple of str
        The files; those of an index are opened only when rows are needed.
    plan : CountPlan
    together : str
        How two scores decide.
    second : float or None
        Threshold of the second score, if it is fixed.
    columns : tuple of ScoreColumn
        The scores in use: alternatives, or the two that decide together.
    settings : PairSettings or None
        Read from a config.
    notes, errors : list of str
    """

    paths: tuple[str, ...]
    plan: CountPlan
    together: Together
    second: float | None
    columns: tuple[ScoreColumn, ...]
    settings: PairSettings | None = None
    known: PairTable | None = None
    counted: PairTally | None = None
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @cached_property
    def table(self) -> PairTable:
        """The table, opened if only its index was."""
        return self.known if self.known is not None else open_table(self.paths)

    @property
    def tally(self) -> PairTally:
        """What was counted."""
        return self.curves.tally

    @cached_property
    def curves(self) -> PairCurves:
        """The curves; counts the table if it has no index."""
        tally = self.counted
        if tally is None:
            workers = len(os.sched_getaffinity(0))
            with progress("rows") as advance:
                tally = count(self.table, self.plan, partial(processes, workers), workers, advance)
        found = PairCurves(self.plan, tally)
        self.notes += found.notes()
        self.errors += tally.errors
        return found

    @property
    def fixed(self) -> tuple[float, ...]:
        """The threshold of the second score, if there is one."""
        return () if self.second is None else (self.second,)

    def alternatives(self) -> list[tuple[ScoreColumn, ...]]:
        """Return the scores that are each looked at: single ones, or two together."""
        if self.together != "one":
            return [self.columns]
        return [(one,) for one in self.columns]

    def name_of(self, columns: Sequence[ScoreColumn]) -> str:
        """Return what a threshold is for."""
        return " + ".join(c.name for c in columns) if self.together == "sum" else columns[0].name

    def selection(self, *thresholds: float, columns: Sequence[ScoreColumn] = ()) -> PairSelection:
        """Return which rows are kept at thresholds."""
        chosen = tuple(columns) or self.alternatives()[0]
        return PairSelection(chosen, thresholds, self.together, self.plan.where, self.plan.rule)

    def chosen(self, threshold: float | None) -> PairSelection:
        """Return which rows are kept at the threshold that a person gave.

        Raises
        ------
        ConfigError
            Without one.
        """
        if threshold is None and self.settings is not None:
            threshold = self.settings.thresholds[0]
        if threshold is None:
            raise ConfigError(
                f"give --threshold T for {self.name_of(self.alternatives()[0])} (mmc4viz suggest "
                "finds one)"
            )
        if not np.isfinite(threshold):
            raise ConfigError(f"--threshold: {threshold} is not a finite number")
        if self.together in ("and", "or") and self.second is None:
            raise ConfigError(f"--{self.together} needs a threshold here: COLUMN=T")
        return self.selection(threshold, *self.fixed)


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
    if bool(options["shards"]) == bool(options["index_dir"]):
        raise ConfigError(
            "give a TABLE or --index DIR" + (", not both" if options["shards"] else "")
        )
    together, other, second = _together(options)
    opened = (_of_index if options["index_dir"] else _of_table)(options, together, other)
    opened.second, opened.settings = second, options["settings"]
    if joint and options["shards"]:
        opened.plan = replace(opened.plan, joint=len(opened.columns) == 2)
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


def _of_table(options: dict[str, Any], together: Together, other: str | None) -> OpenedPairs:
    paths = [remember(one) for one in options["shards"]]
    table = open_table(paths, options["named"], options["score_file"])
    columns = table.scores[: len(options["named"]) or None]
    if other is not None and columns:
        columns = (columns[0], table.column(other))
        if columns[0].name == columns[1].name:
            raise ConfigError(f"--{together} {other}: is the first score itself; see --score")
    where = conditions_on(options["where"], table)
    plan = plan_of(table, columns, where, options["strict"])
    plan = replace(plan, joint=plan.joint and other is not None)
    notes = [] if table.joined is None else [_size_of(table.joined)]
    return OpenedPairs(table.paths, plan, together, None, columns, known=table, notes=notes)


def _size_of(joined: JoinedFile) -> str:
    """Say how a file is joined, and what that takes."""
    keys = keys_of(joined)
    return (
        f"{joined.path}: {len(keys.row):,} rows joined by {joined.key!r} to {joined.id!r}; their "
        f"keys take {keys.n_bytes / 1e6:,.1f} MB of memory, in each worker"
    )


def _of_index(options: dict[str, Any], together: Together, other: str | None) -> OpenedPairs:
    if options["score_file"]:
        raise ConfigError("--scores joins columns to a TABLE, not to an index: give the TABLE")
    index = open_pair_index(remember(options["index_dir"]))
    asked = tuple(map(RowCondition.parse, options["where"]))
    plan = index.plan
    if (asked and asked != plan.where) or (options["strict"] and not plan.rule.strict):
        made = " and ".join(map(str, plan.where)) or "all rows"
        raise ConfigError(
            f"{index.folder}: counts {made}, by {plan.rule.sign}: give the TABLE for other "
            "conditions, or make another index"
        )
    scores = tuple(one for one in plan.columns if one.is_score) or plan.columns
    columns = tuple(_counted(name, plan) for name in options["named"]) or scores
    if other is not None:
        columns = (columns[0], _counted(other, plan))
    return OpenedPairs(index.paths, plan, together, None, columns, counted=index.tally)


def _counted(asked: str, plan: CountPlan) -> ScoreColumn:
    name = asked.partition("=")[0]
    found = named_column(name, plan.columns)
    if found is None:
        names = ", ".join(one.name for one in plan.columns)
        raise ConfigError(f"{name!r} is not one of the columns of the index ({names})")
    return found
