"""The one reader of shards: tar and MMC4's own jsonl, plain or compressed.

It streams all samples of a shard, or fetches one again by its place. It hands out bytes; what
they mean is the loader wing's affair.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Self, cast

import braceexpand

from mmc4viz.corpus.storage import (
    is_remote,
    listing,
    open_for_reading,
    read_range,
    refuse_alike,
    remember,
    whole,
    without_secrets,
)
from mmc4viz.loader.images import Embedded, Folder, ImageSource, words
from mmc4viz.model import ShardError

SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz",
    ".jsonl", ".jsonl.gz", ".jsonl.zip", ".zip",
)  # fmt: skip
_SAMPLE_NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_PASSED_OVER = re.compile(r"__[^/]*__($|/)")
BROKEN = (  # what a shard that breaks off raises
    tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
    RuntimeError, NotImplementedError, ValueError, IndexError,
)  # fmt: skip


class Layout(StrEnum):
    """How a shard is laid out."""

    TAR = "tar"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard by its path, without a url's secrets, and its position in the list given."""

    path: str
    position: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", remember(self.path))

    def __reduce__(self) -> tuple[type[Self], tuple[str, int]]:
        return type(self), (whole(self.path), self.position)

    @property
    def name(self) -> str:
        """The base name, as ``explain`` prints it."""
        return os.path.basename(self.path)

    @property
    def layout(self) -> Layout:
        """What the name promises: MMC4's own lines, or else a tar."""
        name = self.name.lower()
        lines = name.endswith((".jsonl", ".jsonl.gz", ".zip"))
        return Layout.JSONL if lines else Layout.TAR


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample's JSON bytes and where they lie.

    ``offset`` and ``size`` are in bytes of the decompressed shard; ``raw`` is None and ``offset``
    -1 for a sample without a member ``json``.
    """

    key: str
    raw: bytes | None
    offset: int = -1
    size: int = 0


def expand(patterns: Iterable[str]) -> list[Shard]:
    """Expand braces, globs and folders to shards, in order.

    Raises
    ------
    ShardError
        When a pattern names nothing that is there.

    Examples
    --------
    >>> expand(["nowhere-{0..1}.tar"])
    Traceback (most recent call last):
    ...
    mmc4viz.model.ShardError: nowhere-0.tar: no such shard
    """
    refuse_alike(patterns := list(patterns))
    paths = [path for pattern in patterns for path in _expand_one(pattern)]
    return [Shard(path, position) for position, path in enumerate(paths)]


def _expand_one(pattern: str) -> list[str]:
    if os.path.isfile(pattern):
        return [pattern]
    try:
        names = list(braceexpand.braceexpand(pattern)) if "{" in pattern else [pattern]
    except ValueError:
        raise ShardError(f"{without_secrets(pattern)}: the braces do not match") from None
    refuse_alike(names)
    found = []
    for name in map(remember, names):
        if is_remote(name):
            matches = listing(name)
            if len(matches) > 1 or matches != [name]:
                matches = [path for path in matches if path.lower().endswith(SUFFIXES)]
            problem = f"{name}: no shard there"
        elif os.path.isdir(name):
            inside = sorted(str(path) for path in Path(name).iterdir() if path.is_file())
            matches = [path for path in inside if path.lower().endswith(SUFFIXES)]
            problem = f"{name}: no shards in this folder ({' '.join(SUFFIXES)})"
        elif glob.has_magic(name) and not os.path.exists(name):
            matches, problem = sorted(glob.glob(name)), f"{name}: no shard matches"
        else:
            matches, problem = [name] * os.path.isfile(name), f"{name}: no such shard"
        if not matches:
            raise ShardError(problem)
        found += matches
    return found


def image_source(shard: Shard, image_dir: str | None = None) -> ImageSource:
    """Return where a shard's images come from: itself, or a folder for MMC4's own jsonl."""
    if shard.layout is Layout.TAR:
        return Embedded()
    if image_dir is None:
        return Embedded(sizes_unknown=True)
    folder = Path(image_dir)
    return Folder((folder / str(shard.position), folder))


def samples(shard: Shard) -> Iterator[Sample]:
    """Stream a shard's samples.

    Yields
    ------
    Sample
        In the shard's order.

    Raises
    ------
    ShardError
        When the shard cannot be read, or breaks off; after what came before the break.
    """
    read = _tar_samples if shard.layout is Layout.TAR else _line_samples
    count = 0
    try:
        for sample in read(shard):
            yield sample
            count += 1
    except ShardError:
        raise
    except BROKEN as error:
        what = f"breaks off after {count} documents" if count else "cannot be read"
        raise ShardError(f"{shard.path}: {what}: {words(error)}") from None


def fetch(shard: Shard, offset: int, size: int) -> bytes:
    """Fetch one sample's JSON bytes again by its place.

    Raises
    ------
    ShardError
        When the shard is no longer what it was.
    """
    try:
        with decompressed(shard) as stream:
            packed = not isinstance(stream, io.BufferedReader)
            raw = _read_at(stream, offset, size) if packed else None
        if raw is None:
            raw = read_range(shard.path, offset, size)
    except BROKEN as error:
        raise ShardError(f"{shard.path}: cannot be read: {words(error)}") from None
    if len(raw) != size:
        raise ShardError(f"{shard.path}: shorter than when it was read first")
    return raw


def _read_at(stream: IO[bytes], offset: int, size: int) -> bytes:
    """Read a packed shard up to a place, and there."""
    stream.seek(offset)
    return stream.read(size)


def _tar_samples(shard: Shard) -> Iterator[Sample]:
    """Group a tar's members as webdataset does: same key in a row, no suffix twice."""
    current: Sample | None = None
    suffixes: set[str] = set()
    broken: Exception | None = None
    members = _members(shard)
    while True:
        try:
            key, suffix, sample = next(members)
        except StopIteration:
            break
        except BROKEN as error:
            broken = error
            break
        if current is None or key != current.key or suffix in suffixes:
            if current is not None:
                yield current
            current, suffixes = Sample(key, None), set()
        suffixes.add(suffix)
        current = sample or current
    if current is not None:
        yield current
    if broken is not None:
        raise broken


