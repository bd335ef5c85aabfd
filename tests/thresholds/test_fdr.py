"""The label-free FDR: close to the truth where there is an estimate, and none elsewhere.

A few corpora only; `benchmarks/fdr.py` measures it on hundreds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.fdr import CELLS
from benchmarks.simulate import Recipe, Simulated, simulate
from mmc4viz import ConfigError, LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.thresholds.fdr.effects import (
    Effects,
    Precision,
    consecutive_correlation,
    heteroscedasticity,
    noise,
    rivals,
)
from mmc4viz.thresholds.fdr.estimate import WITHIN, FdrEstimate, by_fdr, estimate_fdr, labels_needed
from mmc4viz.thresholds.fdr.matrices import Stack, decoy_matrices, decoy_stack, stack_of, stacked
from mmc4viz.thresholds.fdr.mixture import Null, ResidualRows, Signal, log_scale_error
from mmc4viz.thresholds.proposal import Basis
from tests.support.corpora import SETTINGS, odd
from tests.support.real import DOCUMENTS
from tests.support.slowly import slow
from tests.thresholds.test_compare import sample

EASY = Recipe(4, 0.6, documents=600, sentences=8.0, image=0.5, sentence=0.5)
HOPELESS = replace(EASY, shift=0.5, documents=400)


@cache
def corpus(recipe: Recipe) -> Simulated:
    return simulate(recipe, 3)


@cache
def estimate(recipe: Recipe, with_decoys: bool = False) -> FdrEstimate:
    found = corpus(recipe)
    return estimate_fdr(found.stack, decoys=found.decoys if with_decoys else None, rounds=60)


@cache
def plain() -> tuple[np.ndarray, FdrEstimate]:
    """Return three thresholds and the rates at them, which tests change the scores of."""
    stack = corpus(EASY).stack
    thresholds = np.quantile(stack.score, [0.2, 0.5, 0.8])
    return thresholds, estimate_fdr(stack, thresholds, rounds=20)


def truth(recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Return the true rate at the estimate's thresholds, and which keep 100 pairs."""
    found, thresholds = corpus(recipe), estimate(recipe).threshold
    reach = found.stack.score[:, None] >= thresholds
    wrong = (reach & ~found.right[:, None]).sum(axis=0)
    return wrong / np.maximum(reach.sum(axis=0), 1), reach.sum(axis=0) >= 100


@pytest.mark.parametrize("with_decoys", [False, True])
def test_near_the_truth_where_right_pairs_stand_out(with_decoys: bool) -> None:
    said, (true, enough) = estimate(EASY, with_decoys), truth(EASY)
    assert said.reason is None
    known = enough & ~np.isnan(said.rate)
    assert known[enough].mean() > 0.7
    assert np.abs(said.rate - true)[known].max() < 0.03
    inside = (said.low <= true) & (true <= said.high)
    assert inside[known].mean() > 0.9
    assert (said.low <= said.rate)[known].all()
    assert (said.rate <= said.high)[known].all()
    assert said.signal is not None
    assert said.signal.mean_shift == pytest.approx(4, abs=0.2)
    assert said.signal.share == pytest.approx(0.6, abs=0.05)


def test_it_declines_where_right_pairs_hardly_stand_out() -> None:
    said = estimate(HOPELESS)
    assert said.reason is not None
    proposal = by_fdr(said, 0.1)
    assert proposal.threshold is None
    assert proposal.labels_needed == labels_needed(0.1) == 139
    assert "label about 139 pairs" in str(proposal.reason)


@pytest.mark.slow
def test_it_declines_on_real_pages() -> None:
    """By file names, at most 59% of these pairs are incorrect; the estimate was 92%."""
    columns = [read_columns(shard, load_tokenizer()) for shard in expand([str(DOCUMENTS)])]
    for assignment in ("one_to_one", "argmax"):
        said = estimate_fdr(
            stack_of(match_corpus(columns, LoaderConfig(assignment=assignment))), rounds=20
        )
        assert "consecutive sentences fit an image similarly" in str(said.reason)
        assert by_fdr(said, 0.95).threshold is None


