"""What the commands say of the sample is what they said before."""

from __future__ import annotations

from tests import snapshots
from tests.real import DATA


def test_the_commands_say_what_they_said() -> None:
    """Where it is meant to differ: ``python tests/snapshots.py --said tests/data/said``."""
    said = snapshots.said()
    before = {path.name: path.read_text() for path in (DATA / "said").iterdir()}
    assert {snapshots.file_name(line): text for line, text in said.items()} == before
