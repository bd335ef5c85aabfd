"""What the dashboard opens with: the shards and settings it was started with, else the sample."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from mmc4viz.corpus.naming import UNKNOWN, model_of_shards, sample_folder
from mmc4viz.model import ConfigError, LoaderConfig
from mmc4viz.settings import Config, read_config
from mmc4viz.ui import data
from mmc4viz.ui.memo import Memo

VARIABLE = "MMC4VIZ_APP"


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
    problem : str or None
        One line about a start that could not be read.
    file : Config
        The config that it was started with, empty without.
    file_name : str
        Its base name.
    """

    shards: tuple[str, ...]
    config: LoaderConfig
    image_dir: str = ""
    index: str = ""
    sample: int = 0
    similarity: str = ""
    problem: str | None = None
    file: Config = field(default_factory=lambda: Config({}))
    file_name: str = ""


_FILES: Memo[Config] = Memo()


def read_start() -> Start:
    """Read what ``mmc4viz app`` was given."""
    try:
        given = json.loads(os.environ.get(VARIABLE) or "{}")
        shards = tuple(str(path) for path in given.get("shards") or ())
        image_dir, path = given.get("image_dir") or "", given.get("config")
        index, sample = str(given.get("index") or ""), int(given.get("sample") or 0)
        similarity = str(given.get("similarity") or "")
    except (ValueError, AttributeError, TypeError):
        return Start(_sample(), LoaderConfig(), problem=f"{VARIABLE} is set, but is no start")
    file, problem = Config({}), None
    try:
        file = _config_at(str(path)) if path else file
    except ConfigError as error:
        problem = str(error)
    similarity = similarity or str(file.provenance.get("similarity", {}).get("source") or "")
    shards = shards or (() if index else _sample())
    config = file.loader_config()
    name = os.path.basename(str(path or ""))
    return Start(shards, config, str(image_dir), index, sample, similarity, problem, file, name)


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
