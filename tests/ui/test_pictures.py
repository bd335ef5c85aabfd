"""The pictures of Threshold and their downloads: their numbers are those of `curve`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Browser
from streamlit.testing.v1 import AppTest

import mmc4viz
from mmc4viz import LoaderConfig, charts
from mmc4viz.data.scale import COSINE
from mmc4viz.export import sankey
from mmc4viz.export.figure_svg import sheet
from mmc4viz.sweep.shape import shape_rows
from mmc4viz.sweep.statistics import Curves, document_funnel, image_funnel
from mmc4viz.ui import html
from tests.support.hostile import MARK, TEXTS, write_hostile
from tests.thresholds.test_compare import label_file
from tests.ui.test_app import components, sent
from tests.ui.test_browser import KEEP, Watched, curves_at, words
from tests.ui.test_pages import SAMPLE, alerts, markup, opened

SVG = "{http://www.w3.org/2000/svg}"


def assert_is_plain_svg(drawn: bytes) -> str:
    """Check that a file is SVG that only draws; return its text."""
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    drawing = {"svg", "title", "g", "rect", "path", "polygon", "circle", "text", "tspan"}
    for node in root.iter():
        assert node.tag.removeprefix(SVG) in drawing
        for name, value in node.attrib.items():
            assert not name.startswith("on") and "href" not in name and "url(" not in value
    return "\n".join(root.itertext())


@pytest.fixture(scope="module")
def sample_curves() -> Curves:
    return curves_at(LoaderConfig())


def numbers_of(text: str) -> float:
    return float(text.replace(",", ""))


def funnels(page: AppTest) -> list[dict[str, Any]]:
    found = next(e for e in components(page) if e.proto.component_name == "mmc4viz.funnel")
    data: list[dict[str, Any]] = json.loads(found.proto.json)["funnels"]
    return data


@pytest.mark.parametrize("t", ["0.15", "0.24", "0.3"])
def test_the_sankey_adds_up_and_has_the_curves_numbers(
    monkeypatch: pytest.MonkeyPatch, sample_curves: Curves, t: str
) -> None:
    page = opened(monkeypatch, "", t=t)
    step = sample_curves.step(float(t))
    for one, losses in zip(funnels(page), (document_funnel, image_funnel), strict=True):
        wanted = losses(sample_curves, step, KEEP)
        shown = [numbers_of(line["words"][0]) for line in one["lines"]]
        assert shown == [*(loss.lost for loss in wanted), wanted[-1].remaining]
        assert sum(shown) == numbers_of(one["whole"]["number"])
        assert [line["name"] for line in one["lines"]] == [*(loss.name for loss in wanted), ""]
        assert sum(line["height"] for line in one["lines"]) == pytest.approx(one["height"])


def test_every_share_says_of_what(monkeypatch: pytest.MonkeyPatch, sample_curves: Curves) -> None:
    page = opened(monkeypatch, "", **{"p.text_tokens": "40%"})
    shown = sent(page)
    of = {one["name"]: one["of"] for one in shown["yields"]}
    curves, tokens = sample_curves, sample_curves.expected("text_tokens", KEEP)
    pairs = curves.total("pairs")[0] + curves.total("rejected_pairs")[0]
    assert (of["documents"], shown["wholes"]["documents"]) == ("of all documents", 240)
    assert (of["pairs"], shown["wholes"]["pairs"]) == ("of all matched pairs", pairs)
    assert (of["text_tokens"], shown["wholes"]["text_tokens"]) == (
        "of the most at any threshold", tokens.max()
    )  # fmt: skip
    assert "% of the most at any threshold (target " in markup(page)
    page.segmented_control(key="settings-yield").set_value("documents").run()
    assert any("as a share of all." in one.value for one in page.caption)


def test_pictures_are_chosen_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(page: AppTest) -> tuple[str, list[str], list[str]]:
        [group, *inside] = [
            one for one in page.segmented_control if one.label in ("Pictures", "Picture")
        ]
        named = page.query_params.get("picture", [])
        return group.value, [one.value for one in inside], [named] if named == str(named) else named

    page = opened(monkeypatch, "", picture="passes")
    assert chosen(page) == ("Training", ["passes"], ["passes"])
    page.segmented_control(key="threshold-group").set_value("Trade-offs").run()
    assert chosen(page) == ("Trade-offs", ["baseline"], ["baseline"])
    page.segmented_control(key="threshold-picture-Trade-offs").set_value("settings").run()
    assert chosen(page) == ("Trade-offs", ["settings"], ["settings"])
    page.segmented_control(key="threshold-group").set_value("Drop reasons").run()
    assert chosen(page) == ("Drop reasons", [], [])
    assert "Drop reasons" in [one.value for one in page.header]
    page.segmented_control(key="threshold-group").set_value("Trade-offs").run()
    assert chosen(page) == ("Trade-offs", ["baseline"], ["baseline"])
    page = opened(monkeypatch, "", picture="nothing")
    assert chosen(page) == ("Drop reasons", [], []) and "one of drops, scores" in markup(page)


def test_every_reason_for_dropping_is_explained(
    monkeypatch: pytest.MonkeyPatch, sample_curves: Curves
) -> None:
    page = opened(monkeypatch, "")
    [help_] = [one.help for one in page.header if one.value == "Drop reasons"]
    for loss in (*document_funnel(sample_curves, 0, KEEP), *image_funnel(sample_curves, 0, KEEP)):
        assert f": {loss.meaning}" in help_
    assert "**too few images**: fewer image tokens than the minimum" in help_


def test_ribbons_are_as_thick_as_their_shares_and_never_cross() -> None:
    numbers = [5.0, 0.0, 20.0, 75.0]
    found = sankey.ribbons(numbers)
    assert found[1].path == ""
    for number, one in zip(numbers, found, strict=True):
        assert one.height == pytest.approx(sankey.LINE + sankey.WHOLE * number / 100)
        if one.path:
            top = float(re.search(r"^M0,([\d.]+)", one.path)[1])  # type: ignore[index]
            bottom = float(re.search(r"V([\d.]+)C", one.path)[1])  # type: ignore[index]
            end = float(re.search(r" 100,([\d.]+)V", one.path)[1])  # type: ignore[index]
            assert bottom - end == pytest.approx(sankey.WHOLE * number / 100, abs=0.02)
            assert end <= top + 0.02  # upward or straight
    assert sankey.height_of(4) == pytest.approx(sum(one.height for one in found))


def figure_of(page: AppTest, number: int = 0) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(page.get("plotly_chart")[number].proto.spec)
    return spec


@pytest.mark.parametrize("t", ["0.2", "0.26"])
def test_densities_add_up_to_the_curves(
    monkeypatch: pytest.MonkeyPatch, sample_curves: Curves, t: str
) -> None:
    csvs = csvs_of(monkeypatch)
    page = opened(monkeypatch, "", t=t, picture="scores")
    step = sample_curves.step(float(t))
    head, *rows = csvs["score-density"]
    sums = dict(zip(head[2:], np.array(rows, float)[:, 2:].sum(axis=0), strict=True))
    assert sums["below threshold"] == sample_curves.total("rejected_pairs")[step]
    assert sums["truncated"] == sample_curves.total("truncated")[step]
    assert sums["dropped at the cap"] == sample_curves.total("over_cap")[step]
    above = sum(n for name, n in sums.items() if name != "below threshold")
    assert above == sample_curves.total("pairs")[step]
    named = [note["text"] for note in figure_of(page)["layout"]["annotations"]]
    assert [f"<b>{name}</b>  {n:,.10g}" in text
            for (name, n), text in zip(sums.items(), named, strict=True)] == [True] * 5  # fmt: skip
    assert "No labels yet for sample-a" in markup(page)


def csvs_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Gather the rows of every CSV that is offered from now on, by its name."""
    offered: dict[str, list[Any]] = {}

    def offer(name: str, head: Any, rows: Any, what: str = "") -> None:
        offered[name] = [list(head), *(list(row) for row in rows())]

    monkeypatch.setattr(html, "csv_button", offer)
    return offered


