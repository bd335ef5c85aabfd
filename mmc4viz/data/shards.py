"""Read samples from tar and JSONL shards: stream a whole shard, or fetch one sample by its place.

Samples are bytes of JSON, parsed by `mmc4viz.loader.parse`.
"""

from __future__ import annotations

import bz2
import errno
import glob
import gzip
import io
import json
import lzma
import math
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, Self, cast

import braceexpand

from mmc4viz.data import recognise
from mmc4viz.data.storage import (
    is_remote,
    is_web,
    listing,
    natural,
    open_for_reading,
    read_range,
    refuse_alike,
    remember,
    whole,
    without_secrets,
)
from mmc4viz.loader.images import Embedded, Folder, ImageSource, limit_bytes, words
from mmc4viz.loader.parse import NO_JSON
from mmc4viz.text import storable
from mmc4viz.types import ConfigError, ShardError

MOST_HEADER: Final = 1 << 18
"""Maximum size of one member's headers, including long names and sparse file maps."""

_MOST_NAME: Final = 8192  # twice the limit of file systems
_MOST_BYTES: Final = 1 << 62  # of a seekable file
_RECORD: Final = re.compile(rb"(\d{1,9}) [^=]+=")
_DIGITS: Final = re.compile(rb"\d{1000}")  # on which tarfile's patterns take quadratic time
_TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError)


class _Header:
    """Limits how much is read from a tar for one member's headers."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_HEADER
        self._ahead = b""

    def read(self, size: int) -> bytes:
        """Read up to the limit; raises an OverflowError beyond it."""
        if self._ahead:
            found, self._ahead = self._ahead, b""
            return found
        if not 0 <= size <= self._left:
            raise OverflowError
        self._left -= size
        return self._file.read(size)

    def look_ahead(self, size: int) -> bytes:
        """Read bytes that the next call of `read` returns again."""
        self._ahead = self.read(size)
        return self._ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class StrictHeader(tarfile.TarInfo):
    """A tar header that reports every kind of damage, including a missing end-of-archive marker."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the next header."""
        file: Any = tar.fileobj
        if isinstance(file, _Header):  # the header that follows one with a long name or the like
            return super().fromtarfile(tar)
        tar.fileobj = _Header(file)
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # the classes are private in tarfile
            if kind == "EOFHeaderError":
                raise
            what = "not a tar" if not tar.offset else f"no tar header at byte {tar.offset}"
            if kind == "EmptyHeaderError":
                what = "no end-of-archive marker, so the file may be truncated"
                what = what if tar.offset else "the file is empty"
            raise tarfile.ReadError(what) from None
        except _TAR_ERRORS:
            raise
        except Exception:  # a malicious header makes tarfile raise almost anything
            raise tarfile.ReadError(f"damaged tar header at byte {tar.offset}") from None
        finally:
            tar.fileobj = file

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if self.type == tarfile.XGLTYPE and isinstance(tar, StrictTar):
            tar.of_all_members += self.size
            if tar.of_all_members > MOST_HEADER:
                raise OverflowError
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _proc_pax(self, tar: tarfile.TarFile) -> Self:
        """Refuse records that would take tarfile excessive time or memory."""
        size = self._block(self.size)  # type: ignore[attr-defined]
        records = cast(_Header, tar.fileobj).look_ahead(size)[: self.size]
        at = 0
        while at < len(records):
            found = _RECORD.match(records, at)
            end = at + int(found[1]) if found else 0
            if found is None or found.end() > end or records[end - 1 : end] != b"\n":
                raise ValueError
            at = end
        if _DIGITS.search(records):
            raise ValueError
        return super()._proc_pax(tar)  # type: ignore[misc, no-any-return]


def _as_end(error: OSError) -> Exception:
    """Turn the error for an offset beyond the file system's limit into one for a truncated file."""
    beyond = error.errno == errno.EINVAL
    return tarfile.ReadError("unexpected end of data") if beyond else error


