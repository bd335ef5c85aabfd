"""Precision of a table's scores from labels: of the score by which rows were drawn, and of others.

Labels drawn within strata of one score are also a sample of what another score keeps, with known
inclusion probabilities: of the rows of a stratum that the other score keeps, those labeled were
drawn at random, and the joint histogram of both scores says how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mmc4viz.arrays import Bools, Floats, Ints
from mmc4viz.pairs.choose import is_single
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.histogram import grid_of
from mmc4viz.pairs.labels.population import (
    RowPopulation,
    StratumCounts,
    TableFiles,
    strata_of_codes,
)
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.rows.examples import PairRow, rows_at
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.pairs.table import PairTable
from mmc4viz.thresholds.compare.frontier import Frontier, FrontierLine
from mmc4viz.thresholds.compare.roc import FEWEST
from mmc4viz.thresholds.labels import queue, sampling, store
from mmc4viz.thresholds.labels.precision import StratifiedSample, account, curve, propose
from mmc4viz.thresholds.labels.sampling import Design
from mmc4viz.thresholds.labels.store import LabelsError, PairId
from mmc4viz.thresholds.proposal import Proposal

ASSUMPTION: Final = (
    "Assumes random sampling within score strata and correct labels. Labels of rows with the same "
    "id count as one. Thresholds are tested from the highest down, each at 95% confidence, until "
    "one fails. The lower bound is one-sided."
)
_POINTS: Final = 60  # thresholds of a drawn line


@dataclass(frozen=True, eq=False)
class RowSample(StratifiedSample):
    """A labeled stratified sample of a table's rows.

    Attributes
    ----------
    strata : StratumCounts
        Rows by stratum and score. A stratum without labels has rows that could not be drawn.
    drawn_from : ndarray of int64, shape (n,)
        The stratum of each label.
    edges, score, correct, cluster
        As of `StratifiedSample`; scores are rounded down to the grid.
    """

    strata: StratumCounts
    drawn_from: Ints
    edges: Floats
    score: Floats
    correct: Bools
    cluster: Ints | None = None

    @property
    def stratum(self) -> Ints:
        """The stratum of each label, shape (n,)."""
        return self.drawn_from

    @property
    def population(self) -> Ints:
        """Rows of each stratum, shape (H,)."""
        return self.strata.sizes

    def pairs_above(self, thresholds: Floats) -> Ints:
        """Return rows by stratum at or above thresholds of the grid, shape (K, H)."""
        return self.strata.above(thresholds)


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The labeled rows of a table, with an account of every label and every drawn row.

    Attributes
    ----------
    design : Design
    sample : RowSample
        Drawn rows labeled correct or incorrect.
    pairs : tuple of PairId
        Which they are, in the sample's order.
    drawn, waiting, unsure, disagreed, gone, elsewhere, foreign
        As of `mmc4viz.thresholds.labels.precision.Labelled`.
    """

    design: Design
    sample: RowSample
    pairs: tuple[PairId, ...]
    drawn: int
    waiting: int
    unsure: int
    disagreed: int
    gone: tuple[PairId, ...]
    elsewhere: int
    foreign: int


def labelled_rows(path: str, design: Design, population: RowPopulation) -> LabelledRows:
    """Join a file's labels with a table.

    Parameters
    ----------
    path : str
    design : Design
        The sample.
    population : RowPopulation
        Of the same score and conditions.

    Raises
    ------
    LabelsError
        If the file cannot be read.
    """
    said = store.labels_of(store.read(path))
    drawn = {one.pair: one.score for one in queue.drawn(path, design)}
    scores = population.scores_of(drawn)
    present = {pair for pair in said.keys() | drawn.keys() if population.locate(pair) is not None}
    pairs = sorted(p for p in scores.keys() & said.keys() if said[p].correct is not None)
    score = np.array([scores[pair] for pair in pairs], np.float64)
    edges = design.borders
    sample = RowSample(
        population.counts(edges),
        np.searchsorted(edges, score, side="right").astype(np.int64),
        edges,
        score,
        np.array([said[pair].correct is True for pair in pairs], bool),
        _clusters(pairs, drawn.keys()),
    )
    counted = account(said, drawn.keys(), present, population.files.holds)
    return LabelledRows(design, sample, tuple(pairs), **counted)


def _clusters(pairs: Sequence[PairId], drawn: Iterable[PairId]) -> Ints:
    """Return a number for each row, the same for rows with the same id."""
    names = {pair: pair.key or f"{pair.content}/{pair.number}" for pair in drawn}
    _, place = np.unique([names[pair] for pair in pairs] or [""], return_inverse=True)
    return np.asarray(place[: len(pairs)], np.int64)


