"""Rows of a table to look at: the first ones, and those nearest to a threshold."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.pairs.choose import deciding, selected_batches
from mmc4viz.pairs.layout import UNKNOWN
from mmc4viz.pairs.selection import (
    BELOW,
    FILTERED,
    NO_SCORE,
    PairSelection,
    admitted,
    downloaded,
)
from mmc4viz.pairs.table import (
    ColumnNumbers,
    PairTable,
    TableBatch,
    batches,
    open_file,
    row_groups,
    text_of,
)
from mmc4viz.text import json_number

_ROLES = ("id", "url", "text")
_BLOCK = 1024  # rows made at a time


@dataclass(frozen=True)
class PairRow:
    """A row of a table.

    Attributes
    ----------
    path : str
        The file.
    number : int
        Position in the file, from 0.
    id, url, text : str
        Empty if there is none.
    scores : tuple of float
        One per score of the selection; NaN if missing.
    margin : float
        By how much it is above the thresholds; below 0 if dropped, NaN without a score.
    status : str
        What happens to it.
    reason : str
        Why it is not kept; empty if it is.
    """

    path: str
    number: int
    id: str
    url: str
    text: str
    scores: tuple[float, ...]
    margin: float
    status: str
    reason: str

    def as_dict(self, selection: PairSelection) -> dict[str, Any]:
        """Return it as plain values, with each score under its column's name."""
        scores = {
            column.name: json_number(value)
            for column, value in zip(selection.scores, self.scores, strict=True)
        }
        texts = {name: getattr(self, name) or None for name in _ROLES}
        return {"file": self.path, "row": self.number, **texts, **scores,
                "status": self.status, "reason": self.reason or None}  # fmt: skip


def rows_of(table: PairTable, selection: PairSelection, errors: list[str]) -> Iterator[PairRow]:
    """Yield the rows of a table, in order, with what happens to each.

    Parameters
    ----------
    table : PairTable
    selection : PairSelection
    errors : list of str
        Receives a line for each file that cannot be read completely.
    """
    for path, batch in selected_batches(table, selection, errors, _columns(table)):
        margins = selection.decisive(selection.numbers(batch, table.layout))
        for start in range(0, batch.rows, _BLOCK):
            block = np.arange(start, min(start + _BLOCK, batch.rows))
            yield from _rows(table, selection, path, batch, block, margins)


def _columns(table: PairTable) -> list[str]:
    columns = table.first.columns
    found = (table.layout.column_of(role, columns) for role in _ROLES)
    return [name for name in found if name is not None]


def _rows(
    table: PairTable,
    selection: PairSelection,
    path: str,
    batch: TableBatch,
    chosen: Any,
    margins: Any,
) -> Iterator[PairRow]:
    batch, start = batch.take(chosen), batch.start
    margins = margins[chosen]
    numbers = [one.values for one in selection.numbers(batch, table.layout)]
    statuses = selection.statuses(batch, table.layout)
    met = [one.met(batch, table.layout) for one in selection.where]
    names = {role: table.layout.column_of(role, batch.columns) for role in _ROLES}
    for at, place in enumerate(chosen.tolist()):
        texts = {
            role: (text_of(batch.columns[name][at]) or "") if name else ""
            for role, name in names.items()
        }
        scores = tuple(float(one[at]) for one in numbers)
        unmet = [str(one) for one, found in zip(selection.where, met, strict=True) if not found[at]]
        reason = _reason(selection, statuses[at], scores, unmet)
        yield PairRow(
            path, start + place, **texts, scores=scores, margin=float(margins[at]),
            status=statuses[at], reason=reason,
        )  # fmt: skip


def _reason(
    selection: PairSelection, status: str, scores: tuple[float, ...], unmet: list[str]
) -> str:
    """Return in a few words why a row is not kept."""
    if status == FILTERED:
        return f"not {', not '.join(unmet)}"
    if status == NO_SCORE:
        return "its score is missing or no number"
    if status != BELOW:
        return ""
    sign = "≤" if selection.rule.strict else "<"
    if selection.together == "sum":
        return f"{sum(scores):.9g} {sign} {selection.thresholds[0]!r}"
    below = [
        f"{score:.9g} {sign} {at!r}"
        for column, score, at in zip(selection.scores, scores, selection.thresholds, strict=True)
        if not selection.rule.reached(np.array(score), at, single=True)
    ]
    return f" {'and' if selection.together == 'or' else 'or'} ".join(below)


@dataclass(frozen=True)
class NearRows:
    """Which rows nearest to a threshold are wanted.

    Attributes
    ----------
    most : int
        How many on each side.
    enough : float
        Reading stops once so many on each side are within this distance of the threshold.
    bounds : (float or None, float or None)
        Scores that are looked at, from the first to below the second; None is an open end.
    by_first : bool
        Whether distances are those of the first of two scores, among the rows that it decides
        about; else those of the score that decides about each row.
    """

    most: int
    enough: float = 0.0
    bounds: tuple[float | None, float | None] = (None, None)
    by_first: bool = False

    def margins(self, selection: PairSelection, numbers: Sequence[ColumnNumbers]) -> Floats:
        """Return by how much each row is above the threshold; NaN for those not looked at."""
        if self.by_first and selection.together != "sum":
            at = selection.thresholds[0]
            compared = float(selection.rule.compared(at, numbers[0].single))
            found = deciding(selection, numbers) - compared
        else:
            found = selection.decisive(numbers)
        low, high = self.bounds
        scores = found + selection.thresholds[0]
        outside = np.zeros(len(found), bool)
        outside |= (scores < low) if low is not None else False
        outside |= (scores >= high) if high is not None else False
        return np.where(outside, np.nan, found)