class StrictTar(tarfile.TarFile):
    """An uncompressed tar, read in order, in which all damage raises a `tarfile.TarError`.

    Members are not stored. If `next` returns a damaged member, the following call raises.
    """

    tarinfo = StrictHeader
    of_all_members = 0  # bytes of global headers
    _last: tarfile.TarInfo | None = None

    def next(self) -> tarfile.TarInfo | None:
        """Return the next member; None at the end of the archive."""
        self.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
        last, self._last = self._last, None
        if last is not None and last is not cast(Any, self).firstmember and last.size < 0:
            raise tarfile.ReadError(f"member of negative size at byte {last.offset}")
        try:
            member = super().next()
        except OSError as error:
            raise _as_end(error) from None
        if self.offset > _MOST_BYTES or (member and member.size > _MOST_BYTES):
            raise tarfile.ReadError("unexpected end of data")
        if member is not None and len(member.name) > _MOST_NAME:
            raise tarfile.ReadError(f"damaged tar header at byte {member.offset}")
        self._last = member
        return member

    def check_end(self, member: tarfile.TarInfo) -> None:
        """Verify that the file contains a whole member, without reading it."""
        file = cast(IO[bytes], self.fileobj)
        try:
            file.seek(member.offset_data + member.size - 1)
            there = file.read(1)
        except OSError as error:
            raise _as_end(error) from None
        if not there:
            raise tarfile.ReadError("unexpected end of data")


LINES: Final = (".jsonl", ".jsonl.gz", ".jsonl.bz2", ".jsonl.xz", ".jsonl.zip", ".zip")
SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", *LINES)
LIMIT: Final = "MMC4VIZ_MAX_DOCUMENT_MB"
"""Environment variable for the maximum size of a document in MB."""
OVER_LIMIT: Final = "MB exceeds the limit of"
"""Part of the error message for a document that is too large."""
_PACKED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zip")
_LIMIT_MB: Final = 256  # 117 images, the most in MMC4, at 1.6 MB each and as base64
_MOST_NAMES: Final = 1_000_000  # in one brace expansion
_DEEPEST: Final = 20  # nesting of braces
_EXAMINED: Final = 20  # samples examined to recognize another format
_EXAMINED_BYTES: Final = 1 << 25
_CHUNK: Final = 1 << 20
_SAMPLE_NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_PASSED_OVER = re.compile(r"__[^/]*__($|/)")
_BRACES = re.compile(r"\\.|[{},]", re.DOTALL)
_RANGE = re.compile(r"(-?[0-9]+|[A-Za-z])\.\.(-?[0-9]+|[A-Za-z])(?:\.\.-?([0-9]+))?")
_FIRST_DOT: Final = (
    "the loader (webdataset) ends a key at the first dot of a name and reads only '.json'"
)
_IMAGE_MEMBERS: Final = {"jpg", "jpeg", "png", "webp"}


class ShardFormat(StrEnum):
    """The format of a shard."""

    TAR = "tar"
    JSONL = "jsonl"


