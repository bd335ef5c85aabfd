"""Published thresholds, each with the CLIP model it was chosen for, on the cosine scale.

A threshold is meaningless for another model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reference:
    """A published threshold with its source.

    Attributes
    ----------
    value : float
        On the cosine scale.
    model : str
        The CLIP model it was chosen for.
    name : str
        Short label.
    source : str
        Where the threshold is published and what for.
    """

    value: float
    model: str
    name: str
    source: str


REFERENCE: Final = 0.24
"""The threshold of OpenFlamingo's reference training script, the baseline of comparisons."""
REFERENCES: Final = (
    Reference(0.15, "ViT-L/14", "MMC4", "MMC4 paper: images whose best score is below are dropped"),
    Reference(0.20, "ViT-L/14", "MMC4 training", "MMC4 paper: training run"),
    Reference(0.24, "ViT-L/14", "OpenFlamingo", "OpenFlamingo's reference training script"),
    Reference(
        0.25, "ViT-L/14", "MMC4 core", "MMC4 core subset: three quarters of its pairs score higher"
    ),
    Reference(0.32, "ViT-L/14", "a fork", "Default of an OpenFlamingo fork"),
    Reference(0.30, "ViT-B/32", "LAION-400M", "LAION-400M"),
    Reference(0.28, "ViT-B/32", "LAION-5B", "LAION-5B, English"),
    Reference(0.26, "mCLIP", "LAION-5B", "LAION-5B, languages other than English"),
)


def references_for(model: str) -> list[Reference]:
    """Return the thresholds published for a CLIP model, by its name, ascending.

    Examples
    --------
    >>> [r.value for r in references_for("openai/clip-vit-base-patch32, ViT-B/32")]
    [0.28, 0.3]
    >>> references_for("sample-a")
    []
    >>> len(references_for("clip-vit-large-patch14")), len(references_for("ViT-L/14@336px"))
    (5, 0)
    """
    found = [reference for reference in REFERENCES if is_model(model, reference.model)]
    return sorted(found, key=lambda reference: reference.value)


def is_model(name: str, reference: str) -> bool:
    """Whether a CLIP model's name means a model of `REFERENCES`.

    Examples
    --------
    >>> is_model("openai/clip-vit-large-patch14", "ViT-L/14"), is_model("ViT-B/32", "ViT-L/14")
    (True, False)
    """
    letters = _letters(name)
    if "336" in letters:  # a different model, with a higher input resolution
        return False
    return any(alias in letters for alias in _ALIASES[reference])


_ALIASES: Final = {
    "ViT-L/14": ("vitl14", "vitlargepatch14"),
    "ViT-B/32": ("vitb32", "vitbasepatch32"),
    "mCLIP": ("mclip",),
}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
