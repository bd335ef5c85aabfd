"""Assignment methods: one-to-one against brute force, the others against their definitions."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmc4viz.arrays import Floats
from mmc4viz.loader.assignment import (
    ASSIGNMENTS,
    Match,
    argmax,
    greedy,
    one_to_one,
    rows_of,
    stored,
)
from mmc4viz.types import ASSIGNMENT_NAMES, DocumentError, Image

shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
# Eighths add up without rounding, so that totals can be compared exactly; they also tie a lot.
matrices = shapes.flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=st.integers(-8, 8).map(lambda n: n / 8))
)


def best_total(matrix: Floats) -> float:
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    rows = range(len(wide))
    return max(
        sum(wide[row, column] for row, column in zip(rows, chosen, strict=True))
        for chosen in permutations(range(wide.shape[1]), len(wide))
    )


def test_the_table_has_every_name() -> None:
    assert tuple(ASSIGNMENTS) == ASSIGNMENT_NAMES


@given(matrices)
def test_one_to_one_is_optimal(matrix: Floats) -> None:
    matches = one_to_one(matrix, [])
    assert sum(match.score for match in matches) == best_total(matrix)
    assert len(matches) == min(matrix.shape)


@given(matrices, st.sampled_from([one_to_one, greedy]))
def test_each_image_and_sentence_is_used_once(matrix: Floats, assign: object) -> None:
    matches = assign(matrix, [])  # type: ignore[operator]
    assert len({match.row for match in matches}) == len(matches)
    assert len({match.sentence for match in matches}) == len(matches)
    assert [match.row for match in matches] == sorted(match.row for match in matches)


@given(matrices)
def test_argmax_takes_the_best_sentence_and_the_first_of_ties(matrix: Floats) -> None:
    for match in argmax(matrix, []):
        assert match.score == matrix[match.row].max()
        assert (matrix[match.row, : match.sentence] < match.score).all()


@given(matrices)
def test_greedy_takes_the_highest_remaining(matrix: Floats) -> None:
    left = matrix.copy()
    for match in sorted(greedy(matrix, []), key=lambda m: (-m.score, m.row, m.sentence)):
        assert match.score == left.max()
        assert np.flatnonzero(left == left.max())[0] == match.row * left.shape[1] + match.sentence
        left[match.row] = left[:, match.sentence] = -np.inf
    assert (left == -np.inf).all()


def test_greedy_never_takes_minus_infinity() -> None:
    matrix = np.array([[0.5, -np.inf], [0.6, -np.inf]])
    assert greedy(matrix, []) == [Match(1, 0, 0.6)]


def test_greedy_and_optimal_differ_where_they_should() -> None:
    matrix = np.array([[0.9, 0.8], [0.8, 0.1]])
    assert greedy(matrix, []) == [Match(0, 0, 0.9), Match(1, 1, 0.1)]
    assert one_to_one(matrix, []) == [Match(0, 1, 0.8), Match(1, 0, 0.8)]


@pytest.mark.parametrize(
    ("sentence", "score", "taken"),
    [(1, 0.3, True), (1, 1, True), (2, 0.3, False), (-1, 0.3, False), (True, 0.3, False),
     (1.0, 0.3, False), (None, 0.3, False), (1, None, False), (1, True, False),
     (1, float("nan"), False), (1, 10**400, False), (1, "0.3", False)],
)  # fmt: skip
def test_stored_takes_indices_in_range_and_finite_scores(
    sentence: object, score: object, taken: bool
) -> None:
    image = Image(True, stored_sentence=sentence, stored_score=score)
    expected = [Match(0, 1, float(score))] if taken else []  # type: ignore[arg-type]
    assert stored(np.full((1, 2), np.nan), [image]) == expected


@pytest.mark.parametrize("name", ["one_to_one", "argmax", "greedy"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_make_the_document_unreadable(name: str, bad: float) -> None:
    with pytest.raises(DocumentError):
        ASSIGNMENTS[name](np.array([[0.1, bad]]), [])


@pytest.mark.parametrize(
    "matrix",
    [None, [], [[]], "text", {}, [[0.1], [0.2, 0.3]], [0.1, 0.2], [[[0.1]], [[0.2]]], [[True]],
     [["a"]], [[None]], [[2**70]], [[0.1]], 7],
)  # fmt: skip
def test_malformed_matrices_make_the_document_unreadable(matrix: object) -> None:
    with pytest.raises(DocumentError):
        one_to_one(rows_of(matrix, [0, 1]), [])


def test_an_image_without_columns_is_unmatched() -> None:
    assert one_to_one(rows_of([[], []], [0, 1]), []) == argmax(rows_of([[], []], [0, 1]), []) == []
