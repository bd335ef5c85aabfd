"""One browser, and one server on the sample, for all tests of pages that a process runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.serving import FLAGS, chromium, serving

if TYPE_CHECKING:  # tests without a browser run where Playwright is not installed
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the dashboard on the sample; its address."""
    with serving(tmp_path_factory.mktemp("dashboard")) as address:
        yield address