def rows_near(
    table: PairTable, selection: PairSelection, wanted: NearRows, errors: list[str]
) -> list[PairRow]:
    """Return the rows whose scores are nearest to the threshold, as many on either side.

    The scores of all rows are read first, then the texts of those found.

    Parameters
    ----------
    table : PairTable
    selection : PairSelection
    wanted : NearRows
    errors : list of str
        Receives a line for each file that cannot be read completely.

    Returns
    -------
    list of PairRow
        From the highest to the lowest score; of equally near ones, the first in the table.
    """
    best: tuple[list[Any], list[Any]] = ([], [])  # heaps of (-distance, -order, path, row)
    order = 0
    for path, batch in selected_batches(table, selection, errors):
        numbers = selection.numbers(batch, table.layout)
        margins = wanted.margins(selection, numbers)
        pool = admitted(batch, selection.where, table.layout) & downloaded(batch)
        kept, looked = selection.reached(numbers), pool & ~np.isnan(margins)
        for side, heap in zip((kept, ~kept), best, strict=True):
            at = np.flatnonzero(side & looked)
            distance = np.abs(margins[at])
            limit = -heap[0][0] if len(heap) == wanted.most else np.inf
            at, distance = at[distance < limit], distance[distance < limit]
            nearest = np.argsort(distance, kind="stable")[: wanted.most]
            for far, row in zip(distance[nearest].tolist(), at[nearest].tolist(), strict=True):
                item = -far, -order, path, batch.start + row
                order += 1
                full = len(heap) == wanted.most
                (heapq.heappushpop if full else heapq.heappush)(heap, item)
        full = all(len(heap) == wanted.most and -heap[0][0] <= wanted.enough for heap in best)
        if wanted.enough and full:
            break
    found = _found(table, selection, [item for heap in best for item in heap])
    return sorted(found, key=lambda row: (-row.margin, row.path, row.number))


_Item = tuple[float, int, str, int]  # a rank, the order, a file and a row


def _found(table: PairTable, selection: PairSelection, items: Sequence[_Item]) -> list[PairRow]:
    """Return the rows of items, file by file."""
    places: dict[str, list[int]] = {}
    for _, _, path, row in items:
        places.setdefault(path, []).append(row)
    return [row for path in places for row in rows_at(table, selection, path, places[path])]


def rows_of_quadrant(
    table: PairTable, selection: PairSelection, quadrant: int, most: int, errors: list[str]
) -> list[PairRow]:
    """Return rows by which of two thresholds they reach, those farthest from both first.

    Parameters
    ----------
    table : PairTable
    selection : PairSelection
        Of two scores with a threshold each.
    quadrant : int
        0 to 3: those that reach both, only the first, only the second, neither.
    most : int
    errors : list of str
        Receives a line for each file that cannot be read completely.
    """
    signs = [1 if quadrant in reached else -1 for reached in ((0, 1), (0, 2))]
    best: list[_Item] = []
    order = 0
    for path, batch in selected_batches(table, selection, errors):
        numbers = selection.numbers(batch, table.layout)
        pool = admitted(batch, selection.where, table.layout) & downloaded(batch)
        each = zip(selection.scores, selection.thresholds, strict=True)
        alone = [selection.alone(one, at) for one, at in each]
        margins = [one.decisive([n]) for one, n in zip(alone, numbers, strict=True)]
        reached = [one.reached([n]) for one, n in zip(alone, numbers, strict=True)]
        inside = pool & ~np.isnan(margins[0] + margins[1])
        for side, sign in zip(reached, signs, strict=True):
            inside &= side if sign > 0 else ~side
        at = np.flatnonzero(inside)
        far = np.minimum(signs[0] * margins[0][at], signs[1] * margins[1][at])
        top = np.argsort(-far, kind="stable")[:most]
        for distance, row in zip(far[top].tolist(), at[top].tolist(), strict=True):
            item = distance, -order, path, batch.start + row
            order += 1
            (heapq.heappushpop if len(best) == most else heapq.heappush)(best, item)
    ranks = {(path, row): (-far, -turn) for far, turn, path, row in best}
    found = _found(table, selection, best)
    return sorted(found, key=lambda row: ranks[row.path, row.number])


def rows_at(
    table: PairTable, selection: PairSelection, path: str, numbers: Sequence[int]
) -> Iterator[PairRow]:
    """Yield rows of a file by their positions, ascending.

    Of Parquet, only the row groups with these rows are read.

    Raises
    ------
    ShardError
        When the file cannot be read.
    """
    file, left = open_file(path), np.array(sorted(numbers), np.int64)
    names = [*selection.columns(file, table.layout), *_columns(table)]
    names = [name for name in dict.fromkeys(names) if name in file.columns]
    ends = np.cumsum(row_groups(file), dtype=np.int64)
    groups = np.unique(np.searchsorted(ends, left, "right")).tolist() if len(ends) else [None]
    for group in groups:
        start = int(ends[group - 1]) if group else 0
        for batch in batches(file, names, None if group is None else [group]):
            here = replace(batch, start=start + batch.start)
            mine = left[(left >= here.start) & (left < here.start + here.rows)] - here.start
            if len(mine):
                margins = selection.decisive(selection.numbers(here, table.layout))
                yield from _rows(table, selection, path, here, mine, margins)
            if here.start + here.rows > left[-1]:
                break


def first_rows(
    table: PairTable, selection: PairSelection, most: int, errors: list[str]
) -> list[PairRow]:
    """Return the first rows of a table."""
    return list(islice(rows_of(table, selection, errors), most))


def named_model(model: str) -> str:
    """Return a CLIP model's name as shown."""
    return model if model and model != UNKNOWN else "unknown CLIP model"
