"""Equivalent thresholds of two scores, and the overlap of what they keep, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from mmc4viz.data.scale import COSINE
from mmc4viz.pairs.comparison import compared, overlapping, quantiles, rank_correlation
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import KeepRule
from mmc4viz.types import ConfigError
from tests.pairs.test_histogram import BOTH, GRID, RULES, SCORES, counted, curves

STEPS = st.sampled_from(GRID[1150:1400].tolist())
PAIRS = arrays(np.float64, (2, 40), elements=SCORES)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sampled_from(RULES), STEPS)
def test_the_equivalent_threshold_has_the_closest_yield(
    pair: Any, rule: KeepRule, threshold: float
) -> None:
    found = compared(curves(counted(*pair, rule), rule), *BOTH, threshold)
    reached = rule.reached(pair[0], threshold, False)
    each = [int(rule.reached(pair[1], at, False).sum()) for at in GRID]
    off = [abs(n - int(reached.sum())) for n in each]
    best = max(n for n, one in enumerate(off) if one == min(off))
    assert found.equivalent == GRID[best]
    assert found.kept == (reached.sum(), each[best])
    assert found.exact == (min(off) == 0)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sampled_from(RULES), STEPS, STEPS, st.booleans())
def test_the_overlap_is_that_of_the_rows(
    pair: Any, rule: KeepRule, at: float, other: float, swapped: bool
) -> None:
    all_curves = curves(counted(*pair, rule), rule)
    names = BOTH[::-1] if swapped else BOTH
    one, two = (rule.reached(v, t, False) for v, t in zip(pair[::-1] if swapped else pair,
                                                          (at, other), strict=True))  # fmt: skip
    found = overlapping(all_curves, *names, at, other).overlap
    assert found.both == (one & two).sum()
    assert found.only_first == (one & ~two).sum()
    assert found.only_second == (two & ~one).sum()


def test_rank_correlation_is_spearman_s_of_the_steps() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.25, 0.05, 2000).round(3)
    y = (0.5 * x + rng.normal(0.1, 0.03, 2000)).round(3)
    x[:20] = np.nan
    rho, rows = rank_correlation(curves(counted(x, y)))
    assert rows == 1980
    assert rho == pytest.approx(spearmanr(x[20:], y[20:]).statistic)
    same = np.full(5, 0.3)
    assert np.isnan(rank_correlation(curves(counted(same, same)))[0])


def test_quantiles_are_steps_below_those_of_the_scores() -> None:
    scores = np.random.default_rng(0).normal(0.25, 0.05, 2001)
    found = quantiles(curves(counted(scores, scores)), BOTH[0], (0.01, 0.5, 0.99))
    expected = np.quantile(scores, [0.01, 0.5, 0.99], method="inverted_cdf")
    assert (np.abs(np.array(found) - expected) <= COSINE.step).all()
    nothing = np.full(3, np.nan)
    assert quantiles(curves(counted(nothing, nothing)), BOTH[0], (0.5,)) == []


def test_what_was_not_counted_together_is_refused() -> None:
    both = curves(counted(np.array([0.3]), np.array([0.2])))
    alone = PairCurves(both.plan, both.tally.__class__(**{**both.tally.__dict__, "joint": None}))
    with pytest.raises(ConfigError, match="were not counted together"):
        compared(alone, *BOTH, 0.25)
    with pytest.raises(ConfigError, match="not a step of the grid"):
        compared(both, *BOTH, 0.25001)
