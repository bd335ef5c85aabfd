"""Local and remote files: open, list, fingerprint, and write atomically.

Remote paths (``s3://``, ``gs://``, ``https://``, ``hf://`` …) go through fsspec; the packages for
the stores are optional extras. Transient errors are retried. User names, passwords and queries of
URLs are kept in memory only, for access.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import io
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from functools import lru_cache, wraps
from itertools import count
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, unquote

from xxhash import xxh3_64, xxh3_128

from mmc4viz.types import ConfigError, Mmc4vizError, ShardError

P = ParamSpec("P")
R = TypeVar("R")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
_PIECE, _PIECES = 1 << 16, 16  # size and number of the pieces digested in a fingerprint
_LOCAL = re.compile(r"(\d+):(\d+)(?::([0-9a-f]{16}))?(?::([0-9a-f]{32}))?")
_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\"<>]+", re.IGNORECASE)
_QUERY = re.compile(r"\?[\w.~%-]+=")  # other question marks are glob characters
_NO_USER = {"abfs", "abfss", "adl", "az", "git", "github", "wasb", "wasbs"}  # no user before the @
_HOSTLESS = {"arrow_hdfs", "ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs"}  # list without the host
_BLOCK = 8 << 20  # bytes per request
_CHUNK = 1 << 20  # bytes read from a stream at once
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http",
           "hf": "hf"}  # fmt: skip
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses worth retrying
_DROPPED = {  # exceptions of the stores' clients when a connection fails
    "ClientConnectionError", "ClientPayloadError", "HTTPClientError", "Timeout", "TransportError",
}  # fmt: skip
_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before each retry
_LONGEST = 60.0  # maximum wait at a server's request, in seconds
_NOT_FOUND = "not found"
_sleep = time.sleep


class NotThereError(ShardError):
    """A file that is known not to exist, as opposed to one that cannot be reached."""


def is_remote(path: str) -> bool:
    """Whether a path goes through fsspec.

    Examples
    --------
    >>> is_remote("s3://bucket/a.tar"), is_remote("C:/a.tar"), is_remote("a.tar")
    (True, False, False)
    """
    return _URL.match(path) is not None


def natural(path: str) -> tuple[str | int, ...]:
    """Return a sort key for natural order, in which 10 comes after 2.

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


def without_secrets(url: str) -> str:
    """Return a path for display and records: without user, password and query.

    Examples
    --------
    >>> without_secrets("https://me:pw@host/a.tar?X-Amz-Signature=1f")
    'https://host/a.tar'
    >>> without_secrets("s3://bucket/shard-?.tar")
    's3://bucket/shard-?.tar'
    """
    return "::".join(_parts(piece)[0] for piece in url.split("::"))


def _parts(url: str) -> tuple[str, str, str]:
    """Return a URL without secrets, its protocol with host, and its user with the ``@``."""
    found = _URL.match(url)
    if found is None:
        return url, "", ""
    protocol, rest = found.group().lower(), url[found.end() :]
    query = _QUERY.search(rest)
    if is_web(protocol):
        rest = rest.split("#", 1)[0].split("?", 1)[0]
    elif query is not None:
        rest = rest[: query.start()]
    place, slash, inside = rest.partition("/")
    user, at, host = place.rpartition("@")
    if protocol[:-3] in _NO_USER:
        user, at, host = "", "", place
    return f"{found.group()}{host}{slash}{inside}", found.group() + host, user + at


_WHOLE: dict[str, str] = {}  # paths without secrets → with secrets
_USERS: dict[str, str] = {}  # protocol with host → user


def remember(url: str) -> str:
    """Return a path without its secrets, which this process keeps in memory for access."""
    shown = without_secrets(url)
    if shown != url:
        _WHOLE[shown] = url
        _, place, user = _parts(url)
        if user:
            _USERS[place] = user
    return shown


def whole(path: str) -> str:
    """Return a path with its secrets, or at least with the user known for its host."""
    if path in _WHOLE or not is_remote(path):
        return _WHOLE.get(path, path)
    _, place, user = _parts(path)
    known = "" if user else _USERS.get(place, "")
    protocol = _URL.match(path)
    assert protocol is not None
    return f"{protocol.group()}{known}{path[protocol.end() :]}"


