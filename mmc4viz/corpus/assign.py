"""The assignments over the similarity of many documents at once, each equal to its plain twin.

What `mmc4viz.loader.matching` does to one document, in whole arrays; documents that need more are
solved one by one. Knows neither image sizes nor tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Floats, Ints


@dataclass(frozen=True)
class Rows:
    """Rows of similarity of D documents, R valid images in all; each document has at least one.

    Attributes
    ----------
    values : ndarray of float32 or float64
        All rows after one another.
    starts : ndarray of int64, shape (R + 1,)
        Where each row begins in the values.
    first : ndarray of int64, shape (D + 1,)
        Each document's first row.
    stored_sentence : ndarray of int64, shape (R,)
        The corpus's own sentence of each image, -1 for none.
    stored_score : ndarray of float64, shape (R,)
        Likewise, NaN for none.
    """

    values: NDArray[Any]
    starts: Ints
    first: Ints
    stored_sentence: Ints
    stored_score: Floats

    @property
    def owner(self) -> Ints:
        """Document of each row, shape (R,)."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def documents_with(self, row: Bools) -> Bools:
        """Which documents have such a row, shape (D,)."""
        return np.logical_or.reduceat(row, self.first[:-1])

    def scores(self, sentence: Ints) -> Floats:
        """Return each row's similarity with a sentence, shape (R,)."""
        return self.values[self.starts[:-1] + np.maximum(sentence, 0)].astype(np.float64)


@dataclass(frozen=True)
class Assigned:
    """What was matched.

    Attributes
    ----------
    sentence : ndarray of int64, shape (R,)
        Each image's, -1 where it is unmatched.
    score : ndarray of float64, shape (R,)
    failed : ndarray of bool, shape (D,)
        Documents that the loader fails on here; their sentences mean nothing.
    """

    sentence: Ints
    score: Floats
    failed: Bools


@dataclass(frozen=True)
class _Best:
    """Each row's best sentence: the first of the highest similarity, and whether it is alone."""

    score: Floats
    sentence: Ints
    alone: Bools


def _best(values: NDArray[Any], starts: Ints) -> _Best:
    """Find each row's maximum; a row with NaN has NaN for it and no sentence that means anything.

    Rows follow each other without gaps, from ``starts[i]`` to ``starts[i + 1]``.
    """
    highest = np.maximum.reduceat(values, starts[:-1])
    hits = np.flatnonzero(values == np.repeat(highest, np.diff(starts)))
    if len(hits) == len(highest) and not np.isnan(highest).any():  # no ties: one hit a row
        place, alone = hits, np.ones(len(highest), bool)
    else:
        row = np.searchsorted(starts, hits, side="right") - 1
        alone = np.bincount(row, minlength=len(highest)) == 1
        place = starts[:-1].copy()
        place[row[::-1]] = hits[::-1]
    return _Best(highest.astype(np.float64), place - starts[:-1], alone)


def _refused(rows: Rows, best: _Best) -> Bools:
    """Which documents hold NaN or plus infinity, shape (D,)."""
    return rows.documents_with(np.isnan(best.score) | (best.score == np.inf))


def _collide(owner: Ints, sentence: Ints) -> Bools:
    """Which rows claim a sentence that an earlier row of their document claims, shape (R,)."""
    key = owner * (sentence.max(initial=0) + 1) + sentence
    order = np.argsort(key, kind="stable")
    later = np.zeros(len(key), bool)
    later[order[1:]] = key[order[1:]] == key[order[:-1]]
    return later


def one_to_one(rows: Rows) -> Assigned:
    """Match for the largest total similarity, with SciPy's routine or, provably, as it would.

    Where each row has its maximum once, finite, and no two rows in the same column, that routine
    takes these maxima. It adds row after row, each by a shortest path from the row to a free
    column, with duals u and v that begin at 0. The first costs that a row meets are
    ``0 + cost - 0 - v``, which is ``cost`` exactly as long as v is 0; so it settles on its own
    lowest cost, whose column is free; the path ends there, and v changes by
    ``lowest - shortest[column]``, which is 0: the next row meets the same. (Such a document has no
    more rows than columns, so the routine does not transpose it.)
    """
    best = _best(rows.values, rows.starts)
    failed = _refused(rows, best)
    sentence = best.sentence.copy()
    doubtful = ~best.alone | ~np.isfinite(best.score) | _collide(rows.owner, sentence)
    unsolved = rows.documents_with(doubtful) & ~failed
    infeasible = _solve(rows, np.flatnonzero(unsolved), sentence)
    failed[infeasible] = True
    return Assigned(sentence, rows.scores(sentence), failed)


