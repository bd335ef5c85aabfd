"""What commands say on standard error: one line each. Loads next to nothing."""

from __future__ import annotations

import click

from mmc4viz.text import printable


def say(note: str) -> None:
    """Say what an answer rests on, in one line on standard error."""
    click.echo(f"mmc4viz: note: {printable(' '.join(note.split()))}", err=True)


def complain(message: str) -> None:
    """Say what is wrong, in one line on standard error."""
    click.echo(f"mmc4viz: {printable(' '.join(message.split()))}", err=True)
