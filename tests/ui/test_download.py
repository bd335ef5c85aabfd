"""Buttons that make a file when they are pressed, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from mmc4viz.ui.components.download import _Outcome
from tests.support.serving import serving_script

_PAGE = """
import pathlib, threading
import streamlit as st
from mmc4viz.types import ConfigError
from mmc4viz.ui.components import download

folder = pathlib.Path(__file__).parent

def make():
    while not (folder / "go").exists():
        threading.Event().wait(0.02)
    if (folder / "broken").exists():
        raise ConfigError("a.parquet: not found.")
    return b"content"

lines = st.container()
download.offer("Make it", "it.bin", make)
if st.button("Something else"):
    st.text("Done.")
with lines:
    download.show_problem()
"""


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    script = tmp_path / "page.py"
    script.write_text(_PAGE)
    with serving_script(script) as address:
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("button", name="Make it").wait_for(timeout=60_000)
        yield page
        page.close()
    assert "Traceback" not in (tmp_path / "app.log").read_text()


def test_a_slow_browser_still_finds_the_file(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as download, page.expect_request("**/media/*") as asked:
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_text("Making the file…")).to_be_visible()
        (tmp_path / "go").touch()
    assert Path(download.value.path()).read_bytes() == b"content"
    expect(page.get_by_text("Making the file…")).to_have_count(0)
    page.wait_for_selector('[data-test-script-state="notRunning"]')
    assert page.request.get(asked.value.url).body() == b"content"


def test_why_there_is_no_file_is_said_until_there_is_one(page: Page, tmp_path: Path) -> None:
    make, problem = page.get_by_role("button", name="Make it"), page.get_by_text("not found.")
    (tmp_path / "go").touch()
    (tmp_path / "broken").touch()
    make.click()
    expect(problem).to_be_visible()
    page.get_by_role("button", name="Something else").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    expect(problem).to_be_visible()
    (tmp_path / "broken").unlink()
    with page.expect_download():
        make.click()
    expect(problem).to_have_count(0)


def test_a_page_that_waits_for_a_file_can_be_used(page: Page, tmp_path: Path) -> None:
    with page.expect_download():
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_text("Making the file…")).to_be_visible()
        page.get_by_role("button", name="Something else").click()
        expect(page.get_by_text("Done.")).to_be_visible()
        (tmp_path / "go").touch()


def test_a_file_is_given_only_once_its_run_has_begun() -> None:
    outcome, at_work, order = _Outcome(), Event(), list[str]()

    def content() -> bytes:
        at_work.set()
        return b"content"

    def make() -> None:
        order.append(str(outcome.make(content)))

    making = Thread(target=make)
    making.start()
    assert at_work.wait(20)
    order.append("pressed")
    outcome.press()
    making.join(20)
    assert order == ["pressed", "b'content'"]
    assert not outcome.is_awaited()
