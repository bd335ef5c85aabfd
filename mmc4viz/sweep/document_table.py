"""A table of all documents at one threshold, for lists of documents.

`verdicts` computes it once; `DocumentTable` precomputes all states to look it up at any threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.sweep.literal import Literal
from mmc4viz.sweep.resolve import Group, States, resolve
from mmc4viz.sweep.statistics import QUANTITIES
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
        Top score, and distance of the nearest score to the threshold; NaN without pairs.
    image_tokens, text_tokens, mispaired : ndarray of int64
        Counts in the sequence; 0 without one.
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


def verdicts(matched: Matched, config: LoaderConfig) -> Verdicts:
    """Compute the outcome of every document at the threshold of ``config``.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
    """
    rows, start = undecided(matched), 0
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group in run.groups():
            for block in map(group.part, group.blocks()):
                here = block.document.astype(np.int64) + (start - run.first)
                _fill(rows, here, block, resolve(block, config, tokenizer), config.threshold)
        start += run.last - run.first
    start = 0
    for part in matched.parts:
        if part.literal:
            _fill_literal(rows, part.literal.rows + start, part.literal, config)
        start += len(part.columns)
    return rows


def undecided(matched: Matched) -> Verdicts:
    """Return the table with all pairs below the threshold."""
    columns, n = [part.columns for part in matched.parts], matched.n_documents
    nothing, numbers = np.zeros(0, np.int64), range(len(columns))
    zeros = (np.zeros(n, np.int64) for _ in range(5))
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
    )


def _fill(rows: Verdicts, here: Ints, group: Group, states: States, threshold: float) -> None:
    """Fill in plain documents with pairs."""
    surviving = (group.score >= threshold).sum(axis=0)
    rows.matched[here], rows.surviving[here] = len(group.score), surviving
    rows.best[here] = group.score[0]
    rows.nearest[here] = np.abs(group.score - threshold).min(axis=0)
    some = np.flatnonzero(surviving)
    here, state = here[some], (surviving[some] - 1, some)
    rows.kind[here] = states.kind[state]
    rows.image_tokens[here] = states.reaching[state]
    rows.text_tokens[here] = states.text_tokens[state]
    rows.mispaired[here] = states.mispaired[state]


def _fill_literal(rows: Verdicts, here: Ints, literal: Literal, config: LoaderConfig) -> None:
    """Fill in literal documents."""
    states = literal.states(config)
    entered = np.flatnonzero(states.score >= config.threshold)
    state = np.zeros(len(here), np.int64)
    state[states.document[entered]] = entered  # the last of each
    counts = dict(zip(QUANTITIES, states.counts[state].T, strict=True))
    rows.kind[here] = states.kind[state]
    rows.matched[here] = counts["pairs"] + counts["rejected_pairs"]
    rows.surviving[here] = counts["pairs"]
    rows.image_tokens[here] = counts["image_tokens"]
    rows.text_tokens[here] = counts["text_tokens"]
    rows.mispaired[here] = counts["mispaired"]
    for place, scores in zip(here.tolist(), literal.scores_of_each(), strict=True):
        if rows.matched[place]:
            rows.best[place] = scores.max()
            rows.nearest[place] = np.abs(scores - config.threshold).min()


_MOVING = ("kind", "surviving", "nearest", "image_tokens", "text_tokens", "mispaired")
_OF_WALKED = ("matched", "best")  # change if the text is unreadable in some states


@dataclass(frozen=True)
class _Resolved:
    """Documents with m pairs each: positions, descending scores, and states."""

    document: Ints
    score: Floats
    states: States


@dataclass(frozen=True)
class _Walked:
    """One shard's literal documents: S states of L documents, each by descending score."""

    document: Ints
    state_of: Ints
    score: Floats
    kind: Ints
    counts: dict[str, Ints]
    scores: list[Floats]


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
        self._base = undecided(matched)
        self._resolved = list(_resolved(matched, config))
        self._walked = list(_walked(matched, config))
        for one in self._resolved:
            self._base.matched[one.document] = len(one.score)
            self._base.best[one.document] = one.score[0]

    def at(self, threshold: float) -> Verdicts:
        """Return the table at a threshold; columns that never change are shared."""
        moving = _MOVING + _OF_WALKED * bool(self._walked)
        rows = replace(self._base, **{n: getattr(self._base, n).copy() for n in moving})
        for one in self._resolved:
            _look_up(rows, one, threshold)
        for here in self._walked:
            _look_up_walked(rows, here, threshold)
        return rows


def _resolved(matched: Matched, config: LoaderConfig) -> Iterator[_Resolved]:
    start = 0
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group in run.groups():
            if len(group):
                here = group.document.astype(np.int64) + (start - run.first)
                yield _Resolved(here, group.score, resolve(group, config, tokenizer))
        start += run.last - run.first


def _walked(matched: Matched, config: LoaderConfig) -> Iterator[_Walked]:
    start = 0
    for part in matched.parts:
        if part.literal:
            states = part.literal.states(config)
            yield _Walked(
                part.literal.rows + start,
                states.document,
                states.score,
                states.kind,
                dict(zip(QUANTITIES, states.counts.T, strict=True)),
                part.literal.scores_of_each(),
            )
        start += len(part.columns)


def _look_up(rows: Verdicts, one: _Resolved, threshold: float) -> None:
    """Fill in plain documents with m pairs each."""
    here, last = one.document, len(one.score) - 1
    surviving = np.zeros(len(here), np.int64)
    for score in one.score:
        surviving += score >= threshold
    everyone = np.arange(len(here))
    above = np.abs(one.score[np.maximum(surviving - 1, 0), everyone] - threshold)
    below = np.abs(one.score[np.minimum(surviving, last), everyone] - threshold)
    rows.nearest[here] = np.minimum(above, below)
    rows.surviving[here] = surviving
    some = np.flatnonzero(surviving)
    here, state = here[some], (surviving[some] - 1, some)
    rows.kind[here] = one.states.kind[state]
    rows.image_tokens[here] = one.states.reaching[state]
    rows.text_tokens[here] = one.states.text_tokens[state]
    rows.mispaired[here] = one.states.mispaired[state]


def _look_up_walked(rows: Verdicts, here: _Walked, threshold: float) -> None:
    """Fill in literal documents."""
    entered = np.flatnonzero(here.score >= threshold)
    now = np.zeros(len(here.document), np.int64)
    now[here.state_of[entered]] = entered  # the last of each
    rows.kind[here.document] = here.kind[now]
    pairs = here.counts["pairs"][now]
    rows.surviving[here.document] = pairs
    rows.matched[here.document] = pairs + here.counts["rejected_pairs"][now]
    for name in ("image_tokens", "text_tokens", "mispaired"):
        getattr(rows, name)[here.document] = here.counts[name][now]
    for place, scores in zip(here.document.tolist(), here.scores, strict=True):
        if rows.matched[place]:
            rows.best[place] = scores.max()
            rows.nearest[place] = np.abs(scores - threshold).min()
