"""The training budget: passes are the budget over what `explain` keeps, and CIs cover the truth."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmc4viz
from benchmarks import synthetic
from mmc4viz import ConfigError, LoaderConfig, match_corpus, walk
from mmc4viz.charts import tradeoff
from mmc4viz.export.figure_svg import sheet
from mmc4viz.sweep.estimate import rate, sweep_clusters
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.budget import (
    UNITS,
    TrainingBudget,
    as_sample,
    exact_passes,
    parse_corpus_size,
    passes_of,
)
from tests.cli.test_cli import Run
from tests.support.corpora import SETTINGS, odd

SAMPLE = Path(__file__).parents[2] / "sample_data"
DOCUMENTS = 240


@pytest.mark.parametrize("case", range(len(SETTINGS)))
@pytest.mark.parametrize("unit", UNITS)
def test_passes_are_the_budget_over_what_explain_keeps(case: int, unit: str) -> None:
    found = odd(SETTINGS[case])
    config = found.corpus.config
    kept = 0.0
    for document in found.documents:
        verdict = walk(document, config, mmc4viz.load_tokenizer())
        each = {"sequences": 1, "text tokens": verdict.text_tokens, "images": verdict.image_tokens}
        kept += verdict.keep_probability * each[unit]
    curves = sweep(found.corpus.matched, config, np.array([config.threshold]))
    budget = TrainingBudget.parse(f"12,345 {unit}")
    passes = exact_passes(curves, config.single_image_keep, budget)
    assert kept > 0
    assert passes.estimate[0] == pytest.approx(12_345 / kept, rel=1e-12)
    assert passes.low[0] == passes.high[0] == passes.estimate[0]


def test_a_larger_corpus_repeats_less_in_proportion() -> None:
    corpus = mmc4viz.open(SAMPLE)
    alone = corpus.curves(thresholds=[0.2, 0.24], budget="60M")
    part = corpus.curves(thresholds=[0.2, 0.24], budget="60M", corpus_size=DOCUMENTS * 1000)
    for one, other in zip(alone.rows, part.rows, strict=True):
        assert one["passes"] == 60e6 / one["documents"]
        assert other["passes"] == pytest.approx(one["passes"] / 1000, rel=1e-12)
        assert other["passes_low"] < other["passes"] < other["passes_high"]
        assert "passes_low" not in one
    whole = corpus.curves(thresholds=[0.2, 0.24], budget="60M", corpus_size=str(DOCUMENTS))
    assert whole.rows == alone.rows


@pytest.mark.slow
def test_the_interval_covers_the_truth_of_the_whole_corpus() -> None:
    """Of 100 samples of 400 of 6,000 documents, about 95% of the intervals contain the truth."""
    [*parts] = synthetic.corpus(6_000)
    config, at = LoaderConfig(), np.array([0.24])
    truth = sweep(match_corpus(parts, config), config, at)
    rng, budget = np.random.default_rng(5), TrainingBudget.parse("60M tokens")
    wanted = exact_passes(truth, config.single_image_keep, budget).estimate[0]
    sizes = [len(part) for part in parts]
    covered = 0
    for seed in range(100):
        chosen = np.sort(rng.choice(sum(sizes), 400, replace=False))
        ends = np.searchsorted(chosen, np.cumsum([0, *sizes]))
        mine = [
            part.take(chosen[a:b] - start)
            for part, a, b, start in zip(
                parts, ends[:-1], ends[1:], np.cumsum([0, *sizes[:-1]]), strict=True
            )
        ]
        drawn = as_sample(mine, sum(sizes), seed)
        swept = sweep_clusters(drawn, config, at)
        kept = rate(drawn, swept, budget.quantity, config.single_image_keep)
        found = passes_of(budget, at, kept, sum(sizes), 400)
        covered += bool(found.low[0] <= wanted <= found.high[0])
    assert 89 <= covered <= 99


def test_nothing_kept_is_never() -> None:
    curves = Curves.none(np.array([0.5]))
    found = exact_passes(curves, 0.5, TrainingBudget.parse("60M"))
    assert found.columns() == {"passes": [None]}
    assert found.in_words(0.5) == "At 0.5 nothing is kept: 60M sequences are never reached."


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("60M", 60e6, "sequences"),
        ("60 m Sequences", 60e6, "sequences"),
        ("2.4B tokens", 2.4e9, "text tokens"),
        ("2.4b text_tokens", 2.4e9, "text tokens"),
        ("300k images", 300e3, "images"),
        ("1,000,000 documents", 1e6, "sequences"),
        ("6e7", 6e7, "sequences"),
    ],
)
def test_a_budget_is_read_as_people_write_it(text: str, amount: float, unit: str) -> None:
    found = TrainingBudget.parse(text)
    assert (float(found.amount), found.unit) == (amount, unit)
    assert TrainingBudget.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "nothing", "0", "-5", "nan", "snan", "inf", "1e999", "M", "60M apples", "60M\ntokens x",
     "0x10", "1_000 M M", "9" * 5000, "<b>"],
)  # fmt: skip
def test_a_budget_that_says_nothing_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        TrainingBudget.parse(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize("text", ["", "0", "-1", "240.5", "nan", "1e999", "many"])
def test_a_corpus_size_is_a_number_of_documents(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a number of documents"):
        parse_corpus_size(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "0"], "must be a positive number"),
        (["--budget", "1e999"], "expected a number such as 60M"),
        (["--budget", "60M apples"], "'apples' is not a unit"),
        (["--budget", "60M", "--corpus-size", "239"], "below the 240 documents at hand"),
        (["--budget", "60M", "--corpus-size", "nan"], "expected a number of documents"),
        (["--corpus-size", "1M"], "requires --budget"),
        (["--budget", "60M", "--sample", "50", "--corpus-size", "239"], "below the 240 documents"),
    ],
)
def test_the_command_refuses_in_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    run = Run(capsys, "curve", SAMPLE, *options)
    assert (run.code, run.out) == (2, "")
    assert said in run.err and run.err.count("\n") == 1


@pytest.mark.slow
def test_the_command_prints_the_notebook_s_columns(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--thresholds", "0.24,0.3", "--budget", "300M images", "--corpus-size", "1M")
    run = Run(capsys, "curve", SAMPLE, *asked)
    found = mmc4viz.open(SAMPLE).curves(
        thresholds=[0.24, 0.3], budget="300M images", corpus_size="1M"
    )
    printed = list(csv.DictReader(run.out.splitlines()))
    assert [{k: str(v) for k, v in row.items()} for row in found.rows] == printed
    assert "if the documents at hand are a random sample" in run.err


@pytest.mark.slow
def test_a_sample_carries_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--sample", "60", "--thresholds", "0.24", "--budget", "60M", "--format", "json")
    [row] = json.loads(Run(capsys, "curve", SAMPLE, *asked).out)
    for name, of in (("passes", ""), ("passes_low", "_high"), ("passes_high", "_low")):
        assert row[name] == pytest.approx(60e6 / (DOCUMENTS * row[f"documents{of}"]), rel=1e-9)
    larger = Run(capsys, "curve", SAMPLE, *asked, "--corpus-size", "240000")
    [part] = json.loads(larger.out)
    assert part["passes"] == pytest.approx(row["passes"] / 1000, rel=1e-9)
    wider = math.log(part["passes_high"] / part["passes_low"])
    assert wider > math.log(row["passes_high"] / row["passes_low"])  # a smaller share is sampled


def drawn_lines(figure: Any) -> dict[str, Any]:
    return {trace.hovertemplate: trace for trace in figure.data if trace.hovertemplate}


def test_the_picture_has_the_curve_and_the_zone() -> None:
    corpus = mmc4viz.open(SAMPLE)
    grid = [0.2, 0.24, 0.28, 0.3]
    found = corpus.curves(thresholds=grid, budget="60M", corpus_size="101.2M")
    figure = found.plot_passes()
    [line] = drawn_lines(figure).values()
    assert list(line.y) == [row["passes"] for row in found.rows]
    zone = figure.data[0]
    assert max(zone.y) == 4 and figure.layout.yaxis.type == "log"
    assert any("(Muennighoff et al., 2023) " in trace.text for trace in figure.data if trace.text)
    assert b"polygon" in sheet([figure], "Passes")
    with pytest.raises(ConfigError, match="no budget"):
        corpus.curves(thresholds=grid).plot_passes()


def test_the_picture_survives_a_corpus_of_which_nothing_is_kept() -> None:
    curves = Curves.none(np.array([0.5, 0.6]))
    figure = tradeoff.passes(exact_passes(curves, 0.5, TrainingBudget.parse("60M")), 0.5)
    assert b"<svg" in sheet([figure], "Passes")


def test_an_svg_places_values_on_a_logarithmic_axis_by_their_logarithm() -> None:
    found = mmc4viz.open(SAMPLE).curves(thresholds=[0.2, 0.3], budget="60M")
    text = sheet([found.plot_passes()], "Passes").decode()
    assert ">1M<" in text and ">100<" in text
