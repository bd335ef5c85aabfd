"""Columns → matched pairs of one shard's plain documents, for one size limit and assignment.

Depends on nothing else of the setting: neither threshold nor cap nor tokens. What the pairs lead
to is `resolve`'s job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Ints
from mmc4viz.corpus.assign import ASSIGN, Rows
from mmc4viz.corpus.columns import Columns, Kind
from mmc4viz.corpus.tally import CLASS, IMAGE_FATE, QUANTITY, Tally
from mmc4viz.corpus.validity import WAITING, Validity, validity
from mmc4viz.model import ImageFate, LoaderConfig

Array = NDArray[np.int32]


@dataclass(frozen=True)
class Matches:
    """Matched pairs, in any order; every array of shape (pairs,).

    Attributes
    ----------
    document : ndarray of int32
        Number of each pair's document.
    image, sentence : ndarray of int32
        The document's own indices.
    before : ndarray of int32
        Text tokens before the pair's sentence if no pair came before it.
    extra : ndarray of int32
        Tokens that opening a chunk adds to the pair's sentence.
    total : ndarray of int32
        Text tokens of its document if nothing is matched.
    score : ndarray of float64
    """

    document: Array
    image: Array
    sentence: Array
    before: Array
    extra: Array
    total: Array
    score: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Put pairs behind one another."""
        none = np.zeros(0, np.int32)
        empty = cls(none, none, none, none, none, none, np.zeros(0))
        names = cls.__dataclass_fields__
        return cls(
            **{n: np.concatenate([getattr(part, n) for part in (empty, *parts)]) for n in names}
        )

    def shifted(self, documents: int) -> Matches:
        """Return the same pairs with other numbers for their documents."""
        return replace(self, document=self.document + np.int32(documents))


@dataclass(frozen=True)
class Known:
    """What an earlier matching found that still holds.

    Attributes
    ----------
    documents : ndarray of bool, shape (documents,)
        Those that need no matching.
    failed : ndarray of bool, shape (documents,)
        Those of them that failed.
    pairs : Matches
        Theirs.
    """

    documents: Bools
    failed: Bools
    pairs: Matches


@dataclass(frozen=True)
class ShardMatch:
    """One shard, matched.

    Attributes
    ----------
    pairs : Matches
    kind : ndarray of uint8, shape (documents,)
        Class of each document while none of its pairs survives; literal ones are not looked at.
    constants : Tally
        Of plain and unreadable documents, with every pair below the threshold.
    """

    pairs: Matches
    kind: NDArray[np.uint8]
    constants: Tally


def match(columns: Columns, config: LoaderConfig, known: Known | None = None) -> ShardMatch:
    """Match one shard's plain documents.

    Parameters
    ----------
    columns : Columns
        One shard's.
    config : LoaderConfig
        Only ``min_kb`` and ``assignment`` matter.
    known : Known, optional
        What need not be matched again.
    """
    images = validity(columns, config.min_kb)
    plain = columns.kind == Kind.PLAIN
    waiting = images.having(WAITING)
    ready = plain & ~images.lost & (waiting > 0)
    todo = ready if known is None else ready & ~known.documents
    pairs, failed = _match_documents(columns, images, config.assignment, todo)
    if known is not None:
        pairs = Matches.joined([known.pairs, pairs])
        failed |= ready & known.failed
    lost = images.lost | failed | (columns.kind == Kind.UNREADABLE)
    kind = np.full(len(columns), CLASS["below_threshold"], np.uint8)
    kind[plain & (waiting == 0)] = CLASS["no_valid_image"]
    kind[lost] = CLASS["unreadable"]
    stranded = int(waiting[lost].sum())
    return ShardMatch(
        pairs,
        kind,
        _constants(images, kind[columns.kind != Kind.LITERAL], len(pairs.score), stranded),
    )


