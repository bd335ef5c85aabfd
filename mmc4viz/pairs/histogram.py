"""Histograms from which the count at every threshold of a grid is exact, and which add up.

A value's code is the number of thresholds that it reaches. So ``kept(t_k)`` is the number of values
with a code above k, by a sum from the right; that of two scores together is a sum over a quadrant
of their joint histogram. Tallies of parts of a table, added, are the tally of the whole.

Codes are computed by arithmetic, ``floor(value / step)``, which is as good as the comparison with
the decimal thresholds unless the value is next to one; only those are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.scale import RANGES, Scale
from mmc4viz.pairs.layout import KeepRule, ScoreColumn
from mmc4viz.types import ConfigError

_BLOCK: Final = 1 << 15  # values at a time, so that they stay in the cache
_SLACK: Final = 1.0001  # in single precision, the cosine of equal vectors can exceed 1


class ThresholdGrid:
    """The thresholds of a scale, as values are compared with them.

    Parameters
    ----------
    scale : Scale
    rule : KeepRule
    single : bool
        Whether the values are stored in single precision.

    Attributes
    ----------
    compared : ndarray of float64, shape (K,)
        Ascending.

    Examples
    --------
    >>> from mmc4viz.data.scale import COSINE
    >>> ThresholdGrid(COSINE, KeepRule()).codes(np.array([-1.5, 0.2, np.nan, 9.0]))
    array([   0, 1201,    0, 2001])
    """

    def __init__(self, scale: Scale, rule: KeepRule, single: bool = False) -> None:
        thresholds = scale.thresholds()
        self.strict = rule.strict
        self.compared = rule.compared(thresholds, single)
        self._per_unit = 1 / scale.step if scale.step > 1 else float(round(1 / scale.step))
        self._first = round(scale.start / scale.step)
        places = self._first + np.arange(len(thresholds))
        exact = scale.step == 1  # whole numbers need no second look
        off = float(np.abs(self.compared * self._per_unit - places).max())
        self._near = 0.0 if exact else 2 * off + 1e-9
        largest = max(abs(self._first), abs(self._first + len(thresholds)), len(thresholds))
        self._near_single = 2 * off + largest * 2.0**-21  # four roundings of 2⁻²⁴ each, twice
        if not self._near < 0.25:
            raise ConfigError(f"a grid of {len(thresholds):,} steps from {scale.start} is too fine")

    def __len__(self) -> int:
        return len(self.compared)

    def codes(self, values: NDArray[Any]) -> Ints:
        """Return the number of thresholds that each value reaches; 0 for NaN."""
        found = np.empty(len(values), np.int64)
        work = np.empty((2, min(len(values), _BLOCK)))
        for at in range(0, len(values), _BLOCK):
            part = np.asarray(values[at : at + _BLOCK], np.float64)
            found[at : at + len(part)] = self.codes_of_block(part, work[:, : len(part)])
        return found

    def fits(self, values: NDArray[Any]) -> bool:
        """Whether codes can be computed in the values' own precision, single precision if so."""
        return values.dtype == np.float32 and self._near_single < 0.01

    def codes_of_block(
        self, values: NDArray[Any], work: NDArray[Any], inside: bool = False
    ) -> NDArray[Any]:
        """Return codes as floats in the first row of ``work``, shape (2, values).

        Parameters
        ----------
        values : ndarray of float64, or of float32 that `fits`
        work : ndarray of the same type
        inside : bool
            Whether no value is known to lie beyond the ends of the grid.
        """
        code: NDArray[Any] = work[0]
        other = work[1]
        near = self._near if work.dtype == np.float64 else self._near_single
        whole = np.ceil if self.strict else np.floor
        base = -self._first + (0 if self.strict else 1)
        np.multiply(values, self._per_unit, out=other)
        np.add(other, base + near, out=code)
        whole(code, out=code)
        if near:  # whether a little less makes a difference
            np.add(other, base - near, out=other)
            whole(other, out=other)
            unsure = code != other
            if unsure.any():
                self._look_up(values, code, np.flatnonzero(unsure))
        if not inside:
            np.fmax(code, 0, out=code)
            np.fmin(code, len(self), out=code)
        return code

    def _look_up(self, values: NDArray[Any], code: NDArray[Any], at: Ints) -> None:
        """Replace codes by those of a binary search."""
        some = values[at].astype(np.float64)
        found = np.searchsorted(self.compared, some, "left" if self.strict else "right")
        found[np.isnan(some)] = 0
        code[at] = found


