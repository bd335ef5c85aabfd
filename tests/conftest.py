"""What all tests share: no network, no limit of time per example, one thread, the main module."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Final

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process per core already; more threads only wait
_PARAMETERS: Final = 2  # of each test, in the default run
settings.register_profile("all", deadline=None, max_examples=40)
settings.register_profile("default", deadline=None, max_examples=8)


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples in the default run, which leaves out slow tests, too."""
    default = config.getoption("markexpr") == "not slow"
    settings.load_profile("default" if default else "all")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all but a few of a test's parameters in the default run."""
    if config.getoption("markexpr") != "not slow":
        return
    seen: Counter[str] = Counter()
    left, out = [], []
    for item in items:
        name = item.nodeid.partition("[")[0]
        if "slow" not in item.keywords:
            seen[name] += 1
        (left if seen[name] <= _PARAMETERS else out).append(item)
    items[:] = left
    config.hook.pytest_deselected(items=out)


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the main module back: Streamlit's AppTest leaves its script there, workers import it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
