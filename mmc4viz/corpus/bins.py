"""Differences between states → sums by threshold: one histogram, accumulated from the right.

Adds whole numbers exactly. What a state is, `resolve` and `literal` know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.corpus.curves import Curves
from mmc4viz.corpus.literal import LiteralStates
from mmc4viz.corpus.resolve import States
from mmc4viz.corpus.scales import Thresholds
from mmc4viz.corpus.tally import CLASS, CLASSES, QUANTITIES, QUANTITY, Tally
from mmc4viz.model import ImageFate

Places = NDArray[np.unsignedinteger[Any]]

_EXACT_BITS: Final = 53  # of a double
_CLASSES: Final = CLASS["below_threshold"] + 1  # those that a document passes through come first


def places(thresholds: Thresholds, score: NDArray[np.float64]) -> Places:
    """Return the bin of each score: how many thresholds it reaches."""
    dtype = np.uint16 if len(thresholds) < 2**16 else np.uint32
    return np.searchsorted(thresholds, score, side="right").astype(dtype)


class Bins:
    """Differences between states, in the bin of the score at which a state is entered.

    Bin k belongs to scores that reach threshold k - 1 but not threshold k. Documents may be dealt
    into clusters, each with bins of its own after those of the cluster before.
    """

    def __init__(self, thresholds: Thresholds, clusters: int = 1) -> None:
        self.thresholds = thresholds
        self._each = len(thresholds) + 1
        n = clusters * self._each
        self.counts = np.zeros((len(QUANTITIES), n, len(CLASSES)), np.int64)
        self.images = np.zeros((n, len(ImageFate)), np.int64)

    def add_everywhere(self, constants: Tally, cluster: int = 0) -> None:
        """Add what does not depend on the threshold."""
        last = (cluster + 1) * self._each - 1
        self.counts[:, last] += constants.counts
        self.images[last] += constants.images

    def add_states(
        self, place: Places, states: States, max_images: int, cluster: Ints | None = None
    ) -> None:
        """Add the states of documents that are *below_threshold* without a pair.

        Parameters
        ----------
        place : ndarray of unsigned integers, shape (m, D)
            Bins of the scores at which the states are entered.
        states : States
            Of these documents.
        max_images : int
            The cap.
        cluster : ndarray of int64, shape (D,), optional
            Of each document.
        """
        at = place.astype(np.int64) + (0 if cluster is None else cluster * self._each)
        m, n_pairs = len(place), np.arange(1, len(place) + 1)[:, None]
        n_kept = np.minimum(n_pairs, max_images)
        entered = at * _CLASSES + states.kind
        left = entered[1:] - states.kind[1:] + states.kind[:-1]
        sums = _sums(
            {
                "documents": np.ones_like(n_pairs),
                "pairs": n_pairs,
                "kept": n_kept,
                "reaching": states.reaching,
                "misbound": states.misbound,
                "text_tokens": states.text_tokens,
            },
            entered.ravel(),
            left.ravel(),
            len(self.images) * _CLASSES,
        )
        alone = np.bincount(at[0], minlength=len(self.images))
        sums["documents"][CLASS["below_threshold"] :: _CLASSES] -= alone
        sums["rejected_pairs"] = m * sums["documents"] - sums["pairs"]
        sums["over_cap"] = sums["pairs"] - sums["kept"]
        sums["truncated"] = sums.pop("kept") - sums["reaching"]
        sums["image_tokens"] = sums["reaching"]
        for name, values in sums.items():
            self.counts[QUANTITY[name], :, :_CLASSES] += values.reshape(-1, _CLASSES)

    def add_literal(self, states: LiteralStates, cluster: int = 0) -> None:
        """Add the states of literal documents."""
        follows = np.append(False, states.document[1:] == states.document[:-1])
        place = np.searchsorted(self.thresholds, states.score, side="right")
        place += cluster * self._each
        left, before = place[follows], np.flatnonzero(follows) - 1
        counts = self.counts.transpose(1, 2, 0)  # a view: bins and classes first
        np.add.at(counts, (place, states.kind), states.counts)
        np.subtract.at(counts, (left, states.kind[before]), states.counts[before])
        np.add.at(self.images, place, states.images)
        np.subtract.at(self.images, left, states.images[before])

    def curves(self) -> list[Curves]:
        """Sum up the bins from the right, cluster by cluster."""
        shape = self.counts.shape
        counts = self.counts.reshape(shape[0], -1, self._each, shape[2])[:, :, :0:-1]
        counts = counts.cumsum(axis=2)[:, :, ::-1].transpose(1, 0, 3, 2)
        images = self.images.reshape(-1, self._each, self.images.shape[1])[:, :0:-1]
        images = images.cumsum(axis=1)[:, ::-1].transpose(0, 2, 1)
        return [
            Curves(self.thresholds, np.ascontiguousarray(one), of)
            for one, of in zip(counts, images, strict=True)
        ]


def _sums(
    values: dict[str, NDArray[Any]], entered: Ints, left: Ints, n_bins: int
) -> dict[str, Ints]:
    """Sum up values in the bins entered, less those of the state before in the bins left.

    Parameters
    ----------
    values : dict of str to ndarray of integers, shape (m, D) or (m, 1)
        Not negative.
    entered : ndarray of int64, shape (m * D,)
    left : ndarray of int64, shape ((m - 1) * D,)
        For the states from the second on.
    n_bins : int

    Returns
    -------
    dict of str to ndarray of int64, shape (n_bins,)
    """
    sums = {}
    for word in _words(values, len(entered)):
        weights = sum(values[name] * float(1 << shift) for name, shift, _ in word)
        flat = np.broadcast_to(weights, values["reaching"].shape).ravel()
        came = np.bincount(entered, flat, n_bins).astype(np.int64)
        went = np.bincount(left, flat[: len(left)], n_bins).astype(np.int64)
        for name, shift, bits in word:
            mask = (1 << bits) - 1
            sums[name] = ((came >> shift) & mask) - ((went >> shift) & mask)
    return sums


def _words(values: dict[str, NDArray[Any]], n: int) -> Iterator[list[tuple[str, int, int]]]:
    """Pack quantities into doubles that add them all up at once, exactly.

    Yields
    ------
    list of (name, shift, bits)
        Quantities of one double; no sum of n values overflows its bits.
    """
    word: list[tuple[str, int, int]] = []
    used = 0
    for name, value in values.items():
        bits = (n * max(1, int(value.max()))).bit_length()
        if word and used + bits > _EXACT_BITS:
            yield word
            word, used = [], 0
        word.append((name, used, bits))
        used += bits
    yield word
