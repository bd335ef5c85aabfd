"""Open tables of image–text pairs and stream their rows, a batch of needed columns at a time.

Parquet, CSV and TSV (also compressed), and img2dataset's tars; files, folders and globs, local or
remote. Row groups are decoded by pyarrow and counted by NumPy rather than by DuckDB: for the joint
histogram of two scores and that of their sum, DuckDB took twice the processor time
(``benchmarks/pairs.py``), and ``floor`` in SQL is not exact at decimal steps.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.data.containers.packed import PEEKED, packing
from mmc4viz.data.containers.parquet import BoundedReading
from mmc4viz.data.recognise import IS_UTF_16, UTF_16
from mmc4viz.data.scale import scale_of
from mmc4viz.data.storage import (
    file_system,
    fingerprint,
    is_remote,
    open_for_reading,
    remember,
)
from mmc4viz.pairs.join import KeyedRows, digests
from mmc4viz.pairs.layout import (
    ASPECT,
    OTHER,
    SCALES,
    UNKNOWN,
    PairLayout,
    ScoreColumn,
    named_column,
    numbers_in,
    recognised,
    scores_in,
)
from mmc4viz.pairs.recognise import HEAD, JoinedFile, TableFile, table_files, text_columns
from mmc4viz.text import storable
from mmc4viz.types import ConfigError, ShardError

BATCH: Final = 1 << 19
"""Rows per batch."""
STATUS: Final = "status"
"""img2dataset's column that says whether an image was downloaded."""
UNREADABLE: Final = "unreadable metadata"
"""What it says of a sample whose JSON is not valid."""

_BLOCK: Final = 16 << 20  # bytes of text per block
_MEMORY: Final = 1 << 30  # bytes of a batch of Parquet
_TAR_ROWS: Final = 10_000
_LARGEST_JSON: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class PairTable:
    """A table of image–text pairs.

    Attributes
    ----------
    paths : tuple of str
        Its files, in natural order.
    first : TableFile
        The file by which it was recognized.
    layout : PairLayout
    scores : tuple of ScoreColumn
        CLIP scores; those that were named first.
    numbers : tuple of ScoreColumn
        Other known numbers.
    joined : JoinedFile or None
        Another file whose columns are joined to it.
    """

    paths: tuple[str, ...]
    first: TableFile
    layout: PairLayout
    scores: tuple[ScoreColumn, ...]
    numbers: tuple[ScoreColumn, ...]
    joined: JoinedFile | None = None

    @property
    def columns(self) -> tuple[ScoreColumn, ...]:
        """Its scores, then the other numbers; one that was named as a score is there once."""
        names = {one.name for one in self.scores}
        return (*self.scores, *(one for one in self.numbers if one.name not in names))

    def column(self, asked: str) -> ScoreColumn:
        """Return the column that a person means, of scores and other numbers.

        Raises
        ------
        ConfigError
            If there is no such column, or several could be meant.
        """
        found = named_column(asked, self.columns)
        if found is None:
            names = ", ".join(one.name for one in self.columns) or "none"
            raise ConfigError(f"{asked!r} is not one known number of this table ({names})")
        return found


