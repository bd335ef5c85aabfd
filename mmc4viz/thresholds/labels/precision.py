"""Precision by threshold from labels, the threshold suggested from it, and labels needed.

Estimates come from a stratified sample with known inclusion probabilities, each with a 95% CI. The
suggested threshold comes from fixed-sequence testing. Every label is accounted for: unsure ones,
skipped and unlabeled pairs, and labels whose pair no longer exists.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.sweep.duplicates import clusters
from mmc4viz.thresholds.labels import queue, sampling, store
from mmc4viz.thresholds.labels.intervals import Interval, interval, is_at_least
from mmc4viz.thresholds.labels.sampling import Design, Population
from mmc4viz.thresholds.labels.store import Label, LabelsError, PairId
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import ConfigError, LoaderConfig

_MOST: Final = 20_000  # largest number of further labels considered


def allocate_many(population: Ints, drawn: Ints, value: Floats, n: int) -> Ints:
    """Allocate many labels at once, like `allocate` without a floor.

    Bisects for the density at which density × √value, at least what is drawn, adds up to the total.
    """
    root, most = np.sqrt(value), np.maximum(population, drawn)
    if not (root > 0).any():
        return np.zeros_like(drawn)
    target = drawn.sum() + n
    low, high = 0.0, float(most.max()) / float(root[root > 0].min())
    for _ in range(60):
        middle = (low + high) / 2
        enough = np.clip(middle * root, drawn, most).sum() >= target
        low, high = (low, middle) if enough else (middle, high)
    return np.asarray(np.round(np.clip(high * root, drawn, most)) - drawn, np.int64)


def needed(population: Ints, over: Ints, labelled: Ints, right: Ints, width: float) -> int | None:
    """Return how many more labels, allocated as by `allocate`, narrow the interval to a width.

    Parameters
    ----------
    population, labelled, right : ndarray of int64, shape (H,)
        Pairs, labels and correct labels of each stratum.
    over : ndarray of int64, shape (H,)
        Pairs of each stratum at or above the threshold.
    width : float
        Target width of the 95% CI of the precision.

    Returns
    -------
    int or None
        None if labeling every pair, or 20,000 more, would not be enough. Assumes that strata stay
        as correct as they look now.
    """
    return _needed(population, over, labelled, right, lambda f: f.high[0] - f.low[0] <= width)


def needed_to_show(
    population: Ints, over: Ints, labelled: Ints, right: Ints, least: float, confidence: float
) -> int | None:
    """Return how many more labels would show a precision; None if no number would.

    Parameters
    ----------
    least : float
        The precision that the one-sided lower bound must reach.
    confidence : float
        One-sided confidence level.
    """
    level = 2 * confidence - 1
    return _needed(population, over, labelled, right, lambda f: f.low[0] >= least, level)


def _needed(
    population: Ints,
    over: Ints,
    labelled: Ints,
    right: Ints,
    enough: Callable[[Interval], bool],
    level: float = 0.95,
) -> int | None:
    value = sampling.importance(population, over[None]) * sampling.spread_of(labelled, right)
    part = np.divide(over, population, out=np.zeros(len(over)), where=population > 0)
    share = (right + 0.5) / (labelled + 1)

    def reaches(n: int) -> bool:
        counts = (labelled + allocate_many(population, labelled, value, n)) * part
        found = interval(over[None], counts[None], (counts * share)[None], level, exact=False)
        return bool(enough(found))

    return _least(reaches, min(int((population - labelled)[value > 0].sum()), _MOST))


def _least(reaches: Callable[[int], bool], most: int) -> int | None:
    """Find the least number that reaches the target, by bisection; None if ``most`` does not."""
    if reaches(0):
        return 0
    if not reaches(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


class StratifiedSample(ABC):
    """Labels sampled at random within strata of scores, and how many pairs they stand for.

    Attributes
    ----------
    edges : ndarray of float64, shape (B,)
        Strata borders (`sampling.stratum_edges`), fixed before the first label.
    score : ndarray of float64, shape (n,)
        Scores of the labeled pairs.
    correct : ndarray of bool, shape (n,)
    cluster : ndarray of int64, shape (n,), or None
        Labels of duplicates have the same number (`mmc4viz.sweep.duplicates.clusters`); None if
        there are none.
    """

    edges: Floats
    score: Floats
    correct: NDArray[np.bool_]
    cluster: Ints | None

    def __len__(self) -> int:
        return len(self.score)

    @property
    @abstractmethod
    def stratum(self) -> Ints:
        """The stratum of each label, shape (n,)."""

    @property
    @abstractmethod
    def population(self) -> Ints:
        """Pairs of each stratum, shape (H,)."""

    @abstractmethod
    def pairs_above(self, thresholds: Floats) -> Ints:
        """Return pairs by stratum at or above thresholds, shape (K, H)."""

    def counts(self) -> tuple[Ints, Ints]:
        """Return labels and correct labels of each stratum, shape (H,) each."""
        size = len(self.population)
        both = (self.stratum, self.stratum[self.correct])
        labelled, right = (np.bincount(each, minlength=size).astype(np.int64) for each in both)
        return labelled, right

    def weights(self) -> Floats:
        """Return the weight of each label, its inverse inclusion probability, shape (n,)."""
        labelled, _ = self.counts()
        return np.asarray(self.population[self.stratum] / labelled[self.stratum], np.float64)

    def above(self, thresholds: Floats) -> tuple[Ints, Ints, Ints]:
        """Return pairs, labels and correct labels by stratum above thresholds, (K, H) each.

        What of a stratum lies above a threshold was drawn at random from what lies there.
        """
        reaching = self.score >= thresholds[:, None]
        labelled, right = self._by_stratum(reaching), self._by_stratum(reaching & self.correct)
        return self.pairs_above(thresholds), labelled, right

    def _members(self) -> Ints:
        """Return which labels are of each stratum, 0 or 1, shape (H, n)."""
        strata = np.arange(len(self.population))[:, None]
        return np.asarray(self.stratum == strata, np.int64)

    def _by_stratum(self, chosen: NDArray[np.bool_]) -> Ints:
        """Count chosen labels, shape (K, n), by stratum, shape (K, H)."""
        counts: Ints = chosen.astype(np.int64) @ self._members().T
        return counts

    def independent(self, thresholds: Floats, *, below: bool = False) -> tuple[Floats, Floats]:
        """Return labels and correct labels by stratum as so many independent ones, (K, H) each.

        Those above thresholds, or below them. A label whose cluster has m labels there counts such
        that n labels of a stratum are worth n² / Σ m, which is Kish's effective sample size (Survey
        Sampling, 1965) for duplicates that are all correct or all incorrect: k pairs of duplicates
        are worth k labels. Proportions stay as they are.
        """
        chosen = self.score >= thresholds[:, None]
        chosen = ~chosen if below else chosen
        labelled = self._by_stratum(chosen).astype(np.float64)
        right = self._by_stratum(chosen & self.correct).astype(np.float64)
        if self.cluster is None or len(np.unique(self.cluster)) == len(self):
            return labelled, right
        own = (self.cluster == np.arange(int(self.cluster.max()) + 1)[:, None]).astype(np.int64)
        sizes = (chosen.astype(np.int64) @ own.T)[:, self.cluster] * chosen
        total = sizes @ self._members().T
        share = np.divide(labelled, total, out=np.ones_like(labelled), where=total > 0)
        return labelled * share, right * share


@dataclass(frozen=True)
class LabelledSample(StratifiedSample):
    """A labeled stratified sample of a corpus's matched pairs.

    Attributes
    ----------
    scores : ndarray of float64, shape (N,)
        Scores of all matched pairs, ascending.
    edges, score, correct, cluster
        As of `StratifiedSample`.
    """

    scores: Floats
    edges: Floats
    score: Floats
    correct: NDArray[np.bool_]
    cluster: Ints | None = None

    @property
    def stratum(self) -> Ints:
        """The stratum of each label, shape (n,)."""
        return np.searchsorted(self.edges, self.score, side="right").astype(np.int64)

    @property
    def population(self) -> Ints:
        """Pairs of each stratum, shape (B + 1,)."""
        return sampling.populations(self.scores, self.edges)

    def pairs_above(self, thresholds: Floats) -> Ints:
        """Return pairs by stratum at or above thresholds, shape (K, B + 1)."""
        return sampling.above(self.scores, self.edges, thresholds)

    def part(self, scores: Floats, labels: NDArray[np.bool_]) -> LabelledSample:
        """Return the sample of some pairs, given their scores, and which labels are theirs."""
        cluster = None if self.cluster is None else self.cluster[labels]
        return LabelledSample(scores, self.edges, self.score[labels], self.correct[labels], cluster)


@dataclass(frozen=True)
class Curve:
    """Label-based estimates at thresholds, every array of shape (K,).

    Attributes
    ----------
    thresholds : ndarray of float64
    precision : Interval
        Share of correct pairs among those at or above the threshold.
    kept : Interval
        Recall: share of all correct pairs that are at or above it.
    labels, wrong : ndarray of int64
        Labels at or above it, and incorrect ones among them.
    """

    thresholds: Floats
    precision: Interval
    kept: Interval
    labels: Ints
    wrong: Ints


@dataclass(frozen=True)
class Isotonic:
    """Non-decreasing step function from score to probability of being correct."""

    score: Floats
    probability: Floats


def curve(sample: StratifiedSample, thresholds: Floats, level: float = 0.95) -> Curve:
    """Estimate precision and recall at thresholds.

    Parameters
    ----------
    sample : StratifiedSample
    thresholds : ndarray of float64, shape (K,)
    level : float
        Confidence level.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 1001)
    >>> label = np.arange(0.005, 1, 0.01)
    >>> sample = LabelledSample(scores, np.array([0.5]), label, label > 0.4)
    >>> found = curve(sample, np.array([0.0, 0.5]))
    >>> found.precision.estimate.round(2), found.kept.estimate.round(2)
    (array([0.6, 1. ]), array([1.  , 0.83]))
    """
    over = sample.above(thresholds)
    under = sample.population - over[0]
    precision = interval(over[0], *sample.independent(thresholds), level)
    rest = interval(under, *sample.independent(thresholds, below=True), level)
    pairs = over[0].sum(axis=1), under.sum(axis=1)
    kept = _share(_times(precision, pairs[0]), _times(rest, pairs[1]))
    labels, right = over[1].sum(axis=1), over[2].sum(axis=1)
    return Curve(thresholds, precision, kept, labels, labels - right)


def _times(found: Interval, pairs: Ints) -> Interval:
    """Turn proportions into counts of correct pairs; 0 if there are no pairs."""
    return Interval(*(np.where(pairs > 0, pairs * end, 0.0) for end in vars(found).values()))


def _share(here: Interval, there: Interval) -> Interval:
    """Return here / (here + there) for two independent estimates.

    Uses the variances implied by their intervals on the log scale (MOVER: Zou and Donner,
    Statistics in Medicine 27, 2008).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a, a_low, a_high = (np.log(end) for end in vars(here).values())
        b, b_low, b_high = (np.log(end) for end in vars(there).values())
        middle = a - b
        low = middle - np.hypot(a - a_low, b_high - b)
        high = middle + np.hypot(a_high - a, b - b_low)
        # If an estimate is 0, only its upper limit is informative.
        none_there, none_here = there.estimate == 0, here.estimate == 0
        low = np.where(none_there, a - b_high, np.where(none_here, -np.inf, low))
        high = np.where(none_there, np.inf, np.where(none_here, a_high - b, high))
        share = here.estimate / (here.estimate + there.estimate)
    low, high = (1 / (1 + np.exp(-np.clip(end, -700, 700))) for end in (low, high))
    unknown = np.isnan(share) | np.isnan(low) | np.isnan(high)
    nothing = there.high == 0
    return Interval(
        np.where(nothing & ~np.isnan(share), 1.0, share),
        np.where(nothing, 1.0, np.where(unknown, 0.0, low)),
        np.where(nothing | unknown, 1.0, high),
    )


