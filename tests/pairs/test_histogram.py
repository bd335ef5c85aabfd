"""Histograms give the exact count at every threshold, and add up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmc4viz.data.scale import COSINE, TIMES_100, decimal_scale
from mmc4viz.pairs.count import CountPlan
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.histogram import PairTally, ThresholdGrid, sum_scale, unpacked
from mmc4viz.pairs.layout import DEFAULT_RULE, NUMBERS, KeepRule, ScoreColumn
from mmc4viz.types import ConfigError

GRID = COSINE.thresholds()
BOTH = (ScoreColumn("b32", "ViT-B/32"), ScoreColumn("l14", "ViT-L/14"))
RULES = [KeepRule(), KeepRule(strict=True), KeepRule(own_precision=True)]
SCORES = st.one_of(
    st.floats(-1.2, 1.2),
    st.sampled_from([*GRID[900:1300].tolist(), 1.0, -1.0, 6016.0, -7.0, np.inf, -np.inf, np.nan]),
    st.sampled_from(GRID.tolist()).map(lambda x: float(np.nextafter(x, 9))),
    st.sampled_from(GRID.tolist()).map(lambda x: float(np.nextafter(x, -9))),
)


def counted(one: Any, other: Any, rule: KeepRule = DEFAULT_RULE) -> PairTally:
    counter = CountPlan("table", BOTH, True, (), rule).counter()
    counter.add([one, other], [one.dtype == np.float32, other.dtype == np.float32], [0, 0])
    counter.rows += len(one)
    return counter.tally()


def curves(tally: PairTally, rule: KeepRule = DEFAULT_RULE) -> PairCurves:
    return PairCurves(CountPlan("table", BOTH, True, (), rule), tally)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, 50, elements=SCORES), st.sampled_from(RULES), st.booleans())
def test_every_threshold_of_the_grid_is_exact(values: Any, rule: KeepRule, single: bool) -> None:
    values = values.astype(np.float32) if single else values
    tally = counted(values, values, rule)
    double = values.astype(np.float64)
    at = GRID.astype(np.float32).astype(float) if rule.rounds(single) else GRID
    compare = np.greater if rule.strict else np.greater_equal
    expected = compare(double[:, None], at[None, :]).sum(0)
    assert tally.columns[0].kept.tolist() == expected.tolist()
    sums = double + double
    grid = sum_scale(*BOTH).thresholds()
    found = curves(tally, rule).curve(BOTH, "sum")
    assert found.tolist() == compare(sums[:, None], grid[None, :]).sum(0).tolist()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (2, 40), elements=SCORES), st.sampled_from(RULES))
def test_two_scores_together_are_exact_at_any_two_thresholds(pair: Any, rule: KeepRule) -> None:
    found = curves(counted(*pair, rule), rule)
    both, either = found.surface(BOTH, "and"), found.surface(BOTH, "or")
    compare = np.greater if rule.strict else np.greater_equal
    one, other = (compare(values[:, None], GRID[None, :]) for values in pair)
    assert (both == one.astype(int).T @ other.astype(int)).all()
    assert (either == len(pair[0]) - (~one).astype(int).T @ (~other).astype(int)).all()
    assert found.kept(BOTH, [0.25, 0.2], "and") == both[1250, 1200]
    assert found.kept(BOTH[::-1], [0.2, 0.25], "or") == either[1250, 1200]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (2, 60), elements=SCORES), st.lists(st.integers(0, 60), max_size=4))
def test_tallies_of_parts_add_up_to_that_of_the_whole(pair: Any, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), 60]
    parts = [counted(*pair[:, a:b]) for a, b in pairwise(ends)]
    whole, counter = counted(*pair), CountPlan("table", BOTH, True, (), DEFAULT_RULE).counter()
    for part in parts:
        counter.include(part)
    total = counter.tally()
    for one in (total, unpacked(total.packed())):
        np.testing.assert_equal(one.packed(), whole.packed())
        assert one.joint is not None and (one.joint == whole.joint).all() and one.joint.sum() == 60


@pytest.mark.parametrize("scale", [COSINE, TIMES_100, decimal_scale(-3e-5, 2e-5),
                                   decimal_scale(0, 7e9), *NUMBERS.values()])  # fmt: skip
@pytest.mark.parametrize("rule", RULES)
def test_codes_of_any_scale_are_those_of_a_binary_search(scale: Any, rule: KeepRule) -> None:
    rng = np.random.default_rng(1)
    grid = ThresholdGrid(scale, rule)
    values = rng.uniform(scale.start * 1.1 - 1e-6, scale.stop * 1.1, 70_000)
    values[::3] = rng.choice(scale.thresholds(), len(values[::3]))
    side = "left" if rule.strict else "right"
    assert (grid.codes(values) == np.searchsorted(grid.compared, values, side)).all()


def test_missing_malformed_and_impossible_values_are_counted_apart() -> None:
    values = np.array([0.3, np.nan, np.nan, 6016.0, -2.0, 1.00001])
    counter = CountPlan("table", BOTH[:1], False, (), KeepRule()).counter()
    counter.add([values], [False], [1])
    (one,) = counter.tally().columns
    assert (one.missing, one.malformed, one.outside) == (1, 1, 2)
    assert (one.lowest, one.highest) == (-2.0, 6016.0)
    assert one.kept[[0, -1]].tolist() == [3, 2]  # those at the ends are not lost


def test_a_sum_needs_one_scale() -> None:
    other = ScoreColumn("x100", "ViT-L/14", TIMES_100)
    with pytest.raises(ConfigError, match="different scales"):
        sum_scale(BOTH[0], other)
