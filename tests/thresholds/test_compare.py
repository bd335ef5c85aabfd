"""Model comparison: equal yields against the walk, kept sets, rankings, labels, command."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mmc4viz
from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import main
from mmc4viz.data.columns import (
    Columns,
    Kind,
    build_batch,
    core_schema,
    read_payload,
    write_payload,
)
from mmc4viz.data.scale import COSINE
from mmc4viz.data.shards import Shard
from mmc4viz.data.similarity_file import with_similarity
from mmc4viz.export.tables import LabelComparison, as_text
from mmc4viz.loader.walk import walk
from mmc4viz.thresholds.by_yield import YIELDS, Steps
from mmc4viz.thresholds.compare.agreement import Candidate, Overlap
from mmc4viz.thresholds.compare.disagreement import (
    QUADRANTS,
    correlation_of_entries,
    correlation_of_pairs,
    distribution,
    joint_scores,
    strongest,
    thresholds_of,
)
from mmc4viz.thresholds.compare.equivalent import (
    EquivalentThreshold,
    NoEquivalent,
    Rates,
    agreement_at,
    along,
    equal_yield,
    kept_at,
    match_by_fdr,
    match_by_rate,
    match_by_yield,
    shortest,
)
from mmc4viz.thresholds.compare.roc import (
    FEWEST_EACH,
    Evidence,
    LabelledPairs,
    compare_separation,
    evidence,
    labelled_pairs,
    match_by_precision,
    separation,
)
from mmc4viz.thresholds.fdr.estimate import FdrEstimate
from mmc4viz.thresholds.labels import queue, sampling, store
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.labels.store import LabelsError
from mmc4viz.thresholds.model_scores import Model, ModelsError, check_comparable, entries
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import Outcome, PairStatus
from tests.support import corpora
from tests.support.documents import entry, info, jpeg, write_tar

SAMPLE = Path(mmc4viz.__file__).parents[1] / "sample_data"
LINES = [0.1, 0.2, 0.24, 0.3]


@cache
def sample(settings: tuple[tuple[str, Any], ...] = ()) -> tuple[Candidate, Candidate]:
    """Match the sample with both of its models."""
    config, tokenizer = LoaderConfig(**dict(settings)), load_tokenizer()
    own = [read_columns(shard, tokenizer) for shard in expand([str(SAMPLE)])]
    other = list(with_similarity(own, str(SAMPLE / "similarity_b.parquet")))
    return tuple(  # type: ignore[return-value]
        Candidate(Model(name, match_corpus(columns, config)), config)
        for name, columns in (("sample-a", own), ("sample-b", other))
    )


@cache
def odd(number: int, change: str = "") -> Candidate:
    """Match the odd corpus with one of its settings and changed scores."""
    settings = corpora.SETTINGS[number]
    parts = list(corpora._columns())
    config = LoaderConfig(**settings)
    columns = [_changed(part, change) for part in parts] if change else parts
    return Candidate(Model(change or "own", match_corpus(columns, config)), config)


def _changed(columns: Columns, change: str) -> Columns:
    """Transform all scores, or draw new ones."""
    rng = np.random.default_rng(5)

    def new(matrix: Any) -> Any:
        if change == "steeper":  # monotone and exact in binary, so ties are unchanged
            return np.where(np.abs(matrix) < 1e300, 4 * np.clip(matrix, -1e300, 1e300), matrix)
        return np.round(0.15 + 0.2 * rng.random(matrix.shape), 2)  # with many ties

    rows = columns.batch.to_pylist()
    for row in rows:
        payload = read_payload(row["payload"])
        if row["kind"] == Kind.PLAIN:
            row["similarity"] = new(np.array(row["similarity"], np.float64))
        elif row["kind"] == Kind.LITERAL and payload["similarity"] is not None:
            try:
                matrix = np.array(payload["similarity"])
            except ValueError:  # ragged
                continue
            if matrix.dtype.kind in "iuf":
                fresh = new(matrix).tolist()
                row["payload"] = write_payload(payload | {"similarity": fresh})
    return Columns(columns.shard, build_batch(rows), columns.tokenizer)


def walked(candidate: Candidate, threshold: float) -> dict[str, float]:
    """Sum the reference walk over all documents at a threshold."""
    config = candidate.config.with_(threshold=threshold)
    total = dict.fromkeys(YIELDS, 0.0)
    for part in candidate.model.matched.parts:
        for row in range(len(part.columns)):
            verdict = walk(part.columns.document(row), config, part.columns.tokenizer)
            odds = verdict.keep_probability
            total["documents"] += odds
            total["image_tokens"] += odds * verdict.image_tokens
            total["text_tokens"] += odds * verdict.text_tokens
            total["pairs"] += sum(
                pair.status is not PairStatus.BELOW_THRESHOLD for pair in verdict.pairs
            )
    return total


@pytest.mark.parametrize("threshold", [0.2, 0.3])
def test_equal_yield_is_equal_by_the_walk(threshold: float) -> None:
    first, second = sample()
    wanted = walked(first, threshold)
    for name in YIELDS:
        match = match_by_yield(first, second, name, threshold)
        assert match.wanted == wanted[name]
        left = walked(second, match.second)[name]
        assert left == match.found
        assert match.exact == (left == wanted[name])


def test_equal_yield_misses_no_threshold() -> None:
    """If there is no exact level, the sweep over all scores finds none either."""
    first, second = sample()
    for threshold in thresholds_of(first.model):
        for name in YIELDS:
            match = match_by_yield(first, second, name, threshold)
            everything = np.append(second.steps.kept[name], second.steps.beyond[name])  # type: ignore[index]
            assert match.exact == (match.wanted in everything)
            nearest = np.abs(everything - match.wanted).min()
            assert abs(match.found - match.wanted) == nearest
            assert kept_at(second.steps, name, match.second) == match.found


@given(
    left=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    beyond=st.integers(0, 6),
    wanted=st.integers(-1, 8),
)
def test_levels_against_a_search_of_all(left: list[int], beyond: int, wanted: int) -> None:
    """Also if a yield rises with the threshold."""
    score = np.round(0.1 * np.arange(1, len(left) + 1), 1)
    values = np.array(left, float)
    steps = Steps(score, {"text_tokens": values}, {"text_tokens": beyond}, {"text_tokens": 9}, True)
    found = equal_yield(steps, "text_tokens", wanted)
    tried = [*score.tolist(), math.inf]
    leaves = dict(zip(tried, [*left, beyond], strict=True))
    same = [t for t in tried if leaves[t] == wanted]
    assert (found.exact is not None) == bool(same)
    if found.exact is not None:
        assert found.exact.high == same[-1]
    else:
        below, above = ([v for v in leaves.values() if (v < wanted) == side] for side in (1, 0))
        assert (found.less.kept if found.less else None) == max(below, default=None)
        assert (found.more.kept if found.more else None) == min(above, default=None)
    for level in filter(None, (found.exact, found.less, found.more)):
        assert level.low < level.threshold <= level.high
        inside = [t for t in tried if level.low < t <= level.high]
        assert {leaves[t] for t in inside} == {level.kept}
        assert kept_at(steps, "text_tokens", level.threshold) == level.kept


@given(st.floats(-2, 2), st.floats(1e-9, 1))
@example(-0.99999, 1e-9)
def test_the_shortest_number_lies_between(low: float, width: float) -> None:
    high = low + width
    found = shortest(low, high, 3)
    assert low < found <= high
    digits = len(repr(found).partition(".")[2])
    if "e" not in repr(found) and digits > 1:
        scale = 10 ** (digits - 1)
        near = math.floor(high * scale)
        assert not any(low < n / scale <= high for n in range(near - 1, near + 2))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "threshold"), [(1, 0.2), (3, 0.24), (4, 0.25)])
def test_kept_documents_are_those_of_the_walk(number: int, threshold: float) -> None:
    candidate = odd(number)
    config = candidate.config.with_(threshold=threshold)
    expected = [
        walk(document, config, corpora.TOKENIZER).outcome is Outcome.KEPT
        for document in corpora.documents()
    ]
    assert candidate.keeping.at(threshold).tolist() == expected


@pytest.mark.parametrize("number", range(len(corpora.SETTINGS)))
def test_agreement_against_sets(number: int) -> None:
    first, second = odd(number), odd(number, "other")
    for one, other in zip(LINES, (0.16, 0.2, 0.25, 0.33), strict=True):
        mine, theirs = (
            {
                (d, i): s
                for d, i, s, score in zip(
                    c.model.pairs.document.tolist(),
                    c.model.pairs.image.tolist(),
                    c.model.pairs.sentence.tolist(),
                    c.model.pairs.score.tolist(),
                    strict=True,
                )
                if score >= line
            }
            for c, line in ((first, one), (second, other))
        )
        found = agreement_at(first, second, one, other)
        pairs = set(mine.items()), set(theirs.items())
        both = len(pairs[0] & pairs[1])
        assert found.pairs == Overlap(both, len(pairs[0]) - both, len(pairs[1]) - both)
        images = mine.keys() & theirs.keys()
        assert found.changes.same + found.changes.other_sentence == len(images)
        assert found.changes.only_first == len(mine) - len(images)
        assert found.changes.only_second == len(theirs) - len(images)
        kept = first.keeping.at(one), second.keeping.at(other)
        assert found.documents.both == np.count_nonzero(kept[0] & kept[1])


@pytest.mark.parametrize("number", range(len(corpora.SETTINGS)))
def test_a_model_agrees_with_itself(number: int) -> None:
    candidate = odd(number)
    if candidate.config.assignment == "stored":
        return  # no model is used there
    for line in LINES:
        for name in YIELDS:
            match = match_by_yield(candidate, candidate, name, line)
            assert match.exact
        agreed = match_by_yield(candidate, candidate, "pairs", line).agreement
        assert agreed.pairs.jaccard == agreed.documents.jaccard == 1
        assert agreed.changes.other_sentence == 0
    assert not strongest(candidate.model, candidate.model, 5)
    assert correlation_of_pairs(candidate.model, candidate.model).rho == pytest.approx(1)
    assert correlation_of_entries(candidate.model, candidate.model).rho == pytest.approx(1)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_monotone_transform_changes_nothing(number: int) -> None:
    first, second = odd(number), odd(number, "steeper")
    for match in along(first, second, "pairs", LINES):
        assert match.exact
        assert match.agreement.pairs.jaccard == match.agreement.documents.jaccard == 1
        assert match.found == kept_at(second.steps, "pairs", 4 * match.first)
    assert correlation_of_pairs(first.model, second.model).rho == pytest.approx(1)
    assert correlation_of_entries(first.model, second.model).rho == pytest.approx(1)


def test_entries_are_those_of_the_documents() -> None:
    candidate = odd(0)
    pairs = candidate.model.pairs
    found = entries(candidate.model, pairs.document, pairs.image, pairs.sentence)
    assert np.array_equal(found, pairs.score)
    beyond = entries(candidate.model, pairs.document, pairs.image, pairs.sentence + 1000)
    assert np.isnan(beyond).all()


def test_joint_scores_are_those_of_each_image() -> None:
    """Quadrants, against the two models' own lists of pairs."""
    first, second = (one.model for one in sample())
    joint = joint_scores(first, second)
    mine, theirs = (
        {(d, i): (s, score) for d, i, s, score in zip(
            p.document.tolist(), p.image.tolist(), p.sentence.tolist(), p.score.tolist(),
            strict=True)}
        for p in (first.pairs, second.pairs)
    )  # fmt: skip
    places = list(zip(joint.document.tolist(), joint.image.tolist(), strict=True))
    assert set(places) == mine.keys() & theirs.keys()
    assert (joint.only_first, joint.only_second) == (
        len(mine.keys() - theirs.keys()), len(theirs.keys() - mine.keys())
    )  # fmt: skip
    thresholds = (0.24, 0.5)
    quadrants = joint.quadrants(thresholds).tolist()
    for number, place in enumerate(places):
        assert (mine[place], theirs[place]) == tuple(
            zip(joint.sentence[:, number].tolist(), joint.score[:, number].tolist(), strict=True)
        )
        kept = mine[place][1] >= thresholds[0], theirs[place][1] >= thresholds[1]
        wanted = {(True, True): "both", (True, False): "first", (False, True): "second"}
        assert QUADRANTS[quadrants[number]] == wanted.get(kept, "neither")


