"""What all tests share: no network, no limit of time per example, one thread, the main module."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process per core already; more threads only wait
settings.register_profile("mmc4viz", deadline=None, max_examples=40)
settings.load_profile("mmc4viz")


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the main module back: Streamlit's AppTest leaves its script there, workers import it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
