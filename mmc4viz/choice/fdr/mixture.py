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

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.fdr.null import Null
from mmc4viz.choice.fdr.stack import Stack

SHIFTS: Final = np.append(np.arange(0.25, 6.01, 0.25), [6.5, 7.0, 7.5, 8.0, 9.0, 10.5, 12.5, 15.0])
_WIDTHS: Final = np.gradient(SHIFTS)
_BINS: Final = np.arange(-8.0, 25.01, 0.025)  # of residuals
_REACHES: Final = 8  # classes of pages by how far a shift moves a residual
_MOST_LOG: Final = 40.0  # of a likelihood ratio
_MESSAGES: Final = 3  # rounds of them
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Signal:
    """How right sentences stand out.

    Attributes
    ----------
    share : float
        Of the images that there are sentences for, those with a right one on their page.
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
            Residuals (`mmc4viz.choice.fdr.effects.rivals`).
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
        share = signal.share * self.stack.room
        one = share / self.stack.width[self.stack.document]
        likelihood = 1 - share + one * np.add.reduceat(ratio, self.stack.start[:-1])
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
        Huang and Jebara, arXiv 0908.1769), with weights by which similarities that say nothing
        leave the prior as it is.
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
        """Mean of what matches added to each entry, in noise deviations, shape (E,)."""
        mean = (self.signal.weights * SHIFTS) @ self.rows.ratios / np.maximum(self.table, 1e-300)
        return np.asarray(self.alone * mean[self.rows.bins])

    def drawn(self, seed: int = 0) -> Floats:
        """Draw what matches may have added to each entry, in noise deviations, shape (E,).

        Less a mean, what is left would vary less than noise does; less a draw, as much.
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
