"""Every document's states, resolved once: what becomes of all at a threshold is then a look-up.

Says what `verdicts` says, for lists that follow a threshold while it moves. Sums over documents
are the sweep's job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.corpus.matched import Matched
from mmc4viz.corpus.resolve import States, resolve
from mmc4viz.corpus.tally import QUANTITIES
from mmc4viz.corpus.verdicts import Verdicts, undecided
from mmc4viz.model import LoaderConfig

_MOVING = ("kind", "surviving", "nearest", "image_tokens", "text_tokens", "misbound")
_OF_WALKED = ("matched", "best")  # lost with the document, where a text cannot be read


@dataclass(frozen=True)
class _Resolved:
    """Documents with m pairs each: positions, scores from the top, and their states."""

    document: Ints
    score: Floats
    states: States


@dataclass(frozen=True)
class _Walked:
    """One shard's literal documents; S states of L documents, each one's from the top."""

    document: Ints
    state_of: Ints
    score: Floats
    kind: Ints
    counts: dict[str, Ints]
    scores: list[Floats]


class Standings:
    """A corpus's documents in all of their states.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        The threshold does not matter.
    """

    def __init__(self, matched: Matched, config: LoaderConfig) -> None:
        self._base = undecided(matched)
        self._resolved = list(_resolved(matched, config))
        self._walked = list(_walked(matched, config))
        for one in self._resolved:
            self._base.matched[one.document] = len(one.score)
            self._base.best[one.document] = one.score[0]

    def at(self, threshold: float) -> Verdicts:
        """Say what becomes of every document at a threshold; what never changes is shared."""
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
    """Fill in plain documents with m pairs, whose scores stand from the top."""
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
    rows.misbound[here] = one.states.misbound[state]


def _look_up_walked(rows: Verdicts, here: _Walked, threshold: float) -> None:
    """Fill in literal documents."""
    entered = np.flatnonzero(here.score >= threshold)
    now = np.zeros(len(here.document), np.int64)
    now[here.state_of[entered]] = entered  # the last of each
    rows.kind[here.document] = here.kind[now]
    pairs = here.counts["pairs"][now]
    rows.surviving[here.document] = pairs
    rows.matched[here.document] = pairs + here.counts["rejected_pairs"][now]
    for name in ("image_tokens", "text_tokens", "misbound"):
        getattr(rows, name)[here.document] = here.counts[name][now]
    for place, scores in zip(here.document.tolist(), here.scores, strict=True):
        if rows.matched[place]:
            rows.best[place] = scores.max()
            rows.nearest[place] = np.abs(scores - threshold).min()
