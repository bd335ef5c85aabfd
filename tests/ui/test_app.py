"""The dashboard without a browser: its numbers are exact, and no input breaks it."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

import mmc4viz
from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import main
from mmc4viz.data.scale import COSINE, TIMES_100
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.sweep import sweep
from mmc4viz.text import plain
from mmc4viz.types import ShardError
from mmc4viz.ui import data, document_data
from mmc4viz.ui.components import control
from mmc4viz.ui.saved import store
from mmc4viz.ui.start import VARIABLE
from mmc4viz.ui.state import visible_span
from tests.support.documents import info, write_tar
from tests.support.hostile import MARK, TEXTS, write_hostile

ROOT = Path(mmc4viz.__file__).parents[1]
SAMPLE = str(ROOT / "sample_data")


def opened(monkeypatch: pytest.MonkeyPatch, **start: Any) -> AppTest:
    monkeypatch.setenv(VARIABLE, json.dumps(start))
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()


def sent(page: AppTest) -> dict[str, Any]:
    """Unpack what the threshold control was sent: its header, with the curves by name."""
    message = next(e.proto for e in components(page) if e.proto.component_name == "mmc4viz.control")
    size = int.from_bytes(message.bytes[:4], "little")
    header: dict[str, Any] = json.loads(message.bytes[4 : 4 + size])
    values = np.frombuffer(message.bytes[4 + size :], "<f8").reshape(len(header["arrays"]), -1)
    return header | dict(zip(header["arrays"], values, strict=True))


def components(page: AppTest) -> list[Any]:
    return list(page.get("bidi_component"))


def threshold(page: AppTest) -> float:
    header = sent(page)
    return float(header["set"]["value"])


def moved(page: AppTest, value: float) -> AppTest:
    """Set another threshold, as a link does."""
    page.session_state["chosen"] = page.session_state["chosen"] | {"t": str(value)}
    return page.run()


def numbers(page: AppTest) -> list[str]:
    """Format the headline numbers at the threshold as the browser does."""
    found = sent(page)
    at = round(found["set"]["value"] / found["step"]) - found["first"]
    tokens = found["image_tokens"][at]
    return [
        f"{found['documents'][at]:,.1f}",
        f"{found['documents'][at] / found['wholes']['documents']:.1%}",
        f"{found['pairs'][at]:,.0f}",
        f"{tokens:,.1f}",
        f"{found['mispaired'][at] / tokens if tokens else 0:.1%}",
    ]


def expected(config: LoaderConfig, shards: str = SAMPLE) -> list[str]:
    """Compute the headline numbers from a sweep at one threshold."""
    columns = [read_columns(s, load_tokenizer(config.tokenizer)) for s in expand([shards])]
    curves = sweep(match_corpus(columns, config), config, np.array([config.threshold]))
    row = curves.rows(config.single_image_keep)[0]
    whole = sum(map(len, columns))
    mispaired = row["mispaired"] / row["image_tokens"] if row["image_tokens"] else 0
    return [
        f"{row['documents']:,.1f}",
        f"{row['documents'] / whole:.1%}",
        f"{row['pairs']:,}",
        f"{row['image_tokens']:,.1f}",
        f"{mispaired:.1%}",
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
    assert sent(page)["compared"]["numbers"]["documents"] == 104.0
    assert page.selectbox(key="clip-model").value == "sample-a"
    assert page.query_params == {"t": "0.24"}


@pytest.mark.slow
def test_numbers_follow_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    for threshold in (0.3, 0.185, 0.241):
        assert numbers(moved(page, threshold)) == expected(LoaderConfig(threshold=threshold))
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
    assert numbers(moved(page, config.threshold)) == expected(config)


@pytest.mark.slow
def test_a_threshold_is_remembered_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    models = page.selectbox(key="clip-model")
    assert len(models.options) == 2
    moved(page, 0.3)
    page.selectbox(key="clip-model").set_value(models.options[1]).run()
    second = numbers(page)
    # As many documents as under the first model, or the nearest step to that.
    first = expected(LoaderConfig(threshold=0.3))
    assert abs(float(second[0].replace(",", "")) - float(first[0].replace(",", ""))) <= 1
    assert f"0.3 of {models.options[0]} keeps" in markup(page)
    page.button(key="equivalent-undo").click().run()
    assert threshold(page) == 0.24
    assert "keeps" not in markup(page)
    page.session_state["chosen"][f"t.{models.options[1]}"] = "0.5"
    assert numbers(page.run()) != second
    page.selectbox(key="clip-model").set_value(models.options[0]).run()
    assert threshold(page) == 0.3
    assert numbers(page) == expected(LoaderConfig(threshold=0.3))
    page.selectbox(key="clip-model").set_value(models.options[1]).run()
    assert threshold(page) == 0.5


@pytest.mark.slow
def test_the_reference_is_never_used_on_another_scale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Scores times 100: neither the threshold nor what undoing leads to is a cosine."""
    for shard in sorted(Path(SAMPLE).glob("*.tar")):
        shutil.copy(shard, tmp_path)
    table = pq.read_table(f"{SAMPLE}/similarity_b.parquet").replace_schema_metadata()
    times = [[100 * score for score in row] for row in table["values"].to_pylist()]
    column = table.schema.get_field_index("values")
    table = table.set_column(column, "values", pa.array(times, table["values"].type))
    pq.write_table(table, tmp_path / "similarity_x.parquet")
    page = opened(monkeypatch, shards=[str(tmp_path)])
    page.selectbox(key="clip-model").set_value("x").run()
    assert threshold(page) > 20
    page.button(key="equivalent-undo").click().run()
    assert threshold(page) > 20
    first, second = expected(LoaderConfig()), numbers(page)
    assert abs(float(first[2].replace(",", "")) - float(second[2].replace(",", ""))) < 12  # pairs


