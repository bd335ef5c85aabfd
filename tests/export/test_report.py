"""The report's sections on labels and other models match the package's results."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmc4viz.config_file import parse_config
from mmc4viz.export.svg import band
from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare.disagreement import correlation_of_entries, correlation_of_pairs
from mmc4viz.thresholds.compare.equivalent import match_by_yield
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.exchange import agreements
from mmc4viz.thresholds.labels.precision import curve, labelled_for, remarks
from mmc4viz.thresholds.labels.sampling import Population
from tests.cli.test_cli import Run
from tests.thresholds.test_compare import SAMPLE, label_file, sample

OWN = ("--clip-model", "sample-a")
BO = "<b>Bo</b> & Co"


def with_a_second_person(path: str) -> str:
    """Add a second annotator who labels every second pair the same, and one differently."""
    said = store.read(path)[::2]
    with store.writing(path) as connection:
        again = [
            store.Judgement(j.pair, BO, j.answer, "", "", j.clip_model, None) for j in said[1:]
        ]
        other = store.Answer.NO if said[0].answer == "yes" else store.Answer.YES
        again.append(store.Judgement(said[0].pair, BO, other, "", "", "sample-a", None))
        store.insert(connection, again)
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> str:
    return with_a_second_person(label_file(tmp_path_factory.mktemp("labels"), 100, 0))


def text_of(path: Path) -> str:
    """Return a report's text without charts, elements separated by spaces."""
    plain = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", path.read_text(), flags=re.S)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", plain)))


def reported(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: Any) -> str:
    report = tmp_path / "r.html"
    run = Run(capsys, "export", *arguments, "--no-images", "--report", report)
    assert (run.code, run.noted) == (0, "")
    return text_of(report)


@pytest.mark.slow
def test_the_report_has_the_labels_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, labelled: str
) -> None:
    one = sample()[0]
    population = Population([part.columns for part in one.model.matched.parts], one.model.pairs)
    found = labelled_for(labelled, one.config.with_(clip_model="sample-a"), population)
    here, said = curve(found.sample, np.array([0.24])), store.read(labelled)
    both = agreements(said)[0]
    text = reported(
        capsys, tmp_path, SAMPLE, *OWN, "--labels", labelled, "--models", "own", "--threshold", 0.24
    )
    assert f"contains {len(said):,} labels by 2 annotators" in text
    for share in (here.precision, here.kept):
        estimate, low, high = (float(end[0]) for end in vars(share).values())
        assert f" {estimate:.1%} " in text
        assert f"{low:.1%}–{high:.1%}" in text
    assert (
        f"From {here.labels[0]:,} labels at or above the threshold, {here.wrong[0]:,} incorrect"
        in text
    )
    assert f"Ada and {BO}" in text
    assert both.kappa is not None
    assert f"{both.agreed / both.pairs:.0%} {both.kappa:.2f}" in text
    assert all(remark in text for remark in remarks(found))
    assert "sampled at random within score strata" in text
    assert BO not in (tmp_path / "r.html").read_text()
    assert "CLIP model comparison" not in text


@pytest.mark.slow
def test_the_report_has_the_model_comparison(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, labelled: str
) -> None:
    first, second = sample()
    text = reported(capsys, tmp_path, SAMPLE, *OWN, "--labels", labelled, "--threshold", "0.25")
    for name in YIELDS:
        match = match_by_yield(first, second, name, 0.25)
        agreed = f"{match.agreement.documents.jaccard:.1%} {match.agreement.pairs.jaccard:.1%}"
        sure = "exact" if match.exact else "closest"
        numbers = f"{match.second:.12g} {match.wanted:,.10g} {match.found:,.10g} {agreed} {sure}"
        row = f"{name.replace('_', ' ')} 0.25 {numbers}".split()
        assert " ".join(row) in re.sub(r"\s+", " ", text)
    for one in (correlation_of_pairs, correlation_of_entries):
        rank = one(first.model, second.model)
        assert re.search(rf"of {rank.n:,} [a-z ]+: {rank.rho:.3f}\.", text)
    assert "false-discovery" not in text  # what failed on real pages is in no report
    assert "No threshold with equal precision: no labels for sample-b" in text
    assert "not available: no labels for sample-b, and labels " in text.lower()
    assert "sample-b − sample-a" not in text
    drawn = (tmp_path / "r.html").read_text()
    assert 'aria-label="sample-a at 0.25: ' in drawn
    assert re.search(r'aria-label="sample-b at 0\.\d+: ', drawn)


