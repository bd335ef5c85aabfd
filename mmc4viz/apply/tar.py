"""Rewrite a tar by copying byte ranges and replacing the contents of some members.

Works on a plain local tar; a compressed or remote shard is first unpacked to a local file.
"""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from xxhash import xxh3_128

from mmc4viz.data.containers.tar import StrictTar
from mmc4viz.data.shards import Shard, decompressed, reason
from mmc4viz.data.storage import Digest, is_remote, open_for_reading
from mmc4viz.loader.images import words
from mmc4viz.types import ShardError

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(2 * BLOCK)
_CHUNK: Final = 1 << 14  # bytes per write; larger buffers cost more memory
_SIZE: Final = slice(124, 136)  # the member's size in a header
_SUM: Final = slice(148, 156)  # the header's checksum

Piece = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar.

    Attributes
    ----------
    begin : int
        Offset of its first header, including extension headers.
    data : int
        Offset of its contents.
    end : int
        Offset of the next member or of the end marker.
    info : tarfile.TarInfo
    """

    begin: int
    data: int
    end: int
    info: tarfile.TarInfo

    @property
    def is_ordinary(self) -> bool:
        """Whether its size is given only by its last header, and its contents are contiguous."""
        plain = self.info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
        odd = any(name == "size" or "sparse" in name for name in self.info.pax_headers)
        return plain and not odd and self.data - self.begin >= BLOCK


def members(file: IO[bytes]) -> Iterator[Member]:
    """Yield the complete members of a plain tar.

    Raises
    ------
    tarfile.TarError, OSError
        Where the tar is truncated or damaged.
    """
    size = os.fstat(file.fileno()).st_size
    with StrictTar(fileobj=file) as tar:
        while (info := tar.next()) is not None:
            end = int(tar.offset)
            member = Member(info.offset, info.offset_data, end, info)
            last = info.offset_data + info.size if member.is_ordinary else end - BLOCK + 1
            if last > size or info.size < 0:
                raise tarfile.ReadError("unexpected end of data")
            yield member


def header(file: IO[bytes], member: Member, size: int) -> bytes:
    """Return a member's headers with a new size and otherwise unchanged."""
    if member.is_ordinary:
        file.seek(member.begin)
        before = bytearray(file.read(member.data - member.begin))
        last = before[-BLOCK:]
        last[_SIZE] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
        last[_SUM] = b" " * 8
        last[_SUM] = b"%06o\0 " % sum(last)
        return bytes(before[:-BLOCK] + last)
    info = copy.copy(member.info)
    own = ("size", "path")  # have fields of their own
    kept = {n: v for n, v in info.pax_headers.items() if n not in own and "sparse" not in n}
    info.type, info.size, info.pax_headers = tarfile.REGTYPE, size, {**kept, "size": str(size)}
    info.sparse = None
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def contents(file: IO[bytes], member: Member) -> bytes:
    """Read a member's contents."""
    if member.is_ordinary:
        file.seek(member.data)
        return file.read(member.info.size)
    with StrictTar(fileobj=file) as tar:
        return cast(IO[bytes], tar.extractfile(member.info)).read()


def padding(size: int) -> bytes:
    """Return the padding after contents of a given size."""
    return bytes(-size % BLOCK)


@dataclass
class Output:
    """A tar that is written, or only counted.

    Attributes
    ----------
    file : file or None
        None if nothing is written.
    size : int
        Bytes so far, before compression.
    """

    file: IO[bytes] | None
    size: int = 0
    _buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_CHUNK)), repr=False)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Append bytes."""
        self.size += sum(len(piece) for piece in pieces)
        if self.file is not None:
            for piece in pieces:
                view = memoryview(piece)
                for start in range(0, len(view), _CHUNK):
                    self.file.write(view[start : start + _CHUNK])

    def copy(self, source: IO[bytes], begin: int, end: int) -> None:
        """Append a range of another file."""
        self.size += end - begin
        if self.file is None or end <= begin:
            return
        source.seek(begin)
        left = end - begin
        while left:
            count = cast(io.BufferedIOBase, source).readinto(self._buffer[: min(left, _CHUNK)])
            if not count:
                raise ShardError(f"{source.name}: was truncated while it was copied")
            self.file.write(self._buffer[:count])
            left -= count


class _Original(io.FileIO):
    """A shard whose read errors are ShardErrors, as opposed to write errors of the output."""

    def __init__(self, path: Path, shown: str) -> None:
        super().__init__(path)
        self._shown = shown

    def readinto(self, buffer: Any) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise ShardError(f"{self._shown}: cannot be read: {words(error)}") from None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A shard as a plain local tar.

    Attributes
    ----------
    shown : str
        The shard's own path.
    path : Path
    packing : str
        ``gz``, ``bz2``, ``xz``, or empty for an uncompressed tar.
    error : str or None
        Why unpacking stopped early.
    """

    shown: str
    path: Path
    packing: str
    error: str | None = None

    def open(self) -> io.BufferedReader:
        """Open the tar for copying; read errors are raised as ShardError."""
        return io.BufferedReader(_Original(self.path, self.shown))


def unpacked(shard: Shard, scratch: Path) -> Unpacked:
    """Return a shard as a plain local tar: itself, or unpacked to ``scratch``."""
    packing = _packing(shard)
    if not packing and not is_remote(shard.path):
        return Unpacked(shard.path, Path(shard.path), "")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    error = None
    with open(scratch, "wb") as out, decompressed(shard) as stream:
        while True:
            try:
                chunk = cast(io.BufferedIOBase, stream).read1(_CHUNK)
            except Exception as broken:  # hostile bytes make it raise nearly anything
                error = reason(broken)
                break
            if not chunk:
                break
            out.write(chunk)
    return Unpacked(shard.path, scratch, packing, error)


def _packing(shard: Shard) -> str:
    with open_for_reading(shard.path) as file:
        magic = file.peek(6)[:6]
    kinds = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
    return next((kind for start, kind in kinds.items() if magic.startswith(start)), "")


class Digested:
    """A file being written, with the size and the digest of its contents."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, xxh3_128()
        self.size = 0

    def write(self, data: Piece) -> int:
        """Write bytes."""
        self._sum.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    @property
    def digest(self) -> str:
        """Digest of everything written so far, equal to the file's `digest_of`."""
        return self._sum.hexdigest()


def digest_of(path: str) -> str:
    """Return the digest of a local file."""
    return Digest(path).added_to("").removeprefix(":")


@contextmanager
def written(path: Path, packing: str) -> Iterator[tuple[IO[bytes], Digested]]:
    """Open a file for writing with reproducible compression.

    Yields
    ------
    (file, Digested)
        The file to write to, and the compressed file's size and digest afterwards.
    """
    with open(path, "wb") as plain:
        made = Digested(plain)
        file = cast(IO[bytes], made)
        if packing == "gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as stream:
                yield cast(IO[bytes], stream), made
        elif packing == "bz2":
            with bz2.BZ2File(file, "wb") as packed:
                yield cast(IO[bytes], packed), made
        elif packing == "xz":
            with lzma.LZMAFile(file, "wb") as packed_well:
                yield cast(IO[bytes], packed_well), made
        else:
            yield file, made
