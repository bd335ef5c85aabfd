"""What else the rate at a threshold might be: fits of resampled documents, fates of pairs drawn.

Three things are not known: how matches stand out, how large noise is, and which pairs are right
even so. Each round of a bootstrap over documents takes another value for all three. The fits of
rounds are the best of many that suit the documents as they are, so that nothing is fitted anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.fdr.fitting import Fit
from mmc4viz.choice.fdr.likelihood import around, beliefs, centres, inside
from mmc4viz.choice.fdr.mixture import Signal
from mmc4viz.choice.fdr.stack import Stack

_FITS: Final = 127


@dataclass(frozen=True)
class Reach:
    """How many of T thresholds each pair reaches, shape (pairs,)."""

    thresholds: int
    of_pair: Ints

    @classmethod
    def of(cls, stack: Stack, thresholds: Floats) -> Reach:
        """Look at a stack's matched pairs; thresholds ascend."""
        return cls(len(thresholds), np.searchsorted(thresholds, stack.score, side="right"))

    def sums(self, weight: Floats | Ints | None = None) -> Floats:
        """Return how much reaches each threshold, shape (T,)."""
        return _from_right(np.bincount(self.of_pair, weight, self.thresholds + 1))

    def share(self, wrong: Floats) -> Floats:
        """Return the share of wrong pairs at each threshold, NaN where there is no pair.

        Parameters
        ----------
        wrong : ndarray of float64, shape (pairs,)
            Probability of being wrong.
        """
        return _ratio(self.sums(wrong), self.sums())

    def drawn(self, wrong: Floats, rng: np.random.Generator, each: Ints) -> Floats:
        """Return the share of wrong pairs if each one's fate is drawn, shape (T,).

        Parameters
        ----------
        wrong : ndarray of float64, shape (pairs,)
        rng : numpy.random.Generator
        each : ndarray of int64, shape (pairs,)
            How often each pair counts.
        """
        variance = np.bincount(self.of_pair, each * wrong * (1 - wrong), self.thresholds + 1)
        by_chance = _from_right(rng.standard_normal(len(variance)) * np.sqrt(variance))
        return _ratio(self.sums(each * wrong) + by_chance, self.sums(each))


@dataclass(frozen=True)
class Rounds:
    """What rounds say: the rates, shape (rounds, T), and the mean shifts, shape (rounds,)."""

    rate: Floats
    shift: Floats


def resample(fitted: Fit, smaller: Fit, reach: Reach, rounds: int, seed: int) -> Rounds:
    """Draw documents anew, fit each draw, and draw noise's size and the pairs' fates.

    Parameters
    ----------
    fitted : Fit
    smaller : Fit
        The same with noise smaller by its standard error.
    reach : Reach
    rounds, seed : int

    Notes
    -----
    Of a corpus that is looked at as a whole, the pairs are what they are, and only their fates are
    drawn; documents that stand for more are drawn anew with their pairs. Beliefs are drawn as
    well, or what only they hold would look sure (randomised maximum a posteriori: Bardsley,
    Solonen, Haario and Laine, SIAM Journal on Scientific Computing 36, 2014).
    """
    rng, stack = np.random.default_rng(seed), fitted.rows.stack
    counts = rng.multinomial(len(stack), np.full(len(stack), 1 / len(stack)), rounds)
    fits = around(fitted.theta, fitted.rows, _FITS, seed)
    judged = (fitted.rows.judge(Signal.of(one)) for one in fits)
    fit_of, right = zip(*((one.by_document, one.right) for one in judged), strict=True)
    best = (beliefs(fits, centres(rounds, rng)).T + np.array(fit_of) @ counts.T).argmax(axis=0)
    size = rng.standard_normal((rounds, 1))
    pairs_of = stack.document[stack.matched]
    times = counts if stack.sampled else np.ones_like(counts)
    draws = zip(best.tolist(), times, strict=True)
    rate = np.array([reach.drawn(1 - right[fit], rng, each[pairs_of]) for fit, each in draws])
    rate = np.clip(rate + size * (_rate(smaller, reach) - _rate(fitted, reach)), 0, 1)
    theta = inside(fits[best] + size * (smaller.theta - fitted.theta))
    return Rounds(rate, np.array([Signal.of(one).mean_shift for one in theta]))


def _rate(fitted: Fit, reach: Reach) -> Floats:
    return reach.share(1 - fitted.rows.judge(fitted.signal).right)


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(np.where(whole > 0, part / whole, np.nan), 0, 1))


def _from_right(bins: NDArray[Any]) -> NDArray[Any]:
    """Sum up bins from the right: what reaches each threshold."""
    return np.asarray(bins[:0:-1].cumsum()[::-1])
