"""The dashboard in headless Chromium: mouse, touch, keyboard, links and hostile text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect

import mmc4viz
from mmc4viz import Curves, LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import cli
from mmc4viz.data.scale import COSINE
from mmc4viz.sweep.shape import shape_rows
from mmc4viz.sweep.statistics import document_funnel, image_funnel
from mmc4viz.sweep.sweep import sweep
from mmc4viz.ui.start import SETTINGS
from tests.support.hostile import MARK, TEXTS, write_hostile
from tests.support.serving import serving
from tests.support.slowly import slow

SAMPLE = str(Path(mmc4viz.__file__).parents[1] / "sample_data")
KEEP = 0.5

# Everything that the control shows, read from its shadow tree.
SHOWN = """
() => {
  const roots = [...document.querySelectorAll('*')].map((e) => e.shadowRoot);
  const root = roots.find((e) => e?.querySelector('.handle'));
  if (!root) return null;
  const text = (place) => [...root.querySelectorAll(place)].map((e) => e.textContent);
  return {
    numbers: text('.value'), changes: text('.change'), sides: text('.side'),
    yields: text('figcaption b'),
    spoken: root.querySelector('.handle').getAttribute('aria-valuetext'),
    now: root.querySelector('.handle').getAttribute('aria-valuenow'),
    typed: root.querySelector('.field input').value,
  };
}
"""


@pytest.fixture(scope="module")
def curves() -> Curves:
    """Sweep the sample, and check that ``mmc4viz curve`` prints the same."""
    found = curves_at(LoaderConfig())
    steps = ",".join(f"{k / 1000:g}" for k in range(150, 400, 10))
    arguments = ["curve", SAMPLE, "--thresholds", steps, "--format", "json"]
    for row in json.loads(CliRunner().invoke(cli, arguments).stdout):
        assert row == found.rows(KEEP)[found.step(row["threshold"])]
    return found


def curves_at(config: LoaderConfig) -> Curves:
    columns = [read_columns(shard, load_tokenizer("gpt2")) for shard in expand([SAMPLE])]
    return sweep(match_corpus(columns, config), config, COSINE.thresholds())


TWO_FRAMES = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"""


class Watched:
    """A page, with its errors, its requests to others and its messages to the server."""

    def __init__(self, browser: Browser, address: str, path: str = "", **options: Any) -> None:
        self.address = address
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.told = 0
        view = {"viewport": {"width": 1400, "height": 1500}} | options
        self.page: Page = browser.new_page(**view)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)
        self.page.on("websocket", lambda socket: socket.on("framesent", self._on_told))
        self.page.goto(address + path)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _on_request(self, request: Any) -> None:
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:")
        if not request.url.startswith(own):
            self.strangers.append(request.url)

    def _on_told(self, _: Any) -> None:
        self.told += 1

    def shown(self) -> dict[str, Any]:
        self.page.wait_for_selector(".handle[aria-valuetext]", timeout=60_000)
        self.page.evaluate(TWO_FRAMES)  # a key is drawn in the first or in the second
        found: dict[str, Any] = self.page.evaluate(SHOWN)
        return found

    def rested(self, threshold: float, curves: Curves) -> None:
        """Wait until the server has the threshold and the whole page shows it."""
        reached = image_funnel(curves, curves.step(threshold), KEEP)[-1].remaining
        self.page.wait_for_function(
            "([t]) => new URL(location).searchParams.get('t') === t", arg=[f"{threshold:g}"]
        )
        last = self.page.locator('[data-funnel="image"] .row.end', has_text="kept")
        last.filter(has_text=words(reached)).wait_for()

    def end(self) -> None:
        assert not self.complaints
        assert not self.strangers
        self.page.close()


def words(count: float) -> str:
    return f"{count:,.0f}" if count == round(count) else f"{count:,.1f}"


