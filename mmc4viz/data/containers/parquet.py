"""Parquet files, streamed by row, and single rows read again."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from mmc4viz.data.containers.parquet_pages import pages
from mmc4viz.loader.images import words

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_TEXTS: Final = frozenset({"NONE", "STRING", "JSON", "BSON", "ENUM"})
_ENCODED: Final = frozenset({"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
"""Encodings that can be read as dictionaries."""
_COMPACT: Final = 2  # stored bytes per value, below which text is read as a dictionary
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


class BoundedReading(NamedTuple):
    """How columns are read so that a few stored bytes do not take gigabytes in memory.

    Attributes
    ----------
    dictionaries : list of str
        Paths of text columns that are to be read as dictionaries: otherwise a value that is stored
        once would be copied for each row.
    rows : int
        Rows to be read at once, at most.
    """

    dictionaries: list[str]
    rows: int

    @classmethod
    def of(
        cls,
        file: pq.ParquetFile,
        memory: int,
        columns: Sequence[str] | None = None,
        *,
        rows: int,
        compact: float,
        group: int | None = None,
        stored: Callable[[Any], _Stored | None] | None = None,
    ) -> BoundedReading:
        """Return how to read a file, by its metadata.

        Parameters
        ----------
        file : pyarrow.parquet.ParquetFile
        memory : int
            Bytes that rows read at once may take, unless a single one takes more.
        columns : sequence of str, optional
            Names; all by default.
        rows : int
            Rows to be read at once if they fit. Text that may not is read as a dictionary ...
        compact : float
            ... if fewer bytes than these are stored for each value, as that is slower for others.
        group : int, optional
            The only row group to be read; all by default.
        stored : callable, optional
            For a single row group: returns what the pages of a column chunk hold, None if they do
            not tell. Without it, a value of any size may repeat.
        """
        metadata = file.metadata
        numbers = range(metadata.num_row_groups) if group is None else [group]
        groups = [one for one in map(metadata.row_group, numbers) if one.num_rows]
        dictionaries, width = [], 0.0
        for n in range(metadata.num_columns if groups else 0):
            leaf = file.schema.column(n)
            within = columns is None or any(f"{leaf.path}.".startswith(f"{c}.") for c in columns)
            if not within:
                continue
            chunks = [one.column(n) for one in groups]
            values = [
                max(1, chunk.num_values // one.num_rows)
                for chunk, one in zip(chunks, groups, strict=True)
            ]
            each = max(_largest(leaf, chunk) * k for chunk, k in zip(chunks, values, strict=True))
            coded = all(_is_text(leaf, chunk, compact) for chunk in chunks)
            most = min(rows, max(one.num_rows for one in groups))
            if each * most > memory and stored is not None and (seen := stored(chunks[0])):
                repeated = seen.repeated * values[0]
                each = repeated + seen.size // groups[0].num_rows
                coded = repeated > memory and _is_text(leaf, chunks[0], math.inf)
            if each * most > memory and coded:
                dictionaries.append(leaf.path)
                each = _REFERENCE
            width += each
        return cls(dictionaries, max(1, min(rows, int(memory // max(1, width)))))


class _Stored(NamedTuple):
    """What the pages of a column chunk hold: bytes, and those of its largest value that repeats."""

    size: int
    repeated: int


def _largest(leaf: Any, chunk: Any) -> int:
    """Return the size that a value of a column may have."""
    if leaf.physical_type == "BYTE_ARRAY":
        return int(chunk.total_uncompressed_size)
    return leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else _REFERENCE


def _is_text(leaf: Any, chunk: Any, compact: float) -> bool:
    """Whether a column can be read as a dictionary, and stores few bytes for each value."""
    known = leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in _TEXTS
    small = chunk.total_uncompressed_size < compact * chunk.num_values
    return known and small and _ENCODED.issuperset(chunk.encodings)


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

    source = _ArrowFile(file)
    first = pq.ParquetFile(source)
    names = first.schema_arrow.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"has {names.count(twice[0])} columns named {twice[0]!r}")
    asked = _Wanted(wanted)
    at = 0
    for number in range(first.num_row_groups):
        group = first.metadata.row_group(number)
        end = at + group.num_rows
        each = _announced(group)
        if not asked.any_of(at, end):
            at = end
        elif each > limit:  # not even decoded: a small file can announce any number of nulls
            yield from (ParquetRow(n, each, None) for n in range(at, end) if asked.any_of(n, n + 1))
            at = end
        else:
            source.forget()
            reading = BoundedReading.of(
                first, limit, rows=_BATCH, compact=_COMPACT, group=number, stored=source.stored
            )
            opened, plain = first, None
            if reading.dictionaries:
                opened = pq.ParquetFile(
                    source, metadata=first.metadata, read_dictionary=reading.dictionaries
                )
                plain = first.schema_arrow
            most = min(reading.rows, limit // max(1, each))
            for batch in opened.iter_batches(most, row_groups=[number], use_threads=False):
                if asked.any_of(at, at + batch.num_rows):
                    found = _unpacked(batch, at, limit, plain)
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
        self._held: dict[int, pa.Buffer] = {}

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
        at = self._file.tell()
        held = self._held.pop(at, None)
        if held is not None and held.size == size:
            self._file.seek(at + size)
            return held
        size = max(0, min(size, self._end - at))
        buffer = pa.allocate_buffer(size, resizable=True)
        read = self._file.readinto(memoryview(buffer).cast("B")) if size else 0  # type: ignore[attr-defined]
        if read != size:
            buffer.resize(read)
        return buffer

    def forget(self) -> None:
        """Let go of what was kept and not read."""
        self._held.clear()

    def stored(self, chunk: Any) -> _Stored | None:
        """Return what the pages of a column chunk hold, which is kept until it is read."""
        at = chunk.data_page_offset
        if chunk.has_dictionary_page:
            at = min(at, chunk.dictionary_page_offset)
        self.seek(at)
        held = self.read_buffer(chunk.total_compressed_size)
        self._held[at] = held
        try:
            found = list(pages(memoryview(held).cast("B")))
        except ValueError:  # Arrow tells what is damaged
            return None
        repeated = max((page.size for page in found if page.repeats), default=0)
        return _Stored(sum(page.size for page in found), repeated)


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


def _unpacked(
    batch: pa.RecordBatch, at: int, limit: int, plain: pa.Schema | None
) -> Iterator[ParquetRow]:
    """Yield the rows of a batch; with a schema, dictionaries become plain values of it."""
    size, n = _size(batch), batch.num_rows
    mean = size // max(1, n)
    step = max(1, _PIECE // max(1, mean))
    for first in range(0, n, step):
        piece = batch.slice(first, step)
        fields = _fields(piece, plain) if size <= limit else None
        if fields is not None:
            yield from (ParquetRow(k, mean, one) for k, one in enumerate(fields, at + first))
            continue
        for k in range(piece.num_rows):
            # A cast would copy the values of all rows, unless they are taken out.
            one = piece.slice(k, 1) if plain is None else piece.take([k])
            yield _row(one, at + first + k, _size(one), limit, plain)


def _fields(rows: pa.RecordBatch, plain: pa.Schema | None) -> list[dict[str, Any]] | None:
    """Return rows as Python values; None if one has no such value, as text that is no UTF-8."""
    try:
        return _as_python(rows, plain)
    except (ValueError, OverflowError, TypeError):
        return None


def _as_python(batch: pa.RecordBatch, plain: pa.Schema | None) -> list[dict[str, Any]]:
    if plain is not None:
        pairs = zip(batch.columns, plain.types, strict=True)
        columns = [one if one.type == kind else one.cast(kind) for one, kind in pairs]
        batch = pa.RecordBatch.from_arrays(columns, schema=plain)
    return batch.to_pylist()  # type: ignore[no-any-return]


def _row(
    one: pa.RecordBatch, number: int, size: int, limit: int, plain: pa.Schema | None
) -> ParquetRow:
    if size > limit:
        return ParquetRow(number, size, None)
    try:
        return ParquetRow(number, size, _as_python(one, plain)[0])
    except (ValueError, OverflowError, TypeError) as error:
        return ParquetRow(number, size, None, f"not readable as Python values: {words(error)}")


def _size(batch: pa.RecordBatch) -> int:
    """Return about how much a batch takes as Python values, in which a null takes space too."""
    return sum(_bytes(column) + _REFERENCE * _values(column) for column in batch.columns)


def _bytes(column: pa.Array) -> int:
    """Return the size of a column, of a dictionary with each value as often as it occurs."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        import pyarrow.compute as pc  # imported late to start faster

        sizes = pc.binary_length(column.dictionary).cast(pa.int64()).take(column.indices)
        return 4 * len(column) + int(pc.sum(sizes, min_count=0).as_py())
    if pa.types.is_struct(kind):
        return sum(map(_bytes, column.flatten()))
    if _is_list(kind):
        return 4 * len(column) + _bytes(column.flatten())
    return int(column.nbytes)


def _values(column: pa.Array) -> int:
    """Return the number of values in lists, at all depths."""
    kind = column.type
    if pa.types.is_struct(kind):
        parts: list[pa.Array] = column.flatten()
        return sum(map(_values, parts))
    if _is_list(kind):
        within: pa.Array = column.flatten()
        return len(within) + _values(within)
    return 0


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
