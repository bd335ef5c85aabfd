"""Vectorized assignments against the reference implementations, document by document."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmc4viz.loader.assignment import ASSIGNMENTS
from mmc4viz.loader.profile import softmax
from mmc4viz.sweep.match import ASSIGN, SimilarityRows, shares
from mmc4viz.types import DocumentError, Image
from tests.support.slowly import slow

N = int(os.environ.get("MMC4VIZ_MATRICES", "8000"))  # matrices of each kind


def values_of(kind: str, rng: np.random.Generator, n: int) -> NDArray[Any]:
    """Draw scores: without ties, with few, with many, or with NaN and infinities."""
    if kind == "untied":
        return rng.random(n)
    if kind == "single":  # like most corpora; differences are rounded
        return rng.normal(0.2, 0.04, n).astype(np.float32)
    if kind == "rarely_tied":
        return rng.integers(-40, 40, n) / 64
    if kind == "often_tied":
        return rng.integers(0, 3, n) / 4
    if kind == "huge":
        return rng.normal(0, 1, n) * 10.0 ** rng.integers(-300, 300, n)
    odd = np.array([np.nan, np.inf, -np.inf, -np.inf, -np.inf])
    return np.where(rng.random(n) < 0.06, rng.choice(odd, n), rng.integers(0, 30, n) / 32)


@cache
def rows_of(kind: str, seed: int) -> tuple[SimilarityRows, NDArray[np.int64]]:
    """Draw documents with 1–6 images and 1–7 sentences; return their widths too."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 7, N), rng.integers(1, 8, N)
    per_row = np.repeat(width, height)
    n = len(per_row)
    sentence = rng.integers(-1, 8, n)
    score = np.where(rng.random(n) < 0.1, np.nan, rng.random(n))
    rows = SimilarityRows(
        values_of(kind, rng, int(per_row.sum())),
        np.concatenate([[0], np.cumsum(per_row)]),
        np.concatenate([[0], np.cumsum(height)]),
        sentence,
        score,
    )
    return rows, width


@pytest.mark.parametrize("assignment", list(ASSIGN))
@pytest.mark.parametrize("kind", ["untied", "single", "rarely_tied", "often_tied", "huge", "odd"])
@pytest.mark.parametrize("seed", [11, *slow(12, 13)])
def test_every_document_is_matched_as_on_its_own(kind: str, assignment: str, seed: int) -> None:
    rows, widths = rows_of(kind, seed)
    found = ASSIGN[assignment](rows)
    assert (found.failed.any()) == (kind == "odd" and assignment != "stored")
    for number, width in enumerate(widths.tolist()):
        first, last = rows.first[number], rows.first[number + 1]
        matrix = rows.values[rows.starts[first] : rows.starts[last]].reshape(-1, width)
        images = [
            Image(True, stored_sentence=int(s), stored_score=float(x))
            for s, x in zip(
                rows.stored_sentence[first:last], rows.stored_score[first:last], strict=True
            )
        ]
        try:
            expected = ASSIGNMENTS[assignment](matrix.astype(np.float64), images)
        except DocumentError:
            assert found.failed[number]
            continue
        assert not found.failed[number]
        sentence, score = found.sentence[first:last], found.score[first:last]
        matched = np.flatnonzero(sentence >= 0).tolist()
        assert [(m.row, m.sentence) for m in expected] == [(i, sentence[i]) for i in matched]
        assert [m.score for m in expected] == [score[i] for i in matched]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_rows_softmax_has_the_same_bits_whatever_rows_are_beside_it(kind: type) -> None:
    rng = np.random.default_rng(21)
    height, width = rng.integers(1, 9, 1200), rng.permuted(np.arange(1200) % 600 + 1)
    per_row = np.repeat(width, height)
    starts = np.concatenate([[0], np.cumsum(per_row)])
    values = (rng.normal(0.2, 0.05, starts[-1]) * rng.choice([1, 100], starts[-1])).astype(kind)
    first = np.concatenate([[0], np.cumsum(height)])
    stored = np.full(len(per_row), -1)
    found = shares(SimilarityRows(values, starts, first, stored, stored.astype(np.float64)))
    for number, columns in enumerate(width.tolist()):
        here = slice(starts[first[number]], starts[first[number + 1]])
        matrix = values[here].reshape(-1, columns).astype(np.float64)
        np.testing.assert_array_equal(found.values[here], softmax(matrix).ravel())
        for row, alone in zip(softmax(matrix), matrix, strict=True):
            np.testing.assert_array_equal(row, softmax(alone[None])[0])
