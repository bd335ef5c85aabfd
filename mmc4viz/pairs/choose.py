"""The highest threshold that keeps enough of a table, exactly.

The histogram gives the step of the grid below which the wanted row lies; a second pass over the
table ranks the distinct scores of that step only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import KeepRule
from mmc4viz.pairs.selection import PairSelection, admitted, downloaded, summed
from mmc4viz.pairs.table import ColumnNumbers, PairTable, TableBatch, batches, open_file
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import ShardError

ASSUMPTION: Final = "Exact counts of rows. Does not consider whether pairs are correct."
_ALL_DIGITS: Final = Context(prec=400)  # of any number in double precision
_PENDING: Final = 1 << 22  # scores ranked at once


def selected_batches(
    table: PairTable, selection: PairSelection, errors: list[str], more: Sequence[str] = ()
) -> Iterator[tuple[str, TableBatch]]:
    """Yield the path and the batches of every file, with the columns that a selection needs.

    Parameters
    ----------
    table : PairTable
    selection : PairSelection
    errors : list of str
        Receives a line for each file that cannot be read completely.
    more : sequence of str
        Further columns; left out where a file does not have them.
    """
    for path in table.paths:
        try:
            file = open_file(path, table.joined)
            names = selection.columns(file, table.layout)
            names += [name for name in dict.fromkeys(more) if name in file.columns]
            for batch in batches(file, list(dict.fromkeys(names))):
                yield path, batch
        except ShardError as error:
            errors.append(str(error))


def count_kept(
    table: PairTable,
    selections: Sequence[PairSelection],
    errors: list[str],
    progress: Callable[[int], object] = lambda _: None,
) -> list[int]:
    """Count the rows that selections keep, row by row, for thresholds that are no steps of a grid.

    Parameters
    ----------
    table : PairTable
    selections : sequence of PairSelection
        Of the same scores and conditions, at different thresholds.
    errors : list of str
        Receives a line for each file that cannot be read completely.
    progress : callable, optional
        Called with the number of rows read since the last call.
    """
    found = np.zeros(len(selections), np.int64)
    for _, batch in selected_batches(table, selections[0], errors):
        numbers = selections[0].numbers(batch, table.layout)
        pool = admitted(batch, selections[0].where, table.layout) & downloaded(batch)
        found += [int((one.reached(numbers) & pool).sum()) for one in selections]
        progress(batch.rows)
    return [int(n) for n in found]


@dataclass(frozen=True)
class RankedScore:
    """The score at a rank.

    Attributes
    ----------
    score : float
        In double precision.
    kept : int
        Rows kept with it as the threshold.
    below : float
        No score is between this and ``score``; -inf if there is none below.
    """

    score: float
    kept: int
    below: float


def highest_keeping(
    table: PairTable, curves: PairCurves, selection: PairSelection, rows: int, errors: list[str]
) -> RankedScore | None:
    """Return the highest score of the first column, or sum, that keeps at least some rows.

    Parameters
    ----------
    table : PairTable
    curves : PairCurves
        Of the table, under the same conditions.
    selection : PairSelection
        Its first threshold is ignored; the second one, of ``and`` and ``or``, holds.
    rows : int
        At least 1.
    errors : list of str
        Receives a line for each file that cannot be read completely.

    Returns
    -------
    RankedScore or None
        None if all scores together do not keep so many, or if no score is needed for it.
    """
    always = _kept_by_other(table, selection, errors)
    if rows <= always:
        return None
    low, high = _between(table, curves, selection, rows - always, errors)
    ranked, above = _DistinctScores(), 0
    for _, batch in selected_batches(table, selection, errors):
        values = deciding(selection, selection.numbers(batch, table.layout))
        pool = admitted(batch, selection.where, table.layout) & downloaded(batch)
        with np.errstate(invalid="ignore"):
            above += int((pool & (values > high)).sum())
            ranked.add(values[pool & (values >= low) & (values <= high)])
    scores, counts = ranked.found()
    kept = always + above + np.cumsum(counts[::-1])[::-1]
    enough = np.flatnonzero(kept >= rows)
    if not len(enough):
        return None
    at = int(enough[-1])
    below = float(scores[at - 1]) if at else low
    return RankedScore(float(scores[at]), int(kept[at]), below)


def _kept_by_other(table: PairTable, selection: PairSelection, errors: list[str]) -> int:
    """Return the rows that the second score of ``or`` keeps by itself."""
    if selection.together != "or":
        return 0
    other = selection.alone(selection.scores[1], selection.thresholds[1])
    return count_kept(table, [other], errors)[0]


def _between(
    table: PairTable, curves: PairCurves, selection: PairSelection, rows: int, errors: list[str]
) -> tuple[float, float]:
    """Return two values between which the score is that keeps so many rows.

    They are a step of the grid apart from it, since a comparison may round the threshold.
    """
    columns, together = selection.scores, selection.together
    if together in ("one", "sum"):
        kept = curves.curve(columns, together)
    else:  # the threshold of the other score need not be a step of its grid
        kept = _counted(table, selection, curves, errors)
    grid = curves.thresholds(columns, together)
    enough = np.flatnonzero(kept >= rows)
    step = int(enough[-1]) if len(enough) else -1
    low = float(grid[step - 1]) if step > 0 else -np.inf
    return low, float(grid[step + 2]) if step + 2 < len(grid) else np.inf


def _counted(
    table: PairTable, selection: PairSelection, curves: PairCurves, errors: list[str]
) -> Ints:
    """Return the curve of the first score over rows for which it decides."""
    counter = replace(curves.plan, columns=selection.scores[:1], joint=False, where=()).counter()
    for _, batch in selected_batches(table, selection, errors):
        numbers = selection.numbers(batch, table.layout)
        pool = admitted(batch, selection.where, table.layout) & downloaded(batch)
        values = np.where(pool, deciding(selection, numbers), np.nan)
        counter.add([values], [numbers[0].single], [0])
    return counter.tally().columns[0].kept


def deciding(selection: PairSelection, numbers: Sequence[ColumnNumbers]) -> Floats:
    """Return the score that decides about each row; NaN where the other score decides alone."""
    values = np.asarray(numbers[0].values, np.float64)
    if selection.together == "one":
        return values
    if selection.together == "sum":
        return summed(numbers[0].values, numbers[1].values)
    rule, at = selection.rule, selection.thresholds[1]
    other = rule.reached(np.asarray(numbers[1].values, np.float64), at, numbers[1].single)
    decides = other if selection.together == "and" else ~other
    return np.where(decides, values, np.nan)


class _DistinctScores:
    """Distinct scores with their counts, merged now and then."""

    def __init__(self) -> None:
        self._scores, self._counts = np.zeros(0), np.zeros(0, np.int64)
        self._pending: list[NDArray[np.float64]] = []
        self._rows = 0

    def add(self, values: Floats) -> None:
        self._pending.append(values)
        self._rows += len(values)
        if self._rows > _PENDING:
            self._merge()

    def _merge(self) -> None:
        found, counts = np.unique(np.concatenate([np.zeros(0), *self._pending]), return_counts=True)
        scores = np.concatenate([self._scores, found])
        weights = np.concatenate([self._counts, counts])
        self._scores, place = np.unique(scores, return_inverse=True)
        self._counts = np.zeros(len(self._scores), np.int64)
        np.add.at(self._counts, place, weights)
        self._pending, self._rows = [], 0

    def found(self) -> tuple[Floats, Ints]:
        """Return the scores, ascending, and how often each occurs."""
        self._merge()
        return self._scores, self._counts


def shortest(low: float, high: float, rule: KeepRule, single: bool) -> float:
    """Return the decimal with the fewest places that separates two neighboring scores.

    Parameters
    ----------
    low, high : float
        The highest score to drop, and the lowest to keep.
    rule : KeepRule
    single : bool
        Whether the scores are stored in single precision.

    Examples
    --------
    >>> shortest(0.2812, 0.28374, KeepRule(), single=False)
    0.283
    >>> shortest(0.28, 0.29, KeepRule(strict=True), single=False)
    0.28
    """
    exact, largest = Decimal(high), Decimal(sys.float_info.max)
    exact = max(min(exact, largest), -largest)
    for digits in range(18):
        unit = Decimal(1).scaleb(-digits)
        value = exact.quantize(unit, ROUND_FLOOR, _ALL_DIGITS)
        value -= unit if rule.strict and value == exact else 0
        found = float(value)
        at = float(rule.compared(found, single))
        if (low <= at < high) if rule.strict else (low < at <= high):
            return found
    return low if rule.strict else high


def by_share(
    table: PairTable,
    curves: PairCurves,
    selection: PairSelection,
    rows: int,
    target: str,
    errors: list[str],
) -> Proposal:
    """Suggest the highest threshold that keeps at least some rows.

    Parameters
    ----------
    table, curves, selection, rows, errors
        As for `highest_keeping`.
    target : str
        What was asked for, in words.
    """
    found = highest_keeping(table, curves, selection, max(rows, 1), errors)
    if found is None:
        return Proposal(Basis.YIELD, target, ASSUMPTION, reason=_unreached(curves, selection, rows))
    single = is_single(table, selection)
    threshold = shortest(found.below, found.score, selection.rule, single)
    return Proposal(Basis.YIELD, target, ASSUMPTION, threshold, kept={"pairs": float(found.kept)})


def _unreached(curves: PairCurves, selection: PairSelection, rows: int) -> str:
    if selection.together == "or":
        return "the other score alone keeps that much, or both together keep less"
    return f"fewer than {rows:,} rows have a score that can be kept"


def is_single(table: PairTable, selection: PairSelection) -> bool:
    """Whether the deciding score is stored in single precision, by the first rows."""
    if selection.together == "sum":
        return False
    for _, batch in selected_batches(table, selection, []):
        return selection.numbers(batch, table.layout)[0].single
    return False


def by_fraction(
    table: PairTable,
    curves: PairCurves,
    selection: PairSelection,
    fraction: float,
    errors: list[str],
) -> Proposal:
    """Suggest the threshold of DataComp's ``--fraction``.

    Its rule (``get_threshold`` in baselines/apply_filter.py): of all N scores in descending order,
    missing ones last, the one at position ⌊N · fraction⌋, counted from 0. So it keeps at least one
    row more than ⌊N · fraction⌋, and all rows with an equal score.

    Parameters
    ----------
    table, curves, selection, errors
        As for `highest_keeping`.
    fraction : float
        From 0 to below 1.
    """
    position = int(curves.tally.pool * fraction)
    target = f"fraction {fraction:g}, as DataComp"
    found = highest_keeping(table, curves, selection, position + 1, errors)
    if found is None:
        reason = f"only {curves.tally.pool:,} rows, and fewer with a score than {position + 1:,}"
        return Proposal(Basis.YIELD, target, ASSUMPTION, reason=reason)
    kept = {"pairs": float(found.kept)}
    return Proposal(Basis.YIELD, target, ASSUMPTION, found.score, kept=kept)
