"""What every threshold keeps of each slice of a table, exactly.

After the first pass has found the slices (`mmc4viz.pairs.slices.division`), a second one counts
their rows by the step of each score. So a threshold of the grid is a look-up, for one score, for
the sum of two, and for two together, whose joint histogram is kept by its cells that are not empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data import jobs
from mmc4viz.data.jobs import OUT_OF_MEMORY
from mmc4viz.pairs.choose import selected_batches
from mmc4viz.pairs.count import CountPlan, MakeWorkers, Piece, is_small, layout_named, parts_of
from mmc4viz.pairs.curves import place_in, step_of
from mmc4viz.pairs.histogram import grid_of, sum_scale, sum_scale_or_none
from mmc4viz.pairs.layout import KeepRule, ScoreColumn
from mmc4viz.pairs.selection import PairSelection, Together, admitted, downloaded, downloads, summed
from mmc4viz.pairs.slices.division import (
    MOST_VALUES,
    NumberCounts,
    PairAttribute,
    PairDivision,
    ValueCounts,
    counted_texts,
    divided,
)
from mmc4viz.pairs.table import PairTable, TableBatch, batches, needed, open_file
from mmc4viz.slices.differences import CORRECTION, FEWEST, differences, moments_of_documents
from mmc4viz.slices.division import MOST
from mmc4viz.slices.words import share, signed
from mmc4viz.types import ConfigError, ShardError

ASSUMPTION: Final = (
    "Exact counts of rows. Difference: a slice's kept share minus the whole's, in percentage "
    "points. Cost: how many more would be kept at the whole's share. The 95% CIs of all slices "
    f"hold together ({CORRECTION} correction) and take these rows for a random sample of many "
    f"more, such as one file of many; there is none under {FEWEST} rows. If there are no others, "
    "the differences are exact."
)


@dataclass(frozen=True, slots=True)
class SliceJob:
    """A part of a table, of which a worker counts values or, given slices, rows of each.

    Attributes
    ----------
    plan : CountPlan
    attribute : PairAttribute
    division : PairDivision or None
        None in the first pass.
    pieces : tuple of Piece
    """

    plan: CountPlan
    attribute: PairAttribute
    division: PairDivision | None
    pieces: tuple[Piece, ...]

    def batches(self, names: Sequence[str], errors: list[str]) -> Iterator[TableBatch]:
        """Yield the rows with some columns; a file that cannot be read costs only itself."""
        layout = layout_named(self.plan.layout)
        for path, groups in self.pieces:
            try:
                file = open_file(path, self.plan.joined)
                wanted = [*names, *downloads(file)] if self.division is not None else names
                yield from batches(file, needed(wanted, layout, file.columns), groups)
            except ShardError as error:
                errors.append(str(error))


@dataclass(frozen=True, eq=False)
class ValueTally:
    """The values of a part of a table, with its rows and errors."""

    counted: ValueCounts | NumberCounts
    rows: int
    errors: tuple[str, ...]

    def __add__(self, other: ValueTally) -> ValueTally:
        counted: Any = self.counted
        counted.merge(other.counted)
        return ValueTally(counted, self.rows + other.rows, self.errors + other.errors)


@dataclass(frozen=True, eq=False)
class SliceTally:
    """The rows of each slice in a part of a table; tallies of parts add up to that of the whole.

    Attributes
    ----------
    histograms : tuple of ndarray of int64, shape (slices, K + 1)
        Of each column: by the number of thresholds that a row reaches, 0 if a condition excludes
        it.
    cells, counts : ndarray of int64, shape (n,)
        Of the first two columns: ascending cells of slices × their steps, with their rows.
    sums : ndarray of int64, shape (slices, K + 1), or None
        Of the sum of the first two.
    errors : tuple of str
    """

    histograms: tuple[Ints, ...]
    cells: Ints
    counts: Ints
    sums: Ints | None
    errors: tuple[str, ...]

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.histograms[0].sum())

    def __add__(self, other: SliceTally) -> SliceTally:
        return SliceTally(
            tuple(a + b for a, b in zip(self.histograms, other.histograms, strict=True)),
            *_merged(self.cells, self.counts, other.cells, other.counts),
            None if self.sums is None or other.sums is None else self.sums + other.sums,
            self.errors + other.errors,
        )


def _merged(cells: Ints, counts: Ints, others: Ints, more: Ints) -> tuple[Ints, Ints]:
    found, place = np.unique(np.concatenate([cells, others]), return_inverse=True)
    total = np.zeros(len(found), np.int64)
    np.add.at(total, place, np.concatenate([counts, more]))
    return found, total


def count_values(job: SliceJob) -> ValueTally:
    """Count the values of a part of a table, in a worker."""
    attribute, layout = job.attribute, layout_named(job.plan.layout)
    texts, numbers = ValueCounts(MOST_VALUES), NumberCounts(MOST_VALUES)
    errors: list[str] = []
    rows = 0
    for batch in job.batches([attribute.column], errors):
        rows += batch.rows
        if attribute.kind == "number":
            numbers.add(attribute.numbers(batch, layout))
        else:
            texts.add(counted_texts(attribute.texts(batch)))
    counted = numbers if attribute.kind == "number" else texts
    return ValueTally(counted, rows, tuple(errors))


def count_slices(job: SliceJob) -> SliceTally:
    """Count the rows of each slice in a part of a table, in a worker."""
    assert job.division is not None
    plan, layout = job.plan, layout_named(job.plan.layout)
    counter = _SliceCounter(plan, len(job.division))
    names = [*(one.name for one in plan.columns), *(one.column for one in plan.where)]
    errors: list[str] = []
    for batch in job.batches([*names, job.attribute.column], errors):
        numbers = [batch.numbers(one.name, layout) for one in plan.columns]
        pool = admitted(batch, plan.where, layout) & downloaded(batch)
        values = [np.where(pool, one.values, np.nan) for one in numbers]
        counter.add(job.division.codes(batch, layout), values, [one.single for one in numbers])
    return replace(counter.tally(), errors=tuple(errors))


class _SliceCounter:
    """Counts batches of values by slice and step."""

    def __init__(self, plan: CountPlan, slices: int) -> None:
        self._plan, self._slices = plan, slices
        self._sizes = [len(one.scale.thresholds()) + 1 for one in plan.columns]
        self._histograms = [np.zeros((slices, size), np.int64) for size in self._sizes]
        self._cells = self._counts = np.zeros(0, np.int64)
        self._sums = None
        scale = sum_scale_or_none(plan.columns) if plan.joint else None
        if scale is not None:
            self._sum_grid = grid_of(scale, KeepRule(plan.rule.strict), False)
            self._sums = np.zeros((slices, len(self._sum_grid) + 1), np.int64)

    def add(self, of: Ints, values: Sequence[Any], single: Sequence[bool]) -> None:
        """Count values of all columns for the same rows, each in the slice ``of``."""
        codes = []
        with np.errstate(invalid="ignore", over="ignore"):
            for n, column in enumerate(self._plan.columns):
                codes.append(grid_of(column.scale, self._plan.rule, single[n]).codes(values[n]))
                self._histograms[n] += _by_slice(of, codes[n], self._histograms[n].shape)
            if self._sums is not None:
                found = self._sum_grid.codes(summed(*values[:2]))
                self._sums += _by_slice(of, found, self._sums.shape)
        if self._plan.joint:
            cells = (of * self._sizes[0] + codes[0]) * self._sizes[1] + codes[1]
            some = np.unique(cells, return_counts=True)
            self._cells, self._counts = _merged(self._cells, self._counts, *some)

    def tally(self) -> SliceTally:
        return SliceTally(tuple(self._histograms), self._cells, self._counts, self._sums, ())


def _by_slice(of: Ints, codes: Ints, shape: tuple[int, ...]) -> Ints:
    """Count rows by slice and code."""
    return np.bincount(of * shape[1] + codes, minlength=shape[0] * shape[1]).reshape(shape)


@dataclass(frozen=True, eq=False)
class PairSlices:
    """The slices of a table, and what every threshold of the grid keeps of each.

    Attributes
    ----------
    plan : CountPlan
        What was counted, by which rule and under which conditions.
    division : PairDivision
    tally : SliceTally
        Of all slices of the division, empty ones too.
    """

    plan: CountPlan
    division: PairDivision
    tally: SliceTally

    @cached_property
    def present(self) -> Ints:
        """The slices of the division that have rows."""
        return np.flatnonzero(self.tally.histograms[0].sum(axis=1) > 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The slices, the largest first or in the order of the bins."""
        return tuple(self.division.names[n] for n in self.present.tolist())

    @cached_property
    def rows(self) -> Ints:
        """All rows of each slice, whether conditions admit them or not; shape (slices,)."""
        return np.asarray(self.tally.histograms[0].sum(axis=1)[self.present], np.int64)

    def kept(
        self,
        columns: Sequence[ScoreColumn],
        thresholds: Sequence[float],
        together: Together = "one",
    ) -> Ints:
        """Return the rows of each slice that are kept at thresholds of the grid, shape (slices,).

        Parameters
        ----------
        columns : sequence of ScoreColumn
            One, or the two that were counted together.
        thresholds : sequence of float
            One, or one for each of two scores that are not added.
        together : str

        Raises
        ------
        ConfigError
            If that was not counted, or a threshold is not of the grid.
        """
        places = [place_in(self.plan, one) for one in columns]
        if together == "one":
            step = step_of(columns[0], thresholds[0])
            return self._above(self.tally.histograms[places[0]], step)
        if not self.plan.joint or sorted(places) != [0, 1]:
            named = " and ".join(one.name for one in columns)
            raise ConfigError(f"{named} were not counted together: give them as the first scores")
        if together == "sum":
            scale = sum_scale(columns[0], columns[1])
            assert self.tally.sums is not None
            step = step_of(ScoreColumn("the sum", "", scale), thresholds[0])
            return self._above(self.tally.sums, step)
        both = self._both(dict(zip(places, map(step_of, columns, thresholds), strict=True)))
        if together == "and":
            return both
        each = [self.kept([one], [at]) for one, at in zip(columns, thresholds, strict=True)]
        return each[0] + each[1] - both

    def _above(self, histogram: Ints, step: int) -> Ints:
        return np.asarray(histogram[self.present, step + 1 :].sum(axis=1), np.int64)

    def _both(self, steps: dict[int, int]) -> Ints:
        """Return the rows of each slice that reach steps of both of the first two columns."""
        size, width = (one.shape[1] for one in self.tally.histograms[:2])
        rest, second = np.divmod(self.tally.cells, width)
        of, first = np.divmod(rest, size)
        reach = (first > steps[0]) & (second > steps[1])
        found = np.zeros(len(self.division), np.int64)
        np.add.at(found, of[reach], self.tally.counts[reach])
        return found[self.present]

    def curves(self, column: ScoreColumn) -> Ints:
        """Return the rows of each slice kept at every threshold of a score, (slices, K)."""
        histogram = self.tally.histograms[place_in(self.plan, column)][self.present]
        return np.asarray(histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:], np.int64)

    def medians(self, column: ScoreColumn) -> Floats:
        """Return the median score of each slice down to a step of the grid, NaN without scores.

        Only of rows that the conditions admit.
        """
        curves = self.curves(column)
        half = np.ceil(curves[:, :1] / 2)
        step = (curves >= half).sum(axis=1) - 1
        found = column.scale.thresholds()[step]
        return np.where(curves[:, 0] > 0, found, np.nan)

    @property
    def notes(self) -> tuple[str, ...]:
        """What should be known of the slices, one line each."""
        return self.division.notes