def test_an_index_s_score_set_gives_the_model_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    index = tmp_path / "ix"
    Run(capsys, "index", SAMPLE / "sample-0000.tar", "--out", index, "--workers", "1")
    named = f"b={SAMPLE / 'similarity_b.parquet'}"
    Run(capsys, "index", "--out", index, "--similarity", named, "--workers", "1")
    config, asked = tmp_path / "c.yaml", ["--index", index, "--similarity", "b"]
    text = reported(capsys, tmp_path, *asked, "--threshold", "0.5", "--out", config)
    found = parse_config(config.read_bytes(), "c.yaml")
    assert found.loader_config().clip_model == "sample-b"
    assert found.provenance["similarity"]["source"] == "b"
    assert "sample-b and sample-a" in text
    again = tmp_path / "again.yaml"
    run = Run(capsys, "export", "--index", index, "--config", config, "--out", again)
    assert (run.code, run.noted) == (0, "")


def test_a_report_without_labels_and_other_models_is_short(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = reported(capsys, tmp_path, SAMPLE, "--models", "own")
    assert "No pairs are labeled" in text
    assert "model comparison" not in text


@pytest.mark.slow
def test_a_model_that_cannot_be_compared_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken, report = tmp_path / "b.parquet", tmp_path / "r.html"
    broken.write_text("<b>no</b> Parquet")
    asked = [SAMPLE, "--similarity", f"far={broken}", "--report", report, "--no-images"]
    run = Run(capsys, "export", *asked)
    assert run.code == 0
    assert run.noted.startswith(f"mmc4viz: note: far is not in the report: {broken}: ")
    assert run.noted.count("\n") == 1
    assert "far: b.parquet: not a valid similarity file" in text_of(report)
    text = reported(capsys, tmp_path, SAMPLE, "--assignment", "stored")
    assert "the stored assignment uses the corpus's own pairs" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ids", "i.npy", "--labels", "l.sqlite"], "--labels is for config and report"),
        (["--out", "c.yaml", "--labels", "l.sqlite"], "l.sqlite: no such label file"),
        (["--out", "c.yaml", "--baseline", "0.2"], "--baseline is for the report"),
        (["--out", "c.yaml", "--models", "own"], "--models is for the report"),
        (["--out", "c.yaml", "--similarity", "b=c"], "--similarity NAME=FILE is for the report"),
        (["--report", "r.html", "--models", "sample-c"], "no score set is named 'sample-c'"),
        (["--report", "r.html", "--similarity", "a", "--similarity", "b"], "only one score set"),
        (["--report", "r.html", "--similarity", "=b"], "is not a valid score set name"),
        (["--report", "r.html", "--labels", "l.sqlite"], "l.sqlite: no such label file"),
        (["--report", "r.html", "--models"], "--models needs at least one"),
    ],
)  # fmt: skip
def test_options_that_need_a_report_are_rejected(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = Run(capsys, "export", SAMPLE / "sample-0000.tar", *arguments)
    assert (run.code, run.out) == (2, "")
    assert words in run.err
    assert run.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_labels_of_another_model_are_rejected(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, labelled: str
) -> None:
    report = tmp_path / "r.html"
    asked = ["--labels", labelled, "--report", report]
    run = Run(capsys, "export", SAMPLE, "--clip-model", "x", *asked)
    assert (run.code, run.out) == (2, "")
    assert "has no labels for x (min_kb 10, one_to_one); it has: sample-a" in run.err
    assert "if that is the right model, add --clip-model sample-a\n" in run.err
    assert not report.exists()


def test_a_band_is_drawn_only_where_something_is_known() -> None:
    t, nan = np.array([0.1, 0.2, 0.3]), float("nan")
    whole = band(t, (t, t - 0.1, t + 0.1), (0.2, 0.2, 0.1, 0.3), "a <b>\u202e")
    assert 'aria-label="a &lt;b&gt;\\u202e: 20.0% (95% CI 10.0%–30.0%) at 0.2"' in whole
    assert whole.partition('class="band" points="')[2].partition('"')[0].count(",") == 6
    part = band(t, (np.array([0.5, nan, nan]), t, t), (0.3, nan, nan, nan), "a")
    assert "unknown at 0.3" in part
    assert "nan" not in part
    assert "circle" not in part