def wanted(curves: Curves, threshold: float, compared: float = 0.24) -> dict[str, Any]:
    """Return what the control must show at a threshold."""
    row, other = (curves.rows(KEEP)[curves.step(t)] for t in (threshold, compared))
    step = curves.step(threshold)
    shape = shape_rows(curves, KEEP, 6)[step]
    whole = int(curves.total("documents")[step])
    share = row["documents"] / whole
    mispaired = row["mispaired"] / row["image_tokens"] if row["image_tokens"] else 0
    most = {n: curves.expected(n, KEEP).max() for n in ("image_tokens", "text_tokens")}
    change = row["documents"] - other["documents"]
    sign = "+" if change > 0 else "−"
    return {
        "numbers": [
            f"{row['documents']:,.1f}", f"{share:.1%}", f"{row['image_tokens']:,.1f}",
            f"{shape['images_mean'] or 0:,.2f}", f"{shape['single_image'] or 0:.1%}",
            f"{mispaired:.1%}",
        ],
        "change": f"{sign}{abs(change):,.1f} vs baseline {compared:g}" if change else "",
        "sides": [
            f"{int(curves.total('rejected_pairs')[step]):,} pairs dropped",
            f"{row['pairs']:,} pairs kept",
        ],
        "yields": [
            f"{share:.1%}", f"{row['pairs'] / curves.total('pairs').max():.1%}",
            f"{row['image_tokens'] / most['image_tokens']:.1%}",
            f"{row['text_tokens'] / most['text_tokens']:.1%}", f"{mispaired:.1%}",
        ],
        "spoken": f"{threshold:.3f}: {row['documents']:,.1f} documents, {100 * share:.1f}% of all",
    }  # fmt: skip


def check(watched: Watched, curves: Curves, threshold: float) -> None:
    expected = wanted(curves, threshold) | {"typed": f"{threshold:.3f}", "now": threshold}
    for _ in range(100):  # a busy machine may draw the numbers some frames after a key
        shown = watched.shown()
        found = {name: shown[name] for name in expected if name not in ("change", "now")}
        found |= {"change": shown["changes"][0], "now": float(shown["now"])}
        if found == expected:
            break
        watched.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert found == expected


def test_keys_move_the_threshold_and_every_number_follows(
    browser: Browser, dashboard: str, curves: Curves
) -> None:
    watched = Watched(browser, dashboard)
    check(watched, curves, 0.24)
    page, threshold = watched.page, 0.24
    page.locator(".handle").focus()
    for key, change in [
        ("ArrowRight", 0.001), ("ArrowUp", 0.001), ("Shift+ArrowRight", 0.01), ("PageUp", 0.01),
        ("ArrowLeft", -0.001), ("Shift+ArrowDown", -0.01), ("PageDown", -0.01),
        ("ArrowLeft", -0.001),
    ]:  # fmt: skip
        page.keyboard.press(key)
        threshold = round(threshold + change, 3)
        check(watched, curves, threshold)
    watched.rested(threshold, curves)
    page.keyboard.press("End")
    assert float(watched.shown()["now"]) > 0.39
    page.keyboard.press("Home")
    assert float(watched.shown()["now"]) < 0.16
    watched.end()


@pytest.mark.slow
def test_a_drag_tells_the_server_on_release_only(
    browser: Browser, dashboard: str, curves: Curves
) -> None:
    watched = Watched(browser, dashboard)
    watched.shown()
    page = watched.page
    page.wait_for_timeout(1500)
    box = page.locator(".handle").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 30
    page.mouse.move(x, y)
    page.mouse.down()
    watched.told = 0
    for step in range(60):
        page.mouse.move(x + 2 * step, y)
    threshold = float(watched.shown()["now"])
    assert threshold > 0.25
    check(watched, curves, threshold)
    assert (
        watched.told < 10
    )  # sixty moves; the server hears of a pause only, if the machine had one
    page.mouse.up()
    watched.rested(threshold, curves)
    assert watched.told >= 1
    check(watched, curves, threshold)
    for of, funnel in (("document", document_funnel), ("image", image_funnel)):
        left = funnel(curves, curves.step(threshold), KEEP)[-1].remaining
        last = page.locator(f'[data-funnel="{of}"] .row.end').last
        assert words(left) in last.inner_text()
    watched.end()