def _without_query(path: str) -> str:
    return re.split("[?#]", path, maxsplit=1)[0] if is_web(path) else path


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of a corpus.

    Attributes
    ----------
    path : str
        Without secrets in a URL.
    position : int
        Position in the list of shards.
    name : str
        The shortest end of the path that is unique in the corpus (`named`); by default the base
        name.
    """

    path: str
    position: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", remember(self.path))
        if not self.name:
            object.__setattr__(self, "name", self.base)

    def __reduce__(self) -> tuple[type[Self], tuple[str, int, str]]:
        return type(self), (whole(self.path), self.position, self.name)

    @property
    def base(self) -> str:
        """The base name; for a web address without its query."""
        return os.path.basename(_without_query(self.path))

    def called(self) -> list[str]:
        """Return the ends of the path that identify this shard in its corpus.

        Examples
        --------
        >>> Shard("/a/b/0.tar", name="b/0.tar").called()
        ['b/0.tar', 'a/b/0.tar', '/a/b/0.tar']
        """
        parts = _steps(self.path)
        ends = ["/".join(parts[n:]) for n in reversed(range(len(parts)))]
        ends = [end for end in ends if len(end) >= len(self.name)]
        return ends if self.path in ends else [*ends, self.path]

    @property
    def layout(self) -> ShardFormat:
        """The format according to the name: MMC4's own JSONL, or a tar."""
        return ShardFormat.JSONL if self.base.lower().endswith(LINES) else ShardFormat.TAR


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample's JSON bytes and their place in the shard.

    Attributes
    ----------
    key : str
    raw : bytes or None
        None for a sample without a ``json`` member, or with one that is too large (``why``).
    offset, size : int
        In bytes of the decompressed shard; offset -1 if ``raw`` is None.
    suffixes : tuple of str
        Suffixes of its other members in a tar.
    why : str
        Why ``raw`` is None.
    """

    key: str
    raw: bytes | None
    offset: int = -1
    size: int = 0
    suffixes: tuple[str, ...] = ()
    why: str = NO_JSON


def is_packed(path: str) -> bool:
    """Whether a shard is compressed, so that reading one document means reading all before it."""
    return _without_query(path).lower().endswith(_PACKED)


def expand(patterns: Iterable[str]) -> list[Shard]:
    """Expand braces, globs and folders to shards; folders and globs in natural order.

    Hidden files in folders or matched by globs are skipped.

    Raises
    ------
    ShardError
        When a pattern matches nothing or expands to more than a million names, or a shard is listed
        twice.

    Examples
    --------
    >>> expand(["nowhere-{0..1}.tar"])
    Traceback (most recent call last):
    ...
    mmc4viz.types.ShardError: nowhere-0.tar: shard not found
    """
    refuse_alike(patterns := list(patterns))
    paths = [path for pattern in patterns for path in _expand_one(pattern)]
    twice = next((path for path, n in Counter(map(_whole, paths)).items() if n > 1), None)
    if twice is not None:
        raise ShardError(f"{twice}: listed twice; list each shard once")
    return named(paths)


def named(paths: Iterable[str]) -> list[Shard]:
    """Return the shards of a corpus, each named by the shortest unique end of its path.

    Examples
    --------
    >>> [shard.name for shard in named(["/x/a/0.tar", "/x/b/0.tar", "/x/b/1.tar"])]
    ['a/0.tar', 'b/0.tar', '1.tar']
    """
    found = [Shard(path, position) for position, path in enumerate(paths)]
    again = Counter(shard.base for shard in found)
    left = {at: _steps(shard.path) for at, shard in enumerate(found) if again[shard.base] > 1}
    length = 2
    while left:
        ends = {at: "/".join(parts[-length:]) for at, parts in left.items()}
        again = Counter(ends.values())
        for at, end in ends.items():
            if again[end] == 1 or length >= len(left[at]):
                found[at] = replace(found[at], name=end)
                del left[at]
        length += 1
    return found


def _steps(path: str) -> list[str]:
    return _whole(_without_query(path)).split("/")


def _whole(path: str) -> str:
    return path if is_remote(path) else os.path.abspath(path)


def _expand_one(pattern: str) -> list[str]:
    if os.path.isfile(pattern):
        return [pattern]
    if (count := _names_in_braces(pattern)) > _MOST_NAMES:
        shown = "" if count >= 10**15 else f" ({count:,})"
        raise ShardError(f"{pattern[:200]}: the braces expand to more than a million names{shown}")
    try:
        names = list(braceexpand.braceexpand(pattern)) if "{" in pattern else [pattern]
    except (ValueError, RecursionError):
        shown = without_secrets(pattern)[:200]
        raise ShardError(f"{shown}: unbalanced braces") from None
    refuse_alike(names)
    return [path for name in map(remember, names) for path in _matches(name)]


def _names_in_braces(pattern: str) -> int:
    """Count the names in a pattern's brace expansion without expanding it.

    Examples
    --------
    >>> _names_in_braces("{0..9}/{a,b,c{1..3}}.tar")
    50
    """
    # Per open group: names of the current alternative, names of those before it, start of the
    # group, and names of the group if its braces turn out to be literal.
    groups = [[1, 0, 0, 1]]
    for match in _BRACES.finditer(pattern):
        if match[0] == "{":
            groups.append([1, 0, match.end(), 1])
            if len(groups) > _DEEPEST:
                raise ShardError(f"{pattern[:200]}: braces are nested too deeply")
        elif len(groups) > 1 and match[0] == ",":
            groups[-1][:2] = 1, groups[-1][0] + groups[-1][1]
        elif len(groups) > 1 and match[0] == "}":
            last, before, begin, _ = groups.pop()
            within = _RANGE.fullmatch(pattern, begin, match.start())
            names = last + before if within is None else _length(*within.groups())
            groups[-1][0] *= names
            groups[-1][3] *= names
    return math.prod(group[3] for group in groups)  # braces still open are literal


def _length(first: str, last: str, step: str | None) -> int:
    """Count the names in a range."""
    if max(map(len, (first, last, step or ""))) > 18:
        return 10**18
    ends = [ord(end) if end.isalpha() else int(end) for end in (first, last)]
    return abs(ends[1] - ends[0]) // (int(step or 1) or 1) + 1


def _matches(name: str) -> list[str]:
    """Return the files of a name, folder or glob."""
    if is_web(name) and not glob.has_magic(_without_query(name)):
        return [name]  # reading it will show whether it exists
    if is_remote(name):
        found, problem = listing(name), f"{name}: no shard found"
        if found != [name]:
            found = _shown(found, name)
            found = [path for path in found if Shard(path).name.lower().endswith(SUFFIXES)]
    elif os.path.isdir(name):
        inside = sorted((str(path) for path in Path(name).iterdir() if path.is_file()), key=natural)
        found = [path for path in _shown(inside, name) if path.lower().endswith(SUFFIXES)]
        problem = f"{name}: no shards in this folder ({' '.join(SUFFIXES)})"
    elif glob.has_magic(name) and not os.path.exists(name):
        inside = sorted(filter(os.path.isfile, glob.glob(name)), key=natural)
        inside = _shown(inside, name)
        found = [path for path in inside if path.lower().endswith(SUFFIXES)] or inside
        problem = f"{name}: matches no shard"
    else:
        found, problem = [name] * os.path.isfile(name), f"{name}: shard not found"
    if not found:
        raise ShardError(problem)
    return found


def _shown(paths: list[str], pattern: str) -> list[str]:
    """Skip hidden files (incomplete, or another program's) unless a glob asks for them."""
    if os.path.basename(pattern).startswith("."):
        return paths
    return [path for path in paths if not os.path.basename(path).startswith(".")]


def image_source(shard: Shard, image_dir: str | None = None) -> ImageSource:
    """Return the image source of a shard: the shard itself, or a folder for MMC4's own JSONL."""
    if shard.layout is ShardFormat.TAR:
        return Embedded()
    if (found := images_of(shard, image_dir)) is None:
        return Embedded(sizes_unknown=True)
    folder = Path(found)
    return Folder((folder / str(shard.position), folder / downloaded_to(shard), folder))


def images_of(shard: Shard, image_dir: str | None = None) -> str | None:
    """Return the given image folder, or else the one of MMC4's own downloader, if it exists."""
    if image_dir is not None or shard.layout is ShardFormat.TAR or is_remote(shard.path):
        return image_dir
    beside = os.path.join(os.path.dirname(os.path.abspath(shard.path)), downloaded_to(shard))
    return beside if os.path.isdir(beside) else None


def downloaded_to(shard: Shard) -> str:
    """Return the name of the folder to which MMC4's own downloader writes a shard's images.

    Examples
    --------
    >>> downloaded_to(Shard("data/docs_shard_0.jsonl.zip"))
    'docs_shard_0_images'
    """
    return re.sub(r"\.(jsonl(\.(gz|zip))?|zip)$", "", shard.base, flags=re.IGNORECASE) + "_images"


def _too_large(size: int, limit: int) -> str:
    return f"its size of {size / 1e6:,.0f} {OVER_LIMIT} {limit / 1e6:,.0f} MB: raise {LIMIT}"


def samples(shard: Shard, notes: list[str] | None = None) -> Iterator[Sample]:
    """Stream a shard's samples.

    Parameters
    ----------
    shard : Shard
    notes : list of str, optional
        Receives notes on what is not read, one line each.

    Yields
    ------
    Sample
        In shard order.

    Raises
    ------
    ShardError
        When the shard cannot be read or does not hold MMC4 documents; if reading fails midway,
        after the samples before that point.
    """
    read = _tar_samples if shard.layout is ShardFormat.TAR else _line_samples
    lines: list[str] = []
    count = 0
    try:
        for sample in _recognised(shard, read(shard, lines), lines):
            yield sample
            count += 1
    except (ShardError, ConfigError):
        raise
    except Exception as error:  # malicious bytes make the standard library raise almost anything
        documents = "document" if count == 1 else "documents"
        what = f"reading failed after {count:,} {documents}" if count else "cannot be read"
        raise ShardError(f"{shard.path}: {what}: {reason(error)}") from None
    finally:
        if notes is not None:
            notes += [f"{shard.name}: {line}" for line in lines]


def reason(error: Exception) -> str:
    """Return in one line why a shard cannot be read further."""
    return "not enough memory" if isinstance(error, MemoryError) else words(error)


def _recognised(shard: Shard, found: Iterator[Sample], notes: list[str]) -> Iterator[Sample]:
    """Refuse a shard whose first samples all have another known format.

    Raises
    ------
    ShardError
        Says what the shard looks like, and what mmc4viz reads.
    """
    first: list[Sample] = []
    broken: Exception | None = None
    left, ordinary = _EXAMINED_BYTES, False
    try:
        for sample in found:
            first.append(sample)
            left -= sample.size
            ordinary = recognise.is_mmc4(sample.raw)
            if ordinary or len(first) == _EXAMINED or left < 0:
                break
    except (ShardError, ConfigError):
        raise
    except Exception as error:
        broken = error
    if not ordinary:
        looks = _looks_like(shard, first, broken)
        if looks is not None:
            raise ShardError(f"{shard.path}: looks like {looks}; {recognise.READ}")
    elif not _IMAGE_MEMBERS.isdisjoint(first[-1].suffixes) and b'"image_base64"' not in (
        first[-1].raw or b""
    ):
        notes.append(
            "images stored as members of the tar are ignored: the loader reads only those in "
            "image_base64"
        )
    yield from first
    if broken is not None:
        raise broken
    yield from found


def _looks_like(shard: Shard, first: list[Sample], broken: Exception | None) -> str | None:
    """Describe a shard none of whose samples is an MMC4 document; None if not recognized."""
    seen = [(s.raw, s.suffixes) for s in first if s.raw is not None or s.why == NO_JSON]
    if (looks := recognise.of_samples(seen)) is not None:
        return looks
    lines = shard.layout is ShardFormat.JSONL
    if not lines and (first or broken is None):
        return None  # a tar with other content
    head = b""
    with suppress(Exception), decompressed(shard) as stream:
        head = stream.read(recognise.HEAD)
    return recognise.of_head(head, lines=lines)


def fetch(shard: Shard, offset: int, size: int) -> bytes:
    """Fetch one sample's JSON bytes by its place.

    Raises
    ------
    ShardError
        When the shard cannot be read or has become shorter.
    """
    if size > (limit := limit_bytes(LIMIT, _LIMIT_MB)):
        raise ShardError(f"{shard.path}: {_too_large(size, limit)}")
    try:
        with decompressed(shard) as stream:
            packed = not isinstance(stream, io.BufferedReader)
            raw = _read_at(stream, offset, size) if packed else None
        if raw is None:
            raw = read_range(shard.path, offset, size)
    except ShardError:
        raise
    except Exception as error:  # as in `samples`
        raise ShardError(f"{shard.path}: cannot be read: {reason(error)}") from None
    if len(raw) != size:
        raise ShardError(f"{shard.path}: has been truncated since it was first read")
    return raw


def fetch_all(shard: Shard, places: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Fetch the JSON bytes of several samples in one pass.

    Parameters
    ----------
    shard : Shard
    places : iterable of (int, int)
        Offset and size of each; ascending, as a compressed shard is read once from the start.

    Raises
    ------
    ShardError
        When the shard cannot be read or has become shorter.
    """
    try:
        with decompressed(shard) as stream:
            for offset, size in places:
                raw = _read_at(stream, offset, size)
                if len(raw) != size:
                    raise ShardError(f"{shard.path}: has been truncated since it was first read")
                yield raw
    except ShardError:
        raise
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise ShardError(f"{shard.path}: cannot be read: {reason(error)}") from None


def _read_at(stream: IO[bytes], offset: int, size: int) -> bytes:
    """Read from a compressed shard at an offset."""
    stream.seek(offset)
    return stream.read(size)


def _tar_samples(shard: Shard, notes: list[str]) -> Iterator[Sample]:
    """Group a tar's members as webdataset does: consecutive, same key, no repeated suffix."""
    key: str | None = None
    json_: Sample | None = None
    suffixes: list[str] = []
    broken: Exception | None = None
    members = _members(shard, notes)
    while True:
        try:
            found, suffix, sample = next(members)
        except StopIteration:
            break
        except Exception as error:
            broken = error
            break
        if key is None or found != key or suffix in suffixes:
            if key is not None:
                yield _grouped(key, json_, suffixes, notes)
            key, json_, suffixes = found, None, []
        suffixes.append(suffix)
        json_ = sample or json_
    if key is not None:
        yield _grouped(key, json_, suffixes, notes)
    if broken is not None:
        raise broken


def _grouped(key: str, json_: Sample | None, suffixes: list[str], notes: list[str]) -> Sample:
    """Return a sample with the suffixes of its members; without JSON, note a likely reason."""
    if json_ is None:
        meant = (s for s in suffixes if not {"json", "jsonl"}.isdisjoint(s.split(".")))
        if (suffix := next(meant, None)) and not any(_FIRST_DOT in note for note in notes):
            name = f"{key}.{suffix}"[:100]
            notes.append(f"members with names like {name!r} are ignored: {_FIRST_DOT}")
        return Sample(key, None, suffixes=tuple(suffixes))
    if len(suffixes) == 1:
        return json_
    beside = tuple(suffix for suffix in suffixes if suffix != "json")
    return replace(json_, suffixes=beside)


def _members(shard: Shard, notes: list[str]) -> Iterator[tuple[str, str, Sample | None]]:
    """Yield the key, the suffix and, for the suffix ``json``, the sample of each file in a tar."""
    limit = limit_bytes(LIMIT, _LIMIT_MB)
    with decompressed(shard) as packed:
        stream = cast(IO[bytes], _Forward(packed)) if is_remote(shard.path) else packed
        tar = StrictTar(fileobj=stream)
        while (member := tar.next()) is not None:
            match = _SAMPLE_NAME.match(member.name)
            if not member.isreg() or match is None or _PASSED_OVER.match(member.name):
                continue
            key, suffix = storable(match.group(1)), match.group(2).lower()
            if suffix != "json":
                yield key, suffix, None
            elif member.size > limit:
                if member.sparse is None:
                    tar.check_end(member)
                yield key, suffix, _unread(key, member.size, limit, notes)
            else:
                raw = _contents(tar, member)
                yield key, suffix, Sample(key, raw, member.offset_data, len(raw))
        if _more_follows(stream):
            notes.append("data after the end of the tar is ignored, as in the loader (webdataset)")


def _unread(key: str, size: int, limit: int, notes: list[str]) -> Sample:
    """Return a sample for a document above the size limit, and add a note."""
    note = (
        f"documents above the limit of {limit / 1e6:,.0f} MB are not read and count as unreadable, "
        f"although the loader would read them: raise {LIMIT}"
    )
    if note not in notes:
        notes.append(note)
    return Sample(key, None, why=_too_large(size, limit))


def _contents(tar: StrictTar, member: tarfile.TarInfo) -> bytes:
    """Read a member in pieces, because the size in its header may be wrong."""
    if member.sparse is not None:
        file = cast(IO[bytes], tar.extractfile(member))
    else:
        file = cast(IO[bytes], tar.fileobj)
        file.seek(member.offset_data)
    pieces, left = [], member.size
    while left > 0:
        pieces.append(file.read(min(left, _CHUNK)))
        left -= len(pieces[-1])
        if not pieces[-1]:
            raise tarfile.ReadError("unexpected end of data")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _more_follows(stream: IO[bytes]) -> bool:
    """Whether there is anything but padding shortly after the end of a tar."""
    with suppress(Exception):  # errors there do not matter
        return bool(stream.read(_CHUNK).strip(b"\0"))
    return False


class _Forward:
    """A non-seekable stream that supports seeking forward."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._at = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int) -> int:
        if offset < self._at:
            raise tarfile.StreamError("seeking backwards is not allowed")
        while offset > self._at and self.read(min(offset - self._at, _CHUNK)):
            pass
        return self._at


def _line_samples(shard: Shard, notes: list[str]) -> Iterator[Sample]:
    """Yield each line of a JSONL shard as a sample, keyed by its number from 0."""
    limit = limit_bytes(LIMIT, _LIMIT_MB)
    offset, number, line = 0, 0, b""
    with decompressed(shard, notes) as stream:
        while piece := stream.readline(limit + 1):
            line, size = piece, len(piece)
            if size <= limit:
                yield Sample(str(number), line, offset, size)
            else:
                while piece and not piece.endswith(b"\n"):
                    piece = stream.readline(_CHUNK)
                    size += len(piece)
                line = piece
                yield _unread(str(number), size, limit, notes)
            offset += size
            number += 1
    if not offset:
        raise EOFError("the file is empty")
    if line and not line.endswith(b"\n") and not _is_json(line):
        raise EOFError("the last line is not complete JSON, so the file may be truncated")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


@contextmanager
def decompressed(shard: Shard, notes: list[str] | None = None) -> Iterator[IO[bytes]]:
    """Open a shard as a stream of its decompressed bytes, detecting the compression."""
    with open_for_reading(shard.path) as file:
        magic = file.peek(6)[:6]
        if magic.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                yield cast(IO[bytes], stream)
        elif magic.startswith(b"BZh"):
            with bz2.BZ2File(file) as unpacked:
                yield cast(IO[bytes], unpacked)
        elif magic == b"\xfd7zXZ\0":
            with lzma.LZMAFile(file) as expanded:
                yield cast(IO[bytes], expanded)
        elif magic.startswith(b"PK") and shard.layout is ShardFormat.JSONL:
            with (
                _seekable(file) as whole,
                zipfile.ZipFile(whole) as archive,
                archive.open(_member_of(archive, [] if notes is None else notes)) as inner,
            ):
                yield inner
        else:
            yield file


def _member_of(archive: zipfile.ZipFile, notes: list[str]) -> str:
    """Choose the file to read in a zip: the first, or the first .jsonl if that is a folder."""
    names = archive.namelist()
    files = [name for name in names if not name.endswith("/")]
    if not files:
        raise zipfile.BadZipFile("the zip contains no file")
    chosen = files[0]
    if names[0] != chosen:
        chosen = next((name for name in files if name.lower().endswith(".jsonl")), chosen)
        notes.append(
            f"only {chosen[:100]!r} is read; the zip begins with the folder {names[0][:100]!r}, so "
            "OpenFlamingo's converter would read nothing: zip the file without folders"
        )
    elif len(files) > 1:
        notes.append(
            f"only {chosen[:100]!r} of the zip's {len(files):,} files is read, as by "
            "OpenFlamingo's converter"
        )
    return chosen


@contextmanager
def _seekable(file: io.BufferedReader[Any]) -> Iterator[IO[bytes]]:
    """Return a seekable file for a zip, copied if necessary."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield copy
