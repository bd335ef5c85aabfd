"""Rows of a table to look at: the first ones, and those nearest to a threshold."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mmc4viz.pairs.choose import selected_batches
from mmc4viz.pairs.layout import UNKNOWN
from mmc4viz.pairs.selection import BELOW, FILTERED, NO_SCORE, PairSelection
from mmc4viz.pairs.table import PairTable, TableBatch, text_of
from mmc4viz.text import json_number

_ROLES = ("id", "url", "text")


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
        yield from _rows(table, selection, path, batch, np.arange(batch.rows), margins)


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
    numbers = [one.values for one in selection.numbers(batch, table.layout)]
    statuses = selection.statuses(batch, table.layout)
    met = [one.met(batch, table.layout) for one in selection.where]
    names = {role: table.layout.column_of(role, batch.columns) for role in _ROLES}
    for at in chosen.tolist():
        texts = {
            role: (text_of(batch.columns[name][at]) or "") if name else ""
            for role, name in names.items()
        }
        scores = tuple(float(one[at]) for one in numbers)
        unmet = [str(one) for one, found in zip(selection.where, met, strict=True) if not found[at]]
        reason = _reason(selection, statuses[at], scores, unmet)
        yield PairRow(
            path, batch.start + at, **texts, scores=scores, margin=float(margins[at]),
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


def rows_near(
    table: PairTable, selection: PairSelection, most: int, errors: list[str], enough: float = 0.0
) -> list[PairRow]:
    """Return the rows whose scores are nearest to the threshold, half of them on either side.

    Parameters
    ----------
    table : PairTable
    selection : PairSelection
    most : int
        How many at most.
    errors : list of str
        Receives a line for each file that cannot be read completely.
    enough : float
        Reading stops once so many rows are within this distance of the threshold.

    Returns
    -------
    list of PairRow
        From the highest to the lowest score; of equally near ones, the first in the table.
    """
    half = max(most // 2, 1)
    best: tuple[list[Any], list[Any]] = ([], [])  # heaps of (-distance, -order, row)
    order = 0
    for path, batch in selected_batches(table, selection, errors, _columns(table)):
        margins = selection.decisive(selection.numbers(batch, table.layout))
        statuses = np.array(selection.statuses(batch, table.layout), object)
        admitted = (statuses != FILTERED) & ~np.isnan(margins)
        for side, heap in zip((margins >= 0, margins < 0), best, strict=True):
            at = np.flatnonzero(side & admitted)
            distance = np.abs(margins[at])
            limit = -heap[0][0] if len(heap) == half else np.inf
            at = at[distance < limit]
            nearest = at[np.argsort(np.abs(margins[at]), kind="stable")[:half]]
            for row in _rows(table, selection, path, batch, nearest, margins):
                item = (-abs(row.margin), -order, row)
                order += 1
                (heapq.heappushpop if len(heap) == half else heapq.heappush)(heap, item)
        if enough and all(len(heap) == half and -heap[0][0] <= enough for heap in best):
            break
    found = [row for heap in best for _, _, row in heap]
    return sorted(found, key=lambda row: (-row.margin, row.path, row.number))


def first_rows(
    table: PairTable, selection: PairSelection, most: int, errors: list[str]
) -> list[PairRow]:
    """Return the first rows of a table."""
    return list(islice(rows_of(table, selection, errors), most))


def named_model(model: str) -> str:
    """Return a CLIP model's name as shown."""
    return model if model and model != UNKNOWN else "unknown CLIP model"
