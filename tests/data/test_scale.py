"""Scales are recognized from data, and thresholds that keep all or no pairs are reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import main
from mmc4viz.data.scale import RANGES, misfit, misfits, recognise, scale_in
from mmc4viz.sweep import audit
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.thresholds.compare.disagreement import distribution
from mmc4viz.thresholds.model_scores import Model
from tests.support.documents import info, write_tar

Rows = list[Any]


def clip_like(rng: np.random.Generator, mean: float = 0.2, noise: float = 0.05) -> Rows:
    """Rows of cosines as from a CLIP model, some with a correct sentence."""
    rows = [rng.normal(mean, noise, rng.integers(1, 40)) for _ in range(300)]
    for row in rows[:150]:
        row[rng.integers(len(row))] += 0.12
    return rows


def softmax(rows: Rows) -> Rows:
    exponents = [np.exp(100 * (row - row.max())) for row in rows]
    return [e / e.sum() for e in exponents]


def siglip(rows: Rows) -> Rows:
    return [117.3 * (row - 0.2) - 12.9 for row in rows]


def sigmoid(rows: Rows) -> Rows:
    return [1 / (1 + np.exp(-row)) for row in siglip(rows)]


MAKES: list[tuple[str, Callable[[Rows], Rows]]] = [
    ("cosine", lambda rows: rows),
    ("cosine", lambda rows: [row - 0.2 for row in rows]),  # as SigLIP's, about 0
    ("cosine", lambda rows: [np.clip(row, 0, 1) for row in rows]),
    ("cosine", lambda rows: [row + 0.6 for row in rows]),
    ("×100", lambda rows: [100 * row for row in rows]),
    ("softmax", softmax),
    ("sigmoid", sigmoid),
    ("unknown", siglip),
    ("unknown", lambda rows: [1000 * row for row in rows]),
    ("unknown", lambda rows: [row * np.nan for row in rows]),
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "make"), MAKES)
def test_every_scale_is_recognised(name: str, make: Callable[[Rows], Rows], seed: int) -> None:
    rows = make(clip_like(np.random.default_rng(seed)))
    rows[3] = rows[3] * np.nan  # of a missing image
    for kind in (np.float64, np.float32):
        values = np.concatenate(rows).astype(kind)
        assert recognise(values, np.array([len(row) for row in rows])) == name


def test_the_scale_of_a_corpus_comes_from_its_matrices(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, make in MAKES[:-1]:
        documents = []
        for n in range(20):
            matrix = make([rng.normal(0.2, 0.05, 6) for _ in range(3)])
            documents.append((f"d{n}", info([row.tolist() for row in matrix])))
        path = write_tar(tmp_path / "s.tar", documents)
        parts = [read_columns(shard, load_tokenizer()) for shard in expand([str(path)])]
        if name != "sigmoid":  # that needs a right sentence
            assert scale_in(parts) == name
            assert scale_in([parts[0].take(np.arange(5, 15))]) == name
    assert scale_in([]) == "unknown"


@given(
    scores=st.lists(st.floats(-2, 2), min_size=1, max_size=20),
    threshold=st.floats(-3, 3),
    scale=st.sampled_from(list(RANGES)),
)
def test_a_threshold_misfits_where_it_keeps_all_or_nothing(
    scores: list[float], threshold: float, scale: str
) -> None:
    kept = sum(score >= threshold for score in scores)
    why = misfit(threshold, scale, min(scores), max(scores))
    assert (why is None) == (0 < kept < len(scores))
    if why is not None:
        assert ("no pair is kept" in why) == (kept == 0)
    lines = misfits(np.array([threshold]), scale, np.array(scores))
    assert len(lines) == (why is not None)


def test_many_thresholds_are_reported_in_two_lines() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    low, high = misfits(np.linspace(-0.5, 0.9, 15), "cosine", scores)
    assert low.startswith("threshold -0.5, -0.4, -0.3 and 4 more: every pair reaches it")
    assert high.startswith("threshold 0.4, 0.5, 0.6 and 3 more: every pair scores below it")
    [line] = misfits(np.array([0.2, 0.3]), "cosine", np.zeros(0))
    assert "no scored pairs" in line


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make"), [MAKES[0], *MAKES[4:8]])
def test_every_result_has_the_same_scale(
    name: str, make: Callable[[Rows], Rows], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After softmax or sigmoid, matched scores look like cosines; the matrices show the scale."""
    rows = [make(clip_like(np.random.default_rng(n))[:150]) for n in range(2)]
    documents = [(f"{n}-{k}", info([row.tolist()]) )
                 for n, some in enumerate(rows) for k, row in enumerate(some)]  # fmt: skip
    path = write_tar(tmp_path / "s.tar", documents)
    [columns] = [read_columns(shard, load_tokenizer()) for shard in expand([str(path)])]
    matched = match_corpus([columns], LoaderConfig())
    assert scale_in([columns]) == matched.scale.name == name
    assert audit.fit(pairs_of(matched).score, 0.2, matched.scale).scale.name == name
    assert distribution(Model("m", matched)).scale.name == name
    config, report = tmp_path / "c.json", tmp_path / "r.html"
    for more in (["--report", str(report)], ["--sample", "200"]):
        with pytest.raises(SystemExit):
            main(["export", str(path), "--out", str(config), "--no-images", *more])
        found = json.loads(config.read_text())["provenance"]["similarity"]
        assert found["scale"] == name
    assert f"<b>{name}</b>" in report.read_text() or f">{name}<" in report.read_text()
    capsys.readouterr()
    for command in ("explain", "curve"):
        asked = "--threshold" if command == "explain" else "--thresholds"
        with pytest.raises(SystemExit):
            main([command, str(path), asked, "2000"])
        assert f"(scale: {name};" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("factor", "asked", "words"),
    [
        (1, "30", "outside the cosine scale (-1 to 1); did you mean 0.3?"),
        (1, "0.15", "no pair is dropped; it is outside the range of scores (scale: cosine"),
        (1, "0.25", ""),
        (100, "0.24", "did you mean 24? (scale: ×100; scores 20 to 40)"),
        (100, "24", ""),
    ],
)
def test_the_commands_report_it(
    factor: float,
    asked: str,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    matrix = [[0.2 * factor, 0.05 * factor], [0.1 * factor, 0.4 * factor]]
    path = write_tar(tmp_path / "s.tar", [("a", info(matrix))])
    for command in (
        ["curve", "--thresholds", asked],
        ["curve", "--thresholds", asked, "--sample", "5"],
        ["curve", "--grid", f"{asked}:{asked}:1"],
        ["explain", "--threshold", asked],
    ):
        with pytest.raises(SystemExit) as end:
            main([*command, str(path)])
        said = capsys.readouterr()
        assert (end.value.code or 0, len(said.out.splitlines()) > 1) == (0, True)
        assert words in said.err
        assert (said.err == "") == (words == "")
        assert said.err.startswith("mmc4viz: note: threshold") or not words
    with pytest.raises(SystemExit):
        main(["curve", "--format", "json", str(path)])  # the scale's own grid is nobody's mistake
    said = capsys.readouterr()
    assert said.err == ""
    assert len(json.loads(said.out)) > 1000