def probability(sample: StratifiedSample) -> Isotonic:
    """Estimate the probability of being correct by score, by weighted isotonic regression.

    Labels with the same score are pooled.
    """
    from scipy.optimize import isotonic_regression

    if not len(sample):
        return Isotonic(np.zeros(0), np.zeros(0))
    score, place = np.unique(sample.score, return_inverse=True)
    weight = np.bincount(place, sample.weights())
    share = np.bincount(place, sample.weights() * sample.correct) / weight
    fitted = np.asarray(isotonic_regression(share, weights=weight).x, np.float64)
    steps = np.concatenate([[True], np.diff(fitted) > 1e-12])
    return Isotonic(score[steps], fitted[steps])


ASSUMPTION: Final = (
    "Assumes random sampling within score strata and correct labels. Labels of duplicates (the "
    "same image, or the same pair of documents with one URL) count as one. Thresholds are tested "
    "from the highest down, each at 95% confidence, until one fails. The lower bound is one-sided."
)
FEW_AT_LINE: Final = 10
"""Least number of labels just above a suggested threshold: even if ten of ten are correct, a
quarter of these pairs may be incorrect (95% one-sided)."""


def propose(
    sample: StratifiedSample,
    wanted: float,
    candidates: Floats | None = None,
    confidence: float = 0.95,
) -> Proposal:
    """Suggest the lowest threshold shown to have at least the target precision.

    Fixed-sequence testing: candidates are tested from the highest down until the one-sided lower
    bound of one is below the target. So the probability that the suggested threshold misses the
    target is at most 1 − confidence, however many candidates are tested. Testing starts at the
    highest candidate that has enough labels to pass if all of them were correct, which does not
    depend on the labels' values.

    Parameters
    ----------
    sample : StratifiedSample
    wanted : float
        The target, from 0 to 1.
    candidates : ndarray of float64, optional
        Thresholds to test, chosen without looking at the labels; by default the strata borders.
    confidence : float

    Returns
    -------
    Proposal
        With a reason instead of a threshold if the first candidate fails. The interval is
        two-sided; ``lower_bound`` is the one-sided limit that the target was tested against.

    Raises
    ------
    ConfigError
        If the target is not between 0 and 1.

    References
    ----------
    Maurer, Hothorn and Lehmacher, Biometrie in der chemisch-pharmazeutischen Industrie 6 (1995).
    """
    target = f"precision ≥ {wanted:.0%}" if round(wanted * 100, 9) % 1 == 0 else (
        f"precision ≥ {wanted:.1%}")  # fmt: skip
    if not 0 < wanted < 1:
        raise ConfigError(f"the target precision must be between 0 and 1, got {wanted:g}")
    blank = Proposal(Basis.PRECISION, target, ASSUMPTION, reason="no labels yet")
    thresholds = np.sort(sample.edges if candidates is None else candidates)[::-1]
    if not len(sample) or not len(thresholds):
        return blank
    first, n_passed = passed(sample, thresholds, wanted, confidence)
    if first is None:
        return replace(blank, reason=_too_few(sample, wanted, confidence),
                       labels_needed=_least_labels(sample, wanted, confidence))  # fmt: skip
    at = thresholds[first + max(n_passed - 1, 0)]
    found = curve(sample, np.array([at])).precision
    estimate, ends = float(found.estimate[0]), (float(found.low[0]), float(found.high[0]))
    filled = replace(blank, estimate=estimate, low=ends[0], high=ends[1],
                     **_seen(sample, float(at), confidence))  # fmt: skip
    if n_passed:  # the test passed, so its lower bound is at least the target
        least = max(filled.lower_bound or 0.0, wanted)
        return replace(filled, threshold=float(at), reason=None, lower_bound=least)
    over = sample.pairs_above(np.array([at]))[0]
    more = needed_to_show(
        sample.population, over, *sample.counts(), wanted, confidence
    )  # if the strata stay as correct as they look now
    return replace(filled, reason=_failed(float(at), estimate, ends, wanted), labels_needed=more)


