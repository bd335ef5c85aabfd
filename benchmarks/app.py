"""Times the dashboard in a headless Chromium over synthetic indexes; prints a table.

    python -m benchmarks.app FOLDER [--documents 10000 1000000] [--starts 3] [--moves 200]

Indexes are written into FOLDER once and used again, each beside its shards: sparse files in which
only the documents that are opened here stand (`bodies`). What is timed:

* a move: from the pointer's event to the frame that shows its numbers; the WebSocket's frames to
  the server are counted while the line is dragged;
* a release: from its event to the last change of anything on the page, pictures of the settings
  included; the server's part from the message's arrival to the last of its answer being handed to
  the socket (`clocked`);
* opening a document that nobody has opened before: from the press on its row in the list to the
  last change of the page, its pictures and figures included;
* thumbnails that nobody has seen before: from the list being drawn to twenty standing in it;
* the first page: a server just started, a browser without a cache; from the address to the control
  with its numbers. A large index shows an estimate by then; until all is exact is timed as well.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks import bodies, clocked, synthetic
from mmc4viz.data.index import open_index
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.query import ordered
from mmc4viz.sweep.sweep import match_corpus
from mmc4viz.types import LoaderConfig
from tests.support.serving import FLAGS, chromium, serving

Report = dict[str, list[float]]
ROOT: Final = Path(__file__).parents[1]
ROWS: Final = 7  # opened of each page of the table
PAGES: Final = 3
A_PAGE: Final = 50  # rows
THUMBNAILS: Final = 20  # on the page of the list after those
_WITHOUT: Final = 5  # documents that may have no image that can be shown
_ROW: Final = ".list tbody tr"
_KEY_SHOWN: Final = ".mmc-facts > :nth-child(2)"
LIMITS: Final = {
    "drag: pointer to numbers painted": 33,
    "drag: requests to the server": 0,
    "release: to all of the page": 300,
    "release: the server's part": 50,
    "open a document": 300,
    "open: presses without effect": 0,
    "twenty thumbnails": 400,
    "first page": 2500,
}

# Remember when the pointer spoke, and when the page changed last, wherever on it.
_WATCH: Final = """
() => {
  const watch = (window.watch = { moves: [], changed: 0, began: 0 });
  const painted = (then) => requestAnimationFrame(() => setTimeout(then));
  const noted = () => painted(() => { watch.changed = performance.now(); });
  const everything = { childList: true, subtree: true, characterData: true, attributes: true };
  const look = new MutationObserver((changes) => {
    const own = (change) => !change.target.closest?.('[data-testid=stStatusWidget], header');
    if (changes.some(own)) noted();
  });
  look.observe(document.body, everything);
  for (const host of document.querySelectorAll('*'))
    if (host.shadowRoot) look.observe(host.shadowRoot, everything);
  watch.running = () => document.querySelector('[data-test-script-state="running"]') !== null;
  watch.rested = () =>
    watch.changed > watch.began && performance.now() - watch.changed > 400 && !watch.running();
  watch.begin = () => { watch.began = performance.now(); };
  addEventListener('pointerup', watch.begin, true);
  const roots = [...document.querySelectorAll('*')].map((e) => e.shadowRoot);
  const control = roots.find((root) => root?.querySelector('.handle'));
  if (!control) return;
  const handle = control.querySelector('.handle'), now = () => handle.getAttribute('aria-valuenow');
  watch.exact = () => control.querySelector('.interval') === null;
  control.addEventListener('pointermove', () => {
    const start = performance.now(), before = now();
    painted(() => { if (now() !== before) watch.moves.push(performance.now() - start); });
  }, true);
}
"""


class Told:
    """How often the browser told the server something."""

    def __init__(self, page: Page) -> None:
        self.times = 0
        page.on("websocket", lambda socket: socket.on("framesent", self._count))

    def _count(self, _: object) -> None:
        self.times += 1


class Clock:
    """What the server's clock has written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def times(self) -> list[float]:
        """Return the milliseconds of every answer so far."""
        return [float(line) for line in self.path.read_text().split()]


def rested(page: Page, seconds: float = 30) -> float:
    """Wait until the page changes no more; return how long it took since it was begun."""
    page.wait_for_function("watch.rested()", timeout=1000 * seconds, polling=50)
    return float(page.evaluate("watch.changed - watch.began"))


def first(page: Page, address: str) -> Report:
    """Time the first page."""
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".handle[aria-valuetext]", timeout=300_000)
    shown = 1000 * (time.perf_counter() - start)
    page.wait_for_selector(".funnels button")
    page.evaluate(_WATCH)
    page.wait_for_function("watch.exact()", timeout=600_000)
    return {"first page": [shown], "until exact": [1000 * (time.perf_counter() - start)]}


def drag(page: Page, told: Told, moves: int) -> Report:
    """Drag to and fro without letting go, and without a rest."""
    page.evaluate("watch.begin()")
    page.wait_for_timeout(4000)
    x, y = _grip(page)
    page.mouse.move(x, y)
    page.mouse.down()
    before = told.times
    for move in range(moves):
        page.mouse.move(x + 150 * np.sin(move / 9), y)
    requests = told.times - before
    page.wait_for_timeout(500)
    page.mouse.up()
    page.wait_for_timeout(1500)
    times: list[float] = page.evaluate("watch.moves")
    return {"drag: pointer to numbers painted": times, "drag: requests to the server": [requests]}


