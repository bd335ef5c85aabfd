"""The dashboard without a browser: what it says is what the core says, and no input breaks it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import mmc4viz
from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns, sweep
from mmc4viz.corpus.curves import COSINE, TIMES_100
from mmc4viz.loader.walk import walk
from mmc4viz.ui import data, record
from mmc4viz.ui.inert import escaped, plain
from mmc4viz.ui.sequence import pieces
from mmc4viz.ui.sidebar import visible_span
from mmc4viz.ui.start import VARIABLE, sample_folder
from tests.documents import info, write_tar
from tests.hostile import MARK, TEXTS, write_hostile

ROOT = Path(mmc4viz.__file__).parents[1]
SAMPLE = str(ROOT / "sample_data")


def opened(monkeypatch: pytest.MonkeyPatch, **start: Any) -> AppTest:
    monkeypatch.setenv(VARIABLE, json.dumps(start))
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()


def numbers(page: AppTest) -> list[str]:
    return [metric.value for metric in page.metric]


def expected(config: LoaderConfig, shards: str = SAMPLE) -> list[str]:
    """Take the large numbers from the core's sweep at this one threshold."""
    columns = [read_columns(s, load_tokenizer(config.tokenizer)) for s in expand([shards])]
    curves = sweep(match_corpus(columns, config), config, np.array([config.threshold]))
    row = curves.rows(config.single_image_keep)[0]
    whole = sum(map(len, columns))
    misbound = row["misbound"] / row["image_tokens"] if row["image_tokens"] else 0
    return [
        f"{row['documents']:,.1f}",
        f"{row['documents'] / whole:.1%}",
        f"{row['pairs']:,}",
        f"{row['image_tokens']:,.1f}",
        f"{misbound:.1%}",
    ]


def markup(page: AppTest) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


def alerts(page: AppTest) -> list[str]:
    return [e.proto.body for e in page.get("html") if 'role="alert"' in e.proto.body]


def test_the_sample_opens_at_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    assert not page.exception
    assert not alerts(page)
    assert numbers(page) == expected(LoaderConfig())
    assert all(metric.delta.startswith("±0") for metric in page.metric)
    assert page.selectbox(key="clip-model").value == "sample-a"
    assert len(page.dataframe[0].value) == 240


def test_numbers_follow_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    for threshold in (0.3, 0.185, 0.241):
        page.slider[0].set_value(threshold).run()
        assert numbers(page) == expected(LoaderConfig(threshold=threshold))
    assert not page.exception


def test_every_setting_reaches_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    config = LoaderConfig(
        threshold=0.21,
        min_images=2,
        max_images=3,
        max_tokens=128,
        min_kb=20,
        assignment="argmax",
        single_image_keep=0.25,
    )
    for name in ("min_images", "max_images", "max_tokens", "min_kb", "single_image_keep"):
        page.number_input(key=name).set_value(getattr(config, name))
    page.selectbox(key="assignment").set_value(config.assignment)
    page.run()
    page.slider[0].set_value(config.threshold).run()
    assert numbers(page) == expected(config)


def test_a_threshold_is_remembered_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    models = page.selectbox(key="clip-model")
    assert len(models.options) == 2
    page.slider[0].set_value(0.3).run()
    page.selectbox(key="clip-model").set_value(models.options[1]).run()
    second = numbers(page)
    assert page.slider[0].value == 0.24
    page.slider[0].set_value(0.5).run()
    assert numbers(page) != second
    page.selectbox(key="clip-model").set_value(models.options[0]).run()
    assert page.slider[0].value == 0.3
    assert numbers(page) == expected(LoaderConfig(threshold=0.3))
    page.selectbox(key="clip-model").set_value(models.options[1]).run()
    assert page.slider[0].value == 0.5


def test_moving_the_threshold_matches_and_sweeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)

    def refused(*_: Any) -> None:
        raise AssertionError("the threshold must not cost this")

    for name in ("match_corpus", "sweep", "read_columns", "scale_of"):
        monkeypatch.setattr(data, name, refused)
    page.slider[0].set_value(0.2).run()
    assert not page.exception


def test_start_settings_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = LoaderConfig(threshold=0.2, max_tokens=64)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config.as_dict()))
    page = opened(monkeypatch, shards=[SAMPLE], config=str(file))
    assert numbers(page) == expected(config)


def test_a_threshold_off_the_scale_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"threshold": 30}')
    page = opened(monkeypatch, shards=[SAMPLE], config=str(file))
    assert "30 is no step of this model&#x27;s scale (cosine)" in markup(page)