def passed(
    sample: StratifiedSample, thresholds: Floats, wanted: float, confidence: float
) -> tuple[int | None, int]:
    """Test thresholds for a precision from the highest down, until one fails.

    Parameters
    ----------
    sample : StratifiedSample
    thresholds : ndarray of float64, shape (K,)
        Descending.
    wanted, confidence : float

    Returns
    -------
    first : int or None
        Position of the first tested: the highest with enough labels to pass if all were correct.
    passed : int
        How many pass, from the first on.
    """
    if not len(sample) or not len(thresholds):
        return None, 0
    pairs = sample.above(thresholds)[0]
    labelled, right = sample.independent(thresholds)
    able = is_at_least(pairs, labelled, labelled, wanted, confidence)
    if not able.any():
        return None, 0
    first = int(np.argmax(able))
    sure = is_at_least(pairs[first:], labelled[first:], right[first:], wanted, confidence)
    return first, int(np.argmin(np.append(sure, False)))


def _seen(sample: StratifiedSample, at: float, confidence: float) -> dict[str, Any]:
    """Count the labels at a threshold and compute the one-sided lower bound."""
    one_sided = curve(sample, np.array([at]), level=2 * confidence - 1)
    _, labelled, _ = sample.above(np.array([at]))
    line = int(np.searchsorted(sample.edges, at, side="right"))
    return {
        "labels": int(labelled.sum()),
        "labels_near_threshold": int(labelled[0, line]),
        "lower_bound": float(one_sided.precision.low[0]),
    }