def users() -> dict[str, str]:
    """Return the known users, to be passed to `remember_users` in another process."""
    return dict(_USERS)


def remember_users(known: dict[str, str]) -> None:
    """Add users returned by `users`."""
    _USERS.update(known)


def refuse_alike(urls: Iterable[str]) -> None:
    """Refuse URLs that differ only in their secrets.

    Raises
    ------
    ShardError
        For the first such URL.
    """
    seen: dict[str, str] = {}
    for url in urls:
        shown = without_secrets(url)
        if seen.setdefault(shown, url) != url:
            raise ShardError(
                f"{shown}: listed with different users or queries, which are not part of a shard's "
                "name; give these shards different paths"
            )


def _with_retries(function: Callable[P, R]) -> Callable[P, R]:
    """Retry transient errors, and turn any exception of a store into a `ShardError`.

    The message begins with the path, which is the function's first argument.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        path = str(args[0])
        for tries in count(1):
            try:
                return function(*args, **kwargs)
            except ShardError:
                raise
            except Exception as error:  # every store has its own exceptions
                if not _waited(error, tries):
                    reason = _reason(error, path)
                    kind = NotThereError if reason == _NOT_FOUND else ShardError
                    raise kind(f"{without_secrets(path)}: {reason}") from None
        raise AssertionError

    return call


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, since stores may wrap "access denied" in "not found"."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status code in an error, if any."""
    for one in _chain(error):
        answer = getattr(one, "response", None)
        if isinstance(answer, dict):  # of Amazon's client
            found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = getattr(answer, "status_code", None)
        found = getattr(one, "status", None) if found is None else found
        if type(one).__module__.startswith("gcsfs"):
            found = getattr(one, "code", None)
        if isinstance(found, int) and 400 <= found < 600:
            return found
    return None


