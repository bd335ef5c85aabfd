"""Parquet files of tables that are written whole or not at all, each table as a row group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.data.storage import put_in_place
from mmc4viz.types import ConfigError


def write_row_groups(
    path: Path,
    tables: Iterable[pa.Table],
    about: Mapping[str, str],
    sealed: Callable[[], dict[str, str]] | None = None,
    **how: Any,
) -> None:
    """Write tables atomically as one file.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one.
    about : mapping of str to str
        Metadata of the schema.
    sealed : callable, optional
        Returns further metadata when all tables are written.
    **how
        For `pyarrow.parquet.ParquetWriter`.

    Raises
    ------
    ConfigError
        If the file cannot be written or the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        stream = iter(tables)
        first = next(stream)
        layout = first.schema.with_metadata(about)
        with pq.ParquetWriter(part, layout, write_page_checksum=True, **how) as writer:
            for table in chain([first], stream):
                writer.write_table(table.cast(layout), max(1, len(table)))  # in one group
            if sealed is not None:
                writer.add_key_value_metadata(sealed())
        put_in_place(part, str(path))
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}; free some space and run the "
            "same command again to resume"
        ) from None