def _too_few(sample: StratifiedSample, wanted: float, confidence: float) -> str:
    return (
        f"too few labels ({len(sample):,} across the strata) to show {wanted:.0%} precision at "
        f"{confidence:.0%} confidence, even if all were correct"
    )


def _least_labels(sample: StratifiedSample, wanted: float, confidence: float) -> int:
    """Return how many more labels would pass if all correct (½ wanted**n ≤ 1 − confidence)."""
    least = int(np.ceil(np.log(2 * (1 - confidence)) / np.log(wanted)))
    _, labelled, _ = sample.above(sample.edges[-1:])
    return max(least - int(labelled.sum()), 1)


def _failed(at: float, estimate: float, ends: tuple[float, float], wanted: float) -> str:
    more = "more labels there may show it" if estimate > wanted else "try a higher threshold"
    return (
        f"even at {at:g}, the highest threshold with enough labels, precision is {estimate:.0%} "
        f"(95% CI {100 * ends[0]:.0f}–{ends[1]:.0%}): not shown to reach {wanted:.0%}; {more}"
    )


_NAMED: Final = 20  # missing pairs listed by name


@dataclass(frozen=True)
class Labelled:
    """A labeled sample that accounts for every label and every drawn pair.

    Attributes
    ----------
    design : Design
    sample : LabelledSample
        Drawn pairs labeled correct or incorrect.
    ranks : ndarray of int64, shape (n,)
        Their ranks among the matched pairs, in the sample's order.
    unsure_ranks : ndarray of int64, shape (unsure,)
        Those of the pairs with only unsure answers.
    drawn : int
        Pairs drawn so far.
    waiting, unsure : int
        Of these, pairs without an answer (or only skipped), and pairs with only unsure answers.
    disagreed : int
        Pairs on which annotators disagree.
    gone : tuple of PairId
        Labeled pairs of this corpus that are not matched here.
    elsewhere : int
        Labeled pairs that are not in this sample: from other settings, or imported.
    foreign : int
        Labeled pairs of documents that are not in this corpus.
    """

    design: Design
    sample: LabelledSample
    ranks: Ints
    unsure_ranks: Ints
    drawn: int
    waiting: int
    unsure: int
    disagreed: int
    gone: tuple[PairId, ...]
    elsewhere: int
    foreign: int = 0


