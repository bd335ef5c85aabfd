"""Null distribution, mixture model and posterior probabilities of residuals.

Null distribution. Matches only raise residuals and noise is symmetric, so the negative residuals,
mirrored, give the noise distribution (a one-sided empirical null; Efron, Large-Scale Simultaneous
Hypothesis Testing, JASA 99, 2004). With decoys, all of their residuals do. Either way a Student t
is fitted on each side of zero, to extrapolate the tails.

Mixture. With some probability an image has one correct sentence on its page, each equally likely;
its residual is raised by a random shift, and everything else is noise. The three parameters are a
`Signal`. Given them, Bayes' rule turns an image's row of likelihood ratios into the probability
that its matched sentence is correct, the complement of the local false-discovery rate (Efron,
Tibshirani, Storey and Tusher, JASA 96, 2001). The whole row is used, so a correct sentence that
lost to an incorrect one counts against the winner. The assignment method does not matter. At most
one sentence per image, and one image per sentence, is correct.

Rows are treated as independent (a pseudo-likelihood: Besag, The Statistician 24, 1975).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.thresholds.fdr.matrices import Stack

_EDGES: Final = np.concatenate([np.linspace(0, 6, 121), [8.0, 12.0, np.inf]])
_TAILS: Final = (2.1, 300.0)  # range of degrees of freedom
_SCALES: Final = (0.2, 3.0)


@dataclass(frozen=True)
class Null:
    """Density of residuals of incorrect pairs: a half Student t on each side of zero.

    Attributes
    ----------
    low, high : tuple of (float, float)
        Degrees of freedom and scale below and above zero.
    """

    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def mirrored(cls, residuals: Floats) -> Self:
        """Fit both halves to the negative residuals."""
        half = _half(-residuals[residuals < 0])
        return cls(half, half)

    @classmethod
    def observed(cls, residuals: Floats) -> Self:
        """Fit each half to the residuals on its side."""
        return cls(_half(-residuals[residuals < 0]), _half(residuals[residuals >= 0]))

    def scaled(self, factor: float) -> Null:
        """Return the distribution with its scale multiplied by a factor."""
        (tail, below), (other, above) = self.low, self.high
        return Null((tail, below * factor), (other, above * factor))

    def log(self, z: Floats) -> Floats:
        """Return the log density, up to a constant."""
        below, above = (
            -(tail + 1) / 2 * np.log1p((z / scale) ** 2 / tail)
            for tail, scale in (self.low, self.high)
        )
        return np.asarray(np.where(z < 0, below, above))


def log_scale_error(distance: Floats, owner: Ints, half: tuple[float, float]) -> float:
    """Return the standard error of a half's log scale, clustered by document (sandwich).

    Parameters
    ----------
    distance : ndarray of float64, shape (n,)
        Absolute residuals.
    owner : ndarray of int64, shape (n,)
        Document of each.
    half : (float, float)
        Fitted degrees of freedom and scale.
    """
    tail, scale = half
    square = (distance / scale) ** 2
    pull = np.bincount(owner, (tail + 1) * square / (tail + square) - 1)
    known = max(1, len(distance)) * 2 * tail / (tail + 3)
    return float(np.sqrt((pull**2).sum()) / known)


def _half(distance: Floats) -> tuple[float, float]:
    """Fit a folded Student t to absolute residuals, by binned maximum likelihood."""
    from scipy import optimize
    from scipy.special import stdtr

    counts, _ = np.histogram(distance, _EDGES)
    if not counts.sum():
        return _TAILS[1], 1.0

    def cost(parameters: Floats) -> float:
        tail, scale = np.exp(parameters)
        inside = np.diff(stdtr(tail, _EDGES / scale))
        return -float((counts * np.log(np.maximum(inside, 1e-12))).sum())

    middle = float(np.clip(np.median(distance) / 0.67, *_SCALES))
    begin = np.log([20.0, middle])
    simplex = begin + np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, -0.2]])
    bounds = [tuple(np.log(ends)) for ends in (_TAILS, _SCALES)]
    found = optimize.minimize(
        cost,
        begin,
        method="Nelder-Mead",
        bounds=bounds,
        options={"xatol": 0.005, "fatol": 0.05, "initial_simplex": simplex},
    )
    tail, scale = np.exp(found.x).tolist()
    return tail, scale


SHIFTS: Final = np.append(np.arange(0.25, 6.01, 0.25), [6.5, 7.0, 7.5, 8.0, 9.0, 10.5, 12.5, 15.0])
_WIDTHS: Final = np.gradient(SHIFTS)
_BINS: Final = np.arange(-8.0, 25.01, 0.025)  # of residuals
_REACHES: Final = 8  # classes of pages by how far a shift moves a residual (reach)
_MOST_LOG: Final = 40.0  # largest log likelihood ratio
_MESSAGES: Final = 3  # rounds of message passing
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Signal:
    """Parameters of the correct sentences.

    Attributes
    ----------
    share : float
        Share of images with a correct sentence on their page, among images that can get one.
    shift, spread : float
        Mean and standard deviation of the normal distribution of shifts before truncation at
        zero, in noise standard deviations.
    """

    share: float
    shift: float
    spread: float

    @classmethod
    def of(cls, theta: Floats) -> Self:
        """Convert unbounded parameters: a logit and two logarithms."""
        return cls(float(1 / (1 + np.exp(-theta[0]))), *np.exp(theta[1:]).tolist())

    @property
    def weights(self) -> Floats:
        """Probability of each of the `SHIFTS`."""
        weight = np.exp(-0.5 * ((SHIFTS - self.shift) / self.spread) ** 2) * _WIDTHS
        return np.asarray(weight / weight.sum())

    @property
    def mean_shift(self) -> float:
        """Mean shift."""
        return float(self.weights @ SHIFTS)


@dataclass(frozen=True)
class ResidualRows:
    """Binned residuals, and likelihood ratios by shift and bin.

    Attributes
    ----------
    stack : Stack
    bins : ndarray of int64, shape (E,)
        Bin of each entry's residual and page reach.
    ratios : ndarray of float64, shape (len(SHIFTS), bins)
    """

    stack: Stack
    bins: Ints
    ratios: Floats

    @classmethod
    def of(cls, stack: Stack, rival: Floats, reach: Floats, null: Null) -> Self:
        """Tabulate the likelihood ratios.

        Parameters
        ----------
        stack : Stack
        rival : ndarray of float64, shape (E,)
            Residuals (`mmc4viz.thresholds.fdr.effects.rivals`).
        reach : ndarray of float64, shape (D,)
        null : Null
        """
        ends = np.linspace(reach.min(), reach.max(), _REACHES + 1)
        known = np.clip(np.searchsorted(ends, reach, side="right") - 1, 0, _REACHES - 1)
        number = np.bincount(known, minlength=_REACHES)
        middle = np.bincount(known, reach, _REACHES) / np.maximum(number, 1)
        moved = _BINS[None, None] - SHIFTS[:, None, None] * middle[None, :, None]
        ratios = np.exp(np.minimum(null.log(moved) - null.log(_BINS), _MOST_LOG))
        at = np.rint((np.clip(rival, _BINS[0], _BINS[-1]) - _BINS[0]) / 0.025)
        bins = (at + known[stack.owner] * len(_BINS)).astype(np.int64)
        return cls(stack, bins, ratios.reshape(len(SHIFTS), -1))

    def judge(self, signal: Signal) -> Posterior:
        """Compute the posterior of each row under a signal."""
        table = signal.weights @ self.ratios
        ratio = table.take(self.bins, mode="clip")
        share = signal.share * self.stack.room
        one = share / self.stack.width[self.stack.document]
        likelihood = 1 - share + one * np.add.reduceat(ratio, self.stack.start[:-1])
        return Posterior(self, signal, table, ratio, one, likelihood)


@dataclass(frozen=True)
class Posterior:
    """Posterior of the rows under one signal.

    Attributes
    ----------
    rows : ResidualRows
    signal : Signal
    table : ndarray of float64, shape (bins,)
        Likelihood ratio of each bin.
    ratio : ndarray of float64, shape (E,)
        Likelihood ratio of each entry.
    one : ndarray of float64, shape (R,)
        Prior probability of each sentence.
    likelihood : ndarray of float64, shape (R,)
        Likelihood ratio of each row against noise only.
    """

    rows: ResidualRows
    signal: Signal
    table: Floats
    ratio: Floats
    one: Floats
    likelihood: Floats

    @property
    def by_document(self) -> Floats:
        """Return the log likelihood of each document, shape (D,)."""
        stack = self.rows.stack
        return np.asarray(np.bincount(stack.document, np.log(self.likelihood), len(stack)), float)

    @property
    def alone(self) -> Floats:
        """Probability that each entry is correct, considering each image alone, shape (E,)."""
        return np.asarray(self.ratio * (self.one / self.likelihood)[self.rows.stack.row])

    @property
    def right(self) -> Floats:
        """Probability that each matched pair is correct, shape (pairs,).

        No sentence is correct for two images: enforced by sum-product message passing between
        images and sentences (as for permanents: Huang and Jebara, arXiv 0908.1769), weighted so
        that uninformative scores leave the prior unchanged.
        """
        stack = self.rows.stack
        none = 1 - self.one * stack.width[stack.document]
        prior = self.one[stack.images.cumsum() - 1]
        usual = ((1 - prior) / (1 - stack.images * prior).clip(_TINY))[stack.owner]
        weight = self.ratio * (self.one[stack.row] * usual)
        found = weight / usual
        for _ in range(_MESSAGES):
            whole = none + np.add.reduceat(found, stack.start[:-1])
            claim = weight / np.maximum(whole[stack.row] - found, _TINY)
            others = np.bincount(stack.sentence, claim, stack.first[-1])[stack.sentence] - claim
            found = weight / (1 + others.clip(0))
        whole = none + np.add.reduceat(found, stack.start[:-1])
        return np.asarray(np.minimum(found[stack.place] / whole[stack.matched], 1.0))

    @property
    def added(self) -> Floats:
        """Expected contribution of matches to each entry, in noise σ, shape (E,)."""
        mean = (self.signal.weights * SHIFTS) @ self.rows.ratios / np.maximum(self.table, 1e-300)
        return np.asarray(self.alone * mean[self.rows.bins])

    def drawn(self, seed: int = 0) -> Floats:
        """Draw the contribution of matches to each entry, in noise σ, shape (E,).

        Subtracting the mean would leave less variance than the noise has; a draw does not.
        """
        stack, rng = self.rows.stack, np.random.default_rng(seed)
        which, how_far = rng.random((2, len(stack.assigned)))
        sums = np.append(0.0, np.cumsum(self.alone))
        entry = np.searchsorted(sums[1:], sums[stack.start[:-1]] + which)
        some = entry < stack.start[1:]
        entry, bins = entry[some], self.rows.bins[entry[some]]
        odds = np.cumsum(self.signal.weights[:, None] * self.rows.ratios[:, bins], axis=0)
        found = np.zeros(len(self.ratio))
        found[entry] = SHIFTS[(odds < how_far[some] * odds[-1]).sum(axis=0)]
        return found


_WIDER: Final = 1.3  # factor on the Laplace approximation's standard deviations
# Weak normal priors: mean and standard deviation of the log odds of a correct sentence, log shift
# and log spread. A small spread is the cautious choice: a large one would explain noise as barely
# separated correct pairs.
_PRIOR: Final = np.array([[0.0, 2.0], [np.log(3.0), 0.7], [np.log(0.5), 0.8]])
_BOUNDS: Final = [(-8.0, 8.0), (np.log(0.3), np.log(14.0)), (np.log(0.2), np.log(5.0))]


def cost(theta: Floats, rows: ResidualRows) -> float:
    """Return the negative log posterior of a signal's parameters."""
    likelihood = rows.judge(Signal.of(theta)).likelihood
    return -float(log_prior(theta) + np.log(likelihood).sum())


