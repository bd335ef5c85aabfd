"""The commands' output on the sample is as recorded."""

from __future__ import annotations

from tests.support import snapshots
from tests.support.real import DATA


def test_the_commands_say_what_they_said() -> None:
    """To update: ``python tests/support/snapshots.py --said tests/recordings/said``."""
    said = snapshots.said()
    before = {path.name: path.read_text() for path in (DATA / "said").iterdir()}
    assert {snapshots.file_name(line): text for line, text in said.items()} == before
