"""Every page in headless Chromium: accessible, at rest, and readable in any window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from mmc4viz import LoaderConfig, expand, load_tokenizer, parse_document, samples
from mmc4viz.loader.walk import states
from tests.support import pairs
from tests.support.serving import serving
from tests.support.slowly import slow
from tests.ui.test_browser_pages import FACTS, SAMPLE, Watched

PAGES: Final = (
    "data", "threshold", "documents?doc=0.16", "near-threshold", "loader-audit",
    "loaders", "slices?s.by=images", "compare-models", "label", "export",
)  # fmt: skip
_SHIFTS: Final = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted += one.value;
}).observe({ type: "layout-shift", buffered: true });
"""


def opened(browser: Browser, address: str, path: str, width: int, scheme: Any) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.add_init_script(_SHIFTS)
    page.goto(f"{address}/{path.replace('threshold', '', 1) if path == 'threshold' else path}")
    page.wait_for_selector("body.mmc-drawn [data-testid=stMain] h1", timeout=60_000)
    page.wait_for_selector('[data-test-script-state="notRunning"]', timeout=60_000)
    return page


OF_PAIRS: Final = ("", "?with=and", "near-threshold", "compare-models", "slices", "data", "export")


@pytest.fixture(scope="module")
def table_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a table of pairs."""
    folder = tmp_path_factory.mktemp("table")
    pairs.write(pairs.datacomp(2000), folder)
    with serving(folder, str(folder)) as address:
        yield address


@pytest.mark.slow
@pytest.mark.parametrize("path", OF_PAIRS)
def test_pages_of_a_table_are_accessible_and_at_rest(
    browser: Browser, table_address: str, path: str
) -> None:
    for scheme, width in (("light", 1280), ("dark", 390)):
        page = opened(browser, table_address, path, width, scheme)
        assert page.evaluate("window.shifted") < 0.1
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(wide)
        found = Axe().run(page).response["violations"]
        bad = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] != "minor"]
        assert not bad
        page.close()


def check_rest(page: Page, width: int) -> None:
    """Check that nothing moved, nothing sticks out, and every button has a name."""
    assert page.evaluate("window.shifted") < 0.1
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide)
    names = page.get_by_role("button").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => one.ariaLabel || one.innerText)"
    )
    assert all(names)
    folded = page.locator('[data-testid=stSidebarCollapseButton] [aria-expanded="true"]')
    expect(folded).to_have_count(0 if width <= 900 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_and_nothing_moves(
    browser: Browser, dashboard: str, path: str, scheme: str
) -> None:
    page = opened(browser, dashboard, path, 1280, scheme)
    check_rest(page, 1280)
    found = Axe().run(page).response["violations"]
    bad = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] != "minor"]
    assert not bad
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", slow(1600, 800, 390))
@pytest.mark.parametrize("path", PAGES)
def test_nothing_moves_or_sticks_out(
    browser: Browser, dashboard: str, path: str, width: int
) -> None:
    page = opened(browser, dashboard, path, width, "light")
    check_rest(page, width)
    page.close()


@pytest.mark.slow
def test_the_threshold_is_dragged_in_a_document(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("documents?doc=0.16", ".picture .strip")
    raw = [sample.raw for sample in samples(expand([SAMPLE])[0])][16]
    found = states(parse_document("a", raw), LoaderConfig(), load_tokenizer())
    handle, hint = page.get_by_role("slider"), page.locator(".picture .strip + .hint")
    expect(hint).to_contain_text("0.240 kept with probability 0.5, 1 image token")
    box = page.locator(".picture .strip").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 30, steps=5)
    expect(hint).to_contain_text("below threshold")  # while it is dragged
    assert "t=0.24&" in page.url
    page.mouse.up()
    value = float(handle.get_attribute("aria-valuenow") or 0)
    assert value > found[0].low
    page.wait_for_url(f"**t={value:g}*")
    expect(page.locator(FACTS)).to_contain_text("below threshold")
    handle.press("ArrowLeft")
    page.wait_for_url(f"**t={value - 0.001:g}*")
    expect(handle).to_be_focused()
    watched.assert_quiet()
    page.close()


@pytest.mark.slow
def test_the_matrix_names_what_is_under_the_pointer(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("documents?doc=0.16", ".picture circle.pair")
    pair = page.locator(".picture circle.pair").first
    pair.scroll_into_view_if_needed()
    pair.hover(force=True)
    hint = page.locator(".picture .legend + .hint")
    expect(hint).to_contain_text("image 1, sentence 12: 0.2791, 0.2791, kept")
    raw = [sample.raw for sample in samples(expand([SAMPLE])[0])][16]
    expect(hint).to_contain_text(parse_document("a", raw).sentences[11])
    assert page.locator(".picture svg image").count() == 3
    watched.assert_quiet()
    page.close()


@pytest.mark.slow
def test_the_open_document_is_in_view_in_its_list(browser: Browser, dashboard: str) -> None:
    page = Watched(browser, dashboard).open("documents?doc=0.16")
    expect(page.get_by_text("189 of 240")).to_be_visible()  # on the fourth page of the list
    row = 188 - 150
    within = f"list => {46 * (row - 7)} <= list.scrollTop && list.scrollTop <= {46 * row}"
    page.wait_for_function(within, arg=page.locator(".list").element_handle())
    expect(page.locator(".list [aria-selected=true]")).to_have_attribute("data-id", "16")
    page.keyboard.press("j")
    expect(page.get_by_text("190 of 240")).to_be_visible()
    expect(page.locator(".list [aria-selected=true]")).not_to_have_attribute("data-id", "16")
    for rank in range(191, 203):  # to the next page of the list
        page.keyboard.press("j")
        expect(page.get_by_text(f"{rank} of 240")).to_be_visible()
    expect(page.locator(".list tbody tr").nth(1)).to_have_attribute("aria-selected", "true")
    page.close()


@pytest.mark.slow
def test_outcome_and_reason_are_in_view_beside_an_open_document(
    browser: Browser, dashboard: str
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    for outcome in ("kept_single_image", "too_few_images", "no_valid_image", "below_threshold"):
        page.goto(f"{dashboard}/documents?doc=0.16&f.outcome={outcome}")
        expect(page.locator(FACTS)).to_be_visible(timeout=60_000)
        cut = page.locator(".list").evaluate(
            """(list) => [...list.querySelectorAll('td')].filter((cell) => cell.cellIndex < 4 && (
              cell.getBoundingClientRect().right > list.getBoundingClientRect().right
              || cell.scrollHeight > cell.clientHeight + 1
              || cell.scrollWidth > cell.clientWidth + 1
            )).map((cell) => cell.textContent)"""
        )
        assert cut == []
        heads = page.locator(".list th").all_text_contents()[:4]
        assert heads[2:] == ["outcome", "reason"]
    page.close()


@pytest.mark.slow
def test_the_list_is_used_by_keys(browser: Browser, dashboard: str) -> None:
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(f"{dashboard}/documents?f.sort=place&f.outcome=kept")
        first = page.locator(".list tbody tr").first
        expect(first).to_be_visible(timeout=60_000)
        first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Control+c")
        second = page.locator(".list tbody tr").nth(1)
        whole = second.locator("td").nth(1).get_attribute("title")
        assert whole and whole in page.evaluate("navigator.clipboard.readText()").split("\t")
        expect(page.locator(".list [aria-selected=true]")).to_have_count(0)
        page.keyboard.press("Enter")
        expect(second).to_have_attribute("aria-selected", "true")
        expect(page.locator(f"{FACTS} > :nth-child(2)")).to_have_text(whole)
        page.keyboard.press("Home")
        page.keyboard.press("ArrowUp")
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        head = page.locator(".list th").nth(5)
        expect(head).to_have_attribute("aria-sort", "descending")
        expect(head.get_by_role("button", name="top score")).to_be_focused()
        page.wait_for_url("**f.sort=best*")
        expect(page.locator(f"{FACTS} > :nth-child(2)")).to_have_text(whole)  # it stays open
        for direction in ("ascending", "descending", "ascending", "descending", "ascending"):
            page.keyboard.press("Enter")  # while the page is at work
            expect(head).to_have_attribute("aria-sort", direction)
        page.wait_for_function(
            """list => [...list.querySelectorAll("tbody td:nth-child(6)")].every(
              (cell, at, all) => !at || +all[at - 1].textContent <= +cell.textContent)""",
            arg=page.locator(".list").element_handle(),
        )
        expect(head).to_have_attribute("aria-sort", "ascending")


@pytest.mark.slow
def test_images_in_view_are_read_after_the_list_is_drawn(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as address:  # nothing is cached
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{address}/documents?f.sort=place")
        expect(page.locator(".list tbody tr")).to_have_count(50, timeout=60_000)
        expect(page.locator(".list tbody tr").first.locator("img")).to_be_visible()
        page.locator(".list tbody tr").nth(3).click()  # while others are read
        expect(page.locator(".list tbody tr").nth(3)).to_have_attribute("aria-selected", "true")
        page.wait_for_url("**doc=0.3*")
        page.wait_for_function(
            "list => list.querySelectorAll('img').length > 40",
            arg=page.locator(".list").element_handle(),
        )
        page.close()


@pytest.mark.slow
def test_a_quadrant_is_pressed_anywhere_in_it(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("compare-models", ".st-key-joint .nsewdrag")
    area = page.locator(".st-key-joint .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    for across, up, quadrant, words in (
        (0.2, 0.8, "neither", "Kept by neither"),
        (0.8, 0.2, "both", "Kept by both"),
        (0.15, 0.15, "second", "Kept by sample-b only"),
    ):
        page.mouse.click(box["x"] + across * box["width"], box["y"] + up * box["height"])
        page.wait_for_url(f"**m.quadrant={quadrant}*")
        expect(page.locator(".mmc-title", has_text=words)).to_be_visible()
    watched.assert_quiet()
    page.close()


@pytest.mark.slow
def test_a_cell_that_is_pressed_gives_both_settings(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("?picture=settings", ".st-key-two-settings .nsewdrag")
    area = page.locator(".st-key-two-settings .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.65 * box["height"])
    page.wait_for_url("**cap=*")
    found = parse_qs(urlsplit(page.url).query)
    assert found["cap"] == ["4"]
    assert 0.2 < float(found["t"][0]) < 0.24
    expect(
        page.locator("[data-testid=stNumberInput] input[aria-label='Max images']")
    ).to_have_value("4")
    watched.assert_quiet()
    page.close()


@pytest.mark.slow
def test_the_bar_copies_a_link_to_the_view(browser: Browser, dashboard: str) -> None:
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(f"{dashboard}/documents?cap=3&t=0.26&doc=0.16")
        page.wait_for_selector(FACTS, timeout=60_000)
        page.get_by_role("button", name="Copy link").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        link = page.evaluate("navigator.clipboard.readText()")
        assert link == page.url and "cap=3" in link and "doc=0.16" in link


@pytest.mark.slow
def test_a_narrow_tour_leads_on(browser: Browser, dashboard: str) -> None:
    page = opened(browser, dashboard, "threshold", 390, "dark")
    expect(page.get_by_text("Hint 1 of 5")).to_be_visible()
    page.get_by_role("button", name="Next hint").click()
    expect(page.get_by_text("Hint 2 of 5")).to_be_visible()
    page.close()
