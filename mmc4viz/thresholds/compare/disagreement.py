"""Score distributions, rank correlation and strongest disagreements of two models.

Scores of different models have no common scale, but ranks do: a score's percentile is its rank
among all matched scores of its own model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.data.scale import Scale
from mmc4viz.sweep.pairs import document_starts
from mmc4viz.thresholds.model_scores import Model, ScoreMatrices, entries

QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True)
class Distribution:
    """Distribution of a model's matched scores on their own scale.

    Attributes
    ----------
    model : str
    scale : Scale
    pairs : int
    quantiles : tuple of float
        At `QUANTILES`; empty without pairs.
    edges : ndarray of float64, shape (B + 1,)
        Bar edges on the scale's grid, covering all scores.
    counts : ndarray of int64, shape (B,)
        Pairs in each bar, lower edge included.
    """

    model: str
    scale: Scale
    pairs: int
    quantiles: tuple[float, ...]
    edges: Floats
    counts: NDArray[np.int64]


def distribution(model: Model, bars: int = 60) -> Distribution:
    """Return a histogram of a model's matched scores with at most ``bars`` bars."""
    scores = model.pairs.score
    scores = scores[np.isfinite(scores)]
    scale = model.matched.scale
    low, high = (scores[0], scores[-1]) if len(scores) else (0.0, 0.0)
    first, last = math.floor(low / scale.step + 1e-6), math.floor(high / scale.step + 1e-6) + 1
    width = max(1, math.ceil((last - first) / bars))
    steps = range(first, last + width, width)
    edges = np.array([round(k * scale.step, scale.digits) for k in steps])
    edges[0] = min(edges[0], low)
    counts = np.diff(np.searchsorted(scores, edges, side="left"))
    quantiles = np.quantile(scores, QUANTILES).tolist() if len(scores) else ()
    return Distribution(model.name, scale, len(scores), tuple(quantiles), edges, counts)


def thresholds_of(model: Model, most: int = 60) -> list[float]:
    """Return at most ``most`` grid thresholds from a model's lowest score to its highest."""
    found = distribution(model, most)
    inside = found.edges[:-1].tolist()
    return [round(edge, found.scale.digits) for edge in inside] if found.pairs else []


MOST_ENTRIES: Final = 1_000_000
"""Most matrix entries used for the rank correlation; larger corpora are sampled by document."""

_GROUPS: Final = 10  # of sampled documents, for the interval by batch means


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A pair matched by the first model, with the second model's score.

    Attributes
    ----------
    document, image, sentence : int
        Document position in the corpus; indices within the document.
    score, percentile : float
        The first model's.
    other_score, other_percentile : float
        The second model's for the same image and sentence, matched or not.
    other_sentence : int or None
        The sentence that the second model matches to the image.
    """

    document: int
    image: int
    sentence: int
    score: float
    percentile: float
    other_score: float
    other_percentile: float
    other_sentence: int | None


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of two models' scores.

    Attributes
    ----------
    of : str
        ``"pairs"`` that both models match, or ``"entries"`` of the similarity matrices: each image
        of a document with each of its sentences.
    n : int
        Number of pairs or entries.
    rho : float or None
        None if undefined: fewer than three, or all equal.
    low, high : float or None
        95% CI if the entries are a sample; None if exact.
    """

    of: str
    n: int
    rho: float | None
    low: float | None = None
    high: float | None = None


def strongest(first: Model, second: Model, n: int) -> list[Disagreement]:
    """Find the pairs of one model that rank much higher with it than with another.

    Parameters
    ----------
    first, second : Model
        Models of the same documents.
    n : int
        How many to return.

    Returns
    -------
    list of Disagreement
        Largest difference of percentiles first; only pairs that the second model scores.
    """
    pairs = first.pairs
    theirs = entries(second, pairs.document, pairs.image, pairs.sentence)
    here, there = first.percentile(pairs.score), second.percentile(theirs)
    gap = np.nan_to_num(here - there, nan=-np.inf)
    order = np.lexsort((pairs.image, pairs.document, -gap)) if len(gap) < 1e5 else _top(gap, n)
    found = (
        Disagreement(
            int(pairs.document[i]),
            int(pairs.image[i]),
            int(pairs.sentence[i]),
            float(pairs.score[i]),
            float(here[i]),
            float(theirs[i]),
            float(there[i]),
            _sentence(second, int(pairs.document[i]), int(pairs.image[i])),
        )
        for i in order[:n].tolist()
        if gap[i] > 0
    )
    return list(found)


QUADRANTS: Final = ("both", "first", "second", "neither")
"""Which of two models keep an image."""


@dataclass(frozen=True)
class JointScores:
    """Both models' scores of the images that both match, every array of shape (n,).

    Attributes
    ----------
    document, image : ndarray of int64
        Document position in the corpus; index within the document.
    sentence : ndarray of int32, shape (2, n)
        Each model's sentence.
    score : ndarray of float64, shape (2, n)
        Each model's score of its own pair.
    only_first, only_second : int
        Images that only one of them matches.
    """

    document: Ints
    image: Ints
    sentence: NDArray[np.int32]
    score: Floats
    only_first: int
    only_second: int

    def quadrants(self, thresholds: tuple[float, float]) -> NDArray[np.int64]:
        """Return each image's position in `QUADRANTS`, shape (n,)."""
        first, second = (self.score >= np.array(thresholds)[:, None]).astype(np.int64)
        return 3 - 2 * first - second if len(self.image) else np.zeros(0, np.int64)