def slices_of(
    table: PairTable,
    attribute: PairAttribute,
    plan: CountPlan,
    most: int = MOST,
    make_executor: MakeWorkers | None = None,
    workers: int = 1,
    progress: Callable[[int], object] = lambda _: None,
) -> PairSlices:
    """Divide a table into slices, and count what every threshold keeps of each.

    Parameters
    ----------
    table : PairTable
    attribute : PairAttribute
        What divides it (`mmc4viz.pairs.slices.division.attribute_of`).
    plan : CountPlan
        What to count.
    most : int
        Number of values that are slices of their own; all others are one.
    make_executor : callable, optional
        Returns workers; without it, or for a small table, this process counts.
    workers : int
        Number of workers.
    progress : callable, optional
        Called with the number of rows read since the last call; all rows are read twice.

    Returns
    -------
    PairSlices
        The errors of its tally have a line for each file that cannot be read completely.
    """
    parts: list[tuple[Piece, ...]] = [((path, None),) for path in table.paths]
    alone = make_executor is None or is_small(table.paths)
    if not alone:
        parts = parts_of(table.paths, workers)
        jobs.get_ready(__name__)

    def added(work: Callable[[SliceJob], Any], division: PairDivision | None, total: Any) -> Any:
        each = [SliceJob(plan, attribute, division, pieces) for pieces in parts]
        sums = [total]

        def take(one: Any) -> None:
            progress(one.rows)
            sums[0] = sums[0] + one

        if alone or make_executor is None:
            for job in each:
                take(work(job))
        else:
            jobs.run(_spared, [_SliceWork(work, job) for job in each], make_executor, take, _lost)
        return sums[0]

    nothing = SliceJob(plan, attribute, None, ())
    counted: ValueTally = added(count_values, None, count_values(nothing))
    division = divided(attribute, counted.counted, most)
    nothing = replace(nothing, division=division)
    tally: SliceTally = added(count_slices, division, count_slices(nothing))
    return PairSlices(plan, division, tally)


