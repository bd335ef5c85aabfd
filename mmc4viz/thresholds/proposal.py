"""A suggested threshold with its basis, estimate and assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Basis(StrEnum):
    """How a threshold was chosen."""

    YIELD = "yield"
    FDR = "fdr"
    DECOYS = "decoys"
    PRECISION = "precision"
    COMBINED = "combined"


@dataclass(frozen=True)
class Proposal:
    """A suggested threshold, or the reason why there is none.

    Attributes
    ----------
    basis : Basis
    target : str
        What was asked for, in words: ``"documents ≥ 50%"``.
    assumption : str
        What the estimate assumes, in a few sentences.
    threshold : float or None
        None if no threshold is suggested; ``reason`` then says why.
    reason : str or None
        Why there is no threshold, and what would help.
    estimate : float or None
        Estimated FDR or precision at the threshold, from 0 to 1; None for yields, which are exact.
    low, high : float or None
        Its 95% CI.
    kept : mapping of str to float
        What is kept at the threshold (`mmc4viz.thresholds.by_yield.YIELDS`); may be empty.
    labels_needed : int or None
        How many further labels would reach the target, if known.
    labels : int or None
        Labels at or above the threshold, if the basis is labels.
    labels_near_threshold : int or None
        Labels in the stratum that starts at the threshold.
    lower_bound : float or None
        One-sided 95% limit that the target was tested against.

    Raises
    ------
    ValueError
        If there is neither a threshold nor a reason, or both.

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
        """Return it with what is kept at its threshold."""
        return replace(self, kept=dict(left))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, as ``mmc4viz suggest --format json`` prints it."""
        return {**vars(self), "basis": str(self.basis), "kept": dict(self.kept)}
