"""What labels say: precision and share kept by threshold, probability of being right by score.

From labels of a stratified sample with known probabilities; every figure with its 95 % interval.
Proposes nothing; knows nothing of how labels are stored, nor of people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.labelling import strata
from mmc4viz.choice.labelling.stratified import Interval, interval


@dataclass(frozen=True)
class LabelledSample:
    """A stratified sample of a corpus's matched pairs, labelled.

    Attributes
    ----------
    scores : ndarray of float64, shape (N,)
        Of all matched pairs, ascending.
    edges : ndarray of float64, shape (B,)
        Borders of the strata (`strata.borders`), fixed before the first label.
    score : ndarray of float64, shape (n,)
        Of the labelled pairs.
    correct : ndarray of bool, shape (n,)
    """

    scores: Floats
    edges: Floats
    score: Floats
    correct: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def stratum(self) -> Ints:
        """The stratum of each label, shape (n,)."""
        return np.searchsorted(self.edges, self.score, side="right").astype(np.int64)

    @property
    def population(self) -> Ints:
        """Pairs of each stratum, shape (B + 1,)."""
        return strata.populations(self.scores, self.edges)

    def counts(self) -> tuple[Ints, Ints]:
        """Return labels and right ones of each stratum, shape (B + 1,) each."""
        size = len(self.edges) + 1
        both = (self.stratum, self.stratum[self.correct])
        labelled, right = (np.bincount(each, minlength=size).astype(np.int64) for each in both)
        return labelled, right

    def weights(self) -> Floats:
        """Return for how many pairs each label stands, one over its probability, shape (n,)."""
        labelled, _ = self.counts()
        return np.asarray(self.population[self.stratum] / labelled[self.stratum], np.float64)

    def above(self, thresholds: Floats) -> tuple[Ints, Ints, Ints]:
        """Return pairs, labels and right ones of each stratum above thresholds, (K, B + 1) each.

        What of a stratum lies above a threshold was drawn at random from what lies there.
        """
        size, reaching = len(self.edges) + 1, self.score >= thresholds[:, None]
        member = self.stratum == np.arange(size)[:, None]
        labelled = reaching.astype(np.int64) @ member.T.astype(np.int64)
        right = (reaching & self.correct).astype(np.int64) @ member.T.astype(np.int64)
        return strata.above(self.scores, self.edges, thresholds), labelled, right


@dataclass(frozen=True)
class Curve:
    """What labels say at thresholds, every array of shape (K,).

    Attributes
    ----------
    thresholds : ndarray of float64
    precision : Interval
        Share of right pairs among those at or above.
    kept : Interval
        Share of all right pairs that is at or above.
    labels, wrong : ndarray of int64
        Labels at or above, and wrong ones among them.
    """

    thresholds: Floats
    precision: Interval
    kept: Interval
    labels: Ints
    wrong: Ints


@dataclass(frozen=True)
class Isotonic:
    """Probability of being right by score, never falling; steps begin at each score."""

    score: Floats
    probability: Floats


def curve(sample: LabelledSample, thresholds: Floats, level: float = 0.95) -> Curve:
    """Estimate precision and share kept at thresholds.

    Parameters
    ----------
    sample : LabelledSample
    thresholds : ndarray of float64, shape (K,)
    level : float
        Of the intervals.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 1001)
    >>> label = np.arange(0.005, 1, 0.01)
    >>> sample = LabelledSample(scores, np.array([0.5]), label, label > 0.4)
    >>> found = curve(sample, np.array([0.0, 0.5]))
    >>> found.precision.estimate.round(2), found.kept.estimate.round(2)
    (array([0.6, 1. ]), array([1.  , 0.83]))
    """
    everything = np.array([-np.inf])
    whole, over = sample.above(everything), sample.above(thresholds)
    below = whole[0] - over[0], whole[1] - over[1], whole[2] - over[2]
    precision, rest = (interval(p, n, x, level) for p, n, x in (over, below))
    pairs = over[0].sum(axis=1), below[0].sum(axis=1)
    kept = _share(_times(precision, pairs[0]), _times(rest, pairs[1]))
    labels, right = over[1].sum(axis=1), over[2].sum(axis=1)
    return Curve(thresholds, precision, kept, labels, labels - right)


def _times(found: Interval, pairs: Ints) -> Interval:
    """Turn proportions into numbers of right pairs; none of no pairs."""
    return Interval(*(np.where(pairs > 0, pairs * end, 0.0) for end in vars(found).values()))


def _share(here: Interval, there: Interval) -> Interval:
    """Return here / (here + there), of two independent numbers.

    By the variances that their intervals imply, on the scale of logarithms: MOVER, Zou and Donner,
    Statistics in Medicine 27 (2008).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a, a_low, a_high = (np.log(end) for end in vars(here).values())
        b, b_low, b_high = (np.log(end) for end in vars(there).values())
        middle = a - b
        low = middle - np.hypot(a - a_low, b_high - b)
        high = middle + np.hypot(a_high - a, b - b_low)
        # Where one of them is estimated as none, its upper end alone says how far it may be.
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


def probability(sample: LabelledSample) -> Isotonic:
    """Estimate the probability of being right by score, by weighted isotonic regression.

    Labels of one score are taken together. Source: ``scipy.optimize.isotonic_regression``.
    """
    if not len(sample):
        return Isotonic(np.zeros(0), np.zeros(0))
    score, place = np.unique(sample.score, return_inverse=True)
    weight = np.bincount(place, sample.weights())
    share = np.bincount(place, sample.weights() * sample.correct) / weight
    fitted = np.asarray(isotonic_regression(share, weights=weight).x, np.float64)
    steps = np.concatenate([[True], np.diff(fitted) > 1e-12])
    return Isotonic(score[steps], fitted[steps])