def test_strongest_disagreements_by_hand() -> None:
    first, second = sample()
    found = strongest(first.model, second.model, 5)
    gaps = [one.percentile - one.other_percentile for one in found]
    assert gaps == sorted(gaps, reverse=True)
    pairs, scores = first.model.pairs, second.model.pairs.score
    here = np.array([np.mean((pairs.score < s) + 0.5 * (pairs.score == s)) for s in pairs.score])
    theirs = entries(second.model, pairs.document, pairs.image, pairs.sentence)
    there = np.array([np.mean((scores < s) + 0.5 * (scores == s)) for s in theirs])
    assert gaps[0] == pytest.approx((here - there).max())
    best = found[0]
    document = first.model.matched.parts[best.document // 120].columns.document(best.document % 120)
    assert best.score == document.similarity[best.image][best.sentence]


def test_a_sample_of_entries_says_how_sure_it_is() -> None:
    first, second = sample()
    whole = correlation_of_entries(first.model, second.model)
    assert whole.low is None
    assert whole.rho is not None
    inside = 0
    for seed in range(20):
        part = correlation_of_entries(first.model, second.model, most=3000, seed=seed)
        assert part.n <= 3000
        assert part.low is not None
        assert part.high is not None
        inside += part.low <= whole.rho <= part.high
    assert inside >= 17  # 19 of 20 expected


def test_distribution_counts_every_pair_once() -> None:
    for candidate in sample():
        found = distribution(candidate.model, 20)
        assert found.counts.sum() == found.pairs == len(candidate.model.pairs)
        assert len(found.counts) <= 20
        assert list(found.quantiles) == sorted(found.quantiles)


def test_rates_match_as_q_values_do() -> None:
    first, second = sample()
    grid, more = np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.5, 0.6])
    nan = np.full(3, np.nan)
    one = Rates("fdr", grid, np.array([0.5, 0.3, 0.1]), nan, nan, "made up")
    other = Rates("fdr", more, np.array([0.6, 0.25, 0.3]), nan, nan, "made up")
    match = match_by_rate(first, second, (one, other), 0.24)
    assert isinstance(match, EquivalentThreshold)
    assert (match.wanted, match.second, match.found, match.exact) == (0.3, 0.5, 0.25, False)
    for threshold, words in (
        (0.05, "no estimate for sample-a"),
        (0.31, "no threshold of sample-b"),
    ):
        none = match_by_rate(first, second, (one, other), threshold)
        assert isinstance(none, NoEquivalent)
        assert words in none.reason


