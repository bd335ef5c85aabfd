"""Hostile links, hostile sites and DNS rebinding, in headless Chromium."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from tests.support.documents import info, write_tar
from tests.support.serving import serving


class Site:
    """Another site on this machine, with a shard to fetch and a page that frames another."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        site, self.framed = self, ""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(f"<iframe src='{site.framed}'></iframe>".encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve one folder of a larger one."""
    folder = tmp_path_factory.mktemp("machine")
    for name in ("app", "beside"):
        (folder / name).mkdir()
        write_tar(folder / name / "a.tar", [(name, info([[0.3, 0.1], [0.2, 0.4]]))])
    with serving(folder / "app", "a.tar") as address:
        yield address, folder


@pytest.mark.slow
def test_a_hostile_link_writes_and_fetches_nothing(
    browser: Browser, served: tuple[str, Path], site: Site
) -> None:
    address, folder = served
    before = sorted(folder.rglob("*"))
    page = browser.new_page()
    for shards in (f"{site.address}/zz.pth", str(folder / "beside" / "a.tar")):
        out = str(folder / "beside")
        page.goto(f"{address}/export?shards={quote(shards)}&x.out={quote(out)}")
        expect(page.get_by_text("The link asks for shards")).to_be_visible(timeout=60_000)
        write = page.get_by_role("button", name="Write shards")
        expect(write).to_be_disabled(timeout=60_000)
        expect(page.get_by_role("textbox", name="Output directory")).to_have_value("")
        expect(page.get_by_role("textbox", name="Shards", exact=True)).to_have_value(
            str(folder / "app/a.tar")
        )
        expect(page).not_to_have_url(re.compile("x.out|shards="))
    page.close()
    assert not site.asked
    assert [one for one in sorted(folder.rglob("*")) if one.name != "app.log"] == [
        one for one in before if one.name != "app.log"
    ]


@pytest.mark.slow
def test_no_other_site_frames_a_page(
    browser: Browser, served: tuple[str, Path], site: Site
) -> None:
    page, (site.framed, _) = browser.new_page(), served
    page.goto(site.address)
    page.wait_for_load_state("networkidle")
    inner = page.frames[1]
    assert inner.url.startswith("chrome-error://")
    page.close()
    site.asked.clear()


@pytest.mark.slow
def test_another_host_name_is_rejected(browser: Browser, served: tuple[str, Path]) -> None:
    page = browser.new_page()
    rebound = served[0].replace("127.0.0.1", "evil.localhost")
    answer = page.goto(rebound)
    assert answer is not None
    assert answer.status == 403
    assert "--allow-host" in page.inner_text("body")
    page.goto(served[0])
    opened = page.evaluate(
        """async (url) => new Promise((done) => {
          const socket = new WebSocket(url);
          socket.onopen = () => done(true);
          socket.onerror = () => done(false);
        })""",
        rebound.replace("http", "ws") + "/_stcore/stream",
    )
    assert opened is False
    page.close()