def _waited(error: BaseException, tries: int) -> bool:
    """Wait before a retry if the error is transient; return False if there is nothing to retry."""
    status, chain = _status(error), list(_chain(error))
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    dropped = any(isinstance(one, ConnectionError | TimeoutError) for one in chain)
    if not (status in _TRANSIENT if status else dropped or kinds & _DROPPED):
        return False
    unreachable = any(isinstance(one, ConnectionRefusedError | socket.gaierror) for one in chain)
    if tries > (len(_WAITS) // 2 if unreachable else len(_WAITS)):
        return False
    _sleep(min(max(_WAITS[tries - 1], _asked(chain)), _LONGEST))
    return True


def _asked(chain: Iterable[BaseException]) -> float:
    """Return how many seconds a server asks to wait; 0 if it does not."""
    for one in chain:
        for source in (one, getattr(one, "response", None)):
            text = (getattr(source, "headers", None) or {}).get("Retry-After")
            if text is None:
                continue
            try:
                return float(text)
            except ValueError:
                with suppress(ValueError, TypeError):
                    return parsedate_to_datetime(text).timestamp() - time.time()
    return 0.0


def _reason(error: BaseException, path: str) -> str:
    """Return in one line what failed, and what to do about it."""
    *_, root = chain = list(_chain(error))
    status = _status(error)
    text = scrubbed(" ".join(str(root).split()), path)[:200] or type(root).__name__
    if any(isinstance(one, ImportError) for one in chain):
        extra = _EXTRAS.get(path.partition("://")[0].lower())
        advice = f"pip install 'mmc4viz[{extra}]'" if extra else f"install it: {chain[0]}"
        return f"the package for this kind of store is missing: {advice}"
    if not is_remote(path):
        missing = isinstance(root, FileNotFoundError | NotADirectoryError)
        return _NOT_FOUND if missing else getattr(root, "strerror", None) or text
    if status in (401, 403, 407) or any(isinstance(one, PermissionError) for one in chain):
        code = f" ({status})" if status else ""
        return (
            f"access denied{code}; check your credentials and give the complete URL, since its "
            f"user, password and signature are never stored ({text})"
        )
    if status in (404, 410) or (status is None and isinstance(root, FileNotFoundError)):
        return _NOT_FOUND
    if status is not None:
        return f"the server returned HTTP {status}: {text}"
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return "cannot be reached: connection refused"
    if any(type(one).__name__ == "ClientPayloadError" for one in chain):
        return "the connection was dropped"
    return f"cannot be reached: {text}"


def scrubbed(text: str, path: str = "") -> str:
    """Return a store's message without the secrets of a path or of URLs in the message."""
    text = _IN_TEXT.sub(lambda found: without_secrets(found.group()), text)
    named = whole(path)
    for piece in named.split("::"):
        shown, _, user = _parts(piece)
        query = piece.partition("?")[2] if shown != piece else ""
        parts = [user[:-1], *user[:-1].split(":")[1:], query]
        parts += [value for _, value in parse_qsl(query)]
        parts += [pair.partition("=")[2] for pair in query.split("&")]
        for secret in filter(lambda one: len(one) > 3, {*parts, *map(unquote, parts)}):
            text = text.replace(secret, "…")
    return text


def file_system(path: str) -> tuple[Any, str]:
    """Return a path's file system and the path within it, including secrets."""
    from fsspec.core import url_to_fs  # brings asyncio along, which local files do without

    return url_to_fs(whole(path))  # type: ignore[no-any-return]


@contextmanager
def open_for_reading(path: str) -> Iterator[io.BufferedReader[Any]]:
    """Open a file for sequential reading; a remote one is streamed.

    A web server's file is not ``seekable``.
    """
    digest = _DIGESTED.get()
    if digest is not None and digest.path != path:
        digest = None
    if not is_remote(path):
        with _opened(path, digest) as file:
            yield file
        return
    remote = _Remote(path)
    raw = remote if digest is None else _Digesting(remote, digest)
    with io.BufferedReader(raw, _CHUNK) as stream:
        yield stream
        if digest is not None:
            with suppress(OSError):  # padding at the end, which readers of tars leave
                digest.whole = len(stream.read(_CHUNK)) < _CHUNK


def _opened(path: str, digest: Digest | None) -> io.BufferedReader[Any]:
    if digest is None:
        return open(path, "rb")
    return io.BufferedReader(_Digesting(io.FileIO(path), digest), _CHUNK)


class Digest:
    """Digests of a file's bytes, computed while it is read; the rest is read at the end.

    Parameters
    ----------
    path : str
    with_sha256 : bool
        Whether to compute SHA-256 besides XXH3, which is faster.

    Attributes
    ----------
    whole : bool
        Whether all bytes were seen.
    """

    def __init__(self, path: str, with_sha256: bool = False) -> None:
        self.path, self.whole = path, False
        self._digest, self._next = xxh3_128(), 0
        self._sha256 = hashlib.sha256() if with_sha256 else None

    def see(self, at: int, data: memoryview) -> None:
        """Process bytes that were read at an offset."""
        if at <= self._next < at + len(data):
            self._update(data[self._next - at :])

    def _update(self, data: memoryview) -> None:
        self._digest.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)
        self._next += len(data)

    def finish(self) -> None:
        """Read what was not seen of a local file; a remote one is not read again."""
        if self.whole or is_remote(self.path):
            return
        buffer = memoryview(bytearray(_CHUNK))
        with suppress(OSError), open(self.path, "rb", 0) as file:
            file.seek(self._next)
            while n := file.readinto(buffer):
                self._update(buffer[:n])
            self.whole = True

    @property
    def sha256(self) -> str:
        """SHA-256 of all bytes; empty if they were not all seen, or it was not asked for."""
        return self._sha256.hexdigest() if self._sha256 is not None and self.whole else ""

    def added_to(self, known: str) -> str:
        """Append the XXH3 digest to a fingerprint of the same file.

        Fingerprints of remote files, and of files that cannot be read in full, are unchanged.
        """
        self.finish()
        usable = self.whole and not is_remote(self.path)
        return f"{known}:{self._digest.hexdigest()}" if usable else known


_DIGESTED: ContextVar[Digest | None] = ContextVar("digested", default=None)


@contextmanager
def digesting(path: str) -> Iterator[Digest]:
    """Digest a file while `open_for_reading` reads it within the block."""
    digest = Digest(path, with_sha256=True)
    token = _DIGESTED.set(digest)
    try:
        yield digest
    finally:
        _DIGESTED.reset(token)


