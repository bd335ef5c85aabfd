"""Which thresholds of two models go together, in every respect that something is known of."""

from __future__ import annotations

from collections.abc import Mapping

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.equal_fdr import match_by_fdr
from mmc4viz.choice.comparing.evidence import Evidence, match_by_precision
from mmc4viz.choice.comparing.models import Match, NoMatch, match_by_yield
from mmc4viz.choice.fdr.estimate import FdrEstimate
from mmc4viz.choice.steps import YIELDS


def match_in_every_respect(
    first: Candidate,
    second: Candidate,
    threshold: float,
    rates: Mapping[str, FdrEstimate],
    labels: Evidence | None,
) -> list[Match | NoMatch]:
    """Match the first model's threshold by every yield, and by what else is known.

    Parameters
    ----------
    first, second : Candidate
    threshold : float
        Of the first.
    rates : mapping of str to FdrEstimate
        By model; without both, nothing is matched by false-discovery rate.
    labels : Evidence or None
        Likewise of precision.
    """
    found: list[Match | NoMatch] = [
        match_by_yield(first, second, name, threshold) for name in YIELDS
    ]
    if first.name in rates and second.name in rates:
        both = rates[first.name], rates[second.name]
        found.append(match_by_fdr(first, second, both, threshold))
    if labels is not None:
        found.append(match_by_precision(first, second, labels, threshold))
    return found
