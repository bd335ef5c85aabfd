"""The command that writes the sample to a folder."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mmc4viz.types import ConfigError

_IN_SOURCE_ONLY = (".py", ".pyc", ".npz")  # how the sample was made


def sample(folder: str, overwrite: bool) -> None:
    """Write the sample to a folder, to try the other commands on."""
    from mmc4viz.data.index import sample_folder
    from mmc4viz.data.storage import whole_file

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
