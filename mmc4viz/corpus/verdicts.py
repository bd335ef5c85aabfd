"""What becomes of every document at one threshold: a row a document, as arrays.

The table behind lists of documents. Sums over thresholds are the sweep's job; one document's
words, pairs and tokens are the walk's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.corpus.groups import Group
from mmc4viz.corpus.literal import Literal
from mmc4viz.corpus.matched import Matched
from mmc4viz.corpus.resolve import States, resolve
from mmc4viz.corpus.tally import QUANTITIES
from mmc4viz.model import LoaderConfig


@dataclass(frozen=True)
class Verdicts:
    """What becomes of a corpus's documents, every array of shape (documents,).

    Attributes
    ----------
    part, row : ndarray of int64
        Where each document stands: its shard's position and its row there.
    kind : ndarray of int8
        Its class (`mmc4viz.corpus.tally.CLASSES`).
    images : ndarray of int64
        Entries of ``image_info``.
    matched, surviving : ndarray of int64
        Pairs; those at or above the threshold.
    best, nearest : ndarray of float64
        Score of the best pair, and distance of the score nearest to the threshold; NaN without.
    image_tokens, text_tokens, misbound : ndarray of int64
        Of the sequence, 0 without one.
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
    misbound: Ints


def verdicts(matched: Matched, config: LoaderConfig) -> Verdicts:
    """Say what becomes of every document at the setting's threshold.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        The whole setting.
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
    """Return a row a document, none of whose pairs survives."""
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
        misbound=next(zeros),
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
    rows.misbound[here] = states.misbound[state]


def _fill_literal(rows: Verdicts, here: Ints, literal: Literal, config: LoaderConfig) -> None:
    """Fill in the documents that the walk answers."""
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
    rows.misbound[here] = counts["misbound"]
    for place, scores in zip(here.tolist(), literal.scores_of_each(), strict=True):
        if rows.matched[place]:
            rows.best[place] = scores.max()
            rows.nearest[place] = np.abs(scores - config.threshold).min()
