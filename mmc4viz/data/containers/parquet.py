"""Parquet files, streamed by row, and single rows read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa

_BATCH: Final = 64  # rows decoded at once


class ParquetRow(NamedTuple):
    """A row: its number in the file, its size in memory, and its fields (None if too large)."""

    number: int
    size: int
    fields: dict[str, Any] | None


def rows(file: IO[bytes], limit: int, first: int = 0) -> Iterator[ParquetRow]:
    """Stream the rows of a file as Python values; dictionaries and large lists read as plain ones.

    Parameters
    ----------
    file : binary file
        Seekable.
    limit : int
        Largest row that is turned into Python values, in bytes.
    first : int
        Number of the first row wanted; earlier row groups are not read.

    Raises
    ------
    pyarrow.ArrowException
        For a damaged file, after the rows before the damage.
    """
    import pyarrow.parquet as pq  # imported late to start faster

    opened = pq.ParquetFile(file)
    group, at = 0, 0
    while group < opened.num_row_groups:
        size = opened.metadata.row_group(group).num_rows
        if at + size > first:
            break
        group, at = group + 1, at + size
    groups = list(range(group, opened.num_row_groups))
    for batch in opened.iter_batches(_BATCH, row_groups=groups):
        if at + batch.num_rows > first:
            for row in _unpacked(batch, at, limit):
                if row.number >= first:
                    yield row
        at += batch.num_rows


def _unpacked(batch: pa.RecordBatch, at: int, limit: int) -> Iterator[ParquetRow]:
    if batch.nbytes <= limit:
        each = batch.nbytes // max(1, batch.num_rows)
        for number, fields in enumerate(batch.to_pylist(), at):
            yield ParquetRow(number, each, fields)
        return
    for number in range(batch.num_rows):
        one = batch.slice(number, 1)
        fields = one.to_pylist()[0] if one.nbytes <= limit else None
        yield ParquetRow(at + number, one.nbytes, fields)
