"""Compare the yields that a config records with those of a corpus now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmc4viz.sweep.estimate import RATES
from mmc4viz.sweep.statistics import Curves
from mmc4viz.types import Outcome


@dataclass(frozen=True)
class Verified:
    """One number of a config, and the same number now.

    Attributes
    ----------
    name : str
        A quantity, or an outcome.
    recorded : float
    low, high : float or None
        Ends of the recorded 95% CI; None if it was exact, or had no such end.
    now : float
    agrees : bool
        Whether both are equal, or the number now is within the interval.
    """

    name: str
    recorded: float
    low: float | None
    high: float | None
    now: float
    agrees: bool


def verified(recorded: Mapping[str, Any], curves: Curves, step: int, keep: float) -> list[Verified]:
    """Compare every recorded yield with the corpus's.

    Parameters
    ----------
    recorded : mapping
        ``yields`` of a config's provenance.
    curves : Curves
        Of the whole corpus under the config's settings.
    step : int
        Position of the threshold in them.
    keep : float
        Single-image keep probability.
    """
    row, documents = curves.rows(keep)[step], float(curves.total("documents")[step])
    per = float(recorded.get("per") or documents)
    times = per / documents if recorded.get("sampled") and documents else 1.0
    found = []
    if not recorded.get("sampled") and "per" in recorded:
        found.append(_exactly("all documents", per, documents))
    for name in RATES:
        if name not in recorded:
            continue
        one, now = recorded[name], times * row[name]
        if recorded.get("sampled"):
            low, high = one.get("low"), one.get("high")
            inside = (low is None or low <= now) and (high is None or now <= high)
            found.append(Verified(name, one["value"], low, high, now, inside))
        else:
            found.append(_exactly(name, one["value"], now))
    outcomes = recorded.get("outcomes", {})
    known = [str(outcome) for outcome in Outcome if str(outcome) in outcomes]
    return found + [_exactly(name, outcomes[name], row[name]) for name in known]


def _exactly(name: str, recorded: float, now: float) -> Verified:
    return Verified(name, recorded, None, None, now, recorded == now)
