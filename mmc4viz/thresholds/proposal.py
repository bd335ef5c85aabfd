"""What every way of choosing hands back: a proposed threshold, what it rests on, how sure it is.

Holds data only; the ways of choosing are rooms of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Basis(StrEnum):
    """What a proposal was made from."""

    YIELD = "yield"
    FDR = "fdr"
    DECOYS = "decoys"
    PRECISION = "precision"


@dataclass(frozen=True)
class Proposal:
    """A proposed threshold, or the reason why there is none.

    Attributes
    ----------
    basis : Basis
    target : str
        What was asked for, in words: ``"documents ≥ 50%"``.
    assumption : str
        What the proposal rests on, in a sentence.
    threshold : float or None
        None when nothing can be proposed; then there is a reason.
    reason : str or None
        Why there is no threshold, and what would help.
    estimate : float or None
        What was wished for as it is estimated at the threshold: a false-discovery rate or a
        precision, from 0 to 1. None where nothing is estimated, because a yield is exact.
    low, high : float or None
        Ends of its 95 % interval.
    kept : mapping of str to float
        What is left at the threshold by name (`mmc4viz.thresholds.by_yield.YIELDS`); may be empty.
    labels_needed : int or None
        How many labels would settle the matter, where that can be said.
    labels : int or None
        How many labels at or above the threshold it was made from, where it was made from labels.
    labels_near_threshold : int or None
        How many of them lie in the stratum that begins at the threshold.
    lower_bound : float or None
        One-sided 95 % limit of the estimate: what the target was tested against.

    Raises
    ------
    ValueError
        When there is neither a threshold nor a reason, or both.

    Examples
    --------
    >>> Proposal(Basis.FDR, "FDR ≤ 10%", "…", reason="too few pairs").threshold
    """

    basis: Basis
    target: str
    assumption: str
    threshold: float | None = None
    reason: str | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    kept: Mapping[str, float] = field(default_factory=dict)
    labels_needed: int | None = None
    labels: int | None = None
    labels_near_threshold: int | None = None
    lower_bound: float | None = None

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.reason is None):
            raise ValueError("a proposal needs either a threshold or a reason")

    def leaving(self, left: Mapping[str, float]) -> Proposal:
        """Return it with what is left at its threshold."""
        return replace(self, kept=dict(left))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, as ``mmc4viz suggest --format json`` prints it."""
        return {**vars(self), "basis": str(self.basis), "kept": dict(self.kept)}