@lru_cache(64)
def grid_of(scale: Scale, rule: KeepRule, single: bool) -> ThresholdGrid:
    """Return the grid of a scale; the same one again for the same arguments."""
    return ThresholdGrid(scale, rule, rule.rounds(single))


def sum_scale(one: ScoreColumn, other: ScoreColumn) -> Scale:
    """Return the scale of the sum of two scores.

    Raises
    ------
    ConfigError
        If they are on different scales.

    Examples
    --------
    >>> both = ScoreColumn("a", "ViT-B/32"), ScoreColumn("b", "ViT-L/14")
    >>> sum_scale(*both).start, len(sum_scale(*both).thresholds())
    (-2.0, 4001)
    """
    first, second = one.scale, other.scale
    if (first.step, first.digits) != (second.step, second.digits):
        raise ConfigError(
            f"{one.name} ({first.name}) and {other.name} ({second.name}) are on different scales, "
            "so their sum means nothing: use --and or --or"
        )
    name = first.name if first.name == second.name else "unknown"
    start, stop = first.start + second.start, first.stop + second.stop
    return Scale(name, start, stop, first.step, first.digits)


@dataclass(frozen=True, eq=False)
class ColumnTally:
    """What was counted of a column, over the rows that the filters admit.

    Attributes
    ----------
    histogram : ndarray of int64, shape (K + 1,)
        By code.
    missing, malformed : int
        Rows without a value, and with one that is no number; both have the code 0.
    outside : int
        Values beyond the range of the scale, such as above 1 for a cosine.
    lowest, highest : float
        NaN if there is no value.
    """

    histogram: Ints
    missing: int = 0
    malformed: int = 0
    outside: int = 0
    lowest: float = np.nan
    highest: float = np.nan

    @cached_property
    def kept(self) -> Ints:
        """Values that reach each threshold, shape (K,)."""
        return np.cumsum(self.histogram[::-1])[::-1][1:]


@dataclass(frozen=True, eq=False)
class PairTally:
    """What was counted of a table or a part of it; `TallyCounter.include` adds tallies up.

    Attributes
    ----------
    rows : int
        All rows.
    filtered, not_downloaded : int
        Rows that the conditions exclude, and rows whose image img2dataset did not get.
    met : ndarray of int64, shape (conditions,)
        Rows that meet each condition, by itself.
    columns : tuple of ColumnTally
    joint : ndarray of int64, shape (K₁ + 1, K₂ + 1), or None
        By the codes of the first two columns.
    sums : ndarray of int64, shape (K + 1,), or None
        By the code of the sum of the first two.
    errors : tuple of str
        Files that could not be read, or only in part, one line each.
    unreadable : int
        Samples of img2dataset whose metadata is not valid JSON.
    """

    rows: int
    filtered: int
    not_downloaded: int
    met: Ints
    columns: tuple[ColumnTally, ...]
    joint: Ints | None = None
    sums: Ints | None = None
    errors: tuple[str, ...] = ()
    unreadable: int = 0

    @property
    def pool(self) -> int:
        """Rows that the filters admit, with a score or without."""
        return self.rows - self.filtered - self.not_downloaded - self.unreadable

    def __reduce__(self) -> tuple[Any, ...]:
        return unpacked, (self.packed(),)

    def packed(self) -> dict[str, NDArray[Any]]:
        """Return it as small arrays, the joint histogram by its cells that are not empty."""
        found: dict[str, NDArray[Any]] = {
            "counts": np.array(
                [self.rows, self.filtered, self.not_downloaded, self.unreadable], np.int64
            ),
            "met": self.met,
            "errors": np.array(self.errors, np.str_),
        }
        for n, one in enumerate(self.columns):
            found[f"histogram_{n}"] = one.histogram
            found[f"column_{n}"] = np.array([one.missing, one.malformed, one.outside], np.int64)
            found[f"ends_{n}"] = np.array([one.lowest, one.highest])
        if self.joint is not None and self.sums is not None:
            rows, columns = self.box
            first, second = np.nonzero(self.joint[rows, columns])
            first, second = first + rows.start, second + columns.start
            at = first * self.joint.shape[1] + second
            counts = self.joint[first, second]
            found |= {"cells": at, "cell_counts": counts, "sums": self.sums}
        return found

    @property
    def box(self) -> tuple[slice, slice]:
        """The smallest part of the joint histogram that holds all its counts."""
        first, second = (_occupied(one.histogram) for one in self.columns[:2])
        return first, second


