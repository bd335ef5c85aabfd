"""Write and read Arrow and JSON files with checksums of all their bytes.

An uncompressed Arrow file of one batch is followed by a table of its buffers (offset, size, digest)
and a tail with the digest of everything else. Metadata is verified when a file is opened, each
buffer when it is first used. This detects damage, not manipulation.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_hexdigest, xxh3_64_intdigest

from mmc4viz.types import Mmc4vizError

_MAGIC: Final = b"MMC4IDX2"
_ARROW: Final = b"ARROW1"
_BUFFER: Final = struct.Struct("<QQQ")  # offset, size, digest
_SEAL: Final = "digest"
_TAIL: Final = struct.Struct("<QQQ8s")  # Arrow file size, number of buffers, digest of the rest


class IndexFileError(Mmc4vizError):
    """An index, or one of its files, that cannot be used as it is."""


def write_checked(batch: pa.RecordBatch, path: Path) -> None:
    """Write a batch to a file; raises an OSError if the disk is full."""
    batch.validate(full=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pa.memory_map(str(path)) as source:
        arrow = source.read_buffer()
    view, table = memoryview(arrow), []
    for buffer in _buffers(pa.ipc.open_file(arrow).get_batch(0)):
        at = buffer.address - arrow.address
        table.append((at, buffer.size, xxh3_64_intdigest(view[at : at + buffer.size])))
    packed = b"".join(_BUFFER.pack(*row) for row in sorted(table))
    rest = _rest(view, packed, len(table))
    with open(path, "ab") as file:
        file.write(packed + _TAIL.pack(arrow.size, len(table), rest, _MAGIC))


def _buffers(batch: pa.RecordBatch) -> list[pa.Buffer]:
    found = [buffer for column in batch.columns for buffer in column.buffers()]
    return [buffer for buffer in found if buffer is not None and buffer.size]


def _rest(arrow: memoryview, table: bytes, n: int) -> int:
    """Return the digest of everything outside the buffers, and of their table."""
    first = _BUFFER.unpack_from(table)[0] if n else len(arrow)
    last = sum(_BUFFER.unpack_from(table, (n - 1) * _BUFFER.size)[:2]) if n else len(arrow)
    digest = xxh3_64(arrow[:first])
    digest.update(arrow[last:])
    digest.update(table)
    return digest.intdigest()


def open_checked(
    path: Path, repair: Callable[[Path], str], in_memory: bool = False
) -> CheckedBatch:
    """Open a file written by `write_checked`.

    Parameters
    ----------
    path : Path
    repair : callable
        Returns advice on repairing a file that cannot be used.
    in_memory : bool
        Whether to read the file now; otherwise it is memory-mapped, and must not be truncated
        while in use.

    Raises
    ------
    IndexFileError
        When it cannot be read, is damaged, or was written by an older version.
    """
    try:
        with pa.OSFile(str(path)) if in_memory else pa.memory_map(str(path)) as source:
            whole = source.read_buffer()
    except OSError as error:
        reason = error.strerror or str(error).rpartition("] ")[2]
        raise IndexFileError(f"{path}: cannot be read: {reason}") from None
    except pa.ArrowException:  # an empty file cannot be mapped
        whole = pa.py_buffer(b"")
    view, end = memoryview(whole), whole.size - _TAIL.size
    length, n, digest, magic = _TAIL.unpack(view[end:]) if end >= 0 else (0, 0, 0, b"")
    if magic != _MAGIC:
        older = bytes(view[:6]) == _ARROW == bytes(view[-6:])
        what = "written by an older mmc4viz" if older else "damaged (incomplete)"
        raise IndexFileError(f"{path}: {what}: {repair(path)}")
    table = bytes(view[length:end])
    if len(table) != n * _BUFFER.size or _rest(view[:length], table, n) != digest:
        raise IndexFileError(f"{path}: damaged (checksum mismatch): {repair(path)}")
    try:
        batch = pa.ipc.open_file(whole.slice(0, length)).get_batch(0)
    except pa.ArrowException as error:
        raise IndexFileError(f"{path}: damaged ({error!s:.80}): {repair(path)}") from None
    return CheckedBatch(batch, (_File(path, repair, whole, table),))


class _File:
    """A file's bytes, and the digests of its buffers not yet checked."""

    def __init__(
        self, path: Path, repair: Callable[[Path], str], whole: pa.Buffer, table: bytes
    ) -> None:
        self._path, self._repair, self._table = path, repair, table
        self._view, self._start = memoryview(whole), whole.address

    @cached_property
    def _left(self) -> dict[int, tuple[int, int]]:
        return {at: (size, digest) for at, size, digest in _BUFFER.iter_unpack(self._table)}

    def check(self, buffer: pa.Buffer) -> None:
        """Check a buffer if it belongs to this file; raises an IndexFileError."""
        at = buffer.address - self._start
        size, digest = self._left.get(at, (0, 0))
        if size and xxh3_64_intdigest(self._view[at : at + size]) != digest:
            raise IndexFileError(
                f"{self._path}: damaged (checksum mismatch): {self._repair(self._path)}"
            )
        self._left.pop(at, None)


