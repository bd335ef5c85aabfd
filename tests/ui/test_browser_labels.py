"""Labeling in headless Chromium: by keyboard, blind, across a server crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from mmc4viz.text import plain
from mmc4viz.thresholds.labels import queue, store
from mmc4viz.thresholds.labels.sampling import designs
from tests.support import serving
from tests.support.documents import info, write_tar
from tests.support.hostile import TEXTS
from tests.ui.test_browser_pages import Watched, assert_inert

pytestmark = pytest.mark.slow
CARD = ".label"
KEYS = {"y": "yes", "n": "no", "u": "unsure"}


class Server:
    """The app on one port, which can be killed and restarted."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.arguments, self.port = folder, arguments, serving._free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mmc4viz", "app", "--no-browser", "--port", str(self.port)]
        with (self.folder / "app.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments], cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        serving._wait(f"{self.address}/_stcore/health", self.process)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(20)


def place(page: Page) -> str:
    return page.locator(CARD).get_attribute("data-place") or ""


def press(page: Page, keys: str) -> None:
    """Press keys, each when the next pair is there."""
    for key in keys:
        before = place(page)
        page.keyboard.press(key)
        expect(page.locator(CARD)).not_to_have_attribute("data-place", before)


def begin(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Start labeling").click()
    page.wait_for_selector(f"{CARD} .picture > *")


def test_thirty_pairs_by_keyboard_and_the_death_of_the_server(
    browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "mine.sqlite"
    server = Server(tmp_path, "--labels", str(file))
    keys = "yynuyynyyynnyyuyyyynyyyyynynyy"
    try:
        watched = Watched(browser, server.address)
        page = watched.open("label", "text=Your name")
        begin(page, "Ada")
        shown = page.inner_text("[data-testid=stMain]").replace("Near threshold", "")  # in the menu
        for secret in ("0.2", "sample-a", "threshold", "kept"):  # blind
            assert secret not in shown
        assert not page.locator("[data-testid=stSidebar]").is_visible()
        press(page, keys[:17])
        server.kill()
        assert len(store.read(str(file))) == 17
        server.start()
        page.reload()
        page.wait_for_selector(f"{CARD} .picture > *")
        expect(page.get_by_text("Ada: 17 answered")).to_be_visible()  # asked once
        press(page, keys[17:])
        found = store.read(str(file))
        assert [j.answer for j in found] == [KEYS[key] for key in keys]
        (design,) = designs(str(file))
        assert [j.pair for j in found] == [d.pair for d in queue.drawn(str(file), design)][:30]
        assert {(j.person, j.clip_model) for j in found} == {("Ada", "sample-a")}
        go_back_and_skip(page, str(file))
        results(page)
        assert not watched.strangers
    finally:
        server.kill()


def go_back_and_skip(page: Page, file: str) -> None:
    """Undo brings the last pair back; a skipped one has no label; fields take keys as text."""
    now = place(page)
    press(page, "z")
    assert len(store.read(file)) == 29
    press(page, "y")
    assert place(page) == now
    press(page, "s")
    assert store.read(file)[-1].answer == "skip"
    expect(page.locator(f"{CARD} .around").first).to_be_hidden()
    page.keyboard.press("t")
    around = page.locator(f"{CARD} .around:not([hidden])")
    expect(around.first).to_be_visible()
    page.get_by_role("button", name="Change name").click()
    page.get_by_label("Your name").fill("yny")
    assert len(store.read(file)) == 31


def results(page: Page) -> None:
    page.get_by_text("Results", exact=True).click()
    page.wait_for_selector(".js-plotly-plot")
    shown = page.inner_text("[data-testid=stMain]")
    assert "sampled pairs labeled" in shown
    assert "precision (95% CI" in shown
    assert "more labels would reach it" in shown or "Already reached" in shown


def test_hostile_text_does_nothing(browser: Browser, tmp_path: Path) -> None:
    n = len(TEXTS)
    matrix = (0.2 + 0.1 * np.random.default_rng(1).random((n, n)) + 0.2 * np.eye(n)).tolist()
    page_of = info(matrix, list(TEXTS), url=f"javascript:{TEXTS[0]}")
    shard = write_tar(tmp_path / "<b>.tar", [(f"{k}<svg onload=x>", page_of) for k in range(4)])
    server = Server(tmp_path, str(shard))
    try:
        watched = Watched(browser, server.address)
        page = watched.open("label", "text=Your name")
        begin(page, TEXTS[1])
        seen = set[str]()
        for key in "yynnuyyy":
            seen.add(page.locator(f"{CARD} .sentence").text_content() or "")
            page.keyboard.press("t")
            assert_inert(page)
            press(page, key)
        assert seen <= set(map(plain, TEXTS))
        assert len(seen) > 1
        results(page)
        assert_inert(page)
        watched.assert_quiet()
    finally:
        server.kill()
