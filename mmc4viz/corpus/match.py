"""Columns → matched pairs of a whole corpus, for one size limit and assignment.

Depends on nothing else of the setting: neither threshold nor cap nor tokens. What the pairs lead
to is `resolve`'s job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns, Kind, Status
from mmc4viz.loader.matching import ASSIGNMENTS
from mmc4viz.model import DocumentError, Image, ImageFate, LoaderConfig

Ints = NDArray[np.int64]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Matches:
    """The matched pairs of one shard's plain documents.

    Attributes
    ----------
    document : ndarray of int64, shape (pairs,)
        Row of each pair's document; pairs stand by document, then sentence, then image.
    image, sentence : ndarray of int64, shape (pairs,)
        The document's own indices.
    score : ndarray of float64, shape (pairs,)
    by_score : ndarray of int64, shape (pairs,)
        Rank of the pair among its document's, best first, from 0; ties in any order.
    by_image : ndarray of int64, shape (pairs,)
        Rank of the pair among its document's in image order, from 0.
    unreadable : ndarray of bool, shape (documents,)
        Plain documents that are lost by an image or in the matching.
    no_valid_image : ndarray of bool, shape (documents,)
    images : dict of ImageFate to ndarray of int64, shape (documents,)
        Images by fate; 0 for documents answered literally.
    """

    document: Ints
    image: Ints
    sentence: Ints
    score: NDArray[np.float64]
    by_score: Ints
    by_image: Ints
    unreadable: NDArray[np.bool_]
    no_valid_image: NDArray[np.bool_]
    images: dict[ImageFate, Ints]


def match(columns: Columns, config: LoaderConfig) -> Matches:
    """Match one shard's plain documents.

    Parameters
    ----------
    columns : Columns
        One shard's.
    config : LoaderConfig
        Only ``min_kb`` and ``assignment`` matter.
    """
    n = len(columns)
    owner = np.repeat(np.arange(n), columns.n_images)
    status, n_bytes = columns.image("status"), columns.image("n_bytes")
    small = (n_bytes >= 0) & (n_bytes // 1000 <= config.min_kb)
    missing = status == Status.MISSING
    fatal = (status == Status.BAD_ENTRY) | ((status == Status.BAD_PIXELS) & ~small)
    valid = (status == Status.SOUND) & ~small
    plain = columns.kind == Kind.PLAIN

    first_fatal = _first_of_each(fatal, owner, n)
    unreadable = first_fatal < np.iinfo(np.int64).max
    n_valid = np.bincount(owner[valid], minlength=n)
    todo = np.flatnonzero(plain & ~unreadable & (n_valid > 0))
    pairs, failed = _assign(columns, config.assignment, todo, np.flatnonzero(valid), n_valid)
    unreadable &= plain
    unreadable[failed] = True
    document, image, sentence, score = pairs
    matched = np.bincount(document, minlength=n)
    counts = _count_images(columns, owner, first_fatal, missing, small, valid)
    waiting = counts.pop(ImageFate.MATCHED)  # valid ones, whatever became of their documents
    counts[ImageFate.UNMATCHED] = waiting - matched
    counts[ImageFate.MATCHED] = matched
    return Matches(
        document,
        image,
        sentence,
        score,
        by_score=_rank_within(document, -score),
        by_image=_rank_within(document, image),
        unreadable=unreadable,
        no_valid_image=plain & ~unreadable & (n_valid == 0),
        images=counts,
    )


def _first_of_each(fatal: NDArray[np.bool_], owner: Ints, n: int) -> Ints:
    """Index (over all images) of each document's first fatal image; the largest int if none."""
    first = np.full(n, np.iinfo(np.int64).max)
    where = np.flatnonzero(fatal)[::-1]
    first[owner[where]] = where
    return first


def _count_images(
    columns: Columns,
    owner: Ints,
    first_fatal: Ints,
    missing: NDArray[np.bool_],
    small: NDArray[np.bool_],
    valid: NDArray[np.bool_],
) -> dict[ImageFate, Ints]:
    """Count images by fate as the walk meets them: nothing behind the fatal one is looked at."""
    n, here = len(columns), np.arange(len(owner))
    plain = columns.kind[owner] == Kind.PLAIN
    before = plain & (here < first_fatal[owner])
    behind = plain & (here > first_fatal[owner])
    masks = {
        ImageFate.MISSING: before & missing,
        ImageFate.TOO_SMALL: before & small,
        ImageFate.MATCHED: before & valid,
        ImageFate.UNDECODABLE: plain & (here == first_fatal[owner]),
        ImageFate.LOST_WITH_DOCUMENT: behind | (columns.kind[owner] == Kind.UNREADABLE),
    }
    return {fate: np.bincount(owner[mask], minlength=n) for fate, mask in masks.items()}


def _assign(
    columns: Columns, assignment: str, todo: Ints, valid: Ints, n_valid: Ints
) -> tuple[tuple[Ints, Ints, Ints, NDArray[np.float64]], list[int]]:
    """Run an assignment over documents; return document, image, sentence, score and failures."""
    assign = ASSIGNMENTS[assignment]
    similarity, starts = columns.values("similarity"), columns.offsets("similarity")
    n_sentences, image_starts = columns.numbers("n_sentences"), columns.offsets("images")
    valid_starts = np.concatenate([[0], np.cumsum(n_valid)])
    stored_images = _stored_images(columns) if assignment == "stored" else None
    found: list[tuple[int, int, int, float]] = []
    failed: list[int] = []
    for row in todo.tolist():
        here = valid[valid_starts[row] : valid_starts[row + 1]] - image_starts[row]
        matrix = similarity[starts[row] : starts[row + 1]].reshape(-1, n_sentences[row])
        try:
            if here[-1] >= len(matrix):
                raise DocumentError("a row is missing")
            images = stored_images(row, here) if stored_images else []
            for local, column, similar in assign(matrix[here].astype(np.float64), images):
                found.append((row, int(here[local]), column, similar))
        except DocumentError:
            failed.append(row)
    found.sort(key=lambda pair: (pair[0], pair[2], pair[1]))
    document, image, sentence, score = list(zip(*found, strict=True)) or [()] * 4
    whole = [np.array(part, np.int64) for part in (document, image, sentence)]
    return (whole[0], whole[1], whole[2], np.array(score, np.float64)), failed


def _stored_images(columns: Columns) -> Callable[[int, Ints], list[Image]]:
    """Return a function that gives the valid images of a row with their stored pairs."""
    sentence, score = columns.image("stored_sentence"), columns.image("stored_score")
    starts = columns.offsets("images")

    def images(row: int, here: Ints) -> list[Image]:
        where = (starts[row] + here).tolist()
        return [
            Image(True, stored_sentence=int(sentence[i]), stored_score=float(score[i]))
            for i in where
        ]

    return images


def _rank_within(document: Ints, value: NDArray[np.float64] | Ints) -> Ints:
    """Rank of each pair by a value within its document, from 0."""
    order = np.lexsort((value, document))
    starts = np.searchsorted(document, document)
    rank = np.empty(len(document), np.int64)
    rank[order] = np.arange(len(document))
    return rank - starts
