"""The frontier: its numbers are those of the walk, of `curve` and of precision."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmc4viz
from mmc4viz import ConfigError, LoaderConfig
from mmc4viz.charts import tradeoff
from mmc4viz.data.scale import COSINE
from mmc4viz.export.figure_svg import sheet
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.by_yield import YIELDS, steps_of_curves
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.equivalent import Rates, match_by_yield
from mmc4viz.thresholds.compare.frontier import (
    Frontier,
    by_fdr,
    by_precision,
    round_thresholds,
    shared,
    trace,
)
from mmc4viz.thresholds.compare.roc import FEWEST, Evidence, evidence
from mmc4viz.thresholds.fdr.estimate import estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.thresholds.labels.precision import curve
from mmc4viz.types import Mmc4vizError
from tests.support.hostile import MARK
from tests.thresholds.test_compare import compared, label_file, sample, walked

SAMPLE = Path(mmc4viz.__file__).parents[1] / "sample_data"


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Labels of both models' pairs."""
    return label_file(tmp_path_factory.mktemp("labels"), 120, 0, 1)


@pytest.fixture(scope="module")
def found(labels: str) -> Evidence:
    return evidence(labels, list(sample()))


@pytest.mark.slow
@pytest.mark.parametrize("quantity", YIELDS)
def test_a_line_is_the_curve_and_the_precision(found: Evidence, quantity: str) -> None:
    frontier = by_precision(sample(), found, quantity, 0.24)
    for one, line in zip(sample(), frontier.lines, strict=True):
        swept = sweep(one.model.matched, one.config, line.thresholds)
        keep = one.config.single_image_keep
        assert line.kept.tolist() == steps_of_curves(swept, keep).kept[quantity].tolist()
        wanted = curve(found.of[one.name].sample, line.thresholds)
        known = wanted.labels >= FEWEST
        assert known.sum() > 20 and not known.all()
        for name, values in zip(
            ("estimate", "low", "high"), (line.quality, line.low, line.high), strict=True
        ):
            assert np.array_equal(getattr(wanted.precision, name)[known], values[known])
            assert np.isnan(values[~known]).all()
    assert frontier.missing == ()


@pytest.mark.slow
def test_chosen_points_keep_the_same_by_the_walk(found: Evidence) -> None:
    first, second = sample()
    mine, theirs = by_precision((first, second), found, "image_tokens", 0.26).lines
    assert mine.marked == (0.26,)
    assert theirs.marked == (match_by_yield(first, second, "image_tokens", 0.26).second,)
    for one, line in ((first, mine), (second, theirs)):
        [at] = line.marked
        assert line.at(at).kept == walked(one, at)["image_tokens"]
    rows = by_precision((first, second), found, "image_tokens", 0.26).rows()
    assert [row["threshold"] for row in rows if row["chosen"]] == [0.26, *theirs.marked]


@pytest.mark.slow
def test_shares_are_of_all_documents_or_of_the_most_kept(found: Evidence) -> None:
    rows = by_precision(sample(), found, "documents", 0.24).rows()
    assert all(row["share"] == row["kept"] / 240 for row in rows)
    rows = by_precision(sample(), found, "pairs", 0.24).rows()
    assert max(row["share"] for row in rows) == 1


def test_a_model_without_labels_is_named(tmp_path: Path) -> None:
    path = label_file(tmp_path, 60, 0)
    frontier = by_precision(sample(), evidence(path, list(sample())), "documents", 0.24)
    assert [line.name for line in frontier.lines] == ["sample-a"]
    [reason] = frontier.missing
    assert reason.startswith("sample-b is not drawn: ") and "no labels for sample-b" in reason


@pytest.mark.slow
def test_without_labels_quality_is_one_minus_the_fdr() -> None:
    estimates = {one.name: estimate_fdr(stack_of(one.model.matched), rounds=20) for one in sample()}
    frontier = by_fdr(sample(), estimates, "documents", 0.24)
    [line] = frontier.lines
    estimate = estimates["sample-a"]
    known = np.isfinite(line.quality)
    assert known.sum() > 20
    for at in line.thresholds[known].tolist():
        [place] = np.flatnonzero(estimate.threshold == at)
        point = line.at(at)
        assert point.quality == 1 - estimate.rate[place]
        assert (point.low, point.high) == (1 - estimate.high[place], 1 - estimate.low[place])
        assert point.low <= point.quality <= point.high
    [reason] = frontier.missing  # its estimate is withheld
    assert reason == f"sample-b is not drawn: {estimates['sample-b'].reason}."
    assert {row["quality"] for row in frontier.rows()} == {"1 − FDR"}


