"""What all tests share: no network, examples that take as long as they take, the main module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.serving import serving

os.environ["HF_HUB_OFFLINE"] = "1"
settings.register_profile("mmc4viz", deadline=None, max_examples=40)
settings.load_profile("mmc4viz")


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the main module back: Streamlit's AppTest leaves its script there, workers import it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the dashboard on the sample; its address, shared by all browser tests."""
    with serving(tmp_path_factory.mktemp("dashboard")) as address:
        yield address
