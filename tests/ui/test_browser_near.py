"""The contact sheet of the page Near threshold in headless Chromium."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

import mmc4viz
from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.data.thumbnails import read_thumbnail
from mmc4viz.sweep.pairs import Pairs, pairs_of
from mmc4viz.thresholds.labels import chosen, store
from tests.support.serving import serving
from tests.ui.test_browser import Watched
from tests.ui.test_browser_pages import text_of

SAMPLE = str(Path(mmc4viz.__file__).parents[1] / "sample_data")
SIDE = 12  # cards
SCORES = "(half) => [...half.querySelectorAll('.card .score')].map((e) => Number(e.textContent))"


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    columns = [read_columns(shard, load_tokenizer("gpt2")) for shard in expand([SAMPLE])]
    return pairs_of(match_corpus(columns, LoaderConfig()))


def near(
    browser: Browser, address: str, path: str = "near-threshold", **options: object
) -> Watched:
    watched = Watched(browser, f"{address}/", path, **options)
    watched.complaints.clear()  # Streamlit looks for its server below the page's path first
    watched.page.wait_for_selector(".card img", timeout=60_000)
    expect(watched.page.locator("[data-test-script-state=notRunning]")).to_be_attached()
    return watched


def shown(page: Page, side: str) -> list[float]:
    found: list[float] = page.locator(f".half.{side}").evaluate(SCORES)
    return found


def rounded(scores: np.ndarray) -> list[float]:
    return [round(score, 4) for score in scores.tolist()]


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def ended(watched: Watched) -> None:
    errors = [line for line in watched.complaints if "404" not in line]
    assert not errors and not watched.strangers
    watched.page.close()


@pytest.mark.slow
def test_cards_change_sides_while_the_threshold_is_dragged(
    browser: Browser, dashboard: str, pairs: Pairs
) -> None:
    watched = near(browser, dashboard)
    page, cut = watched.page, pairs.cut(0.24)
    sheet = pairs.score[cut - SIDE : cut + SIDE]
    assert shown(page, "below") == rounded(sheet[:SIDE][::-1])
    assert shown(page, "above") == rounded(sheet[SIDE:])
    box = page.locator(".strip .handle").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 30
    page.mouse.move(x, y)
    page.mouse.down()
    watched.told = 0
    seen = set()
    for by in range(1, 15):
        page.mouse.move(x + by, y)
        page.wait_for_timeout(60)  # longer together than a pause after which others are told
        at = float(page.locator(".strip .handle").get_attribute("aria-valuenow") or "nan")
        seen.add(at)
        assert shown(page, "below") == rounded(sheet[sheet < at][::-1])
        assert shown(page, "above") == rounded(sheet[sheet >= at])
        assert page.locator(".line .at").inner_text() == f"{at:.3f}"
        dropped = page.locator(".strip .side").first.inner_text()
        assert dropped == f"{pairs.cut(at)} pairs dropped"
    assert len(seen) > 2 and watched.told == 0
    page.mouse.up()
    page.wait_for_function(
        "([t]) => new URL(location).searchParams.get('t') === t", arg=[f"{at:g}"]
    )
    cut = pairs.cut(at)
    expect(page.locator(".half.above .card .score").nth(SIDE - 1)).to_have_text(
        f"{pairs.score[cut + SIDE - 1]:.4f}"
    )
    assert shown(page, "below") == rounded(pairs.score[cut - SIDE : cut][::-1])
    assert shown(page, "above") == rounded(pairs.score[cut : cut + SIDE])
    assert watched.told >= 1
    ended(watched)


@pytest.mark.slow
def test_keys_move_the_threshold_and_a_narrow_sheet_is_in_order(
    browser: Browser, dashboard: str, pairs: Pairs
) -> None:
    watched = near(browser, dashboard, viewport={"width": 420, "height": 900})
    page = watched.page
    page.locator(".strip .handle").focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    cut = pairs.cut(0.247)
    expect(page.locator(".half.below .card .score").first).to_have_text(
        f"{pairs.score[cut - 1]:.4f}"
    )
    expect(page.locator(".half.above .card")).to_have_count(SIDE)
    assert shown(page, "above") == rounded(pairs.score[cut : cut + SIDE][::-1])
    above, line, below = (
        page.locator(place).bounding_box() for place in (".half.above", ".line", ".half.below")
    )
    assert above and line and below and above["y"] < line["y"] < below["y"]
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide)
    ended(watched)


@pytest.mark.slow
def test_the_sheet_follows_other_fields_after_a_drag(
    browser: Browser, dashboard: str, pairs: Pairs
) -> None:
    watched = near(browser, dashboard)
    page = watched.page
    page.locator(".strip .handle").focus()
    page.keyboard.press("PageUp")
    first = page.locator(".half.above .card .score").first
    expect(first).to_have_text(f"{pairs.score[pairs.cut(0.25)]:.4f}")
    field = page.get_by_role("spinbutton", name="Threshold")
    field.fill("0.3")
    field.press("Enter")
    expect(first).to_have_text(f"{pairs.score[pairs.cut(0.3)]:.4f}")
    expect(page.locator(".line .at")).to_have_text("0.300")
    assert page.locator(".strip .handle").get_attribute("aria-valuenow") == "0.3"
    ended(watched)


@pytest.mark.slow
def test_a_tap_chooses_a_bar_and_leaves_the_threshold(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, f"{dashboard}/", "?t=0.27", has_touch=True)
    page = watched.page
    page.wait_for_selector(".handle[aria-valuetext]", timeout=60_000)
    box = page.locator(".plot .area").bounding_box()
    assert box is not None
    before = page.locator(".control .see").inner_text()
    page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"])
    expect(page.locator(".control .see")).not_to_have_text(before)
    low = float(page.locator(".control .see").inner_text().split("scoring ")[1].split()[0])
    assert low < 0.25
    assert page.locator(".handle").get_attribute("aria-valuenow") == "0.27"
    page.locator(".control .see").tap()
    page.wait_for_selector(".half .card")
    assert float(query(page)["b.from"][0]) == low and query(page)["t"] == ["0.27"]
    page.close()


@pytest.mark.slow
def test_a_press_enlarges(browser: Browser, dashboard: str, pairs: Pairs) -> None:
    watched = near(browser, dashboard)
    page, number = watched.page, pairs.cut(0.24)
    page.locator(".half.above .card .words").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".big[data-large=true] img")).to_be_visible()
    width = dialog.locator(".big img").evaluate("(image) => image.naturalWidth")
    assert width > page.locator(".card img").first.evaluate("(image) => image.naturalWidth")
    columns, row = None, int(pairs.document[number])
    for shard in expand([SAMPLE]):
        columns = read_columns(shard, load_tokenizer("gpt2"))
        if row < len(columns):
            break
        row -= len(columns)
    assert columns is not None
    image, sentence = int(pairs.image[number]), int(pairs.sentence[number])
    whole = read_thumbnail(columns.shard, columns.place(row), None, image, sentence).sentence
    said = dialog.inner_text()
    assert whole is not None and whole in said
    document = columns.document(row)
    scores = [score for n, score in enumerate(document.similarity[image]) if n != sentence]
    assert f"{max(scores):.4g}, sentence" in said
    for fact in (document.key, columns.shard.name, f"{pairs.score[number]:.4f}"):
        assert fact in said
    page.keyboard.press("ArrowLeft")  # the pair below the threshold
    expect(dialog).to_contain_text(f"{pairs.score[number - 1]:.4f}")
    expect(dialog.locator(".big[data-large=true]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    ended(watched)


@pytest.mark.slow
def test_pages_lead_away_from_the_threshold(browser: Browser, dashboard: str, pairs: Pairs) -> None:
    watched = near(browser, dashboard)
    page, cut = watched.page, pairs.cut(0.24)
    page.get_by_role("button", name="Farther from the threshold, dropped pairs").click()
    expect(page.locator(".half.below .place")).to_have_text(f"13–24 of {cut}")
    assert shown(page, "below") == rounded(pairs.score[cut - 2 * SIDE : cut - SIDE][::-1])
    assert shown(page, "above") == rounded(pairs.score[cut : cut + SIDE])
    page.wait_for_function("new URL(location).searchParams.get('b.below') === '2'")
    page.reload()
    expect(page.locator(".half.below .place")).to_have_text(f"13–24 of {cut}", timeout=60_000)
    page.get_by_role("button", name="Nearer to the threshold, dropped pairs").click()
    expect(page.locator(".half.below .place")).to_have_text(f"1–12 of {cut}")
    assert page.get_by_role("button", name="Nearer to the threshold, dropped pairs").is_disabled()
    ended(watched)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["double-click", "keyboard", "button"])
def test_a_bar_opens_its_pairs(browser: Browser, dashboard: str, pairs: Pairs, how: str) -> None:
    watched = Watched(browser, f"{dashboard}/", "?t=0.27")
    page = watched.page
    page.wait_for_selector(".handle[aria-valuetext]", timeout=60_000)
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached()
    box = page.locator(".plot .area").bounding_box()
    assert box is not None
    if how == "double-click":
        x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"]
        page.mouse.move(x, y)
        words = page.locator(".control .hint").inner_text().partition(":")[0]
        page.mouse.dblclick(x, y)
    else:
        words = page.locator(".control .see").inner_text().removeprefix("Show the ")
        page.locator(".handle" if how == "keyboard" else ".control .see").focus()
        page.keyboard.press("Enter")
    page.wait_for_selector(".half .card")
    low, high = (float(query(page)[name][0]) for name in ("b.from", "b.to"))
    inside = int(((pairs.score >= low) & (pairs.score < high)).sum())
    assert inside and words == f"{inside} pairs scoring {low:.3f} to below {high:.3f}"
    expect(page.locator(".st-key-near-range")).to_contain_text(words)
    cards = page.locator(".card .score").all_inner_texts()
    assert len(cards) == inside and all(low <= float(score) <= high for score in cards)
    assert query(page)["t"] == ["0.27"]  # the threshold is where it was
    page.get_by_role("button", name="Show all scores").click()
    expect(page.locator(".card")).to_have_count(2 * SIDE)
    page.wait_for_function("() => !new URL(location).searchParams.has('b.from')")
    page.close()


@pytest.mark.slow
def test_a_copied_link_opens_the_document(browser: Browser, dashboard: str) -> None:
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(f"{dashboard}/near-threshold?cap=4&t=0.25&b.n=24")
        page.wait_for_selector(".card img", timeout=60_000)
        card = page.locator(".half.above .card").nth(2)
        words = card.locator(".words").inner_text()
        button = card.get_by_role("button", name="Copy link to document of")
        button.click()
        expect(card.locator(".actions")).to_contain_text("Copied")
        link = page.evaluate("navigator.clipboard.readText()")
        assert card.get_by_role("link").evaluate("(link) => link.href") == link
        assert link.startswith(f"{dashboard}/documents?")
        page.goto(link)
        page.wait_for_selector(".mmc-facts", timeout=60_000)
        assert words.rstrip("…") in text_of(page)
        assert query(page)["t"] == ["0.25"] and query(page)["cap"] == ["4"]


@pytest.mark.slow
def test_controls_of_cards_have_different_names(browser: Browser, dashboard: str) -> None:
    watched = near(browser, dashboard)
    for role, count in (("link", 1), ("button", 3)):
        names = watched.page.locator(f".card {'a' if role == 'link' else 'button'}").evaluate_all(
            "(all) => all.map((one) => one.getAttribute('aria-label'))"
        )
        assert len(names) == len(set(names)) == count * 2 * SIDE and None not in names
    ended(watched)


@pytest.mark.slow
def test_a_chosen_pair_is_labeled_apart_from_the_random_ones(
    browser: Browser, tmp_path: Path, pairs: Pairs
) -> None:
    file = str(tmp_path / "labels.sqlite")
    with serving(tmp_path, SAMPLE, "--labels", file) as address:
        watched = near(browser, address)
        page, number = watched.page, pairs.cut(0.24)
        words = page.locator(".half.above .card .words").first.inner_text()
        page.locator(".half.above .card").first.get_by_role("button", name="Label image").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".label .sentence")).to_contain_text(words.rstrip("…"))
        expect(page.get_by_text("does not count in precision")).to_be_visible()
        assert f"{pairs.score[number]:.4f}" not in page.inner_text("[data-testid=stMain]")
        page.keyboard.press("n")
        expect(page.get_by_text("Saved. It does not count")).to_be_visible()
        (said,) = chosen.read(file)
        assert (said.pair.image, said.pair.sentence) == (
            int(pairs.image[number]), int(pairs.sentence[number]),
        )  # fmt: skip
        assert said.answer == "no" and said.person == "Ada" and said.score == pairs.score[number]
        assert store.read(file, history=True) == []  # what every estimate reads
        page.wait_for_url(lambda url: "l.pair" not in url)  # written at the end of the run
        ended(watched)
