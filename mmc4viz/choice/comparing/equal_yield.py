"""Which threshold of one model leaves exactly what another model's threshold leaves.

A yield is a step function of the threshold: it changes at scores only. So thresholds come in
levels, runs of neighbours that leave the same, and the search over all levels is exhaustive: a
level with exactly the wanted yield is found if there is one. Where ties or large steps leave none,
the two levels with the nearest yields on either side are given in its place. Nothing is estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.choice.steps import Steps
from mmc4viz.corpus.scales import scale_of

_MOST_DIGITS: Final = 17  # tell any two doubles of cosine scale apart
_SLACK: Final = 1e-12  # relative, of sums of doubles that the coin's odds make


@dataclass(frozen=True, slots=True)
class Level:
    """Thresholds that leave the same: those above ``low``, up to ``high`` itself.

    Attributes
    ----------
    low, high : float
        Scores; infinite at the ends.
    left : float
        What every one of them leaves.
    threshold : float
        The one of them with the fewest decimals; where the level has no upper end, one that drops
        every pair.
    """

    low: float
    high: float
    left: float
    threshold: float


@dataclass(frozen=True, slots=True)
class EqualYield:
    """The level of a model at which a wanted yield is left, or the two that come nearest.

    Attributes
    ----------
    wanted : float
    exact : Level or None
        Leaves just that much. Of several levels that do, the one with the highest thresholds.
    less, more : Level or None
        Without an exact one, those that leave the most below and the least above; None where
        nothing is.
    """

    wanted: float
    exact: Level | None
    less: Level | None = None
    more: Level | None = None

    @property
    def best(self) -> Level:
        """The exact level, else the nearer of the two; of equally near ones that of less."""
        if self.exact is not None:
            return self.exact
        near = [level for level in (self.less, self.more) if level is not None]
        return min(near, key=lambda level: abs(level.left - self.wanted))


def left_at(steps: Steps, name: str, threshold: float) -> float:
    """Return what a threshold leaves, on a step or between two.

    Parameters
    ----------
    steps : Steps
        Of the scores (`mmc4viz.choice.steps.steps_of_scores`).
    name : str
        One of `mmc4viz.choice.steps.YIELDS`.
    threshold : float
    """
    at = int(np.searchsorted(steps.threshold, threshold, side="left"))
    return float(_left(steps, name)[at])


def equal_yield(steps: Steps, name: str, wanted: float) -> EqualYield:
    """Find the threshold that leaves exactly a wanted yield.

    Parameters
    ----------
    steps : Steps
        Of the model's scores.
    name : str
        One of `mmc4viz.choice.steps.YIELDS`.
    wanted : float
        Of documents and tokens in expectation over the coin, as `left_at` has it.

    Examples
    --------
    >>> two = {name: np.array([3.0, 1.0]) for name in ("pairs",)}
    >>> steps = Steps(np.array([0.2, 0.3]), two, {"pairs": 0.0}, {"pairs": 3.0}, every=True)
    >>> equal_yield(steps, "pairs", 1).exact
    Level(low=0.2, high=0.3, left=1.0, threshold=0.3)
    >>> found = equal_yield(steps, "pairs", 2)
    >>> found.exact, found.less.left, found.more.left, found.best.threshold
    (None, 1.0, 3.0, 0.3)
    """
    left = _left(steps, name)
    slack = _SLACK * max(1.0, abs(wanted))
    same = np.flatnonzero(np.abs(left - wanted) <= slack)
    if len(same):
        return EqualYield(wanted, _level(steps, left, int(same[-1]), slack))
    less, more = np.where(left < wanted, left, -np.inf), np.where(left > wanted, left, np.inf)
    ends = [
        _level(steps, left, int(np.flatnonzero(values == best)[-1]), slack)
        if math.isfinite(best)
        else None
        for values, best in ((less, float(less.max())), (more, float(more.min())))
    ]
    return EqualYield(wanted, None, *ends)


def _left(steps: Steps, name: str) -> Floats:
    """Return what is left at each score, and beyond them all, shape (T + 1,)."""
    if not steps.every or steps.beyond is None:
        raise ValueError("exact yields take the steps of all scores")
    return np.append(steps.left[name], steps.beyond[name])


def _level(steps: Steps, left: Floats, place: int, slack: float) -> Level:
    """Return all neighbours of a step that leave as much."""
    first = place - _run(left[place::-1], slack)
    last = place + _run(left[place:], slack)
    low = float(steps.threshold[first - 1]) if first else -math.inf
    high = float(steps.threshold[last]) if last < len(steps.threshold) else math.inf
    digits = scale_of(steps.threshold).digits
    drops = max(low, float(steps.threshold[-1])) if last == len(steps.threshold) > 0 else low
    return Level(low, high, float(left[place]), shortest(drops, high, digits))


def _run(left: Floats, slack: float) -> int:
    """Return for how many more steps the first one's yield lasts."""
    width = 16
    while True:
        other = np.abs(left[:width] - left[0]) > slack
        if other.any():
            return int(other.argmax()) - 1
        if width >= len(left):
            return len(left) - 1
        width *= 2


def shortest(low: float, high: float, digits: int) -> float:
    """Return the number above ``low``, up to ``high``, that has the fewest decimals.

    Of several the nearest to ``high``. Where an end is infinite, the first step beyond the other
    one of a grid with so many digits.

    Examples
    --------
    >>> shortest(0.2389, 0.2413, 3), shortest(0.23991, 0.23997, 3)
    (0.24, 0.23997)
    >>> shortest(0.4123, math.inf, 3), shortest(-math.inf, 0.1057, 3)
    (0.413, 0.105)
    """
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(high):
        return max(-_down(-low, digits), math.nextafter(low, high))
    if math.isinf(low):
        return min(_down(high, digits), high)
    for decimals in range(_MOST_DIGITS + 1):
        found = _down(high, decimals)
        if low < found <= high:
            return found
    return high


def _down(number: float, digits: int) -> float:
    """Return the largest decimal with so many digits that is no larger."""
    return float(round(math.floor(number * 10**digits) / 10**digits, digits))
