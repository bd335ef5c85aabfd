"""The frontier on Compare models and on Threshold: its numbers are those of the core."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from mmc4viz import LoaderConfig
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare.frontier import by_precision, shared
from mmc4viz.thresholds.compare.roc import evidence
from mmc4viz.thresholds.labels.precision import curve
from tests.support.hostile import MARK
from tests.support.serving import serving
from tests.thresholds.test_compare import label_file, sample
from tests.ui.test_browser_pages import Watched
from tests.ui.test_pages import alerts, markup, opened
from tests.ui.test_pictures import assert_is_plain_svg, csvs_of, svgs_of
from tests.ui.test_saved import save


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Labels of both models' pairs."""
    return label_file(tmp_path_factory.mktemp("labels"), 100, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", YIELDS)
def test_models_are_compared_by_what_they_buy(
    monkeypatch: pytest.MonkeyPatch, labels: str, quantity: str
) -> None:
    csvs = csvs_of(monkeypatch)
    page = opened(
        monkeypatch, "compare-models", start={"labels": labels}, t="0.26", **{"m.by": quantity}
    )
    frontier = by_precision(sample(), evidence(labels, list(sample())), quantity, 0.26)
    head, *rows = csvs["frontier"]
    assert [dict(zip(head, row, strict=True)) for row in rows] == frontier.rows()
    assert all(f"{words}." in markup(page) for words in frontier.in_words())


def test_without_labels_models_share_what_they_keep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    csvs = csvs_of(monkeypatch)
    none = {"labels": str(tmp_path / "none.sqlite")}
    page = opened(monkeypatch, "compare-models", start=none, **{"m.by": "documents"})
    head, *rows = csvs["frontier"]
    overlap = shared(*sample(), "documents", 0.24)
    assert [dict(zip(head, row, strict=True)) for row in rows] == overlap.rows()
    assert overlap.in_words() in markup(page)
    assert "This is not how good the pairs are" in markup(page)
    assert "Label pairs" in [link.proto.label for link in page.get("page_link")]
    page = opened(monkeypatch, "compare-models", start=none, quality="precision")
    assert "No labels yet, so there is no precision." in markup(page)


@pytest.mark.slow
def test_a_model_without_labels_or_estimate_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    csvs, path = csvs_of(monkeypatch), label_file(tmp_path, 60, 0)
    page = opened(monkeypatch, "compare-models", start={"labels": path})
    assert "sample-b is not drawn: " in markup(page)
    assert {row[0] for row in csvs["frontier"][1:]} == {"sample-a"}
    page = opened(monkeypatch, "compare-models", start={"labels": path}, quality="fdr")
    assert "sample-b is not drawn: separation between" in markup(page)
    assert {row[5] for row in csvs["frontier"][1:]} == {"1 − FDR"}
    assert "failed on real MMC4 pages" in markup(page)


@pytest.mark.slow
def test_two_caps_are_two_lines(monkeypatch: pytest.MonkeyPatch, labels: str) -> None:
    csvs, svgs = csvs_of(monkeypatch), svgs_of(monkeypatch)
    start = {"labels": labels}
    name = save(opened(monkeypatch, "", start=start, t="0.26", cap="1"), f"<b>{MARK}")
    page = opened(
        monkeypatch, "", start=start, picture="frontier", kept="image_tokens", t="0.22", vs=name
    )
    head, *rows = csvs["frontier"]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    config = LoaderConfig()
    marked = {row["line"]: row["threshold"] for row in found if row["chosen"]}
    assert marked == {"current": 0.22, f"baseline <b>{MARK}": 0.26}
    labelled = evidence(labels, [sample()[0]]).of["sample-a"].sample
    for line, cap in (("current", config.max_images), (f"baseline <b>{MARK}", 1)):
        mine = [row for row in found if row["line"] == line]
        at = np.array([row["threshold"] for row in mine])
        swept = sweep(sample()[0].model.matched, config.with_(max_images=cap), at)
        assert [row["kept"] for row in mine] == swept.expected("image_tokens", 0.5).tolist()
        precision = curve(labelled, at).precision.estimate
        known = [row["estimate"] is not None for row in mine]
        assert sum(known) > 10
        assert [row["estimate"] for row in mine if row["estimate"] is not None] == precision[
            known
        ].tolist()
    [draw] = [draw for name, _, draw in svgs if name == "frontier"]
    assert f"baseline <b>{MARK}"[:10] in assert_is_plain_svg(draw())
    assert f"<b>{MARK}" not in markup(page)


@pytest.mark.slow
def test_settings_that_differ_in_the_threshold_only_are_one_line(
    monkeypatch: pytest.MonkeyPatch, labels: str
) -> None:
    csvs = csvs_of(monkeypatch)
    start = {"labels": labels}
    page = opened(monkeypatch, "", start=start, picture="frontier", t="0.2", vs="0.3")
    rows = csvs["frontier"][1:]
    assert {row[0] for row in rows} == {"current"}
    assert [row[1] for row in rows if row[-1]] == [0.2, 0.3]
    assert "differ in the threshold only" in markup(page)


@pytest.mark.slow
def test_settings_without_labels_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labels: str
) -> None:
    csvs, none = csvs_of(monkeypatch), {"labels": str(tmp_path / "none.sqlite")}
    page = opened(monkeypatch, "", start=none, picture="frontier")
    assert "frontier" not in csvs and not alerts(page)
    assert "differ in the threshold only" in markup(page)
    name = save(opened(monkeypatch, "", start=none, match="greedy"), "greedy")
    page = opened(monkeypatch, "", start=none, picture="frontier", vs=name)
    assert csvs.pop("frontier")[1][:2] == ["current", "baseline greedy"]
    assert "baseline greedy keeps as much at" in markup(page)
    name = save(opened(monkeypatch, "", start={"labels": labels}, match="greedy"), "greedy")
    page = opened(monkeypatch, "", start={"labels": labels}, picture="frontier", vs=name)
    assert {row[0] for row in csvs["frontier"][1:]} == {"current"}
    assert "baseline greedy is not drawn: its pairs differ" in markup(page)


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["precision", "fdr", "overlap", "<b>x"])
def test_a_sample_or_a_strange_address_is_no_error(
    monkeypatch: pytest.MonkeyPatch, labels: str, quality: str
) -> None:
    for page in (
        opened(monkeypatch, "", start={"labels": labels}, picture="frontier", sample="120",
               quality=quality, kept="apples"),
        opened(monkeypatch, "compare-models", start={"labels": labels}, quality=quality,
               sample="120"),
    ):  # fmt: skip
        assert not page.exception
        assert "<b>x" not in markup(page)


