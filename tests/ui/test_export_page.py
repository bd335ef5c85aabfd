"""The page Export and the report: lossless round trip, inert, no network."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Page
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.config_file import parse_config
from mmc4viz.data.shards import Shard
from mmc4viz.export.methods import methods
from mmc4viz.export.report import Content, report_content, write_report
from mmc4viz.export.sections import Paragraph, Section, Table
from mmc4viz.export.trainer import openflamingo_flags
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.thresholds.labels import store
from mmc4viz.types import Config
from mmc4viz.ui import data
from mmc4viz.ui.start import VARIABLE
from mmc4viz.ui.views import export
from tests.cli.test_cli import Run
from tests.support import nasty
from tests.support.hostile import MARK, TEXTS, write_hostile
from tests.support.serving import serving
from tests.thresholds.test_compare import label_file
from tests.ui.test_pages import ROOT, SAMPLE, alerts, markup, opened

SETTINGS = [
    LoaderConfig(threshold=0.231, clip_model="sample-a"),
    LoaderConfig(
        threshold=0.291, min_images=2, max_images=3, max_tokens=90, min_kb=12, assignment="greedy",
        single_image_keep=0.1234567890123, clip_model="sample-b",
    ),
]  # fmt: skip


def started(monkeypatch: pytest.MonkeyPatch, page: str, **start: Any) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    monkeypatch.setenv(VARIABLE, json.dumps({"shards": [SAMPLE], **start}))
    app._page_hash = calc_hash(page)
    app.run()
    assert not app.exception, app.exception
    return app


def exported(app: AppTest) -> Config:
    return parse_config(app.code[0].value.encode(), "shown.yaml")


@pytest.mark.parametrize("config", SETTINGS, ids=lambda config: config.clip_model)
def test_a_config_from_the_app_gives_the_same_numbers_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: LoaderConfig
) -> None:
    flat = tmp_path / "flat.json"
    flat.write_text(json.dumps(config.as_dict()))
    first = exported(started(monkeypatch, "export", config=str(flat)))
    assert first.loader_config() == config
    own = config.clip_model == "sample-a"
    source = (first.provenance["similarity"]["source"] or "").rpartition("/")[2]
    assert source == ("" if own else "similarity_b.parquet")
    file = tmp_path / "exported.yaml"
    app = started(monkeypatch, "export", config=str(flat))
    file.write_text(app.code[0].value)
    again = started(monkeypatch, "export", config=str(file))
    second = exported(again)
    assert second.loader_config() == config
    assert repr(second.provenance["yields"]) == repr(first.provenance["yields"])
    assert "match the exported config" in markup(again)
    assert "another" not in "".join(alerts(again))
    if own:
        columns = [read_columns(s, load_tokenizer()) for s in expand([SAMPLE])]
        curves = sweep(match_corpus(columns, config), config, np.array([config.threshold]))
        row = curves.rows(config.single_image_keep)[0]
        assert second.provenance["yields"]["documents"]["value"] == row["documents"]
        assert second.provenance["yields"]["text_tokens"]["value"] == row["text_tokens"]


def test_the_page_shows_flags_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "export", kb="20", t="0.25")
    assert app.code[1].value == openflamingo_flags(LoaderConfig(threshold=0.25))
    assert "Different in the loader (no flag)" in markup(app)
    assert "size limit: n // 1000 &gt; 20" in markup(app)
    app.text_input(key="export-note").set_value("Few *wrong* pairs.")
    app.selectbox(key="export-basis").set_value("fdr").run()
    found = exported(app).provenance
    assert (found["note"], found["chosen"]) == ("Few *wrong* pairs.", {"basis": "fdr"})


def test_the_page_shows_the_report_s_sentences_and_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "r.html"
    own = ["--clip-model", "sample-a", "--threshold", "0.25"]
    said = Run(capsys, "export", SAMPLE, *own, "--report", report).out.splitlines()[1].strip()
    app = opened(monkeypatch, "export", t="0.25", vs="0.2")
    shown = [block.value for block in app.code]
    assert said in shown
    assert methods(exported(app).loader_config(), exported(app).provenance) == said
    assert "yields beside the baseline 0.2; methods; rationale; settings" in markup(app)
    assert "provenance with the digests of 2 shards" in markup(app)
    digests = [one["sha256"] for one in exported(app).provenance["corpus"]["shards"]]
    shards = sorted(Path(SAMPLE).glob("*.tar"))
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in shards]
    assert str(ROOT) not in app.code[0].value


@pytest.mark.slow
def test_a_proposal_is_kept_until_what_it_rests_on_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> tuple[AppTest, dict[str, Any]]:
        app = opened(monkeypatch, "", **{"p.documents": "40%", "p.pairs": "200"})
        app.button(key="use-yield").click().run()
        assert app.button(key="use-yield").disabled  # in use
        app._page_hash = calc_hash("export")
        return app, exported(app.run()).provenance["chosen"]

    app, chosen = taken()
    assert chosen["basis"] == "yield"
    assert chosen["target"] == "documents ≥ 40% and pairs ≥ 200"
    assert chosen["kept"]["documents"] >= 96
    assert "Exact counts" in chosen["assumption"]
    assert exported(app).loader_config().threshold == chosen["threshold"]
    before = app.session_state["chosen"]
    app.session_state["chosen"] = before | {"t": "0.26"}
    assert exported(app.run()).provenance["chosen"] == {"basis": "manual"}
    by_hand = {name: value for name, value in before.items() if name != "reason"}
    app.session_state["chosen"] = by_hand  # the same threshold, not chosen by the proposal
    assert exported(app.run()).provenance["chosen"] == {"basis": "manual"}
    app, _ = taken()
    app.number_input(key="max_images").set_value(3).run()
    assert exported(app).provenance["chosen"] == {"basis": "manual"}


@pytest.mark.slow
def test_a_basis_that_labels_do_not_support_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = label_file(tmp_path, 100, 0)
    app = started(monkeypatch, "label", labels=path)
    app.session_state["chosen"] |= {"l.precision": "0.8"}
    app.segmented_control(key="label-view").set_value("results").run()
    assert "one-sided" in markup(app)
    app.button(key="use-precision").click().run()
    app._page_hash = calc_hash("export")
    chosen = exported(app.run()).provenance["chosen"]
    assert (chosen["basis"], chosen["target"]) == ("precision", "precision ≥ 80%")
    assert chosen["low"] <= chosen["estimate"] <= chosen["high"]
    assert chosen["lower_bound"] >= 0.8
    assert 0 < chosen["labels_near_threshold"] <= chosen["labels"] <= 100
    app.selectbox(key="export-basis").set_value("manual").run()
    assert exported(app).provenance["chosen"] == {"basis": "manual"}
    app.selectbox(key="export-basis").set_value("precision").run()
    again = exported(app).provenance["chosen"]
    assert again.pop("kept")["pairs"] > 0
    assert again | {"kept": {}} == chosen
    app.session_state["chosen"] = app.session_state["chosen"] | {"t": "0.2"}
    app.run()
    assert app.selectbox(key="export-basis").value == "manual"
    app.selectbox(key="export-basis").set_value("precision").run()
    assert exported(app).provenance["chosen"] == {"basis": "manual"}
    assert "Labels do not support 0.2" in "".join(alerts(app))


def test_of_a_sample_yields_have_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "export", sample="100")
    found = exported(app).provenance["yields"]
    assert found["sampled"] == 100
    assert found["documents"]["low"] <= found["documents"]["value"] <= found["documents"]["high"]
    assert "need all documents" in markup(app)


def test_differences_are_shown_on_every_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(started(monkeypatch, "export").code[0].value)
    shards = [f"{SAMPLE}/sample-0000.tar"]
    for page in ("export", "documents"):
        app = started(monkeypatch, page, config=str(file), shards=shards)
        [said] = [text for text in alerts(app) if "different corpus" in text]
        assert "1 shard missing (sample-0001.tar)" in said
    file.write_text("threshold: 0.2\nthreshold: 0.3\n")
    app = started(monkeypatch, "export", config=str(file))
    assert "line 2: duplicate key &#x27;threshold&#x27;" in "".join(alerts(app))


# In a browser


@pytest.fixture
def page(browser: Browser) -> Any:
    page = browser.new_page(viewport={"width": 1400, "height": 1600})
    yield page
    page.close()


class Watch:
    """A page's messages and requests."""

    def __init__(self, page: Page) -> None:
        self.page, self.said, self.asked = page, list[str](), list[str]()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))
        page.on("request", lambda request: self.asked.append(request.url))


