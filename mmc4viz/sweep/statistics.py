"""Statistics at every threshold, and funnels of drop reasons.

Counts are integers, so sums are exact; the single-image keep probability is applied when a curve is
read. Every drop has a reason, and drops and kept add up to the total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.data.scale import Thresholds
from mmc4viz.types import ImageStatus, Outcome, PairStatus, Verdict

# Classes of a document: its outcome, with ``kept`` split by keep probability.
CLASSES: Final = (
    "kept_always",
    "kept_single_image",
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
    "over_cap",  # images dropped at the cap
    "truncated",  # images whose token is truncated
    "reaching",  # images whose token is kept
    "image_tokens",
    "text_tokens",
    "mispaired",
    "stranded",  # valid images of unreadable documents
    "text_before",  # text tokens before the first image token
    "text_between",  # text tokens between the first and the last image token
    "followed",  # image tokens with text before the next one, or the end
)

MOST_IMAGES: Final = 32  # sequences with more image tokens are counted together

LENGTHS: Final = 8
"""Parts of the token limit that sequences are counted by; one more is for truncated ones."""

SHAPES: Final = (
    *(f"images_{n}" for n in range(MOST_IMAGES + 1)),
    *(f"always_{n}" for n in range(1, LENGTHS + 1)),
    "always_truncated",
    *(f"single_image_{n}" for n in range(1, LENGTHS + 1)),
    "single_image_truncated",
)
"""Kept documents by image tokens (the last: that many or more), and, of both classes of kept
documents, by length in parts of the token limit."""

SINGLE_IMAGE_DROP: Final = "single_image_drop"
"""The last reason of a funnel: dropped by the single-image keep probability, in expectation."""

DROPPED: Final = 2 * (LENGTHS + 1)  # in place of a length

CLASS: Final = {name: i for i, name in enumerate(CLASSES)}
QUANTITY: Final = {name: i for i, name in enumerate(QUANTITIES)}
IMAGE_STATUS: Final = {status: i for i, status in enumerate(ImageStatus)}


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of some documents.

    Attributes
    ----------
    counts : ndarray of int64, shape (len(QUANTITIES), len(CLASSES))
    images : ndarray of int64, shape (len(ImageStatus),)
        Images by status, whatever the document's outcome.
    shapes : ndarray of int64, shape (len(SHAPES),)
        Kept documents by shape.
    """

    counts: NDArray[np.int64]
    images: NDArray[np.int64]
    shapes: NDArray[np.int64]

    @classmethod
    def empty(cls, dtype: Any = np.int64) -> Tally:
        """Return a tally of zeros, whose counts may be means."""
        return cls(
            np.zeros((len(QUANTITIES), len(CLASSES)), dtype),
            np.zeros(len(ImageStatus), np.int64),
            np.zeros(len(SHAPES), np.int64),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.counts + other.counts, self.images + other.images, self.shapes + other.shapes
        )


