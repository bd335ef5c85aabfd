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
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import fsspec

from mmc4viz.model import ShardError

P = ParamSpec("P")
R = TypeVar("R")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
_BLOCK = 8 << 20  # bytes that one request fetches
_CHUNK = 1 << 20  # bytes that are asked of a stream at once


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
        with open(path, "rb") as file:
            yield file
        return
    with io.BufferedReader(_Remote(path), _CHUNK) as stream:
        yield stream


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
    """Say what changes when a file changes: its size with its time or ETag."""
    if not is_remote(path):
        status = os.stat(path)
        return f"{status.st_size}:{status.st_mtime_ns}"
    store, inside = file_system(path)
    facts = store.info(inside)
    tags = (facts.get(name) for name in ("ETag", "etag", "LastModified", "mtime", "updated", "oid"))
    return ":".join(str(value) for value in (facts.get("size"), *tags) if value is not None)


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