class _Digesting(io.RawIOBase):
    """A file that passes what is read to a digest."""

    def __init__(self, file: io.RawIOBase, digest: Digest) -> None:
        self._file, self._digest = file, digest

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

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
    """A remote file that raises an OSError for any failure, and resumes interrupted streams."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open_remote(path)
        self._at = self._ahead = 0  # bytes read so far; bytes to skip after a restart

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return not is_web(self._path)

    def tell(self) -> int:
        return int(self._file.tell()) if self.seekable() else self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        for tries in count(1):
            try:
                while self._ahead and (data := self._file.read(min(self._ahead, _CHUNK))):
                    self._ahead -= len(data)
                data = self._file.read(len(buffer))
                break
            except Exception as error:  # every store has its own exceptions
                if not _waited(error, tries):
                    raise OSError(_reason(error, self._path)) from None
                self._resume()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _resume(self) -> None:
        """Resume a web server's stream where it was interrupted; other stores can seek."""
        if self.seekable():
            return
        before = self._file.r.headers
        mark = before.get("ETag") or before.get("Last-Modified")
        asked = {"Range": f"bytes={self._at}-"} | ({"If-Range": mark} if mark else {})
        if "Content-Encoding" in before or (mark or "").startswith("W/"):
            asked = {}  # offsets are unknown if the server compresses
        self._file.close()
        try:
            self._file = _open_remote(self._path, asked)
        except ShardError as error:
            raise OSError(str(error).removeprefix(f"{self._path}: ")) from None
        now = self._file.r.headers
        if mark != (now.get("ETag") or now.get("Last-Modified")):
            raise OSError("changed while it was read; run again")
        self._ahead = 0 if self._file.r.status == 206 else self._at

    def close(self) -> None:
        self._file.close()
        super().close()


def is_web(path: str) -> bool:
    """Whether a path is on a web server, which has no folder listing and no seeking."""
    return path.startswith(("http://", "https://"))


@_with_retries
def _open_remote(path: str, headers: dict[str, str] | None = None) -> Any:
    store, inside = file_system(path)
    if is_web(path):  # streamed; ranges are requested only to resume
        return store.open(inside, "rb", block_size=0, **({"headers": headers} if headers else {}))
    return store.open(inside, "rb", block_size=_BLOCK, cache_type="readahead")


@_with_retries
def read_range(path: str, offset: int, size: int) -> bytes:
    """Read part of a file with one seek or one request."""
    if not is_remote(path):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)
    store, inside = file_system(path)
    data: bytes = store.cat_file(inside, start=offset, end=offset + size)
    return data[offset : offset + size] if len(data) > size else data  # ranges not supported


@_with_retries
def listing(pattern: str) -> list[str]:
    """Return the remote files of a path, folder or glob, with protocol, in natural order."""
    store, inside = file_system(pattern)
    if any(c in pattern for c in ("*[" if is_web(pattern) else "*?[")):
        found = store.glob(inside)
    elif is_web(pattern):
        found = [inside]  # reading it will show whether it exists
    elif store.isdir(inside):
        found = [
            entry["name"] for entry in store.ls(inside, detail=True) if entry["type"] == "file"
        ]
    else:
        found = [inside] if store.exists(inside) else []
    _, place, user = _parts(whole(pattern))
    if pattern.partition("://")[0].lower() in _HOSTLESS:
        found = [place.replace("://", f"://{user}", 1) + name for name in found]
    else:
        found = [store.unstrip_protocol(name) for name in found]
    return sorted((remember(str(name)) for name in found), key=natural)


@_with_retries
def fingerprint(path: str) -> str:
    """Return a string that changes when a file changes.

    For a local file it has the size, the modification time, and a digest of 16 evenly spaced pieces
    of 64 KiB including the first and the last (of all bytes up to 1 MiB); `Digest` appends a digest
    of the whole file after it was read. For a remote file it has the size and ETag or time.
    """
    if not is_remote(path):
        status = os.stat(path)
        return f"{status.st_size}:{status.st_mtime_ns}:{_sample(path, status.st_size)}"
    store, inside = file_system(path)
    facts = store.info(inside)
    tags = (facts.get(name) for name in ("ETag", "etag", "LastModified", "mtime", "updated", "oid"))
    return ":".join(str(value) for value in (facts.get("size"), *tags) if value is not None)


