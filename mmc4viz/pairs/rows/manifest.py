"""Write which rows of a table are kept: DataComp's list of uids, or the rows as a table.

DataComp's list is what ``numpy.save`` writes of an array of two unsigned 64-bit integers per uid,
sorted (baselines/apply_filter.py), which its resharder takes. Rows are streamed; the uids are
sorted bucket by bucket, so that memory does not grow with the table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.data.storage import whole_file
from mmc4viz.pairs.choose import selected_batches
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.pairs.table import PairTable, TableBatch, as_text, bools_of, text_of
from mmc4viz.text import json_text, storable
from mmc4viz.types import ConfigError

SUFFIXES: Final = (".parquet", ".jsonl", ".csv")
_UIDS: Final = np.dtype("u8,u8")
_ROWS: Final = 1 << 14  # written at once; text may be long
_BUCKETS: Final = 256
_NIBBLE: Final = np.full(256, 255, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_NIBBLE[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def uids_of(column: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Parse 128-bit hexadecimal uids.

    Parameters
    ----------
    column : pyarrow.Array of text, length N

    Returns
    -------
    tuple of (ndarray of uint64, shape (V, 2); ndarray of bool, shape (N,))
        High and low half of those that are valid, and which are.

    Examples
    --------
    >>> uids_of(pa.array(["0" * 16 + "00000000000000ff", "no", None]))
    (array([[  0, 255]], dtype=uint64), array([ True, False, False]))
    """
    long = _has_32(column).fill_null(False)
    valid = bools_of(long)
    fixed = as_text(column.filter(long)).cast(pa.large_binary()).cast(pa.binary(32))
    letters = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)[32 * fixed.offset :]
    nibbles = _NIBBLE[letters[: 32 * len(fixed)]].reshape(-1, 32)
    good = (nibbles < 16).all(1)
    valid[np.flatnonzero(valid)[~good]] = False
    nibbles = nibbles[good]
    octets = np.ascontiguousarray(nibbles[:, ::2] << 4 | nibbles[:, 1::2])
    return octets.view(">u8").astype(np.uint64).reshape(-1, 2), valid


def _has_32(column: pa.Array) -> pa.Array:
    """Return which texts have 32 letters."""
    if pa.types.is_dictionary(column.type):
        return _has_32(column.dictionary).take(column.indices)
    return pc.equal(pc.binary_length(as_text(column)), 32)


def write_uids(
    path: str,
    table: PairTable,
    selection: PairSelection,
    errors: list[str],
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[int, int]:
    """Write the sorted uids of kept rows as DataComp does.

    Parameters
    ----------
    path : str
        Must end in .npy.
    table : PairTable
    selection : PairSelection
    errors : list of str
        Receives a line for each file that cannot be read completely.
    progress : callable, optional
        Called with the number of rows read since the last call.

    Returns
    -------
    tuple of (int, int)
        Uids written, and kept rows without a valid uid.

    Raises
    ------
    ConfigError
        If the table has no uids, or the file cannot be written.
    """
    name = table.layout.column_of("id", table.first.columns)
    if not table.layout.uids or name is None:
        raise ConfigError(
            f"--ids {path}: {table.layout.words} has no 128-bit uids; use --manifest FILE"
        )
    if not path.endswith(".npy"):
        raise ConfigError(f"--ids {path}: the name must end in .npy")
    invalid = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path(path).parent)))
        buckets = _Buckets(stack, folder)
        for _, batch in selected_batches(table, selection, errors, [name]):
            kept = pa.array(selection.kept(batch, table.layout))
            found, valid = uids_of(batch.columns[name].filter(kept))
            invalid += int((~valid).sum())
            buckets.add(found)
            progress(batch.rows)
        with whole_file(path) as file:
            header = {"descr": np.lib.format.dtype_to_descr(_UIDS), "fortran_order": False,
                      "shape": (buckets.count,)}  # fmt: skip
            np.lib.format.write_array_header_1_0(file, header)
            for part in buckets.sorted():
                file.write(part)
    return buckets.count, invalid


