"""The command ``labels``: exports and imports labels as CSV."""

from __future__ import annotations

import sys

import click

from mmc4viz.data.storage import refuse_inputs, whole_file
from mmc4viz.thresholds.labels import exchange, store
from mmc4viz.thresholds.labels.store import LabelsError


def export_labels(file: str, csv: str) -> None:
    """Export all labels of FILE with their history to CSV."""
    refuse_inputs([csv], [file])
    text = exchange.export_csv(file)
    if csv == "-":
        click.echo(text, nl=False)
        return
    with whole_file(csv) as out:
        out.write(text.encode())


def import_labels(file: str, csv: str) -> None:
    """Import labels from CSV into FILE, which is created if needed."""
    try:
        if csv == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(csv, "rb") as given:
                content = given.read()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise LabelsError(f"{csv}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LabelsError(f"{csv}: not valid UTF-8 text") from None
    store.create(file)
    new, there = exchange.import_csv(file, text, csv)
    click.echo(
        f"imported {new:,} {'label' if new == 1 else 'labels'}; {there:,} already present", err=True
    )
