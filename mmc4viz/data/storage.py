"""Files, local or remote: open, list, fingerprint, write whole.

Remote paths (``s3://``, ``gs://``, ``https://``, ``hf://`` …) go through fsspec, whose stores are
extras. What fails in passing is tried again. Users, passwords and queries of urls stay in memory,
for fetching alone. Knows nothing of what the files hold.
"""

from __future__ import annotations

import fcntl
import glob
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

from mmc4viz.types import ConfigError, ShardError

P = ParamSpec("P")
R = TypeVar("R")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
_PIECE, _PIECES = 1 << 16, 16  # bytes, and how often, that stand for a file
_LOCAL = re.compile(r"(\d+):(\d+)(?::([0-9a-f]{16}))?(?::([0-9a-f]{32}))?")
_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\"<>]+", re.IGNORECASE)
_QUERY = re.compile(r"\?[\w.~%-]+=")  # elsewhere a question mark stands for a character
_NO_USER = {"abfs", "abfss", "adl", "az", "git", "github", "wasb", "wasbs"}  # a place before the @
_HOSTLESS = {"arrow_hdfs", "ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs"}  # tell paths without it
_BLOCK = 8 << 20  # bytes that one request fetches
_CHUNK = 1 << 20  # bytes that are asked of a stream at once
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http",
           "hf": "hf"}  # fmt: skip
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # what a server answers that may do better soon
_DROPPED = {  # what stores' clients raise when a connection fails
    "ClientConnectionError", "ClientPayloadError", "HTTPClientError", "Timeout", "TransportError",
}  # fmt: skip
_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try
_LONGEST = 60.0  # that a server may ask to wait
_NOT_THERE = "not there"
_sleep = time.sleep


class NotThereError(ShardError):
    """A file that surely is not there, as against one that cannot be reached."""


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


def without_secrets(url: str) -> str:
    """Return a path as it may be shown and recorded: without user, password and query.

    Examples
    --------
    >>> without_secrets("https://me:pw@host/a.tar?X-Amz-Signature=1f")
    'https://host/a.tar'
    >>> without_secrets("s3://bucket/shard-?.tar")
    's3://bucket/shard-?.tar'
    """
    return "::".join(_parts(piece)[0] for piece in url.split("::"))


def _parts(url: str) -> tuple[str, str, str]:
    """Return a url without secrets, its place on the network, and its user with the ``@``."""
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


_WHOLE: dict[str, str] = {}  # paths without secrets → as they were named
_USERS: dict[str, str] = {}  # places on the network → likewise


def remember(url: str) -> str:
    """Return a path without its secrets, which this process keeps in memory for fetching alone."""
    shown = without_secrets(url)
    if shown != url:
        _WHOLE[shown] = url
        _, place, user = _parts(url)
        if user:
            _USERS[place] = user
    return shown


def whole(path: str) -> str:
    """Return a path with the secrets that it was named with; of one within a place, its user."""
    if path in _WHOLE or not is_remote(path):
        return _WHOLE.get(path, path)
    _, place, user = _parts(path)
    known = "" if user else _USERS.get(place, "")
    protocol = _URL.match(path)
    assert protocol is not None
    return f"{protocol.group()}{known}{path[protocol.end() :]}"


def users() -> dict[str, str]:
    """Return the users that were named, for another process; `remember_users` takes them there."""
    return dict(_USERS)


def remember_users(known: dict[str, str]) -> None:
    """Take in what `users` returned."""
    _USERS.update(known)


def refuse_alike(urls: Iterable[str]) -> None:
    """Refuse urls that differ in what is not kept of them.

    Raises
    ------
    ShardError
        With the first of them.
    """
    seen: dict[str, str] = {}
    for url in urls:
        shown = without_secrets(url)
        if seen.setdefault(shown, url) != url:
            raise ShardError(
                f"{shown}: named with two different users or queries, which are not kept as part "
                "of a name; give these shards different paths"
            )


