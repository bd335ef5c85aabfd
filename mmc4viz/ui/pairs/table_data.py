"""The open table of image–text pairs: cached curves and rows, shared by all sessions.

Nothing depends on the threshold but the rows that are looked at. Tables are counted by threads:
Arrow and NumPy release the interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np

from mmc4viz.arrays import Ints
from mmc4viz.data.scale import Scale
from mmc4viz.data.storage import is_remote
from mmc4viz.pairs.count import CountPlan, PairIndex, count, open_pair_index, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.recognise import MANIFEST, holds_pairs, is_pair_index
from mmc4viz.pairs.rows.examples import NearRows, PairRow, named_model, rows_near
from mmc4viz.pairs.selection import PairSelection, RowCondition
from mmc4viz.pairs.table import PairTable, open_table
from mmc4viz.types import ConfigError
from mmc4viz.ui import state
from mmc4viz.ui.cache import Memo, cached, progress
from mmc4viz.ui.data import FileId, identify, name_of_files
from mmc4viz.ui.start import Start

_KINDS: Final = Memo[bool]()
_CURVES: Final = Memo[PairCurves]()
_FEWEST: Final = 1 << 20  # rows of which all are looked at to find the nearest ones


@dataclass(frozen=True)
class TableKey:
    """The identity of a table.

    Attributes
    ----------
    files : tuple of FileId
        Of the table; empty with an index.
    index : tuple of FileId
        An index's folder and its manifest, used instead.
    named : tuple of str
        Scores that a person named.
    """

    files: tuple[FileId, ...]
    index: tuple[FileId, ...] = ()
    named: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PairChoice:
    """The chosen table, scores, thresholds and conditions.

    Attributes
    ----------
    source : TableKey
    curves : PairCurves
    selection : PairSelection
        Which rows are kept; its thresholds are steps of the grid.
    span : (float, float)
        The range of thresholds to show.
    keep : callable
        Stores another threshold of the first score, or of the sum, for the next run.
    """

    source: TableKey
    curves: PairCurves
    selection: PairSelection
    span: tuple[float, float]
    keep: partial[None]

    @property
    def threshold(self) -> float:
        """The threshold of the first score, or of the sum."""
        return self.selection.thresholds[0]

    @property
    def fixed(self) -> tuple[float, ...]:
        """The threshold of the second score, if it has one."""
        return self.selection.thresholds[1:]

    @property
    def scale(self) -> Scale:
        """The scale of the first score, or of the sum."""
        return self.selection.scale

    @property
    def kept(self) -> Ints:
        """The rows kept at every threshold, shape (steps of the grid,)."""
        return kept_at(self.curves, self.selection)

    @cached_property
    def n_kept(self) -> int:
        """The rows kept at the present thresholds."""
        selection = self.selection
        return self.curves.kept(selection.scores, selection.thresholds, selection.together)

    @property
    def others(self) -> int:
        """The rows that are kept whatever the first score is: by OR, those of the second."""
        if self.selection.together != "or":
            return 0
        return self.curves.kept(self.selection.scores[1:], self.fixed)

    @property
    def scored(self) -> int:
        """The rows that the lowest threshold keeps; of one score, all rows with a score."""
        if self.selection.together != "one":
            return int(self.kept[0])
        tally = self.curves.of(self.selection.scores[0])
        return self.curves.tally.pool - tally.missing - tally.malformed

    @property
    def counts(self) -> Ints:
        """The rows that the threshold decides about in each step of the grid, shape (steps,).

        Those below the grid are in its first step.
        """
        kept = self.kept
        found: Ints = kept - np.append(kept[1:], self.others)
        found[0] += self.scored - int(kept[0])
        return found

    @property
    def name(self) -> str:
        """What the threshold is of."""
        return self.selection.name

    def use(self, threshold: float) -> None:
        """Take another threshold, and let every widget show it."""
        self.keep(threshold)
        state.begin_anew()


def kept_at(curves: PairCurves, selection: PairSelection) -> Ints:
    """Return the rows kept at every threshold of the first score, or of the sum."""
    second = selection.thresholds[1] if len(selection.thresholds) > 1 else None
    return curves.curve(selection.scores, selection.together, second)


def in_words(column: ScoreColumn) -> str:
    """Return a column with its CLIP model, if it has one."""
    return f"{column.name} ({named_model(column.model)})" if column.is_score else column.name


def is_open(start: Start) -> bool:
    """Whether what is open is a table of pairs, by its content."""
    folder, patterns = asked(start)
    try:
        if folder:
            named = start.index == folder or bool(start.roots.path(folder))
            manifest = identify(f"{folder.rstrip('/')}/{MANIFEST}")
            key = folder, manifest
            return named and _KINDS.get(key, lambda: is_pair_index(folder))
        if not patterns:
            return False
        for pattern in patterns:
            start.roots.pattern(pattern)
    except ConfigError:
        return False  # told where the corpus is chosen
    return holds_table(patterns, start)


def holds_table(patterns: tuple[str, ...], start: Start) -> bool:
    """Whether files hold a table of pairs, by their content."""
    here = tuple(identify(one) for one in (patterns[0], patterns[-1]) if not is_remote(one))
    key = patterns, here, start.named
    return _KINDS.get(key, lambda: holds_pairs(patterns, bool(start.named)))


def asked(start: Start) -> tuple[str, tuple[str, ...]]:
    """Return the index and the paths or patterns that are asked for."""
    folder = state.get("index", start.index).strip()
    lines = state.get("shards", "\n".join(start.shards)).splitlines()
    return folder, tuple(line.strip() for line in lines if line.strip())


@cached()
def table_of(source: TableKey) -> PairTable:
    """Open a table, or the one that an index was made from."""
    if source.index:
        return open_table(index_paths(source))
    return open_table([one.path for one in source.files], source.named)


@cached()
def index_of(source: TableKey) -> PairIndex:
    """Open the index of a table; once, since its joint histogram is large."""
    return open_pair_index(source.index[0].path)


def index_paths(source: TableKey) -> tuple[str, ...]:
    """Return the files that an index was made from."""
    return index_of(source).paths


def columns_of(source: TableKey) -> tuple[ScoreColumn, ...]:
    """Return the scores of a table; other numbers where it has none."""
    if source.index:
        known = index_of(source).plan.columns
        return tuple(one for one in known if one.is_score) or known
    table = table_of(source)
    return table.scores or table.numbers


def numbers_of(source: TableKey) -> tuple[ScoreColumn, ...]:
    """Return the other known numbers of a table."""
    if source.index:
        return tuple(one for one in index_of(source).plan.columns if not one.is_score)
    return table_of(source).numbers


def curves_of(
    source: TableKey,
    columns: Sequence[ScoreColumn],
    where: tuple[RowCondition, ...] = (),
    strict: bool = False,
) -> PairCurves:
    """Return the curves of some columns, the first two of them also together.

    Raises
    ------
    ConfigError
        If an index was made with other conditions.
    """
    if source.index:
        return _of_index(source, where, strict)
    key = source, tuple(columns), where, strict
    return _CURVES.get(key, lambda: _counted(source, plan_of(table_of(source), columns, where,
                                                             strict)))  # fmt: skip


def curves_together(choice: PairChoice, pair: tuple[ScoreColumn, ScoreColumn]) -> PairCurves:
    """Return the curves of a table's scores, two of them also together."""
    selection = choice.selection
    return curves_of(
        choice.source, in_order(choice.source, pair), selection.where, selection.rule.strict
    )


