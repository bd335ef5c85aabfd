"""What residuals of unrelated images and sentences look like.

From the matrices alone: a match only raises a residual and unrelated ones are symmetric, so those
below zero are noise, and mirrored they are all of it (an empirical null as in Efron, Large-Scale
Simultaneous Hypothesis Testing, JASA 99, 2004, from one side). From true decoys: all of theirs.
Either way a Student t with its own scale on each side of zero, for tails beyond what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy import optimize, stats

from mmc4viz.arrays import Floats, Ints

_EDGES: Final = np.concatenate([np.linspace(0, 6, 121), [8.0, 12.0, np.inf]])
_TAILS: Final = (2.1, 300.0)  # degrees of freedom: as heavy and as light as any
_SCALES: Final = (0.2, 3.0)


@dataclass(frozen=True)
class Null:
    """The density of residuals of unrelated pairs: two halves of Student t that meet at zero.

    Attributes
    ----------
    low, high : tuple of (float, float)
        Degrees of freedom and scale below and above zero.
    """

    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def mirrored(cls, residuals: Floats) -> Self:
        """Take the residuals below zero for both halves."""
        half = _half(-residuals[residuals < 0])
        return cls(half, half)

    @classmethod
    def observed(cls, residuals: Floats) -> Self:
        """Take each half from the residuals on its side."""
        return cls(_half(-residuals[residuals < 0]), _half(residuals[residuals >= 0]))

    def scaled(self, factor: float) -> Null:
        """Return noise that is larger by a factor."""
        (tail, below), (other, above) = self.low, self.high
        return Null((tail, below * factor), (other, above * factor))

    def log(self, z: Floats) -> Floats:
        """Return the logarithm of the density, up to a constant."""
        below, above = (
            -(tail + 1) / 2 * np.log1p((z / scale) ** 2 / tail)
            for tail, scale in (self.low, self.high)
        )
        return np.asarray(np.where(z < 0, below, above))


def doubt(distance: Floats, owner: Ints, half: tuple[float, float]) -> float:
    """Return the standard error of a half's log scale, as documents vary (a sandwich).

    Parameters
    ----------
    distance : ndarray of float64, shape (n,)
        From zero.
    owner : ndarray of int64, shape (n,)
        Document of each.
    half : (float, float)
        Degrees of freedom and scale, as fitted.
    """
    tail, scale = half
    square = (distance / scale) ** 2
    pull = np.bincount(owner, (tail + 1) * square / (tail + square) - 1)
    known = max(1, len(distance)) * 2 * tail / (tail + 3)
    return float(np.sqrt((pull**2).sum()) / known)


def _half(distance: Floats) -> tuple[float, float]:
    """Fit a folded Student t to distances from zero, by maximum likelihood over bins."""
    counts, _ = np.histogram(distance, _EDGES)
    if not counts.sum():
        return _TAILS[1], 1.0

    def cost(parameters: Floats) -> float:
        tail, scale = np.exp(parameters)
        inside = np.diff(stats.t.cdf(_EDGES / scale, tail))
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