@pytest.mark.slow
def test_pictures_share_the_controls_axis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    view = json.dumps({"from": 1200, "to": 1300})
    path = label_file(tmp_path, 100, 0)
    for picture in ("scores", "precision", "position", "passes", "sequences", "settings"):
        page = opened(monkeypatch, "", start={"labels": path}, picture=picture, view=view)
        assert figure_of(page)["layout"]["xaxis"]["range"] == [0.2, 0.3], picture
        margin = figure_of(page)["layout"]["margin"]
        assert (margin["l"], margin["r"]) == (46, 14)  # PAD in control_draw.js


@pytest.mark.slow
def test_precision_is_that_of_the_page_label(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = label_file(tmp_path, 100, 0)
    csvs = csvs_of(monkeypatch)
    page = opened(monkeypatch, "", start={"labels": path}, picture="precision")
    here, drawn = csvs.pop("precision"), figure_of(page)["data"]
    sentence = re.search(r"At 0.24: precision ([\d.]+%)", markup(page))
    page = opened(monkeypatch, "label", start={"labels": path}, **{"l.view": "results"})
    assert csvs["precision"] == here and len(here) > 10
    assert figure_of(page)["data"] == drawn
    assert sentence is not None and f">{sentence[1]}<" in markup(page)


def test_without_labels_one_line_leads_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch, "", picture="precision")
    assert not page.get("plotly_chart")
    assert "No labels yet for sample-a with these settings." in markup(page)
    assert "Label pairs" in [link.proto.label for link in page.get("page_link")]