class CheckedBatch:
    """A record batch backed by files; data is verified before it is returned.

    All other attributes of a `pyarrow.RecordBatch` are available too, and verify the whole batch.

    Parameters
    ----------
    raw : pyarrow.RecordBatch
        Unverified.
    files : tuple
        The files that back it.
    """

    def __init__(self, raw: pa.RecordBatch, files: tuple[_File, ...]) -> None:
        self.raw = raw
        self.schema, self.num_rows = raw.schema, raw.num_rows
        self.files = files
        self._left = True  # whether some of it may still be unverified

    def checked(self, array: pa.Array) -> pa.Array:
        """Verify an array of the raw batch, or a part of one, and return it."""
        for buffer in array.buffers():
            if buffer is not None:
                for file in self.files:
                    file.check(buffer)
        return array

    def column(self, name: str) -> pa.Array:
        """Return a column."""
        return self.checked(self.raw.column(name))

    def check(self) -> None:
        """Verify every column; raises an IndexFileError for a damaged one."""
        for column in self.raw.columns if self._left else ():
            self.checked(column)
        self._left = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.check()
        return getattr(self.raw, name)


def put_over(batch: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with columns replaced by another batch's columns of the same names.

    The result is unverified, and a `CheckedBatch` if one of the arguments is.
    """
    (raw, files), (over, more) = _parts(batch), _parts(other)
    for field in over.schema:
        raw = raw.set_column(raw.schema.get_field_index(field.name), field, over[field.name])
    return CheckedBatch(raw, files + more) if files or more else raw


def _parts(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, tuple[_File, ...]]:
    return (batch.raw, batch.files) if isinstance(batch, CheckedBatch) else (batch, ())


def sealed(fields: Mapping[str, Any]) -> str:
    """Serialize fields as JSON with a digest of them.

    Examples
    --------
    >>> unsealed(sealed({"a": 1}).encode())
    {'a': 1}
    >>> unsealed(sealed({"a": 1}).encode().replace(b"1", b"2"))
    Traceback (most recent call last):
    ...
    ValueError: checksum mismatch
    """
    return json.dumps({**fields, _SEAL: _seal(fields)}, indent=1, sort_keys=True) + "\n"


def unsealed(raw: bytes) -> dict[str, Any]:
    """Deserialize fields written by `sealed`; raises a ValueError if they are damaged."""
    fields = json.loads(raw)
    if not isinstance(fields, dict) or fields.pop(_SEAL, None) != _seal(fields):
        raise ValueError("checksum mismatch")
    return fields


def _seal(fields: Mapping[str, Any]) -> str:
    return xxh3_64_hexdigest(json.dumps(fields, sort_keys=True).encode())