@pytest.mark.slow
def test_a_config_goes_out_and_comes_back(page: Page, tmp_path: Path) -> None:
    def saved(label: str) -> bytes:
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        return Path(download.value.path()).read_bytes()

    labelled = label_file(tmp_path, 100, 0)
    with serving(tmp_path, SAMPLE, "--labels", labelled) as address:
        page.goto(f"{address}/export?x.slices=yes&s.by=images")
        page.wait_for_selector("text=Self-contained HTML", timeout=60_000)
        config = tmp_path / "c.yaml"
        text = saved("Download YAML").decode().replace("threshold: 0.24\n", "threshold: 0.231\n")
        config.write_text(text.replace("max_images: 6\n", "max_images: 3\n"))
        page.get_by_text("Load settings").click()
        page.set_input_files('input[type="file"]', str(config))
        page.get_by_role("button", name="Apply settings").click()
        page.wait_for_selector("text=match the exported config", timeout=60_000)
        again = parse_config(saved("Download YAML"), "c.yaml")
        rows = pq.read_table(io.BytesIO(saved("Download manifest (Parquet)")))
        report = saved("Download report (HTML)").decode()
    assert again.loader_config() == parse_config(config.read_bytes(), "c.yaml").loader_config()
    assert again.loader_config().max_images == 3
    kept = again.provenance["yields"]["documents"]["value"]
    assert sum(rows.column("probability").to_pylist()) == kept
    n_labels = len(store.read(labelled))
    assert f"labels.sqlite contains {n_labels} labels by 1 annotator" in report
    assert "At threshold 0.231</h3>" in report
    assert "<h3>By images on the page</h3>" in report and "documents fewer than at" in report
    assert "<h3>sample-a and sample-b</h3>" in report
    assert 'aria-label="sample-a at 0.231: ' in report


