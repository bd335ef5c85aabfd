"""The rows of a table from which labels are drawn, within strata of a score.

How many rows a stratum has, and how many of them are above a threshold, comes from the exact
histogram. The rows themselves come from one pass over the table: each has a permanent random number
derived from its id, and those with the lowest numbers of each stratum are remembered. So the same
rows are drawn whatever the order of the files, and for every score of the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.storage import fingerprint, parts_of_local
from mmc4viz.pairs.choose import deciding, selected_batches
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.histogram import grid_of
from mmc4viz.pairs.layout import KeepRule
from mmc4viz.pairs.selection import PairSelection, admitted, downloaded
from mmc4viz.pairs.table import PairTable, as_text, text_of
from mmc4viz.thresholds.labels.sampling import (
    Design,
    DesignKey,
    DrawCandidate,
    begin_with,
    counted_edges,
    scrambled,
)
from mmc4viz.thresholds.labels.store import PairId, hashed

_DEPTH: Final = 256  # rows remembered per stratum, at first
_WITHIN: Final = (0.95, 0.05)  # shares kept at the ends of the default threshold range

RowLots = NDArray[np.uint64]


@dataclass(frozen=True)
class TableFiles:
    """The files of a table, identified by content, wherever they are.

    Attributes
    ----------
    paths : tuple of str
    """

    paths: tuple[str, ...]

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """A digest of each file (`mmc4viz.data.storage.fingerprint`); repeats get a number."""
        found, times = list[str](), dict[str, int]()
        for path in self.paths:
            known = fingerprint(path)
            parts = parts_of_local(known)
            text = known if parts is None else f"{parts[0]}:{parts[2]}"  # not its time
            digest = blake2b(text.encode(), digest_size=12).hexdigest()
            times[digest] = times.get(digest, 0) + 1
            found.append(digest if times[digest] == 1 else f"{digest}+{times[digest] - 1}")
        return tuple(found)

    @cached_property
    def digest(self) -> str:
        """A digest that identifies the table, whatever the order of its files."""
        return blake2b("\n".join(sorted(self.contents)).encode(), digest_size=16).hexdigest()

    @cached_property
    def _places(self) -> dict[str, int]:
        return {content: place for place, content in enumerate(self.contents)}

    def holds(self, content: str) -> bool:
        """Whether a file has this content."""
        return content in self._places

    def place(self, pair: PairId) -> tuple[int, int] | None:
        """Return the file of a row, by its position in the table, and the row there."""
        at = self._places.get(pair.content)
        return None if at is None or pair.number < 0 else (at, pair.number)


@dataclass(frozen=True, eq=False)
class StratumCounts:
    """Rows by stratum and by the number of thresholds of a grid that their score reaches.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (K,)
        The grid.
    rows : ndarray of int64, shape (H, K + 1)
    """

    thresholds: Floats
    rows: Ints

    @property
    def sizes(self) -> Ints:
        """The rows of each stratum, shape (H,)."""
        return np.asarray(self.rows.sum(1), np.int64)

    def above(self, thresholds: Floats) -> Ints:
        """Return the rows of each stratum that reach thresholds of the grid, shape (K, H)."""
        steps = np.searchsorted(self.thresholds, np.asarray(thresholds) - 1e-9)
        return self._kept[:, steps].T

    @cached_property
    def _kept(self) -> Ints:
        kept = np.cumsum(self.rows[:, ::-1], axis=1)[:, ::-1][:, 1:]
        return np.pad(kept, ((0, 0), (0, 1)))


def strata_of_codes(grid: Floats, edges: Floats) -> Ints:
    """Return the stratum of each code of a grid, shape (K + 1,).

    A code is the number of thresholds that a score reaches. That of scores below the grid, and of
    rows without a score, is of no stratum: -1.

    Examples
    --------
    >>> strata_of_codes(np.array([0.1, 0.2, 0.3]), np.array([0.2]))
    array([-1,  0,  1,  1])
    """
    found = np.searchsorted(edges, grid, side="right")
    return np.concatenate([[-1], found]).astype(np.int64)


def labeled_selection(selection: PairSelection) -> PairSelection:
    """Return the score by which labels are drawn: the first, or the sum of two."""
    if selection.together == "sum":
        return selection.at(0.0)
    return selection.alone(selection.scores[0])


@dataclass(frozen=True, eq=False)
class RowPopulation:
    """The rows of a table with a score.

    Scores are rounded down to the grid, so that comparing them with its thresholds is what the
    table's rule says, whatever its precision.

    Attributes
    ----------
    table : PairTable
    curves : PairCurves
        Of the table, under the same conditions.
    selection : PairSelection
        One score, or the sum of two (`labeled_selection`).
    files : TableFiles
    progress : callable
        Called with the number of rows read since the last call.
    errors : list of str
        Receives a line for each file that cannot be read completely.
    """

    table: PairTable
    curves: PairCurves
    selection: PairSelection
    files: TableFiles
    progress: Callable[[int], object] = lambda _: None
    errors: list[str] = field(default_factory=list)
    _drawn: dict[tuple[float, ...], tuple[int, list[list[DrawCandidate]]]] = field(
        default_factory=dict, repr=False
    )

    @cached_property
    def grid(self) -> Floats:
        """The thresholds of the score, shape (K,)."""
        return np.asarray(self.selection.scale.thresholds(), np.float64)

    @cached_property
    def histogram(self) -> Ints:
        """Rows by the number of thresholds that their score reaches, shape (K + 1,)."""
        if self.selection.together == "sum":
            assert self.curves.tally.sums is not None
            return self.curves.tally.sums
        return self.curves.of(self.selection.scores[0]).histogram

    def __len__(self) -> int:
        return int(self.histogram[1:].sum())

    @property
    def key(self) -> DesignKey:
        """What a sample of these rows belongs to: the table, the score, the rule and conditions."""
        conditions = " and ".join(map(str, self.selection.where)) or "all rows"
        rule = f"{conditions}, {self.selection.rule.sign}"
        return self.files.digest, self.selection.name, 0, rule

    def usual_range(self) -> tuple[float, float]:
        """Return the default threshold range: the thresholds that keep 95% and 5% of the rows."""
        kept = np.cumsum(self.histogram[::-1])[::-1][1:]
        steps = [int(np.flatnonzero(kept >= share * len(self))[-1]) for share in _WITHIN]
        return float(self.grid[steps[0]]), float(self.grid[steps[1]])

    def begin(self, path: str, between: tuple[float, float] | None = None) -> Design:
        """Begin the sample of these rows in a label file, or return the existing one.

        Parameters
        ----------
        path : str
        between : (float, float), optional
            The threshold range; `usual_range` by default.

        Raises
        ------
        LabelsError
            If there are too few rows, or the file cannot be written.
        """
        low, high = between or (self.usual_range() if len(self) else (0.0, 0.0))
        scale, counts = self.selection.scale, self.counts(np.zeros(0))

        def kept(threshold: float) -> int:
            return int(counts.above(np.array([threshold])).sum())

        edges = counted_edges(kept, low, high, scale.step, scale.digits)
        edges = edges[(edges > self.grid[0]) & (edges <= self.grid[-1])]
        return begin_with(path, self.key, edges, (low, high), len(self))

    def counts(self, edges: Floats) -> StratumCounts:
        """Return the rows of each stratum by score."""
        stratum = strata_of_codes(self.grid, edges)
        rows = np.where(stratum == np.arange(len(edges) + 1)[:, None], self.histogram, 0)
        return StratumCounts(self.grid, rows)

    def strata(self, edges: Floats) -> Ints:
        """Count the rows of each stratum, shape (B + 1,)."""
        return self.counts(edges).sizes

    def above(self, edges: Floats, thresholds: Floats) -> Ints:
        """Count the rows of each stratum at or above each threshold, shape (K, B + 1)."""
        return self.counts(edges).above(thresholds)

    def scores_of(self, drawn: Mapping[PairId, float]) -> dict[PairId, float]:
        """Return the scores of those drawn rows whose file is here."""
        return {pair: score for pair, score in drawn.items() if self.files.holds(pair.content)}

    def prepare(self, edges: Floats, n: int) -> list[list[DrawCandidate]]:
        """Return at least n rows of each stratum, or all; reads the table unless they are known.

        A label file is locked while pairs are drawn, so rows are read before.
        """
        key = tuple(edges.tolist())
        depth, found = self._drawn.get(key, (0, []))
        if n > depth and (not found or any(len(rows) == depth for rows in found)):
            depth = max(_DEPTH, 2 * n)
            found = draw_rows(self, edges, depth)
            self._drawn[key] = depth, found
        return found

    def candidates(self, edges: Floats, stratum: int, n: int) -> list[DrawCandidate]:
        """Return the n rows of a stratum with the lowest random numbers, lowest first."""
        return self.prepare(edges, n)[stratum][:n]

    def locate(self, pair: PairId) -> tuple[int, int] | None:
        """Return the file of a row, by its position in the table, and the row there."""
        return self.files.place(pair)


def draw_rows(population: RowPopulation, edges: Floats, depth: int) -> list[list[DrawCandidate]]:
    """Return the rows of each stratum with the lowest random numbers, in one pass over the table.

    Parameters
    ----------
    population : RowPopulation
    edges : ndarray of float64, shape (B,)
    depth : int
        Most rows per stratum; the memory needed is in proportion.
    """
    table, selection = population.table, population.selection
    name = table.layout.column_of("id", table.first.columns)
    scale, stratum_of = selection.scale, strata_of_codes(population.grid, edges)
    heaps = [_Lowest(depth) for _ in range(len(edges) + 1)]
    content_of = dict(zip(population.files.paths, population.files.contents, strict=True))
    more = [] if name is None else [name]
    for path, batch in selected_batches(table, selection, population.errors, more):
        numbers = selection.numbers(batch, table.layout)
        rule = KeepRule(selection.rule.strict) if selection.together == "sum" else selection.rule
        codes = grid_of(scale, rule, numbers[0].single).codes(deciding(selection, numbers))
        pool = admitted(batch, selection.where, table.layout) & downloaded(batch)
        at = np.flatnonzero(pool & (codes > 0))
        ids = batch.columns[name].take(pa.array(at)) if name in batch.columns else None
        lots = row_lots(ids, content_of[path], batch.start + at)
        stratum = stratum_of[codes[at]]
        for h, heap in enumerate(heaps):
            mine = heap.wanted(lots, np.flatnonzero(stratum == h))
            scores = population.grid[codes[at[mine]] - 1]
            names = ["" if ids is None else text_of(ids[k]) or "" for k in mine.tolist()]
            file = os.path.basename(path), content_of[path]
            heap.add(lots[mine], file, batch.start + at[mine], scores, names)
        population.progress(batch.rows)
    return [heap.found() for heap in heaps]


def row_lots(ids: pa.Array | None, content: str, rows: Ints) -> RowLots:
    """Return the permanent random number of each row, from its id.

    Parameters
    ----------
    ids : pyarrow.Array or None
    content : str
        The file's digest, for rows without an id.
    rows : ndarray of int64
        Their positions in the file.
    """
    file = hashed(pa.array([content]))
    found = scrambled(scrambled(file + rows.astype(np.uint64)))
    if ids is not None:
        text = as_text(ids)
        there = np.flatnonzero(~np.asarray(text.is_null().to_numpy(zero_copy_only=False)))
        found[there] = scrambled(scrambled(hashed(text.take(pa.array(there)))))
    return found


class _Lowest:
    """The rows with the lowest random numbers so far; equal ones by their place."""

    def __init__(self, depth: int) -> None:
        self.depth, self.limit = depth, np.uint64(2**64 - 1)
        self._rows = list[tuple[int, str, int, float, str, str]]()

    def wanted(self, lots: RowLots, among: Ints) -> Ints:
        """Return which of some rows may be among the lowest."""
        among = among[lots[among] <= self.limit]
        if len(among) <= self.depth:
            return among
        last = np.partition(lots[among], self.depth - 1)[self.depth - 1]
        lowest: Ints = among[lots[among] <= last]
        return lowest

    def add(
        self, lots: RowLots, file: tuple[str, str], rows: Ints, scores: Floats, names: list[str]
    ) -> None:
        """Add rows of a file, given by its name and its content."""
        each = zip(lots.tolist(), rows.tolist(), scores.tolist(), names, strict=True)
        self._rows += [(lot, file[1], row, score, file[0], name) for lot, row, score, name in each]
        if len(self._rows) > 2 * self.depth:
            self._cut()

    def _cut(self) -> None:
        self._rows = sorted(self._rows)[: self.depth]
        if len(self._rows) == self.depth:
            self.limit = np.uint64(self._rows[-1][0])

    def found(self) -> list[DrawCandidate]:
        """Return the rows, lowest first."""
        self._cut()
        return [
            DrawCandidate(PairId(base, name, 0, 0, content, row), score, lot)
            for lot, content, row, score, base, name in self._rows
        ]
