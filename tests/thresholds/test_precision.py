"""Precision from labels: intervals against exact tests and simulations, allocation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.precision import LABELS, Labeller, focused, intervals, proposal, simulate
from mmc4viz.arrays import Floats
from mmc4viz.thresholds.labels import precision, sampling
from mmc4viz.thresholds.labels.exchange import kappa
from mmc4viz.thresholds.labels.intervals import interval, is_at_least
from mmc4viz.thresholds.labels.precision import LabelledSample, curve, probability, propose
from mmc4viz.types import ConfigError
from tests.support.slowly import slow

ENDLESS = 1e12


def mid_p(right: int, n: int, p: float) -> tuple[float, float]:
    """Return the mid-P tail probabilities of a number of correct labels."""
    half = 0.5 * binom.pmf(right, n, p)
    return binom.cdf(right - 1, n, p) + half, binom.sf(right, n, p) + half


@settings(max_examples=40)
@given(st.integers(1, 60), st.data())
def test_one_stratum_is_the_exact_mid_p_interval(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    found = interval(np.array([[ENDLESS]]), np.array([[n]]), np.array([[right]]))
    low, high = float(found.low[0]), float(found.high[0])
    assert low <= right / n <= high
    if right:
        assert mid_p(right, n, low)[1] == pytest.approx(0.025, abs=2e-3)
    if right < n:
        assert mid_p(right, n, high)[0] == pytest.approx(0.025, abs=2e-3)


COUNTS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 40), st.integers(0, 3000)), min_size=1, max_size=8
)


def arrays(counts: list[tuple[int, int, int]]) -> tuple[Floats, Floats, Floats]:
    labelled = np.array([[n for n, _, _ in counts]], float)
    right = np.minimum(np.array([[x for _, x, _ in counts]], float), labelled)
    more = np.array([[m for _, _, m in counts]], float)
    return labelled + more, labelled, right


@settings(max_examples=30)
@given(COUNTS)
def test_right_and_wrong_are_each_others_mirror(counts: list[tuple[int, int, int]]) -> None:
    pairs, labelled, right = arrays(counts)
    one, other = interval(pairs, labelled, right), interval(pairs, labelled, labelled - right)
    for end, opposite in (("low", "high"), ("high", "low"), ("estimate", "estimate")):
        assert getattr(one, end) == pytest.approx(1 - getattr(other, opposite), abs=1e-3)
    assert 0 <= one.low[0] <= one.estimate[0] + 1e-9
    assert one.estimate[0] <= one.high[0] + 1e-9 <= 1 + 2e-9


@settings(max_examples=30)
@given(COUNTS, st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_the_test_is_the_intervals_lower_end(
    counts: list[tuple[int, int, int]], least: float
) -> None:
    pairs, labelled, right = arrays(counts)
    low = interval(pairs, labelled, right, 0.9).low[0]
    if abs(low - least) > 2e-3:
        assert bool(is_at_least(pairs, labelled, right, least)[0]) == (low >= least)


def test_a_stratum_without_labels_may_hold_anything() -> None:
    pairs, labelled, right = np.array([[300, 100]]), np.array([[50, 0]]), np.array([[45, 0]])
    alone = interval(pairs[:, :1], labelled[:, :1], right[:, :1])
    both = interval(pairs, labelled, right)
    assert both.estimate == pytest.approx(alone.estimate)
    assert both.low == pytest.approx(0.75 * alone.low)
    assert both.high == pytest.approx(0.75 * alone.high + 0.25)
    nothing = interval(pairs, np.zeros((1, 2)), np.zeros((1, 2)))
    assert np.isnan(nothing.estimate[0])
    assert (nothing.low[0], nothing.high[0]) == (0, 1)


def test_who_labels_everything_knows_everything() -> None:
    rng = np.random.default_rng(0)
    corpus = simulate(rng, 2, 0.6, 300)
    sample = LabelledSample(corpus.scores, np.array([0.2, 0.25]), corpus.scores, corpus.correct)
    thresholds = np.array([0.0, 0.2, 0.23, 0.27])
    found = curve(sample, thresholds)
    truth = [corpus.precision(t) for t in thresholds]
    kept = [corpus.kept(t) for t in thresholds]
    for part, true in ((found.precision, truth), (found.kept, kept)):
        for end in vars(part).values():
            assert end == pytest.approx(true, abs=1e-4)


def held_often(held: list[bool], least: float) -> bool:
    """Whether the coverage is compatible with 95% (at a level of 1 in 10,000)."""
    return sum(held) >= binom.ppf(1e-4, len(held), 0.95) and sum(held) / len(held) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "share"), [(3, 0.6), (2, 0.4), (0, 0.5)])
def test_intervals_hold_the_truth(apart: float, share: float) -> None:
    found = np.array([intervals(apart, share, seed) for seed in range(6)])
    assert held_often(list(found[:, 0].ravel()), 0.8)
    assert held_often(list(found[:, 1].ravel()), 0.8)
    one = np.array([focused(apart, share, seed) for seed in range(2)])
    assert held_often(list(one[:, 0].ravel()), 0.8)


@pytest.mark.slow
def test_a_proposed_threshold_has_its_precision() -> None:
    found = [proposal(apart, share, seed) for apart, share in ((3, 0.6), (2, 0.7), (1, 0.4))
             for seed in range(8)]  # fmt: skip
    made = [right for proposed, right, _, _ in found if proposed]
    assert held_often(made + [True] * (len(found) - len(made)), 0.94)
    assert len(made) > 10  # labels show it if they can


def sample_of(*strata_: tuple[int, int, int]) -> LabelledSample:
    """Make a sample of strata [0, 1), [1, 2) … with pairs, labels and correct labels of each."""
    scores = np.concatenate([k + np.arange(n) / n for k, (n, _, _) in enumerate(strata_)])
    label = np.concatenate([k + np.arange(m) / n for k, (n, m, _) in enumerate(strata_)])
    correct = np.concatenate([np.arange(m) < x for _, m, x in strata_])
    return LabelledSample(scores, np.arange(1.0, len(strata_)), label, correct)


def test_the_walk_stops_at_the_first_that_fails() -> None:
    sound = sample_of((100, 50, 5), (1000, 100, 99), (1000, 60, 59), (1000, 40, 40))
    assert propose(sound, 0.9).threshold == 1.0
    dip = sample_of((100, 50, 5), (100_000, 200, 200), (1000, 60, 20), (1000, 40, 40))
    assert curve(dip, np.array([1.0])).precision.low[0] > 0.9  # passes, but after one that fails
    found = propose(dip, 0.9)
    assert found.threshold == 3.0
    assert found.low is not None
    assert found.estimate == 1.0


def test_a_proposal_says_what_it_promises_and_what_it_hangs_on() -> None:
    sample = sample_of((100, 50, 5), (1000, 12, 12), (1000, 60, 59), (1000, 40, 40))
    found = propose(sample, 0.9)
    assert (found.threshold, found.labels, found.labels_near_threshold) == (1.0, 112, 12)
    one_sided = curve(sample, np.array([1.0]), level=0.9).precision.low[0]
    assert found.lower_bound == pytest.approx(one_sided)
    assert found.low is not None
    assert found.lower_bound is not None
    assert found.low < found.lower_bound  # the two-sided interval is wider
    just = sample_of((100, 5, 5), (10**5, 22, 22))
    assert propose(just, 0.9).lower_bound >= 0.9  # type: ignore[operator]


def test_no_proposal_is_an_answer() -> None:
    wrong = propose(sample_of((100, 50, 5), (1000, 60, 30)), 0.9)
    assert wrong.threshold is None
    assert "not shown to reach 90%" in str(wrong.reason)
    few = propose(sample_of((100, 5, 5), (1000, 10, 10)), 0.9)
    assert "too few" in str(few.reason)
    assert few.labels_needed == 12  # ½ · 0.9^22 ≤ 0.05
    none = propose(sample_of((100, 0, 0), (1000, 0, 0)), 0.9)
    assert none.reason == "no labels yet"
    with pytest.raises(ConfigError, match="between 0 and 1"):
        propose(sample_of((100, 5, 5)), 1.0)


def test_all_labels_alike_are_no_error() -> None:
    for right in (0, 60):
        sample = sample_of((100, 30, right // 2), (100, 30, right // 2))
        found = curve(sample, np.array([0.0, 1.0]))
        assert np.isfinite(found.precision.estimate).all()
        assert len(probability(sample).score) == 1
    assert len(probability(sample_of((10, 0, 0))).score) == 0


def test_probability_weighs_labels_by_what_they_stand_for() -> None:
    scores = np.sort(np.concatenate([np.full(90, 0.1), np.full(10, 0.2), np.full(10, 0.3)]))
    label = np.array([0.1, 0.2, 0.3])
    sample = LabelledSample(scores, np.array([0.2, 0.3]), label, np.array([True, False, True]))
    found = probability(sample)
    assert found.score.tolist() == [0.1, 0.3]
    assert found.probability.tolist() == pytest.approx(
        [0.9, 1.0]
    )  # 90 correct and 10 incorrect, pooled


@given(st.lists(st.tuples(st.integers(1, 6), st.floats(0.1, 5)), min_size=2, max_size=3),
       st.integers(1, 6))  # fmt: skip
def test_allocation_is_the_best_there_is(strata_: list[tuple[int, float]], n: int) -> None:
    population = np.array([size for size, _ in strata_], np.int64)
    value = np.array([v for _, v in strata_])
    n = min(n, int(population.sum()) - len(strata_))
    start = np.ones(len(strata_), np.int64)
    if n <= 0 or (start > population).any():
        return
    got = sampling.allocate(population, start, value, n, floor=1)

    def spread(more: NDArray[np.int64]) -> float:
        return float((value / (start + more)).sum())

    ways = product(*(range(int(size)) for size in population - start + 1))
    rivals = [np.array(way) for way in ways if sum(way) == n]
    assert got.sum() == n
    assert spread(got) <= min(map(spread, rivals)) + 1e-9


def test_what_is_said_to_be_needed_is_enough() -> None:
    rng = np.random.default_rng(3)
    labeller = Labeller(rng, simulate(rng, 1, 0.6))
    labeller.label(LABELS // 2, None)
    threshold = float(np.quantile(labeller.corpus.scores, 0.6))

    def width() -> float:
        found = curve(labeller.sample(), np.array([threshold])).precision
        return float(found.high[0] - found.low[0])

    sample, before = labeller.sample(), width()
    over = sampling.above(sample.scores, sample.edges, np.array([threshold]))[0]
    more = precision.needed(sample.population, over, *sample.counts(), before / 2)
    assert more is not None
    labeller.label(more, threshold)
    assert width() == pytest.approx(before / 2, rel=0.25)
    assert precision.needed(sample.population, over, *sample.counts(), before * 2) == 0
    assert precision.needed(sample.population, over, *sample.counts(), 1e-9) is None


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(sum))
def test_kappa_is_its_definition(cells: list[int]) -> None:
    table = np.array(cells, float).reshape(2, 2) / sum(cells)
    chance = float((table.sum(0) * table.sum(1)).sum())
    found = kappa(*cells)
    if found is None:
        assert chance == pytest.approx(1)
    else:
        assert found == pytest.approx((np.trace(table) - chance) / (1 - chance))


def test_borders_part_the_pairs() -> None:
    scores = np.sort(np.random.default_rng(0).normal(0.25, 0.03, 700))
    edges = sampling.stratum_edges(scores, 0.2, 0.32, 0.001, 3)
    sizes = sampling.populations(scores, edges)
    assert sizes.sum() == len(scores)
    assert (sizes[1:] >= sampling.FEWEST).all()
    assert sampling.stratum_edges(scores, 0.5, 0.6, 0.001, 3).tolist() == []
    assert sampling.stratum_edges(scores, 0.25, 0.25, 0.001, 3).tolist() == [0.25]


def test_labels_of_duplicates_are_worth_one_each() -> None:
    """Every label twice has the interval of every label once, in a corpus without end."""
    scores = np.linspace(0, 1, 2_000_001)
    score, correct = np.linspace(0.005, 0.995, 100), np.arange(100) % 5 > 0
    once = LabelledSample(scores, np.array([0.5]), score, correct)
    two = np.repeat(np.arange(100), 2)
    twice = LabelledSample(scores, np.array([0.5]), score[two], correct[two], two)
    apart = LabelledSample(scores, np.array([0.5]), score[two], correct[two], np.arange(200))
    asked = np.array([0.0, 0.25, 0.5, 0.75])
    found, expected, naive = (curve(sample, asked) for sample in (twice, once, apart))
    for name in ("estimate", "low", "high"):
        for kind in ("precision", "kept"):
            here, there = (getattr(getattr(c, kind), name) for c in (found, expected))
            np.testing.assert_allclose(here, there, atol=1e-3)
    assert (naive.precision.low > found.precision.low + 0.01).all()
    assert found.labels.tolist() == naive.labels.tolist() == [200, 150, 100, 50]
    lower = [propose(sample, 0.7).lower_bound for sample in (twice, once, apart)]
    assert lower[0] == pytest.approx(lower[1], abs=1e-3) and lower[2] > lower[0] + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "copies", "labels"), [(40, 1000, 200), *slow((60, 50, 150), (200, 20, 150))]
)
def test_intervals_cover_the_source_of_duplicates(images: int, copies: int, labels: int) -> None:
    """Of a corpus that has each of a few images many times, all correct or all incorrect."""
    rng, share, rounds = np.random.default_rng(2), 0.75, 200
    covered = np.zeros(2)
    for _ in range(rounds):
        right = rng.random(images) < share
        image = rng.permutation(np.repeat(np.arange(images), copies))
        scores = np.sort(rng.random(len(image)))
        at = np.sort(rng.choice(len(image), labels, replace=False))
        for n, cluster in enumerate((None, image[at])):
            sample = LabelledSample(scores, np.array([0.5]), scores[at], right[image[at]], cluster)
            found = curve(sample, np.array([0.0])).precision
            covered[n] += found.low[0] <= share <= found.high[0]
    apart, together = covered / rounds
    assert apart < 0.92 and 0.92 <= together <= 0.99