def most_likely(rows: ResidualRows, start: Floats | None = None, steps: int = 60) -> Floats:
    """Return the parameters of the most probable signal, shape (3,)."""
    from scipy import optimize

    begin = _PRIOR[:, 0] if start is None else start
    found = optimize.minimize(cost, begin, (rows,), method="L-BFGS-B", bounds=_BOUNDS,
                              options={"maxiter": steps, "ftol": 1e-9, "eps": 1e-4})  # fmt: skip
    return np.asarray(found.x)


def plausible_parameters(theta: Floats, rows: ResidualRows, n: int, seed: int) -> Floats:
    """Return plausible parameters, the most probable first.

    Parameters
    ----------
    theta : ndarray of float64, shape (3,)
        The most probable.
    rows : ResidualRows
    n : int
        Number of further parameter vectors.
    seed : int

    Returns
    -------
    ndarray of float64, shape (1 + n, 3)
        Spread like the Laplace approximation of the posterior, and a little wider.
    """
    values, axes = np.linalg.eigh(_curvature(theta, rows))
    from scipy.stats import qmc  # takes as long to load as all else that an estimate needs

    normal = qmc.MultivariateNormalQMC(np.zeros(len(theta)), rng=np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that n is not a power of two
        steps = _WIDER * normal.random(n) / np.sqrt(np.maximum(values, 0.2))
    return clipped_to_bounds(theta + np.vstack([0 * theta, steps @ axes.T]))


def clipped_to_bounds(theta: Floats) -> Floats:
    """Return the nearest parameters within the bounds, shape (..., 3)."""
    return np.asarray(np.clip(theta, *np.array(_BOUNDS).T))


def _curvature(theta: Floats, rows: ResidualRows) -> Floats:
    """Return the Hessian of the cost by finite differences, shape (3, 3)."""
    step, k = 0.05, len(theta)

    def at(*moves: tuple[int, float]) -> float:
        moved = theta.copy()
        for n, sign in moves:
            moved[n] += sign * step
        return cost(moved, rows)

    middle, plus = at(), [at((n, 1.0)) for n in range(k)]
    bend = np.diag([plus[n] + at((n, -1.0)) - 2 * middle for n in range(k)])
    for a in range(k):
        for b in range(a):
            bend[a, b] = bend[b, a] = at((a, 1.0), (b, 1.0)) - plus[a] - plus[b] + middle
    return np.asarray(bend / step**2)


def log_prior(theta: Floats, centre: Floats = _PRIOR[:, 0]) -> Floats:
    """Return the log prior of parameters, shape (n,) of (n, 3), up to a constant."""
    return np.asarray(-0.5 * (((theta - centre) / _PRIOR[:, 1]) ** 2).sum(axis=-1))


def prior_centers(n: int, rng: np.random.Generator) -> Floats:
    """Draw centers of the prior from the prior, shape (n, 1, 3)."""
    return np.asarray(_PRIOR[:, 0] + rng.standard_normal((n, 1, 3)) * _PRIOR[:, 1])
