"""The commands' output on the sample is as recorded."""

from __future__ import annotations

import re

from tests.support import snapshots
from tests.support.real import DATA


def test_the_commands_say_what_they_said() -> None:
    """To update: ``python tests/support/snapshots.py --said tests/recordings/said``."""
    said = snapshots.said()
    before = {path.name: path.read_text() for path in (DATA / "said").iterdir()}
    now = {snapshots.file_name(line): text for line, text in said.items()}
    assert {name: _plain(name, text) for name, text in now.items()} == {
        name: _plain(name, text) for name, text in before.items()
    }


def _plain(name: str, text: str) -> str:
    """Round intervals: SciPy before 1.17 has the quantiles of t to ten digits only."""
    if "--sample-" not in name:
        return text
    return re.sub(r"\d+\.\d{9,}", lambda number: f"{float(number[0]):.9g}", text)