@pytest.mark.parametrize("around", [0.3, 1.0, *slow(0.5)])
def test_it_declines_where_sentences_in_a_row_fit_an_image(around: float) -> None:
    assert "consecutive sentences" in str(estimate(replace(EASY, around=around)).reason)


def test_neighbours_are_alike_where_noise_is() -> None:
    rng, found = np.random.default_rng(0), []
    for smooth in (0.0, 0.4):
        pages = []
        for n in (1, 2, 4) * 200:
            page = rng.standard_normal((n, 13)) + 2 * rng.standard_normal((n, 1))
            pages.append((page[:, 1:] + smooth * page[:, :-1], np.zeros(n, int)))
        stack = stacked(pages)
        effects = Effects.of(stack, stack.values)
        left = noise(stack, stack.values, np.zeros(len(stack.values)), effects)
        found.append(consecutive_correlation(stack, left))
    (none, error), (some, surely) = found
    assert abs(none) < 0.03
    assert abs(error) < 3
    assert some > 0.2
    assert surely > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_the_order_of_sentences_tells_nothing_where_it_says_nothing(name: str) -> None:
    recipe = replace(CELLS[name], documents=300)
    for seed in range(2):
        reason = estimate_fdr(simulate(recipe, seed).stack, rounds=20).reason
        assert reason is None or "consecutive sentences" not in reason
        assert reason is None or name.startswith(("hopeless", "2σ", "1.5σ", "2.5σ", "stress"))


def test_a_proposal_is_the_lowest_threshold_that_is_good_enough() -> None:
    said = estimate(EASY)
    for wanted in (0.05, 0.1, 0.2):
        proposal = by_fdr(said, wanted)
        assert proposal.basis is Basis.FDR
        assert proposal.threshold is not None
        assert proposal.estimate is not None
        at = int(np.flatnonzero(said.threshold == proposal.threshold)[0])
        assert said.rate[at] == proposal.estimate <= wanted
        assert not (said.rate[:at] <= wanted).any()
        assert "share a topic" in proposal.assumption


def test_too_much_to_ask_is_said_with_the_least_there_is() -> None:
    said = estimate(EASY)
    raised = replace(said, rate=np.maximum(said.rate, 0.04))
    assert "the lowest FDR is 4.0%" in str(by_fdr(raised, 0.01).reason)
    unknown = replace(said, rate=said.rate * np.nan)
    assert "known to within ±5% at any threshold: too few" in str(by_fdr(unknown, 0.1).reason)
    assert "label about 139 pairs" in str(by_fdr(unknown, 0.1).reason)
    high_ones = np.where(said.rate < 0.1, np.nan, said.rate)
    some = by_fdr(replace(said, rate=high_ones), 0.1)
    assert "not known to within ±5% at higher thresholds" in str(some.reason)
    for wanted in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ConfigError):
            by_fdr(said, wanted)


@pytest.mark.slow
def test_neither_order_nor_units_of_similarity_matter() -> None:
    """Scaled or shifted scores give the same, and so do reordered documents."""
    stack, (thresholds, mine) = corpus(EASY).stack, plain()
    scaled = replace(stack, values=250 * stack.values + 3)
    other = estimate_fdr(scaled, 250 * thresholds + 3, rounds=20)
    assert other.rate == pytest.approx(mine.rate, abs=0.01)
    turned = estimate_fdr(_turned(stack), thresholds, rounds=20)
    assert turned.rate == pytest.approx(mine.rate, abs=0.005)


def _turned(stack: Stack) -> Stack:
    first = np.append(0, np.cumsum(stack.images))
    pages = [
        (stack.values[stack.start[a] : stack.start[b]].reshape(b - a, -1), stack.assigned[a:b])
        for a, b in zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
    ]
    return stacked(pages[::-1])


