"""What becomes of every document at one threshold: a row a document, as arrays.

The table behind lists of documents. Sums over thresholds are the sweep's job; one document's
words, pairs and tokens are the walk's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Kind
from mmc4viz.corpus.resolve import Group, resolve
from mmc4viz.corpus.sweep import Matched, Part
from mmc4viz.corpus.tally import CLASS, class_of
from mmc4viz.loader.walk import walk
from mmc4viz.model import Fate, LoaderConfig

Ints = NDArray[np.int64]


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
    parts = [
        _Table(part, number, config).filled() for number, part in enumerate(matched.parts)
    ] or [_empty()]
    names = Verdicts.__dataclass_fields__
    return Verdicts(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def _empty() -> Verdicts:
    ints, floats = np.zeros(0, np.int64), np.zeros(0)
    kind = np.zeros(0, np.int8)
    return Verdicts(ints, ints, kind, ints, ints, ints, floats, floats, ints, ints, ints)


class _Table:
    """One shard's rows while they are filled."""

    def __init__(self, part: Part, number: int, config: LoaderConfig) -> None:
        self.part, self.config = part, config
        n = len(part.columns)
        zeros = (np.zeros(n, np.int64) for _ in range(6))
        matched, surviving, image_tokens, text_tokens, misbound, shard = zeros
        self.rows = Verdicts(
            part=shard + number,
            row=np.arange(n),
            kind=np.full(n, CLASS["unreadable"], np.int8),
            images=part.columns.n_images,
            matched=matched,
            surviving=surviving,
            best=np.full(n, np.nan),
            nearest=np.full(n, np.nan),
            image_tokens=image_tokens,
            text_tokens=text_tokens,
            misbound=misbound,
        )

    def filled(self) -> Verdicts:
        """Fill in plain documents by groups, the others one by one."""
        matches, rows = self.part.matches, self.rows
        alive = (self.part.columns.kind == Kind.PLAIN) & ~matches.unreadable
        rows.kind[alive] = CLASS["below_threshold"]
        rows.kind[matches.no_valid_image] = CLASS["no_valid_image"]
        for group in self.part.groups:
            self._fill_group(group)
        for row in self.part.literal:
            self._fill_literal(row)
        return rows

    def _fill_group(self, group: Group) -> None:
        rows, here, threshold = self.rows, group.document, self.config.threshold
        surviving = (group.score >= threshold).sum(axis=0)
        states = resolve(
            group, surviving[None, :].astype(np.int32), self.config, self.part.columns.tokenizer
        )
        rows.kind[here] = states.kind[0]
        rows.matched[here], rows.surviving[here] = len(group.score), surviving
        rows.best[here] = group.score[0]
        rows.nearest[here] = np.abs(group.score - threshold).min(axis=0)
        rows.image_tokens[here] = states.reaching[0]
        rows.text_tokens[here] = states.text_tokens[0]
        rows.misbound[here] = states.misbound[0]

    def _fill_literal(self, row: int) -> None:
        document = self.part.literal[row]
        verdict = walk(document, self.config, self.part.columns.tokenizer)
        rows, scores = self.rows, [pair.score for pair in verdict.pairs]
        rows.kind[row] = CLASS[class_of(verdict)]
        rows.matched[row] = len(scores)
        rows.surviving[row] = sum(pair.fate is not Fate.BELOW_THRESHOLD for pair in verdict.pairs)
        if scores:
            rows.best[row] = max(scores)
            rows.nearest[row] = min(abs(score - self.config.threshold) for score in scores)
        rows.image_tokens[row] = verdict.image_tokens
        rows.text_tokens[row] = verdict.text_tokens
        rows.misbound[row] = verdict.misbound