@pytest.mark.slow
@pytest.mark.parametrize("page", ["export", "threshold"])
def test_slice_thresholds_are_said_to_be_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: str
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("threshold: 0.3\nslice_thresholds: {by: site, thresholds: {a.com: 0.4}}")
    app = started(monkeypatch, page, config=str(config))
    assert [one for one in alerts(app) if "its slice thresholds are not used in the app" in one]
    if page == "export":
        assert exported(app).loader_config().threshold == 0.3
        assert exported(app).slice_thresholds is None


def opened_from_disk(page: Page, path: Path) -> Watch:
    watch = Watch(page)
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    assert watch.said == []
    assert [url for url in watch.asked if not url.startswith("data:")] == [path.as_uri()]
    return watch


@pytest.mark.slow
def test_the_report_is_inert_and_needs_no_network(
    page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = write_hostile(tmp_path)
    nasty.write_tar(tmp_path / "n.tar", nasty.documents(seed=2, n=60))
    report = tmp_path / "r.html"
    words = ["--note", TEXTS[0] + TEXTS[3], "--clip-model", TEXTS[1]]
    run = Run(capsys, "export", shard, tmp_path / "n.tar", *words, "--report", report)
    assert run.code == 0
    opened_from_disk(page, report)
    assert page.evaluate("window.hostile") is None
    active = "script, iframe, object, embed, form, a, base, [onerror], [onload], [onclick]"
    assert page.locator(active).count() == 0
    pictures = page.locator("img").evaluate_all("all => all.map(one => one.src.slice(0, 23))")
    assert pictures
    assert set(pictures) == {"data:image/jpeg;base64,"}
    text = page.inner_text("body")
    assert TEXTS[0] in text
    assert any(words in text for words in TEXTS[2:7])
    assert "\u202e" not in report.read_text()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(wide)
    assert MARK in text


@pytest.mark.slow
def test_names_of_people_and_models_are_inert(
    page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = label_file(tmp_path, 100, 0)
    with store.writing(said) as connection:
        first = store.read(said)[:9]
        store.insert(connection, [replace(one, person=TEXTS[0]) for one in first])
    shards = [shutil.copy(path, tmp_path) for path in sorted(Path(SAMPLE).glob("*.tar"))]
    table = pq.read_table(f"{SAMPLE}/similarity_b.parquet")
    hostile = table.replace_schema_metadata({"clip_model": TEXTS[3]})
    pq.write_table(hostile, tmp_path / "similarity_x.parquet")
    report = tmp_path / "r.html"
    asked = ["--clip-model", "sample-a", "--labels", said, "--report", report, "--no-images"]
    run = Run(capsys, "export", *shards, *asked)
    assert (run.code, run.noted) == (0, "")
    opened_from_disk(page, report)
    assert page.evaluate("window.hostile") is None
    assert page.locator("script, iframe, img, a, [onload]").count() == 0
    text = page.inner_text("body")
    assert f"Ada and {TEXTS[0]}" in text
    assert f"sample-a and {TEXTS[3]}" in text
    assert page.locator("svg .band").count() == 2
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate(wide)
    page.set_viewport_size({"width": 1400, "height": 1600})


def test_thumbnails_can_be_omitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "r.html"
    assert Run(capsys, "export", SAMPLE, "--report", report, "--no-images").code == 0
    text = report.read_text()
    assert "<img" not in text
    assert "0.24 and just above" in text
    assert len(text) < 70_000


def test_a_report_of_nothing_and_of_other_sections() -> None:
    config = LoaderConfig()
    table = Table(["model", "threshold"], [("x<y", "0.2")])
    section = Section("Models", [Paragraph("a <b> word"), table])
    content = report_content(Matched([], config), config, {}, lambda _: None, sections=[section])
    text = re.sub(r">\s+<", "><", write_report(content))
    assert "<h2>Models</h2><p>a &lt;b&gt; word</p>" in text
    assert "<td>x&lt;y</td>" in text
    assert "0 (" not in text


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["documents", "pairs"])
def test_the_page_s_files_are_the_command_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: Any
) -> None:
    config = LoaderConfig(threshold=0.231, clip_model="sample-a")
    matched = match_corpus([read_columns(s, load_tokenizer()) for s in expand([SAMPLE])], config)
    for form in ("parquet", "jsonl"):
        path = tmp_path / f"m.{form}"
        files = ["--manifest", path, "--rows", rows, "--ids", tmp_path / "i.npy"]
        Run(capsys, "export", SAMPLE, "--threshold", "0.231", *files)
        assert export._manifest(matched, config, rows, form) == path.read_bytes()
        assert export._ids(matched, config) == (tmp_path / "i.npy").read_bytes()


