"""The dashboard in a real, headless Chromium: read, moved by keyboard, timed, attacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import mmc4viz
from mmc4viz import Curves, LoaderConfig, expand, load_tokenizer, match_corpus, read_columns, sweep
from mmc4viz.corpus.curves import COSINE
from tests.hostile import write_hostile
from tests.serving import FLAGS, chromium, serving

SAMPLE = str(Path(mmc4viz.__file__).parents[1] / "sample_data")

# True once every number and picture shows what it should; then, the time since the key.
_FOLLOWED = """
(wanted) => {
  const texts = (place) =>
    [...document.querySelectorAll(place)].map((e) => e.textContent.trim());
  const metrics = texts('[data-testid="stMetricValue"]');
  const drawn = (key) => texts(`.st-key-${key} text`);
  const done = wanted.metrics.every((value, n) => metrics[n] === value)
    && Object.entries(wanted.drawn).every(([key, words]) =>
      words.every((word) => drawn(key).includes(word)))
    && document.querySelector('.mmc-facts').textContent.includes(wanted.document);
  return done ? performance.now() - window.moved : false;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def curves() -> Curves:
    columns = [read_columns(shard, load_tokenizer("gpt2")) for shard in expand([SAMPLE])]
    config = LoaderConfig()
    return sweep(match_corpus(columns, config), config, COSINE.thresholds())


class Watched:
    """A page, with everything that it complains about and every request that leaves it."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": 1400, "height": 1800})
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)
        self.page.goto(address)
        self.page.wait_for_selector(".mmc-doc", timeout=60_000)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _on_request(self, request: Any) -> None:
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:")
        if not request.url.startswith(own):
            self.strangers.append(request.url)


def wanted(curves: Curves, threshold: float) -> dict[str, Any]:
    """Say what the page must show at a threshold, from the core's curves."""
    step, keep = curves.step(threshold), 0.5
    row = curves.rows(keep)[step]
    whole = int(curves.total("documents")[step])
    tokens, rejected = curves.expected("image_tokens", keep), curves.total("rejected_pairs")
    reached = float(curves.expected("documents", keep)[step])
    words = f"{reached:,.0f}" if reached == round(reached) else f"{reached:,.1f}"
    return {
        "metrics": [
            f"{row['documents']:,.1f}",
            f"{row['documents'] / whole:.1%}",
            f"{row['pairs']:,}",
            f"{row['image_tokens']:,.1f}",
            f"{row['misbound'] / row['image_tokens']:.1%}",
        ],
        "drawn": {
            "histogram": [f"{rejected[step]:,} rejected", f"{row['pairs']:,} kept"],
            "yields": [
                f"{row['documents'] / whole:.1%}",
                f"{row['pairs'] / curves.total('pairs').max():.1%}",
                f"{row['image_tokens'] / tokens.max():.1%}",
            ],
            "document-funnel": [f"{words}  ({reached / whole:.1%})"],
        },
        "document": f"at or above {threshold:g}",
    }


def test_every_number_follows_the_slider_at_once(
    browser: Browser, curves: Curves, tmp_path: Path
) -> None:
    with serving(tmp_path) as address:
        watched = Watched(browser, address)
        page = watched.page
        page.evaluate("window.moved = performance.now()")
        page.wait_for_function(_FOLLOWED, arg=wanted(curves, 0.24), timeout=30_000)
        page.evaluate(
            "addEventListener('keydown', () => { window.moved = performance.now() }, true)"
        )
        page.locator('[data-testid="stSlider"] input[type="range"]').focus()
        times, threshold = [], 0.24
        for key, change in [("ArrowRight", 0.001)] * 5 + [("ArrowLeft", -0.001)] * 9:
            page.keyboard.press(key)
            threshold = round(threshold + change, 3)
            followed = page.wait_for_function(
                _FOLLOWED, arg=wanted(curves, threshold), timeout=10_000
            )
            times.append(followed.json_value())
        assert not watched.complaints
        assert not watched.strangers
        page.close()
    # Other tests run on the same cores, so the slowest moves say more about them.
    assert np.quantile(times, 0.25) < 500, times


def test_hostile_text_does_nothing(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, str(write_hostile(tmp_path))) as address:
        watched = Watched(browser, address)
        page = watched.page
        page.wait_for_selector(".st-key-histogram svg")
        assert page.evaluate("window.hostile") is None
        for element in ("script", "iframe", "svg", "a", "[onerror]", "[onload]", "h1"):
            assert page.locator(f".mmc-doc {element}").count() == 0
        assert page.locator('a[href^="javascript"]').count() == 0
        assert "<script>window.hostile=1</script>" in page.inner_text(".mmc-doc")
        assert "# Heading" in page.inner_text(".mmc-doc")
        assert not watched.complaints
        assert not watched.strangers
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    with serving(tmp_path) as address:
        page = browser.new_page(viewport={"width": 800, "height": 1200}, color_scheme=scheme)
        page.goto(address)
        page.wait_for_selector(".mmc-doc", timeout=60_000)
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(wide)
        clipped = page.evaluate(
            """() => [...document.querySelectorAll('[data-testid="stMetricValue"] *')]
                 .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
        )
        assert clipped == []
        page.close()
