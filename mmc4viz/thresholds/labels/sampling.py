"""Strata, population and sampling design of pairs to label.

Strata are fixed before the first label. Their borders are the thresholds that labels can evaluate,
so the pairs above each one form whole strata. Labels are allocated in rounds (Neyman allocation):
to the stratum where one more label narrows the interval at the current threshold most, or, without
a current threshold, at all borders as if strata had equal variance. Within a stratum pairs are
drawn at random, so each pair's inclusion probability is known: labels divided by pairs.

Each pair has a permanent random number derived from its name, and the lowest numbers of a stratum
are drawn first. So the same pairs come first whatever the settings, CLIP model or strata, and
labels are reused.

References
----------
Neyman, J. of the Royal Statistical Society 97 (1934). Exact allocation of whole labels: Wright, The
American Statistician 66 (2012). Permanent random numbers: Ohlsson, "Coordination of samples using
permanent random numbers", in Cox et al., Business Survey Methods (1995).
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import Scale
from mmc4viz.sweep.pairs import Pairs
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.store import Documents, LabelsError, PairId, hashed
from mmc4viz.types import LoaderConfig

STRATA: Final = 10  # within the threshold range
FLOOR: Final = 5  # minimum labels per stratum
FEWEST: Final = 30  # minimum pairs per stratum


def stratum_edges(scores: Floats, low: float, high: float, step: float, digits: int) -> Floats:
    """Choose strata borders: evenly spaced thresholds, each stratum with enough pairs.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
        Scores of all matched pairs, ascending.
    low, high : float
        The threshold range.
    step : float
    digits : int
        The grid to which borders are rounded.

    Returns
    -------
    ndarray of float64, shape (B,)
        Ascending; strata are the pairs below the first border, between borders, and from the last
        one up. Empty if there are too few pairs.

    Examples
    --------
    >>> stratum_edges(np.linspace(0, 1, 1001), 0.2, 0.7, 0.01, 2)
    array([0.2 , 0.25, 0.3 , 0.35, 0.4 , 0.45, 0.5 , 0.55, 0.6 , 0.65, 0.7 ])
    """

    def kept(threshold: float) -> int:
        return len(scores) - int(np.searchsorted(scores, threshold, side="left"))

    return counted_edges(kept, low, high, step, digits)


def counted_edges(
    kept: Callable[[float], int], low: float, high: float, step: float, digits: int
) -> Floats:
    """Choose strata borders as `stratum_edges` does, from counts.

    Parameters
    ----------
    kept : callable
        Returns the number of pairs at or above a threshold of the grid.
    low, high, step, digits
        As for `stratum_edges`.
    """
    places = np.linspace(low, high, STRATA + 1)
    rounded = np.unique(np.round(np.round(places / step) * step, digits))
    chosen: list[float] = []
    above_last = 0
    for border in rounded[::-1].tolist():  # from the top, where pairs are few
        reaching = kept(border)
        if reaching - above_last >= FEWEST:
            chosen.append(border)
            above_last = reaching
    return np.array(chosen[::-1], np.float64)


def usual_range(scores: Floats) -> tuple[float, float]:
    """Return the default threshold range: thresholds that keep 95% and 5% of the pairs."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return 0.0, 0.0
    low, high = np.quantile(finite, [0.05, 0.95])
    return float(low), float(high)


def populations(scores: Floats, edges: Floats) -> Ints:
    """Count the pairs of each stratum, shape (B + 1,); scores ascend."""
    cuts = np.searchsorted(scores, edges, side="left")
    return np.diff(np.concatenate([[0], cuts, [len(scores)]])).astype(np.int64)


def above(scores: Floats, edges: Floats, thresholds: Floats) -> Ints:
    """Count the pairs of each stratum at or above each threshold, shape (K, B + 1).

    Examples
    --------
    >>> above(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.3]), np.array([0.15, 0.3]))
    array([[1, 2],
           [0, 2]])
    """
    ends = np.searchsorted(scores, edges, side="left")
    first, last = np.concatenate([[0], ends]), np.concatenate([ends, [len(scores)]])
    cut = np.searchsorted(scores, thresholds, side="left")[:, None]
    over: Ints = np.maximum(last - np.maximum(first, cut), 0)
    return over


def importance(population: Ints, over: Ints) -> Floats:
    """Return the weight of each stratum's variance at some thresholds, shape (H,).

    Parameters
    ----------
    population : ndarray of int64, shape (H,)
    over : ndarray of int64, shape (K, H)
        Pairs at or above each threshold (`above`).
    """
    whole = over.sum(axis=1, keepdims=True)
    share = np.divide(over, whole, out=np.zeros(over.shape), where=whole > 0)
    part = np.divide(over, population, out=np.zeros(over.shape), where=population > 0)
    weights: Floats = (share**2 / np.where(part > 0, part, 1.0)).sum(axis=0)
    return weights


