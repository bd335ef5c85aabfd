"""Test parameters that are excluded from the default run because they are slow."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*parameters: Any) -> list[Any]:
    """Mark parameters, a tuple for several at once, as slow."""
    return [
        pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow)
        for one in parameters
    ]