def test_false_discovery_rates_match_where_both_can_be_told() -> None:
    first, second = sample()
    grid, rate = np.array([0.2, 0.24, 0.3]), np.array([0.3, 0.1, 0.02])
    pairs = np.array([500, 300, 10])
    known = FdrEstimate(Basis.FDR, grid, pairs, rate, rate, rate, None, 9.0, 227, "")
    other = replace(known, threshold=2 * grid)
    match = match_by_fdr(first, second, (known, other), 0.25)
    assert isinstance(match, EquivalentThreshold)
    assert (match.wanted, match.second, match.exact) == (0.1, 0.48, False)
    few = match_by_fdr(first, second, (known, other), 0.3)  # ten pairs are too few
    unsure = match_by_fdr(first, second, (known, replace(other, reason="dim")), 0.25)
    for none, words in ((few, "no estimate for sample-a at 0.3"), (unsure, "sample-b: dim")):
        assert isinstance(none, NoEquivalent)
        assert words in none.reason


def test_bad_input_is_said_in_a_line() -> None:
    first, second = (candidate.model for candidate in sample())
    check_comparable([first, second])
    parts = first.matched.parts
    config = LoaderConfig()
    stored = [Model(name, match_corpus([], LoaderConfig(assignment="stored"))) for name in "ab"]
    fewer = [parts[0].columns.take(np.arange(119)), parts[1].columns]
    turned = [parts[0].columns.take(np.arange(120)[::-1]), parts[1].columns]
    for models, words in (
        ([first], "at least two models, got only sample-a"),
        (stored, "for every model"),
        ([first, first], "two models are named sample-a"),
        ([first, Model("b", match_corpus(fewer, config))], "has 119 and 120 documents"),
        ([first, Model("b", match_corpus(turned, config))], "instead of"),
        ([first, Model("b", match_corpus(fewer[1:], config))], "sample-0001.tar instead of"),
        ([first, Model("b", match_corpus([parts[0].columns], config))], "1 and 2 shards"),
    ):
        with pytest.raises(ModelsError) as caught:
            check_comparable(models)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def labels(n: int, separate: float, seed: int = 0) -> tuple[list[Candidate], LabelledPairs]:
    """Label pairs of the sample so that its first model separates them, by a given amount."""
    candidates, rng = list(sample()), np.random.default_rng(seed)
    pairs = candidates[0].model.pairs
    chosen = rng.choice(len(pairs), n, replace=False)
    place = candidates[0].model.percentile(pairs.score[chosen])
    correct = place + rng.normal(0, 1 / separate, n) > 0.5
    weight = np.where(place > 0.5, 1.0, 3.0)
    index = [getattr(pairs, name)[chosen].astype(np.int64) for name in _INDEX]
    return candidates, LabelledPairs(*index, correct, weight)


