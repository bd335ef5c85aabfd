"""One CLIP model's scores of a corpus, and a check that models score the same documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.sweep.pairs import Pairs, document_starts, image_starts, pairs_of
from mmc4viz.sweep.sweep import Matched, Part
from mmc4viz.types import Mmc4vizError


class ModelsError(Mmc4vizError):
    """Models cannot be compared."""


@dataclass(frozen=True)
class Model:
    """A corpus matched by one CLIP model's scores.

    Attributes
    ----------
    name : str
        The CLIP model's name.
    matched : Matched
        With the same size limit and assignment as the models it is compared with.
    """

    name: str
    matched: Matched

    @cached_property
    def pairs(self) -> Pairs:
        """All matched pairs, ascending by score."""
        return pairs_of(self.matched)

    @cached_property
    def starts(self) -> Ints:
        """Position of each document's first image in the corpus, shape (documents + 1,)."""
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
        """Return percentiles among the matched scores: the share below, ties counted half.

        Parameters
        ----------
        scores : ndarray of float64, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n,)
            From 0 to 1; NaN for NaN, and if the model has no pairs.
        """
        among, order = self.pairs.score, np.argsort(scores)
        ranked, share = scores[order], np.empty(len(scores))  # sorted look-ups are cache-friendly
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
        The sentence matched to each image of the corpus; -1 for unmatched images.
    score : ndarray of float64
        NaN for unmatched images.
    """

    sentence: NDArray[np.int32]
    score: Floats


def check_comparable(models: Sequence[Model]) -> None:
    """Check that models can be compared: two or more, distinct names, the same corpus.

    Raises
    ------
    ModelsError
        If not; the message names the first shard or document that differs.
    """
    if len(models) < 2:
        only = f", got only {models[0].name}" if models else ""
        raise ModelsError(f"need at least two models{only}; add scores with mmc4viz score")
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelsError(f"two models are named {twice}; rename one")
    first = models[0]
    if first.matched.config.assignment == "stored":
        raise ModelsError(
            "the stored assignment uses the corpus's own pairs and scores for every model; choose "
            "one_to_one, argmax or greedy to compare models"
        )
    for other in models[1:]:
        difference = _difference(first.matched.parts, other.matched.parts)
        if difference is not None:
            raise ModelsError(
                f"{other.name} and {first.name} have different documents: {difference}; score the "
                "same shards with both and index them again"
            )


def _difference(one: Sequence[Part], other: Sequence[Part]) -> str | None:
    """Describe the first difference of two corpora; None if they have the same documents."""
    for a, b in zip(one, other, strict=False):
        found = _difference_of(a.columns, b.columns)
        if found is not None:
            return found
    if len(one) != len(other):
        return f"{len(other):,} and {len(one):,} shards"
    return None


def _difference_of(a: Columns, b: Columns) -> str | None:
    """Describe the first difference of two shards."""
    if a.shard.name != b.shard.name:
        return f"shard {b.shard.name} instead of {a.shard.name}"
    if len(a) != len(b):
        return f"{a.shard.name} has {len(b):,} and {len(a):,} documents"
    if not a.batch.column("key").equals(b.batch.column("key")):
        mine, others = (c.batch.column("key").to_pylist() for c in (a, b))
        row = next(i for i, (x, y) in enumerate(zip(mine, others, strict=True)) if x != y)
        return f"{a.shard.name} has {others[row]!r} instead of {mine[row]!r}"
    if not np.array_equal(a.n_images, b.n_images):
        row = int(np.flatnonzero(a.n_images != b.n_images)[0])
        key = str(a.batch.column("key")[row])
        return f"{key!r} in {a.shard.name} has {b.n_images[row]} and {a.n_images[row]} images"
    return None


_LETTERS: Final = 8  # payload bytes per matrix entry: fewer than a number takes


def entries(
    model: Model,
    document: NDArray[np.integer[Any]],
    image: NDArray[np.integer[Any]],
    sentence: NDArray[np.integer[Any]],
) -> Floats:
    """Look up entries of a model's similarity matrices, matched or not.

    Parameters
    ----------
    model : Model
    document, image, sentence : ndarray of integers, shape (n,)
        Document position in the corpus; indices within the document.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN if the document is unreadable or has no such entry.
    """
    found = np.full(len(document), np.nan)
    starts = document_starts(model.matched)
    order = np.argsort(document, kind="stable")
    edges = np.searchsorted(document[order], starts)
    for number, part in enumerate(model.matched.parts):
        here = order[edges[number] : edges[number + 1]]
        if len(here):
            row = document[here].astype(np.int64) - starts[number]
            found[here] = _entries(part.columns, row, image[here], sentence[here])
    return found


def _entries(
    columns: Columns,
    row: Ints,
    image: NDArray[np.integer[Any]],
    sentence: NDArray[np.integer[Any]],
) -> Floats:
    """Look up entries of one shard's matrices."""
    matrices = ScoreMatrices(columns)
    width = matrices.width[row]
    at = matrices.starts[row] + image * width + sentence
    inside = (sentence >= 0) & (sentence < width) & (image >= 0) & (at < matrices.starts[row + 1])
    inside &= columns.kind[row] == Kind.PLAIN
    found = np.full(len(row), np.nan)
    found[inside] = matrices.values[at[inside]]
    literal = np.flatnonzero(columns.kind[row] == Kind.LITERAL)
    walked = {r: matrices[r] for r in set(row[literal].tolist())}
    for i in literal.tolist():
        matrix, place = walked[int(row[i])], (int(image[i]), int(sentence[i]))
        if all(0 <= p < size for p, size in zip(place, matrix.shape, strict=True)):
            found[i] = matrix[place]
    return found


class ScoreMatrices:
    """One shard's similarity matrices by row.

    Parameters
    ----------
    columns : Columns
        The shard's.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.starts = columns.offsets("similarity")
        self.values = columns.values("similarity")
        self.width = columns.numbers("n_sentences").astype(np.int64)

    def __getitem__(self, row: int) -> Floats:
        """Return a matrix, shape (images, sentences); (0, 0) if the document has none."""
        nothing, kind = np.zeros((0, 0)), self._columns.kind[row]
        if kind == Kind.PLAIN:
            values = self.values[self.starts[row] : self.starts[row + 1]].astype(np.float64)
            return values.reshape(-1, self.width[row]) if self.width[row] else nothing
        if kind != Kind.LITERAL:
            return nothing
        try:
            matrix = np.array(self._columns.document(row).similarity)
        except ValueError:  # ragged
            return nothing
        sound = matrix.ndim == 2 and matrix.dtype.kind in "iuf"
        return matrix.astype(np.float64) if sound else nothing

    def sizes(self) -> Ints:
        """Return the number of entries of each matrix, estimated for literal documents."""
        plain = np.diff(self.starts)
        payload = pc.fill_null(pc.binary_length(self._columns.batch.column("payload")), 0)
        letters = np.asarray(payload.to_numpy(zero_copy_only=False), np.int64)
        return np.where(self._columns.kind == Kind.LITERAL, letters // _LETTERS, plain)
