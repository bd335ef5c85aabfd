"""The command that takes labels out of their file, and in. Labels nothing itself."""

from __future__ import annotations

import sys

import click

from mmc4viz.data.storage import refuse_inputs, whole_file
from mmc4viz.thresholds.labels import exchange, store
from mmc4viz.thresholds.labels.store import LabelsError


@click.group(no_args_is_help=True)
def labels() -> None:
    """Take labels out of a file, or into it, as CSV."""


@labels.command("export")
@click.argument("file")
@click.argument("csv", default="-")
def export_labels(file: str, csv: str) -> None:
    """Write all judgements of FILE to CSV, with their history; - is standard output."""
    refuse_inputs([csv], [file])
    text = exchange.export_csv(file)
    if csv == "-":
        click.echo(text, nl=False)
        return
    with whole_file(csv) as out:
        out.write(text.encode())


@labels.command("import")
@click.argument("file")
@click.argument("csv")
def import_labels(file: str, csv: str) -> None:
    """Take the judgements of CSV into FILE, which is made if need be; - is standard input."""
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
        raise LabelsError(f"{csv}: is no text in UTF-8") from None
    store.create(file)
    new, there = exchange.import_csv(file, text, csv)
    click.echo(f"{new:,} labels came in; {there:,} were there already.", err=True)
