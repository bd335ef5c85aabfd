"""Models side by side over the same documents: their pairs image by image.

Every model here is one matched corpus. Makes sure that documents are the same; compares nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.matched import Matched, Part
from mmc4viz.corpus.pairs import Pairs, image_starts, pairs_of
from mmc4viz.model import Mmc4vizError


class ModelsError(Mmc4vizError):
    """Models that cannot be compared."""


@dataclass(frozen=True)
class Model:
    """One CLIP model's similarity of a corpus, matched.

    Attributes
    ----------
    name : str
        The CLIP model's.
    matched : Matched
        Under the same size limit and assignment as the others'.
    """

    name: str
    matched: Matched

    @cached_property
    def pairs(self) -> Pairs:
        """All matched pairs, ascending by score."""
        return pairs_of(self.matched)

    @cached_property
    def starts(self) -> Ints:
        """Where each document's images begin among all images, shape (documents + 1,)."""
        return image_starts(self.matched)

    @cached_property
    def by_image(self) -> ByImage:
        """The pairs by image."""
        sentence = np.full(int(self.starts[-1]), -1, np.int32)
        score = np.full(len(sentence), np.nan)
        at = self.starts[self.pairs.document] + self.pairs.image
        sentence[at], score[at] = self.pairs.sentence, self.pairs.score
        return ByImage(sentence, score)

    def percentile(self, scores: Floats) -> Floats:
        """Return where scores stand among the matched ones: the share below, ties halved.

        Parameters
        ----------
        scores : ndarray of float64, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n,)
            From 0 to 1; NaN for NaN, and where the model has no pair.
        """
        among, order = self.pairs.score, np.argsort(scores)
        ranked, share = scores[order], np.empty(len(scores))  # in order, look-ups stay near
        below = np.searchsorted(among, ranked, side="left")
        below += np.searchsorted(among, ranked, side="right")
        share[order] = below / (2 * max(len(among), 1))
        return np.where(np.isnan(scores) | (not len(among)), np.nan, share)


@dataclass(frozen=True)
class ByImage:
    """A model's pairs by image, every array of shape (images,).

    Attributes
    ----------
    sentence : ndarray of int32
        The sentence matched to each image of the corpus; -1 for an image without any.
    score : ndarray of float64
        NaN without any.
    """

    sentence: NDArray[np.int32]
    score: Floats


def line_up(models: Sequence[Model]) -> None:
    """Make sure that models can be compared: two or more, under different names, one corpus.

    Raises
    ------
    ModelsError
        Otherwise; names the first shard, or document, in which they differ.
    """
    if len(models) < 2:
        only = f", not {models[0].name} alone" if models else ""
        raise ModelsError(f"comparing takes two models or more{only}; mmc4viz score makes another")
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelsError(f"two models are called {twice}; give one of them another name")
    first = models[0]
    if first.matched.config.assignment == "stored":
        raise ModelsError(
            "the assignment stored takes the corpus's own pairs and scores, whatever the model; "
            "choose one_to_one, argmax or greedy to compare models"
        )
    for other in models[1:]:
        difference = _difference(first.matched.parts, other.matched.parts)
        if difference is not None:
            raise ModelsError(
                f"the documents of {other.name} are not those of {first.name}: {difference}; "
                "score the same shards with both, and index them again"
            )


def _difference(one: Sequence[Part], other: Sequence[Part]) -> str | None:
    """Say in which shard or document two corpora differ first; None if in none."""
    for a, b in zip(one, other, strict=False):
        found = _difference_of(a.columns, b.columns)
        if found is not None:
            return found
    if len(one) != len(other):
        return f"{len(other):,} shards against {len(one):,}"
    return None


def _difference_of(a: Columns, b: Columns) -> str | None:
    """Say in which document two shards differ first."""
    if a.shard.name != b.shard.name:
        return f"shard {b.shard.name} stands where {a.shard.name} does"
    if len(a) != len(b):
        return f"{a.shard.name} has {len(b):,} documents against {len(a):,}"
    if not a.batch.column("key").equals(b.batch.column("key")):
        mine, others = (c.batch.column("key").to_pylist() for c in (a, b))
        row = next(i for i, (x, y) in enumerate(zip(mine, others, strict=True)) if x != y)
        return f"{a.shard.name} has {others[row]!r} where {mine[row]!r} stands"
    if not np.array_equal(a.n_images, b.n_images):
        row = int(np.flatnonzero(a.n_images != b.n_images)[0])
        key = str(a.batch.column("key")[row])
        return f"{key!r} of {a.shard.name} has {b.n_images[row]} images against {a.n_images[row]}"
    return None