def labelled(path: str, design: Design, population: Population) -> Labelled:
    """Join a file's labels with a corpus.

    Parameters
    ----------
    path : str
    design : Design
        The sample.
    population : Population
        Matched with the design's settings.

    Raises
    ------
    LabelsError
        If the file cannot be read.
    """
    said = store.labels_of(store.read(path))
    queued = {one.pair for one in queue.drawn(path, design)}
    ranks = population.find(queued | said.keys())
    here = {pair: label for pair, label in said.items() if pair in queued and pair in ranks}
    unsure = sorted(ranks[pair] for pair, label in here.items() if label.correct is None)
    return Labelled(
        design,
        *_sample(design, population, here, ranks),
        np.array(unsure, np.int64),
        **account(said, queued, ranks.keys(), population.documents.holds),
    )


def account(
    said: Mapping[PairId, Label],
    queued: Set[PairId],
    present: Set[PairId],
    holds: Callable[[str], bool],
) -> dict[str, Any]:
    """Count what became of the labels of a file and of the drawn pairs.

    Parameters
    ----------
    said : mapping of PairId to Label
        All labels of the file.
    queued, present : set of PairId
        The pairs drawn so far, and the pairs that exist.
    holds : callable
        Whether a pair's content belongs to the corpus.

    Returns
    -------
    dict
        The attributes of `Labelled` from ``drawn`` on, by name.
    """
    here = [said[pair] for pair in said.keys() & queued & present]
    gone = [pair for pair in said.keys() - present if holds(pair.content)]
    return {
        "drawn": len(queued),
        "waiting": len(queued - said.keys()),
        "unsure": sum(label.correct is None for label in here),
        "disagreed": sum(not label.agreed for label in here),
        "gone": tuple(sorted(gone, key=lambda pair: (pair.shard, pair.key, pair))),
        "elsewhere": len((said.keys() & present) - queued),
        "foreign": len(said.keys() - present) - len(gone),
    }