def whole_fingerprint(path: str) -> str:
    """Return a file's fingerprint, including a digest of all its bytes if it is local."""
    return Digest(path).added_to(fingerprint(path))


@_with_retries
def unchanged(path: str, recorded: str) -> bool:
    """Whether a file still matches a recorded fingerprint, regardless of its path.

    A local file of the same size and time matches. If only the time differs, as for a copy, all of
    its bytes are compared by digest if the fingerprint has one; that reads the file once.
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


def parts_of_local(recorded: str) -> tuple[int, str, str, str] | None:
    """Return size, time, digest of pieces and digest of all bytes in a local fingerprint.

    Unknown ones are empty. None if it is not the fingerprint of a local file.

    Examples
    --------
    >>> parts_of_local("5:17000:00112233445566aa")
    (5, '17000', '00112233445566aa', '')
    """
    parts = _LOCAL.fullmatch(recorded)
    return parts and (int(parts[1]), parts[2], parts[3] or "", parts[4] or "")


def alike(one: str, other: str) -> bool:
    """Whether two fingerprints agree as far as they can be compared, without reading files."""
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
    """Return the digest of all of a file, cached until the file changes."""
    return Digest(path).added_to("").removeprefix(":")


@_with_retries
def size_of(path: str) -> int:
    """Return a file's size in bytes; 0 if a store does not report it."""
    if not is_remote(path):
        return os.stat(path).st_size
    store, inside = file_system(path)
    return int(store.info(inside).get("size") or 0)


@_with_retries
def upload(path: str, local: Path) -> None:
    """Upload a local file to a remote path."""
    store, inside = file_system(path)
    store.put_file(str(local), inside)


@_with_retries
def download(path: str, local: Path) -> None:
    """Download a remote file under a temporary name, then rename it."""
    store, inside = file_system(path)
    local.parent.mkdir(parents=True, exist_ok=True)
    beside = local.with_name(f".{local.name}.part")
    store.get_file(inside, str(beside))
    put_in_place(beside, str(local))


def put_in_place(beside: Path, target: str) -> None:
    """Move a finished file to its target atomically and durably.

    A local file is synced and renamed, and its folder synced; a remote target is uploaded.

    Parameters
    ----------
    beside : Path
        The finished file, on the same file system as a local target; it is removed.
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


@_with_retries
def remove(path: str) -> None:
    """Delete a file."""
    if is_remote(path):
        store, inside = file_system(path)
        store.rm_file(inside)
    else:
        os.unlink(path)


def refuse_inputs(outputs: Iterable[str | None], inputs: Iterable[str | None]) -> None:
    """Refuse to overwrite input files, comparing resolved paths.

    Raises
    ------
    ConfigError
        For the first file that would be overwritten.
    """
    read = {os.path.realpath(path) for path in inputs if path}
    for path in outputs:
        if path and os.path.realpath(path) in read:
            raise ConfigError(f"{path}: is an input and would be overwritten; choose another name")


def make_folder(folder: str, kind: type[Mmc4vizError]) -> None:
    """Create a local folder and its parents; raise an error of a kind if that fails."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise kind(f"{folder}: cannot be created: {error.strerror}") from None


@contextmanager
def locked(path: Path, busy: Mmc4vizError) -> Iterator[None]:
    """Hold a lock file, which also the end of the process releases.

    Raises
    ------
    Mmc4vizError
        ``busy``, if another process holds it; one of its kind, if the lock cannot be written.
    """
    from filelock import FileLock, Timeout  # imported late to start faster

    lock = FileLock(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise busy from None
    except OSError as error:
        reason = error.strerror or error
        raise type(busy)(f"{path.parent}: cannot be written: {reason}") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing, which replaces the target only when complete.

    Temporary files of killed runs are removed.

    Raises
    ------
    ConfigError
        When it cannot be written.
    """
    beside = f"{path}.part-{os.getpid()}"
    try:
        _clear(path)
        with open(beside, "wb") as file:
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        put_in_place(Path(beside), path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be written: {reason}") from None
    finally:
        if os.path.lexists(beside):
            os.unlink(beside)


def _clear(path: str) -> None:
    """Remove abandoned temporary files, which are no longer locked by a process."""
    for left in glob.glob(f"{glob.escape(path)}.part-*"):
        with suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(left)
