"""What the tests of pages in a process share: a browser, a server on the sample, components."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from streamlit.components.v2 import manifest_scanner

from mmc4viz.ui import writing
from tests.support.serving import FLAGS, chromium, serving

if TYPE_CHECKING:  # tests without a browser run where Playwright is not installed
    from playwright.sync_api import Browser


@pytest.fixture(scope="session", autouse=True)
def _components_looked_for_once() -> Iterator[None]:
    """Let AppTest look through all installed packages once, as a server does, not at each run."""
    looked_for = cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest_scanner, "scan_component_manifests", looked_for)
        yield


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let pages in this process remember and label in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def writing_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let pages write without a run before, and commands in threads.

    The main module is a page here, and processes would load it.
    """
    for name in ("mmc4viz.cli.apply", "mmc4viz.cli.export.trainers"):
        monkeypatch.setattr(import_module(name), "processes", lambda _: ThreadPoolExecutor(1))
    writing._RUNS.clear()
    yield
    writing._RUNS.clear()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # as for actions; the machine may be busy
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the dashboard on the sample; its address."""
    with serving(tmp_path_factory.mktemp("dashboard")) as address:
        yield address