def spread_of(labelled: Ints, right: Ints) -> Floats:
    """Estimate each stratum's label variance from the labels of neighboring strata.

    A stratum's own labels are not used: otherwise a stratum that looks better than it is by chance
    would get fewer labels and stay uncorrected, biasing the estimate. Proportions are shrunk
    towards a half.

    Examples
    --------
    >>> spread_of(np.array([10, 10, 10]), np.array([0, 5, 10])).round(2)
    array([0.25, 0.25, 0.25])
    """
    near = np.convolve(labelled, [1, 0, 1])[1:-1], np.convolve(right, [1, 0, 1])[1:-1]
    proportion = (near[1] + 1) / (near[0] + 2)
    return np.asarray(proportion * (1 - proportion), np.float64)


def allocate(population: Ints, drawn: Ints, value: Floats, n: int, floor: int = FLOOR) -> Ints:
    """Allocate the next labels to strata, each where it narrows the intervals most.

    Parameters
    ----------
    population, drawn : ndarray of int64, shape (H,)
        Number of pairs, and of those drawn so far.
    value : ndarray of float64, shape (H,)
        `importance` times `spread_of`; strata with 0 get no labels.
    n : int
        Number of labels.
    floor : int
        Minimum number of labels of every stratum with a positive value.

    Returns
    -------
    ndarray of int64, shape (H,)
        New labels per stratum; fewer than n in total if there are no more pairs.

    Examples
    --------
    >>> allocate(np.array([1000, 1000]), np.array([0, 0]), np.array([1.0, 4.0]), 30)
    array([10, 20])
    """
    counts = drawn.astype(np.int64)
    for _ in range(n):
        able = (counts < population) & (value > 0)
        if not able.any():
            break
        if (able & (counts < floor)).any():
            able &= counts < floor
            gain = -counts.astype(np.float64)
        else:
            gain = value / np.maximum(counts * (counts + 1), 1)
        counts[int(np.argmax(np.where(able, gain, -np.inf)))] += 1
    more: Ints = counts - drawn
    return more


def thresholds_of(edges: Floats, threshold: float | None) -> Floats:
    """Return the thresholds to label for: the given one, or all strata borders."""
    return edges if threshold is None else np.array([threshold], np.float64)


def valid_borders(edges: Sequence[float]) -> bool:
    """Whether borders are valid: at least one, finite and ascending."""
    return (
        len(edges) > 0
        and all(map(math.isfinite, edges))
        and all(low < high for low, high in pairwise(edges))
    )


Lots = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class DrawCandidate:
    """A pair that may be drawn, with its score and its permanent random number."""

    pair: PairId
    score: float
    lot: int


class DrawablePairs(Protocol):
    """Pairs from which labels are sampled within strata of their scores."""

    def strata(self, edges: Floats) -> Ints:
        """Count the pairs of each stratum, shape (B + 1,)."""

    def above(self, edges: Floats, thresholds: Floats) -> Ints:
        """Count the pairs of each stratum at or above each threshold, shape (K, B + 1)."""

    def scores_of(self, drawn: Mapping[PairId, float]) -> dict[PairId, float]:
        """Return the scores of the drawn pairs that exist, given those when they were drawn."""

    def candidates(self, edges: Floats, stratum: int, n: int) -> list[DrawCandidate]:
        """Return the n pairs of a stratum with the lowest random numbers, lowest first."""

    def locate(self, pair: PairId) -> tuple[int, int] | None:
        """Return the shard or file of a pair and its row there; None if it does not exist."""