_INDEX = ("document", "image", "sentence")


def test_areas_against_their_definition() -> None:
    candidates, labelled = labels(150, 2)
    models = [candidate.model for candidate in candidates]
    found = separation(models, labelled, rounds=50)
    for model, one in zip(models, found.models, strict=True):
        score = entries(model, labelled.document, labelled.image, labelled.sentence)
        right, wrong = np.flatnonzero(labelled.correct), np.flatnonzero(~labelled.correct)
        above = (score[right][:, None] > score[wrong]) + 0.5 * (
            score[right][:, None] == score[wrong]
        )
        both = labelled.weight[right][:, None] * labelled.weight[wrong]
        assert one.auc.value == pytest.approx((above * both).sum() / both.sum())
        average = 0.0
        for i in right:
            over = score >= score[i]
            precision = labelled.weight[over & labelled.correct].sum() / labelled.weight[over].sum()
            average += precision * labelled.weight[i]
        average /= labelled.weight[right].sum()
        assert one.average_precision.value == pytest.approx(average)
        assert one.auc.low < one.auc.value < one.auc.high
        assert (np.diff(one.roc.value) >= 0).all()
        assert one.roc.value[-1] == 1
        assert one.precision.value[-1] == pytest.approx(
            labelled.weight[(score >= score[right].min()) & labelled.correct].sum()
            / labelled.weight[score >= score[right].min()].sum()
        )


