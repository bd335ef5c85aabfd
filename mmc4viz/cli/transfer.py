"""The commands that hand files over: labels as CSV, out of and into a file, and the sample."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mmc4viz.data.storage import refuse_inputs, whole_file
from mmc4viz.types import ConfigError

_IN_SOURCE_ONLY = (".py", ".pyc", ".npz")  # how the sample was made


def export_labels(file: str, csv: str) -> None:
    """Export all labels of FILE with their history to CSV."""
    from mmc4viz.thresholds.labels import exchange  # imported late: the sample needs none of it

    refuse_inputs([csv], [file])
    text = exchange.export_csv(file)
    if csv == "-":
        click.echo(text, nl=False)
        return
    with whole_file(csv) as out:
        out.write(text.encode())


def import_labels(file: str, csv: str) -> None:
    """Import labels from CSV into FILE, which is created if needed."""
    from mmc4viz.thresholds.labels import exchange, store  # imported late, as above
    from mmc4viz.thresholds.labels.store import LabelsError

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


def sample(folder: str, overwrite: bool) -> None:
    """Write the sample to a folder, to try the other commands on."""
    from mmc4viz.data.index import sample_folder  # imported late: labels need none of it

    source, out = sample_folder(), Path(folder)
    if source is None:
        raise ConfigError("this installation has no sample: install mmc4viz again")
    if "://" in folder:
        raise ConfigError(f"{folder}: the sample is written to local folders only")
    if out.resolve() == source:
        raise ConfigError(f"{folder}: is the sample itself; choose another folder")
    places = {path: out / path.relative_to(source) for path in _files(source)}
    there = [str(place) for place in places.values() if os.path.lexists(place)]
    if there and not overwrite:
        raise ConfigError(f"{there[0]}: exists; replace it with --overwrite")
    for path, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(str(place)) as file:
            file.write(path.read_bytes())
    size = sum(path.stat().st_size for path in places)
    click.echo(f"{folder}: {len(places)} files written, {size / 1e6:.1f} MB")


def _files(source: Path) -> list[Path]:
    """Return the sample's files; in a source checkout, those that a wheel has as well."""
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and path.suffix not in _IN_SOURCE_ONLY and not path.name.startswith(".")
    )