@pytest.mark.slow
def test_touch_drags_the_handle(browser: Browser, dashboard: str, curves: Curves) -> None:
    watched = Watched(browser, dashboard, has_touch=True)
    watched.shown()
    box = watched.page.locator(".handle").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 60
    devtools = watched.page.context.new_cdp_session(watched.page)
    for kind, to in (
        ("touchStart", x),
        ("touchMove", x - 40),
        ("touchMove", x - 90),
        ("touchEnd", None),
    ):
        points = [] if to is None else [{"x": to, "y": y}]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    threshold = float(watched.shown()["now"])
    assert threshold < 0.23
    check(watched, curves, threshold)
    watched.rested(threshold, curves)
    watched.end()


@pytest.mark.slow
def test_a_typed_threshold_applies(browser: Browser, dashboard: str, curves: Curves) -> None:
    watched = Watched(browser, dashboard)
    watched.shown()
    for text, threshold in (("0.3", 0.3), ("0.2504", 0.25), ("", 0.25), ("9", 0.25)):
        watched.page.locator(".field input").fill(text)
        watched.page.keyboard.press("Enter")
        watched.page.locator(".handle").focus()
        assert float(watched.shown()["now"]) == threshold
        watched.rested(threshold, curves)
        check(watched, curves, threshold)
    watched.end()


@pytest.mark.slow
def test_a_link_reproduces_the_view_and_pages_keep_it(browser: Browser, dashboard: str) -> None:
    asked = {
        "t": "0.21",
        "cap": "3",
        "match": "argmax",
        "vs": "0.3",
        "view": '{"form":"absolute","log":true}',
    }
    watched = Watched(browser, dashboard, "?" + urlencode(asked))
    page = watched.page
    found = curves_at(LoaderConfig(max_images=3, assignment="argmax"))
    expected = wanted(found, 0.21, 0.3)

    def same() -> None:
        shown = watched.shown()
        assert shown["numbers"] == expected["numbers"]
        assert shown["changes"][0] == expected["change"]
        assert page.get_by_role("button", name="Log").get_attribute("aria-pressed") == "true"
        assert page.get_by_role("button", name="Count").get_attribute("aria-pressed") == "true"
        kept = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
        assert {name: kept.get(name) for name in asked} == asked

    same()
    page.reload()
    same()
    for name in ("Documents", "Near threshold", "Loader audit"):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**/{name.lower().replace(' ', '-')}?*")
        assert "t=0.21" in page.url
    page.get_by_role("link", name="Threshold", exact=True).click()
    page.wait_for_url(lambda url: "/loader-audit" not in url and "t=0.21" in url)
    same()
    watched.end()


@pytest.mark.slow
def test_going_back_undoes(browser: Browser, dashboard: str, curves: Curves) -> None:
    watched = Watched(browser, dashboard)
    watched.shown()
    for text in ("0.3", "0.2"):
        watched.page.locator(".field input").fill(text)
        watched.page.keyboard.press("Enter")
        watched.rested(float(text), curves)
    watched.page.wait_for_timeout(1200)
    watched.page.go_back()
    watched.rested(0.3, curves)
    check(watched, curves, 0.3)
    watched.end()