def test_an_invalid_upload_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "export")
    app.file_uploader(key="export-load").set_value(("c.yaml", b"threshold: 0.2\nx: 1\n", "")).run()
    [said] = alerts(app)
    assert "c.yaml, line 2" in said
    app = opened(monkeypatch, "export")
    text = b"threshold: 0.26\nsingle_image_keep: 0.1234567890123\n"
    app.file_uploader(key="export-load").set_value(("c.yaml", text, "")).run()
    app.button(key="export-use").click().run()
    assert exported(app).loader_config() == LoaderConfig(
        threshold=0.26, single_image_keep=0.1234567890123, clip_model="sample-a"
    )


def test_basics_follow_the_source(tmp_path: Path) -> None:
    nasty.write_tar(tmp_path / "n.tar", nasty.documents(seed=2, n=30))
    source = data.source_of([Shard(str(tmp_path / "n.tar"))], "gpt2", None, None)
    basics = export.basics_for(source, LoaderConfig())
    assert basics.corpus.documents == basics.corpus.shards[0].documents == 30


@pytest.mark.parametrize(
    "scores", [[], [0.3], [-1e308, 1e308], [-np.inf, 0.2, np.inf], [1e-320, 2e-320], [5e307] * 3]
)
@pytest.mark.parametrize("threshold", [0.24, -1e308, 30.0, 1e308])
def test_any_scores_can_be_drawn(scores: list[float], threshold: float) -> None:
    config, found = LoaderConfig(threshold=threshold), np.array(scores, np.float64)
    thresholds = np.union1d([0.1], [threshold])
    empty = sweep(Matched([], config), config, thresholds)
    content = Content(config, {}, empty, empty.step(threshold), found)
    with np.errstate(all="raise"):
        text = write_report(content)
    assert "nan" not in text.partition("<h2>Kept data")[2].partition("<h2>Document and")[0]