@dataclass(frozen=True, slots=True)
class TableBatch:
    """Consecutive rows of a file.

    Attributes
    ----------
    start : int
        Position of the first row in the file, from 0.
    rows : int
    columns : mapping of str to pyarrow.Array
    """

    start: int
    rows: int
    columns: dict[str, pa.Array]

    def take(self, rows: NDArray[np.int64]) -> TableBatch:
        """Return only some of its rows, given by their positions in it."""
        at = pa.array(rows)
        columns = {name: column.take(at) for name, column in self.columns.items()}
        return TableBatch(self.start, len(rows), columns)

    def numbers(self, name: str, layout: PairLayout) -> ColumnNumbers:
        """Return a column, or the aspect ratio, as numbers."""
        if name != ASPECT or ASPECT in self.columns:
            return numbers_of(self.columns[name])
        sides = [numbers_of(self.columns[one]) for one in _sides(layout, self.columns)]
        pair = np.array([one.values for one in sides], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = pair.max(0) / pair.min(0)
        values[~(pair.min(0) > 0)] = np.nan
        malformed = sum(one.malformed for one in sides)
        return ColumnNumbers(values, False, min(malformed, int(np.isnan(values).sum())))


def _sides(layout: PairLayout, columns: Iterable[str]) -> list[str]:
    present = list(columns)
    found = (layout.column_of(role, present) for role in ("width", "height"))
    return [name for name in found if name is not None]


def needed(names: Iterable[str], layout: PairLayout, columns: Sequence[str]) -> list[str]:
    """Return the columns to read for some numbers, each once."""
    found: list[str] = []
    for name in names:
        found += _sides(layout, columns) if name == ASPECT and ASPECT not in columns else [name]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class ColumnNumbers:
    """A column as numbers.

    Attributes
    ----------
    values : ndarray of float32 or float64, shape (rows,)
        NaN where there is none.
    single : bool
        Whether the column is stored in single precision or less.
    malformed : int
        Values that are no numbers.
    """

    values: NDArray[Any]
    single: bool
    malformed: int


def numbers_of(column: pa.Array) -> ColumnNumbers:
    """Read an Arrow column as numbers, whatever its type.

    Text is parsed; nulls and empty text are missing; whatever else is no number is malformed. Both
    become NaN.

    Examples
    --------
    >>> found = numbers_of(pa.array(["0.25", None, "n/a"]))
    >>> found.values, found.malformed
    (array([0.25,  nan,  nan]), 1)
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not _is_text(column.dictionary.type):
            return numbers_of(column.dictionary_decode())
        known, wrong = _parsed(column.dictionary)
        index = column.indices.cast(pa.int64()).fill_null(len(known))
        at = np.frombuffer(index.buffers()[1], np.int64)[index.offset :][: len(index)]
        return ColumnNumbers(
            np.append(known, np.nan)[at], False, int(np.append(wrong, 0)[at].sum())
        )
    if pa.types.is_floating(kind):
        column = column.cast(pa.float32()) if pa.types.is_float16(kind) else column
        single = column.type == pa.float32()
        return ColumnNumbers(_floats(column), single, 0)
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        return ColumnNumbers(_floats(column.cast(pa.float64(), safe=False)), False, 0)
    if pa.types.is_null(kind):
        return ColumnNumbers(np.full(len(column), np.nan), False, 0)
    if not _is_text(kind):
        return ColumnNumbers(np.full(len(column), np.nan), False, len(column) - column.null_count)
    values, malformed = _parsed(column)
    return ColumnNumbers(values, False, int(malformed.sum()))


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()
    )


def _parsed(column: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the numbers in text, NaN where there is none, and which of it is malformed."""
    text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    try:
        values = _floats(text.cast(pa.float64()))
        return values, np.zeros(len(values), bool)
    except pa.ArrowInvalid:
        each = [_number_in(one) for one in text.to_pylist()]
    return np.array(each, np.float64), np.array([one is None for one in each], bool)


def _floats(column: pa.Array) -> NDArray[Any]:
    """Return a column of floats, NaN for null; pyarrow's ``to_numpy`` would import pandas."""
    filled = column.fill_null(float("nan")) if column.null_count else column
    kind = np.float32 if column.type == pa.float32() else np.float64
    data = filled.buffers()[1] if len(filled) else b""
    return np.frombuffer(data, kind)[filled.offset : filled.offset + len(filled)]


def as_text(column: pa.Array) -> pa.Array:
    """Return a column as text; nulls if its type has none."""
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    try:
        return column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column), pa.large_string())


def bools_of(column: pa.Array) -> NDArray[np.bool_]:
    """Return a column of booleans, False for null."""
    octets = column.fill_null(False).cast(pa.uint8())
    data = octets.buffers()[1] if len(octets) else b""
    found = np.frombuffer(data, np.uint8)[octets.offset : octets.offset + len(octets)]
    return found.astype(bool)


def _number_in(text: str | None) -> float | None:
    """Parse a number; NaN if there is none, None if it is malformed."""
    if not text:
        return float("nan")
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