@pytest.mark.parametrize("shards", ["nowhere.tar", "{a", "no-{0..3}.tar", "/", "a\0b"])
def test_bad_shards_are_one_line(monkeypatch: pytest.MonkeyPatch, shards: str) -> None:
    page = opened(monkeypatch)
    page.text_area(key="shards").set_value(shards).run()
    assert not page.exception
    assert len(alerts(page)) == 1
    assert "\n" not in alerts(page)[0]
    page.text_area(key="shards").set_value(SAMPLE).run()
    assert numbers(page) == expected(LoaderConfig())


def test_a_bad_tokenizer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    page.text_input(key="tokenizer").set_value("no/such/tokenizer.json").run()
    assert not page.exception
    assert len(alerts(page)) == 1


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_broken_shards_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.tar").write_bytes(content)
    page = opened(monkeypatch, shards=[str(tmp_path / "broken.tar")])
    assert not page.exception
    assert any("broken.tar" in alert for alert in alerts(page))


def test_unknown_sizes_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = info([[0.3, 0.1]])
    for image in line["image_info"]:
        del image["image_base64"]
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    page = opened(monkeypatch, shards=[str(tmp_path / "a.jsonl")])
    assert not page.exception
    assert "image sizes are unknown" in markup(page)


def test_nothing_to_open_says_where_the_sample_is(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    page.text_area(key="shards").set_value("").run()
    assert not page.exception
    assert "sample_data" in markup(page)
    assert sample_folder() is not None


def test_hostile_text_is_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = opened(monkeypatch, shards=[str(write_hostile(tmp_path))])
    assert not page.exception
    document = next(e.proto.body for e in page.get("html") if "mmc-doc" in e.proto.body)
    for text in TEXTS:
        assert escaped(text) in document
    assert all(MARK not in body.value for body in page.markdown)
    for tag in ("<script", "<iframe", "<a ", "<svg", "<img src=x"):
        assert tag not in document
    assert "<script" not in markup(page)
    assert MARK not in "".join(chart.proto.spec for chart in page.get("plotly_chart"))


def test_a_document_opens_whatever_became_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_hostile(tmp_path)
    page = opened(monkeypatch, shards=[str(path)])
    for row in range(len(page.dataframe[0].value)):
        page.session_state["document"] = (0, row)
        page.run()
        assert not page.exception


def test_the_opened_document_is_the_table_s() -> None:
    tokenizer, config = load_tokenizer("gpt2"), LoaderConfig(threshold=0.5)
    shards = expand([SAMPLE])
    for sidecar in (None, data.sidecars_beside(shards)[0].path):
        source = data.source_of(shards, "gpt2", None, sidecar)
        matched = data.matched_of(source, config)
        found = mmc4viz.corpus.verdicts.verdicts(matched, config)
        for row in range(0, 240, 17):
            part, here = int(found.part[row]), int(found.row[row])
            document = record.opened(source, part, here).document
            verdict = walk(document, config, tokenizer)
            assert verdict.image_tokens == found.image_tokens[row]
            assert verdict.text_tokens == found.text_tokens[row]
            shown = pieces(document, verdict, config, tokenizer)
            bound = [piece for piece in shown if piece.kind in ("kept", "misbound")]
            assert len(bound) == verdict.image_tokens


def test_an_open_document_survives_other_shards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = opened(monkeypatch)
    page.session_state["document"] = (1, 100)
    page.run()
    path = write_tar(tmp_path / "one.tar", [("a", info([[0.3]]))])
    page.text_area(key="shards").set_value(str(path)).run()
    assert not page.exception
    assert len(page.dataframe[0].value) == 1


def test_visible_span_lies_on_the_grid() -> None:
    scores = np.sort(np.random.default_rng(0).normal(26, 4, 1000))
    low, high = visible_span(scores, TIMES_100)
    assert {low, high} <= set(TIMES_100.thresholds().tolist())
    assert low <= scores[0]
    assert high >= scores[-1]
    assert visible_span(np.zeros(0), COSINE)[0] < 0.24 < visible_span(np.zeros(0), COSINE)[1]


def test_control_characters_show() -> None:
    assert plain("a\u202eb\u200cc\n") == "a\\u202eb\u200cc\n"


def test_both_ways_to_start_have_one_theme() -> None:
    served = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    theme = tomllib.loads((ROOT / "mmc4viz" / "ui" / "theme.toml").read_text())
    assert served["theme"] == theme["theme"]
    assert served["server"]["address"] == "127.0.0.1"
    assert served["server"]["showEmailPrompt"] is False
    assert served["browser"]["gatherUsageStats"] is False