def test_the_paired_test_tells_models_apart_and_a_model_not_from_itself() -> None:
    candidates, labelled = labels(200, 6)
    models = [candidate.model for candidate in candidates]
    (apart,) = separation(models, labelled, rounds=300).against_first
    assert apart.auc.high < 0
    assert apart.p_auc < 0.02
    (same,) = separation([models[0], models[0]], labelled, rounds=100).against_first
    assert (same.auc.value, same.auc.low, same.auc.high, same.p_auc) == (0, 0, 0, 1)


def repeated(path: Path, url: str) -> tuple[list[Model], LabelledPairs]:
    """Write a corpus that has each of 40 documents five times, and label all of their pairs."""
    rng = np.random.default_rng(0)
    number, score = np.repeat(np.arange(40), 5), np.repeat(rng.random(40), 5)
    images = [entry(jpeg(), raw_url="")]
    documents = [
        (str(at), info([[score[at]]], images=images, url=url.format(n=n, at=at)))
        for at, n in enumerate(number.tolist())
    ]
    shard = Shard(str(write_tar(path, documents)))
    columns = read_columns(shard, load_tokenizer())
    layout = core_schema(columns.batch.schema.field("similarity").type.value_type)
    columns = replace(columns, batch=columns.batch.cast(layout))  # no digests: all bytes are equal
    matched = match_corpus([columns], LoaderConfig(min_kb=-1))
    correct = np.repeat(rng.random(40), 5) < score
    zeros = np.zeros(200, np.int64)
    labelled = LabelledPairs(np.arange(200), zeros, zeros, correct, np.ones(200))
    return [Model("a", matched), Model("b", matched)], labelled


