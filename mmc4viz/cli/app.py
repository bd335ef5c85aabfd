"""The command ``app``: opens the dashboard."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmc4viz.cli.common import check_sample, checked_folder, config_of
from mmc4viz.cli.messages import print_note
from mmc4viz.data.index import OWN, absolute, files_of, names_in
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import is_remote
from mmc4viz.thresholds.labels import store
from mmc4viz.types import ConfigError


def app(
    host: str,
    port: int | None,
    allowed: tuple[str, ...],
    base_path: str | None,
    browser: bool | None,
    **options: Any,
) -> None:
    """Open the dashboard on the bundled sample, on SHARDs or on an index."""
    serve(_app_start(**options), host, port, allowed, base_path, browser)


def serve(
    given: dict[str, Any],
    host: str,
    port: int | None,
    allowed: tuple[str, ...],
    base_path: str | None,
    browser: bool | None,
) -> None:
    """Serve the dashboard with what it was given."""
    port = _bindable_port(host, port)
    if host in ("0.0.0.0", "::"):
        print_note(
            f"--host {host}: anyone who can reach this machine can read the dashboard's folders"
            f"{'' if given['read_only'] else ' and write to them'}; browsers can open it under "
            "localhost and the names given by --allow-host"
        )
    from mmc4viz.ui import server, start

    start.give(given)
    server.serve(
        host=host, port=port, base_path=base_path or "", allowed=allowed,
        browser=browser, say=click.echo,
    )  # fmt: skip


def _bindable_port(host: str, asked: int | None) -> int:
    """Return the requested port, or the first free one from Streamlit's default on."""
    for port in [asked] if asked else range(8501, 8601):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family):
                return port
        except (OSError, UnicodeError, TypeError) as error:
            reason = f"cannot listen on {host}:{port}: {error}"
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                break
    raise ConfigError(f"{' '.join(reason.split())}; choose another --port or --host")


def _app_start(
    shards: Sequence[str],
    config_file: str | None,
    image_dir: str | None,
    index_dir: str | None,
    sample: int | None,
    similarity: str | None,
    labels: str | None,
    roots: Sequence[str],
    read_only: bool,
    input_format: str | None,
    unit: str,
) -> dict[str, Any]:
    """Check the arguments and return what the dashboard's process needs."""
    if shards and index_dir:
        raise ConfigError("give SHARDs or --index DIR, not both")
    check_sample(sample)
    if config_file is not None:
        config_of({"config_file": config_file})
        config_file = str(Path(config_file).resolve())
    if similarity is not None and index_dir is None:
        raise ConfigError("--similarity NAME selects a score set of an index: add --index DIR")
    if index_dir is not None:
        files_of(index_dir)
        known = [OWN, *names_in(index_dir)]
        if similarity not in (None, *known):
            there = ", ".join(known)
            raise ConfigError(f"{index_dir}: no score set {similarity!r}; available: {there}")
    notes: list[str] = []
    found = expand(shards, notes=notes)
    for note in notes:
        print_note(note)
    return start_of(index_dir, image_dir, labels, roots, read_only=read_only) | {
        "shards": [absolute(shard.path) for shard in found],
        "input_format": input_format or "",
        "unit": unit,
        "sample": sample,
        "similarity": similarity,
        "config": config_file,
    }


def start_of(
    index_dir: str | None,
    image_dir: str | None,
    labels: str | None,
    roots: Sequence[str],
    *,
    read_only: bool,
) -> dict[str, Any]:
    """Check what documents and tables of pairs have in common, and return it."""
    return {
        "index": absolute(index_dir) if index_dir else None,
        "labels": _labels_file(labels) if labels else None,
        "image_dir": checked_folder(image_dir),
        "roots": [_root(path) for path in roots],
        "read_only": read_only,
    }


def _root(path: str) -> str:
    """Return a root's absolute path; raises ConfigError if the folder does not exist."""
    if not is_remote(path) and not os.path.isdir(path):
        raise ConfigError(f"--root {path}: no such folder")
    return absolute(path)


def _labels_file(path: str) -> str:
    """Return a label file's absolute path; it is valid or can be created."""
    if Path(path).exists():
        store.check(path)
    elif not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"{path}: cannot create the label file: no such folder")
    return str(Path(path).resolve())
