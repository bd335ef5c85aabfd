"""Matched pairs → what becomes of a document when its r best pairs survive, for every r at once.

The vectorised twin of the walk's second half (cap, text, tokens, outcome) for plain documents.
Thresholds are not known here: a state is a number of surviving pairs.

A sequence is a row of pieces: sentences, each counted as it opens a chunk or follows another one,
and the special tokens between them. The token of the pair on sentence s stands behind all tokens
of the sentences before s, and two tokens (``<|endofchunk|><image>``) for every kept pair before
it; the first ``<|endofchunk|>`` is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.match import Ints, Matches
from mmc4viz.corpus.tally import CLASS
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import LoaderConfig

Array = NDArray[np.int32]


@dataclass(frozen=True)
class Group:
    """Documents with the same number m of matched pairs; pairs in sentence order on axis 0.

    Attributes
    ----------
    document : ndarray of int64, shape (D,)
        Rows of the shard.
    by_score, by_image : ndarray of int32, shape (m, D)
        Ranks of the pairs (`Matches`).
    before : ndarray of int32, shape (m, D)
        Text tokens before the pair's sentence if no pair came before it.
    extra : ndarray of int32, shape (m, D)
        Tokens that opening a chunk adds to the pair's sentence.
    again : ndarray of bool, shape (m, D)
        Whether the pair shares its sentence with the pair before it.
    total : ndarray of int32, shape (D,)
        Text tokens of the document if nothing is matched.
    score : ndarray of float64, shape (m, D)
        In descending order, not in sentence order.
    """

    document: Ints
    by_score: Array
    by_image: Array
    before: Array
    extra: Array
    again: NDArray[np.bool_]
    total: Array
    score: NDArray[np.float64]

    def documents(self, part: slice) -> Group:
        """Return some of the documents."""
        return Group(
            self.document[part],
            self.by_score[:, part],
            self.by_image[:, part],
            self.before[:, part],
            self.extra[:, part],
            self.again[:, part],
            self.total[part],
            self.score[:, part],
        )


@dataclass(frozen=True)
class States:
    """What becomes of documents in a number of states, every array of shape (states, documents)."""

    kind: NDArray[np.int8]
    over_cap: Array
    truncated: Array
    reaching: Array
    text_tokens: Array
    misbound: Array


def groups(columns: Columns, matches: Matches) -> list[Group]:
    """Arrange a shard's pairs by their documents' number of pairs."""
    if not len(matches.document):
        return []
    before, extra, total = _token_columns(columns, matches)
    again = _shares_sentence(matches)
    per_document = np.bincount(matches.document, minlength=len(columns))
    first_pair = np.concatenate([[0], np.cumsum(per_document)])
    by_best = np.empty(len(matches.score))
    by_best[first_pair[matches.document] + matches.by_score] = matches.score
    found = []
    for m in np.unique(per_document[per_document > 0]):
        rows = np.flatnonzero(per_document == m)
        where = first_pair[rows] + np.arange(m)[:, None]
        found.append(
            Group(
                rows,
                matches.by_score[where].astype(np.int32),
                matches.by_image[where].astype(np.int32),
                before[where],
                extra[where],
                again[where],
                total[rows],
                by_best[where],
            )
        )
    return found


def _token_columns(columns: Columns, matches: Matches) -> tuple[Array, Array, Array]:
    """Turn counts into `Group.before` and `extra` for each pair, `total` for each document."""
    first, alone = columns.values("first"), columns.values("rest").astype(np.int64)
    starts = columns.offsets("rest")
    has_text = starts[1:] > starts[:-1]
    alone[starts[:-1][has_text]] = columns.numbers("head")[has_text]
    running = np.concatenate([[0], np.cumsum(alone)])
    at = starts[matches.document] + matches.sentence
    return (
        (running[at] - running[starts[matches.document]]).astype(np.int32),
        (first[at] - alone[at]).astype(np.int32),
        (running[starts[1:]] - running[starts[:-1]]).astype(np.int32),
    )


def _shares_sentence(matches: Matches) -> NDArray[np.bool_]:
    again = np.zeros(len(matches.document), bool)
    again[1:] = (np.diff(matches.document) == 0) & (np.diff(matches.sentence) == 0)
    return again


def resolve(group: Group, survivors: Array, config: LoaderConfig, tokenizer: Tokenizer) -> States:
    """Resolve states of a group of documents.

    Parameters
    ----------
    group : Group
        D documents of m pairs each.
    survivors : ndarray of int32, shape (S, D) or (S, 1)
        How many of its best pairs survive in each state of each document.
    config : LoaderConfig
        The cap, the minimum and the token limit matter.
    tokenizer : Tokenizer
        What it adds to a sequence by itself.

    Returns
    -------
    States
        In a state with no survivor the document is *below_threshold*.
    """
    shape = np.broadcast_shapes(survivors.shape, group.total.shape)
    limit = config.max_tokens - tokenizer.n_before - tokenizer.n_after
    slots = _slots(group, survivors, config.max_images)
    added = np.zeros(shape, np.int32)  # tokens that the kept pairs so far add
    kept, reaching, ends = (np.zeros(shape, np.int32) for _ in range(3))
    misbound, at_end = np.zeros(shape, np.int32), np.zeros(shape, bool)
    opened: Array | int = 0  # what the current sentence already added by opening a chunk
    shared = bool(group.again.any())
    for before, extra, again, slot in zip(
        group.before, group.extra, group.again, slots, strict=True
    ):
        here = slot >= 0
        opened = opened * again if shared else 0
        position = before + added - opened
        inside = here & (position < limit)
        misbound += inside & (slot != kept)
        ends += here & (position <= limit)  # its end of chunk stands one token before it
        at_end |= here & (position == config.max_tokens - tokenizer.n_before - 1)
        reaching += inside
        kept += here
        added += here * (extra - opened + 2)
        if shared:
            opened = np.where(here, extra, opened)
    length = group.total + added  # one end of chunk less at the start, one more at the end
    closing = np.clip(limit - length, 0, tokenizer.n_closing)
    closed = length <= limit
    specials = reaching + np.maximum(ends - 1, 0) + closed
    text = np.minimum(length + tokenizer.n_closing, limit) - closing - specials
    kind = np.full(shape, CLASS["kept_surely"], np.int8)
    kind[reaching == 1] = CLASS["kept_by_coin"]
    kind[(reaching == 1) & at_end] = CLASS["single_image_at_end"]
    kind[reaching < config.min_images] = CLASS["too_few_images"]
    kind[kept == 0] = CLASS["below_threshold"]
    sequence = kept > 0
    return States(
        kind,
        over_cap=np.broadcast_to(survivors, shape) - kept,
        truncated=kept - reaching,
        reaching=reaching,
        text_tokens=np.where(sequence, text, 0).astype(np.int32),
        misbound=misbound,
    )


def _slots(group: Group, survivors: Array, max_images: int) -> NDArray[np.int32]:
    """Rank of each pair's image among those handed over, -1 for pairs not kept.

    Returns
    -------
    ndarray of int32, shape (m, S, D)
        Pairs in sentence order.
    """
    m = len(group.by_score)
    in_image_order = np.empty_like(group.by_score)
    np.put_along_axis(in_image_order, group.by_image, group.by_score, axis=0)
    shape = np.broadcast_shapes(survivors.shape, group.total.shape)
    slots = np.empty((m, *shape), np.int32)
    taken = np.zeros(shape, np.int32)
    for slot, rank in zip(slots, in_image_order, strict=True):
        keep = (rank < survivors) & (taken < max_images)
        slot[:] = np.where(keep, taken, -1)
        taken += keep
    return np.take_along_axis(slots, group.by_image[:, None, :], axis=0)