def test_labels_of_duplicates_are_drawn_together(tmp_path: Path) -> None:
    together = separation(*repeated(tmp_path / "a.tar", "http://x/{n}"), rounds=400)
    apart = separation(*repeated(tmp_path / "b.tar", "http://x/{at}"), rounds=400)
    one, other = (found.models[0].auc for found in (together, apart))
    assert one.value == other.value
    wider = (one.high - one.low) / (other.high - other.low)
    assert 1.7 < wider < 2.7  # √5 = 2.2
    assert together.documents == apart.documents == 200


def test_labels_that_say_nothing_are_refused() -> None:
    candidates, labelled = labels(20, 2)
    models = [candidate.model for candidate in candidates]
    none = labelled.take(np.zeros(20, bool))
    right = labelled.take(labelled.correct)
    wrong = labelled.take(~labelled.correct)
    for few, words in ((none, "no label"), (right, "are correct"), (wrong, "are incorrect")):
        with pytest.raises(ModelsError, match=words):
            separation(models, few, rounds=10)
    more = [np.append(getattr(labelled, name), 9_999) for name in _INDEX]
    gone = LabelledPairs(*more, np.append(labelled.correct, True), np.append(labelled.weight, 1.0))
    found = separation(models, gone, rounds=10)
    assert (found.labels, found.unusable) == (20, 1)


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["compare", *arguments])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


