"""Marks on the threshold control: thresholds in use elsewhere, and those that are proposed.

Each is a step of the grid with words; the JavaScript of the control draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mmc4viz.choice.proposal import Basis, Proposal
from mmc4viz.corpus.scales import Scale
from mmc4viz.references import references_for

_BASES: Final = {
    Basis.YIELD: "by what is left",
    Basis.FDR: "by the share of wrong pairs, estimated without labels",
    Basis.DECOYS: "by the share of wrong pairs, estimated from decoys",
    Basis.PRECISION: "by the precision of labels",
}


def references(model: str, scale: Scale) -> list[dict[str, Any]]:
    """Return the thresholds that others use with a CLIP model; none on other scales."""
    if scale.name != "cosine":
        return []
    return [
        {
            "at": _step(reference.value, scale),
            "label": f"{reference.value:.2f}",
            "name": reference.name,
            "source": f"{reference.source} ({reference.model})",
        }
        for reference in references_for(model)
    ]


def proposals(proposed: Sequence[Proposal], scale: Scale) -> list[dict[str, Any]]:
    """Return proposed thresholds, each with its wish and what it rests on."""
    return [
        {
            "at": _step(one.threshold, scale),
            "label": f"{one.threshold:.{scale.digits}f}",
            "name": one.wish,
            "source": f"Proposed {_BASES[one.basis]}: {one.wish}. {one.assumption}",
            "basis": str(one.basis),
        }
        for one in proposed
        if one.threshold is not None
    ]


def _step(value: float, scale: Scale) -> int:
    return round(value / scale.step) - round(scale.start / scale.step)
