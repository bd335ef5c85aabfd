"""The command that opens the dashboard; loads Streamlit only to start it."""

from __future__ import annotations

import errno
import gc
import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmc4viz.choice.labelling import store
from mmc4viz.cli.shared import INDEX, SHARDS, SIMILARITY, check_sample, checked_folder, config_of
from mmc4viz.corpus.index import absolute, files_of
from mmc4viz.corpus.sets import OWN, names_in
from mmc4viz.corpus.shards import expand
from mmc4viz.model import ConfigError

_COLLECTED_EVERY = 60.0  # seconds


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
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="[8501, or the next one free]")
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def app(host: str, port: int | None, browser: bool, **options: Any) -> None:
    """Open the dashboard: on the sample, on SHARDs, or on an index."""
    os.environ["MMC4VIZ_APP"] = json.dumps(_app_start(**options))
    from streamlit.web import bootstrap

    import mmc4viz.ui.main  # the first page need not wait for it

    options = {
        "server_address": host,
        "server_port": _bindable_port(host, port),
        "server_headless": not browser,
        "browser_gatherUsageStats": False,
        "client_toolbarMode": "minimal",
        "runner_postScriptGC": False,  # a fifth of a second after each run, while all wait
        "client_disableDataExport": True,  # it would write formulas; the page's own CSV does not
        "theme_base": str(Path(mmc4viz.ui.__file__).with_name("theme.toml")),
        "server_showEmailPrompt": False,
    }
    gc.freeze()  # what is loaded stays, and need not be searched
    threading.Thread(target=_collect, daemon=True).start()
    bootstrap.load_config_options(options)
    bootstrap.run(str(Path(mmc4viz.ui.__file__).with_name("main.py")), False, [], options)


def _collect() -> None:
    """Now and then free what closed sessions held: each keeps three descriptors until then."""
    while True:
        time.sleep(_COLLECTED_EVERY)
        gc.collect()


def _bindable_port(host: str, asked: int | None) -> int:
    """Return the port asked for, or the first one free from Streamlit's own on."""
    for port in [asked] if asked else range(8501, 8601):
        try:
            with socket.create_server((host, port)):
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
            raise ConfigError(f"{index_dir}: no similarity set {similarity!r}; there are: {there}")
    return {
        "shards": [absolute(shard.path) for shard in expand(shards)],
        "index": absolute(index_dir) if index_dir else None,
        "sample": sample,
        "similarity": similarity,
        "labels": _labels_file(labels) if labels else None,
        "config": config_file,
        "image_dir": checked_folder(image_dir),
    }


def _labels_file(path: str) -> str:
    """Return a file of labels by its whole path, sound if it is there; else it can be made."""
    if Path(path).exists():
        store.check(path)
    elif not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"{path}: no such folder to make a file of labels in")
    return str(Path(path).resolve())
