"""Paths, local or remote: opening, listing, fingerprints, and whole uploads.

Remote paths (``s3://``, ``gs://``, ``https://``, ``hf://`` …) go through fsspec, whose stores are
extras. Knows nothing of what the files hold.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import fsspec
from xxhash import xxh3_64, xxh3_128

from mmc4viz.model import ShardError

P = ParamSpec("P")
R = TypeVar("R")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
_BLOCK = 8 << 20  # bytes that one request fetches
_CHUNK = 1 << 20  # bytes that are asked of a stream at once
_PIECE, _PIECES = 1 << 16, 16  # bytes, and how often, that stand for a file
_LOCAL = re.compile(r"(\d+):(\d+)(?::([0-9a-f]{16}))?(?::([0-9a-f]{32}))?")


def is_remote(path: str) -> bool:
    """Whether a path goes through fsspec.

    Examples
    --------
    >>> is_remote("s3://bucket/a.tar"), is_remote("C:/a.tar"), is_remote("a.tar")
    (True, False, False)
    """
    return _URL.match(path) is not None


def natural(path: str) -> tuple[str | int, ...]:
    """Return what a path is sorted by, so that 10 comes after 2.

    Examples
    --------
    >>> sorted(["s-10.tar", "s-2.tar", "s-02.tar"], key=natural)
    ['s-02.tar', 's-2.tar', 's-10.tar']
    """
    key: list[str | int] = []
    for place, part in enumerate(_DIGITS.split(path)):
        digits = part.lstrip("0")
        key += [len(digits), digits] if place % 2 else [part]
    return (*key, path)


def _in_words(function: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever a store raises into a `ShardError` of one line that begins with the path."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ShardError:
            raise
        except Exception as error:  # every store has its own kinds
            raise ShardError(f"{args[0]}: {_reason(error)}") from None

    return call


def _reason(error: BaseException) -> str:
    """Say in a line what a store complained of and what to do about it."""
    cause = error.__cause__ or error  # fsspec calls many refusals "not found" and keeps the cause
    text = " ".join(str(cause).split())[:200] or type(error).__name__
    if isinstance(error, ImportError):
        extra = "the store's package is missing: pip install 'mmc4viz[s3]', [gcs], [http] or [hf]"
        return f"{extra} ({text})"
    if isinstance(error, PermissionError) or "403" in text or "Forbidden" in text:
        return f"the store refuses access; check your credentials ({text})"
    if isinstance(error, FileNotFoundError):
        return "not there"
    return f"cannot be reached: {text}"


def file_system(path: str) -> tuple[Any, str]:
    """Return a path's file system and the path within it."""
    return fsspec.core.url_to_fs(path)  # type: ignore[no-any-return]


@contextmanager
def open_for_reading(path: str) -> Iterator[io.BufferedReader[Any]]:
    """Open a file for reading from front to back; a remote one is streamed.

    Whether it can seek as well is up to ``seekable``: a web server's file cannot.
    """
    if not is_remote(path):
        with _opened(path) as file:
            yield file
        return
    with io.BufferedReader(_Remote(path), _CHUNK) as stream:
        yield stream


def _opened(path: str) -> io.BufferedReader[Any]:
    digest = _DIGESTED.get()
    if digest is None or digest.path != path:
        return open(path, "rb")
    return io.BufferedReader(_Digesting(path, digest), _CHUNK)


class Digest:
    """The digest of a local file, taken as the file is read; what nobody reads is read for it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._digest, self._next = xxh3_128(), 0

    def see(self, at: int, data: memoryview) -> None:
        """Take notice of bytes that were read at a place."""
        if at <= self._next < at + len(data):
            self._digest.update(data[self._next - at :])
            self._next = at + len(data)

    def added_to(self, known: str) -> str:
        """Add it to a fingerprint of the same file; a remote one stays as it is."""
        if is_remote(self.path):
            return known
        buffer = memoryview(bytearray(_CHUNK))
        with open(self.path, "rb", 0) as file:
            file.seek(self._next)
            while n := file.readinto(buffer):
                self._digest.update(buffer[:n])
                self._next += n
        return f"{known}:{self._digest.hexdigest()}"


_DIGESTED: ContextVar[Digest | None] = ContextVar("digested", default=None)


@contextmanager
def digesting(path: str) -> Iterator[Digest]:
    """Digest a file while `open_for_reading` reads it within the block."""
    digest = Digest(path)
    token = _DIGESTED.set(digest)
    try:
        yield digest
    finally:
        _DIGESTED.reset(token)


class _Digesting(io.RawIOBase):
    """A local file that tells a digest what is read of it."""

    def __init__(self, path: str, digest: Digest) -> None:
        self._file, self._digest = io.FileIO(path), digest

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        at = self._file.tell()
        n = self._file.readinto(buffer) or 0
        self._digest.see(at, memoryview(buffer)[:n])
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


class _Remote(io.RawIOBase):
    """A remote file whose every trouble is an OSError in words."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open_remote(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return not is_web(self._path)

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:  # every store has its own kinds
            raise OSError(_reason(error)) from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def is_web(path: str) -> bool:
    """Whether a path is a web server's, which lists no folders and may not seek."""
    return path.startswith(("http://", "https://"))


@_in_words
def _open_remote(path: str) -> Any:
    store, inside = file_system(path)
    if is_web(path):
        return store.open(inside, "rb", block_size=0)  # a stream: no ranges are asked for
    return store.open(inside, "rb", block_size=_BLOCK, cache_type="readahead")


