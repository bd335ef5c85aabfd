"""Differences of slices from the whole, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.slices import World, coverage
from mmc4viz.slices.differences import FEWEST, differences, moments_of_documents, moments_of_pairs


def test_documents_are_pairs_of_one_pair_each() -> None:
    rng = np.random.default_rng(0)
    n, slices = 400, 3
    code = rng.integers(0, slices, n).astype(np.int32)
    kept = rng.choice([0.0, 0.5, 1.0], n)
    pairs = moments_of_pairs(np.arange(n, dtype=np.int32), code, kept, n, slices)
    always, single, size = (
        np.bincount(code[mask], minlength=slices) for mask in (kept == 1, kept == 0.5, kept >= 0)
    )
    documents = moments_of_documents(always, single, size, 0.5)
    for name, value in vars(pairs).items():
        np.testing.assert_allclose(value, getattr(documents, name), err_msg=name)


def test_moments_are_sums_over_documents_and_slices() -> None:
    rng = np.random.default_rng(1)
    document = rng.integers(0, 50, 300).astype(np.int32)
    code, kept = rng.integers(0, 4, 300).astype(np.int32), rng.random(300)
    found = moments_of_pairs(document, code, kept, 60, 4)
    x, y = np.zeros((60, 4)), np.zeros((60, 4))
    np.add.at(x, (document, code), 1)
    np.add.at(y, (document, code), kept)
    all_x, all_y = x.sum(axis=1), y.sum(axis=1)
    np.testing.assert_allclose(found.own, [(y * y).sum(0), (x * y).sum(0), (x * x).sum(0)])
    np.testing.assert_allclose(found.cross, [all_y @ y, all_x @ y, all_y @ x, all_x @ x])
    np.testing.assert_allclose(found.whole, [all_y @ all_y, all_x @ all_y, all_x @ all_x])
    assert found.documents.tolist() == (x > 0).sum(axis=0).tolist()
    assert found.others.tolist() == (all_x[:, None] > x).sum(axis=0).tolist()


def test_without_additions_the_variance_is_that_of_the_linearized_difference() -> None:
    """Of large slices, where the added documents do not matter."""
    rng = np.random.default_rng(2)
    n, size = 40_000, 160_000
    document = np.sort(rng.integers(0, n, size)).astype(np.int32)
    code = rng.integers(0, 3, size).astype(np.int32)
    kept = (rng.random(size) < 0.2 + 0.1 * code + 0.3 * (document % 2)).astype(np.float64)
    found = differences(moments_of_pairs(document, code, kept, n, 3), simultaneous=False)
    whole = kept.mean()
    for number in range(3):
        mine = code == number
        share = kept[mine].mean()
        u = np.bincount(document[mine], kept[mine] - share, n) / mine.sum()
        u -= np.bincount(document, kept - whole, n) / size
        half = 1.96 * np.sqrt((u**2).sum())
        assert (found.high - found.low)[number] == pytest.approx(2 * half, rel=0.01)


def test_few_documents_have_no_interval() -> None:
    size = np.array([FEWEST - 1, FEWEST, 100])
    found = differences(moments_of_documents(size // 2, size * 0, size, 0.5))
    assert np.isnan(found.low).tolist() == [True, False, False]
    assert found.compared == 2
    alone = differences(moments_of_documents(np.array([9.0]), np.array([0]), np.array([99]), 0.5))
    assert np.isnan(alone.low).all() and alone.difference.tolist() == [0.0]
    nothing = differences(moments_of_documents(*(np.zeros(0) for _ in range(3)), 0.5))
    assert np.isnan(nothing.whole) and nothing.compared == 0


def test_a_slice_that_keeps_nothing_has_an_interval_of_some_width() -> None:
    size = np.array([20, 500])
    found = differences(moments_of_documents(np.array([0, 250]), size * 0, size, 0.5))
    assert found.low[0] <= found.difference[0] < found.high[0] - 0.1


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    for found in coverage(World(0.0), 2000, 400):
        single = found.held.sum() / found.given.sum()
        assert 0.935 < single < 0.975
        assert found.together / found.corpora > 0.935  # 0.95 less 1.4 standard errors
