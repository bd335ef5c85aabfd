"""All targets at once: as found by trying every threshold, with what binds and what contradicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmc4viz
from mmc4viz import ConfigError
from mmc4viz.cli import main
from mmc4viz.data.scale import COSINE
from mmc4viz.sweep.shape import by_images
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.budget import TrainingBudget, exact_passes
from mmc4viz.thresholds.by_yield import YIELDS, Steps, Target, by_yield, steps_of_curves
from mmc4viz.thresholds.combined import (
    Combined,
    Condition,
    combine,
    of_fdr,
    of_passes,
    of_precision,
    of_single_image,
    of_yields,
)
from mmc4viz.thresholds.fdr.estimate import by_fdr, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.thresholds.labels.intervals import is_at_least
from mmc4viz.thresholds.labels.precision import LabelledSample, curve, propose
from tests.support.corpora import SETTINGS, odd
from tests.thresholds.test_compare import label_file

SAMPLE = Path(__file__).parents[2] / "sample_data"
CASES = (0, 1, 3)
GRID = COSINE.thresholds()[::8]


def swept(case: int) -> tuple[Curves, float]:
    corpus = odd(SETTINGS[case]).corpus
    return sweep(corpus.matched, corpus.config, GRID), corpus.config.single_image_keep


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_threshold_is_the_highest_of_all_that_meet_every_target(case: int) -> None:
    curves, keep = swept(case)
    rows, steps = curves.rows(keep), steps_of_curves(curves, keep)
    single = by_images(curves, keep)[1]
    rng = np.random.default_rng(case)
    outcomes = {"found": 0, "none": 0, "contradiction": 0, "gap": 0}
    for _ in range(120):
        kept = {name: rng.uniform(0.02, 0.9) for name in YIELDS if rng.random() < 0.4}
        most, share = float(rng.uniform(1, 6)), float(rng.uniform(0.05, 0.98))
        budget = float(rng.integers(50, 2000))
        targets = [Target.parse(f"{name}={100 * part:.4f}%") for name, part in kept.items()]
        passes = exact_passes(curves, keep, TrainingBudget.parse(f"{budget:g}"))
        conditions = [
            *of_yields(steps, targets),
            of_passes(passes, most),
            of_single_image(curves, keep, share),
        ]
        found = combine(steps, conditions)

        met = []  # by trying every threshold
        for step, row in enumerate(rows):
            fine = [
                row[one.quantity] >= float(one.amount) * steps.whole[one.quantity] - 1e-9
                for one in targets
            ]
            documents = row["documents"]
            fine.append(documents > 0 and budget / documents <= most)
            fine.append(documents > 0 and single[step] / documents <= share)
            met.append(fine)
        usable = [step for step, row in enumerate(rows) if row["pairs"] > 0]
        whole = [step for step in usable if all(met[step])]
        names = [one.name for one in conditions]
        if whole:
            at = whole[-1]
            low = at
            while low > 0 and all(met[low - 1]):
                low -= 1
            assert found.threshold == found.highest == GRID[at]
            assert found.lowest == GRID[low]
            above = names_missed(names, met, at + 1) if at + 1 in usable else ()
            assert found.binds_above == above
            assert found.binds_below == (names_missed(names, met, low - 1) if low else ())
            assert found.kept == steps.at(at)
            assert all(one.met for one in found.targets)
            outcomes["found"] += 1
            outcomes["gap"] += len(whole) > at - low + 1
        else:
            assert found.threshold is None and found.reason
            alone = [any(met[step][n] for step in usable) for n in range(len(names))]
            assert found.out_of_reach == tuple(
                name for name, some in zip(names, alone, strict=True) if not some
            )
            against = {
                (names[a], names[b])
                for a in range(len(names))
                for b in range(a + 1, len(names))
                if alone[a] and alone[b] and not any(met[s][a] and met[s][b] for s in usable)
            }
            assert set(found.contradictions) == against
            outcomes["none"] += 1
            outcomes["contradiction"] += bool(against)
            worst = [max(one.missed_by()[step] for one in conditions) for step in usable]
            best = max(step for step, factor in zip(usable, worst, strict=True)
                       if factor == min(worst))  # fmt: skip
            assert found.nearest == GRID[best]
    assert outcomes["found"] > 5 and outcomes["none"] > 5, outcomes


def names_missed(names: list[str], met: list[list[bool]], step: int) -> tuple[str, ...]:
    return tuple(name for name, fine in zip(names, met[step], strict=True) if not fine)


def plain_steps(*pairs: float) -> Steps:
    """Return steps at 0.1, 0.2, … that keep so many pairs, and as many documents and tokens."""
    at = np.round(0.1 * np.arange(1, len(pairs) + 1), 1)
    values = np.array(pairs, np.float64)
    kept = dict.fromkeys(YIELDS, values)
    return Steps(at, kept, None, dict.fromkeys(YIELDS, float(values.max())), every=False)


def condition(name: str, *reached: float, wanted: float, at_most: bool = False) -> Condition:
    values = np.array(reached)
    met = values <= wanted if at_most else values >= wanted
    return Condition("yield", name, wanted, at_most, values, met, ("Assumed.",))


def test_what_binds_is_named_in_both_directions() -> None:
    steps = plain_steps(50, 40, 30, 20, 10)
    found = combine(
        steps,
        [
            condition("a", 9, 8, 7, 6, 5, wanted=6),
            condition("b", 1, 2, 3, 4, 5, wanted=2),
            condition("c", 0, 0, 0, 0, 0, wanted=1, at_most=True),
        ],
    )
    assert (found.threshold, found.lowest, found.highest) == (0.4, 0.2, 0.4)
    assert (found.binds_above, found.binds_below) == (("a",), ("b",))
    assert found.in_words() == (
        "Highest threshold that meets all targets. Above it, a is missed. Below 0.2, b is missed."
    )
    assert [(one.target, one.words, one.met) for one in found.targets] == [
        ("a", "6", True), ("b", "4", True), ("c", "0", True),
    ]  # fmt: skip
    assert (found.assumption, found.assumptions) == ("Assumed.", ("Assumed.",))


def test_a_gap_ends_the_range() -> None:
    """Yields need not be monotone: the range around the threshold ends where a target is missed."""
    found = combine(plain_steps(5, 5, 5, 5), [condition("a", 9, 1, 9, 1, wanted=5)])
    assert (found.threshold, found.lowest, found.binds_below) == (0.3, 0.3, ("a",))


def test_two_that_contradict_each_other_are_named_and_the_nearest_is_said() -> None:
    found = combine(
        plain_steps(50, 40, 30, 20),
        [
            condition("a", 8, 4, 2, 1, wanted=4),
            condition("b", 8, 6, 4, 2, wanted=4, at_most=True),
            condition("c", 1, 1, 1, 1, wanted=1),
        ],
    )
    assert found.threshold is None
    assert found.contradictions == (("a", "b"),) and found.out_of_reach == ()
    assert found.nearest == 0.2  # b by the factor 1.5; at 0.3, a by 2
    assert found.reason == "a contradicts b; nearest is 0.2, with 6 instead of b"


def test_three_may_contradict_although_no_two_do() -> None:
    found = combine(
        plain_steps(3, 2, 1),
        [
            condition("a", 1, 1, 0.5, wanted=1),
            condition("b", 1, 0.9, 1, wanted=1),
            condition("c", 0.8, 1, 1, wanted=1),
        ],
    )
    assert (found.contradictions, found.out_of_reach, found.nearest) == ((), (), 0.2)
    assert str(found.reason).startswith("any two of the targets can be met, but not all at once")


def test_a_target_out_of_reach_is_named() -> None:
    found = combine(
        plain_steps(3, 2),
        [
            condition("a", 3, 2, wanted=1),
            condition("b", 0.2, 0.4, wanted=1),
            condition("c", np.nan, np.nan, wanted=1),
        ],
    )
    assert found.out_of_reach == ("b", "c") and found.nearest is None
    assert found.reason == "b is met by none; c is met by none"


def test_thresholds_that_keep_no_pair_are_left_out() -> None:
    found = combine(plain_steps(3, 2, 0), [condition("a", 1, 1, 1, wanted=1)])
    assert (found.threshold, found.binds_above) == (0.2, ())
    nothing = combine(plain_steps(0, 0), [condition("a", 1, 1, wanted=1)])
    assert nothing.threshold is None and nothing.nearest is None


def labelled(n: int, seed: int, truth: float = 0.25) -> LabelledSample:
    """Return n labels of pairs that are more often correct the higher they score."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(truth, 0.04, 3000))
    score = np.sort(rng.choice(scores, n, replace=False))
    correct = rng.random(n) < 1 / (1 + np.exp(-(score - truth) / 0.01))
    return LabelledSample(scores, np.array([0.2, 0.24, 0.27]), score, correct)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_precision_constrains_as_its_proposal_does(seed: int) -> None:
    """At the strata's borders alone, both say the same; a step is met if all tested above pass."""
    sample, wanted = labelled(300, seed), 0.8
    proposal = propose(sample, wanted)
    met = of_precision(sample, sample.edges, wanted)
    lowest = sample.edges[met.met].min() if met.met.any() else None
    assert lowest == proposal.threshold
    grid = COSINE.thresholds()[1100:1400]
    found = of_precision(sample, grid, wanted)
    pairs, labels, right = sample.above(grid)
    able = is_at_least(pairs, labels, labels, wanted)
    passes = is_at_least(pairs, labels, right, wanted)
    tested = np.flatnonzero(able & (pairs.sum(axis=1) > 0))[-1]
    expected = np.zeros(len(grid), bool)
    for step in range(tested, -1, -1):
        if not passes[step]:
            break
        expected[step] = True
    assert found.met.tolist() == expected.tolist()
    assert (found.reached[found.met] >= wanted).all()
    bound = curve(sample, grid, level=0.9).precision.low
    assert (found.reached[: tested + 1] <= np.maximum(bound[: tested + 1], wanted) + 1e-9).all()
    assert np.isnan(found.reached[tested + 1 :]).all()


