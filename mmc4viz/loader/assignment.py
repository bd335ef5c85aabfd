"""Assignment methods: match the valid images of a document to sentences by similarity."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from mmc4viz.types import DocumentError, Image

Rows = NDArray[Any]
NO_SCORES = "the images have no scores: every value of the similarity matrix is NaN"


class Match(NamedTuple):
    """A matched pair: row among the valid images, sentence (column), score, and stored index.

    The last is None unless it is another number than the sentence's; images are sorted by it.
    """

    row: int
    sentence: int
    score: float
    stored: int | None = None

    @property
    def place(self) -> int:
        """What puts images in the order of their sentences."""
        return self.sentence if self.stored is None else self.stored


def rows_of(similarity: Any, valid: Sequence[int]) -> Rows:
    """Return the matrix rows of the valid images, as NumPy reads the matrix.

    Parameters
    ----------
    similarity : Any
        The document's ``similarity_matrix``, images × sentences.
    valid : sequence of int
        Indices of the valid images, ascending; at least one.

    Returns
    -------
    ndarray, shape (len(valid), n_sentences)
        Floats or integers, with the type chosen by NumPy.

    Raises
    ------
    DocumentError
        For a matrix on which the loader fails (docs/loader.md, step 4).
    """
    try:
        matrix = np.array(similarity)
    except Exception as error:  # ragged, or nested too deeply for an array
        raise DocumentError("the similarity matrix is ragged") from error
    if matrix.dtype.kind not in "iuf":
        raise DocumentError("the similarity matrix contains a value that is not a number")
    if matrix.ndim == 0 or len(matrix) <= valid[-1]:
        rows = len(matrix) if matrix.ndim else 0
        raise DocumentError(
            f"the similarity matrix has {rows} rows, none for image {valid[-1] + 1}"
        )
    if matrix.ndim != 2:
        raise DocumentError(f"the similarity matrix has {matrix.ndim} dimensions instead of 2")
    return matrix[list(valid)]


@cache
def solver() -> Callable[..., Any]:
    """Return `scipy.optimize.linear_sum_assignment`, as fast as it can be loaded.

    It is taken from the extension module that holds it, since all of `scipy.optimize` takes longer
    to import than a command works on a small corpus. Where SciPy has no such module, or has loaded
    its package anyway, it is taken from there.
    """
    if "scipy.optimize" not in sys.modules:
        folder = os.path.join(os.path.dirname(scipy.__file__), "optimize")
        spec = PathFinder.find_spec("scipy.optimize._lsap", [folder])
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            if hasattr(module, "linear_sum_assignment"):
                return module.linear_sum_assignment  # type: ignore[no-any-return]
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment  # type: ignore[no-any-return]


def one_to_one(rows: Rows, images: Sequence[Image]) -> list[Match]:
    """Maximize the total score (Hungarian), as ``preprocess_interleaved`` does."""
    try:
        matched, sentences = solver()(-rows)
    except ValueError:
        _refuse_nan(rows)
        raise DocumentError("no feasible assignment: the similarity matrix has -inf") from None
    return _matches(rows, matched, sentences)


def argmax(rows: Rows, images: Sequence[Image]) -> list[Match]:
    """Match each image to its most similar sentence (OpenFlamingo before pull request 238)."""
    _refuse_nan(rows)
    if not rows.shape[1]:
        return []
    return _matches(rows, np.arange(len(rows)), rows.argmax(axis=1))


def stored(rows: Rows, images: Sequence[Image]) -> list[Match]:
    """Use the corpus's own ``matched_text_index`` and ``matched_sim``."""
    matches = []
    for row, image in enumerate(images):
        sentence, score = image.stored_sentence, stored_score(image.stored_score)
        if type(sentence) is int and 0 <= sentence < rows.shape[1] and score is not None:
            matches.append(Match(row, sentence, score))
    return matches


def stored_score(value: Any) -> float | None:
    """Return a stored score as a float, or None if it is not a finite number."""
    if type(value) not in (int, float):
        return None
    try:
        score = float(value)
    except OverflowError:
        return None
    return score if math.isfinite(score) else None


def greedy(rows: Rows, images: Sequence[Image]) -> list[Match]:
    """Take the highest remaining score first, one-to-one; never -inf."""
    _refuse_nan(rows)
    scores = rows.astype(np.float64)
    free_row, free_sentence = np.ones(len(rows), bool), np.ones(rows.shape[1], bool)
    taken: list[tuple[int, int]] = []
    for flat in np.argsort(-scores, axis=None, kind="stable"):
        row, sentence = divmod(int(flat), rows.shape[1])
        if scores[row, sentence] == -np.inf or len(taken) == min(rows.shape):
            break
        if free_row[row] and free_sentence[sentence]:
            free_row[row] = free_sentence[sentence] = False
            taken.append((row, sentence))
    taken.sort()
    return [Match(row, sentence, float(scores[row, sentence])) for row, sentence in taken]


def neighbor(rows: Rows, images: Sequence[Image]) -> list[Match]:
    """Match each image to the text that follows it on the page, or to the last one."""
    _refuse_nan(rows)
    stored = ((row, image.stored_sentence) for row, image in enumerate(images))
    return [
        Match(row, sentence, float(rows[row, sentence]))
        for row, sentence in stored
        if type(sentence) is int and 0 <= sentence < rows.shape[1]
    ]


def _matches(rows: Rows, matched: NDArray[Any], sentences: NDArray[Any]) -> list[Match]:
    scores = rows[matched, sentences].astype(np.float64)
    return [
        Match(*match)
        for match in zip(matched.tolist(), sentences.tolist(), scores.tolist(), strict=True)
    ]


def _refuse_nan(rows: Rows) -> None:
    if rows.size and np.isnan(rows).all():
        raise DocumentError(NO_SCORES)
    if np.isnan(rows).any() or (rows == np.inf).any():
        raise DocumentError("the similarity matrix contains NaN or infinity")


Assignment = Callable[[Rows, Sequence[Image]], list[Match]]

ASSIGNMENTS: dict[str, Assignment] = {
    "one_to_one": one_to_one,
    "argmax": argmax,
    "stored": stored,
    "greedy": greedy,
    "neighbor": neighbor,
}
