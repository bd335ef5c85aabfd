"""Which threshold of one model is as pure as another model's, by false-discovery rate.

Without labels; where either estimate cannot tell, nothing is matched. Estimates nothing itself.
"""

from __future__ import annotations

import numpy as np

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.models import Match, NoMatch
from mmc4viz.choice.comparing.rates import Rates, match_by_rate
from mmc4viz.choice.fdr.estimate import FEWEST_PAIRS, FdrEstimate


def rates_of(name: str, found: FdrEstimate) -> Rates:
    """Return an estimate as rates, where enough pairs are left to speak of one."""
    enough = found.pairs >= FEWEST_PAIRS
    value, low, high = (
        np.where(enough, end, np.nan) for end in (found.rate, found.low, found.high)
    )
    words = f"{found.documents:,} documents of {name}, without labels"
    return Rates("fdr", found.threshold, value, low, high, words)


def match_by_fdr(
    first: Candidate,
    second: Candidate,
    found: tuple[FdrEstimate, FdrEstimate],
    threshold: float,
) -> Match | NoMatch:
    """Find the lowest threshold of the second model with at most the first one's rate.

    Parameters
    ----------
    first, second : Candidate
    found : (FdrEstimate, FdrEstimate)
        Of these (`mmc4viz.choice.fdr.by_fdr.estimate_fdr`).
    threshold : float
        The first model's; its rate is read at the step of the grid below it.
    """
    for one, estimate in zip((first, second), found, strict=True):
        if estimate.reason is not None:
            return NoMatch("fdr", threshold, f"of {one.name}, {estimate.reason}")
    rates = rates_of(first.name, found[0]), rates_of(second.name, found[1])
    return match_by_rate(first, second, rates, threshold)
