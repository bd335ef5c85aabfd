"""ROC and precision–recall curves of scores under many weightings of the same pairs at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints

STEPS: Final = np.linspace(0, 1, 101)
NAMES: Final = ("auc", "average_precision", "roc", "precision")
_AT_ONCE: Final = 1 << 21  # numbers in a block of resampled weights


@dataclass(frozen=True)
class Curves:
    """Of R weightings: areas, shape (R,), and curves over `STEPS`, shape (R, 101)."""

    auc: Floats
    average_precision: Floats
    roc: Floats
    precision: Floats

    @classmethod
    def joined(cls, parts: list[Curves]) -> Curves:
        """Return the curves of several blocks of weightings as one."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in NAMES))

    def take(self, chosen: NDArray[np.bool_]) -> Curves:
        """Return those of some weightings."""
        return Curves(*(getattr(self, name)[chosen] for name in NAMES))


class Ranked:
    """One model's scores of labelled pairs, from the top; equal scores stand as one step.

    Parameters
    ----------
    score, weight : ndarray of float64, shape (n,)
    correct : ndarray of bool, shape (n,)
    owner : ndarray of int64, shape (n,)
        Which of the documents drawn a pair belongs to.
    """

    def __init__(
        self, score: Floats, correct: NDArray[np.bool_], weight: Floats, owner: Ints
    ) -> None:
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        self._right = correct[self._order]
        self._weight, self._owner = weight, owner

    def resampled(self, draws: NDArray[np.int16]) -> Iterator[Curves]:
        """Yield the curves of every draw, some at a time."""
        width = max(1, _AT_ONCE // len(self._weight))
        for start in range(0, len(draws), width):
            yield self.curves(draws[start : start + width, self._owner] * self._weight)

    def curves(self, weight: Floats) -> Curves:
        """Return the curves of R weightings, shape (R, n); NaN where one kind of pair is missing.

        The ROC curve is straight within a step, which makes its area the chance that a right pair
        scores above a wrong one. Precision at a recall is that at the highest score to reach it.
        """
        ranked = weight[:, self._order]
        rights = np.add.reduceat(ranked * self._right, self._first, axis=1)
        wrongs = np.add.reduceat(ranked * ~self._right, self._first, axis=1)
        true, false = rights.cumsum(axis=1), wrongs.cumsum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            tpr, fpr = true / true[:, -1:], false / false[:, -1:]
            precision = true / (true + false)
            auc = (wrongs * (true - rights / 2)).sum(axis=1) / (true[:, -1] * false[:, -1])
            steps = np.where(rights > 0, precision * rights, 0).sum(axis=1)
            average = np.where(np.isfinite(auc), steps / true[:, -1], np.nan)
        return Curves(auc, average, _roc(tpr, fpr), _precision(tpr, precision))


def _roc(tpr: Floats, fpr: Floats) -> Floats:
    """Read the true-positive rate at every step of the false-positive rate."""
    zero = np.zeros(1)
    return np.array(
        [
            np.interp(STEPS, np.append(zero, f), np.append(zero, t))
            for t, f in zip(tpr, fpr, strict=True)
        ]
    )


def _precision(recall: Floats, precision: Floats) -> Floats:
    """Read the precision at every step of recall."""
    last = recall.shape[1] - 1
    places = (np.searchsorted(row, np.maximum(STEPS, 1e-12) - 1e-12) for row in recall)
    return np.array(
        [row[np.minimum(place, last)] for row, place in zip(precision, places, strict=True)]
    )
