"""How many more labels it takes, if strata stay as right as they look now. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.labelling import strata
from mmc4viz.choice.labelling.stratified import Interval, interval

_MOST: Final = 20_000  # labels looked ahead


def allocate_many(population: Ints, drawn: Ints, value: Floats, n: int) -> Ints:
    """Do what `allocate` does, for many labels at once and without a floor.

    Finds the density at which density × √value, but at least what is drawn, adds up.
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
    """Return how many more labels, given out as `allocate` does, bring the interval to a width.

    Parameters
    ----------
    population, labelled, right : ndarray of int64, shape (H,)
        Pairs, labels and right ones of each stratum.
    over : ndarray of int64, shape (H,)
        Pairs of each stratum at or above the threshold.
    width : float
        Of the 95 % interval of the precision, high less low.

    Returns
    -------
    int or None
        None when labelling every pair, or 20,000 more, would not do. An expectation: strata stay
        as right as they look now.
    """
    return _needed(population, over, labelled, right, lambda f: f.high[0] - f.low[0] <= width)


def needed_to_show(
    population: Ints, over: Ints, labelled: Ints, right: Ints, least: float, confidence: float
) -> int | None:
    """Return how many more labels would show a precision, likewise; None when none are likely to.

    Parameters
    ----------
    least : float
        The precision that the one-sided lower limit is to reach.
    confidence : float
        Of that limit.
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
    value = strata.importance(population, over[None]) * strata.spread_of(labelled, right)
    part = np.divide(over, population, out=np.zeros(len(over)), where=population > 0)
    share = (right + 0.5) / (labelled + 1)

    def reaches(n: int) -> bool:
        counts = (labelled + allocate_many(population, labelled, value, n)) * part
        found = interval(over[None], counts[None], (counts * share)[None], level, exact=False)
        return bool(enough(found))

    return _least(reaches, min(int((population - labelled)[value > 0].sum()), _MOST))


def _least(reaches: Callable[[int], bool], most: int) -> int | None:
    """Find the least number that reaches, by halving; None when the most does not."""
    if reaches(0):
        return 0
    if not reaches(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
