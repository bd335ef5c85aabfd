"""Which matched pairs are right, by what their whole row of similarity says: an empirical Bayes.

An image has one right sentence on its page with some probability, any sentence as likely as
another; that one's residual is raised by a shift of its own, all else is noise (`null`). Three
numbers say it all (`Signal`). Given them, Bayes' rule turns an image's row of likelihood ratios
into the probability that its assigned sentence is right: the local false-discovery rate (Efron,
Tibshirani, Storey and Tusher, JASA 96, 2001), of whole rows, so that a right sentence that was
beaten by a wrong one counts against the winner. How an assignment chose plays no part: the row is
conditioned upon. Where two sentences of an image stand out, one of them is taken to be wrong, and
so is one of two images for which a sentence stands out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy import optimize
from scipy.stats import qmc

from mmc4viz.choice.fdr.null import Null
from mmc4viz.choice.fdr.stack import Stack
from mmc4viz.choice.lineup import Floats, Ints

SHIFTS: Final = np.append(np.arange(0.25, 6.01, 0.25), [6.5, 7.0, 7.5, 8.0, 9.0, 10.5, 12.5, 15.0])
_WIDTHS: Final = np.gradient(SHIFTS)
_BINS: Final = np.arange(-8.0, 25.01, 0.025)  # of residuals
_REACHES: Final = 8  # classes of pages by how far a shift moves a residual
_MOST_LOG: Final = 40.0  # of a likelihood ratio
_MESSAGES: Final = 3  # rounds of them
_TINY: Final = 1e-12
_WIDER: Final = 1.3  # than the curvature says
# Weak prior beliefs, normal: mean and deviation of log odds of a right sentence, log shift, log
# spread. They hold where the data say nothing; a small spread is the cautious belief: a large one
# would explain noise as right pairs that hardly stand out.
_PRIOR: Final = np.array([[0.0, 2.0], [np.log(3.0), 0.7], [np.log(0.3), 0.7]])
_BOUNDS: Final = [(-8.0, 8.0), (np.log(0.3), np.log(14.0)), (np.log(0.2), np.log(5.0))]


@dataclass(frozen=True)
class Signal:
    """How right sentences stand out.

    Attributes
    ----------
    share : float
        Of the images, those with a right sentence on their page.
    shift, spread : float
        Mean and deviation, before it is cut at zero, of the normal law of shifts, in deviations
        of the noise.
    """

    share: float
    shift: float
    spread: float

    @classmethod
    def of(cls, theta: Floats) -> Self:
        """Read unbounded parameters: logits and logarithms."""
        return cls(float(1 / (1 + np.exp(-theta[0]))), *np.exp(theta[1:]).tolist())

    @property
    def weights(self) -> Floats:
        """Probability of each of the `SHIFTS`."""
        weight = np.exp(-0.5 * ((SHIFTS - self.shift) / self.spread) ** 2) * _WIDTHS
        return np.asarray(weight / weight.sum())

    @property
    def mean_shift(self) -> float:
        """Mean of the shifts."""
        return float(self.weights @ SHIFTS)


@dataclass(frozen=True)
class Rows:
    """What a signal is judged by: residuals in bins, and likelihood ratios of bins and shifts.

    Attributes
    ----------
    stack : Stack
    bins : ndarray of int64, shape (E,)
        Bin of each entry's residual and of its page's reach.
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
            Residuals (`mmc4viz.choice.fdr.effects.residuals`).
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

    def judge(self, signal: Signal) -> Judged:
        """Work out the likelihood of each row under a signal."""
        table = signal.weights @ self.ratios
        ratio = table.take(self.bins, mode="clip")
        one = signal.share / self.stack.width[self.stack.document]
        likelihood = 1 - signal.share + one * np.add.reduceat(ratio, self.stack.start[:-1])
        return Judged(self, signal, table, ratio, one, likelihood)


