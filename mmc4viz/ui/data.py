"""The dashboard's only caches: thin wrappers around the core, shared by all sessions.

Every key holds the data's identity (paths, sizes, times of change) and, of the settings, only
those a stage depends on: no stage depends on the threshold. Nothing is computed here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.curves import Curves, Scale, scale_of
from mmc4viz.corpus.ingest import read_columns
from mmc4viz.corpus.shards import Shard
from mmc4viz.corpus.similarity import Sidecar, sidecars, with_similarity
from mmc4viz.corpus.sweep import Matched, match_corpus, sweep
from mmc4viz.loader.tokens import Tokenizer, load_tokenizer
from mmc4viz.model import LoaderConfig, ShardError

REFERENCE = 0.24  # OpenFlamingo's reference training script


@dataclass(frozen=True)
class FileId:
    """A file as it was when it was looked at."""

    path: str
    size: int
    changed: int


@dataclass(frozen=True)
class Source:
    """The identity of everything that columns are made of.

    Attributes
    ----------
    shards : tuple of FileId
        In the order given.
    tokenizer : FileId
        Its name, with the file's size and time where it is a file.
    image_dir : FileId or None
    sidecar : FileId or None
        Another model's similarity, put over the shards' own.
    """

    shards: tuple[FileId, ...]
    tokenizer: FileId
    image_dir: FileId | None = None
    sidecar: FileId | None = None


def identify(path: str) -> FileId:
    """Look at a file or folder; what is no file on this disk is identified by its name."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return FileId(path, -1, -1)
    return FileId(path, facts.st_size, facts.st_mtime_ns)


def source_of(
    shards: Iterable[Shard], tokenizer: str, image_dir: str | None, sidecar: str | None
) -> Source:
    """Identify what columns will be made of."""
    return Source(
        shards=tuple(identify(shard.path) for shard in shards),
        tokenizer=identify(tokenizer),
        image_dir=identify(image_dir) if image_dir else None,
        sidecar=identify(sidecar) if sidecar else None,
    )


@st.cache_resource(max_entries=8, show_spinner="Loading the tokenizer …")
def _tokenizer(identity: FileId) -> Tokenizer:
    return load_tokenizer(identity.path)


def tokenizer_of(source: Source) -> Tokenizer:
    """Return the tokenizer; raises a TokenizerError where there is none."""
    return _tokenizer(source.tokenizer)


def columns_of(source: Source) -> tuple[Columns, ...]:
    """Return the columns of all shards, with the chosen model's similarity."""
    if source.sidecar is None:
        return _read(source.shards, source.tokenizer, source.image_dir)
    return _with_sidecar(source)


@st.cache_resource(max_entries=3, show_spinner="Reading the shards …", show_time=True)
def _read(
    shards: tuple[FileId, ...], tokenizer: FileId, image_dir: FileId | None
) -> tuple[Columns, ...]:
    counter = _tokenizer(tokenizer)
    folder = image_dir.path if image_dir else None
    return tuple(
        read_columns(Shard(shard.path, position), counter, folder)
        for position, shard in enumerate(shards)
    )


@st.cache_resource(max_entries=3, show_spinner="Reading the model's similarity …")
def _with_sidecar(source: Source) -> tuple[Columns, ...]:
    assert source.sidecar is not None
    sidecar = Sidecar("", source.sidecar.path)
    own = _read(source.shards, source.tokenizer, source.image_dir)
    return tuple(with_similarity(columns, sidecar) for columns in own)


@st.cache_resource(max_entries=16, show_spinner="Matching images and sentences …")
def _match(source: Source, min_kb: int, assignment: str) -> Matched:
    return match_corpus(columns_of(source), LoaderConfig(min_kb=min_kb, assignment=assignment))


def matched_of(source: Source, config: LoaderConfig) -> Matched:
    """Return the matched pairs; of the setting, size limit and assignment matter."""
    return _match(source, config.min_kb, config.assignment)


@st.cache_resource(max_entries=16, show_spinner=False)
def _scores(source: Source, min_kb: int, assignment: str) -> NDArray[np.float64]:
    return np.sort(_match(source, min_kb, assignment).scores())


def scores_of(source: Source, config: LoaderConfig) -> NDArray[np.float64]:
    """Return all matched scores, ascending."""
    return _scores(source, config.min_kb, config.assignment)


@st.cache_resource(max_entries=32, show_spinner=False)
def _scale(source: Source, min_kb: int, assignment: str) -> Scale:
    return scale_of(_scores(source, min_kb, assignment))


def scale_for(source: Source, config: LoaderConfig) -> Scale:
    """Return the scale of the matched scores with its grid."""
    return _scale(source, config.min_kb, config.assignment)


@st.cache_resource(max_entries=32, show_spinner="Summing up every threshold …")
def _sweep(
    source: Source, min_kb: int, assignment: str, min_images: int, max_images: int, max_tokens: int
) -> Curves:
    settings = LoaderConfig(
        min_kb=min_kb,
        assignment=assignment,
        min_images=min_images,
        max_images=max_images,
        max_tokens=max_tokens,
    )
    grid = np.union1d(_scale(source, min_kb, assignment).thresholds(), [REFERENCE])
    return sweep(_match(source, min_kb, assignment), settings, grid)


def curves_of(source: Source, config: LoaderConfig) -> Curves:
    """Return every statistic on the scale's grid and at the reference threshold."""
    return _sweep(
        source,
        config.min_kb,
        config.assignment,
        config.min_images,
        config.max_images,
        config.max_tokens,
    )


@st.cache_data(max_entries=16, show_spinner=False)
def _sidecars(folders: tuple[FileId, ...]) -> list[Sidecar]:
    return sidecars(Path(folder.path) for folder in folders)


def sidecars_beside(shards: Iterable[Shard]) -> list[Sidecar]:
    """Find other models' similarity in the shards' folders."""
    folders = sorted({os.path.dirname(os.path.abspath(shard.path)) for shard in shards})
    try:
        return _sidecars(tuple(identify(folder) for folder in folders))
    except OSError as error:
        raise ShardError(f"the shards' folder cannot be listed: {error.strerror}") from None