@dataclass(frozen=True, slots=True)
class _SliceWork:
    """What a worker does, and of which part."""

    work: Callable[[SliceJob], Any]
    job: SliceJob


def _spared(one: _SliceWork) -> Any:
    try:
        return one.work(one.job)
    except MemoryError:
        return _lost(one, OUT_OF_MEMORY)


def _lost(one: _SliceWork, reason: str) -> Any:
    names = ", ".join(path for path, _ in one.job.pieces[:3])
    return replace(one.work(replace(one.job, pieces=())), errors=(f"{names}: {reason}",))


def kept_by_slice(
    table: PairTable, found: PairSlices, selection: PairSelection, errors: list[str]
) -> Ints:
    """Count the rows of each slice that a selection keeps, row by row, shape (slices,).

    For thresholds that are no steps of the grid.

    Parameters
    ----------
    table : PairTable
    found : PairSlices
        Of this table.
    selection : PairSelection
    errors : list of str
        Receives a line for each file that cannot be read completely.
    """
    division = found.division
    kept = np.zeros(len(division), np.int64)
    file = table.first
    more = needed([division.attribute.column], table.layout, file.columns)
    for _, batch in selected_batches(table, selection, errors, more):
        if not batch.columns.keys() >= set(more):
            continue  # a file without the column is in no slice
        of = division.codes(batch, table.layout)
        kept += np.bincount(of[selection.kept(batch, table.layout)], minlength=len(division))
    return kept[found.present]


