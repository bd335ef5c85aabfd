"""What was found of models → cells of text, the same on a terminal, a page and in a report.

Nothing is escaped: whoever shows the models' names as HTML does that. Compares nothing.
"""

from __future__ import annotations

from mmc4viz.choice.comparing.distribution import QUANTILES, Distribution
from mmc4viz.choice.comparing.models import Match
from mmc4viz.choice.comparing.separation import Measure, Separation

SPREAD_HEAD = ("matched scores", "scale", "pairs", *(f"{100 * q:g} %" for q in QUANTILES))


def spread(found: Distribution) -> tuple[str, ...]:
    """Return where a model's matched scores lie on its own scale, under `SPREAD_HEAD`."""
    quantiles = [f"{value:.{found.scale.digits + 1}f}" for value in found.quantiles]
    named = found.model, found.scale.name, f"{found.pairs:,}"
    return *named, *(quantiles or ["–"] * len(QUANTILES))


def values(match: Match, between: str = " to ") -> list[str]:
    """Return what both thresholds leave, or both rates with their intervals."""
    if not match.intervals:
        return [f"{value:,.10g}" for value in (match.wanted, match.found)]
    each = zip((match.wanted, match.found), match.intervals, strict=True)
    return [f"{value:.1%} ({low:.1%}{between}{high:.1%})" for value, (low, high) in each]


def agreed(match: Match) -> tuple[str, str]:
    """Return how far the kept documents agree, and the kept pairs."""
    return f"{match.agreement.documents.jaccard:.1%}", f"{match.agreement.pairs.jaccard:.1%}"


def how_sure(match: Match) -> str:
    """Say in a word what a match is worth."""
    return "exact" if match.exact else "estimated" if match.intervals else "nearest"


def areas(found: Separation) -> list[tuple[str, str, str]]:
    """Return each model's name and areas, then each other model's difference from the first."""
    models = [
        (one.model, _measure(one.auc), _measure(one.average_precision)) for one in found.models
    ]
    return models + [
        (
            f"{one.second} less {one.first}",
            f"{_measure(one.auc)}, p = {one.p_auc:.2g}",
            f"{_measure(one.average_precision)}, p = {one.p_average_precision:.2g}",
        )
        for one in found.against_first
    ]


def _measure(one: Measure) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