def _members(shard: Shard) -> Iterator[tuple[str, str, Sample | None]]:
    """Yield key, suffix and, for the suffix ``json``, the sample of each file in a tar."""
    with (
        decompressed(shard) as stream,
        tarfile.open(
            fileobj=stream, mode="r|" if is_remote(shard.path) else "r:", tarinfo=StrictHeader
        ) as tar,
    ):
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
            match = _SAMPLE_NAME.match(member.name)
            if not member.isreg() or match is None or _PASSED_OVER.match(member.name):
                continue
            key, suffix = _storable(match.group(1)), match.group(2).lower()
            if suffix == "json":
                raw = cast(IO[bytes], tar.extractfile(member)).read()
                yield key, suffix, Sample(key, raw, member.offset_data, len(raw))
            else:
                yield key, suffix, None


def _storable(key: str) -> str:
    """Escape the bytes of a name that are no UTF-8, which no file takes."""
    return key.encode("utf-8", "backslashreplace").decode("utf-8")


class StrictHeader(tarfile.TarInfo):
    """A tar header that complains about an end without end mark, where tarfile is silent."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the next header."""
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # tarfile does not publish its kinds of header error
            if kind == "EOFHeaderError":
                raise
            what = "not a tar" if not tar.offset else f"no tar header at byte {tar.offset}"
            if kind == "EmptyHeaderError":
                what = "no end mark, so it may be cut off" if tar.offset else "the file is empty"
            raise tarfile.ReadError(what) from None


def _line_samples(shard: Shard) -> Iterator[Sample]:
    """Take each line of a jsonl as a sample, keyed by its zero-based number."""
    offset = 0
    with decompressed(shard) as stream:
        for number, line in enumerate(stream):
            yield Sample(str(number), line, offset, len(line))
            offset += len(line)


@contextmanager
def decompressed(shard: Shard) -> Iterator[IO[bytes]]:
    """Open a shard as a seekable stream of its decompressed bytes, going by its first bytes."""
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
        elif magic.startswith(b"PK") and shard.layout is Layout.JSONL:
            with (
                _seekable(file) as whole,
                zipfile.ZipFile(whole) as archive,
                archive.open(archive.namelist()[0]) as inner,
            ):
                yield inner
        else:
            yield file


@contextmanager
def _seekable(file: io.BufferedReader[Any]) -> Iterator[IO[bytes]]:
    """Give a zip, whose table stands at its end, a file to seek in."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield copy
