"""The pages of documents and pairs in headless Chromium, with hostile text."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Locator, Page, expect

import mmc4viz
from mmc4viz import LoaderConfig, expand, load_tokenizer, parse_document, samples, walk
from mmc4viz.cli import cli
from mmc4viz.types import Outcome
from tests.support.documents import entry, info, write_tar
from tests.support.hostile import DOCUMENTS, TEXTS, write_hostile
from tests.support.serving import serving
from tests.support.slowly import slow

SAMPLE = str(Path(mmc4viz.__file__).parents[1] / "sample_data")
FACTS = ".mmc-facts"
OTHERS = ("unreadable", "no_valid_image", "below_threshold", "too_few_images", "kept")


@pytest.fixture(scope="module")
def odd_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the hostile shard and one with the other outcomes."""
    folder = tmp_path_factory.mktemp("odd")
    shards = write_hostile(folder), not_in_sample(folder)
    with serving(folder, *map(str, shards)) as served:
        yield served


@pytest.fixture(scope="module")
def explained() -> dict[str, dict[str, Any]]:
    """Return what ``mmc4viz explain`` prints of each document, by key."""
    printed = CliRunner().invoke(cli, ["explain", SAMPLE, "--format", "jsonl"])
    return {record["key"]: record for record in map(json.loads, printed.stdout.splitlines())}


class Watched:
    """A page, with its errors and its requests to others."""

    def __init__(self, browser: Browser, address: str, scheme: Any = "light") -> None:
        self.address, self.complaints, self.strangers = address, list[str](), list[str]()
        self.page: Page = browser.new_page(
            viewport={"width": 1400, "height": 1400}, color_scheme=scheme
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)

    def open(self, path: str, until: str = FACTS) -> Page:
        self.page.goto(f"{self.address}/{path}")
        self.page.wait_for_selector(until, timeout=60_000)
        self.page.wait_for_selector('[data-test-script-state="notRunning"]', timeout=60_000)
        return self.page

    def _on_console(self, message: Any) -> None:
        # A page below the root first looks for its server at its own path.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            self.complaints.append(message.text)

    def _on_request(self, request: Any) -> None:
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:")
        if not request.url.startswith(own):
            self.strangers.append(request.url)

    def assert_quiet(self) -> None:
        assert not self.complaints
        assert not self.strangers


def outcomes() -> dict[str, tuple[int, int, str, str]]:
    """Find a document of each outcome in the sample: its place, key and words."""
    found: dict[str, tuple[int, int, str, str]] = {}
    tokenizer = load_tokenizer()
    for shard in expand([SAMPLE]):
        for row, sample in enumerate(samples(shard)):
            document = parse_document(sample.key, sample.raw)
            verdict = walk(document, LoaderConfig(), tokenizer)
            words = verdict.detail or str(verdict.outcome)
            found.setdefault(str(verdict.outcome), (shard.position, row, document.key, words))
    return found


