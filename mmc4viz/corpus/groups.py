"""Matched pairs arranged for resolving: documents of one shape side by side.

A group spans many shards, so that what is done once a group costs little a document. Nothing is
matched or counted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.match import Matches

Array = NDArray[np.signedinteger[Any]]

# Documents whose every token position and index stays below this are held and resolved in 16 bits.
NARROW: Final = 32_000

STATES: Final = 1 << 17
"""States in a block: many for one histogram, few in memory."""


@dataclass(frozen=True)
class Group:
    """D documents with m matched pairs each; the pairs on axis 0, best score first.

    Attributes
    ----------
    document : ndarray of int32, shape (D,)
        Ascending numbers.
    image, sentence, before, extra : ndarray of int16 or int32, shape (m, D)
        Of the pairs (`Matches`).
    total : ndarray of int16 or int32, shape (D,)
    score : ndarray of float64, shape (m, D)
        Descending; equal ones in any order.
    shared : bool
        Whether in each document some pairs share a sentence; if not, in none.
    """

    document: NDArray[np.int32]
    image: Array
    sentence: Array
    before: Array
    extra: Array
    total: Array
    score: NDArray[np.float64]
    shared: bool

    def __len__(self) -> int:
        return len(self.document)

    def part(self, here: slice) -> Group:
        """Return the documents at some positions."""
        fields = {name: value[..., here] for name, value in vars(self).items() if name != "shared"}
        return Group(**fields, shared=self.shared)

    def blocks(self) -> Iterator[slice]:
        """Cut the documents into blocks that are resolved and added up at a time."""
        width = max(1, STATES // len(self.score))
        return (slice(start, start + width) for start in range(0, len(self), width))

    def positions(self, first: int, last: int) -> slice:
        """Return where the documents with numbers in a range stand."""
        return slice(*np.searchsorted(self.document, [first, last]).tolist())

    def between(self, first: int, last: int) -> Group:
        """Return the documents with numbers in a range."""
        return self.part(self.positions(first, last))

    def shifted(self, documents: int) -> Group:
        """Return the same documents with other numbers."""
        return replace(self, document=self.document + np.int32(documents))

    def pairs(self, chosen: NDArray[np.bool_]) -> Matches:
        """Return the pairs of some documents, one by one."""
        m = len(self.score)
        fields = {
            name: getattr(self, name)[:, chosen].ravel().astype(np.int32)
            for name in ("image", "sentence", "before", "extra")
        }
        return Matches(
            document=np.tile(self.document[chosen], m),
            total=np.tile(self.total[chosen].astype(np.int32), m),
            score=self.score[:, chosen].ravel(),
            **fields,
        )


def arrange(pairs: Matches, n_documents: int) -> list[Group]:
    """Arrange pairs into groups, by number of pairs, width and whether sentences are shared.

    Parameters
    ----------
    pairs : Matches
        In any order.
    n_documents : int
        Documents are numbered below this.
    """
    each = np.bincount(pairs.document, minlength=n_documents)
    first = np.concatenate([[0], np.cumsum(each)])
    in_order = bool((np.diff(pairs.document) >= 0).all())
    order = None if in_order else np.argsort(pairs.document, kind="stable")
    found = []
    for m in np.unique(each[each > 0]).tolist():
        documents = np.flatnonzero(each == m)
        where = first[documents][:, None] + np.arange(m)
        where = where if order is None else order[where]
        found += list(_groups(pairs, where))
    return found


def _groups(pairs: Matches, where: NDArray[np.int64]) -> Iterator[Group]:
    """Make groups of documents with the same number of pairs, which stand at ``where``."""
    best_first = np.argsort(-pairs.score[where], axis=1)
    where = np.take_along_axis(where, best_first, axis=1)
    sentence = np.sort(pairs.sentence[where], axis=1)
    shared = (sentence[:, 1:] == sentence[:, :-1]).any(axis=1)
    largest = np.maximum(sentence[:, -1], pairs.image[where].max(axis=1))
    reach = pairs.total[where[:, 0]] + (np.abs(pairs.extra[where]) + 2).sum(axis=1)
    narrow = (reach < NARROW) & (largest < NARROW)
    for is_shared in (False, True):
        for dtype, fits in ((np.int16, narrow), (np.int32, ~narrow)):
            chosen = (shared == is_shared) & fits
            if chosen.any():
                yield _group(pairs, where[chosen].T, np.dtype(dtype), is_shared)


def _group(pairs: Matches, where: NDArray[np.int64], dtype: np.dtype[Any], shared: bool) -> Group:
    fields = {
        name: getattr(pairs, name).astype(dtype)[where]
        for name in ("image", "sentence", "before", "extra")
    }
    return Group(
        pairs.document[where[0]],
        total=pairs.total.astype(dtype)[where[0]],
        score=pairs.score[where],
        shared=shared,
        **fields,
    )