def _occupied(histogram: Ints) -> slice:
    """Return the range of a histogram outside of which it is 0."""
    at = np.flatnonzero(histogram)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def unpacked(found: dict[str, NDArray[Any]]) -> PairTally:
    """Return a tally from what `PairTally.packed` returned.

    Raises
    ------
    KeyError, ValueError, IndexError
        If it is something else.
    """
    columns: list[ColumnTally] = []
    while f"histogram_{len(columns)}" in found:
        n = len(columns)
        low, high = found[f"ends_{n}"].tolist()
        missing, malformed, outside = found[f"column_{n}"].tolist()
        histogram = found[f"histogram_{n}"]
        columns.append(ColumnTally(histogram, missing, malformed, outside, low, high))
    rows, filtered, lost, unreadable = found["counts"].tolist()
    joint = sums = None
    if "cells" in found:
        shape = len(columns[0].histogram), len(columns[1].histogram)
        joint = np.zeros(shape, np.int64)
        joint.ravel()[found["cells"]] = found["cell_counts"]
        sums = found["sums"]
    errors = tuple(str(one) for one in found["errors"].tolist())
    return PairTally(
        rows, filtered, lost, found["met"], tuple(columns), joint, sums, errors, unreadable
    )


@dataclass
class TallyCounter:
    """Counts batches of values into a tally.

    Parameters
    ----------
    columns : sequence of ScoreColumn
    rule : KeepRule
    conditions : int
        Number of conditions on rows.
    joint : bool
        Whether the first two columns are also counted together.
    """

    columns: Sequence[ScoreColumn]
    rule: KeepRule
    conditions: int = 0
    joint: bool = False
    rows: int = 0
    filtered: int = 0
    not_downloaded: int = 0
    unreadable: int = 0
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sizes = [len(one.scale.thresholds()) + 1 for one in self.columns]
        self.met = np.zeros(self.conditions, np.int64)
        self._histograms = [np.zeros(size, np.int64) for size in sizes]
        self._counts = np.zeros((len(sizes), 3), np.int64)
        self._ends = np.full((len(sizes), 2), np.nan)
        self._joint = self._sums = None
        self._box = slice(0, 0), slice(0, 0)  # the part of the joint histogram with counts
        self._cells = np.empty(0, np.int64)
        if self.joint:
            scale = sum_scale_or_none(self.columns)
            self._joint = np.zeros((sizes[0], sizes[1]), np.int64)
            self._sum_grid = (
                None if scale is None else grid_of(scale, KeepRule(self.rule.strict), False)
            )
            self._sums = np.zeros(1 if scale is None else len(scale.thresholds()) + 1, np.int64)

    def add(
        self, values: Sequence[NDArray[Any]], single: Sequence[bool], malformed: Sequence[int]
    ) -> None:
        """Count values of all columns for the same rows.

        Parameters
        ----------
        values : sequence of ndarray of float32 or float64, shape (rows,)
        single : sequence of bool
            Whether each column is stored in single precision.
        malformed : sequence of int
            How many of its NaN were no numbers.
        """
        if not len(values[0]):
            return
        grids = [
            grid_of(column.scale, self.rule, kind)
            for column, kind in zip(self.columns, single, strict=True)
        ]
        spans = [
            self._look(n, one, bad, grid)
            for n, (one, bad, grid) in enumerate(zip(values, malformed, grids, strict=True))
        ]
        first = 0
        with np.errstate(invalid="ignore", over="ignore"):
            if self._joint is not None:
                first = 2
                self._add_two(values[0], values[1], grids[0], grids[1], spans[0], spans[1])
            for n in range(first, len(values)):
                codes = grids[n].codes(values[n])
                self._histograms[n] += np.bincount(codes, minlength=len(self._histograms[n]))

    def _look(
        self, n: int, values: NDArray[Any], malformed: int, grid: ThresholdGrid
    ) -> tuple[int, int]:
        """Count what is missing or out of range, note the ends; return the ends of the codes."""
        low, high = float(values.min()), float(values.max())
        lacking = np.isnan(low)
        if lacking:
            missing = np.isnan(values)
            self._counts[n, :2] += int(missing.sum()) - malformed, malformed
            if missing.all():
                return 0, 0
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
        first, last = range_of(self.columns[n].scale)
        if low < first or high > last:
            self._counts[n, 2] += int(((values < first) | (values > last)).sum())
        self._ends[n] = np.fmin(self._ends[n, 0], low), np.fmax(self._ends[n, 1], high)
        lowest, highest = grid.codes(np.array([low, high])).tolist()
        return 0 if lacking else lowest, highest

    def _add_two(
        self,
        one: NDArray[Any],
        other: NDArray[Any],
        grid: ThresholdGrid,
        second: ThresholdGrid,
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> None:
        """Count two columns together, block by block, in the part of the histogram that occurs."""
        assert self._joint is not None and self._sums is not None
        width = columns[1] - columns[0] + 1
        size = len(one)
        if len(self._cells) < size:
            self._cells = np.empty(size, np.int64)
        within = [ends[0] > 0 and ends[1] < len(g) for ends, g in ((rows, grid), (columns, second))]
        single = grid.fits(one) and second.fits(other) and len(grid) * width < 1 << 24
        kind = np.float32 if single else np.float64  # whole numbers up to 2²⁴ are exact
        work, sums = np.empty((2, 2, _BLOCK), kind), np.empty((3, _BLOCK))
        for at in range(0, size, _BLOCK):
            n = min(_BLOCK, size - at)
            x, y = (np.asarray(values[at : at + n], kind) for values in (one, other))
            cell = grid.codes_of_block(x, work[0, :, :n], within[0])
            cell *= width
            cell += second.codes_of_block(y, work[1, :, :n], within[1])
            self._cells[at : at + n] = cell
            if self._sum_grid is not None:
                np.add(x, y, out=sums[2, :n], dtype=np.float64)
                codes = self._sum_grid.codes_of_block(sums[2, :n], sums[:2, :n], all(within))
                self._sums += np.bincount(codes.astype(np.intp), minlength=len(self._sums))
        cells = self._cells[:size]
        cells -= rows[0] * width + columns[0]
        counts = np.bincount(cells, minlength=(rows[1] - rows[0] + 1) * width)
        box = slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1)
        part = self._joint[box]
        part += counts.reshape(part.shape)
        self._grow(box)

    def _grow(self, box: tuple[slice, slice]) -> None:
        """Let the part of the joint histogram with counts include another."""
        first, second = (
            b if a.start == a.stop else slice(min(a.start, b.start), max(a.stop, b.stop))
            for a, b in zip(self._box, box, strict=True)
        )
        self._box = first, second

    def include(self, other: PairTally) -> None:
        """Add what was counted elsewhere, in place: joint histograms are large."""
        self.rows += other.rows
        self.filtered += other.filtered
        self.not_downloaded += other.not_downloaded
        self.unreadable += other.unreadable
        self.met += other.met
        self.errors += other.errors
        for n, one in enumerate(other.columns):
            self._counts[n] += one.missing, one.malformed, one.outside
            low, high = self._ends[n]
            self._ends[n] = np.fmin(low, one.lowest), np.fmax(high, one.highest)
            if self._joint is None or n > 1:
                self._histograms[n] += one.histogram
        if self._joint is not None and other.joint is not None:
            assert self._sums is not None and other.sums is not None
            self._joint[other.box] += other.joint[other.box]
            self._sums += other.sums
            self._grow(other.box)

    def tally(self) -> PairTally:
        """Return what was counted."""
        histograms = list(self._histograms)
        if self._joint is not None:
            for n, axis in enumerate((1, 0)):
                histograms[n] = np.zeros_like(histograms[n])
                histograms[n][self._box[n]] = self._joint[self._box].sum(axis)
        columns = tuple(
            ColumnTally(histogram, *counts, *ends)
            for histogram, counts, ends in zip(
                histograms, self._counts.tolist(), self._ends.tolist(), strict=True
            )
        )
        return PairTally(
            self.rows, self.filtered, self.not_downloaded, self.met, columns,
            self._joint, self._sums, tuple(self.errors), self.unreadable,
        )  # fmt: skip


def sum_scale_or_none(columns: Sequence[ScoreColumn]) -> Scale | None:
    """Return the scale of the sum of the first two columns; None if they have different ones."""
    try:
        return sum_scale(columns[0], columns[1])
    except ConfigError:
        return None


def range_of(scale: Scale) -> tuple[float, float]:
    """Return the range outside of which values are reported.

    Examples
    --------
    >>> from mmc4viz.data.scale import COSINE
    >>> range_of(COSINE)
    (-1.0001, 1.0001)
    """
    if scale.name in RANGES:
        first, last = RANGES[scale.name]
        return first * _SLACK, last * _SLACK
    if scale.name == "probability":
        return 0.0, _SLACK
    return -np.inf, np.inf