def in_order(source: TableKey, pair: tuple[ScoreColumn, ...]) -> tuple[ScoreColumn, ...]:
    """Return all scores with some first: in the table's order, so that they are counted once."""
    known, names = columns_of(source), {one.name for one in pair}
    return (*(one for one in known if one.name in names),
            *(one for one in known if one.name not in names))  # fmt: skip


def _of_index(source: TableKey, where: tuple[RowCondition, ...], strict: bool) -> PairCurves:
    index = index_of(source)
    index.check(where, strict=strict, instead="open the table itself")
    return _CURVES.get(source, lambda: PairCurves(index.plan, index.tally))


def _counted(source: TableKey, plan: CountPlan) -> PairCurves:
    workers = len(os.sched_getaffinity(0))
    with progress("Counting rows", unit="rows") as tell:
        make = partial(ThreadPoolExecutor, workers)
        return PairCurves(plan, count(table_of(source), plan, make, workers, tell))


@dataclass(frozen=True)
class FoundRows:
    """Rows nearest to a threshold.

    Attributes
    ----------
    rows : list of PairRow
        From the highest to the lowest score.
    errors : list of str
        About files that could not be read completely.
    """

    rows: list[PairRow]
    errors: list[str]


@cached("Reading rows near the threshold")
def rows_around(
    source: TableKey,
    selection: PairSelection,
    most: int,
    bounds: tuple[float | None, float | None],
    rows: int,
) -> FoundRows:
    """Return the rows nearest to the threshold, so many on each side.

    Parameters
    ----------
    source : TableKey
    selection : PairSelection
    most : int
        On each side.
    bounds : (float or None, float or None)
        The range of scores to look at.
    rows : int
        Of the whole table; of a large one, reading stops once enough rows are within half a step
        of the threshold.
    """
    enough = selection.scale.step / 2 if rows > _FEWEST else 0.0
    errors: list[str] = []
    wanted = NearRows(most, enough, bounds, by_first=True)
    return FoundRows(rows_near(table_of(source), selection, wanted, errors), errors)


def corpus_name(source: TableKey) -> str:
    """Return how a table is called on the pages."""
    paths = [one.path for one in source.index[:1] or source.files]
    return name_of_files(paths, "file")


def score_of(selection: PairSelection, row: PairRow) -> float:
    """Return the score of a row that the threshold is of."""
    return sum(row.scores) if selection.together == "sum" else row.scores[0]