def test_moving_the_threshold_matches_and_sweeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)

    def refused(*_: Any) -> None:
        raise AssertionError("the threshold must not cost this")

    for name in ("match_corpus", "sweep", "read_digested"):
        monkeypatch.setattr(data, name, refused)
    moved(page, 0.2)
    assert not page.exception


def test_start_settings_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = LoaderConfig(threshold=0.2, max_tokens=64)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config.as_dict()))
    page = opened(monkeypatch, shards=[SAMPLE], config=str(file))
    assert numbers(page) == expected(config)


def test_a_threshold_off_the_grid_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"threshold": 30}')
    page = opened(monkeypatch, shards=[SAMPLE], config=str(file))
    assert "30 is not on this model&#x27;s grid (cosine scale)" in markup(page)


@pytest.mark.parametrize("shards", ["nowhere.tar", "{a", "no-{0..3}.tar", "/", "a\0b"])
def test_bad_shards_give_one_line(monkeypatch: pytest.MonkeyPatch, shards: str) -> None:
    page = opened(monkeypatch)
    page.text_area(key="shards").set_value(shards).run()
    assert not page.exception
    assert len(alerts(page)) == 1
    assert "\n" not in alerts(page)[0]
    page.text_area(key="shards").set_value(SAMPLE).run()
    assert numbers(page) == expected(LoaderConfig())


def test_a_bad_tokenizer_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    page.text_input(key="tokenizer").set_value("no/such/tokenizer.json").run()
    assert not page.exception
    assert len(alerts(page)) == 1


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"PAR1" + bytes(100)])
def test_broken_shards_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.tar").write_bytes(content)
    page = opened(monkeypatch, shards=[str(tmp_path / "broken.tar")])
    assert not page.exception
    assert any("broken.tar" in alert for alert in alerts(page))


def test_ignored_content_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a", b"{}")])
    path.write_bytes(path.read_bytes() * 2)
    page = opened(monkeypatch, shards=[str(path)])
    assert not page.exception
    assert "data after the end of the tar is ignored" in markup(page)
    assert "Every document is unreadable" in markup(page)