@pytest.mark.slow
def test_a_cap_changes_what_is_kept_and_not_the_precision(labels: str) -> None:
    first, _ = sample()
    capped = Candidate(replace(first.model, name="cap"), first.config.with_(max_images=1))
    population = evidence(labels, [first]).of["sample-a"]
    both = Evidence({"sample-a": population, "cap": population}, {})
    one, other = by_precision((first, capped), both, "image_tokens", 0.24).lines
    same = np.isin(one.thresholds, other.thresholds), np.isin(other.thresholds, one.thresholds)
    assert np.array_equal(one.quality[same[0]], other.quality[same[1]], equal_nan=True)
    assert one.kept.max() > other.kept.max()
    assert other.at(0.2).kept == walked(capped, 0.2)["image_tokens"]


def test_a_grid_has_only_its_steps() -> None:
    first, _ = sample()
    grid = np.array([0.2, 0.22, 0.24])
    steps = steps_of_curves(sweep(first.model.matched, first.config, grid), 0.5)
    rates = Rates("precision", np.array([0.2, 0.21, 0.24]), *np.full((3, 3), 0.5), "labels")
    assert trace("a", steps, "pairs", rates, [0.22]).thresholds.tolist() == [0.2, 0.22, 0.24]
    with pytest.raises(ValueError, match="not a step"):
        trace("a", steps, "pairs", rates, [0.23])


@pytest.mark.parametrize("quantity", YIELDS)
def test_what_is_shared_is_counted_document_by_document(quantity: str) -> None:
    first, second = sample()
    found = shared(first, second, quantity, 0.24)
    for place in range(0, len(found.first), 7):
        a, b = float(found.first[place]), float(found.second[place])
        assert found.kept[place] == walked(first, a)[quantity]
        mine, theirs = first.keeping.at(a), second.keeping.at(b)
        if mine.any():
            assert found.documents[place] == (mine & theirs).sum() / mine.sum()
        assert found.by_chance[place] == theirs.sum() / 240
        pairs = [
            {(int(p.document[i]), int(p.image[i]), int(p.sentence[i]))
             for i in np.flatnonzero(p.score >= t)}
            for p, t in ((first.model.pairs, a), (second.model.pairs, b))
        ]  # fmt: skip
        if pairs[0]:
            assert found.pairs[place] == len(pairs[0] & pairs[1]) / len(pairs[0])
    assert found.marked in found.first
    assert shared(first, first, quantity, 0.24).documents[:5].tolist() == [1.0] * 5


def test_nothing_is_shared_by_a_model_without_pairs() -> None:
    first, _ = sample()
    empty = Candidate(replace(first.model, matched=replace(first.model.matched, parts=[])),
                      first.config)  # fmt: skip
    with pytest.raises(Mmc4vizError, match="has no pairs"):
        shared(empty, empty, "pairs", 0.24)


def test_round_thresholds_are_few_and_hold_every_score() -> None:
    scores = np.array([0.1034, 0.2, 0.4111])
    found = round_thresholds(scores, COSINE, 40)
    assert 20 <= len(found) <= 40
    assert found[0] <= 0.1034 and found[-1] <= 0.4111 < found[-1] + 0.01
    assert round_thresholds(np.zeros(0), COSINE).tolist() == []
    assert round_thresholds(np.array([0.25]), COSINE).tolist() == [0.25]