def release(page: Page, clock: Clock, releases: int) -> Report:
    """Let go at one place after another, each one new."""
    whole, before = [], len(clock.times())
    for turn in range(releases):
        page.wait_for_timeout(1000)
        x, y = _grip(page)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + (25 if turn % 2 else -25) + turn % 5, y)
        page.wait_for_timeout(60)
        page.mouse.up()
        whole.append(rested(page))
    server = clock.times()[before:]
    return {"release: to all of the page": whole, "release: the server's part": server}


def _grip(page: Page) -> tuple[float, float]:
    box = page.locator(".handle").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + 30


def open_documents(page: Page, address: str) -> Report:
    """Open documents by their rows, on several pages of the table; count presses in vain."""
    times, lost = [], 0
    for number in range(1, PAGES + 1):
        page.goto(f"{address}/documents?f.page={number}")
        page.wait_for_selector(_ROW, timeout=60_000)
        page.evaluate(_WATCH)
        page.wait_for_timeout(3000)
        for row in range(ROWS):
            before = page.locator(_KEY_SHOWN).all_inner_texts()
            page.locator(_ROW).nth(row).click()
            try:
                times.append(rested(page, 15))
            except TimeoutError:
                lost += 1
                continue
            lost += page.locator(_KEY_SHOWN).all_inner_texts() == before
            assert not page.get_by_role("alert").count(), page.get_by_role("alert").inner_text()
            page.wait_for_timeout(300)
    return {"open a document": times, "open: presses without effect": [lost]}


# Resolves to the time from the list being drawn to the images standing in it.
_STANDING: Final = """
(most) => new Promise((done) => {
  let began = 0;
  const look = () => {
    const hosts = [...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean);
    const list = hosts.map((root) => root.querySelector('.list table')).find(Boolean);
    if (list) began ||= performance.now();
    const standing = [...(list?.querySelectorAll('img') ?? [])].filter((one) => one.complete);
    if (standing.length >= most) done(performance.now() - began);
    else requestAnimationFrame(look);
  };
  look();
})
"""


def thumbnails(page: Page, address: str) -> Report:
    """Time the first images of a page of the list."""
    page.goto(f"{address}/documents?f.page={PAGES + 1}", wait_until="commit")
    return {"twenty thumbnails": [float(page.evaluate(_STANDING, THUMBNAILS))]}


def index_of(folder: Path, n_documents: int) -> Path:
    """Return an index with its shards, made once; the documents to be opened stand in them."""
    index, shards = folder / f"index-{n_documents}", folder / f"shards-{n_documents}"
    if not index.exists():
        index.mkdir(parents=True)
        shards.mkdir()
        synthetic.write_index(index, n_documents, shards_in=shards)
    parts = open_index(str(index)).columns
    config = LoaderConfig()
    found = verdicts(match_corpus(parts, config), config)
    order = ordered(np.arange(len(found.kind)), found.nearest, False)
    for page in range(PAGES + 1):
        start, rows = page * A_PAGE, ROWS if page < PAGES else THUMBNAILS + _WITHOUT
        for document in order.page(start, start + rows).tolist():
            bodies.write(parts[int(found.part[document])], int(found.row[document]))
    return index


@contextmanager
def opened(browser: Browser, index: Path) -> Iterator[tuple[Page, str, Clock]]:
    """Start a server on an index, and a page with an empty cache."""
    with tempfile.TemporaryDirectory() as name:
        clock = Clock(Path(name) / "clock")
        os.environ |= {clocked.VARIABLE: str(clock.path), "PYTHONPATH": str(ROOT)}
        arguments = ("--index", str(index))
        with (
            serving(Path(name), *arguments, module="benchmarks.clocked") as address,
            browser.new_context(viewport={"width": 1400, "height": 1500}) as context,
        ):
            yield context.new_page(), address, clock


def measure(browser: Browser, index: Path, starts: int, moves: int, releases: int) -> Report:
    """Return all times of one index, in milliseconds."""
    report: Report = {}
    for start in range(starts):
        with opened(browser, index) as (page, address, clock):
            told = Told(page)
            for name, times in first(page, address).items():
                report.setdefault(name, []).extend(times)
            if start == starts - 1:
                report |= drag(page, told, moves)
                report |= release(page, clock, releases)
                report |= thumbnails(page, address)
                report |= open_documents(page, address)
    return report


def p95(times: list[float]) -> float:
    """Return the 95th percentile; of a few times, the longest."""
    return float(np.quantile(times, 0.95)) if len(times) > 5 else max(times)


def show(reports: dict[int, Report]) -> None:
    """Print a row a figure: its limit, and each size's 95th percentile and median."""
    sizes = "".join(f"{f'{n:,} documents':>24}" for n in reports)
    print(f"{'p95 (median), ms':<36}{'at most':>8}{sizes}{'ratio':>8}")
    for name in dict.fromkeys(name for report in reports.values() for name in report):
        limit = LIMITS.get(name)
        line = f"{name:<36}{'–' if limit is None else limit:>8}"
        for report in reports.values():
            line += f"{f'{p95(report[name]):,.0f} ({np.median(report[name]):,.0f})':>24}"
        low, *_, high = (p95(report[name]) for report in [*reports.values()] * 2)
        print(line + (f"{high / low:>8.2f}" if low else f"{'–':>8}"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--releases", type=int, default=40)
    asked = parser.parse_args()
    indexes = {n: index_of(asked.folder, n) for n in asked.documents}
    reports = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for n_documents, index in indexes.items():
            times = asked.starts, asked.moves, asked.releases
            reports[n_documents] = measure(browser, index, *times)
        browser.close()
    show(reports)


if __name__ == "__main__":
    main()