def test_unknown_sizes_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = info([[0.3, 0.1]])
    for image in line["image_info"]:
        del image["image_base64"]
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    page = opened(monkeypatch, shards=[str(tmp_path / "a.jsonl")])
    assert not page.exception
    assert "image sizes are unknown" in markup(page)


def test_nothing_to_open_offers_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    page.text_area(key="shards").set_value("").run()
    assert not page.exception
    assert "No shards selected." in markup(page)
    page.button(key="open-sample").click().run()
    assert numbers(page) == expected(LoaderConfig())


def test_hostile_names_are_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = opened(monkeypatch, shards=[str(write_hostile(tmp_path))])
    page.session_state["chosen"] |= {"vs": TEXTS[0], "view": TEXTS[1], "model": TEXTS[2]}
    page.run()
    assert not page.exception
    assert all(MARK not in body.value for body in page.markdown)
    for tag in ("<script", "<iframe", "<a ", "<svg", "<img src=x"):
        assert tag not in markup(page)


@pytest.mark.parametrize("nonsense", ["", "nan", "-1e9", "<b>", "1" * 300, "\x00", "{"])
def test_any_address_opens(monkeypatch: pytest.MonkeyPatch, nonsense: str) -> None:
    monkeypatch.setenv(VARIABLE, "{}")
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    names = (
        "t",
        "min",
        "cap",
        "len",
        "kb",
        "match",
        "keep",
        "sample",
        "model",
        "vs",
        "view",
        "s.x",
    )
    page.query_params.update(dict.fromkeys(names, nonsense))
    page.run()
    assert not page.exception
    assert len(alerts(page)) <= 1


def test_a_link_reproduces_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "{}")
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    asked = {"t": "0.21", "cap": "3", "len": "128", "match": "argmax", "keep": "0.25", "kb": "20"}
    page.query_params.update(asked)
    page.run()
    config = LoaderConfig(
        threshold=0.21,
        max_images=3,
        max_tokens=128,
        assignment="argmax",
        single_image_keep=0.25,
        min_kb=20,
    )
    assert numbers(page) == expected(config)
    assert page.query_params == asked


@pytest.mark.slow
def test_a_setting_is_saved_used_and_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = moved(opened(monkeypatch), 0.3)
    page.number_input(key="max_images").set_value(2).run()
    next(i for i in page.text_input if i.label == "Name").set_value("strict")
    next(b for b in page.button if b.label == "Save").click().run()
    saved = page.query_params["vs"]
    assert store.is_id(saved)
    assert page.selectbox(key="compare").value == saved
    page.number_input(key="max_images").set_value(6).run()
    moved(page, 0.24)
    strict = expected(LoaderConfig(threshold=0.3, max_images=2))
    compared = sent(page)["compared"]
    assert compared["label"] == "strict"
    assert f"{compared['numbers']['image_tokens']:,.1f}" == strict[3]
    page.button(key="saved-apply").click().run()
    assert not page.exception
    assert numbers(page) == strict
    assert page.number_input(key="max_images").value == 2
    later = opened(monkeypatch)  # another session, without the address
    assert "strict" in later.selectbox(key="compare").options
    later.button(key="saved-delete").click().run()
    assert "strict" not in opened(monkeypatch).selectbox(key="compare").options


def test_a_threshold_from_the_control_is_not_sent_back(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch)
    before = sent(page)["set"]
    page.session_state["control-reported"] = 0.3  # as its callback does
    moved(page, 0.3)
    assert sent(page)["set"] == before
    assert sent(moved(page, 0.2))["set"] == {"value": 0.2, "serial": before["serial"] + 1}


@pytest.mark.slow
def test_an_index_opens_in_place_of_shards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = indexed(tmp_path)
    page = opened(monkeypatch, index=folder)
    assert not page.exception
    assert numbers(page) == expected(LoaderConfig())
    assert "sample-a" in page.selectbox(key="clip-model").options
    page.text_input(key="index").set_value(str(tmp_path / "nowhere")).run()
    assert len(alerts(page)) == 1


