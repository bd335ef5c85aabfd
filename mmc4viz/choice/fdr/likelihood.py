"""Which signals the rows of similarity may have come from: the likelihood, and weak beliefs before.

Rows are taken as if they were independent (a pseudo-likelihood: Besag, The Statistician 24, 1975).
What a signal makes of a row is `mixture`'s.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
from scipy import optimize
from scipy.stats import qmc

from mmc4viz.arrays import Floats
from mmc4viz.choice.fdr.mixture import Rows, Signal

_WIDER: Final = 1.3  # than the curvature says
# Weak prior beliefs, normal: mean and deviation of log odds of a right sentence, log shift, log
# spread. They hold where the data say nothing; a small spread is the cautious belief: a large one
# would explain noise as right pairs that hardly stand out.
_PRIOR: Final = np.array([[0.0, 2.0], [np.log(3.0), 0.7], [np.log(0.5), 0.8]])
_BOUNDS: Final = [(-8.0, 8.0), (np.log(0.3), np.log(14.0)), (np.log(0.2), np.log(5.0))]


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
    return inside(theta + np.vstack([0 * theta, steps @ axes.T]))


def inside(theta: Floats) -> Floats:
    """Return the nearest parameters within the bounds, shape (..., 3)."""
    return np.asarray(np.clip(theta, *np.array(_BOUNDS).T))


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


def beliefs(theta: Floats, centre: Floats = _PRIOR[:, 0]) -> Floats:
    """Return the log prior of parameters, shape (n,) of (n, 3), up to a constant."""
    return np.asarray(-0.5 * (((theta - centre) / _PRIOR[:, 1]) ** 2).sum(axis=-1))


def centres(n: int, rng: np.random.Generator) -> Floats:
    """Draw centres of the prior, shape (n, 1, 3): each a guess as good as the other."""
    return np.asarray(_PRIOR[:, 0] + rng.standard_normal((n, 1, 3)) * _PRIOR[:, 1])