@dataclass(frozen=True)
class Population:
    """The matched pairs of a corpus.

    Attributes
    ----------
    columns : sequence of Columns
        One per shard, in the order that document numbers refer to.
    pairs : Pairs
        Ascending by score; ranks are positions in them.
    """

    columns: Sequence[Columns]
    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def documents(self) -> Documents:
        """The documents, identified by content."""
        return Documents(self.columns)

    @cached_property
    def lots(self) -> Lots:
        """The permanent random number of each pair, shape (pairs,)."""
        documents, pairs = _document_lots(self.documents), self.pairs
        return pair_lots(documents[pairs.document], pairs.image, pairs.sentence)

    def name(self, rank: int) -> PairId:
        """Return a pair's identity."""
        part, row = self.place(rank)
        columns, pairs = self.columns[part], self.pairs
        key = columns.batch.column("key")[row].as_py()
        indices = int(pairs.image[rank]), int(pairs.sentence[rank])
        return PairId(columns.shard.name, key, *indices, self.documents.contents[part], row)

    def place(self, rank: int) -> tuple[int, int]:
        """Return the shard and the row of a pair's document."""
        return self.documents.place(int(self.pairs.document[rank]))

    def find(self, names: Iterable[PairId]) -> dict[PairId, int]:
        """Return the ranks of pairs, without those that are not matched here."""
        wanted = set(names)
        here = ((name, self.documents.find(name.content, name.number)) for name in wanted)
        documents = {name: at for name, at in here if at is not None}
        rows = np.flatnonzero(np.isin(self.pairs.document, list(set(documents.values()))))
        columns = (getattr(self.pairs, name)[rows].tolist() for name in ("document", "image",
                                                                         "sentence"))  # fmt: skip
        rank = dict(zip(zip(*columns, strict=True), rows.tolist(), strict=True))
        found = {}
        for name, document in documents.items():
            if (at := rank.get((document, name.image, name.sentence))) is not None:
                found[name] = at
        return found

    def strata(self, edges: Floats) -> Ints:
        """Count the pairs of each stratum, shape (B + 1,)."""
        return populations(self.pairs.score, edges)

    def above(self, edges: Floats, thresholds: Floats) -> Ints:
        """Count the pairs of each stratum at or above each threshold, shape (K, B + 1)."""
        return above(self.pairs.score, edges, thresholds)

    def scores_of(self, drawn: Mapping[PairId, float]) -> dict[PairId, float]:
        """Return the scores of those drawn pairs that are matched here."""
        return {pair: float(self.pairs.score[at]) for pair, at in self.find(drawn).items()}

    def candidates(self, edges: Floats, stratum: int, n: int) -> list[DrawCandidate]:
        """Return the n pairs of a stratum with the lowest random numbers, lowest first."""
        ends = np.concatenate([[0], np.cumsum(self.strata(edges))]).tolist()
        return [
            DrawCandidate(self.name(at), float(self.pairs.score[at]), int(self.lots[at]))
            for at in self.lowest(ends[stratum], ends[stratum + 1], n)
        ]

    def locate(self, pair: PairId) -> tuple[int, int] | None:
        """Return the shard of a pair and its document's row there; None if it is not matched."""
        rank = self.find([pair]).get(pair)
        return None if rank is None else self.place(rank)

    def lowest(self, first: int, last: int, n: int) -> list[int]:
        """Return the n ranks in [first, last) with the lowest random numbers, lowest first."""
        lots = self.lots[first:last]
        n = min(n, len(lots))
        if not n:
            return []
        chosen = np.argpartition(lots, n - 1)[:n] if n < len(lots) else np.arange(n)
        ranks: list[int] = (first + chosen[np.argsort(lots[chosen], kind="stable")]).tolist()
        return ranks


def _document_lots(documents: Documents) -> Lots:
    """Return pseudorandom numbers derived from the shard's base name and the key.

    For duplicate names, shard content and document number are mixed in.
    """
    lots = [np.zeros(0, np.uint64)]
    for part in documents.columns:
        shard = hashed(pa.array([part.shard.base]))
        lots.append(scrambled(hashed(part.batch.column("key")) ^ scrambled(shard)))
    found = np.concatenate(lots)
    _, place, times = np.unique(found, return_inverse=True, return_counts=True)
    again = np.flatnonzero(times[place] > 1)
    if len(again):
        shards = np.searchsorted(documents.starts, again, side="right") - 1
        number = (again - documents.starts[shards]).astype(np.uint64)
        content = scrambled(hashed(pa.array(documents.contents)))[shards]
        found[again] = scrambled(found[again] ^ scrambled(content + number))
    return found


def pair_lots(documents: Lots, image: NDArray[np.int32], sentence: NDArray[np.int32]) -> Lots:
    """Return the random numbers of pairs from those of their documents."""
    return scrambled(scrambled(documents + image.astype(np.uint64)) + sentence.astype(np.uint64))


def scrambled(numbers: Lots) -> Lots:
    """Scramble 64-bit numbers with a bijection.

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

    Examples
    --------
    >>> scrambled(np.array([0, 1], np.uint64))
    array([16294208416658607535, 10451216379200822465], dtype=uint64)
    """
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)


DesignKey = tuple[str, str, int, str]
"""What a sample belongs to: corpus, CLIP model, size limit, assignment."""


@dataclass(frozen=True)
class Design:
    """The strata of one corpus and model, as stored in a label file.

    Attributes
    ----------
    id : int
    corpus : str
        The corpus digest (`mmc4viz.thresholds.labels.store.Documents`).
    clip_model, min_kb, assignment
        The settings that matched pairs depend on; ``assignment`` names the loader, too, if it is
        not the default (`LoaderConfig.pairing`).
    edges : tuple of float
        Strata borders, ascending.
    """

    id: int
    corpus: str
    clip_model: str
    min_kb: int
    assignment: str
    edges: tuple[float, ...]

    @property
    def key(self) -> DesignKey:
        """What the sample belongs to: corpus, CLIP model, size limit, assignment."""
        return self.corpus, self.clip_model, self.min_kb, self.assignment

    @property
    def borders(self) -> Floats:
        """Strata borders as an array, shape (B,)."""
        return np.array(self.edges, np.float64)

    def __str__(self) -> str:
        return f"{self.clip_model} (min_kb {self.min_kb}, {self.assignment})"