@pytest.mark.slow
def test_the_picture_has_the_numbers_and_no_two_blues(found: Evidence) -> None:
    frontier = by_precision(sample(), found, "documents", 0.24)
    figure = tradeoff.frontier(frontier)
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.line.width]
    assert len({(line.line.color, line.line.dash) for line in lines}) == 2
    assert len({line.line.color for line in lines} - {"#0072B2", "#56B4E9"}) >= 1
    for line, drawn in zip(frontier.lines, lines, strict=True):
        known = np.isfinite(line.quality)
        assert np.allclose(np.array(drawn.x), line.kept[known] / 240, rtol=1e-15)
        assert np.array_equal(np.array(drawn.y), line.quality[known])
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert [max(band.y) for band in bands] == [np.nanmax(line.high) for line in frontier.lines]
    assert figure.layout.xaxis.title.text == "documents kept, share of all documents"
    drawn = sheet([figure, tradeoff.shared(shared(*sample(), "documents", 0.24))], "Frontier")
    assert b"<b>" not in drawn and b">0.24<" in drawn and b">sample-b<" in drawn


@pytest.mark.slow
@pytest.mark.parametrize("settings", [False, True])
def test_a_hostile_name_and_an_empty_frontier_are_drawn(found: Evidence, settings: bool) -> None:
    frontier = by_precision(sample(), found, "pairs", 0.24)
    [one, _] = frontier.lines
    name = f"<a href='javascript:{MARK}'>x"
    hostile = replace(frontier, lines=(replace(one, name=name),))
    figure = tradeoff.frontier(hostile, settings=settings)
    assert "<a" not in figure.to_json().encode().decode("unicode_escape")
    empty = Frontier("documents", "precision", 0.0, ())
    assert empty.rows() == [] and len(tradeoff.frontier(empty, settings=settings).data) == 0


@pytest.mark.slow
def test_the_command_prints_it(capsys: pytest.CaptureFixture[str], labels: str) -> None:
    named = (str(SAMPLE), "--clip-model", "sample-a", "--frontier", "documents")
    code, out, err = compared(capsys, *named, "--labels", labels, "--format", "json")
    assert code == 0
    wanted = by_precision(sample(), evidence(labels, list(sample())), "documents", 0.24)
    assert json.loads(out) == wanted.rows()
    code, out, err = compared(capsys, *named, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    overlap = shared(*sample(), "documents", 0.24).rows()
    assert code == 0 and "not how good the pairs are" in err
    assert [row["documents_shared"] for row in rows] == [
        "" if row["documents_shared"] is None else str(row["documents_shared"]) for row in overlap
    ]
    code, out, _ = compared(capsys, *named)
    assert code == 0 and out.splitlines()[0].split()[:3] == ["first", "second", "equal"]
    code, _, err = compared(capsys, *named, "--thresholds", "0.2,0.3")
    assert code != 0 and "give one with --threshold" in err


@pytest.mark.slow
def test_a_notebook_draws_it(labels: str) -> None:
    corpus = mmc4viz.open(SAMPLE)
    config = LoaderConfig(threshold=0.24)
    view = corpus.frontier(config, labels=labels, against={"cap 1": config.with_(max_images=1)})
    frame = view.to_pandas()
    first = by_precision([sample()[0]], evidence(labels, [sample()[0]]), "documents", 0.24)
    mine = frame[frame["line"] == "sample-a"]
    assert mine["estimate"].dropna().tolist() == [
        row["estimate"] for row in first.rows() if row["estimate"] is not None
    ]
    assert set(frame["line"]) == {"sample-a", "cap 1"}
    assert len(view.plot().data) > 4 and "sample-a at 0.24: 104 documents" in view._repr_html_()
    overlap = corpus.frontier(config, against={"argmax": config.with_(assignment="argmax")})
    assert overlap.to_pandas()["documents_shared"].max() <= 1
    assert "argmax keeps as much" in overlap._repr_html_() and len(overlap.plot().data) > 2
    for wrong, said in (
        ({}, "without labels, two lines"),
        ({"of": "apples", "fdr": True}, "'apples' is not one of"),
        ({"labels": labels, "fdr": True}, "not both"),
        ({"fdr": True, "against": {"sample-a": config}}, "is the name of the first line"),
    ):
        with pytest.raises(ConfigError, match=said):
            corpus.frontier(config, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="without sample="):
        mmc4viz.open(SAMPLE, sample=60).frontier(fdr=True)