def _constants(images: Validity, kind: NDArray[np.uint8], n_pairs: int, stranded: int) -> Tally:
    """Tally plain and unreadable documents with every matched pair below the threshold."""
    total = Tally.empty()
    total.counts[QUANTITY["documents"]] = np.bincount(kind, minlength=len(CLASS))
    total.counts[QUANTITY["rejected_pairs"], CLASS["below_threshold"]] = n_pairs
    total.counts[QUANTITY["stranded"], CLASS["unreadable"]] = stranded
    total.images[:] = images.count()
    total.images[IMAGE_FATE[ImageFate.UNMATCHED]] = total.images[WAITING] - n_pairs
    total.images[WAITING] = n_pairs
    return total


def _match_documents(
    columns: Columns, images: Validity, assignment: str, documents: Bools
) -> tuple[Matches, Bools]:
    """Run an assignment over documents; return their pairs and which documents failed."""
    failed = np.zeros(len(columns), bool)
    n_sentences = columns.numbers("n_sentences").astype(np.int64)
    n_rows = np.diff(columns.offsets("similarity")) // np.maximum(n_sentences, 1)
    owner = np.repeat(np.arange(len(columns)), np.diff(images.starts))
    index = np.arange(len(owner)) - images.starts[owner]
    wanted = (images.fate == WAITING) & documents[owner]
    failed[owner[wanted & (index >= n_rows[owner])]] = True  # a row is missing
    wanted &= ~failed[owner]
    owner, index = owner[wanted], index[wanted]
    if not len(owner):
        return _pairs(columns, owner, index, index, np.zeros(0)), failed
    rows = _rows(columns, n_sentences, n_rows, owner, index, np.flatnonzero(wanted))
    assigned = ASSIGN[assignment](rows)
    failed[owner[rows.first[:-1]][assigned.failed]] = True
    found = (assigned.sentence >= 0) & ~failed[owner]
    return _pairs(
        columns, owner[found], index[found], assigned.sentence[found], assigned.score[found]
    ), failed


def _rows(
    columns: Columns, n_sentences: Ints, n_rows: Ints, owner: Ints, index: Ints, image: Ints
) -> Rows:
    """Gather the rows of valid images, given by document and by index in it and in the shard."""
    first_row = np.concatenate([[0], np.cumsum(n_rows)])
    keep = np.zeros(first_row[-1], bool)
    keep[first_row[owner] + index] = True
    values = _list_values(columns, "similarity")
    if not keep.all():
        # A mask over all values reads them in order: faster than any index.
        values = values[np.repeat(keep, np.repeat(n_sentences, n_rows))]
    inside = image + columns.offsets("images")[0]
    return Rows(
        values,
        starts=np.concatenate([[0], np.cumsum(n_sentences[owner])]),
        first=np.concatenate([[0], np.flatnonzero(np.diff(owner)) + 1, [len(owner)]]),
        stored_sentence=columns.image("stored_sentence")[inside],
        stored_score=columns.image("stored_score")[inside],
    )


def _list_values(columns: Columns, name: str) -> NDArray[Any]:
    """Return a list column's values of just these documents (a slice shares its neighbours')."""
    starts = columns.offsets(name)
    return columns.values(name)[starts[0] : starts[-1]]


def _pairs(
    columns: Columns, owner: Ints, image: Ints, sentence: Ints, score: NDArray[np.float64]
) -> Matches:
    """Complete pairs by the token counts before and in their sentences."""
    starts = columns.offsets("rest")
    alone = _list_values(columns, "rest").copy()
    first = _list_values(columns, "first")
    starts = starts - starts[0]
    has_text = starts[1:] > starts[:-1]
    alone[starts[:-1][has_text]] = columns.numbers("head")[has_text]
    running = np.concatenate([[0], np.cumsum(alone, dtype=np.int64)])
    begin, at = starts[owner], starts[owner] + sentence
    return Matches(
        owner.astype(np.int32),
        image.astype(np.int32),
        sentence.astype(np.int32),
        before=(running[at] - running[begin]).astype(np.int32),
        extra=first[at] - alone[at],
        total=(running[starts[owner + 1]] - running[begin]).astype(np.int32),
        score=score,
    )
