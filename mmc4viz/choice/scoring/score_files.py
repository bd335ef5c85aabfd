"""Files of scores: whole ones only, each saying what it was made from, and several made into one.

A part has a shard's similarity and, beside it, its decoys'; a merged file has one of the two and is
a sidecar (`mmc4viz.corpus.sidecar`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.choice.scoring.score import Scored
from mmc4viz.corpus.sidecar import check_rows, digests_of, own_words, seal
from mmc4viz.corpus.storage import put_in_place
from mmc4viz.model import ConfigError

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
    """Read what a file of ours says of itself; nothing where it is none, or is damaged."""
    try:
        return dict(_facts(path, lambda _: None))
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}


def _facts(path: Path, take: Callable[[pa.Table], object]) -> dict[str, Any]:
    """Read and check a file of ours, a shard at a time; return what it says of itself."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        found = own_words(file.metadata.metadata)
        for group in range(file.num_row_groups) if found else ():
            rows = file.read_row_group(group)
            check_rows(rows, found.get("rows", {}))
            take(rows)
    return found


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
        table.select(names).rename_columns([*names[:4], "values"])
        for path in paths
        for table in _whole(path)
    )
    write_whole(out, tables, {"made_from": identity}, about)


def _whole(path: Path) -> list[pa.Table]:
    """Read a part again."""
    found: list[pa.Table] = []
    try:
        _facts(path, found.append)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ConfigError(
            f"{path}: is damaged ({error!s:.80}); run the same command again: it is made anew"
        ) from None
    return found or [_SCHEMA.empty_table()]


def write_whole(
    path: Path, tables: Iterable[pa.Table], facts: dict[str, Any], about: dict[str, str]
) -> None:
    """Write tables as one whole Parquet file, each as a group of rows of its own.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one, each of whole shards.
    facts : dict
        What `metadata_of` will say.
    about : dict of str
        More of its metadata, what a sidecar says of its model.

    Raises
    ------
    ConfigError
        When the disk is full or the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        stream = iter(tables)
        first = next(stream)
        layout = first.schema.with_metadata(about)
        digests: dict[str, str] = {}
        with pq.ParquetWriter(beside, layout, write_page_checksum=True) as writer:
            for table in chain([first], stream):
                writer.write_table(table.cast(layout), max(1, len(table)))  # in one group
                digests |= digests_of(table)
            writer.add_key_value_metadata(seal(facts, about, digests))
        put_in_place(beside, str(path))
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; free some room, then run the "
            "same command again: it goes on where it stopped"
        ) from None