@pytest.mark.slow
def test_a_loss_opens_its_documents(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    watched.shown()
    watched.page.locator('[data-funnel="document"] button', has_text="no valid image").click()
    watched.page.wait_for_url("**/documents?*f.outcome=no_valid_image*")
    found = curves_at(LoaderConfig())
    lost = found.rows(KEEP)[found.step(0.24)]["no_valid_image"]
    watched.page.get_by_text(f"{lost} of 240 documents").wait_for()
    watched.end()


@pytest.mark.slow
def test_two_people_do_not_disturb_each_other(
    browser: Browser, dashboard: str, curves: Curves
) -> None:
    one, other = Watched(browser, dashboard, "?t=0.2"), Watched(browser, dashboard, "?t=0.3")
    check(one, curves, 0.2)
    check(other, curves, 0.3)
    one.page.locator(".field input").fill("0.22")
    one.page.keyboard.press("Enter")
    one.rested(0.22, curves)
    check(other, curves, 0.3)
    check(one, curves, 0.22)
    one.end()
    other.end()


@pytest.mark.slow
def test_marks_set_the_threshold(browser: Browser, tmp_path: Path) -> None:
    shard = shutil.copy(expand([SAMPLE])[0].path, tmp_path / "of-another-model.tar")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"clip_model": "ViT-L/14"}))
    with serving(tmp_path, str(shard), "--config", str(config)) as address:
        watched = Watched(browser, address)
        watched.shown()
        page = watched.page
        marks = page.locator(".marks button")
        assert marks.all_inner_texts() == [
            "0.15 MMC4", "0.20 MMC4 training", "0.24 OpenFlamingo", "0.25 MMC4 core", "0.32 a fork",
        ]  # fmt: skip
        marks.nth(1).hover()
        assert "MMC4 paper: training run" in page.locator(".hint").inner_text()
        marks.nth(1).click()
        assert float(watched.shown()["now"]) == 0.2
        page.wait_for_url("**?*t=0.2*")
        page.goto(f"{address}/?t=0.2&p.documents=40%25")
        proposal = page.get_by_role("button", name="documents ≥ 40%")
        proposal.wait_for()
        assert "Suggested by yield" in str(proposal.get_attribute("aria-description"))
        assert page.locator("path.proposal").count() == 1
        proposal.click()
        assert watched.shown()["typed"] == proposal.inner_text().split()[0]
        expect(page.get_by_role("button", name="In use")).to_be_visible()
        assert marks.count() == 6  # suggestions are in a separate row
        watched.end()


def test_hostile_text_does_nothing(browser: Browser, tmp_path: Path) -> None:
    evil = TEXTS[1]
    record = {"name": evil, "clip_model": evil, "settings": {"threshold": 0.5}}
    saved = {"version": 1, "settings": {"abcdefghi2": record}}
    (tmp_path / SETTINGS).write_text(json.dumps(saved))
    strange = dict.fromkeys(("view", "cap", "reason", evil), evil)
    asked = {"vs": "abcdefghi2", "model": evil, f"t.{evil}": evil} | strange
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"clip_model": evil}))
    with serving(tmp_path, str(write_hostile(tmp_path)), "--config", str(config)) as address:
        watched = Watched(browser, address, "?" + urlencode(asked))
        shown = watched.shown()
        assert any(evil[:40] in change for change in shown["changes"])
        page = watched.page
        expect(page.get_by_text("This address has")).to_be_visible()
        page.get_by_role("button", name="Saved settings (1)").click()
        expect(page.get_by_text("Link for anybody")).to_be_visible()
        page.wait_for_timeout(1500)
        assert page.evaluate("window.hostile") is None
        assert page.locator('a[href^="javascript"]').count() == 0
        assert page.locator("[onerror], [onload], iframe").count() == 0
        assert page.locator(f"script:has-text('{MARK}')").count() == 0
        watched.strangers.clear()
        watched.end()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"),
    [(800, "light"), *slow((1280, "light"), (800, "dark"), (1280, "dark"))],
)
def test_nothing_is_cut_off(browser: Browser, dashboard: str, scheme: Any, width: int) -> None:
    size = {"width": width, "height": 1200}
    watched = Watched(browser, dashboard, viewport=size, color_scheme=scheme)
    watched.shown()
    page = watched.page
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide)
    clipped = page.evaluate(
        """() => [...document.querySelectorAll('*')].flatMap((host) => [...(host.shadowRoot
             ?.querySelectorAll('.value, .change, figcaption, .row .name, .row .number') ?? [])])
             .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert clipped == []
    ink = page.locator(".control .value").first.evaluate("(e) => getComputedStyle(e).color")
    assert ink == ("rgb(31, 36, 41)" if scheme == "light" else "rgb(228, 231, 234)")
    watched.end()
