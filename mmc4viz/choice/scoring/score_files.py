"""Files of scores: whole ones only, each saying what it was made from, and several made into one.

A part has a shard's similarity and, beside it, its decoys'; a merged file has one of the two and is
a sidecar (`mmc4viz.corpus.sidecar`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.choice.scoring.score import Scored
from mmc4viz.corpus.storage import put_in_place
from mmc4viz.model import ConfigError

_KEY: Final = b"mmc4viz"
_SCHEMA: Final = pa.schema(
    {
        "shard": pa.string(),
        "key": pa.string(),
        "images": pa.int32(),
        "sentences": pa.int32(),
        "values": pa.list_(pa.float32()),
        "decoys": pa.list_(pa.float32()),
    }
)


def metadata_of(path: Path) -> dict[str, Any]:
    """Read what a file of ours says of itself; nothing where it is none."""
    try:
        found = json.loads((pq.read_schema(path).metadata or {})[_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def table_of(name: str, rows: Sequence[Scored]) -> pa.Table:
    """Return a shard's documents as a table, the shard by the name that the sidecar has for it."""
    columns = [
        [name] * len(rows),
        [row.key for row in rows],
        [row.similarity.shape[0] for row in rows],
        [row.similarity.shape[1] for row in rows],
        [row.similarity.ravel() for row in rows],
        [row.decoys.ravel() for row in rows],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def merge(
    paths: Sequence[Path], column: str, out: Path, about: dict[str, str], identity: str | None
) -> None:
    """Write the parts' rows as one sidecar, the column named as its values."""
    names = ["shard", "key", "images", "sentences", column]
    tables = (
        pq.read_table(path, columns=names).rename_columns([*names[:4], "values"]) for path in paths
    )
    write_whole(out, tables, {"made_from": identity}, about)


def write_whole(
    path: Path, tables: Iterable[pa.Table], facts: dict[str, Any], about: dict[str, str]
) -> None:
    """Write tables as one whole Parquet file, each as a group of rows of its own.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one.
    facts : dict
        What `metadata_of` will say.
    about : dict of str
        More of its metadata.

    Raises
    ------
    ConfigError
        When the disk is full or the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    metadata: dict[Any, Any] = {
        **about,
        _KEY: json.dumps(facts, sort_keys=True).encode(),
    }
    try:
        stream = iter(tables)
        first = next(stream)
        layout = first.schema.with_metadata(metadata)
        with pq.ParquetWriter(beside, layout) as writer:
            for table in chain([first], stream):
                writer.write_table(table.cast(layout))
        put_in_place(beside, str(path))
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; free some room, then run the "
            "same command again: it goes on where it stopped"
        ) from None
