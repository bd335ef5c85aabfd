"""Entries of a model's similarity matrices, matched or not, without reading a shard again."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.lineup import Model
from mmc4viz.corpus.columns import Columns, Kind
from mmc4viz.corpus.pairs import document_starts

_LETTERS: Final = 8  # of a payload for each entry: fewer than a number takes


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
        The document's position among all; its own indices.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where the document is unreadable or has no such entry.
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
    matrices = Matrices(columns)
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


class Matrices:
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
        """Return a matrix, shape (images, sentences); (0, 0) where the document has none."""
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
        """Return how many entries each matrix has; an estimate where only a payload has it."""
        plain = np.diff(self.starts)
        payload = pc.fill_null(pc.binary_length(self._columns.batch.column("payload")), 0)
        letters = np.asarray(payload.to_numpy(zero_copy_only=False), np.int64)
        return np.where(self._columns.kind == Kind.LITERAL, letters // _LETTERS, plain)