@pytest.mark.slow
def test_labels_are_counted_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = label_file(tmp_path, 100, 0)
    csvs = csvs_of(monkeypatch)
    page = opened(monkeypatch, "", start={"labels": path}, picture="scores")
    head, *rows = csvs["label-density"]
    assert head[2:] == ["correct", "incorrect", "unsure"]
    right, wrong, unsure = np.array(rows, float)[:, 2:].sum(axis=0)
    page = opened(monkeypatch, "label", start={"labels": path}, **{"l.view": "results"})
    assert f"({right:.0f} correct, {wrong:.0f} incorrect)" in markup(page) and unsure == 0


@pytest.mark.parametrize("place", ["sentence", "image"])
def test_the_map_of_positions_adds_up_to_the_pairs(
    monkeypatch: pytest.MonkeyPatch, sample_curves: Curves, place: str
) -> None:
    csvs = csvs_of(monkeypatch)
    opened(monkeypatch, "", picture="position", place=place)
    pairs = sample_curves.total("pairs") + sample_curves.total("rejected_pairs")
    assert sum(row[-1] for row in csvs["position"][1:]) == pairs[0]


@pytest.mark.slow
def test_the_baseline_stands_beside_the_settings(
    monkeypatch: pytest.MonkeyPatch, sample_curves: Curves
) -> None:
    csvs = csvs_of(monkeypatch)
    page = opened(monkeypatch, "", picture="baseline", t="0.26", vs="0.2")
    rows = {(of, what): (now, then) for of, what, now, then, _ in csvs["baseline"][1:]}
    now, then = (sample_curves.step(t) for t in (0.26, 0.2))
    documents = sample_curves.expected("documents", KEEP)
    assert rows["yields", "documents kept (expected)"] == (documents[now], documents[then])
    for of, losses in (("documents", document_funnel), ("images", image_funnel)):
        lost = [
            (a.lost, b.lost)
            for a, b in zip(*(losses(sample_curves, at, KEEP) for at in (now, then)), strict=True)
        ]
        assert [pair for (name, _), pair in rows.items() if name == of] == lost
    difference = documents[now] - documents[then]
    assert f"−{abs(difference):,.1f}".removesuffix(".0") in markup(page)


def svgs_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Callable[[], bytes]]]:
    """Gather every SVG that is offered from now on: file name, what it is, how it is drawn."""
    offered: list[tuple[str, str, Callable[[], bytes]]] = []

    def offer(name: str, draw: Callable[[], bytes], what: str = "") -> None:
        offered.append((name, what, draw))

    monkeypatch.setattr(html, "svg_button", offer)
    return offered


