"""Compare the yields that a config records with those of a corpus now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmc4viz.sweep.estimate import RATES


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


def verified(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verified]:
    """Compare every recorded yield with the corpus's.

    Parameters
    ----------
    recorded : mapping
        ``yields`` of a config's provenance.
    now : mapping
        The exact ones of the whole corpus (`mmc4viz.export.provenance.exact_yields`).
    """
    sampled = recorded.get("sampled")
    per = float(recorded.get("per") or now["per"])
    times = per / now["per"] if sampled and now["per"] else 1.0
    found = []
    if not sampled and "per" in recorded:
        found.append(_exactly("all documents", per, now["per"]))
    for name in RATES:
        if name not in recorded:
            continue
        one, value = recorded[name], times * now[name]["value"]
        if sampled:
            low, high = one.get("low"), one.get("high")
            inside = (low is None or low <= value) and (high is None or value <= high)
            found.append(Verified(name, one["value"], low, high, value, inside))
        else:
            found.append(_exactly(name, one["value"], value))
    outcomes = recorded.get("outcomes", {})
    known = [name for name in now["outcomes"] if name in outcomes]
    return found + [_exactly(name, outcomes[name], now["outcomes"][name]) for name in known]


def _exactly(name: str, recorded: float, now: float) -> Verified:
    return Verified(name, recorded, None, None, now, recorded == now)