def designs(path: str) -> list[Design]:
    """Return all samples in a file, of every corpus."""
    with store.reading(path) as connection:
        rows = connection.execute("SELECT * FROM designs ORDER BY id").fetchall()
    return [_design(path, row) for row in rows]


def _design(path: str, row: sqlite3.Row) -> Design:
    try:
        edges = tuple(float(edge) for edge in json.loads(row["edges"]))
    except (ValueError, TypeError):
        edges = (1.0, 0.0)
    if not valid_borders(edges):
        raise LabelsError(f"{path} is damaged: invalid strata in sample {row['id']}")
    return Design(
        row["id"], row["corpus"], row["clip_model"], row["min_kb"], row["assignment"], edges
    )


def design_for(path: str, config: LoaderConfig, documents: Documents) -> Design | None:
    """Return the sample of a corpus and settings; None if none was begun."""
    _adopt(path, documents)
    return find_design(path, (documents.digest, config.clip_model, config.min_kb, config.pairing))


def find_design(path: str, key: DesignKey) -> Design | None:
    """Return the sample of a key (`Design.key`); None if none was begun."""
    return next((one for one in designs(path) if one.key == key), None)


def _adopt(path: str, documents: Documents) -> None:
    """Assign labels that identify documents only by name to this corpus.

    Such labels come from the first file version and from CSV without content digests. They are
    assigned only if this corpus has more than half of their documents under unambiguous names.
    """
    names = "SELECT shard, key FROM {} WHERE number < 0"
    with store.reading(path) as connection:
        both = " UNION ".join(map(names.format, ("judgements", "queue")))
        wanted = {(row["shard"], row["key"]) for row in connection.execute(both)}
    found = documents.named(wanted) if wanted else {}
    if 2 * len(found) <= len(wanted):
        return
    with store.writing(path) as connection:
        for table in ("judgements", "queue"):
            connection.executemany(
                f"UPDATE OR IGNORE {table} SET content = ?, number = ? "
                "WHERE number < 0 AND shard = ? AND key = ?",
                [(*place, *name) for name, place in found.items()],
            )
        connection.execute(
            "UPDATE OR IGNORE designs SET corpus = ? WHERE corpus = ''", (documents.digest,)
        )


def begin(
    path: str,
    config: LoaderConfig,
    population: Population,
    scale: Scale,
    between: tuple[float, float] | None = None,
) -> Design:
    """Begin the sample of a corpus and settings, or return the existing one.

    Parameters
    ----------
    path : str
    config : LoaderConfig
        CLIP model, size limit and assignment identify the sample.
    population : Population
        The matched pairs of the whole corpus.
    scale : Scale
        The scale whose grid thresholds are on.
    between : (float, float), optional
        Threshold range; by default from the threshold that keeps 95% of pairs to that of 5%.

    Raises
    ------
    LabelsError
        If there are too few pairs, or the file cannot be written.
    """
    scores = population.pairs.score
    low, high = between or usual_range(scores)
    edges = stratum_edges(scores, low, high, scale.step, scale.digits)
    key = population.documents.digest, config.clip_model, config.min_kb, config.pairing
    return begin_with(path, key, edges, (low, high), len(scores))


def begin_with(
    path: str, key: DesignKey, edges: Floats, between: tuple[float, float], pairs: int
) -> Design:
    """Begin the sample of a key with these strata borders, or return the existing one.

    Parameters
    ----------
    path : str
    key : DesignKey
    edges : ndarray of float64, shape (B,)
        Empty if there are too few pairs.
    between : (float, float)
        The threshold range, for the error.
    pairs : int
        All pairs, likewise.

    Raises
    ------
    LabelsError
        If there are too few pairs, or the file cannot be written.
    """
    if not len(edges):
        low, high = between
        raise LabelsError(
            f"too few pairs to sample between {low:g} and {high:g}: at least {FEWEST} of the "
            f"{pairs:,} must reach {high:g}; choose a lower range"
        )
    with store.writing(path) as connection:
        connection.execute(
            "INSERT OR IGNORE INTO designs (corpus, clip_model, min_kb, assignment, edges, made) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*key, json.dumps(edges.tolist()), store.now()),
        )
        row = connection.execute(
            "SELECT * FROM designs WHERE corpus = ? AND clip_model = ? AND min_kb = ? "
            "AND assignment = ?",
            key,
        ).fetchone()
    return _design(path, row)