WHERE = {
    "": [
        "drops",
        "scores",
        "precision",
        "baseline",
        "frontier",
        "position",
        "sequences",
        "settings",
    ],
    "compare-models": [""],
    "label": [""],
    "loader-audit": [""],
    "loaders": [""],
    "slices": [""],
}


@pytest.mark.slow
def test_every_picture_is_offered_as_svg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, found = label_file(tmp_path, 100, 0, 1), svgs_of(monkeypatch)
    charts_shown, everything = 0, set[str]()
    for where, shown in WHERE.items():
        for picture in shown:
            found.clear()
            page = opened(
                monkeypatch, where, start={"labels": path}, picture=picture, **{"l.view": "results"}
            )
            charts_shown += len(page.get("plotly_chart"))
            names = [name for name, _, _ in found]
            whats = [what for _, what, _ in found]
            assert len(set(whats)) == len(whats) == len(set(names)), whats
            assert all(whats)
            for name, _, draw in found:
                text = assert_is_plain_svg(draw())
                assert len(text.split()) > 3, name
                everything.add(name)
    assert charts_shown >= 10
    assert {
        "losses", "score-density", "label-density", "precision", "position", "yields", "histogram",
        "sensitivity", "roc", "recall", "agreement", "thresholds", "both-scores", "scores-first",
        "scores-second", "probability", "sequences-images", "two-settings",
        "frontier",
        "slices", "slice-scores",
    } <= everything  # fmt: skip


@pytest.mark.slow
def test_no_picture_contains_text_of_a_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    corpus, found = str(write_hostile(tmp_path)), svgs_of(monkeypatch)
    for picture in WHERE[""]:
        opened(monkeypatch, "", corpus, picture=picture)
    opened(monkeypatch, "loader-audit", corpus)
    assert len(found) > 10
    for _, what, draw in found:
        text = assert_is_plain_svg(draw())
        assert MARK not in text and not any(one in text for one in TEXTS), what


def test_a_models_name_is_text_in_a_file() -> None:
    figure = charts.figure(
        [], {"xaxis": charts.axis(range=[0, 1]), "yaxis": charts.axis(range=[0, 1]),
             "annotations": [charts.above("<b>a &lt;script&gt;</b> b", 0, "left")]},
        200, left=50, bottom=40,
    )  # fmt: skip
    text = assert_is_plain_svg(sheet([figure], "<script>alert(1)</script>\ufffe"))
    assert "a <script>" in text and "<script>alert(1)</script>?" in text


def test_bars_lines_and_cells_are_where_their_values_are() -> None:
    scores = np.sort(np.random.default_rng(0).uniform(0.1, 0.4, 500))
    drawn = sheet([charts.score_histogram(scores, 0.25, (0.1, 0.4), COSINE)], "scores")
    bars = [
        node for node in ElementTree.fromstring(drawn).iter(f"{SVG}rect")
        if node.get("fill") in (charts.COLOURS["kept"], charts.COLOURS["rejected"])
    ]  # fmt: skip
    heights = dict.fromkeys(("kept", "rejected"), 0.0)
    for colour in heights:
        mine = [bar for bar in bars if bar.get("fill") == charts.COLOURS[colour]]
        heights[colour] = sum(float(str(bar.get("height"))) for bar in mine)
    share = heights["kept"] / sum(heights.values())
    assert share == pytest.approx((scores >= 0.25).mean(), abs=0.01)


@pytest.mark.parametrize("draw", [charts.yields])
def test_no_two_curves_differ_by_blues_alone(draw: Callable[..., go.Figure]) -> None:
    rows = curves_at(LoaderConfig()).rows(KEEP)
    names = ("documents", "pairs", "image_tokens", "text_tokens", "mispaired")
    lines = [t.line for t in draw(rows, names, 0.24).data if t.mode == "lines"]
    looks = [(line.color, line.dash) for line in lines]
    assert len(set(looks)) == 5
    blues = [look for look in looks if look[0] in ("#0072B2", "#56B4E9")]
    assert len({dash for _, dash in blues}) == len(blues)