@pytest.mark.slow
def test_a_sigmoid_of_the_similarity_says_the_same_and_a_softmax_nothing() -> None:
    stack, (thresholds, mine) = corpus(EASY).stack, plain()

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(12 - 30 * x))

    squeezed = replace(stack, values=sigmoid(stack.values))
    other = estimate_fdr(squeezed, sigmoid(thresholds), rounds=20)
    assert other.rate == pytest.approx(mine.rate, abs=0.01)
    raised = np.exp(100 * stack.values)
    softmax = raised / np.add.reduceat(raised, stack.start[:-1])[stack.row]
    assert "softmax" in str(estimate_fdr(replace(stack, values=softmax), rounds=20).reason)


@pytest.mark.parametrize(
    "pages",
    [
        [],
        [(np.full((2, 3), 0.2), np.array([0, 1]))] * 300,
        [(np.array([[0.2, 0.3]]), np.array([1]))] * 5,
    ],
    ids=["nothing", "all equal", "few"],
)
def test_hardly_anything_to_look_at(pages: list[tuple[np.ndarray, np.ndarray]]) -> None:
    said = estimate_fdr(stacked(pages), rounds=20)
    assert said.reason is not None
    assert by_fdr(said, 0.1).threshold is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 4)])
def test_odd_shapes_and_huge_numbers_do_no_harm(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((150, *shape)) * 10.0 ** rng.integers(-3, 300, (150, 1, 1))
    assigned = np.arange(shape[0]) % shape[1]
    said = estimate_fdr(stacked([(page, assigned) for page in values]), rounds=20)
    assert said.error is not None
    assert np.isfinite(said.error[said.pairs > 0]).all()
    assert np.isfinite(said.surely)


def test_residuals_are_what_the_covariance_says() -> None:
    """The closed form against the plain inverse of one page's covariance."""
    rng, (n, m) = np.random.default_rng(1), (3, 5)
    stack = stacked([(rng.standard_normal((n, m)), np.arange(n))])
    effects = Effects(0.7, 0.4, 0.3, 0.2, 0.1)
    same_row = np.kron(np.eye(n), np.ones((m, m)))
    same_column = np.kron(np.ones((n, n)), np.eye(m))
    covariance = 0.7 * np.eye(n * m) + 0.4 * same_row + 0.3 * same_column + 0.2
    inverse = np.linalg.inv(covariance)
    taken = rng.random(n * m)
    precision = Precision.of(stack, effects)
    assert precision.diagonal[0] == pytest.approx(inverse[0, 0])
    found = precision.apply(stack, stack.values, effects.level)
    assert found == pytest.approx(inverse @ (stack.values - 0.1))
    bare = noise(stack, stack.values, taken, effects)
    rival, reach = rivals(stack, stack.values, taken, effects)
    for entry in range(n * m):
        left = stack.values - taken
        left[entry] = stack.values[entry]
        expected = inverse[entry] @ (left - 0.1) / np.sqrt(inverse[entry, entry])
        assert bare[entry] == pytest.approx(expected)
        own = np.arange(n * m) // m == entry // m
        left = np.where(own, stack.values, stack.values - taken)
        expected = inverse[entry] @ (left - 0.1) / np.sqrt(inverse[entry, entry])
        assert rival[entry] == pytest.approx(expected)
    assert reach[0] == pytest.approx(np.sqrt(inverse[0, 0] * 0.7))


def test_probabilities_are_what_bayes_rule_says() -> None:
    """One image with three sentences, computed by hand."""
    stack = stacked([(np.array([[0.0, 1.0, 2.0]]), np.array([2]))])
    null, signal = Null((1e9, 1.0), (1e9, 1.0)), Signal(0.4, 2.0, 0.2)
    residual = np.array([-0.5, 0.5, 2.5])
    judged = ResidualRows.of(stack, residual, np.ones(1), null).judge(signal)
    shifts = np.arange(0.25, 6.01, 0.25)
    weights = signal.weights[: len(shifts)]
    ratio = np.exp(np.outer(residual, shifts) - shifts**2 / 2) @ weights
    likelihood = 0.6 + 0.4 * ratio.mean()
    assert judged.likelihood == pytest.approx([likelihood], rel=1e-4)
    assert judged.right == pytest.approx([0.4 * ratio[2] / 3 / likelihood], rel=1e-4)
    assert judged.by_document == pytest.approx([np.log(likelihood)], rel=1e-4)


def test_similarities_that_say_nothing_leave_the_prior() -> None:
    """Also for pages with more images than sentences."""
    shapes = [(1, 4), (3, 6), (5, 5), (6, 2)]
    stack = stacked([(np.zeros(shape), np.arange(shape[0]) % shape[1]) for shape in shapes])
    null, signal = Null((300.0, 1.0), (300.0, 1.0)), Signal(0.4, 2.0, 0.2)
    judged = ResidualRows.of(stack, stack.values, np.ones(4), null).judge(signal)
    silent = replace(judged, ratio=np.ones(len(stack.values)))
    expected = [0.4 * min(n, m) / n / m for n, m in shapes for _ in range(n)]
    assert silent.right == pytest.approx(expected, rel=0.02)


def test_what_is_drawn_is_what_was_added_on_average() -> None:
    stack = stacked([(np.array([[0.3, -0.5, 0.1, 2.0]]), np.array([3]))] * 500)
    null = Null((300.0, 1.0), (300.0, 1.0))
    judged = ResidualRows.of(stack, stack.values, np.ones(500), null).judge(Signal(0.6, 2.0, 0.5))
    draws = np.mean([judged.drawn(seed) for seed in range(20)], axis=0).reshape(500, 4)
    assert draws.mean(axis=0) == pytest.approx(judged.added[:4], abs=0.05)
    assert ((judged.drawn() > 0).reshape(500, 4).sum(axis=1) <= 1).all()


def test_noise_of_several_sizes_is_seen() -> None:
    rng = np.random.default_rng(0)
    shapes = [(n, m) for n in (1, 2, 4) for m in (5, 9)] * 100
    stack = stacked([(rng.standard_normal(shape), np.zeros(shape[0], int)) for shape in shapes])
    assert heteroscedasticity(stack, stack.values) < 0.1
    for group in (stack.row, stack.sentence, stack.owner):
        size = np.where(
            rng.random(group.max() + 1) < 0.5, 0.6, 1.4
        )  # standard deviation 0.4, mean 1
        assert heteroscedasticity(stack, stack.values * size[group]) == pytest.approx(0.4, abs=0.06)


def test_the_size_of_noise_is_as_doubtful_as_documents_make_it() -> None:
    rng = np.random.default_rng(0)
    distance, alone = np.abs(rng.standard_normal(5000)), np.arange(5000)
    assert log_scale_error(distance, alone, (300.0, 1.0)) == pytest.approx(
        0.01, rel=0.1
    )  # 1 / √(2 · 5000)
    copied = log_scale_error(np.repeat(distance, 4), np.repeat(alone, 4), (300.0, 1.0))
    assert copied == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("basis", [Basis.FDR, Basis.DECOYS])
def test_a_rate_is_given_where_it_is_known(basis: Basis) -> None:
    said = estimate(EASY, basis is Basis.DECOYS)
    assert said.error is not None
    known = said.error <= WITHIN[basis]
    assert 0 < known.sum() < len(known)
    for one in (said.rate, said.low, said.high):
        assert (np.isnan(one) == ~known).all()
    assert (said.high - said.low)[known].max() <= 2 * WITHIN[basis]


def test_the_stronger_model_of_the_sample_is_told_and_the_weaker_one_is_not() -> None:
    """By the ground truth, correct pairs are separated by 3.5σ and 2σ of the noise."""
    strong, weak = (estimate_fdr(stack_of(one.model.matched), rounds=60) for one in sample())
    assert strong.reason is None
    proposal = by_fdr(strong, 0.15)
    assert proposal.threshold is not None
    assert "noise varies by" in str(weak.reason)
    assert "pairs near the threshold" in str(by_fdr(weak, 0.15).reason)


def test_a_null_is_found_again() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_t(5, 200_000) * 0.8
    tail, scale = Null.mirrored(np.append(noise[noise < 0], rng.random(1000) + 3)).low
    assert tail == pytest.approx(5, rel=0.1)
    assert scale == pytest.approx(0.8, rel=0.03)
    skewed = Null.observed(np.where(noise < 0, noise, 2 * noise))
    assert skewed.high[1] == pytest.approx(1.6, rel=0.03)


def test_a_sentence_is_right_for_one_image_at_most() -> None:
    """Two images with the same best sentence share its probability."""
    matrix = np.array([[0.0, 4.0, 0.0], [0.0, 4.0, 0.0]])
    null, signal = Null((1e9, 1.0), (1e9, 1.0)), Signal(0.5, 4.0, 0.2)
    both = stacked([(matrix, np.array([1, 0]))])
    judged = ResidualRows.of(both, matrix.ravel(), np.ones(1), null).judge(signal)
    single = stacked([(matrix[:1], np.array([1]))])
    one = ResidualRows.of(single, matrix[0], np.ones(1), null).judge(signal)
    assert judged.alone[1] == pytest.approx(one.right[0])
    assert one.right[0] > 0.95
    assert judged.right[0] < 0.6


@pytest.mark.parametrize("case", [0, 1])
def test_a_stack_is_the_pairs_of_the_corpus(case: int) -> None:
    matched = odd(SETTINGS[case]).corpus.matched
    stack, pairs = stack_of(matched), pairs_of(matched)
    assert np.isfinite(stack.values).all()
    if not stack.left_out:
        assert np.sort(stack.score).tolist() == pairs.score.tolist()
    assert len(stack) + stack.left_out <= len(np.unique(pairs.document))


def test_a_large_corpus_is_looked_at_by_a_sample() -> None:
    matched = odd({}).corpus.matched
    some, again = stack_of(matched, most=200, seed=1), stack_of(matched, most=200, seed=1)
    assert some.sampled
    assert 0 < len(some) <= 200
    assert some.values.tolist() == again.values.tolist()
    assert "randomly sampled" in estimate_fdr(some, rounds=20).assumption
    assert len(stack_of(type(matched)([], LoaderConfig()))) == 0


def test_decoys_have_the_shapes_and_sentences_of_others() -> None:
    rng = np.random.default_rng(0)
    sizes = [(2, 5), (1, 3), (4, 9)]
    images = [rng.standard_normal((n, 6)) for n, _ in sizes]
    sentences = [rng.standard_normal((m, 6)) for _, m in sizes]
    # No document has more sentences than all others together.
    decoys = decoy_matrices(images[:3], [*sentences[:2], sentences[2][:8]])
    assert [one.shape for one in decoys] == [(2, 5), (1, 3), (4, 8)]
    own = images[0] @ sentences[0].T
    assert not np.isin(np.round(decoys[0], 9), np.round(own, 9)).any()
    assert decoy_stack(decoys).values.shape == (2 * 5 + 3 + 4 * 8,)
    with pytest.raises(ConfigError, match="add documents"):
        decoy_matrices(images, sentences)
    with pytest.raises(ConfigError, match="dimensions"):
        decoy_matrices(images, [one[:, :4] for one in sentences])
    with pytest.raises(ConfigError, match="same documents"):
        decoy_matrices(images[:1], sentences)
