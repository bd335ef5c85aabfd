"""Exact curves of every statistic over thresholds, and the grid of thresholds that suits a scale.

Curves are looked up and added here; they are made by the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.scales import Thresholds
from mmc4viz.corpus.tally import CLASS, IMAGE_FATE, QUANTITY
from mmc4viz.model import ImageFate, Outcome


@dataclass(frozen=True)
class Curves:
    """Every statistic at every threshold, exact.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (T,)
        Ascending.
    counts : ndarray of int64, shape (len(QUANTITIES), len(CLASSES), T)
        Sums of `mmc4viz.corpus.tally.Tally.counts`.
    images : ndarray of int64, shape (len(ImageFate), T)
        Likewise of ``images``.
    """

    thresholds: Thresholds
    counts: NDArray[np.int64]
    images: NDArray[np.int64]

    def __add__(self, other: Curves) -> Curves:
        """Add the curves of another part of the corpus, over the same thresholds."""
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ValueError("curves over different thresholds do not add up")
        return Curves(self.thresholds, self.counts + other.counts, self.images + other.images)

    def total(self, quantity: str) -> NDArray[np.int64]:
        """Return a quantity over all documents, shape (T,)."""
        return np.asarray(self.counts[QUANTITY[quantity]].sum(axis=0))

    def in_class(self, quantity: str, *classes: str) -> NDArray[np.int64]:
        """Return a quantity over the documents of some classes, shape (T,)."""
        chosen = [CLASS[name] for name in classes]
        return np.asarray(self.counts[QUANTITY[quantity], chosen].sum(axis=0))

    def with_fate(self, fate: ImageFate) -> NDArray[np.int64]:
        """Return the number of images with a fate, shape (T,)."""
        return np.asarray(self.images[IMAGE_FATE[fate]])

    def expected(self, quantity: str, keep: float) -> NDArray[np.float64]:
        """Return a quantity's expectation over the documents that survive, shape (T,).

        Parameters
        ----------
        quantity : str
            One of `mmc4viz.corpus.tally.QUANTITIES`.
        keep : float
            Probability with which a sequence of a single image survives.
        """
        surely = self.in_class(quantity, "kept_surely")
        return np.asarray(surely + keep * self.in_class(quantity, "kept_by_coin"))

    def rows(self, keep: float) -> list[dict[str, Any]]:
        """Return what ``mmc4viz curve`` prints: a row a threshold, with the coin at ``keep``."""
        kept = self.in_class("documents", "kept_surely", "kept_by_coin")
        columns: dict[str, NDArray[Any]] = {
            "threshold": self.thresholds,
            "documents": self.expected("documents", keep),
            "documents_possible": kept if keep > 0 else self.in_class("documents", "kept_surely"),
            "pairs": self.total("pairs"),
            "image_tokens": self.expected("image_tokens", keep),
            "text_tokens": self.expected("text_tokens", keep),
            "misbound": self.expected("misbound", keep),
            str(Outcome.KEPT): kept,
        }
        for outcome in Outcome:
            if outcome is not Outcome.KEPT:
                columns[str(outcome)] = self.in_class("documents", str(outcome))
        lists = [column.tolist() for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]

    def step(self, threshold: float) -> int:
        """Return the position of the step nearest to a threshold."""
        return int(np.abs(self.thresholds - threshold).argmin())
