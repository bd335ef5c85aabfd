"""Tar in, tar out: whole ranges of bytes as they are, and members with other contents between.

Members are found by their headers in a plain tar on this machine; a packed or remote shard is
unpacked there first. What a member holds is not looked at.
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

from mmc4viz.data.shards import Shard, StrictTar, decompressed, reason
from mmc4viz.data.storage import Digest, is_remote, open_for_reading
from mmc4viz.loader.images import words
from mmc4viz.types import ShardError

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(2 * BLOCK)
_CHUNK: Final = (
    1 << 14
)  # bytes written at once: more, and the system seeks larger stretches of memory
_SIZE: Final = slice(124, 136)  # of a header: where the member's size stands
_SUM: Final = slice(148, 156)  # and the header's sum

Piece = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar.

    Attributes
    ----------
    begin : int
        Where its first header begins, those with long names and the like included.
    data : int
        Where its contents begin.
    end : int
        Where the next member begins, or the end mark.
    info : tarfile.TarInfo
    """

    begin: int
    data: int
    end: int
    info: tarfile.TarInfo

    @property
    def is_ordinary(self) -> bool:
        """Whether its last header alone says how large it is, and its contents lie together."""
        plain = self.info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
        odd = any(name == "size" or "sparse" in name for name in self.info.pax_headers)
        return plain and not odd and self.data - self.begin >= BLOCK


def members(file: IO[bytes]) -> Iterator[Member]:
    """Find a plain tar's members, up to where it breaks off.

    Yields
    ------
    Member
        Only those whose contents are all there.

    Raises
    ------
    tarfile.TarError, OSError
        Where it breaks off.
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
    """Return a member's headers for contents of another size; all else in them stays."""
    if member.is_ordinary:
        file.seek(member.begin)
        before = bytearray(file.read(member.data - member.begin))
        last = before[-BLOCK:]
        last[_SIZE] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
        last[_SUM] = b" " * 8
        last[_SUM] = b"%06o\0 " % sum(last)
        return bytes(before[:-BLOCK] + last)
    info = copy.copy(member.info)
    told = ("size", "path")  # by the fields themselves
    kept = {n: v for n, v in info.pax_headers.items() if n not in told and "sparse" not in n}
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
    """Return what fills the last block of contents."""
    return bytes(-size % BLOCK)


@dataclass
class Output:
    """Where a tar is written to, or only counted.

    Attributes
    ----------
    file : file or None
        None where nothing is written.
    size : int
        Bytes so far, before they are packed.
    """

    file: IO[bytes] | None
    size: int = 0
    _room: memoryview = field(default_factory=lambda: memoryview(bytearray(_CHUNK)), repr=False)

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
            count = cast(io.BufferedIOBase, source).readinto(self._room[: min(left, _CHUNK)])
            if not count:
                raise ShardError(f"{source.name}: got shorter while it was copied")
            self.file.write(self._room[:count])
            left -= count


class _Original(io.FileIO):
    """A shard whose every trouble is a ShardError: nothing is wrong with the place written to."""

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
    """A shard as a plain tar on this machine.

    Attributes
    ----------
    shown : str
        The shard's own path.
    path : Path
    packing : str
        ``gz``, ``bz2``, ``xz``, or empty for a tar that is none of these.
    error : str or None
        Where unpacking broke off.
    """

    shown: str
    path: Path
    packing: str
    error: str | None = None

    def open(self) -> io.BufferedReader:
        """Open the tar for copying; raises a ShardError where it cannot be read."""
        return io.BufferedReader(_Original(self.path, self.shown))


def unpacked(shard: Shard, scratch: Path) -> Unpacked:
    """Return a shard as a plain tar: itself, or fetched and unpacked to a file given."""
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
    """A file on its way to the disk, with the size and the digest of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, xxh3_128()
        self.size = 0

    def write(self, data: Piece) -> int:
        """Write bytes."""
        self._sum.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    @property
    def digest(self) -> str:
        """Of all that was written so far, as `digest_of` gives it of the file."""
        return self._sum.hexdigest()


def digest_of(path: str) -> str:
    """Return the digest of a file of this machine."""
    return Digest(path).added_to("").removeprefix(":")


@contextmanager
def written(path: Path, packing: str) -> Iterator[tuple[IO[bytes], Digested]]:
    """Open a file for writing, packed as asked; the same contents give the same bytes.

    Yields
    ------
    (file, Digested)
        Where to write, and what comes of it on the disk once that is left.
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