def test_fdr_constrains_as_its_proposal_does() -> None:
    matched = mmc4viz.open(SAMPLE).matched(mmc4viz.LoaderConfig())
    estimate, grid = estimate_fdr(stack_of(matched)), matched.scale.thresholds()
    for wanted in (0.1, 0.2, 0.3):
        found = of_fdr(estimate, grid, wanted)
        assert grid[found.met].min() == by_fdr(estimate, wanted).threshold
        assert not found.met[grid < estimate.threshold[0]].any()


@pytest.mark.slow
def test_rates_alone_choose_the_lowest_as_each_of_them_does() -> None:
    found = mmc4viz.open(SAMPLE).suggest(fdr=0.2)
    assert [one.basis for one in found] == ["fdr"]
    matched = mmc4viz.open(SAMPLE).matched(mmc4viz.LoaderConfig())
    curves = sweep(matched, mmc4viz.LoaderConfig(), matched.scale.thresholds())
    estimate = estimate_fdr(stack_of(matched))
    condition = of_fdr(estimate, curves.thresholds, 0.2)
    alone = combine(steps_of_curves(curves, 0.5), [condition, condition])
    assert alone.threshold == found[0].threshold == alone.lowest
    assert alone.in_words().startswith("Lowest threshold that meets all targets.")