def _sample(
    design: Design,
    population: Population,
    here: Mapping[PairId, Label],
    ranks: Mapping[PairId, int],
) -> tuple[LabelledSample, Ints]:
    sure = sorted(
        (ranks[p], label.correct) for p, label in here.items() if label.correct is not None
    )
    at = np.array([rank for rank, _ in sure], np.int64)
    scores = population.pairs.score
    correct = np.array([yes for _, yes in sure], bool)
    pairs = population.pairs
    places = (pairs.document[at], pairs.image[at], pairs.sentence[at])
    cluster = clusters(population.columns, *(each.astype(np.int64) for each in places))
    return LabelledSample(scores, design.borders, scores[at], correct, cluster), at


def _labels(n: int) -> str:
    return "1 label" if n == 1 else f"{n:,} labels"


class LabelAccount(Protocol):
    """What `account` counts, as far as it is told."""

    @property
    def unsure(self) -> int:
        """Pairs with only unsure answers."""

    @property
    def disagreed(self) -> int:
        """Pairs on which annotators disagree."""

    @property
    def gone(self) -> tuple[PairId, ...]:
        """Labeled pairs that do not exist."""

    @property
    def elsewhere(self) -> int:
        """Labeled pairs that are not in this sample."""

    @property
    def foreign(self) -> int:
        """Labeled pairs of another corpus."""


def remarks(found: LabelAccount) -> list[str]:
    """Describe labels that do not count, one line per reason; missing pairs first, by name."""
    lines = []
    if found.gone:
        names = [f"{p.shard} {p.key} image {p.image + 1} sentence {p.sentence + 1}"
                 for p in found.gone[:_NAMED]]  # fmt: skip
        if len(found.gone) > _NAMED:
            names.append(f"and {len(found.gone) - _NAMED:,} more")
        lines.append(
            f"{_labels(len(found.gone))} not counted: the pair is not matched with this model and "
            f"settings: {', '.join(names)}"
        )
    if found.foreign:
        lines.append(f"{_labels(found.foreign)} not counted: the document is not in this corpus")
    if found.unsure:
        lines.append(f"{_labels(found.unsure)} not counted: all annotators were unsure")
    if found.disagreed:
        pairs = "1 pair" if found.disagreed == 1 else f"{found.disagreed:,} pairs"
        lines.append(
            f"annotators disagree on {pairs}: the majority counts; in a tie, the first answer"
        )
    if found.elsewhere:
        lines.append(f"{_labels(found.elsewhere)} not counted: the pair is not in this sample yet")
    return lines


def labelled_for(path: str, config: LoaderConfig, population: Population) -> Labelled:
    """Find the sample of some settings in a file and join its labels with a corpus.

    Raises
    ------
    LabelsError
        If the file has no sample for this corpus and these settings; the message lists those it
        has.
    """
    found = sampling.design_for(path, config, population.documents)
    if found is None:
        mine = f"{config.clip_model} (min_kb {config.min_kb}, {config.pairing})"
        held = _available(sampling.designs(path), config, population.documents.digest)
        raise LabelsError(f"{path} has no labels for {mine}; {held}")
    return labelled(path, found, population)


def _available(all_of_them: Sequence[Design], config: LoaderConfig, corpus: str) -> str:
    """Describe the samples in a file, and how to select one of them."""
    found = [one for one in all_of_them if one.corpus == corpus]
    if not found:
        others = f"it has labels of another corpus: {', '.join(map(str, all_of_them))}; "
        return f"{others * bool(all_of_them)}start labeling on the Label page"
    like = [one for one in found if (one.min_kb, one.assignment) == (config.min_kb, config.pairing)]
    held = f"it has: {', '.join(map(str, found))}"
    if not like:
        return held
    name = like[0].clip_model
    return f"{held}; if that is the right model, add --clip-model {shlex.quote(name)}"