@dataclass(frozen=True)
class Judged:
    """Rows under one signal.

    Attributes
    ----------
    rows : Rows
    signal : Signal
    table : ndarray of float64, shape (bins,)
        Likelihood ratio of each bin.
    ratio : ndarray of float64, shape (E,)
        Of each entry.
    one : ndarray of float64, shape (R,)
        Prior probability of each sentence.
    likelihood : ndarray of float64, shape (R,)
        Of each row, over that of noise alone.
    """

    rows: Rows
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
        """Probability that each entry is right, every image looked at alone, shape (E,)."""
        return np.asarray(self.ratio * (self.one / self.likelihood)[self.rows.stack.row])

    @property
    def right(self) -> Floats:
        """Probability that each matched pair is right, shape (pairs,).

        No sentence is right for two images: by messages between images and sentences that each
        leave out what the other one said (sum-product on a bipartite graph, as for permanents:
        Huang and Jebara, arXiv 0908.1769), over those of the prior alone.
        """
        stack = self.rows.stack
        prior = self.signal.share / stack.width
        usual = (1 + (stack.images - 1) * prior / (1 - prior).clip(_TINY))[stack.owner]
        weight = self.ratio * (self.one[stack.row] * usual)
        found = weight / usual
        for _ in range(_MESSAGES):
            whole = 1 - self.signal.share + np.add.reduceat(found, stack.start[:-1])
            claim = weight / np.maximum(whole[stack.row] - found, _TINY)
            others = np.bincount(stack.sentence, claim, stack.first[-1])[stack.sentence] - claim
            found = weight / (1 + others.clip(0))
        whole = 1 - self.signal.share + np.add.reduceat(found, stack.start[:-1])
        return np.asarray(np.minimum(found[stack.place] / whole[stack.matched], 1.0))

    def signal_of_entries(self) -> tuple[Floats, Floats]:
        """Return mean and variance of what matches added to each entry, in noise deviations."""
        probability, weights = self.alone, self.signal.weights
        some = np.maximum(self.table, 1e-300)
        mean = ((weights * SHIFTS) @ self.rows.ratios / some)[self.rows.bins]
        square = ((weights * SHIFTS**2) @ self.rows.ratios / some)[self.rows.bins]
        taken = probability * mean
        return taken, probability * square - taken**2


def cost(theta: Floats, rows: Rows) -> float:
    """Return minus the log posterior of a signal's parameters."""
    likelihood = rows.judge(Signal.of(theta)).likelihood
    return -float(beliefs(theta) + np.log(likelihood).sum())


def most_likely(rows: Rows, start: Floats | None = None, steps: int = 60) -> Floats:
    """Return the parameters of the most probable signal, shape (3,)."""
    begin = _PRIOR[:, 0] if start is None else start
    found = optimize.minimize(cost, begin, (rows,), method="L-BFGS-B", bounds=_BOUNDS,
                              options={"maxiter": steps, "ftol": 1e-9, "eps": 1e-4})  # fmt: skip
    return np.asarray(found.x)


def around(theta: Floats, rows: Rows, n: int, seed: int) -> Floats:
    """Return parameters that the data may have come from, the most probable ones first.

    Parameters
    ----------
    theta : ndarray of float64, shape (3,)
        The most probable.
    rows : Rows
    n : int
        How many more.
    seed : int

    Returns
    -------
    ndarray of float64, shape (1 + n, 3)
        Spread as the curvature of the posterior says (Laplace), and a little wider.
    """
    values, axes = np.linalg.eigh(_curvature(theta, rows))
    normal = qmc.MultivariateNormalQMC(np.zeros(len(theta)), rng=np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that n is no power of two
        steps = _WIDER * normal.random(n) / np.sqrt(np.maximum(values, 0.2))
    low, high = np.array(_BOUNDS).T
    return np.asarray(np.clip(theta + np.vstack([0 * theta, steps @ axes.T]), low, high))


def _curvature(theta: Floats, rows: Rows) -> Floats:
    """Return the second derivatives of the cost, by differences, shape (3, 3)."""
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


def beliefs(theta: Floats) -> Floats:
    """Return the log prior of parameters, shape (n,) of (n, 3), up to a constant."""
    return np.asarray(-0.5 * (((theta - _PRIOR[:, 0]) / _PRIOR[:, 1]) ** 2).sum(axis=-1))