def test_yields_alone_are_the_proposal_by_yield() -> None:
    curves, keep = swept(0)
    steps = steps_of_curves(curves, keep)
    for share in ("5%", "30%", "60%"):
        targets = [Target.parse(f"{name}={share}") for name in ("documents", "pairs")]
        assert combine(steps, of_yields(steps, targets)).threshold == (
            by_yield(steps, targets).threshold
        )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda c, k: of_single_image(c, k, 1.4), "between 0 and 1"),
        (lambda c, k: of_single_image(c, k, float("nan")), "between 0 and 1"),
        (lambda c, k: of_passes(exact_passes(c, k, TrainingBudget.parse("1")), -1), "positive"),
    ],
)
def test_a_target_that_says_nothing_is_one_line(make: Any, said: str) -> None:
    curves, keep = swept(0)
    with pytest.raises(ConfigError, match=said):
        make(curves, keep)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


WISHES = (
    "--keep", "documents=30%", "--passes", "4", "--budget", "60M", "--corpus-size", "101.2M",
    "--single-image", "40%", "--fdr", "20%",
)  # fmt: skip


@pytest.mark.slow
def test_the_command_adds_one_row_for_all_targets(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "suggest", SAMPLE, *WISHES, "--format", "json")
    *single, found = json.loads(out)
    assert code == 0
    assert [one["basis"] for one in single] == ["yield", "fdr"]
    assert found["basis"] == "combined"
    assert found["binds_above"] == ["single-image sequences ≤ 40%"]
    assert found["binds_below"] == ["FDR ≤ 20%"]
    assert single[1]["threshold"] == found["lowest"] < found["threshold"] < single[0]["threshold"]
    assert [one["kind"] for one in found["targets"]] == ["yield", "passes", "single_image", "fdr"]
    assert all(one["met"] for one in found["targets"])
    for words in ("random sample of the corpus", "share a topic", "held to the estimate"):
        assert words in found["assumption"]
    code, text, _ = run(capsys, "suggest", SAMPLE, *WISHES)
    assert "all at once: Highest threshold that meets all targets. Above it, single-image" in text
    assert code == 0