def not_in_sample(folder: Path) -> Path:
    """Write documents with outcomes that are not in the sample."""
    long = "word " * 400
    return write_tar(
        folder / "others.tar",
        [
            ("unreadable", b"{"),
            ("no_valid_image", info([[0.3]], images=[entry()])),
            ("below_threshold", info([[0.1]])),
            ("too_few_images", info([[0.1, 0.3]], [long, "Behind the cut."])),
            ("kept", info([[0.3, 0.1], [0.1, 0.3]])),
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize("scheme", slow("light", "dark"))
def test_documents_of_every_outcome_open(
    browser: Browser, dashboard: str, explained: dict[str, dict[str, Any]], scheme: str
) -> None:
    watched = Watched(browser, dashboard, scheme)
    for outcome, (part, row, key, words) in outcomes().items():
        page = watched.open(f"documents?doc={part}.{row}")
        shown = page.inner_text(FACTS)
        assert key in shown
        assert outcome.replace("_", " ") in shown
        assert words in shown
        said = explained[key]
        assert said["outcome"] == outcome
        assert f"{said['image_tokens']:,} ({said['mispaired']:,} mispaired)" in shown
        assert f"text tokens\n{said['text_tokens']:,}" in shown
        assert f"keep probability\n{said['keep_probability']:g}" in shown
        scores = [f"{pair['score']:.4f}" for pair in said["pairs"]]
        assert set(scores) <= set(page.locator(".mmc-image b").all_inner_texts())
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(wide)
    watched.assert_quiet()
    watched.page.close()


@pytest.mark.slow
def test_the_other_outcomes_open(browser: Browser, odd_address: str) -> None:
    watched = Watched(browser, odd_address)
    for row, outcome in enumerate(OTHERS):
        page = watched.open(f"documents?doc=1.{row}")
        assert outcome.replace("_", " ") in page.inner_text(FACTS)
        assert outcome in set(map(str, Outcome))
    watched.assert_quiet()
    watched.page.close()


def text_of(page: Page) -> str:
    """Return all text of the open document, folded sentences included."""
    return " ".join(page.locator(".mmc-doc").all_text_contents())


def key_shown(page: Page) -> str:
    return page.inner_text(f"{FACTS} > :nth-child(2)")


def settled(element: Locator) -> tuple[float, float]:
    """Return the position of an element once it has settled."""
    before = None
    for _ in range(50):
        box = element.bounding_box()
        if box is not None and box == before:
            return box["x"], box["y"]
        before = box
        element.page.wait_for_timeout(300)
    raise AssertionError("the page does not come to rest")


@pytest.mark.slow
def test_a_row_opens_its_document_and_keys_step(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("documents?f.sort=place", ".list tbody tr")
    x, y = settled(page.locator(".list tbody").first)
    keys = [sample.key for sample in samples(expand([SAMPLE])[0])]
    # One press after another, each opens its own, anywhere in a row.
    for row, right in ((4, 14), (2, 300), (5, 14), (0, 200), (4, 400), (1, 14)):
        page.mouse.click(x + right, y + 46 * (row + 0.5))
        assert page.locator(".list tr[aria-selected=true]").get_attribute("data-id") == str(row)
        expect(page.locator(f"{FACTS} > :nth-child(2)")).to_have_text(keys[row])
        page.wait_for_url(f"**doc=0.{row}*")
    page.get_by_role("heading", name="Documents").click()
    for pressed, row in (("j", 2), ("j", 3), ("k", 2), ("k", 1), ("k", 0)):
        page.keyboard.press(pressed)
        expect(page.locator(f"{FACTS} > :nth-child(2)")).to_have_text(keys[row])
    page.get_by_label("Text", exact=True).fill("jjj")
    page.wait_for_timeout(500)
    assert key_shown(page) == keys[0]
    watched.assert_quiet()
    page.close()


@pytest.mark.slow
def test_a_filter_and_a_link_reproduce_a_view(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("documents?f.outcome=unreadable&f.sort=place", "text=of 240 documents")
    assert "Any outcome" not in page.inner_text(".st-key-filters")
    watched.page.get_by_role("button", name="Next").click()
    page.wait_for_selector(FACTS)
    assert "unreadable" in page.inner_text(FACTS)
    page.wait_for_url("**doc=*")  # written at the end of the run
    link = page.url.removeprefix(f"{dashboard}/")
    shown = key_shown(page)
    assert key_shown(watched.open(link)) == shown
    watched.assert_quiet()
    page.close()


class Slow(http.server.BaseHTTPRequestHandler):
    """Serves a shard of the sample: at once while the gate is open, else a piece a permit."""

    shard = Path(SAMPLE, "sample-0000.tar")
    open_gate = threading.Event()
    permits = threading.Semaphore(0)

    def do_GET(self) -> None:
        content = self.shard.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        piece = len(content) // 40
        for start in range(0, len(content), piece):
            if not self.open_gate.is_set():
                self.permits.acquire()
            self.wfile.write(content[start : start + piece])

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever abandons a search hangs up
            super().handle()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def slow_shard() -> Iterator[str]:
    Slow.open_gate.set()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sample-0000.tar"
        Slow.open_gate.set()
        Slow.permits.release(100)
        server.shutdown()


def release_until(shown: Locator) -> None:
    """Let the shard through piece by piece until something is shown."""
    for _ in range(40):
        Slow.permits.release()
        with suppress(AssertionError):
            expect(shown).to_be_visible(timeout=250)
            return
    raise AssertionError(f"the whole shard went by without {shown}")


@pytest.mark.slow
def test_a_search_is_stopped_and_resumed(browser: Browser, slow_shard: str, tmp_path: Path) -> None:
    with serving(tmp_path, slow_shard) as address:
        watched = Watched(browser, address)
        page = watched.open("documents?f.text=the", ".st-key-find-start")
        Slow.open_gate.clear()
        page.get_by_role("button", name=re.compile("^Search [0-9]")).click()
        abandon = page.get_by_role("button", name="Stop search")
        some_read = page.get_by_text(re.compile(r"^Searching [1-9]\d* of 120 documents: \d+ f"))
        release_until(some_read)
        abandon.click()
        rest = page.get_by_text(re.compile(r"^Stopped at \d+ of 120 documents: \d+ found$"))
        release_until(rest)  # it is left between two documents
        assert 0 < int(rest.inner_text().split()[2]) < 120
        expect(abandon).not_to_be_visible()
        Slow.open_gate.set()
        page.get_by_role("button", name="Continue search").click()
        page.wait_for_selector("text=Searched all 120 documents")
        watched.assert_quiet()
        page.close()


@pytest.mark.slow
def test_near_threshold_leads_to_a_document(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("near-threshold", ".card img")
    words = page.locator(".card .words").first.inner_text()
    page.get_by_role("link", name="Open document of").first.click()
    page.wait_for_selector(FACTS)
    assert words in text_of(page)
    watched.assert_quiet()
    page.close()


def assert_inert(page: Page) -> None:
    """Check that hostile text is shown as text only."""
    assert page.evaluate("window.hostile") is None
    main = '[data-testid="stMain"]'
    for element in ("script", "iframe", "[onerror]", "[onload]", "[onclick]", "img[src=x]"):
        assert page.locator(f"{main} {element}").count() == 0, element
    for element in ("svg", 'a:not([href^="http"])', "h1", "h2", "strong", ".katex", "style"):
        assert page.locator(f".mmc-doc {element}").count() == 0, element
    for start in ("javascript:", "data:text"):
        assert page.locator(f'[href^="{start}"], [src^="{start}"]').count() == 0
    assert page.evaluate("getComputedStyle(document.body).display") != "none"


@pytest.mark.slow
def test_hostile_documents_do_nothing(browser: Browser, odd_address: str) -> None:
    watched = Watched(browser, odd_address, "dark")
    for row in range(DOCUMENTS):
        page = watched.open(f"documents?doc=0.{row}")
        if row == 0:
            shown = " ".join(text_of(page).split())
            assert all(" ".join(text.split()) in shown for text in TEXTS[:10])
        page.get_by_text("Raw JSON").click()
        page.wait_for_selector(".mmc-raw")
        assert_inert(page)
    watched.assert_quiet()
    watched.page.close()


@pytest.mark.slow
def test_hostile_text_does_nothing_elsewhere(browser: Browser, odd_address: str) -> None:
    watched = Watched(browser, odd_address)
    for view in ("around", "lost", "kept", "between"):
        page = watched.open(f"near-threshold?b.view={view}", '[data-testid="stHeading"]')
        assert_inert(page)
        if view in ("around", "lost"):
            page.locator(".card .picture").first.click()
            expect(page.locator("dialog[open] .sentence")).to_be_visible()
            unknown = page.locator("dialog[open] dd").filter(has_text=re.compile("^…$"))
            expect(unknown).to_have_count(0)  # the server has answered
        assert_inert(page)
    page = watched.open("documents?f.text=hostile", ".st-key-find-start")
    page.get_by_role("button", name=re.compile("^Search [0-9]")).click()
    page.wait_for_selector("text=Searched all")
    assert_inert(page)
    assert_inert(watched.open("loader-audit", ".mmc-finding"))
    watched.assert_quiet()
    watched.page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page_name", ["documents?doc=0.3", *slow("near-threshold", "loader-audit")]
)
def test_nothing_is_wider_than_a_narrow_page(
    browser: Browser, dashboard: str, page_name: str
) -> None:
    watched = Watched(browser, dashboard)
    watched.page.set_viewport_size({"width": 800, "height": 1200})
    page = watched.open(page_name, ".card" if page_name == "near-threshold" else ".mmc-doc")
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    page.close()


@pytest.mark.slow
def test_every_picture_has_a_name(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("documents?doc=0.12")
    for name in ("Similarity matrix of 5 images and 37 sentences", "truncated to 256"):
        expect(page.get_by_role("img", name=name)).to_be_visible()
    cells = page.locator(".picture canvas").bounding_box()
    assert cells is not None
    page.get_by_role("img", name="Similarity matrix of").hover(position={"x": 100, "y": 30})
    expect(page.locator(".picture .legend + .hint")).to_contain_text("image 1, sentence ")
    assert all(page.locator(".mmc-image img").nth(n).get_attribute("alt") for n in range(2))
    page.close()


@pytest.mark.slow
def test_jpeg_is_what_is_shown(browser: Browser, dashboard: str) -> None:
    watched = Watched(browser, dashboard)
    page = watched.open("documents?doc=0.12")
    sources = page.eval_on_selector_all(".mmc-doc img", "all => all.map((e) => e.src)")
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    page.close()
