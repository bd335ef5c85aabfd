"""Columns → which images are valid under a size limit, and which documents are lost by one.

The walk's first half for a shard's plain documents at once. Nothing is matched here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Ints
from mmc4viz.corpus.columns import Columns, Kind, Status
from mmc4viz.corpus.tally import IMAGE_FATE
from mmc4viz.model import ImageFate

_LOST: Final = IMAGE_FATE[ImageFate.LOST_WITH_DOCUMENT]
WAITING: Final = IMAGE_FATE[ImageFate.MATCHED]
"""The fate of valid images before they are matched: as if they all were."""

LITERAL: Final = len(ImageFate)
"""In place of a fate: of the images of documents that the literal walk answers."""


@dataclass(frozen=True)
class Validity:
    """What a size limit makes of one shard's images, I in all.

    Attributes
    ----------
    starts : ndarray of int64, shape (documents + 1,)
        Each document's first image.
    fate : ndarray of uint8, shape (I,)
        Positions in `ImageFate`, or LITERAL.
    lost : ndarray of bool, shape (documents,)
        Plain documents that an image loses.
    """

    starts: Ints
    fate: NDArray[np.uint8]
    lost: Bools

    def having(self, fate: int) -> Ints:
        """Return how many images of a fate each document has, shape (documents,)."""
        running = np.concatenate([[0], np.cumsum(self.fate == fate)])
        return np.diff(running[self.starts])

    def count(self) -> Ints:
        """Count images by fate, all documents but the literal ones, shape (len(ImageFate),)."""
        return np.bincount(self.fate, minlength=LITERAL)[:LITERAL]


def validity(columns: Columns, min_kb: int) -> Validity:
    """Sort one shard's images as the walk meets them."""
    starts = columns.offsets("images")
    inside = slice(starts[0], starts[-1])
    starts = starts - starts[0]
    status, n_bytes = columns.image("status")[inside], columns.image("n_bytes")[inside]
    small = _small(n_bytes, min_kb)
    kind = np.repeat(columns.kind, np.diff(starts))
    fate = np.full(len(status), WAITING, np.uint8)
    fate[small] = IMAGE_FATE[ImageFate.TOO_SMALL]
    fate[status == Status.MISSING] = IMAGE_FATE[ImageFate.MISSING]
    fatal = (status == Status.BAD_ENTRY) | ((status == Status.BAD_PIXELS) & ~small)
    lost = _lose(fate, np.flatnonzero(fatal & (kind == Kind.PLAIN)), starts)
    fate[kind == Kind.UNREADABLE] = _LOST
    fate[kind == Kind.LITERAL] = LITERAL
    return Validity(starts, fate, lost)


def _lose(fate: NDArray[np.uint8], fatal: Ints, starts: Ints) -> Bools:
    """Let fatal images lose their documents; nothing behind a document's first is looked at."""
    owners, which = np.unique(np.searchsorted(starts, fatal, side="right") - 1, return_index=True)
    for document, image in zip(owners.tolist(), fatal[which].tolist(), strict=True):
        fate[image] = IMAGE_FATE[ImageFate.UNDECODABLE]
        fate[image + 1 : starts[document + 1]] = _LOST
    lost = np.zeros(len(starts) - 1, bool)
    lost[owners] = True
    return lost


def changed(columns: Columns, min_kb: int, other: int) -> Bools:
    """Which documents have an image that one of two size limits drops, shape (documents,)."""
    starts = columns.offsets("images")
    n_bytes = columns.image("n_bytes")[starts[0] : starts[-1]]
    crossing = np.flatnonzero(_small(n_bytes, min_kb) != _small(n_bytes, other))
    documents = np.zeros(len(columns), bool)
    documents[np.searchsorted(starts - starts[0], crossing, side="right") - 1] = True
    return documents


def _small(n_bytes: Ints, min_kb: int) -> Bools:
    return (n_bytes >= 0) & (n_bytes // 1000 <= min_kb)