def _in_words(function: Callable[P, R]) -> Callable[P, R]:
    """Try again what fails in passing; turn whatever a store raises into a `ShardError`.

    Its one line begins with the path, the function's first argument.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        path = str(args[0])
        for tries in count(1):
            try:
                return function(*args, **kwargs)
            except ShardError:
                raise
            except Exception as error:  # every store has its own kinds
                if not _waited(error, tries):
                    reason = _reason(error, path)
                    kind = NotThereError if reason == _NOT_THERE else ShardError
                    raise kind(f"{without_secrets(path)}: {reason}") from None
        raise AssertionError

    return call


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it: stores hide a refusal behind a "not found"."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _status(error: BaseException) -> int | None:
    """Return the status code that a server answered, if it did."""
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
    """Wait before another try, if what failed may pass, and it was not tried often enough."""
    status, chain = _status(error), list(_chain(error))
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    dropped = any(isinstance(one, ConnectionError | TimeoutError) for one in chain)
    if not (status in _PASSING if status else dropped or kinds & _DROPPED):
        return False
    nobody = any(isinstance(one, ConnectionRefusedError | socket.gaierror) for one in chain)
    if tries > (len(_WAITS) // 2 if nobody else len(_WAITS)):
        return False
    _sleep(min(max(_WAITS[tries - 1], _asked(chain)), _LONGEST))
    return True


def _asked(chain: Iterable[BaseException]) -> float:
    """Return how many seconds a server asks to wait; 0 where it does not."""
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
    """Say in a line what a store complained of and what to do about it."""
    *_, root = chain = list(_chain(error))
    status = _status(error)
    text = scrubbed(" ".join(str(root).split()), path)[:200] or type(root).__name__
    if any(isinstance(one, ImportError) for one in chain):
        extra = _EXTRAS.get(path.partition("://")[0].lower())
        advice = f"pip install 'mmc4viz[{extra}]'" if extra else f"install it: {chain[0]}"
        return f"the package for this kind of store is missing: {advice}"
    if not is_remote(path):
        missing = isinstance(root, FileNotFoundError | NotADirectoryError)
        return _NOT_THERE if missing else getattr(root, "strerror", None) or text
    if status in (401, 403, 407) or any(isinstance(one, PermissionError) for one in chain):
        code = f" ({status})" if status else ""
        return (
            f"the store refuses access{code}; check your credentials, and name the whole url: "
            f"its user, password and signature are never kept ({text})"
        )
    if status in (404, 410) or (status is None and isinstance(root, FileNotFoundError)):
        return _NOT_THERE
    if status is not None:
        return f"the store answers {status}: {text}"
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return "cannot be reached: the connection is refused"
    if any(type(one).__name__ == "ClientPayloadError" for one in chain):
        return "the connection was dropped"
    return f"cannot be reached: {text}"


def scrubbed(text: str, path: str = "") -> str:
    """Return a store's words without the secrets of any url in it, and of a path."""
    text = _IN_TEXT.sub(lambda found: without_secrets(found.group()), text)
    named = whole(path)
    for piece in named.split("::"):
        shown, _, user = _parts(piece)
        query = piece.partition("?")[2] if shown != piece else ""
        told = [user[:-1], *user[:-1].split(":")[1:], query]
        told += [value for _, value in parse_qsl(query)]
        told += [pair.partition("=")[2] for pair in query.split("&")]
        for secret in filter(lambda one: len(one) > 3, {*told, *map(unquote, told)}):
            text = text.replace(secret, "…")
    return text


def file_system(path: str) -> tuple[Any, str]:
    """Return a path's file system and the path within it, secrets included where it has any."""
    from fsspec.core import url_to_fs  # brings asyncio along, which local files do without

    return url_to_fs(whole(path))  # type: ignore[no-any-return]


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
        """Add it to a fingerprint of the same file.

        That of a remote one, and of one that cannot be read to its end, stays as it is.
        """
        if is_remote(self.path):
            return known
        buffer = memoryview(bytearray(_CHUNK))
        try:
            with open(self.path, "rb", 0) as file:
                file.seek(self._next)
                while n := file.readinto(buffer):
                    self._digest.update(buffer[:n])
                    self._next += n
        except OSError:
            return known
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
    """A remote file whose every trouble is an OSError in words; a broken stream is taken up."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open_remote(path)
        self._at = self._ahead = 0  # read so far; of these, still to be passed over again

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
            except Exception as error:  # every store has its own kinds
                if not _waited(error, tries):
                    raise OSError(_reason(error, self._path)) from None
                self._take_up()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _take_up(self) -> None:
        """Go on with a web server's stream where it broke off; other stores read any place."""
        if self.seekable():
            return
        before = self._file.r.headers
        mark = before.get("ETag") or before.get("Last-Modified")
        asked = {"Range": f"bytes={self._at}-"} | ({"If-Range": mark} if mark else {})
        if "Content-Encoding" in before or (mark or "").startswith("W/"):
            asked = {}  # of what is packed on its way, no place is known
        self._file.close()
        try:
            self._file = _open_remote(self._path, asked)
        except ShardError as error:
            raise OSError(str(error).removeprefix(f"{self._path}: ")) from None
        now = self._file.r.headers
        if mark != (now.get("ETag") or now.get("Last-Modified")):
            raise OSError("changes while it is read; run again when it is still")
        self._ahead = 0 if self._file.r.status == 206 else self._at

    def close(self) -> None:
        self._file.close()
        super().close()


def is_web(path: str) -> bool:
    """Whether a path is a web server's, which lists no folders and may not seek."""
    return path.startswith(("http://", "https://"))


@_in_words
def _open_remote(path: str, headers: dict[str, str] | None = None) -> Any:
    store, inside = file_system(path)
    if is_web(path):  # a stream: ranges are asked for only to go on
        return store.open(inside, "rb", block_size=0, **({"headers": headers} if headers else {}))
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
    if any(c in pattern for c in ("*[" if is_web(pattern) else "*?[")):
        found = store.glob(inside)
    elif is_web(pattern):
        found = [inside]  # a web server has no folders; whether it is there shows when it is read
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


def refuse_inputs(outputs: Iterable[str | None], inputs: Iterable[str | None]) -> None:
    """Refuse to write a file over one that is read, whatever the two are called.

    Raises
    ------
    ConfigError
        With the first that would be written over.
    """
    read = {os.path.realpath(path) for path in inputs if path}
    for path in outputs:
        if path and os.path.realpath(path) in read:
            raise ConfigError(f"{path}: is read, and would be written over: choose another name")


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its place when all is written.

    What killed runs have left beside it is removed.

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
    """Remove what nobody writes any more: a lock dies with its process."""
    for left in glob.glob(f"{glob.escape(path)}.part-*"):
        with suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(left)