@pytest.mark.slow
def test_pictures_follow_the_threshold_and_are_downloaded(
    browser: Browser, dashboard: str, sample_curves: Curves
) -> None:
    watched = Watched(browser, dashboard)
    watched.shown()
    page = watched.page
    with page.expect_download() as download:
        page.get_by_role("button", name="Download drop reasons (SVG)").click()
    text = assert_is_plain_svg(Path(download.value.path()).read_bytes())
    assert download.value.suggested_filename == "losses.svg"
    assert words(image_funnel(sample_curves, sample_curves.step(0.24), KEEP)[-1].remaining) in text
    page.get_by_text("Scores", exact=True).click()
    page.get_by_text("Score density by outcome", exact=True).wait_for()
    page.wait_for_function("() => new URL(location).searchParams.get('picture') === 'scores'")
    page.locator(".field input").fill("0.3")
    page.keyboard.press("Enter")
    below = int(sample_curves.total("rejected_pairs")[sample_curves.step(0.3)])
    label = page.locator(".stPlotlyChart text", has_text=f"below threshold {below:,}")
    label.first.wait_for()
    watched.end()


@pytest.mark.slow
def test_hovering_says_a_curves_value(
    browser: Browser, dashboard: str, sample_curves: Curves
) -> None:
    watched = Watched(browser, dashboard)
    watched.shown()
    page, chart = watched.page, watched.page.locator('[data-yield="pairs"] svg')
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator(".tip")
    tip.wait_for()
    at, share = re.fullmatch(r"([\d.]+): ([\d.]+)%", tip.inner_text()).groups()  # type: ignore[union-attr]
    pairs = sample_curves.total("pairs")
    wanted = 100 * pairs[sample_curves.step(float(at))] / pairs.max()
    assert float(share) == pytest.approx(wanted, abs=0.05)
    page.mouse.move(5, 5)
    page.wait_for_function("() => true")
    plot = page.locator(".plot .area").bounding_box()
    assert plot is not None
    page.mouse.move(plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] / 2)
    page.locator(".tip", has_text="pairs scoring").wait_for()
    watched.end()


@pytest.mark.slow
def test_passes_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    csvs = csvs_of(monkeypatch)
    page = opened(
        monkeypatch, "", picture="passes", t="0.26", budget="300M", unit="images", corpus="1M"
    )
    head, *rows = csvs["passes"]
    assert head == ["threshold", "passes", "passes_low", "passes_high"]
    wanted = mmc4viz.open(SAMPLE).curves(thresholds=[0.26], budget="300M images", corpus_size="1M")
    [row] = [row for row in rows if row[0] == 0.26]
    assert row == pytest.approx([wanted.rows[0][name] for name in head], rel=1e-9)
    said = [one.value for one in page.markdown]
    passes, low, high = (f"{value:,.0f}" for value in row[1:])
    words = f"300M images are {passes} passes (95% CI {low}–{high}) over what is kept"
    assert f"At 0.26, {words}" in said[-1]
    assert "a reference, not a rule" in markup(page)
    asked = {"picture": "passes", "t": "0.26", "budget": "300M", "unit": "images", "corpus": "1M"}
    assert dict(page.query_params) == asked


