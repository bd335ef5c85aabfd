"""The page Slices: the command's numbers, found again in the documents it lists."""

from __future__ import annotations

import csv
import html as entities
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

import mmc4viz
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import html, slice_data
from mmc4viz.ui.html import NO_DOCUMENTS
from tests.cli.test_cli import Run
from tests.cli.test_slices import hostile_table
from tests.support.documents import info, write_tar
from tests.thresholds.test_compare import label_file
from tests.ui.test_browser_pages import Watched
from tests.ui.test_pages import SAMPLE, alerts, markup, opened

HOSTILE = ("=cmd|' /C calc'!A0", "<script>alert(1)</script>", "plain")


def rows_of(app: AppTest) -> list[list[str]]:
    """Return the head and the rows of the table of slices."""
    [table] = re.findall(r"<table.*?</table>", markup(app), re.DOTALL)
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    return [
        [
            entities.unescape(cell)
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def said_by_the_command(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    ran = Run(capsys, "slices", SAMPLE, "--format", "json", *options)
    found: dict[str, Any] = json.loads(ran.out)[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("threshold", ["0.24", "0.3"])
@pytest.mark.parametrize("by", ["images", "position"])
def test_the_numbers_are_the_commands(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    by: str,
    threshold: str,
) -> None:
    labels = label_file(tmp_path, 300, 0)
    app = opened(monkeypatch, "slices", start={"labels": labels}, t=threshold, **{"s.by": by})
    head, *rows = rows_of(app)
    found = said_by_the_command(capsys, "--by", by, "--threshold", threshold, "--labels", labels)
    assert [row[0] for row in rows] == [one["slice"] for one in found["slices"]]
    assert ("images per sequence" in head) == (by == "images") and "precision" in head
    for row, one in zip(rows, found["slices"], strict=True):
        cells = dict(zip(head, row, strict=True))
        assert cells[head[1]] == f"{one['size']:,}" and cells["kept"] == f"{one['kept']:,.10g}"
        assert cells["share"] == f"{one['share']:.1%}"
        assert cells["cost"].replace("−", "-") == f"{one['cost']:,.1f}"
        gone = one["size"] - one["kept"]
        assert cells["single-image drop"] == f"{one['single_image_drop']:,.10g} of {gone:,.10g}"
        assert cells["median score"] == f"{one['score_q50']:g}"
        if one["images_mean"] is not None:
            assert cells["images per sequence"] == f"{one['images_mean']:.2f}"
            assert cells["single-image"] == f"{one['single_image']:.1%}"
        if one["precision"] is None:
            assert cells["precision"].startswith(f"{one['labels']} label")
        else:
            assert cells["precision"] == f"{one['precision']:.1%}"
    first = found["slices"][0]
    named = "pages with 1 image" if by == "images" else f"images in position {first['slice']}"
    assert f"<b>{named}</b> cost most: {first['cost']:,.1f} " in markup(app)


def test_another_threshold_sweeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    swept, real = [], slice_data.document_curves
    monkeypatch.setattr(
        slice_data, "document_curves", lambda *given: swept.append(given) or real(*given)
    )
    kept = set()
    for threshold in ("0.2", "0.25", "0.3"):
        app = opened(monkeypatch, "slices", t=threshold, cap="4", **{"s.by": "images"})
        kept.add(rows_of(app)[1][2])
    assert len(swept) == 1 and len(kept) == 3


@pytest.mark.slow
def test_documents_are_listed_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    told = mmc4viz.open().explain(LoaderConfig())
    on_page = [n for one in mmc4viz.open().columns for n in one.n_images.tolist()]
    app = opened(monkeypatch, "documents", **{"f.by": "images", "f.slice": "4–6"})
    wanted = sum(4 <= n <= 6 for n in on_page)
    assert f"{wanted} of {len(told)} documents" in [one.value for one in app.text]
    assert "Images on the page: <b>4–6</b>" in markup(app)
    app = opened(
        monkeypatch, "documents",
        **{"f.by": "images", "f.slice": "4–6", "f.outcome": "below_threshold"},
    )  # fmt: skip
    both = (told["outcome"] == "below_threshold") & (np.abs(np.array(on_page) - 5) <= 1)
    assert f"{both.sum()} of {len(told)} documents" in [one.value for one in app.text]
    app.button(key="filter-slice-off").click().run()
    assert "f.slice" not in app.query_params and "f.by" not in app.query_params
    assert app.query_params["f.outcome"] in ("below_threshold", ["below_threshold"])


def test_a_slice_of_images_lists_documents_with_such_a_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = mmc4viz.open().pairs(LoaderConfig())
    app = opened(monkeypatch, "documents", **{"f.by": "position", "f.slice": "4–6"})
    here = pairs[pairs["image"].between(3, 5)]
    wanted = len(here[["shard", "key"]].drop_duplicates())
    assert 0 < wanted < 240
    assert f"{wanted} of 240 documents" in [one.value for one in app.text]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({"f.by": "images", "f.slice": "no such"}, "Images on the page has no slice"),
        ({"f.by": "nothing", "f.slice": "x"}, "is not something to divide by"),
        ({"f.by": "language", "f.slice": "en"}, "language is not recorded"),
        ({"f.slice": "1"}, "f.by"),
    ],
)
def test_an_unknown_slice_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, address: dict[str, str], said: str
) -> None:
    app = opened(monkeypatch, "documents", **address)
    assert said in entities.unescape(markup(app))
    assert len(alerts(app)) == ("f.by" in address)


@pytest.mark.slow
def test_names_of_slices_are_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hostile_table(tmp_path / "own.parquet")
    drawn: list[bytes] = []
    texts: list[str] = []

    def svg(name: str, draw: Any, what: str = "") -> None:
        drawn.append(draw())

    def table(name: str, head: Any, rows: Any, what: str = "") -> None:
        texts.append(html.csv_text(head, rows()))

    monkeypatch.setattr(html, "svg_button", svg)
    monkeypatch.setattr(html, "csv_button", table)
    name = "<script>alert(1)</script>"
    address = {"s.table": path, "s.by": "said", "s.slice": name}
    app = opened(monkeypatch, "slices", **address)
    assert not alerts(app)
    shown = markup(app)
    assert "<script" not in shown and "&lt;script&gt;alert(1)" in shown and "\x1b" not in shown
    for chart in app.get("plotly_chart"):
        assert "<script" not in chart.proto.spec and "\x1b" not in chart.proto.spec
    assert len(drawn) == 2 and all(b"<script" not in one and b"\x1b" not in one for one in drawn)
    listed = [row["slice"] for row in csv.DictReader(io.StringIO(texts[0]))]
    assert f"'{HOSTILE[0]}" in listed
    _, *rows = rows_of(app)
    found = said_by_the_command(capsys, "--slices", path)
    assert [row[2] for row in rows] == [f"{one['kept']:,.10g}" for one in found["slices"]]
    app = opened(monkeypatch, "documents", **{"s.table": path, "f.by": "said", "f.slice": name})
    assert "60 of 240 documents" in [one.value for one in app.text]
    assert "<script" not in markup(app)


def test_a_table_is_read_within_the_roots_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = hostile_table(tmp_path_factory.mktemp("outside") / "t.parquet")
    app = opened(monkeypatch, "slices", **{"s.table": elsewhere})
    assert "asks for a slice table" in markup(app) and not app.text_input(key="slices-table").value
    for path, said in (
        (elsewhere, "outside the folders this app may read"),
        (str(tmp_path / "missing.parquet"), "no such file"),
        (str(tmp_path), "no such file"),
    ):
        app.text_input(key="slices-table").set_value(path).run()
        [line] = alerts(app)
        assert said in line
        assert len(rows_of(app)) > 1  # the page goes on without it
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    app.text_input(key="slices-table").set_value(str(broken)).run()
    assert "cannot be read as a Parquet table" in alerts(app)[0]


def test_a_column_that_divides_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"shard": ["x"], "key": ["k"], "a": [[1]], "b": [2]}), path)
    app = opened(monkeypatch, "slices", **{"s.table": str(path), "s.by": "a"})
    assert "slices need text, numbers" in alerts(app)[0]
    app = opened(monkeypatch, "slices", **{"s.table": str(path), "s.by": "b"})
    assert "has no row for 240 of 240 documents" in markup(app)