class _Buckets:
    """Uids by their first byte, in files, to be sorted one after the other."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._paths = [folder / f"{n:02x}" for n in range(_BUCKETS)]
        self._pending: list[NDArray[np.uint64]] = []
        self._rows = self.count = 0

    def add(self, uids: NDArray[np.uint64]) -> None:
        self._pending.append(uids)
        self._rows += len(uids)
        self.count += len(uids)
        if self._rows > 1 << 22:
            self._spill()

    def _spill(self) -> None:
        found = np.concatenate([np.zeros((0, 2), np.uint64), *self._pending])
        bucket = (found[:, 0] >> np.uint64(56)).astype(np.uint8)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(_BUCKETS + 1))
        for n, (first, last) in enumerate(pairwise(ends)):
            if first < last:
                with open(self._paths[n], "ab") as file:
                    file.write(found[order[first:last]].tobytes())
        self._pending, self._rows = [], 0

    def sorted(self) -> Iterator[bytes]:
        """Yield all uids as bytes, ascending."""
        self._spill()
        for path in self._paths:
            if path.exists():
                found = np.fromfile(path, np.uint64).reshape(-1, 2)
                yield found[np.lexsort((found[:, 1], found[:, 0]))].tobytes()


Write = Callable[[pa.RecordBatch], object]


def write_kept(
    path: str,
    table: PairTable,
    selection: PairSelection,
    errors: list[str],
    progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Write the kept rows: file, row, id, url and the scores; Parquet, JSON lines or CSV.

    Parameters
    ----------
    path : str
        Its end decides about the format.
    table, selection, errors, progress
        As for `write_uids`.

    Returns
    -------
    int
        Rows written.
    """
    if not path.endswith(SUFFIXES):
        raise ConfigError(f"--manifest {path}: the name must end in {', '.join(SUFFIXES)}")
    roles = [table.layout.column_of(role, table.first.columns) for role in ("id", "url")]
    names = [name for name in dict.fromkeys(roles) if name is not None]
    total = 0
    with whole_file(path) as file, _writer(path, file, _schema(names, selection)) as write:
        for source, batch in selected_batches(table, selection, errors, names):
            rows = np.flatnonzero(selection.kept(batch, table.layout))
            numbers = [one.values for one in selection.numbers(batch, table.layout)]
            for at in range(0, len(rows), _ROWS):
                part = rows[at : at + _ROWS]
                write(_kept_rows(source, batch, part, names, numbers, _schema(names, selection)))
            total += len(rows)
            progress(batch.rows)
    return total


def _schema(names: list[str], selection: PairSelection) -> pa.Schema:
    fields = [("file", pa.string()), ("row", pa.int64()), *((name, pa.string()) for name in names)]
    return pa.schema([*fields, *((one.name, pa.float64()) for one in selection.scores)])


def _kept_rows(
    source: str,
    batch: TableBatch,
    rows: NDArray[np.int64],
    names: list[str],
    numbers: list[NDArray[Any]],
    schema: pa.Schema,
) -> pa.RecordBatch:
    texts = [_text(batch.columns.get(name), rows) for name in names]
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(storable(source)), len(rows)),
            pa.array(batch.start + rows),
            *texts,
            *(pa.array(values[rows].astype(np.float64), from_pandas=True) for values in numbers),
        ],
        schema=schema,
    )


def _text(column: pa.Array | None, rows: NDArray[np.int64]) -> pa.Array:
    if column is None:
        return pa.nulls(len(rows), pa.string())
    found = column.take(pa.array(rows))
    found = found.dictionary_decode() if pa.types.is_dictionary(found.type) else found
    try:
        return found.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array(map(text_of, found), pa.string())


@contextmanager
def _writer(path: str, file: IO[bytes], schema: pa.Schema) -> Iterator[Write]:
    writer: Any
    if path.endswith(".jsonl"):
        yield lambda batch: file.write("".join(map(_line, batch.to_pylist())).encode())
        return
    if path.endswith(".csv"):
        writer = pacsv.CSVWriter(file, schema)
    else:
        writer = pq.ParquetWriter(file, schema, compression="zstd")
    with writer:
        yield writer.write_batch


def _line(row: dict[str, Any]) -> str:
    return json_text(row, ascii_only=False) + "\n"
