"""Parquet files, streamed by row, and single rows read again."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa

from mmc4viz.loader.images import words

_BATCH: Final = 64  # rows decoded at once, at most
_PIECE: Final = 1 << 20  # bytes turned into Python values at once, so that they stay in the cache
_REFERENCE: Final = 8  # bytes of a Python list for each of its values


class ParquetRow(NamedTuple):
    """A row: its number in the file, its size in memory, and its fields.

    The fields are None if it is too large, or cannot be turned into Python values, which ``why``
    says.
    """

    number: int
    size: int
    fields: dict[str, Any] | None
    why: str = ""


def rows(
    file: IO[bytes], limit: int, wanted: Sequence[range] | None = None
) -> Iterator[ParquetRow]:
    """Stream the rows of a file as Python values; dictionaries and large lists read as plain ones.

    Parameters
    ----------
    file : binary file
        Seekable.
    limit : int
        Largest row that is turned into Python values, in bytes.
    wanted : sequence of range, optional
        Numbers of the rows wanted, ascending; all by default. What has none of them is not read.

    Raises
    ------
    pyarrow.ArrowException
        For a damaged file, after the rows before the damage.
    ValueError
        For two columns of the same name.
    """
    import pyarrow.parquet as pq  # imported late to start faster

    opened = pq.ParquetFile(_ArrowFile(file))
    names = opened.schema_arrow.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"has {names.count(twice[0])} columns named {twice[0]!r}")
    asked = _Wanted(wanted)
    at = 0
    for number in range(opened.num_row_groups):
        group = opened.metadata.row_group(number)
        end = at + group.num_rows
        each = _announced(group)
        if not asked.any_of(at, end):
            at = end
        elif each > limit:  # not even decoded: a small file can announce any number of nulls
            yield from (ParquetRow(n, each, None) for n in range(at, end) if asked.any_of(n, n + 1))
            at = end
        else:
            most = min(_BATCH, limit // max(1, each))
            for batch in opened.iter_batches(most, row_groups=[number], use_threads=False):
                if asked.any_of(at, at + batch.num_rows):
                    found = _unpacked(batch, at, limit)
                    yield from (row for row in found if asked.any_of(row.number, row.number + 1))
                at += batch.num_rows
                if not asked.any_of(at, end):
                    break
            at = end


class _ArrowFile(io.RawIOBase):
    """A seekable file that is read into Arrow's own memory, which is used again and again.

    Without `read_buffer`, Arrow calls ``read``, and each column of a row group is new memory.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = file.seek(0, io.SEEK_END)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def read_buffer(self, size: int) -> pa.Buffer:
        """Read so many bytes; fewer at the end only."""
        size = max(0, min(size, self._end - self._file.tell()))
        buffer = pa.allocate_buffer(size, resizable=True)
        read = self._file.readinto(memoryview(buffer).cast("B")) if size else 0  # type: ignore[attr-defined]
        if read != size:
            buffer.resize(read)
        return buffer


class _Wanted:
    """Which rows are wanted, asked for in ascending order."""

    def __init__(self, wanted: Sequence[range] | None) -> None:
        self._ranges, self._at = wanted, 0

    def any_of(self, start: int, stop: int) -> bool:
        """Whether any row of a range is wanted."""
        if self._ranges is None:
            return True
        while self._at < len(self._ranges) and self._ranges[self._at].stop <= start:
            self._at += 1
        return start < stop and self._at < len(self._ranges) and self._ranges[self._at].start < stop


def _announced(group: Any) -> int:
    """Return the mean size of a row group's rows, according to its metadata."""
    values = sum(group.column(n).num_values for n in range(group.num_columns))
    size = group.total_byte_size + _REFERENCE * values
    return int(size // max(1, group.num_rows))


def _unpacked(batch: pa.RecordBatch, at: int, limit: int) -> Iterator[ParquetRow]:
    size, n = _size(batch), batch.num_rows
    mean = size // max(1, n)
    step = max(1, _PIECE // max(1, mean))
    for first in range(0, n, step):
        piece = batch.slice(first, step)
        fields = _fields(piece) if size <= limit else None
        if fields is not None:
            yield from (ParquetRow(k, mean, one) for k, one in enumerate(fields, at + first))
            continue
        for k in range(piece.num_rows):
            one = piece.slice(k, 1)
            yield _row(one, at + first + k, _size(one), limit)


def _fields(rows: pa.RecordBatch) -> list[dict[str, Any]] | None:
    """Return rows as Python values; None if one has no such value, as text that is no UTF-8."""
    try:
        return list(rows.to_pylist())
    except (ValueError, OverflowError, TypeError):
        return None


def _row(one: pa.RecordBatch, number: int, size: int, limit: int) -> ParquetRow:
    if size > limit:
        return ParquetRow(number, size, None)
    try:
        return ParquetRow(number, size, one.to_pylist()[0])
    except (ValueError, OverflowError, TypeError) as error:
        return ParquetRow(number, size, None, f"not readable as Python values: {words(error)}")


def _size(batch: pa.RecordBatch) -> int:
    """Return about how much a batch takes as Python values, in which a null takes space too."""
    return int(batch.nbytes) + _REFERENCE * sum(map(_values, batch.columns))


def _values(column: pa.Array) -> int:
    """Return the number of values in lists, at all depths."""
    kind = column.type
    if pa.types.is_struct(kind):
        parts: list[pa.Array] = column.flatten()
        return sum(map(_values, parts))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        within: pa.Array = column.flatten()
        return len(within) + _values(within)
    return 0