@_in_words
def read_range(path: str, offset: int, size: int) -> bytes:
    """Read a part of a file with one seek or one request."""
    if not is_remote(path):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)
    store, inside = file_system(path)
    data: bytes = store.cat_file(inside, start=offset, end=offset + size)
    return data[offset : offset + size] if len(data) > size else data  # ranges not supported


@_in_words
def listing(pattern: str) -> list[str]:
    """Return the remote files that a path, folder or glob names, with their protocol.

    In natural order.
    """
    store, inside = file_system(pattern)
    if any(c in inside for c in "*?["):
        found = store.glob(inside)
    elif is_web(pattern):
        found = [inside]  # a web server has no folders; whether it is there shows when it is read
    elif store.isdir(inside):
        found = [
            entry["name"] for entry in store.ls(inside, detail=True) if entry["type"] == "file"
        ]
    else:
        found = [inside] if store.exists(inside) else []
    return sorted((str(store.unstrip_protocol(name)) for name in found), key=natural)


@_in_words
def fingerprint(path: str) -> str:
    """Say what changes when a file changes.

    Of a local file its size, its time, and a digest of a sample of its bytes: 16 pieces of 64 KiB,
    the first, the last, and others evenly between (all of a file of at most 1 MiB); where it was
    read whole, `Digest` adds one of all of it. Of a remote file its size and its time or ETag.
    """
    if not is_remote(path):
        status = os.stat(path)
        return f"{status.st_size}:{status.st_mtime_ns}:{_sample(path, status.st_size)}"
    store, inside = file_system(path)
    facts = store.info(inside)
    tags = (facts.get(name) for name in ("ETag", "etag", "LastModified", "mtime", "updated", "oid"))
    return ":".join(str(value) for value in (facts.get("size"), *tags) if value is not None)


def whole_fingerprint(path: str) -> str:
    """Return a file's fingerprint with a digest of all of it; of a remote one its fingerprint."""
    return Digest(path).added_to(fingerprint(path))


@_in_words
def unchanged(path: str, recorded: str) -> bool:
    """Whether a file is what it was when its fingerprint was recorded, wherever it was then.

    A local one of the same size and time is. One of another time, as a copy is, is if all of its
    bytes are, where all were digested; that reads the file once.
    """
    parts = None if is_remote(path) else _LOCAL.fullmatch(recorded)
    if parts is None:
        return fingerprint(path) == recorded
    status = os.stat(path)
    if status.st_size != int(parts[1]):
        return False
    if status.st_mtime_ns == int(parts[2]):
        return True
    return parts[4] is not None and _whole(path, status.st_size, status.st_mtime_ns) == parts[4]


def alike(one: str, other: str) -> bool:
    """Whether two fingerprints are of the same bytes, as far as both tell; no file is read."""
    parts = _LOCAL.fullmatch(one), _LOCAL.fullmatch(other)
    if one == other or parts[0] is None or parts[1] is None:
        return one == other
    sizes, times, samples, wholes = zip(*(found.groups() for found in parts if found), strict=True)
    return sizes[0] == sizes[1] and next(
        (pair[0] == pair[1] for pair in (wholes, samples, times) if None not in pair), False
    )


def _sample(path: str, size: int) -> str:
    digest, last = xxh3_64(), max(0, size - _PIECE)
    with open(path, "rb", 0) as file:
        for place in range(_PIECES if size > _PIECE * _PIECES else 1):
            file.seek(last * place // (_PIECES - 1))
            digest.update(file.read(_PIECE if size > _PIECE * _PIECES else size))
    return str(digest.hexdigest())


@lru_cache(maxsize=4096)
def _whole(path: str, size: int, changed: int) -> str:
    """Digest all of a file, once as it is."""
    return Digest(path).added_to("").removeprefix(":")


@_in_words
def size_of(path: str) -> int:
    """Return a file's size in bytes; 0 where a store does not say."""
    if not is_remote(path):
        return os.stat(path).st_size
    store, inside = file_system(path)
    return int(store.info(inside).get("size") or 0)


@_in_words
def upload(path: str, local: Path) -> None:
    """Put a local file at a remote path, in one piece."""
    store, inside = file_system(path)
    store.put_file(str(local), inside)


@_in_words
def download(path: str, local: Path) -> None:
    """Fetch a remote file, beside its place first, so that a broken transfer leaves none."""
    store, inside = file_system(path)
    local.parent.mkdir(parents=True, exist_ok=True)
    beside = local.with_name(f".{local.name}.part")
    store.get_file(inside, str(beside))
    put_in_place(beside, str(local))


def put_in_place(beside: Path, target: str) -> None:
    """Give a finished file its place, so that it survives a power cut once it is there.

    A local file is synced, renamed, and its folder is synced; to a store it goes in one upload.

    Parameters
    ----------
    beside : Path
        The finished file, on the file system of a local target; it is gone afterwards.
    target : str

    Raises
    ------
    OSError, ShardError
        When it cannot be written.
    """
    if is_remote(target):
        upload(target, beside)
        beside.unlink()
        return
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    os.replace(beside, target)
    folder = os.open(os.path.dirname(target) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@_in_words
def remove(path: str) -> None:
    """Delete a file."""
    if is_remote(path):
        store, inside = file_system(path)
        store.rm_file(inside)
    else:
        os.unlink(path)
