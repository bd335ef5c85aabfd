"""The command that opens the dashboard; loads Streamlit only to start it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmc4viz.cli.common import INDEX, SHARDS, SIMILARITY, check_sample, checked_folder, config_of
from mmc4viz.cli.messages import say
from mmc4viz.data.index import OWN, absolute, files_of, names_in
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import is_remote
from mmc4viz.thresholds.labels import store
from mmc4viz.types import ConfigError


@click.command(context_settings={"ignore_unknown_options": False})
@SHARDS
@click.option(
    "--config", "config_file", metavar="FILE", help="Start from these settings (YAML, JSON)."
)
@click.option("--image-dir", metavar="DIR", help="Images of MMC4's own jsonl.")
@INDEX
@SIMILARITY
@click.option("--sample", type=int, metavar="N", help="Estimate from N documents, with intervals.")
@click.option("--labels", metavar="FILE", help="Labels of pairs. [mmc4viz-labels.sqlite]")
@click.option(
    "--root",
    "roots",
    metavar="DIR",
    multiple=True,
    help="The pages read and write nothing outside DIR, nor a store's address below it; "
    "repeatable. [folders named here, and the current one]",
)
@click.option("--read-only", is_flag=True, help="The pages write no shards and no labels.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="STREAMLIT_SERVER_ADDRESS",
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="STREAMLIT_SERVER_PORT",
    help="[8501, or the next one free]",
)
@click.option(
    "--allow-host",
    "allowed",
    metavar="NAME",
    multiple=True,
    help="A name besides localhost and --host that browsers may reach it by; repeatable.",
)
@click.option(
    "--base-path",
    metavar="PATH",
    envvar="STREAMLIT_SERVER_BASE_URL_PATH",
    help="Path that a proxy passes on, such as /mmc4viz.",
)
@click.option("--browser/--no-browser", default=None, help="Open a browser window. [on]")
def app(
    host: str,
    port: int | None,
    allowed: tuple[str, ...],
    base_path: str | None,
    browser: bool | None,
    **options: Any,
) -> None:
    """Open the dashboard: on the sample, on SHARDs, or on an index.

    STREAMLIT_... in the environment sets Streamlit's other options.
    """
    given = _app_start(**options)
    port = _bindable_port(host, port)
    if host in ("0.0.0.0", "::"):
        say(
            f"--host {host}: everybody who reaches this machine can read the folders of this app"
            f"{'' if given['read_only'] else ', and write there'}; browsers may reach it by "
            "localhost and what --allow-host names"
        )
    from mmc4viz.ui import server, start

    start.give(given)
    server.serve(
        host=host, port=port, base_path=base_path or "", allowed=allowed,
        browser=browser, say=click.echo,
    )  # fmt: skip


def _bindable_port(host: str, asked: int | None) -> int:
    """Return the port asked for, or the first one free from Streamlit's own on."""
    for port in [asked] if asked else range(8501, 8601):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family):
                return port
        except (OSError, UnicodeError, TypeError) as error:
            reason = f"{host}:{port} cannot be listened on: {error}"
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
) -> dict[str, Any]:
    """Check what the dashboard is to open, and say it for its process."""
    if shards and index_dir:
        raise ConfigError("name SHARDs or --index DIR, not both")
    check_sample(sample)
    if config_file is not None:
        config_of({"config_file": config_file})
        config_file = str(Path(config_file).resolve())
    if similarity is not None and index_dir is None:
        raise ConfigError("--similarity NAME chooses among an index's sets: name --index DIR")
    if index_dir is not None:
        files_of(index_dir)
        known = [OWN, *names_in(index_dir)]
        if similarity not in (None, *known):
            there = ", ".join(known)
            raise ConfigError(f"{index_dir}: no score set {similarity!r}; there are: {there}")
    return {
        "shards": [absolute(shard.path) for shard in expand(shards)],
        "index": absolute(index_dir) if index_dir else None,
        "sample": sample,
        "similarity": similarity,
        "labels": _labels_file(labels) if labels else None,
        "config": config_file,
        "image_dir": checked_folder(image_dir),
        "roots": [_root(path) for path in roots],
        "read_only": read_only,
    }


def _root(path: str) -> str:
    """Return a root by its whole path; raises a ConfigError for a folder that is not there."""
    if not is_remote(path) and not os.path.isdir(path):
        raise ConfigError(f"{path}: --root is no folder")
    return absolute(path)


def _labels_file(path: str) -> str:
    """Return a file of labels by its whole path, sound if it is there; else it can be made."""
    if Path(path).exists():
        store.check(path)
    elif not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"{path}: no such folder to make a file of labels in")
    return str(Path(path).resolve())
