"""The page Compare models without a browser."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmc4viz
from mmc4viz import expand, load_tokenizer, read_columns
from mmc4viz.data.columns import Kind
from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare.disagreement import joint_scores
from mmc4viz.thresholds.compare.equivalent import match_by_yield
from mmc4viz.ui import cache
from tests.support.hostile import MARK, write_hostile
from tests.thresholds.test_compare import sample
from tests.ui.test_pages import alerts, galleries, markup, opened

SAMPLE = Path(mmc4viz.__file__).parents[1] / "sample_data"


@pytest.mark.slow
def test_the_page_says_what_the_core_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, second = sample()
    monkeypatch.chdir(tmp_path)  # where there is no file of labels
    app = opened(monkeypatch, "compare-models")
    said = markup(app)
    for name in YIELDS:
        match = match_by_yield(first, second, name, 0.24)
        assert f"<td><b>{match.second:.12g}</b></td>" in said
        assert f"<td>{match.agreement.pairs.jaccard:.1%}</td>" in said
    assert "High in sample-a, low in sample-b" in said
    shown = [card for one in galleries(app) for group in one["groups"] for card in group["cards"]]
    assert len(shown) == 16 + 8  # disagreements, and a quadrant
    assert "false-discovery rate" not in said  # estimated on request only
    assert "failed on real MMC4 pages" in said
    app.toggle(key="models-fdr").set_value(True).run()
    assert "false-discovery rate" in markup(app)
    assert any("No labels yet" in text.value for text in app.text)


def test_the_models_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sample()
    address = {"model": "sample-b", "t.sample-b": "0.5", "m.by": "documents"}
    app = opened(monkeypatch, "compare-models", **address)
    match = match_by_yield(second, first, "documents", 0.5)
    assert f"<td><b>{match.second:.12g}</b></td>" in markup(app)
    assert f"at {match.second:.12g}, cosine scale" in markup(app)
    (other,) = (box for box in app.selectbox if box.key == "models-other")
    assert other.options == ["sample-a"]


def test_the_other_model_is_taken_with_its_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sample()
    app = opened(monkeypatch, "compare-models", **{"m.by": "documents"})
    threshold = round(match_by_yield(first, second, "documents", 0.24).second, 3)
    (button,) = (one for one in app.button if one.key == "use-equivalent")
    assert button.label == f"Use sample-b at {threshold:.3f}"
    button.click().run()
    assert app.selectbox(key="clip-model").value == "sample-b"
    assert app.number_input(key="threshold").value == threshold


def test_a_quadrant_of_the_joint_scores_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sample()
    joint = joint_scores(first.model, second.model)
    match = match_by_yield(first, second, "pairs", 0.24)
    counts = np.bincount(joint.quadrants((match.first, match.second)), minlength=4)
    app = opened(monkeypatch, "compare-models", **{"m.quadrant": "second"})
    assert f"Kept by sample-b only: 8 of {counts[2]:,} images" in markup(app)


def test_with_one_model_the_page_says_how_to_add_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(SAMPLE / "sample-0000.tar", tmp_path)
    said = markup(opened(monkeypatch, "compare-models", str(tmp_path)))
    assert "Only one model is available" in said
    assert "mmc4viz score" in said
    assert "mmc4viz index --out DIR --similarity" in said


@pytest.mark.parametrize("assignment", ["stored", "greedy"])
def test_models_that_cannot_be_compared_are_reported(
    monkeypatch: pytest.MonkeyPatch, assignment: str
) -> None:
    found = alerts(opened(monkeypatch, "compare-models", match=assignment))
    assert len(found) == (assignment == "stored")


@pytest.mark.slow
def test_hostile_texts_and_names_stay_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, words = write_hostile(tmp_path), list[str]()
    _beside(path, NAME)
    monkeypatch.setattr(cache, "progress", lambda text: words.append(text) or nullcontext())
    app = opened(monkeypatch, "compare-models", str(path))
    said = markup(app)
    charts = json.dumps([json.loads(one.proto.spec) for one in app.get("plotly_chart")])
    for tag in ("<script", "<iframe", "<a ", "<svg", "<img src=x", 'onerror="', "onload='"):
        assert tag not in said
        assert tag not in charts
    assert "&lt;a href=" in said  # the model's name
    assert "&lt;a href=" in charts
    assert all(group["cards"] for one in galleries(app) for group in one["groups"])
    assert words
    assert not any(MARK in text for text in words)  # they are read as Markdown


NAME = f"<a href='javascript:{MARK}'>b</a><img src=x onerror={MARK}>"


def _beside(path: Path, name: str) -> None:
    """Write a similarity file of another model next to a shard."""
    rng, rows = np.random.default_rng(3), []
    for shard in expand([str(path)]):
        columns = read_columns(shard, load_tokenizer())
        for row in range(len(columns)):
            document = columns.document(row)
            if columns.kind[row] == Kind.UNREADABLE or document.is_gpt:
                continue
            shape = np.shape(document.similarity)
            values = (0.2 + 0.1 * rng.random(shape)).ravel().tolist()
            rows.append(
                dict(zip(_COLUMNS, (shard.name, document.key, *shape, values), strict=True))
            )
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"clip_model": name})
    pq.write_table(table, path.parent / "similarity_x.parquet")


_COLUMNS = ("shard", "key", "images", "sentences", "values")
