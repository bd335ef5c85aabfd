"""Thresholds of two models that are estimated to be equally pure, whatever the estimate is from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.models import Match, NoMatch, agreement_at


@dataclass(frozen=True)
class Rates:
    """A model's estimated false-discovery rate or precision against the threshold.

    Attributes
    ----------
    by : str
        ``"fdr"`` or ``"precision"``.
    threshold : ndarray of float64, shape (T,)
        Ascending.
    value, low, high : ndarray of float64, shape (T,)
        The estimate and its 95 % interval; NaN where there is none.
    rests_on : str
        What it was made from, in a few words.
    """

    by: str
    threshold: Floats
    value: Floats
    low: Floats
    high: Floats
    rests_on: str

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Return estimate and interval at the nearest threshold that is no higher; NaN before."""
        place = int(np.searchsorted(self.threshold, threshold + 1e-12, side="right")) - 1
        if place < 0:
            return math.nan, math.nan, math.nan
        return float(self.value[place]), float(self.low[place]), float(self.high[place])


def match_by_rate(
    first: Candidate, second: Candidate, rates: tuple[Rates, Rates], threshold: float
) -> Match | NoMatch:
    """Find the lowest threshold of the second model that is estimated to be as pure.

    Parameters
    ----------
    first, second : Candidate
    rates : (Rates, Rates)
        Of these.
    threshold : float
        The first model's.

    Returns
    -------
    Match or NoMatch
        The latter where there is no estimate at the threshold, or none of the second model is as
        good.

    Notes
    -----
    The lowest threshold whose false-discovery rate is at most some rate is what a q-value stands
    for (Storey, The positive false discovery rate, 2003).
    """
    one, other = rates
    wanted, *interval = one.at(threshold)
    if math.isnan(wanted):
        reason = f"nothing is estimated at {threshold:g} of {first.name}"
        return NoMatch(one.by, threshold, reason)
    with np.errstate(invalid="ignore"):
        good = other.value <= wanted if one.by == "fdr" else other.value >= wanted
    if not good.any():
        return NoMatch(one.by, threshold, _not_so_good(second.name, other, wanted))
    place = int(good.argmax())
    second_threshold = float(other.threshold[place])
    words = one.rests_on if one.rests_on == other.rests_on else f"{one.rests_on}; {other.rests_on}"
    return Match(
        one.by,
        threshold,
        second_threshold,
        wanted,
        float(other.value[place]),
        False,
        words,
        agreement_at(first, second, threshold, second_threshold),
        ((interval[0], interval[1]), (float(other.low[place]), float(other.high[place]))),
    )


def _not_so_good(name: str, rates: Rates, wanted: float) -> str:
    reason = f"no threshold of {name} is estimated to be as good as {wanted:.1%}"
    if np.isnan(rates.value).all():
        return reason
    worth = rates.value if rates.by == "fdr" else -rates.value
    best = int(np.nanargmin(worth))
    return f"{reason}; the best is {rates.value[best]:.1%} at {rates.threshold[best]:g}"
