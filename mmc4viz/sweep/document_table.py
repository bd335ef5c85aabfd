"""A table of all documents at one threshold, for lists of documents.

`verdicts` computes it once; `DocumentTable` precomputes all states to look it up at any threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.loader.profile import profile_of
from mmc4viz.sweep.literal import LiteralStates
from mmc4viz.sweep.resolve import States, resolve
from mmc4viz.sweep.statistics import CLASS, QUANTITIES
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import LoaderConfig


@dataclass(frozen=True)
class Verdicts:
    """Outcomes of a corpus's documents, every array of shape (documents,).

    Attributes
    ----------
    part, row : ndarray of int64
        The shard's position and the row in it.
    kind : ndarray of int8
        Class (`mmc4viz.sweep.statistics.CLASSES`).
    images : ndarray of int64
        Entries of ``image_info``.
    matched, surviving : ndarray of int64
        Pairs; pairs at or above the threshold.
    best, nearest : ndarray of float64
        Top score, and distance of the nearest score to the threshold; NaN without pairs, the
        second without a threshold.
    image_tokens, text_tokens, mispaired : ndarray of int64
        Counts in the sequence; 0 without one.
    length : ndarray of int64
        Tokens before truncation, with the special ones; 0 without a text.
    readable : ndarray of float64
        Probability that the images that a loader draws do not make the document unreadable.

    Under a loader that draws at random, text tokens, mispaired and length are means.
    """

    part: Ints
    row: Ints
    kind: NDArray[np.int8]
    images: Ints
    matched: Ints
    surviving: Ints
    best: NDArray[np.float64]
    nearest: NDArray[np.float64]
    image_tokens: Ints
    text_tokens: Ints
    mispaired: Ints
    length: Ints
    readable: NDArray[np.float64]

    def odds(self, keep: float) -> NDArray[np.float64]:
        """Return the probability that each document is kept, given the single-image one."""
        odds = np.zeros(len(self.kind))
        odds[self.kind == CLASS["kept_always"]] = 1.0
        odds[self.kind == CLASS["kept_single_image"]] = keep
        return odds * self.readable


def verdicts(matched: Matched, config: LoaderConfig, own: Floats | None = None) -> Verdicts:
    """Compute the outcome of every document at the threshold of ``config``, or at its own.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
    own : ndarray of float64, shape (documents,), optional
        Thresholds of the documents instead.
    """
    rows = _undecided(matched)
    for states in _states(matched, config):
        states.fill_fixed(rows)
        states.fill(rows, config.lowest_score if own is None else own[states.document])
    return rows


def _undecided(matched: Matched) -> Verdicts:
    """Return the table with all pairs below the threshold."""
    columns, n = [part.columns for part in matched.parts], matched.n_documents
    nothing, numbers = np.zeros(0, np.int64), range(len(columns))
    mean = np.float64 if profile_of(matched.config).is_random else np.int64
    zeros: Iterator[Any] = (np.zeros(n, dtype) for dtype in (*3 * (np.int64,), *3 * (mean,)))
    return Verdicts(
        part=np.repeat(np.arange(len(columns)), [len(one) for one in columns]),
        row=np.concatenate([nothing, *(np.arange(len(one)) for one in columns)]),
        kind=np.concatenate([nothing, *(matched.parts[i].kind for i in numbers)]).astype(np.int8),
        images=np.concatenate([nothing, *(one.n_images for one in columns)]),
        matched=next(zeros),
        surviving=next(zeros),
        best=np.full(n, np.nan),
        nearest=np.full(n, np.nan),
        image_tokens=next(zeros),
        text_tokens=next(zeros),
        mispaired=next(zeros),
        length=next(zeros),
        readable=np.ones(n) if mean is np.float64 else np.broadcast_to(1.0, n),
    )


class DocumentTable:
    """A corpus's documents in all of their states.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
        The threshold is ignored.
    """

    def __init__(self, matched: Matched, config: LoaderConfig) -> None:
        self._base, self._states = _undecided(matched), list(_states(matched, config))
        for states in self._states:
            states.fill_fixed(self._base)

    def at(self, threshold: float) -> Verdicts:
        """Return the table at a threshold; columns that never change are shared."""
        may_be_lost = any(states.may_be_lost for states in self._states)
        moving = _MOVING + _OF_LOST * may_be_lost
        rows = replace(self._base, **{n: getattr(self._base, n).copy() for n in moving})
        for states in self._states:
            states.fill(rows, threshold)
        return rows


_MOVING = ("kind", "surviving", "nearest", "image_tokens", "text_tokens", "mispaired", "length")
_OF_LOST = ("matched", "best", "readable")  # change if a document is unreadable in some states


def _states(matched: Matched, config: LoaderConfig) -> Iterator[_PlainStates | _WalkedStates]:
    """Resolve all documents that have more than one state, block by block."""
    start = 0
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group in run.groups():
            for block in map(group.part, group.blocks()):
                here = block.document.astype(np.int64) + (start - run.first)
                states = resolve(block, config, tokenizer)
                yield _PlainStates(here, block.score, states, block.lost_from is not None)
        start += run.last - run.first
    start = 0
    for part in matched.parts:
        if part.literal:
            scores = part.literal.scores_of_each()
            yield _WalkedStates(part.literal.rows + start, scores, part.literal.states(config))
        start += len(part.columns)


@dataclass(frozen=True)
class _PlainStates:
    """Plain documents with m pairs each: positions, descending scores, and states."""

    document: Ints
    score: Floats
    states: States
    may_be_lost: bool

    def fill_fixed(self, rows: Verdicts) -> None:
        """Fill in the columns that do not depend on the threshold, unless documents are lost."""
        rows.matched[self.document] = len(self.score)
        rows.best[self.document] = self.score[0]

    def fill(self, rows: Verdicts, threshold: float | Floats) -> None:
        """Fill in the other columns, at one threshold or at one per document."""
        here, last = self.document, len(self.score) - 1
        surviving = np.zeros(len(here), np.int64)
        for score in self.score:
            surviving += score >= threshold
        everyone = np.arange(len(here))
        above = np.abs(self.score[np.maximum(surviving - 1, 0), everyone] - threshold)
        below = np.abs(self.score[np.minimum(surviving, last), everyone] - threshold)
        rows.nearest[here] = np.where(np.isfinite(threshold), np.minimum(above, below), np.nan)
        rows.surviving[here] = surviving
        some = np.flatnonzero(surviving)
        here, state = here[some], (surviving[some] - 1, some)
        rows.kind[here] = self.states.kind[state]
        rows.image_tokens[here] = self.states.reaching[state]
        rows.text_tokens[here] = self.states.text_tokens[state]
        rows.mispaired[here] = self.states.mispaired[state]
        rows.length[here] = self.states.length[state]
        if self.may_be_lost:
            lost = here[rows.kind[here] == CLASS["unreadable"]]
            rows.matched[lost] = rows.surviving[lost] = 0
            rows.best[lost] = rows.nearest[lost] = np.nan


@dataclass(frozen=True)
class _WalkedStates:
    """One shard's literal documents: positions, each one's scores, and states."""

    document: Ints
    scores: list[Floats]
    states: LiteralStates
    may_be_lost = True

    def fill_fixed(self, rows: Verdicts) -> None:
        """Fill in nothing: all columns may depend on the threshold."""

    def fill(self, rows: Verdicts, threshold: float | Floats) -> None:
        """Fill in all columns, at one threshold or at one per document."""
        here = self.document
        at = np.broadcast_to(threshold, len(here))
        entered = np.flatnonzero(self.states.score >= at[self.states.document])
        state = np.zeros(len(here), np.int64)
        state[self.states.document[entered]] = entered  # the last of each
        counts = dict(zip(QUANTITIES, self.states.counts[state].T, strict=True))
        rows.kind[here] = self.states.kind[state]
        rows.length[here] = np.maximum(self.states.length[state], 0)  # -1 without a text
        rows.matched[here] = counts["pairs"] + counts["rejected_pairs"]
        rows.surviving[here] = counts["pairs"]
        if (counts["documents"] < 1).any():
            rows.readable[here] = counts["documents"]
        for name in ("image_tokens", "text_tokens", "mispaired"):
            getattr(rows, name)[here] = counts[name] / counts["documents"]
        for place, scores, own in zip(here.tolist(), self.scores, at.tolist(), strict=True):
            if rows.matched[place]:
                rows.best[place] = scores.max()
                rows.nearest[place] = np.abs(scores - own).min() if np.isfinite(own) else np.nan