# --- at one threshold ----------------------------------------------------------------------------

SLICE_HEAD: Final = (
    "slice", "rows", "of_all", "kept", "share", "difference", "low", "high", "cost", "median_score",
)  # fmt: skip

SLICE_WORDS: Final = (
    "slice", "rows", "of all", "kept", "share", "difference", "95% CI", "cost", "median score",
)  # fmt: skip


@dataclass(frozen=True)
class PairSlice:
    """One slice of a table at one threshold.

    Attributes
    ----------
    name : str
    rows : int
        All of its rows.
    part : float
        These as a share of the table.
    kept : int
    share, difference : float
        Kept share, and how much it exceeds the whole's.
    low, high : float or None
        Simultaneous 95% interval of the difference; None with too few rows.
    cost : float
        How many more would be kept if the slice had the whole's kept share; the costs of all
        slices add up to 0.
    median : float or None
        Median of the first score, down to a step of the grid.
    """

    name: str
    rows: int
    part: float
    kept: int
    share: float
    difference: float
    low: float | None
    high: float | None
    cost: float
    median: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, under the names of `SLICE_HEAD`."""
        return dict(zip(SLICE_HEAD, astuple(self), strict=True))

    def cells(self) -> tuple[str, ...]:
        """Return it as text, under the headings `SLICE_WORDS`."""
        interval = "–" if self.low is None else f"{signed(self.low)} to {signed(self.high)}"
        return (
            self.name,
            f"{self.rows:,}",
            share(self.part),
            f"{self.kept:,}",
            share(self.share),
            signed(self.difference),
            interval,
            f"{round(self.cost, 1) + 0.0:,.1f}",
            "–" if self.median is None else f"{self.median:g}",
        )


def compared_slices(found: PairSlices, kept: Ints, column: ScoreColumn) -> list[PairSlice]:
    """Compare the kept share of each slice with the whole's.

    Parameters
    ----------
    found : PairSlices
    kept : ndarray of int64, shape (slices,)
        As `PairSlices.kept` or `kept_by_slice` returned it.
    column : ScoreColumn
        Whose medians to give.
    """
    rows = found.rows
    always, size = kept.astype(np.float64), rows.astype(np.float64)
    seen = differences(moments_of_documents(always, np.zeros(len(rows)), size, 1.0))
    medians = found.medians(column)

    def known(value: Any) -> float | None:
        return None if np.isnan(value) else float(value)

    return [
        PairSlice(
            name,
            int(rows[n]),
            float(rows[n] / rows.sum()),
            int(kept[n]),
            float(seen.share[n]),
            float(seen.difference[n]),
            known(seen.low[n]),
            known(seen.high[n]),
            float(rows[n] * seen.whole - kept[n]),
            known(medians[n]),
        )
        for n, name in enumerate(found.names)
    ]


def ordered_slices(slices: Sequence[PairSlice], by: str) -> list[PairSlice]:
    """Sort slices: by ``cost`` or ``size``, the largest first; by kept ``share`` or ``difference``,
    the lowest first; or in their own ``order``.
    """  # noqa: D205
    keys: dict[str, Callable[[PairSlice], float]] = {
        "cost": lambda one: -one.cost,
        "size": lambda one: -one.rows,
        "share": lambda one: one.share,
        "difference": lambda one: one.difference,
        "order": lambda _: 0.0,
    }
    return sorted(slices, key=keys[by])
