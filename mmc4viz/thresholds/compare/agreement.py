"""Overlap of what two models keep.

A document is kept if its keep probability is above 0; a pair if it reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np

from mmc4viz.arrays import Bools, Floats, Ints
from mmc4viz.sweep.resolve import resolve
from mmc4viz.sweep.statistics import CLASS
from mmc4viz.sweep.sweep import Matched
from mmc4viz.thresholds.by_yield import Steps, steps_of_scores
from mmc4viz.thresholds.model_scores import Model
from mmc4viz.types import LoaderConfig


@dataclass(frozen=True)
class Overlap:
    """Overlap of two kept sets.

    Attributes
    ----------
    both, only_first, only_second : int

    Examples
    --------
    >>> Overlap(3, 1, 2).jaccard
    0.5
    """

    both: int
    only_first: int
    only_second: int

    @property
    def jaccard(self) -> float:
        """Kept by both divided by kept by either; 1 if neither keeps any."""
        either = self.both + self.only_first + self.only_second
        return self.both / either if either else 1.0


@dataclass(frozen=True)
class Changes:
    """How images change when one model replaces another.

    Attributes
    ----------
    same : int
        Images kept by both, with the same sentence.
    other_sentence : int
        Images kept by both, with another sentence.
    only_first, only_second : int
        Images kept by one model only.
    """

    same: int
    other_sentence: int
    only_first: int
    only_second: int


@dataclass(frozen=True)
class Agreement:
    """Agreement of two models, each at its own threshold.

    Attributes
    ----------
    documents, pairs : Overlap
        Pairs are the same if image and sentence are.
    changes : Changes
        The pairs by image.
    """

    documents: Overlap
    pairs: Overlap
    changes: Changes


class Keeping:
    """Which documents of a corpus are kept at any threshold.

    Nearly every document is kept at all thresholds up to some score, so only that score is stored.
    The few that further pairs can cause to be dropped again are looked up state by state.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
        The threshold is ignored; only whether the single-image keep probability is 0 matters.
    """

    def __init__(self, matched: Matched, config: LoaderConfig) -> None:
        self._from = np.full(matched.n_documents, -np.inf)  # kept at thresholds up to this
        self._never = np.ones(matched.n_documents, bool)
        self._wavering: list[tuple[Ints, Floats, Bools]] = []
        for document, score, kept in _states(matched, config):
            lasting = np.logical_and.accumulate(kept[::-1])[::-1]  # kept from this state on
            wavers = (kept & ~lasting).any(axis=0)
            first = lasting.argmax(axis=0)
            self._from[document] = score[first, np.arange(len(document))]
            self._never[document] = ~lasting.any(axis=0)
            if wavers.any():
                self._wavering.append((document[wavers], score[:, wavers], kept[:, wavers]))

    def at(self, threshold: float) -> Bools:
        """Return whether each document is kept at a threshold, shape (documents,)."""
        found = ~self._never & (self._from >= threshold)
        for document, score, kept in self._wavering:
            entered = (score >= threshold).sum(axis=0)
            now = kept[np.maximum(entered - 1, 0), np.arange(len(document))]
            found[document] = now & (entered > 0)
        return found


def _states(matched: Matched, config: LoaderConfig) -> Iterator[tuple[Ints, Floats, Bools]]:
    """Yield documents with the scores of their states and whether each state is kept.

    Yields
    ------
    (ndarray of int64, shape (D,)), (ndarray of float64, shape (m, D)), (ndarray of bool, same)
        States by descending score.
    """
    config.require_threshold()
    kinds = [
        CLASS["kept_always"],
        *([CLASS["kept_single_image"]] if config.single_image_keep else []),
    ]
    start = 0
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group in run.groups():
            for block in map(group.part, group.blocks()):
                here = block.document.astype(np.int64) + (start - run.first)
                kept = np.isin(resolve(block, config, tokenizer).kind, kinds)
                yield here, block.score, kept
        start += run.last - run.first
    start = 0
    for part in matched.parts:
        if part.literal:
            states = part.literal.states(config)
            edges = np.searchsorted(states.document, np.arange(len(part.literal) + 1)).tolist()
            for row, *ends in zip(part.literal.rows.tolist(), edges, edges[1:], strict=False):
                state = slice(*ends)
                kept = np.isin(states.kind[state], kinds)
                yield np.array([row + start]), states.score[state][:, None], kept[:, None]
        start += len(part.columns)


def agreement(
    first: Model,
    second: Model,
    keeping: tuple[Keeping, Keeping],
    thresholds: tuple[float, float],
) -> Agreement:
    """Compare what two models keep.

    Parameters
    ----------
    first, second : Model
        Models of the same documents (`check_comparable`).
    keeping : (Keeping, Keeping)
        Theirs.
    thresholds : (float, float)
        One per model, each on its own scale.
    """
    one, other = (
        model.by_image.score >= threshold  # NaN never is
        for model, threshold in zip((first, second), thresholds, strict=True)
    )
    both = one & other
    agreed = both & (first.by_image.sentence == second.by_image.sentence)
    same, n_both, n_one, n_other = (int(kept.sum()) for kept in (agreed, both, one, other))
    return Agreement(
        _overlap(*(k.at(t) for k, t in zip(keeping, thresholds, strict=True))),
        Overlap(same, n_one - same, n_other - same),
        Changes(same, n_both - same, n_one - n_both, n_other - n_both),
    )


def _overlap(one: Bools, other: Bools) -> Overlap:
    both = int(np.count_nonzero(one & other))
    counts = (int(np.count_nonzero(kept)) - both for kept in (one, other))
    return Overlap(both, *counts)


@dataclass(frozen=True)
class Candidate:
    """One model with loader settings.

    Attributes
    ----------
    model : Model
    config : LoaderConfig
        With the size limit and assignment of the matching; the threshold is ignored.
    """

    model: Model
    config: LoaderConfig

    @property
    def name(self) -> str:
        """The CLIP model's name."""
        return self.model.name

    @cached_property
    def steps(self) -> Steps:
        """What is kept at every score."""
        return steps_of_scores(self.model.matched, self.config)

    @cached_property
    def keeping(self) -> Keeping:
        """Which documents are kept."""
        return Keeping(self.model.matched, self.config)

    def prepare(self, tell: Callable[[int], object]) -> None:
        """Compute the cached properties; ``tell`` is called in between and may raise to cancel."""
        for part in ("model.by_image", "steps", "keeping"):
            attrgetter(part)(self)
            tell(0)
