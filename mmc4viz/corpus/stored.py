"""The corpus's own stored scores against the similarity matrix that stands beside them.

Vectorised over plain documents, one by one for the others. Nothing of a setting matters here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Ints
from mmc4viz.corpus.audit import image_values, joined
from mmc4viz.corpus.columns import Columns, Kind
from mmc4viz.corpus.sweep import Matched
from mmc4viz.loader.inspect import matrix_of
from mmc4viz.loader.matching import stored_score
from mmc4viz.model import Document

EQUAL: Final = 1e-6  # scores that differ by no more count as equal


@dataclass(frozen=True)
class Stored:
    """The corpus's own ``matched_sim`` against the matrix that stands beside it.

    Attributes
    ----------
    compared, equal : int
        Images with both; those that differ by `EQUAL` at most.
    largest : float
        The largest difference of finite numbers.
    nowhere : int
        Images without a stored sentence or score that the matrix could be compared with.
    documents : ndarray of bool, shape (documents,)
        Those with an image that differs.
    """

    compared: int
    equal: int
    largest: float
    nowhere: int
    documents: Bools


def stored(matched: Matched) -> Stored:
    """Compare every image's stored score with the matrix; of the setting, nothing matters."""
    parts = [_stored(part.columns) for part in matched.parts]
    return Stored(
        compared=sum(part.compared for part in parts),
        equal=sum(part.equal for part in parts),
        largest=max((part.largest for part in parts), default=0.0),
        nowhere=sum(part.nowhere for part in parts),
        documents=joined([part.documents for part in parts]),
    )


def _stored(columns: Columns) -> Stored:
    """Compare one shard's plain documents at once, the others one by one."""
    n, width = len(columns), columns.numbers("n_sentences").astype(np.int64)
    owner = np.repeat(np.arange(n), columns.n_images)
    first = columns.offsets("images")
    rank = np.arange(len(owner)) - (first[:-1] - first[0])[owner]
    sentence = image_values(columns, "stored_sentence")
    score = image_values(columns, "stored_score")
    plain = (columns.kind == Kind.PLAIN)[owner]
    starts, values = columns.offsets("similarity"), columns.values("similarity")
    at = starts[:-1][owner] + rank * width[owner] + sentence
    fits = plain & (sentence >= 0) & (sentence < width[owner]) & np.isfinite(score)
    fits &= at < starts[1:][owner]
    difference = np.abs(values[at[fits]].astype(np.float64) - score[fits])
    literal_owner, literal, nowhere = _stored_literal(columns)
    difference = np.concatenate([difference, literal])
    whose = np.concatenate([owner[fits], literal_owner])
    equal = difference <= EQUAL
    finite = difference[np.isfinite(difference)]
    return Stored(
        compared=len(difference),
        equal=int(equal.sum()),
        largest=float(finite.max(initial=0.0)),
        nowhere=int((plain & ~fits).sum()) + nowhere,
        documents=np.bincount(whose[~equal], minlength=n) > 0,
    )


def _stored_literal(columns: Columns) -> tuple[Ints, NDArray[np.float64], int]:
    """Return rows and differences of the literal documents' images, and how many have none."""
    rows: list[int] = []
    differences: list[float] = []
    nowhere = 0
    for row in np.flatnonzero(columns.kind == Kind.LITERAL).tolist():
        document = columns.document(row)
        found = [] if document.is_gpt else _differences(document)
        rows += [row] * len(found)
        differences += found
        nowhere += 0 if document.is_gpt else len(document.images) - len(found)
    return np.array(rows, np.int64), np.array(differences, np.float64), nowhere


def _differences(document: Document) -> list[float]:
    matrix = matrix_of(document)
    if matrix is None:
        return []
    found = []
    for image, row in zip(document.images, matrix, strict=False):
        sentence, score = image.stored_sentence, stored_score(image.stored_score)
        if type(sentence) is int and 0 <= sentence < len(row) and score is not None:
            found.append(abs(float(row[sentence]) - score))
    return found
