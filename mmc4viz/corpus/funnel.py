"""Curves → funnels: from all images, and from all documents, to those that reach the model.

Every loss has its name; losses and what remains add up to the whole. Draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmc4viz.corpus.curves import Curves
from mmc4viz.model import ImageFate, Outcome


@dataclass(frozen=True, slots=True)
class Loss:
    """One named loss: how many are lost here, and how many remain."""

    name: str
    meaning: str
    lost: float
    remaining: float


def image_funnel(curves: Curves, step: int, keep: float) -> list[Loss]:
    """Follow images from the shards to the model at one threshold.

    Parameters
    ----------
    curves : Curves
        Of the corpus.
    step : int
        Position of the threshold.
    keep : float
        Probability with which a single image's document survives.

    Returns
    -------
    list of Loss
        In the loader's order; the last one's ``remaining`` reach the model, in expectation.
    """
    fates = {fate: float(curves.with_fate(fate)[step]) for fate in ImageFate}
    stranded = curves.total("stranded")[step]
    rejected = ("too_few_images", "single_image_at_end")
    losses = [
        ("missing", "no image was downloaded", fates[ImageFate.MISSING]),
        ("too_small", "under the size limit", fates[ImageFate.TOO_SMALL]),
        ("undecodable", "cannot be decoded, and lost its document", fates[ImageFate.UNDECODABLE]),
        (
            "lost_with_document",
            "in a document that was unreadable",
            fates[ImageFate.LOST_WITH_DOCUMENT] + stranded,
        ),
        ("unmatched", "no sentence left for it", fates[ImageFate.UNMATCHED] - stranded),
        (
            "below_threshold",
            "its pair scores below the threshold",
            curves.total("rejected_pairs")[step],
        ),
        ("over_cap", "behind the image cap", curves.total("over_cap")[step]),
        ("truncated", "its token falls behind the token limit", curves.total("truncated")[step]),
        (
            "document_rejected",
            "in a sequence with too few images or nothing after its image",
            curves.in_class("reaching", *rejected)[step],
        ),
        (
            "coin",
            "single image, lost to the coin (expected)",
            (1 - keep) * curves.in_class("reaching", "kept_by_coin")[step],
        ),
    ]
    return _funnel(sum(fates.values()), losses)


def document_funnel(curves: Curves, step: int, keep: float) -> list[Loss]:
    """Follow documents from the shards to the model at one threshold, like `image_funnel`."""
    meanings = {
        Outcome.UNREADABLE: "the loader fails on it",
        Outcome.NO_VALID_IMAGE: "every image missing or too small",
        Outcome.BELOW_THRESHOLD: "no pair reaches the threshold",
        Outcome.TOO_FEW_IMAGES: "too few image tokens after the cut",
        Outcome.SINGLE_IMAGE_AT_END: "its only image token is the last token",
    }
    losses = [
        (str(outcome), meaning, curves.in_class("documents", str(outcome))[step])
        for outcome, meaning in meanings.items()
    ]
    coin = (1 - keep) * curves.in_class("documents", "kept_by_coin")[step]
    losses.append(("coin", "single image, lost to the coin (expected)", coin))
    return _funnel(curves.total("documents")[step], losses)


def _funnel(whole: float, losses: list[tuple[str, str, float]]) -> list[Loss]:
    steps, remaining = [], float(whole)
    for name, meaning, lost in losses:
        remaining -= float(lost)
        steps.append(Loss(name, meaning, float(lost), remaining))
    return steps
