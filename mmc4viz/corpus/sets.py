"""Similarity sets of an index: any number of CLIP models' similarity of the same documents.

A set has one mapped uncompressed Arrow file a shard, in ``DIR/similarity/NAME/``, with the columns
of `similarity_schema`; put over a shard's columns they take the place of its own matrices. These,
as the shards carry them, are the set `OWN`. Sets are made by `attach`, found and mapped here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from mmc4viz.corpus.checked import CheckedBatch
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.files import (
    FORMAT,
    SETS,
    SUFFIX,
    IndexFileError,
    Origin,
    local_copy,
    map_batch,
    origin_in,
    small,
)
from mmc4viz.corpus.similarity import put_over, similarity_schema
from mmc4viz.corpus.storage import is_remote, listing
from mmc4viz.model import ConfigError, ShardError

FOLDER: Final = SETS
OWN: Final = "own"
_NAME: Final = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
_LAYOUTS: Final = tuple(similarity_schema(t) for t in (pa.float32(), pa.float64()))


@dataclass(frozen=True, slots=True)
class SimilaritySet:
    """One model's similarity of an index's documents.

    Attributes
    ----------
    name : str
        By which it is asked for; ``own`` for what the shards carry.
    model : str
        The CLIP model's name, ``unknown`` where nobody said it.
    weights : str
        What its weights are told by, a digest or a revision; empty where nobody said it.
    preprocessing : str
        How images and text were prepared; likewise.
    scale : str
        As declared, else as recognised from the data: cosine, ×100, softmax, sigmoid or unknown.
    """

    name: str
    model: str
    weights: str = ""
    preprocessing: str = ""
    scale: str = "unknown"


@dataclass(frozen=True, slots=True)
class SetOrigin:
    """What a file of a set was made from.

    Attributes
    ----------
    set, model, weights, preprocessing, scale : str
        As in `SimilaritySet`; ``scale`` is empty where the sidecar declares none.
    sidecar : str
        Fingerprint of the Parquet file.
    index_file : str
        Digest of what the index file was made from whose documents these are.
    documents : int
        Of the shard.
    matched : int
        Those of them that have similarity.
    format : str
    """

    set: str
    model: str
    weights: str
    preprocessing: str
    scale: str
    sidecar: str
    index_file: str
    documents: int = 0
    matched: int = 0
    format: str = FORMAT


def checked_name(name: str) -> str:
    """Return a set's name, or refuse it.

    Examples
    --------
    >>> checked_name("vit-b.32")
    'vit-b.32'
    >>> checked_name("../b")
    Traceback (most recent call last):
    ...
    mmc4viz.model.ConfigError: '../b' is no name for a similarity set: letters, digits, - _ and .
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a similarity set: letters, digits, - _ and .")
    if name == OWN:
        raise ConfigError(f"{OWN!r} names the shards' own similarity; choose another name")
    return name


def folder_of(index: str, name: str) -> str:
    """Return a set's folder."""
    return f"{index.rstrip('/')}/{FOLDER}/{name}"


def identity(origin: Origin) -> str:
    """Digest what an index file was made from, but for its place among shards and folders."""
    skip = {"position", "relative"}
    facts = {name: value for name, value in asdict(origin).items() if name not in skip}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def names_in(index: str) -> list[str]:
    """Return the names of an index's sets, sorted, without the shards' own."""
    if is_remote(index):
        try:
            files = listing(f"{index.rstrip('/')}/{FOLDER}/*/*{SUFFIX}")
        except ShardError:
            return []
        names = {os.path.basename(os.path.dirname(path)) for path in files}
    else:
        names = {path.parent.name for path in Path(index, FOLDER).glob(f"*/*{SUFFIX}")}
    return sorted(name for name in names if _NAME.fullmatch(name) and name != OWN)


def map_set_file(path: Path, in_memory: bool = False) -> tuple[CheckedBatch, SetOrigin]:
    """Map a set's file; raises an IndexFileError where it is none."""
    batch, metadata = map_batch(path, _LAYOUTS, in_memory)
    return batch, origin_in(metadata, SetOrigin, path)


def mapped(index: str, name: str) -> dict[str, tuple[CheckedBatch, SetOrigin]]:
    """Map all files of a set, by the identity of the index file that each belongs to.

    Raises
    ------
    IndexFileError
        For a file that is none.
    """
    paths = _paths(index, name)
    in_memory = small(paths)
    found = (map_set_file(path, in_memory) for path in paths)
    return {origin.index_file: (batch, origin) for batch, origin in found}


def _paths(index: str, name: str) -> list[Path]:
    return sorted(local_copy(folder_of(index, name)).glob(f"[!.]*{SUFFIX}"))


def described(index: str, name: str) -> SimilaritySet:
    """Say what a set is, by the first of its files; an empty scale is one nobody declared."""
    _, origin = map_set_file(_paths(index, name)[0])
    return SimilaritySet(
        origin.set, origin.model, origin.weights, origin.preprocessing, origin.scale
    )


def with_set(
    index: str, name: str, columns: Sequence[Columns], origins: Sequence[Origin]
) -> tuple[Columns, ...]:
    """Put a set over the columns of an index.

    Raises
    ------
    IndexFileError
        When there is no such set, or it is not of every shard as it is indexed now.
    """
    if name not in (names := names_in(index)):
        known = ", ".join([OWN, *names])
        raise IndexFileError(f"{index}: no similarity set {name!r}; there are: {known}")
    files = mapped(index, name)
    lacking = [origin.path for origin in origins if identity(origin) not in files]
    if lacking:
        raise IndexFileError(
            f"{index}: the similarity set {name!r} lacks {len(lacking)} of {len(origins)} shards, "
            f"or they were indexed anew since ({os.path.basename(lacking[0])}); run mmc4viz index "
            f"--out {index} --similarity {name}=FILE"
        )
    return tuple(
        put_over(part, files[identity(origin)][0])
        for part, origin in zip(columns, origins, strict=True)
    )