@pytest.mark.slow
def test_the_frontier_is_drawn_and_downloaded(
    browser: Browser, labels: str, tmp_path: Path
) -> None:
    with serving(tmp_path, "--labels", labels) as address:
        watched = Watched(browser, address)
        page = watched.open("compare-models?m.by=documents", ".st-key-frontier .main-svg")
        heading = page.get_by_role("heading", name="Precision against documents kept")
        expect(heading).to_be_visible()
        chart = page.locator(".st-key-frontier")
        expect(chart.locator("text", has_text="sample-b").first).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download frontier (CSV)").click()
        assert download.value.suggested_filename == "frontier.csv"
        rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
        wanted = by_precision(sample(), evidence(labels, list(sample())), "documents", 0.24).rows()
        for row, expected in zip(rows, wanted, strict=True):
            for name in ("threshold", "kept", "estimate", "low", "high"):
                assert (float(row[name]) if row[name] else None) == expected[name]
        bold = [row["threshold"] for row in rows if row["chosen"] == "True"]
        for threshold in bold:  # the chosen points are named in the picture
            name = f"{float(threshold):.4g}"
            expect(chart.locator("text", has_text=name).first).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download frontier (SVG)").click()
        assert "sample-b" in assert_is_plain_svg(Path(download.value.path()).read_bytes())
        watched.assert_quiet()
        page.close()
