"""Where to label: strata of score, and how many labels each gets next. Draws no pair itself.

Strata are fixed before the first label. Their borders are the thresholds in question, so that what
lies above one of them is made of whole strata. Labels are given out in stages, by Neyman's
allocation: to the stratum in which one more narrows the interval at the threshold that is looked at
most; as long as none is, for all thresholds in question and as if strata were alike. Within a
stratum, pairs are drawn at random whatever the stage, so that the probability of each is known:
labels over pairs.

References
----------
Neyman, J. of the Royal Statistical Society 97 (1934). Exact allocation of whole labels, one after
another: Wright, The American Statistician 66 (2012).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats, Ints

STRATA: Final = 10  # between the lowest and the highest threshold in question
FLOOR: Final = 5  # labels that every stratum gets first
FEWEST: Final = 30  # pairs in a stratum worth drawing from


def borders(scores: Floats, low: float, high: float, step: float, digits: int) -> Floats:
    """Choose the borders of strata: thresholds at even distances, each with enough pairs.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
        Of all matched pairs, ascending.
    low, high : float
        The range of thresholds in question.
    step : float
    digits : int
        The grid of thresholds, to which borders are rounded.

    Returns
    -------
    ndarray of float64, shape (B,)
        Ascending; strata are the pairs below the first, between neighbours, and from the last on.
        Empty when there are too few pairs to divide.

    Examples
    --------
    >>> borders(np.linspace(0, 1, 1001), 0.2, 0.7, 0.01, 2)
    array([0.2 , 0.25, 0.3 , 0.35, 0.4 , 0.45, 0.5 , 0.55, 0.6 , 0.65, 0.7 ])
    """
    places = np.linspace(low, high, STRATA + 1)
    rounded = np.unique(np.round(np.round(places / step) * step, digits))
    chosen: list[float] = []
    last = len(scores)
    for border in rounded[::-1].tolist():  # from the top, where pairs are few
        first = int(np.searchsorted(scores, border, side="left"))
        if last - first >= FEWEST:
            chosen.append(border)
            last = first
    return np.array(chosen[::-1], np.float64)


def usual_range(scores: Floats) -> tuple[float, float]:
    """Return the thresholds in question when nobody has named any: where 5 to 95 % are left."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return 0.0, 0.0
    low, high = np.quantile(finite, [0.05, 0.95])
    return float(low), float(high)


def populations(scores: Floats, edges: Floats) -> Ints:
    """Count the pairs of each stratum, shape (B + 1,); scores ascend."""
    cuts = np.searchsorted(scores, edges, side="left")
    return np.diff(np.concatenate([[0], cuts, [len(scores)]])).astype(np.int64)


def above(scores: Floats, edges: Floats, thresholds: Floats) -> Ints:
    """Count the pairs of each stratum at or above each threshold, shape (K, B + 1).

    Examples
    --------
    >>> above(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.3]), np.array([0.15, 0.3]))
    array([[1, 2],
           [0, 2]])
    """
    ends = np.searchsorted(scores, edges, side="left")
    first, last = np.concatenate([[0], ends]), np.concatenate([ends, [len(scores)]])
    cut = np.searchsorted(scores, thresholds, side="left")[:, None]
    over: Ints = np.maximum(last - np.maximum(first, cut), 0)
    return over


def importance(population: Ints, over: Ints) -> Floats:
    """Return how much each stratum's variance weighs in the thresholds in question, shape (H,).

    Parameters
    ----------
    population : ndarray of int64, shape (H,)
    over : ndarray of int64, shape (K, H)
        Of these, the pairs at or above each threshold (`above`).
    """
    whole = over.sum(axis=1, keepdims=True)
    share = np.divide(over, whole, out=np.zeros(over.shape), where=whole > 0)
    part = np.divide(over, population, out=np.zeros(over.shape), where=population > 0)
    weights: Floats = (share**2 / np.where(part > 0, part, 1.0)).sum(axis=0)
    return weights


def spread_of(labelled: Ints, right: Ints) -> Floats:
    """Guess each stratum's variance of a label from the labels of its neighbours alone.

    A stratum's own labels have no say in how many it gets: otherwise one that looks better than it
    is would get fewer, would not be put right, and the estimate would lean to the good. What few
    labels there are is drawn towards a half.

    Examples
    --------
    >>> spread_of(np.array([10, 10, 10]), np.array([0, 5, 10])).round(2)
    array([0.25, 0.25, 0.25])
    """
    near = np.convolve(labelled, [1, 0, 1])[1:-1], np.convolve(right, [1, 0, 1])[1:-1]
    proportion = (near[1] + 1) / (near[0] + 2)
    return np.asarray(proportion * (1 - proportion), np.float64)


def allocate(population: Ints, drawn: Ints, value: Floats, n: int, floor: int = FLOOR) -> Ints:
    """Give the next labels to strata, each where it narrows the intervals most.

    Parameters
    ----------
    population, drawn : ndarray of int64, shape (H,)
        Pairs; those drawn so far.
    value : ndarray of float64, shape (H,)
        `importance` for the thresholds in question times `spread_of`; 0 gives none.
    n : int
        How many labels.
    floor : int
        So many labels go first to every stratum that matters.

    Returns
    -------
    ndarray of int64, shape (H,)
        How many each gets; fewer than n in all when there are no more pairs.

    Examples
    --------
    >>> allocate(np.array([1000, 1000]), np.array([0, 0]), np.array([1.0, 4.0]), 30)
    array([10, 20])
    """
    counts = drawn.astype(np.int64)
    for _ in range(n):
        able = (counts < population) & (value > 0)
        if not able.any():
            break
        if (able & (counts < floor)).any():
            able &= counts < floor
            gain = -counts.astype(np.float64)
        else:
            gain = value / np.maximum(counts * (counts + 1), 1)
        counts[int(np.argmax(np.where(able, gain, -np.inf)))] += 1
    more: Ints = counts - drawn
    return more


def thresholds_of(edges: Floats, threshold: float | None) -> Floats:
    """Return the thresholds to label for: the one that is looked at, else all in question."""
    return edges if threshold is None else np.array([threshold], np.float64)


def whole_borders(edges: Sequence[float]) -> bool:
    """Whether borders make strata: finite numbers that ascend, one at least."""
    return (
        len(edges) > 0
        and all(map(math.isfinite, edges))
        and all(low < high for low, high in pairwise(edges))
    )
