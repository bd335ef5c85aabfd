"""Thresholds in the wild: what papers and programs use, each for the CLIP model it was made for.

A threshold means nothing for another model. Values on other scales (after a softmax, or 30 on a
cosine scale) are not here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reference:
    """One threshold with its source.

    Attributes
    ----------
    value : float
        On cosine scale.
    model : str
        The CLIP model it was made for.
    name : str
        Short, for a label.
    source : str
        In words.
    """

    value: float
    model: str
    name: str
    source: str


REFERENCES: Final = (
    Reference(
        0.15, "ViT-L/14", "MMC4", "MMC4 paper: an image is dropped when its best sentence is below"
    ),
    Reference(0.20, "ViT-L/14", "MMC4 training", "MMC4 paper's own training"),
    Reference(0.24, "ViT-L/14", "OpenFlamingo", "OpenFlamingo's reference training script"),
    Reference(
        0.25, "ViT-L/14", "MMC4 core", "MMC4 core subset: three quarters of its pairs are above"
    ),
    Reference(0.32, "ViT-L/14", "a fork", "The default of a fork of OpenFlamingo"),
    Reference(0.30, "ViT-B/32", "LAION-400M", "LAION-400M"),
    Reference(0.28, "ViT-B/32", "LAION-5B", "LAION-5B, English"),
    Reference(0.26, "mCLIP", "LAION-5B", "LAION-5B, languages other than English"),
)


def references_for(model: str) -> list[Reference]:
    """Return the thresholds that were made for a CLIP model, by its name, ascending.

    Examples
    --------
    >>> [r.value for r in references_for("openai/clip-vit-base-patch32, ViT-B/32")]
    [0.28, 0.3]
    >>> references_for("sample-a")
    []
    >>> len(references_for("clip-vit-large-patch14")), len(references_for("ViT-L/14@336px"))
    (5, 0)
    """
    name = _letters(model)
    found = [r for r in REFERENCES if any(alias in name for alias in _ALIASES[r.model])]
    if "336" in name:  # another model, at a higher resolution
        return []
    return sorted(found, key=lambda reference: reference.value)


_ALIASES: Final = {
    "ViT-L/14": ("vitl14", "vitlargepatch14"),
    "ViT-B/32": ("vitb32", "vitbasepatch32"),
    "mCLIP": ("mclip",),
}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
