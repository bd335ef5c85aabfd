"""Slices as rows of plain values, for CSV, JSON and data frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mmc4viz.slices.comparison import ASSUMPTION, QUANTILES, Slice, SliceComparison
from mmc4viz.slices.differences import CORRECTION

_SHARED: Final = (
    "slice", "size", "documents", "kept", "share", "difference", "low", "high", "cost",
    "single_image_drop", "pairs", "above",
)  # fmt: skip
_LATER: Final = (
    "image_tokens", "text_tokens", "images_mean", "single_image", "labels", "precision",
    "precision_low", "precision_high",
)  # fmt: skip
_SCORES: Final = tuple(f"score_q{round(100 * q)}" for q in QUANTILES)
HEAD: Final = ("attribute", "unit", "threshold", *_SHARED, *_SCORES, *_LATER)


def as_row(one: Slice) -> dict[str, Any]:
    """Return a slice as one row; what is not known is None."""
    of = one.precision
    shared = (one.name, *(getattr(one, name) for name in _SHARED[1:]))
    scores = one.quantiles or (None,) * len(QUANTILES)
    labelled = (None,) * 4 if of is None else (of.labels, of.estimate, of.low, of.high)
    later = (
        one.image_tokens, one.text_tokens, one.images_mean, one.single_image, *labelled,
    )  # fmt: skip
    values = (*shared, *scores, *later)
    return dict(zip((*_SHARED, *_SCORES, *_LATER), values, strict=True))


def cells(found: SliceComparison, slices: Sequence[Slice]) -> list[list[Any]]:
    """Return slices as cells under `HEAD`; what is not known is empty."""
    about = [found.name, found.unit, found.threshold]
    rows = [[*about, *as_row(one).values()] for one in slices]
    return [["" if cell is None else cell for cell in row] for row in rows]


def as_dict(found: SliceComparison, slices: Sequence[Slice]) -> dict[str, Any]:
    """Return a comparison for JSON."""
    return {
        "attribute": found.name,
        "label": found.label,
        "unit": found.unit,
        "threshold": found.threshold,
        "size": found.size,
        "kept": found.kept,
        "share": found.share if found.size else None,
        "compared": found.compared,
        "correction": CORRECTION,
        "assumption": ASSUMPTION,
        "notes": list(found.notes),
        "slices": [as_row(one) | {"lost": one.lost} for one in slices],
    }