def test_what_is_not_recorded_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "slices")
    options = app.selectbox(key="slices-by").options
    assert "Language" not in options and "Site" in options
    assert "mmc4viz index --describe language" in markup(app)


@pytest.mark.parametrize(
    ("documents", "first"),
    [((10, 10, 10), "site"), ((20, 10, 9), "images"), ((30, 30), "images")],
)
def test_the_first_division_has_several_slices_to_compare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, documents: tuple[int, ...], first: str
) -> None:
    urls = [f"https://site{i}.com/{k}" for i, n in enumerate(documents) for k in range(n)]
    urls += [""] * 20  # no value, and an address: slices, but no sites
    urls += ["https://127.0.0.1/"] * 20
    found = [(f"d{i}", info([[0.3, 0.1]], url=url)) for i, url in enumerate(urls)]
    shards = str(write_tar(tmp_path / "s.tar", found))
    app = opened(monkeypatch, "slices", shards)
    assert app.selectbox(key="slices-by").value == first and "s.by" not in app.query_params
    other = "site" if first == "images" else "images"
    app = opened(monkeypatch, "slices", shards, **{"s.by": other})
    assert app.selectbox(key="slices-by").value == other


def test_a_sample_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "slices", sample="50")
    [line] = alerts(app)
    assert slice_data.NEEDS_ALL in line and not app.get("plotly_chart")


def test_the_report_has_them_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    held = "Self-contained HTML (no scripts): "
    for address, there in (({}, False), ({"x.slices": "yes"}, True)):
        line = markup(opened(monkeypatch, "export", **address)).partition(held)[2]
        assert ("; slices; " in line.partition("</div>")[0]) == there


def test_nothing_to_divide_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert NO_DOCUMENTS in markup(opened(monkeypatch, "slices", str(empty)))


@pytest.mark.slow
def test_a_press_lists_the_documents(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("slices?s.by=images", "[class*=st-key-slices-shares] .nsewdrag")
    area = page.locator("[class*=st-key-slices-shares] .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.375 * box["height"])
    expect(page.get_by_text("102 of 240 documents")).to_be_visible()  # the second of four rows
    expect(page.get_by_text("Images on the page: 2–3")).to_be_visible()
    at_rest = '[data-test-script-state="notRunning"]'
    page.wait_for_url("**/documents?*f.by=images*")
    page.wait_for_selector(at_rest)
    page.get_by_role("link", name="Slices", exact=True).click()
    page.wait_for_url("**/slices?*")
    page.wait_for_selector(at_rest)
    page.get_by_role("button", name="List documents").press("Enter")
    expect(page.get_by_text("55 of 240 documents")).to_be_visible()
    page.wait_for_selector(at_rest)
    page.get_by_role("button", name="Clear slice").press("Enter")
    expect(page.get_by_text("240 documents", exact=True)).to_be_visible()
    watched.assert_quiet()
    page.close()