@pytest.mark.slow
def test_the_command_compares_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    named = ("--clip-model", "sample-a", "--models", "sample-a", "sample-b")
    code, out, _ = compared(capsys, str(SAMPLE), *named, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert [one["model"] for one in found["models"]] == ["sample-a", "sample-b"]
    first, second = sample()
    for row in found["matches"][: len(YIELDS)]:
        match = match_by_yield(first, second, row["equal"], 0.24)
        assert (row["second_threshold"], row["exact"]) == (match.second, match.exact)
        assert row["pairs_both"] == match.agreement.pairs.both
    code, out, _ = compared(capsys, str(SAMPLE), "--thresholds", "0.3,0.2", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["first_threshold"] for row in rows if row["equal"] == "pairs"] == ["0.2", "0.3"]
    code, out, _ = compared(capsys, str(SAMPLE))
    assert "0.49844" in out


@pytest.mark.slow
def test_the_command_compares_the_sets_of_an_index(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    beside = f"other={SAMPLE / 'similarity_b.parquet'}"
    made = ["index", str(SAMPLE), "--out", str(tmp_path), "--workers", "1", "--similarity", beside]
    with pytest.raises(SystemExit):
        main(made)
    capsys.readouterr()
    of_index = compared(capsys, "--index", str(tmp_path), "--format", "csv")
    of_shards = compared(capsys, str(SAMPLE), "--similarity", beside, "--format", "csv")
    assert of_index == of_shards
    named = [("sample-b", "sample-a"), ("other", "own")]
    ways = [compared(capsys, "--index", str(tmp_path), "--models", *names) for names in named]
    assert ways[0] == ways[1]
    assert ways[0][0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models", "own"], "at least two models, got only sample-a"),
        (
            ["--models", "own", "vit"],
            "no score set is named 'vit'; available: sample-a, sample-b",
        ),
        (["--models"], "--models needs"),
        (["--similarity", "b"], "expects NAME=FILE"),
        (["--similarity", "b=/nowhere.parquet"], "/nowhere.parquet"),
        (["--thresholds", "0.2,x"], "--thresholds expects numbers"),
        (["--assignment", "stored"], "for every model"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = compared(capsys, str(SAMPLE), *arguments)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not out


def test_the_command_warns_of_a_threshold_off_the_scale(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, err = compared(capsys, str(SAMPLE), "--threshold", "30")
    assert "30 keeps none of sample-a's 603 pairs (scores: 0.1477 to 0.411)" in err


def label_file(path: Path, n: int, *models: int) -> str:
    """Label pairs correctly in queue order, for some of the sample's models."""
    name = str(path / "labels.sqlite")
    truth = {
        (row["shard"], row["key"], row["image"]): row["sentences"]
        for row in pq.read_table(SAMPLE / "truth.parquet").to_pylist()
    }
    store.create(name)
    for which in models:
        one = sample()[which]
        config = one.config.with_(clip_model=one.name)
        population = Population([p.columns for p in one.model.matched.parts], one.model.pairs)
        design = sampling.begin(name, config, population, COSINE)
        while True:
            queue.extend(name, design, population, "Ada")
            said = store.labels_of(store.read(name))
            drawn = queue.drawn(name, design)
            new = [pair.pair for pair in drawn if pair.pair not in said]
            if len(drawn) >= n or not new:
                break
            with store.writing(name) as connection:
                answers = (
                    "yes" if p.sentence in truth[p.shard, p.key, p.image] else "no" for p in new
                )
                judged = [
                    store.Judgement(p, "Ada", store.Answer(a), "", "", one.name, None)
                    for p, a in zip(new, answers, strict=True)
                ]
                store.insert(connection, judged)
    return name


@pytest.mark.slow
def test_labels_of_both_models_say_which_is_better(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = label_file(tmp_path, 150, 0, 1)
    first, second = sample()
    found = evidence(path, [first, second])
    weights = labelled_pairs([first.model, second.model], found)
    whole = len({*_triples(first), *_triples(second)})
    assert weights.weight.sum() == pytest.approx(whole, rel=0.25)  # weights represent the union
    named = ("--clip-model", "sample-a", "--labels", path, "--threshold", "0.2")
    code, out, _ = compared(capsys, str(SAMPLE), *named, "--format", "json")
    assert code == 0
    said = json.loads(out)["labels"]
    aucs = {one["model"]: one["auc"] for one in said["models"]}
    assert aucs["sample-a"]["value"] > aucs["sample-b"]["value"]
    (row,) = (m for m in json.loads(out)["matches"] if m["equal"] == "precision")
    assert row["first_low"] < row["first_value"] < row["first_high"]
    assert row["second_value"] >= row["first_value"]
    assert "labels of sample-a pairs" in row["rests_on"]
    few = separation([first.model, second.model], weights, rounds=50)
    text = as_text([distribution(first.model)], [], LabelComparison("both", few))
    assert "sample-b − sample-a" in text


@pytest.mark.slow
def test_labels_of_one_model_do_not_say_which_is_better(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Labels of one model's pairs favor the other, so there is no comparison."""
    candidates = sample()
    models = [one.model for one in candidates]
    alone = label_file(tmp_path, 100, 0)
    code, out, _ = compared(capsys, str(SAMPLE), "--labels", alone)
    assert code == 0
    assert "pairs  " in out  # the rest is printed
    assert "no labels for sample-b, and labels of one model's pairs favor" in out
    assert "area under" not in out
    code, out, _ = compared(capsys, str(SAMPLE), "--labels", alone, "--format", "json")
    assert json.loads(out)["labels"].keys() == {"drawn_among", "reason"}
    both = evidence(alone, candidates)
    enough = evidence(label_file(_new(tmp_path), 100, 0, 1), candidates)
    assert len(compare_separation(models, enough, rounds=20).models) == 2
    few = enough.of["sample-b"]
    thin = few.sample.score > np.quantile(few.sample.score, 0.5)
    for chosen, words in (
        (
            np.arange(len(few.sample)) < FEWEST_EACH - 1,
            f"too few labels for sample-b .{FEWEST_EACH - 1} of 50 needed",
        ),
        (np.repeat(np.flatnonzero(thin), 2), "score ranges have no labels for sample-b"),
    ):
        part = replace(
            few.sample, score=few.sample.score[chosen], correct=few.sample.correct[chosen]
        )
        of = {**both.of, "sample-b": replace(few, sample=part, ranks=few.ranks[chosen])}
        with pytest.raises(ModelsError, match=words):
            compare_separation(models, Evidence(of, {}))


def _new(folder: Path) -> Path:
    (folder / "both").mkdir()
    return folder / "both"


def _triples(one: Candidate) -> list[tuple[int, ...]]:
    pairs = one.model.pairs
    return list(zip(*(getattr(pairs, name).tolist() for name in _INDEX), strict=True))


def test_no_precision_of_a_model_without_labels(tmp_path: Path) -> None:
    candidates = sample()
    found = evidence(label_file(tmp_path, 60, 0), candidates)
    match = match_by_precision(*candidates, found, 0.24)
    assert isinstance(match, NoEquivalent)
    assert "no labels for sample-b" in match.reason
    with pytest.raises(LabelsError, match="no such label file"):
        evidence(str(tmp_path / "none.sqlite"), candidates)