def joint_scores(first: Model, second: Model) -> JointScores:
    """Return the scores of the images that both models match."""
    one, other = first.by_image, second.by_image
    matched = one.sentence >= 0, other.sentence >= 0
    place = np.flatnonzero(matched[0] & matched[1])
    document = np.searchsorted(first.starts, place, side="right") - 1
    return JointScores(
        document,
        place - first.starts[document],
        np.stack([one.sentence[place], other.sentence[place]]),
        np.stack([one.score[place], other.score[place]]),
        int(np.count_nonzero(matched[0])) - len(place),
        int(np.count_nonzero(matched[1])) - len(place),
    )


def _top(gap: Floats, n: int) -> Ints:
    some = np.argpartition(-gap, min(n, len(gap) - 1))[: n + 1]
    return np.asarray(some[np.argsort(-gap[some], kind="stable")])


def _sentence(model: Model, document: int, image: int) -> int | None:
    found = int(model.by_image.sentence[model.starts[document] + image])
    return None if found < 0 else found


def correlation_of_pairs(first: Model, second: Model) -> Correlation:
    """Correlate the scores of the pairs that both models match."""
    one, other = first.by_image, second.by_image
    same = (one.sentence >= 0) & (one.sentence == other.sentence)
    rho = _spearman(one.score[same], other.score[same])
    return Correlation("pairs", int(np.count_nonzero(same)), rho)


def correlation_of_entries(
    first: Model,
    second: Model,
    most: int = MOST_ENTRIES,
    seed: int = 0,
    tell: Callable[[int], object] = lambda _: None,
) -> Correlation:
    """Correlate the entries of the similarity matrices.

    Parameters
    ----------
    first, second : Model
        Models of the same documents.
    most : int
        If there are more entries, documents are sampled until this many are reached.
    seed : int
        Sampling seed.
    tell : callable
        Called with numbers of documents done.

    Returns
    -------
    Correlation
        For a sample, with a 95% CI from the correlations of ten random groups of documents (batch
        means, Student's t).
    """
    from scipy.special import stdtrit

    n_documents = first.matched.n_documents
    order = np.random.default_rng(seed).permutation(n_documents)
    sizes = _sizes(first)[order]
    n_taken = int(np.searchsorted(np.cumsum(sizes), most, side="right"))
    sampled = n_taken < n_documents
    chosen = order[: max(n_taken, min(_GROUPS, n_documents))]
    document, one, other = _both(first, second, np.sort(chosen), tell)
    rho = _spearman(one, other)
    if not sampled or rho is None:
        return Correlation("entries", len(one), rho)
    group = np.zeros(n_documents, np.int8)
    group[chosen] = np.arange(len(chosen)) % _GROUPS
    each = [_spearman(one[g], other[g]) for g in (group[document] == k for k in range(_GROUPS))]
    values = np.array([value for value in each if value is not None])
    if len(values) < 2:
        return Correlation("entries", len(one), rho)
    reach = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    low, high = max(-1.0, rho - float(reach)), min(1.0, rho + float(reach))
    return Correlation("entries", len(one), rho, low, high)


def _sizes(model: Model) -> Ints:
    """Return the number of entries of each document's matrix."""
    each = [ScoreMatrices(part.columns).sizes() for part in model.matched.parts]
    return np.concatenate([np.zeros(0, np.int64), *each])


def _both(
    first: Model, second: Model, documents: Ints, tell: Callable[[int], object]
) -> tuple[Ints, Floats, Floats]:
    """Gather the entries that are finite for both models, with their documents."""
    owner, one, other = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0)]
    starts = document_starts(first.matched)
    for number, (a, b) in enumerate(zip(first.matched.parts, second.matched.parts, strict=True)):
        low, high = np.searchsorted(documents, starts[number : number + 2])
        rows = documents[low:high] - starts[number]
        for row, mine, theirs in _matrices(a.columns, b.columns, rows):
            sound = np.isfinite(mine) & np.isfinite(theirs)
            one.append(mine[sound])
            other.append(theirs[sound])
            owner.append(np.full(len(one[-1]), starts[number] + row))
        tell(len(rows))
    return np.concatenate(owner), np.concatenate(one), np.concatenate(other)


def _matrices(a: Columns, b: Columns, rows: Ints) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield rows whose matrices have the same shape for both models, and their entries."""
    readable = (a.kind[rows] != Kind.UNREADABLE) & (b.kind[rows] != Kind.UNREADABLE)
    first, second = ScoreMatrices(a), ScoreMatrices(b)
    for row in rows[readable].tolist():
        mine, theirs = first[row], second[row]
        if mine.shape == theirs.shape:
            yield row, mine.ravel(), theirs.ravel()


def _spearman(one: Floats, other: NDArray[np.float64]) -> float | None:
    """Return Spearman's rank correlation, with mean ranks for ties; None if undefined."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(_ranks(one), _ranks(other))[1, 0])


def _ranks(values: Floats) -> Floats:
    """Rank values from 1, ties with their mean rank.

    Examples
    --------
    >>> _ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])
