"""What the dashboard opens with: the shards and settings it was started with, else the sample.

``mmc4viz app`` gives it within its process (`give`), for nothing that grows with a corpus may go
through the environment. ``streamlit run app.py`` may give a little, as JSON, in ``MMC4VIZ_APP``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from mmc4viz.corpus.naming import UNKNOWN, model_of_shards, sample_folder
from mmc4viz.corpus.storage import is_remote
from mmc4viz.model import ConfigError, LoaderConfig
from mmc4viz.settings import Config, read_config
from mmc4viz.ui import data
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.roots import Roots

VARIABLE: Final = "MMC4VIZ_APP"
LABELS: Final = "mmc4viz-labels.sqlite"
SETTINGS: Final = "mmc4viz-settings.json"


@dataclass(frozen=True)
class Start:
    """What to open with.

    Attributes
    ----------
    shards : tuple of str
        Paths or patterns; empty when there is nothing to open.
    config : LoaderConfig
    image_dir : str
        Folder of images, empty without.
    index : str
        An index in place of shards, empty without.
    sample : int
        Documents to estimate from, 0 for all.
    similarity : str
        The index's similarity set to begin with, empty for the shards' own.
    problem : str
        One line about a start that could not be read, empty without.
    file : Config
        The config that it was started with, empty without.
    file_name : str
        Its base name.
    labels : str
        A file of labels, empty without.
    roots : Roots
        What the pages may read and write.
    read_only : bool
        Whether they write nothing.
    """

    shards: tuple[str, ...]
    config: LoaderConfig
    image_dir: str = ""
    index: str = ""
    sample: int = 0
    similarity: str = ""
    problem: str = ""
    file: Config = field(default_factory=lambda: Config({}))
    file_name: str = ""
    labels: str = ""
    roots: Roots = field(default_factory=lambda: Roots((), ()))
    read_only: bool = False


_FILES: Memo[Config] = Memo()
_given: dict[str, Any] | None = None


def give(start: dict[str, Any]) -> None:
    """Say what to open with: the attributes of `Start`, and ``roots`` as they were named."""
    global _given
    _given = start


def read_start() -> Start:
    """Read what the dashboard was started with."""
    try:
        given = json.loads(os.environ.get(VARIABLE) or "{}") if _given is None else _given
        shards = tuple(str(path) for path in given.get("shards") or ())
        image_dir, path = given.get("image_dir") or "", given.get("config")
        index, sample = str(given.get("index") or ""), int(given.get("sample") or 0)
        similarity = str(given.get("similarity") or "")
        labels = str(given.get("labels") or "")
        roots = tuple(map(str, given.get("roots") or ()))
        read_only = bool(given.get("read_only"))
    except (ValueError, AttributeError, TypeError):
        bounds, problem = _roots(_sample(), cwd=os.getcwd()), f"{VARIABLE} is set, but is no start"
        return Start(_sample(), LoaderConfig(), problem=problem, roots=bounds)
    file, problem = Config({}), ""
    try:
        file = _config_at(str(path)) if path else file
    except ConfigError as error:
        problem = str(error)
    similarity = similarity or str(file.provenance.get("similarity", {}).get("source") or "")
    shards = shards or (() if index else _sample())
    config = file.loader_config()
    name = os.path.basename(str(path or ""))
    bounds = _roots(shards, index, str(image_dir), labels, roots, os.getcwd())
    return Start(
        shards, config, str(image_dir), index, sample, similarity, problem, file, name, labels,
        bounds, read_only,
    )  # fmt: skip


@lru_cache(maxsize=4)
def _roots(
    shards: tuple[str, ...],
    index: str = "",
    image_dir: str = "",
    labels: str = "",
    given: tuple[str, ...] = (),
    cwd: str = "",
) -> Roots:
    beside = [os.path.abspath(path) for path in (labels, index) if path and not is_remote(path)]
    files = [os.path.join(os.path.dirname(path), n) for path in beside for n in (LABELS, SETTINGS)]
    folders = [path for path in (index, image_dir) if path]
    return Roots.of(shards, folders, filter(None, (labels, *files)), given or None, cwd)


def _config_at(path: str) -> Config:
    """Read a config file, once for each of its versions."""
    try:
        facts = os.stat(path)
    except OSError:
        return read_config(path)
    return _FILES.get((path, facts.st_size, facts.st_mtime_ns), lambda: read_config(path))


def own_model(source: data.Source, config: LoaderConfig, others: Collection[str]) -> str:
    """Name the model whose similarity the shards carry: as known, else as the start's config says.

    A name that is one of ``others``, which have a similarity of their own, is not theirs.
    """
    if source.index:
        known = data.index_of(source.index).own_model
    else:
        known = model_of_shards(shard.path for shard in source.shards)
    return known if known != UNKNOWN or config.clip_model in others else config.clip_model


def _sample() -> tuple[str, ...]:
    """Name the sample as a person standing in the repository would."""
    folder = sample_folder()
    if folder is None:
        return ()
    here = Path.cwd()
    return (str(folder.relative_to(here) if folder.is_relative_to(here) else folder),)