@pytest.mark.slow
def test_an_index_that_checked_less_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = opened(monkeypatch, index=indexed(tmp_path, "--verify", "header"))
    assert "--verify header" in markup(page)


def test_a_changed_shard_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "one.tar", [("a", info([[0.3]]))])
    folder = indexed(tmp_path, shards=str(shard))
    source = data.CorpusKey((), data.identify("gpt2"), index=data.index_at(folder))
    assert data.shard_at(source, 0)[0].path == str(shard)
    write_tar(shard, [("b", info([[0.3], [0.2]]))])
    with pytest.raises(ShardError, match="changed"):
        data.shard_at(source, 0)
    shard.unlink()
    with pytest.raises(ShardError):
        data.shard_at(source, 0)


def indexed(folder: Path, *options: str, shards: str = SAMPLE) -> str:
    out = str(folder / "index")
    with pytest.raises(SystemExit):
        main(["index", shards, "--out", out, "--workers", "1", *options])
    return out


@pytest.mark.slow
def test_a_sample_has_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch, sample=100)
    found = sent(page)
    assert found["estimated"]
    assert "with 95% CIs" in markup(page)
    assert "100 of 240" in markup(page)
    for name in control.YIELDS:
        assert (found[f"{name}_low"] <= found[f"{name}_high"]).all()
    assert found["wholes"]["documents"] == pytest.approx(240)
    page.number_input(key="sample").set_value(0).run()
    assert numbers(page) == expected(LoaderConfig())
    page.number_input(key="sample").set_value(1).run()
    assert len(alerts(page)) == 1


@pytest.mark.slow
def test_a_sample_of_everything_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch, sample=240)
    assert numbers(page) == expected(LoaderConfig())
    found = sent(page)
    assert np.allclose(found["documents_low"], found["documents_high"])


def test_the_opened_document_is_the_table_s() -> None:
    tokenizer, config = load_tokenizer("gpt2"), LoaderConfig(threshold=0.5)
    shards = expand([SAMPLE])
    for sidecar in (None, data.similarity_files_beside([SAMPLE])[0].path):
        source = data.source_of(shards, "gpt2", None, sidecar)
        matched = data.matched_of(source, config)
        found = mmc4viz.sweep.document_table.verdicts(matched, config)
        for row in range(0, 240, 17):
            part, here = int(found.part[row]), int(found.row[row])
            document = document_data.opened(source, part, here).document
            verdict = walk(document, config, tokenizer)
            assert verdict.image_tokens == found.image_tokens[row]
            assert verdict.text_tokens == found.text_tokens[row]
            shown = document_data.sequence_of(document, verdict, config, tokenizer)
            pieces = shown.pieces if shown else ()
            bound = [piece for piece in pieces if piece.kind in ("kept", "mispaired")]
            assert len(bound) == verdict.image_tokens


def test_visible_span_lies_on_the_grid() -> None:
    scores = np.sort(np.random.default_rng(0).normal(26, 4, 1000))
    low, high = visible_span(scores[0], scores[-1], TIMES_100)
    assert {low, high} <= set(TIMES_100.thresholds().tolist())
    assert low <= scores[0]
    assert high >= scores[-1]
    low, high = visible_span(np.nan, np.nan, COSINE)
    assert low < 0.24 < high


def test_control_characters_show() -> None:
    assert plain("a\u202eb\u200cc\n") == "a\\u202eb\u200cc\n"


def test_both_ways_to_start_have_one_theme() -> None:
    served = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    theme = tomllib.loads((ROOT / "mmc4viz" / "ui" / "assets" / "theme.toml").read_text())
    assert served["theme"] == theme["theme"]
    assert served["server"]["address"] == "127.0.0.1"
    assert served["client"]["disableDataExport"] is True  # its CSV would hold formulas
    assert served["server"]["showEmailPrompt"] is False
    assert served["browser"]["gatherUsageStats"] is False