def lengths_of(kind: NDArray[Any], length: NDArray[Any], max_tokens: int) -> NDArray[Any]:
    """Return each document's position among the lengths in `SHAPES`, or `DROPPED`.

    Parameters
    ----------
    kind, length : ndarray of integers
        Of one shape: classes, and tokens before truncation.
    max_tokens : int

    Examples
    --------
    >>> found = lengths_of(np.array([0, 1, 4]), np.array([33, 300, 0]), 256)
    >>> [(*SHAPES[MOST_IMAGES + 1 :], "dropped")[n] for n in found]
    ['always_2', 'single_image_truncated', 'dropped']
    """
    part, most = np.zeros(length.shape, np.int8), np.inf
    if length.dtype.kind in "iu":
        most = np.iinfo(length.dtype).max
    for edge in range(1, LENGTHS + 1):
        part += (length > min(edge * max_tokens // LENGTHS, most)).view(np.int8)
    part += (LENGTHS + 1) * (kind == CLASS["kept_single_image"])
    return np.where(kind > CLASS["kept_single_image"], np.int8(DROPPED), part)


def class_of(verdict: Verdict) -> str:
    """Return the class of a verdict; ChatGPT-generated documents are always kept or dropped."""
    if verdict.outcome is not Outcome.KEPT:
        return str(verdict.outcome)
    return "kept_single_image" if verdict.single_image else "kept_always"


def tally(verdict: Verdict, max_tokens: int) -> Tally:
    """Count one verdict of the reference walk, with this token limit."""
    statuses = Counter(pair.status for pair in verdict.pairs)
    drawn = [pair for pair in verdict.pairs if pair.probability < 1]
    not_drawn = sum(1 - pair.probability for pair in drawn)
    images = Counter(verdict.images)
    counts = {
        "documents": 1,
        "pairs": len(verdict.pairs) - statuses[PairStatus.BELOW_THRESHOLD],
        "rejected_pairs": statuses[PairStatus.BELOW_THRESHOLD],
        "over_cap": statuses[PairStatus.OVER_CAP] + not_drawn,
        "truncated": statuses[PairStatus.TRUNCATED],
        "reaching": statuses[PairStatus.KEPT] - not_drawn,
        "image_tokens": verdict.image_tokens,
        "text_tokens": verdict.text_tokens,
        "mispaired": verdict.mispaired,
        "stranded": 0,
        "text_before": verdict.shape.text_before,
        "text_between": verdict.shape.text_between,
        "followed": verdict.shape.followed,
    }
    if verdict.outcome is Outcome.UNREADABLE:
        counts["stranded"] = images[ImageStatus.UNMATCHED]
    if verdict.images and not verdict.pairs:  # if ChatGPT-generated, images are paired by rank only
        matched = images[ImageStatus.MATCHED]
        bound = {b.bound_image for b in verdict.binding if b.bound_image is not None}
        counts["reaching"] = len(bound)
        counts["over_cap"] = matched - verdict.handed_over
        counts["truncated"] = verdict.handed_over - len(bound)
    values = np.array([counts[name] for name in QUANTITIES])
    if verdict.readable < 1:
        values = values * verdict.readable
    total = Tally.empty(values.dtype)
    total.counts[:, CLASS[class_of(verdict)]] = values
    if verdict.readable < 1:
        total.counts[QUANTITY["documents"], CLASS["unreadable"]] += 1 - verdict.readable
    total.images[:] = [images[status] for status in ImageStatus]
    if verdict.outcome is Outcome.KEPT:
        kind, length = np.array(CLASS[class_of(verdict)]), np.array(verdict.shape.length)
        images_in_it = 1 if verdict.single_image else min(verdict.image_tokens, MOST_IMAGES)
        total.shapes[images_in_it] = 1
        total.shapes[MOST_IMAGES + 1 + lengths_of(kind, length, max_tokens)] = 1
    return total


@dataclass(frozen=True)
class Curves:
    """Every statistic at every threshold, exact.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (T,)
        Ascending.
    counts : ndarray of int64, shape (len(QUANTITIES), len(CLASSES), T)
        Sums of `mmc4viz.sweep.statistics.Tally.counts`.
    images : ndarray of int64, shape (len(ImageStatus), T)
        Sums of ``images``.
    shapes : ndarray of int64, shape (len(SHAPES), T)
        Sums of ``shapes``.
    """

    thresholds: Thresholds
    counts: NDArray[np.int64]
    images: NDArray[np.int64]
    shapes: NDArray[np.int64]

    @classmethod
    def none(cls, thresholds: Thresholds) -> Curves:
        """Return the curves of no documents."""
        sizes = (len(QUANTITIES), len(CLASSES)), (len(ImageStatus),), (len(SHAPES),)
        return cls(thresholds, *(np.zeros((*size, len(thresholds)), np.int64) for size in sizes))

    def __add__(self, other: Curves) -> Curves:
        """Add the curves of another part of the corpus, over the same thresholds."""
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ValueError("cannot add curves with different thresholds")
        return Curves(
            self.thresholds,
            self.counts + other.counts,
            self.images + other.images,
            self.shapes + other.shapes,
        )

    def at(self, steps: NDArray[np.int64], thresholds: Thresholds) -> Curves:
        """Return the values at some steps, as those of these thresholds."""
        values = (self.counts, self.images, self.shapes)
        return Curves(thresholds, *(value[..., steps] for value in values))

    def total(self, quantity: str) -> NDArray[np.int64]:
        """Return a quantity over all documents, shape (T,)."""
        return np.asarray(self.counts[QUANTITY[quantity]].sum(axis=0))

    def in_class(self, quantity: str, *classes: str) -> NDArray[np.int64]:
        """Return a quantity over the documents of some classes, shape (T,)."""
        chosen = [CLASS[name] for name in classes]
        return np.asarray(self.counts[QUANTITY[quantity], chosen].sum(axis=0))

    def with_status(self, status: ImageStatus) -> NDArray[np.int64]:
        """Return the number of images with a status, shape (T,)."""
        return np.asarray(self.images[IMAGE_STATUS[status]])

    def expected(self, quantity: str, keep: float) -> NDArray[np.float64]:
        """Return a quantity's expected value over kept documents, shape (T,).

        Parameters
        ----------
        quantity : str
            One of `mmc4viz.sweep.statistics.QUANTITIES`.
        keep : float
            Single-image keep probability.
        """
        always = self.in_class(quantity, "kept_always")
        return np.asarray(always + keep * self.in_class(quantity, "kept_single_image"))

    def rows(self, keep: float) -> list[dict[str, Any]]:
        """Return the rows of ``mmc4viz curve``; ``keep`` is the single-image keep probability."""
        kept = self.in_class("documents", "kept_always", "kept_single_image")
        columns: dict[str, NDArray[Any]] = {
            "threshold": self.thresholds,
            "documents": self.expected("documents", keep),
            "documents_possible": kept if keep > 0 else self.in_class("documents", "kept_always"),
            "pairs": self.total("pairs"),
            "image_tokens": self.expected("image_tokens", keep),
            "text_tokens": self.expected("text_tokens", keep),
            "mispaired": self.expected("mispaired", keep),
            str(Outcome.KEPT): kept,
        }
        for outcome in Outcome:
            if outcome is not Outcome.KEPT:
                columns[str(outcome)] = self.in_class("documents", str(outcome))
        lists = [column.tolist() for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]

    def step(self, threshold: float) -> int:
        """Return the index of the step closest to a threshold."""
        return int(np.abs(self.thresholds - threshold).argmin())


_MOST_BINS: Final = 100_000  # half a kilobyte each


def batches(n: int, thresholds: Thresholds) -> Iterator[range]:
    """Divide n curves over these thresholds into batches that limit the memory of a sweep.

    Examples
    --------
    >>> [list(some) for some in batches(3, np.zeros(40_000))]
    [[0, 1], [2]]
    """
    at_once = max(1, _MOST_BINS // (len(thresholds) + 1))
    return (range(n)[first : first + at_once] for first in range(0, n, at_once))


@dataclass(frozen=True, slots=True)
class Loss:
    """One step of a funnel: how many are dropped here, and how many remain."""

    name: str
    meaning: str
    lost: float
    remaining: float


def image_funnel(curves: Curves, step: int, keep: float) -> list[Loss]:
    """Count images by drop reason at one threshold.

    Parameters
    ----------
    curves : Curves
        The corpus's curves.
    step : int
        Index of the threshold.
    keep : float
        Single-image keep probability.

    Returns
    -------
    list of Loss
        In the loader's order; the last ``remaining`` is the expected number kept.
    """
    statuses = {status: float(curves.with_status(status)[step]) for status in ImageStatus}
    stranded = curves.total("stranded")[step]
    rejected = ("too_few_images", "single_image_at_end")
    losses = [
        ("missing", "no image data", statuses[ImageStatus.MISSING]),
        ("too_small", "below the size limit", statuses[ImageStatus.TOO_SMALL]),
        (
            "undecodable",
            "cannot be decoded; its document was dropped",
            statuses[ImageStatus.UNDECODABLE],
        ),
        (
            "lost_with_document",
            "in an unreadable document",
            statuses[ImageStatus.LOST_WITH_DOCUMENT] + stranded,
        ),
        ("unmatched", "assigned no sentence", statuses[ImageStatus.UNMATCHED] - stranded),
        (
            "below_threshold",
            "score below the threshold",
            curves.total("rejected_pairs")[step],
        ),
        ("over_cap", "more pairs than the image cap", curves.total("over_cap")[step]),
        ("truncated", "image token beyond the token limit", curves.total("truncated")[step]),
        (
            "document_rejected",
            "sequence with fewer images than the minimum, or ending with its only image",
            curves.in_class("reaching", *rejected)[step],
        ),
        (
            SINGLE_IMAGE_DROP,
            "only image token of a document that is dropped at random (expected)",
            (1 - keep) * curves.in_class("reaching", "kept_single_image")[step],
        ),
    ]
    return _funnel(sum(statuses.values()), losses)


def document_funnel(curves: Curves, step: int, keep: float) -> list[Loss]:
    """Count documents by drop reason at one threshold, like `image_funnel`."""
    meanings = {
        Outcome.UNREADABLE: "loader error",
        Outcome.NO_VALID_IMAGE: "all images missing or too small",
        Outcome.BELOW_THRESHOLD: "no pair reaches the threshold",
        Outcome.TOO_FEW_IMAGES: "fewer image tokens than the minimum, after truncation",
        Outcome.SINGLE_IMAGE_AT_END: "only image token is last",
    }
    losses = [
        (str(outcome), meaning, curves.in_class("documents", str(outcome))[step])
        for outcome, meaning in meanings.items()
    ]
    dropped = (1 - keep) * curves.in_class("documents", "kept_single_image")[step]
    losses.append((SINGLE_IMAGE_DROP, "one image token, dropped at random (expected)", dropped))
    return _funnel(curves.total("documents")[step], losses)


def _funnel(whole: float, losses: list[tuple[str, str, float]]) -> list[Loss]:
    steps, remaining = [], float(whole)
    for name, meaning, lost in losses:
        remaining -= float(lost)
        steps.append(Loss(name, meaning, float(lost), remaining))
    return steps