# --- opening -------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file's decompressed bytes in order."""
    with open_for_reading(path) as raw:
        kind = packing(raw.peek(PEEKED))
        if kind in ("gzip", "bz2", "zstd"):
            yield pa.CompressedInputStream(raw, kind)
        elif kind == "xz":
            with lzma.open(raw) as unpacked:
                yield unpacked
        elif kind == "zip":
            with (
                zipfile.ZipFile(io.BytesIO(raw.read())) as archive,
                archive.open(_only_member(archive)) as unpacked,
            ):
                yield unpacked
        else:
            yield raw


def _only_member(archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    names = [name for name in names if not name.startswith("__MACOSX/")]
    if len(names) != 1:
        raise ShardError(f"the zip holds {len(names)} files; make one zip of each table")
    return names[0]


def open_file(path: str, joined: JoinedFile | None = None) -> TableFile:
    """Open a file of a table and read the names of its columns.

    Parameters
    ----------
    path : str
    joined : JoinedFile, optional
        Another file whose columns are joined to it.

    Raises
    ------
    ShardError
        If it cannot be read, or is no table.
    """
    found = _file_at(path)
    if joined is None:
        return found
    more = [name for name in joined.columns if name not in found.columns]
    return replace(found, columns=(*found.columns, *more), joined=joined)


def _file_at(path: str) -> TableFile:
    with _readable(path):
        with _opened(path) as stream:
            head = stream.read(HEAD)
        if head[:4] == b"PAR1":
            with _parquet(path) as file:
                return TableFile(path, "parquet", tuple(file.schema_arrow.names))
        if head[257:262] == b"ustar":
            return TableFile(path, "tar", _tar_columns(path))
    if not head:
        raise ShardError(f"{path}: the file is empty")
    found = text_columns(head)
    if found is None and UTF_16.match(head):
        raise ShardError(f"{path}: looks like {IS_UTF_16}")
    if found is None:
        raise ShardError(f"{path}: no table: neither Parquet, nor CSV or TSV with known columns")
    return replace(found, path=path)


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "straddl" in text:
        return f"a line is longer than {_BLOCK >> 20} MB"
    if isinstance(error, FileNotFoundError):
        return "not found"
    if re.search("magic bytes|footer|Parquet file size|EOF|end of|truncated|closed", text, re.I):
        return f"damaged or only partly downloaded ({text[:120]})"
    return f"cannot be read: {text[:160]}"


@contextmanager
def _parquet(path: str, **how: Any) -> Iterator[pq.ParquetFile]:
    if not is_remote(path):
        with pq.ParquetFile(path, memory_map=True, **how) as file:
            yield file
        return
    store, inside = file_system(path)
    with store.open(inside, "rb") as remote, pq.ParquetFile(remote, pre_buffer=True, **how) as file:
        yield file


def open_table(
    patterns: Sequence[str], named: Sequence[str] = (), others: str | None = None
) -> PairTable:
    """Open a table of image–text pairs.

    Parameters
    ----------
    patterns : sequence of str
        Files, folders, globs or braces.
    named : sequence of str
        Columns that a person named, each as ``COLUMN`` or ``COLUMN=MODEL``; they come first.
    others : str, optional
        Another file whose columns are joined to it, as ``FILE`` or ``FILE:KEY``; see `joined_file`.

    Raises
    ------
    ConfigError
        If a named column does not exist.
    ShardError
        If no file can be read.
    """
    paths = tuple(table_files(patterns))
    first = _first_of(paths)
    layout = recognised(first.columns) or OTHER
    known = scores_in(layout, first.columns)
    joined = None if others is None else joined_file(others, first, layout)
    if joined is not None:
        first = open_file(first.path, joined)
        its_own = recognised((joined.key, *joined.columns)) or OTHER
        known += scores_in(its_own, joined.columns)
    numbers = tuple(numbers_in(layout, first.columns))
    chosen = [_named(text, first, layout, [*known, *numbers]) for text in named]
    names = {one.name for one in chosen}
    scores = (*chosen, *(one for one in known if one.name not in names))
    return PairTable(paths, first, layout, scores, numbers, joined)


def _first_of(paths: Sequence[str]) -> TableFile:
    """Open the first file that can be."""
    problem: ShardError | None = None
    for path in paths[:20]:
        try:
            return open_file(path)
        except ShardError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _named(
    text: str, file: TableFile, layout: PairLayout, known: Sequence[ScoreColumn]
) -> ScoreColumn:
    """Return a column that a person named, with the model that they or the layout say."""
    name, _, model = text.partition("=")
    found = named_column(name, known)
    if found is not None:
        return replace(found, model=model) if model else found
    if name not in file.columns:
        names = ", ".join(file.columns[:30])
        raise ConfigError(f"{file.path}: has no column {name!r}; its columns are {names}")
    values = _sample(file, layout, name)
    if not np.isfinite(values).any():
        raise ConfigError(f"{file.path}: the column {name!r} has no numbers in its first rows")
    return ScoreColumn(name, model or UNKNOWN, SCALES.get(name) or scale_of(values))


def _sample(file: TableFile, layout: PairLayout, name: str) -> NDArray[np.float64]:
    """Return a column's first numbers."""
    for batch in batches(file, [name]):
        return batch.numbers(name, layout).values.astype(np.float64)
    return np.zeros(0)


# --- reading -------------------------------------------------------------------------------------


def row_groups(file: TableFile) -> list[int]:
    """Return the number of rows of each row group of a Parquet file; empty for other files."""
    if file.kind != "parquet":
        return []
    with _readable(file.path), _parquet(file.path) as opened:
        metadata = opened.metadata
        return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn errors of reading into a `ShardError` with the path."""
    try:
        yield
    except ShardError as error:
        text = str(error)
        raise error if text.startswith(path) else ShardError(f"{path}: {text}") from None
    except (MemoryError, ConfigError):
        raise
    except Exception as error:  # malicious bytes make libraries raise almost anything
        raise ShardError(f"{path}: {_why(error)}") from None


def batches(
    file: TableFile, columns: Sequence[str], groups: Sequence[int] | None = None
) -> Iterator[TableBatch]:
    """Yield a file's rows with some of its columns.

    Parameters
    ----------
    file : TableFile
    columns : sequence of str
        At least one.
    groups : sequence of int, optional
        Consecutive row groups of a Parquet file; all by default.

    Raises
    ------
    ShardError
        For a missing column, or when the file turns out to be damaged; what was yielded stands.
    """
    for name in columns:
        if name not in file.columns:
            raise ShardError(f"{file.path}: has no column {name!r}; skipped")
        if (count := file.columns.count(name)) > 1:
            raise ShardError(f"{file.path}: has {count} columns named {name!r}; skipped")
    if file.joined is not None:
        yield from _with_joined(file, file.joined, columns, groups)
        return
    read = {"parquet": _parquet_batches, "text": _text_batches, "tar": _tar_batches}[file.kind]
    start = 0
    with _readable(file.path):
        for batch in read(file, columns, groups):
            for at in range(0, batch.num_rows, BATCH):  # text comes in blocks of any length
                part = batch.slice(at, BATCH)
                found = dict(zip(columns, map(_plain, part.columns), strict=True))
                yield TableBatch(start, part.num_rows, found)
                start += part.num_rows


# --- joining -------------------------------------------------------------------------------------


def joined_file(text: str, first: TableFile, layout: PairLayout) -> JoinedFile:
    """Return what joins a file to a table, given ``FILE`` or ``FILE:KEY``.

    KEY is the file's column that names rows of the table: by the table's column of the same name,
    else by its ids. Without KEY it is the column with the name of the table's ids, or ``key``.

    Raises
    ------
    ConfigError
        Without such columns.
    """
    path, _, key = text.rpartition(":")
    if not path or "/" in key or "\\" in key:
        path, key = text, ""
    path = remember(path)
    files = table_files([path])
    other = _first_of(files)
    own = layout.column_of("id", first.columns)
    if not key:
        key = next((name for name in (own, "key") if name in other.columns), "")
    if key not in other.columns:
        asked = f"no column {key!r}" if key else f"no column {own or 'key'!r} or 'key'"
        raise ConfigError(
            f"--scores {text}: {asked}; name the one that names rows of the table as FILE:KEY, one "
            f"of {', '.join(other.columns[:30])}"
        )
    own = key if key in first.columns else own
    if own is None:
        raise ConfigError(
            f"--scores {text}: the table has no column {key!r}, and no ids; its columns are "
            + ", ".join(first.columns[:30])
        )
    columns = tuple(name for name in other.columns if name not in (key, *first.columns))
    if not columns:
        raise ConfigError(f"--scores {text}: has no column that the table does not have")
    return JoinedFile(path, key, own, columns, " ".join(map(fingerprint, files)))


@lru_cache(2)
def keys_of(joined: JoinedFile) -> KeyedRows:
    """Read a joined file's keys.

    Raises
    ------
    ShardError
        If it cannot be read.
    ConfigError
        If it has a key twice.
    """
    parts = [digests(as_text(one)) for one in _whole(joined, joined.key)]
    found = KeyedRows.of(np.concatenate([np.zeros((0, 2), np.uint64), *parts]))
    if len(twice := found.doubled()):
        key = pa.chunked_array(map(as_text, _whole(joined, joined.key)))[int(twice[0])].as_py()
        more = f" (and {len(twice) - 1:,} more rows)" if len(twice) > 1 else ""
        raise ConfigError(
            f"{joined.path}: {key!r} in column {joined.key!r} has two rows{more}; keep one row for "
            "each key"
        )
    return found


def _whole(joined: JoinedFile, name: str) -> list[pa.Array]:
    """Read a column of a joined file."""
    files = map(open_file, table_files([joined.path]))
    return [batch.columns[name] for file in files for batch in batches(file, [name])]


@lru_cache(8)
def _values_of(joined: JoinedFile, name: str) -> pa.Array:
    """Read a column of a joined file, in one piece; text of any kind as large text."""
    parts = _whole(joined, name)
    kinds = {one.type for one in parts}
    numeric = all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds)
    if len(kinds) != 1 or not numeric:
        parts = list(map(as_text, parts)) or [pa.nulls(0, pa.large_string())]
    return pa.concat_arrays(parts)


def _with_joined(
    file: TableFile, joined: JoinedFile, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[TableBatch]:
    """Yield a file's rows with columns of its own and of a joined file."""
    alone = open_file(file.path)
    more = [name for name in columns if name not in alone.columns]
    own = [name for name in columns if name in alone.columns]
    for batch in batches(alone, list(dict.fromkeys([*own, joined.id] if more else own)), groups):
        found = {name: batch.columns[name] for name in own}
        if more:
            rows = keys_of(joined).rows_of(as_text(batch.columns[joined.id]))
            at = pa.array(rows, mask=rows < 0)
            found |= {name: _values_of(joined, name).take(at) for name in more}
        yield TableBatch(batch.start, batch.rows, found)


def _plain(column: pa.Array) -> pa.Array:
    r"""Return text as text that can be read: views as plain text, bytes that are no UTF-8 escaped.

    Examples
    --------
    >>> _plain(pa.array([b"a\xff", None]).view(pa.string())).to_pylist()
    ['a\\xff', None]
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        words = _plain(column.dictionary)
        same = words is column.dictionary
        return column if same else pa.DictionaryArray.from_arrays(column.indices, words)
    if kind == pa.string_view():
        return _plain(column.cast(pa.large_string()))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return column
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
        read = (one if one is None else one.decode(errors="backslashreplace")
                for one in raw.to_pylist())  # fmt: skip
        return pa.array(read, pa.large_string())
    return column


def text_of(value: pa.Scalar) -> str | None:
    """Return a value as text; None if it is null, its type if Python has no such value.

    Examples
    --------
    >>> text_of(pa.scalar([1, "a"][:1])), text_of(pa.scalar(2**62, pa.timestamp("us")))
    ('[1]', '(timestamp[us])')
    """
    try:
        found = value.as_py()
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return f"({value.type})"
    return None if found is None else storable(str(found))


def _parquet_batches(
    file: TableFile, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch]:
    with _parquet(file.path) as first:
        reading = BoundedReading.of(first, _MEMORY, columns, rows=BATCH, compact=math.inf)
        arguments: dict[str, Any] = {} if groups is None else {"row_groups": list(groups)}
        with _parquet(
            file.path, metadata=first.metadata, read_dictionary=reading.dictionaries
        ) as opened:
            yield from (
                batch.select(list(columns))
                for batch in opened.iter_batches(
                    reading.rows, columns=list(columns), use_threads=False, **arguments
                )
            )


class Utf8(io.RawIOBase):
    """A stream in which bytes that are no UTF-8 are escaped; pyarrow stops at a line with some."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._cut = b""  # a character that may go on in the next piece
        self._ready = b""

    def readable(self) -> bool:
        """Return True, as pyarrow asks."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to some bytes; none at the end only."""
        while not self._ready and (data := self._stream.read(size)):
            data = self._cut + data
            cut = next((n for n in (1, 2, 3) if data[-n:][:1] >= b"\xc0"), 0)
            data, self._cut = data[: len(data) - cut], data[len(data) - cut :]
            self._ready = _escaped(data)
        if not self._ready:
            self._ready, self._cut = _escaped(self._cut), b""
        end = len(self._ready) if size < 0 else size
        found, self._ready = self._ready[:end], self._ready[end:]
        return found


def _escaped(data: bytes) -> bytes:
    """Return text with what is no UTF-8 escaped."""
    if data.isascii():
        return data
    try:  # pyarrow is faster than decoding
        pa.array([data], pa.large_binary()).view(pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        return data.decode(errors="backslashreplace").encode()
    return data


def _text_batches(
    file: TableFile, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch]:
    """Read CSV or TSV; every column as text, so that a malformed number costs one row only."""
    skipped = 0

    def skip(row: Any) -> str:
        nonlocal skipped
        skipped += 1
        return "skip"

    with _opened(file.path) as stream:
        reader = pacsv.open_csv(
            Utf8(stream),
            pacsv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK,
                column_names=None if file.header else list(file.columns),
            ),
            pacsv.ParseOptions(
                delimiter=file.delimiter,
                quote_char='"' if file.header else False,
                newlines_in_values=file.header,
                invalid_row_handler=skip,
            ),
            pacsv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(file.columns, pa.string()),
                include_columns=list(columns),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        yield from reader
    if skipped:
        noun = "line has" if skipped == 1 else "lines have"
        raise ShardError(f"{file.path}: {skipped:,} {noun} another number of columns; skipped")


def _members(path: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield key, suffix and, for .json and .txt, the bytes of each member of a tar."""
    with _opened(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            base = member.name.rpartition("/")[2]
            stem, dot, suffix = base.partition(".")
            suffix = dot + suffix.lower()
            small = member.isfile() and member.size <= _LARGEST_JSON
            wanted = small and suffix in (".json", ".txt")
            opened = tar.extractfile(member) if wanted else None
            yield stem, suffix, b"" if opened is None else opened.read()


def _tar_columns(path: str) -> tuple[str, ...]:
    """Return the names of the fields in a tar's first samples."""
    names: dict[str, None] = {}
    for row in islice(_tar_rows(path), 20):
        names |= dict.fromkeys(name for name in row if row[name] is not UNREADABLE)
    if not names:
        raise ShardError(f"{path}: no image–text pairs: no sample has a .json or .txt")
    return tuple(names)


def _tar_rows(path: str) -> Iterator[dict[str, Any]]:
    """Yield a row per sample: the fields of its .json, or its key and caption."""
    key: str | None = None
    row: dict[str, Any] = {}
    seen: set[str] = set()
    for stem, suffix, data in _members(path):
        if stem != key or suffix in seen:
            if row:
                yield row
            key, row, seen = stem, {}, set()
        seen.add(suffix)
        if suffix == ".json":
            try:
                found = json.loads(data)
            except (ValueError, RecursionError):
                found = None
            read = found if isinstance(found, dict) else {STATUS: UNREADABLE}
            row = {"key": stem, **row, **read}
        elif suffix == ".txt":
            row = {"key": stem, "caption": data.decode(errors="replace"), **row}
    if row:
        yield row


def _tar_batches(
    file: TableFile, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    for row in _tar_rows(file.path):
        rows.append(row)
        if len(rows) == _TAR_ROWS:
            yield _as_batch(rows, columns)
            rows = []
    if rows:
        yield _as_batch(rows, columns)


def _as_batch(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pa.RecordBatch:
    arrays = [_as_array([row.get(name) for row in rows]) for name in columns]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def _as_array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (
        TypeError,
        ValueError,
        OverflowError,
    ):  # of several types, or no number or text of Arrow
        return pa.array([None if one is None else storable(str(one)) for one in values])
