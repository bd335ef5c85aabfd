"""Messages on standard error, one line each."""

from __future__ import annotations

import click

from mmc4viz.text import printable


def print_note(note: str) -> None:
    """Print a note about a result."""
    click.echo(f"mmc4viz: note: {printable(' '.join(note.split()))}", err=True)


def print_error(message: str) -> None:
    """Print an error."""
    click.echo(f"mmc4viz: {printable(' '.join(message.split()))}", err=True)
