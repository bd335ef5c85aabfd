"""The dashboard as users start it: in a separate process, on a free port, until a test ends."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def chromium() -> str:
    """Return an installed Chromium; skip without one, or fail where browser tests are required."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is not None:
        return found
    if os.environ.get("MMC4VIZ_BROWSER") == "required":
        pytest.fail("no Chromium is installed, and MMC4VIZ_BROWSER=required")
    pytest.skip("no Chromium is installed")


@contextmanager
def serving(
    folder: Path, *arguments: str, module: str = "mmc4viz", python: str = sys.executable
) -> Iterator[str]:
    """Run ``mmc4viz app`` in a folder and yield its address once it answers."""
    with _answering(
        folder, [python, "-m", module, "app", "--no-browser", *arguments, "--port"]
    ) as address:
        yield address


@contextmanager
def serving_script(script: Path) -> Iterator[str]:
    """Run a page of its own, which is not one of the app's, as `serving` runs the app."""
    options = "--server.headless=true", "--browser.gatherUsageStats=false"
    command = [sys.executable, "-m", "streamlit", "run", str(script), *options, "--server.port"]
    with _answering(script.parent, command) as address:
        yield address


@contextmanager
def _answering(folder: Path, command: list[str]) -> Iterator[str]:
    """Run a command that ends with the option of its port; yield its address once it answers."""
    port = _free_port()
    with (folder / "app.log").open("w+") as log:
        process = subprocess.Popen(
            [*command, str(port)], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(f"{address}/_stcore/health", process)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:  # it still makes a file
                process.kill()
                raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Poll until it answers; fail if the process ends or stays silent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the app ended before it answered"
        try:
            with _DIRECT.open(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the app did not answer within {seconds:g} seconds")
