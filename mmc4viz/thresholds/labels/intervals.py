"""Confidence intervals of a proportion from a stratified sample, also near 1 and for small strata.

The interval inverts a mid-P test: it contains a proportion P if a sample at least as extreme as the
observed one is not too unlikely under the most likely strata with weighted mean P. Combining
per-stratum intervals (MOVER, Jeffreys) is too wide or undercovers when strata have few or no
incorrect labels; this method was chosen for its coverage.

References
----------
Constrained maximum likelihood: Miettinen and Nurminen, Statistics in Medicine 4 (1985).
Plug-in for the nuisance parameters: Lloyd, Australian & New Zealand J. of Statistics 50 (2008).
Mid-P: Lancaster, JASA 56 (1961); Agresti and Gottard, Comput. Statistics & Data Anal. 51 (2007).
Tail from the characteristic function: Gil-Pelaez, Biometrika 38 (1951).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats

Numbers = Floats | NDArray[np.int64]

_NODES: Final = 256  # of the inversion; its error is far below that of the plug-in
_STEPS: Final = 13  # per bisection
_CENSUS: Final = 1e-9  # the smallest unlabeled fraction of a stratum


@dataclass(frozen=True)
class Interval:
    """Estimates with confidence limits, each of shape (K,)."""

    estimate: Floats
    low: Floats
    high: Floats


def interval(
    population: Numbers,
    labelled: Numbers,
    right: Numbers,
    level: float = 0.95,
    *,
    exact: bool = True,
) -> Interval:
    """Estimate the proportion of correct pairs in stratified populations.

    Parameters
    ----------
    population : ndarray of float64, shape (K, H)
        Size of each stratum in each of K populations; 0 if it is not part of one.
    labelled, right : ndarray of float64, shape (K, H)
        How many of these were sampled at random and labeled, and how many are correct.
    level : float
        Two-sided confidence level.
    exact : bool
        Whether to invert the mid-P test; otherwise the score test, which accepts fractional counts
        and is used for planning.

    Returns
    -------
    Interval
        A stratum without labels may have any proportion: it widens the limits by its share and
        does not enter the estimate, which is NaN without any labels.

    Examples
    --------
    >>> all_right = interval(np.array([[1e6]]), np.array([[50.0]]), np.array([[50.0]]))
    >>> all_right.estimate, all_right.low.round(3), all_right.high
    (array([1.]), array([0.942]), array([1.]))
    """
    found, share = _Test.of(population, labelled, right)
    some = share > 0
    tail = (1 - level) / 2
    low, high = found.limit(1, tail, exact), found.limit(-1, tail, exact)
    estimate = np.where(some, found.estimate, np.nan)
    return Interval(estimate, np.where(some, low * share, 0.0),
                    np.where(some, high * share + 1 - share, 1.0))  # fmt: skip


def is_at_least(
    population: Numbers, labelled: Numbers, right: Numbers, least: float, confidence: float = 0.95
) -> NDArray[np.bool_]:
    """Test whether the proportion of correct pairs is at least ``least``, shape (K,).

    The one-sided test whose inversion is the lower limit of `interval` at level
    ``2 * confidence - 1``.

    Examples
    --------
    >>> n = np.array([[21.0], [22.0]])
    >>> is_at_least(np.full((2, 1), 1e9), n, n, 0.9)
    array([False,  True])
    """
    found, share = _Test.of(population, labelled, right)
    least_known = np.divide(least, share, out=np.full(len(share), np.inf), where=share > 0)
    above = found.estimate > least_known
    tail = found.tail_at(np.where(above, least_known, 0.5 * found.estimate))
    return np.asarray(above & (tail <= 1 - confidence), np.bool_)


@dataclass(frozen=True)
class _Test:
    """Test of a stratified mean, for K populations of H strata; arrays of shape (K, H).

    ``n`` is the effective number of labels after the finite-population correction.
    """

    weight: Floats
    n: Floats
    proportion: Floats
    estimate: Floats

    @classmethod
    def of(cls, population: Numbers, labelled: Numbers, right: Numbers) -> tuple[_Test, Floats]:
        """Return the test over the labeled strata, and their share of the populations."""
        whole, there, good = (np.asarray(a, np.float64) for a in (population, labelled, right))
        used = (whole > 0) & (there > 0)
        total, known = whole.sum(axis=1), np.where(used, whole, 0.0).sum(axis=1)
        share = np.divide(known, total, out=np.zeros(len(total)), where=total > 0)
        weight = np.divide(whole, known[:, None], out=np.zeros_like(whole), where=used)
        there, whole = np.where(used, there, 1.0), np.where(used, whole, 2.0)
        rest = (whole - there) / np.maximum(whole - 1, 1.0)
        proportion = np.where(used, good / there, 0.5)
        n = there / np.maximum(rest, _CENSUS)
        return cls(weight, n, proportion, (weight * proportion).sum(axis=1)), share

    def tail_at(self, mean: Floats) -> Floats:
        """Return the tail probability of the estimate under a lower mean, shape (K,)."""
        low, high = np.full(len(self.n), -30.0), np.full(len(self.n), 40.0)
        at = self._bisect(1, low, high, 60, lambda p: mean - self._mean(p))
        return self._tail(self._likeliest(np.exp(at)), 1)

    def limit(self, side: int, tail: float, exact: bool) -> Floats:
        """Return the lower limit (side 1) or the upper one (side -1), shape (K,)."""
        from scipy.special import ndtri

        z = float(ndtri(1 - tail))
        low, high = np.full(len(self.n), -30.0), np.full(len(self.n), 40.0)
        start = self._bisect(side, low, high, 44, lambda p: self._score(p) - z)
        if exact:
            low, high = start - 3.5, start + 3.5
            start = self._bisect(side, low, high, _STEPS, lambda p: tail - self._tail(p, side))
        end = self._mean(self._likeliest(side * np.exp(start)))
        at_end = self.estimate <= 1e-12 if side > 0 else self.estimate >= 1 - 1e-12
        return np.where(at_end, self.estimate, end)

    def _bisect(
        self, side: int, low: Floats, high: Floats, steps: int, beyond: Callable[[Floats], Floats]
    ) -> Floats:
        """Find where rejection begins, on the logarithm of the multiplier."""
        for _ in range(steps):
            middle = (low + high) / 2
            far = beyond(self._likeliest(side * np.exp(middle))) > 0
            low, high = np.where(far, low, middle), np.where(far, middle, high)
        return (low + high) / 2

    def _likeliest(self, multiplier: Floats) -> Floats:
        """Return the most likely strata for the mean that the Lagrange multiplier implies."""
        a = np.abs(multiplier)[:, None] * self.weight
        down = (multiplier > 0)[:, None]
        p = np.where(down, self.proportion, 1 - self.proportion)
        root = np.sqrt(np.maximum((self.n - a) ** 2 + 4 * a * self.n * (1 - p), 0.0))
        moved = np.minimum(2 * self.n * p / (self.n + a + root), 1.0)
        return np.asarray(np.where(down, moved, 1 - moved), np.float64)

    def _mean(self, strata: Floats) -> Floats:
        mean: Floats = (self.weight * strata).sum(axis=1)
        return mean

    def _variance(self, strata: Floats) -> Floats:
        variance: Floats = (self.weight**2 * strata * (1 - strata) / self.n).sum(axis=1)
        return variance

    def _unsettled(self, strata: Floats) -> Floats:
        """Return how much the variance is underestimated because strata are fitted to the labels.

        The correction factor is n / (n − 1) for many strata and 1 for a single one; compare the
        factor of Miettinen and Nurminen.
        """
        parts = self.weight**2 * strata * (1 - strata) / self.n
        fixed = parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)
        free = (1 - fixed) / np.maximum(self.n - 1 + fixed, 0.5)
        return np.asarray((parts * free).sum(axis=1), np.float64)

    def _score(self, strata: Floats) -> Floats:
        away, variance = np.abs(self.estimate - self._mean(strata)), self._variance(strata)
        return np.asarray(away / np.sqrt(np.maximum(variance, 1e-300)), np.float64)

    def _tail(self, strata: Floats, side: int) -> Floats:
        """Return the mid-P tail probability of the estimate under these strata."""
        away = self.estimate - self._mean(strata)
        step = self.weight / self.n
        reach = np.maximum(14 * np.sqrt(self._variance(strata)), 12 * step.max(axis=1))
        reach = np.maximum(reach, 3 * np.abs(away)) + 1e-12
        t = (np.arange(_NODES) + 0.5) * (2 * np.pi / reach)[:, None]
        smooth = 6 * reach / (2 * np.pi * _NODES)
        blur = smooth**2 + self._unsettled(strata)
        log, phase = -0.5 * blur[:, None] * t**2, -t * away[:, None]
        for h in range(self.n.shape[1]):  # the rarer side, whose phase does not wrap
            right = strata[:, h, None]
            rare, sign = np.minimum(right, 1 - right), np.where(right > 0.5, -1.0, 1.0)
            angle = sign * step[:, h, None] * t
            half, n = np.sin(angle / 2) ** 2, self.n[:, h, None]
            with np.errstate(divide="ignore"):  # p = 1/2 at half a turn gives 0
                log += 0.5 * n * np.log1p(-4 * rare * (1 - rare) * half)
            turn = np.arctan2(rare * np.sin(angle), 1 - 2 * rare * half)
            phase += n * (turn - rare * angle)
        below = 0.5 - (2 / reach) * (np.exp(log) * np.sin(phase) / t).sum(axis=1)
        return np.asarray(1 - below if side > 0 else below, np.float64)