@pytest.mark.slow
def test_passes_of_a_sample_carry_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    csvs = csvs_of(monkeypatch)
    opened(monkeypatch, "", picture="passes", sample="60")
    head, *rows = csvs["passes"]
    assert head == ["threshold", "passes", "passes_low", "passes_high"]
    assert any(low < value < high for _, value, low, high in rows if None not in (low, high))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({"budget": "nothing"}, "is not a number such as 60M; using 60M"),
        ({"corpus": "-4"}, "is not a number such as 101.2M; ignored"),
        ({"unit": "apples"}, "is not one of sequences, text tokens, images; using sequences"),
    ],
)
def test_a_budget_of_an_address_that_says_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, address: dict[str, str], said: str
) -> None:
    page = opened(monkeypatch, "", picture="passes", **address)
    assert said in markup(page)
    assert "60M sequences are 576,923 passes over what is kept" in page.markdown[-1].value


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("budget-amount", "0", "must be a positive number"),
        ("budget-amount", "<b>x</b>", "expected a number such as 60M"),
        ("budget-corpus", "239", "below the 240 documents at hand"),
        ("budget-corpus", "1e999", "expected a number of documents"),
    ],
)
def test_a_budget_that_is_typed_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, field: str, value: str, said: str
) -> None:
    page = opened(monkeypatch, "", picture="passes")
    page.text_input(key=field).set_value(value).run()
    [alert] = alerts(page)
    assert said in alert and "<b>" not in alert
    assert not page.exception
    page.text_input(key=field).set_value("10M").run()
    assert not alerts(page) and page.markdown[-1].value.startswith("**At 0.24")


def test_sequences_are_those_of_the_command(
    monkeypatch: pytest.MonkeyPatch, sample_curves: Curves
) -> None:
    csvs = csvs_of(monkeypatch)
    rows = shape_rows(sample_curves, KEEP, 6)
    for view in ("images", "length", "text"):
        page = opened(monkeypatch, "", t="0.28", picture="sequences", shape=view)
        words = "At 0.28 a sequence has 1.59 images on average, median 1; 61.8% have one"
        assert any(words in one.value for one in page.markdown)
    head, *images = csvs["sequences-images"]
    assert head == ["threshold", "1 image", *(f"{n} images" for n in range(2, 7))]
    for line, row in zip(images, rows, strict=True):
        assert line[1:] == [row[f"sequences_{n}"] for n in range(1, 7)]
    head, *lengths = csvs["sequences-length"]
    assert head[1:3] + head[-1:] == ["1–32 tokens", "33–64 tokens", "truncated at 256"]
    for line, row in zip(lengths, rows, strict=True):
        assert line[1:-1] == [row[f"length_{n}"] for n in range(1, 9)]
        assert line[-1] == pytest.approx(
            sum(line[1:]) * (row["truncated_sequences"] or 0), abs=1e-9
        )
    head, *text = csvs["sequences-text"]
    for line, row in zip(text, rows, strict=True):
        assert [None if x != x else x for x in line[1:]] == [row[name] for name in head[1:]]


@pytest.mark.slow
def test_sequences_of_a_sample_carry_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(monkeypatch, "", sample="100", picture="sequences")
    words = r"a sequence has [\d.]+ \(95% CI [\d.]+–[\d.]+\) images on average, median \d \(95% CI"
    assert any(re.search(words, one.value) for one in page.markdown)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["max_images", "max_tokens", "min_images"])
def test_the_map_of_two_settings_is_what_curves_say(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    csvs = csvs_of(monkeypatch)
    opened(monkeypatch, "", picture="settings", **{"map.with": setting, "map.of": "image_tokens"})
    head, *cells = csvs["two-settings"]
    assert head == ["threshold", setting, "image_tokens"]
    for value in {row[1] for row in cells}:
        curves = curves_at(LoaderConfig(**{setting: value}))
        for threshold, at, cell in cells:
            if at == value:
                step = curves.step(threshold)
                assert cell == curves.expected("image_tokens", KEEP)[step]


def test_a_histogram_of_counts_is_that_of_the_scores_however_many() -> None:
    grid, draw = COSINE.thresholds(), np.random.default_rng(4)
    for _ in range(5):
        counts, threshold = draw.integers(0, 9, len(grid)), float(draw.choice(grid))
        given = threshold, (0.1, 0.4), COSINE
        one = charts.count_histogram(counts.astype(np.float64), *given)
        other = charts.score_histogram(np.repeat(grid, counts), *given)
        assert one.to_json() == other.to_json()
    many = charts.count_histogram(np.full(len(grid), 1e12), 0.25, (0.1, 0.4), COSINE)
    assert sum(int(np.sum(bars.y)) for bars in many.data) == 10**12 * len(grid)
