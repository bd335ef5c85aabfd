"""What is counted: the names of all statistics, and one verdict as a row of them.

Everything is a whole number, so that sums are exact; the coin enters when a curve is looked up.
This module counts one document; adding up over documents and thresholds is the sweep's job.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.model import Fate, ImageFate, Outcome, Verdict

# Classes of a document: its outcome, with ``kept`` split by whether the coin has a say.
CLASSES: Final = (
    "kept_surely",
    "kept_by_coin",
    "too_few_images",
    "single_image_at_end",
    "below_threshold",
    "no_valid_image",
    "unreadable",
)

# Quantities of the documents of a class; the first is the documents themselves.
QUANTITIES: Final = (
    "documents",
    "pairs",  # matched, at or above the threshold
    "rejected_pairs",  # matched, below the threshold
    "over_cap",  # images behind the cap
    "truncated",  # images whose token is cut
    "reaching",  # images that keep their token
    "image_tokens",
    "text_tokens",
    "misbound",
    "stranded",  # valid images of unreadable documents
)

CLASS: Final = {name: i for i, name in enumerate(CLASSES)}
QUANTITY: Final = {name: i for i, name in enumerate(QUANTITIES)}
IMAGE_FATE: Final = {fate: i for i, fate in enumerate(ImageFate)}


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of some documents.

    Attributes
    ----------
    counts : ndarray of int64, shape (len(QUANTITIES), len(CLASSES))
    images : ndarray of int64, shape (len(ImageFate),)
        Images by fate, whatever became of their document.
    """

    counts: NDArray[np.int64]
    images: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Tally:
        """Return a tally of nothing."""
        return cls(
            np.zeros((len(QUANTITIES), len(CLASSES)), np.int64), np.zeros(len(ImageFate), np.int64)
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.images + other.images)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.counts - other.counts, self.images - other.images)


def class_of(verdict: Verdict) -> str:
    """Return the class of a verdict; a ChatGPT-written document (no pairs) meets no coin."""
    if verdict.outcome is not Outcome.KEPT:
        return str(verdict.outcome)
    coin = verdict.image_tokens == 1 and bool(verdict.pairs)
    return "kept_by_coin" if coin else "kept_surely"


def tally(verdict: Verdict) -> Tally:
    """Count one verdict of the literal walk."""
    fates = Counter(pair.fate for pair in verdict.pairs)
    images = Counter(verdict.images)
    counts = {
        "documents": 1,
        "pairs": len(verdict.pairs) - fates[Fate.BELOW_THRESHOLD],
        "rejected_pairs": fates[Fate.BELOW_THRESHOLD],
        "over_cap": fates[Fate.OVER_CAP],
        "truncated": fates[Fate.TRUNCATED],
        "reaching": fates[Fate.KEPT],
        "image_tokens": verdict.image_tokens,
        "text_tokens": verdict.text_tokens,
        "misbound": verdict.misbound,
        "stranded": 0,
    }
    if verdict.outcome is Outcome.UNREADABLE:
        counts["stranded"] = images[ImageFate.UNMATCHED]
    if verdict.images and not verdict.pairs:  # if ChatGPT-written, images are bound by rank alone
        matched = images[ImageFate.MATCHED]
        bound = {b.bound_image for b in verdict.binding if b.bound_image is not None}
        counts["reaching"] = len(bound)
        counts["over_cap"] = matched - verdict.handed_over
        counts["truncated"] = verdict.handed_over - len(bound)
    total = Tally.empty()
    total.counts[:, CLASS[class_of(verdict)]] = [counts[name] for name in QUANTITIES]
    total.images[:] = [images[fate] for fate in ImageFate]
    return total