def _solve(rows: Rows, documents: Ints, sentence: Ints) -> list[int]:
    """Run SciPy's routine on documents, put what it finds in place; return those it refuses."""
    from scipy.optimize import linear_sum_assignment  # here: half of a command's start

    cost = -rows.values.astype(np.float64)
    firsts, lasts = rows.first[documents], rows.first[documents + 1]
    begins, ends = rows.starts[firsts].tolist(), rows.starts[lasts].tolist()
    infeasible, taken, found = [], [], []
    for number, first, last, begin, end in zip(
        documents.tolist(), firsts.tolist(), lasts.tolist(), begins, ends, strict=True
    ):
        sentence[first:last] = -1
        try:
            matched, columns = linear_sum_assignment(cost[begin:end].reshape(last - first, -1))
        except ValueError:
            infeasible.append(number)
            continue
        taken.append(matched + first)
        found.append(columns)
    if taken:
        sentence[np.concatenate(taken)] = np.concatenate(found)
    return infeasible


def argmax(rows: Rows) -> Assigned:
    """Match each image to its most similar sentence, the first of equals."""
    best = _best(rows.values, rows.starts)
    return Assigned(best.sentence, best.score, _refused(rows, best))


def stored(rows: Rows) -> Assigned:
    """Take the corpus's own sentence and score."""
    width = np.diff(rows.starts)
    usable = (rows.stored_sentence >= 0) & (rows.stored_sentence < width)
    usable &= np.isfinite(rows.stored_score)
    nobody = np.zeros(len(rows.first) - 1, bool)
    return Assigned(np.where(usable, rows.stored_sentence, -1), rows.stored_score, nobody)


def greedy(rows: Rows) -> Assigned:
    """Take the highest remaining score first, one-to-one; never minus infinity.

    Each image claims its best sentence; of several claims the highest stays (the first image, if
    equal), and the others go on to their next best. What remains is stable: no image and sentence
    score higher than both their pairs do. In an order without ties, and images and sentences break
    them all, only the greedy matching is.
    """
    values, best = rows.values.copy(), _best(rows.values, rows.starts)
    failed = _refused(rows, best)
    owner, score = rows.owner, best.score.copy()
    sentence = np.where(score > -np.inf, best.sentence, -1)
    here = np.flatnonzero(~failed[owner])  # rows of the documents in which something may change
    while len(lost := _outbid(owner, sentence, score, here)):
        values[rows.starts[lost] + sentence[lost]] = -np.inf
        again, starts = _gathered(values, rows.starts, lost)
        following = _best(again, starts)
        score[lost] = following.score
        sentence[lost] = np.where(following.score > -np.inf, following.sentence, -1)
        here = here[np.isin(owner[here], owner[lost])]
    return Assigned(sentence, score, failed)


def _outbid(owner: Ints, sentence: Ints, score: Floats, here: Ints) -> Ints:
    """Return the rows whose sentence is claimed higher, or as high by an earlier image."""
    here = here[sentence[here] >= 0]
    key = owner[here] * (sentence.max(initial=0) + 1) + sentence[here]
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    contested = order[np.union1d(same, same + 1)]  # few: only they are compared
    best_first = contested[np.lexsort((here[contested], -score[here[contested]], key[contested]))]
    beaten = key[best_first[1:]] == key[best_first[:-1]]
    return np.asarray(here[best_first[1:][beaten]])


def _gathered(values: NDArray[Any], starts: Ints, rows: Ints) -> tuple[NDArray[Any], Ints]:
    """Return some rows' values after one another, and where each begins."""
    width = starts[rows + 1] - starts[rows]
    packed = np.concatenate([[0], np.cumsum(width)])
    where = np.arange(packed[-1]) + np.repeat(starts[rows] - packed[:-1], width)
    return values[where], packed


ASSIGN: dict[str, Callable[[Rows], Assigned]] = {
    "one_to_one": one_to_one,
    "argmax": argmax,
    "stored": stored,
    "greedy": greedy,
}