def labels_for(path: str, population: RowPopulation) -> LabelledRows:
    """Find the sample of a table and a score in a label file, and join its labels.

    Raises
    ------
    LabelsError
        If the file has none; the message says which it has.
    """
    found = sampling.find_design(path, population.key)
    if found is not None:
        return labelled_rows(path, found, population)
    table, score, _, rule = population.key
    others = [one for one in sampling.designs(path) if one.corpus == table]
    held = ", ".join(f"{one.clip_model} ({one.assignment})" for one in others)
    tail = "label pairs of this table on the Label page"
    if held:
        tail = f"it has: {held}; give that score and those conditions, or label pairs for these"
    raise LabelsError(f"{path} has no labels for {score} ({rule}); {tail}")


def by_precision_of_rows(sample: RowSample, wanted: float) -> Proposal:
    """Suggest the lowest threshold shown to have at least the target precision.

    By `mmc4viz.thresholds.labels.precision.propose`, with the rows that it keeps.

    Parameters
    ----------
    sample : RowSample
    wanted : float
        The target, from 0 to 1.

    Raises
    ------
    ConfigError
        If the target is not between 0 and 1.
    """
    found = replace(propose(sample, wanted), assumption=ASSUMPTION)
    if found.threshold is None:
        return found
    kept = int(sample.pairs_above(np.array([found.threshold])).sum())
    return found.leaving({"pairs": float(kept)})


def rows_of_pairs(
    table: PairTable, selection: PairSelection, files: TableFiles, pairs: Sequence[PairId]
) -> dict[PairId, PairRow]:
    """Read rows of a table by their identity; those that are not here are left out."""
    places: dict[int, dict[int, PairId]] = {}
    for pair in pairs:
        if (place := files.place(pair)) is not None:
            places.setdefault(place[0], {})[place[1]] = pair
    found = dict[PairId, PairRow]()
    for file, rows in places.items():
        for row in rows_at(table, selection, files.paths[file], list(rows)):
            found[rows[row.number]] = row
    return found


def by_other_score(
    found: LabelledRows,
    population: RowPopulation,
    curves: PairCurves,
    other: ScoreColumn,
) -> RowSample:
    """Return the labels as a sample of what another score keeps.

    Parameters
    ----------
    found : LabelledRows
        Drawn by one score.
    population : RowPopulation
        From which they were drawn.
    curves : PairCurves
        In which both scores were counted together.
    other : ScoreColumn

    Raises
    ------
    ShardError
        If a labeled row cannot be read.
    """
    first, drawn = population.selection.scores[0], found.sample
    joint = curves.histogram_of_both((first, other))
    stratum = strata_of_codes(population.grid, drawn.edges)
    # The last stratum has the rows that only the other score has: none of them can be drawn.
    rows = np.stack([joint[stratum == h].sum(0) for h in (*range(len(drawn.edges) + 1), -1)])
    selection = PairSelection((other,), (0.0,), "one", (), population.selection.rule)
    read = rows_of_pairs(population.table, selection, population.files, found.pairs)
    there = np.array([pair in read for pair in found.pairs], bool)
    scores = np.array([read[pair].scores[0] for pair in found.pairs if pair in read], np.float64)
    single = is_single(population.table, selection)
    codes = grid_of(other.scale, selection.rule, single).codes(scores)
    grid = other.scale.thresholds()
    reached = np.where(codes > 0, grid[np.maximum(codes - 1, 0)], -np.inf)
    cluster = None if drawn.cluster is None else drawn.cluster[there]
    return RowSample(
        StratumCounts(grid, rows), drawn.drawn_from[there], drawn.edges, reached,
        drawn.correct[there], cluster,
    )  # fmt: skip


def precision_line(
    name: str, sample: RowSample, kept: Ints, threshold: float, rests_on: str
) -> FrontierLine:
    """Return what a score buys: rows kept, and their precision where there are enough labels.

    Parameters
    ----------
    name : str
    sample : RowSample
        Of that score.
    kept : ndarray of int64, shape (K,)
        Rows kept at every threshold of its grid.
    threshold : float
        The one chosen, of the grid.
    rests_on : str
    """
    grid = sample.strata.thresholds
    used = np.flatnonzero((kept > 0) & (kept < kept[0]))
    first, last = (int(used[0]), int(used[-1])) if len(used) else (0, 0)
    steps = np.linspace(first, last, _POINTS).round().astype(np.int64)
    steps = np.union1d(steps, np.searchsorted(grid, threshold - 1e-9))
    found = curve(sample, grid[steps])
    known = found.labels >= FEWEST
    rates = (found.precision.estimate, found.precision.low, found.precision.high)
    value, low, high = (np.where(known, one, np.nan) for one in rates)
    at = float(grid[np.searchsorted(grid, threshold - 1e-9)])
    return FrontierLine(
        name, grid[steps], kept[steps].astype(np.float64), value, low, high, (at,), rests_on
    )


def frontier_of(lines: Sequence[FrontierLine]) -> Frontier:
    """Return the frontier of several scores of a table; shares are of the most that one keeps."""
    most = max((float(line.kept.max(initial=0.0)) for line in lines), default=0.0)
    return Frontier("pairs", "precision", most, tuple(lines))
