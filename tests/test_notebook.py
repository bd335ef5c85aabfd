"""The face for notebooks: the same answers as the commands', and the example notebook runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

import mmc4viz
from mmc4viz import LoaderConfig
from mmc4viz.notebook import OpenedCorpus
from tests.cli.test_cli import Run
from tests.support.documents import entry, info, jpeg, write_tar

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_data"


@pytest.fixture(scope="module")
def corpus() -> OpenedCorpus:
    return mmc4viz.open(SAMPLE)


def test_curves_are_the_commands(corpus: OpenedCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    found = corpus.curves(LoaderConfig(max_images=3), [0.3, 0.2, 0.25])
    run = Run(capsys, "curve", SAMPLE, "--max-images", "3", "--thresholds", "0.2,0.25,0.3")
    printed = list(csv.DictReader(run.out.splitlines()))
    assert [{k: str(v) for k, v in row.items()} for row in found.rows] == printed
    assert found.at(0.26) == found.rows[1]
    assert list(found.to_pandas().threshold) == [0.2, 0.25, 0.3]
    with pytest.raises(mmc4viz.ConfigError, match=r"between 0\.2 and 0\.3"):
        found.at(0.5)


@pytest.mark.slow
def test_a_sample_is_the_command_s(capsys: pytest.CaptureFixture[str]) -> None:
    found = mmc4viz.open(SAMPLE, sample=50, seed=3).curves(thresholds=[0.24])
    run = Run(capsys, "curve", SAMPLE, "--sample", "50", "--seed", "3", "--thresholds", "0.24")
    [printed] = csv.DictReader(run.out.splitlines())
    assert {name: str(value) for name, value in found.rows[0].items()} == printed
    low, high = (found.rows[0][f"documents_{end}"] for end in ("low", "high"))
    assert low < found.rows[0]["documents"] < high


@pytest.mark.slow
def test_decisions_and_pairs_are_the_commands(
    corpus: OpenedCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = [
        json.loads(line)
        for line in Run(capsys, "explain", SAMPLE, "--format", "jsonl").out.splitlines()
    ]
    found = corpus.explain()
    for name in ("shard", "number", "key", "outcome", "image_tokens", "text_tokens", "mispaired"):
        assert list(found[name]) == [verdict[name] for verdict in verdicts]
    pairs = corpus.pairs()
    expected = [
        (v["shard"], v["number"], p["image"], p["sentence"], p["score"], p["status"])
        for v in verdicts
        for p in sorted(v["pairs"], key=lambda pair: pair["image"])
    ]
    columns = ["shard", "number", "image", "sentence", "score", "status"]
    assert list(pairs[columns].itertuples(index=False, name=None)) == expected


@pytest.mark.slow
def test_suggestions_are_the_commands(
    corpus: OpenedCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    found = corpus.suggest(keep={"documents": "50%", "pairs": 200}, fdr=0.2)
    asked = ("--keep", "documents=50%", "--keep", "pairs=200", "--fdr", "20%", "--format", "json")
    assert [one.as_dict() for one in found] == json.loads(
        Run(capsys, "suggest", SAMPLE, *asked).out
    )


@pytest.mark.slow
def test_an_index_is_opened_as_its_shards_are(corpus: OpenedCorpus, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        mmc4viz.cli.main(["index", str(SAMPLE), "--out", str(tmp_path / "i"), "--workers", "1"])
    opened = mmc4viz.open(tmp_path / "i")
    assert opened.clip_model == corpus.clip_model == "sample-a"
    assert opened.curves(thresholds=[0.24]).rows == corpus.curves(thresholds=[0.24]).rows


def test_a_document_is_shown_with_its_text_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    document = info([[0.9]], [hostile], [entry(jpeg())])
    write_tar(tmp_path / "s.tar", [("<b>", document)])
    opened = mmc4viz.open(tmp_path / "s.tar")
    key = opened.explain().key[0]
    view = opened.document(key)
    assert hostile in view.text and view.pictures[0] is not None
    shown = view._repr_html_()
    assert "<script" not in shown and "&lt;script&gt;" in shown and "data:image/jpeg" in shown
    with pytest.raises(mmc4viz.ConfigError, match="no document has the key 'x'"):
        opened.document("x")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"index": "a", "shards": ["b"]}, "not both"),
        ({"shards": ["/no/such/shard.tar"]}, "/no/such/shard.tar"),
        ({"shards": [str(SAMPLE)], "sample": 1}, "at least 2"),
        ({"shards": [str(SAMPLE)], "similarity": "b"}, "name index="),
    ],
)
def test_what_cannot_be_opened_is_one_line(asked: dict[str, Any], said: str) -> None:
    shards = asked.pop("shards", [])
    with pytest.raises(mmc4viz.Mmc4vizError, match=said) as error:
        mmc4viz.open(*shards, **asked)
    assert "\n" not in str(error.value)


def test_the_picture_has_a_line_per_quantity(corpus: OpenedCorpus) -> None:
    curves = corpus.curves(thresholds=[0.2, 0.24, 0.28])
    drawn = curves.plot("documents", "pairs")
    assert isinstance(drawn, go.Figure) and len(drawn.data) == 2
    assert next(iter(drawn.data[0].y)) == 1.0
    assert (
        len(mmc4viz.open(SAMPLE, sample=60).curves(thresholds=[0.2, 0.3]).plot("pairs").data) == 3
    )


@pytest.mark.slow
def test_the_example_notebook_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    notebook = json.loads((ROOT / "docs" / "example.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["suggestion"].threshold == 0.229
