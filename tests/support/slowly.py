"""Parameters of tests that are left out of the default run, for its time."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*parameters: Any) -> list[Any]:
    """Mark parameters, a tuple for several at once, as slow."""
    return [
        pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow)
        for one in parameters
    ]