@pytest.mark.slow
def test_the_notebook_suggests_as_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    labels = label_file(tmp_path, 200, 0)
    asked = (*WISHES, "--precision", "0.5", "--labels", labels)
    _, out, _ = run(capsys, "suggest", SAMPLE, *asked, "--format", "json")
    found = mmc4viz.open(SAMPLE).suggest(
        keep={"documents": "30%"}, passes=4, budget="60M", corpus_size="101.2M", single_image=0.4,
        fdr=0.2, precision=0.5, labels=labels,
    )  # fmt: skip
    assert [one.as_dict() for one in found] == json.loads(out)
    assert isinstance(found[-1], Combined) and len(found[-1].targets) == 5


def test_one_kind_of_target_has_no_row_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--fdr", "0.15", "--fdr", "0.3", "--format", "json")
    _, out, _ = run(capsys, "suggest", SAMPLE, *asked)
    assert [one["basis"] for one in json.loads(out)] == ["fdr", "fdr"]


@pytest.mark.slow
def test_what_meets_all_targets_is_what_is_exported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, config = tmp_path / "p.json", tmp_path / "c.yaml"
    run(capsys, "suggest", SAMPLE, *WISHES, "--out", str(file))
    code, out, err = run(capsys, "export", SAMPLE, "--proposal", str(file), "--out", str(config))
    assert code == 0, err
    read = mmc4viz.open(SAMPLE).suggest(
        keep={"documents": "30%"}, passes=4, budget="60M", corpus_size="101.2M", single_image=0.4,
        fdr=0.2,
    )[-1]  # fmt: skip
    assert f"threshold: {read.threshold}" in config.read_text()
    assert "by several targets at once" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--passes", "4"], "--passes NUMBER and --budget AMOUNT must be given together"),
        (["--budget", "60M", "--keep", "pairs=1"], "must be given together"),
        (["--passes", "nan", "--budget", "60M"], "expects a positive number, such as 4, not nan"),
        (["--passes", "0", "--budget", "60M"], "expects a positive number"),
        (["--passes", "1e999", "--budget", "60M"], "expects a positive number"),
        (["--passes", "4", "--budget", "nothing"], "expected a number such as 60M"),
        (["--passes", "4", "--budget", "60M", "--corpus-size", "2"], "below the 240 documents"),
        (["--single-image", "140%"], "expects a share between 0 and 1"),
        (["--single-image", "0.4", "--corpus-size", "1M"], "requires --budget"),
    ],
)
def test_the_command_refuses_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = run(capsys, "suggest", SAMPLE, *arguments)
    assert (code, out) == (2, "")
    assert words in err and err.count("\n") == 1
