"""Read samples from tar and JSONL shards: stream a whole shard, or fetch one sample by its place.

Samples are bytes of JSON, parsed by `mmc4viz.loader.parse`.
"""

from __future__ import annotations

import bz2
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
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any, Final, Self, cast

import braceexpand

from mmc4viz.data import recognise
from mmc4viz.data.containers import parquet
from mmc4viz.data.containers.json_array import elements
from mmc4viz.data.containers.packed import PEEKED, packing
from mmc4viz.data.containers.tar import StrictTar
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
from mmc4viz.formats.format import IMAGE_SUFFIXES, LIMIT, LIMIT_MB, Container, Format, Sample
from mmc4viz.formats.registry import RECOGNISED, InputFormat, format_named
from mmc4viz.formats.registry import recognise as recognise_format
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.loader.images import Embedded, Folder, ImageSource, limit_bytes, words
from mmc4viz.loader.parse import NO_JSON
from mmc4viz.text import storable
from mmc4viz.types import ConfigError, ShardError

_PACKINGS: Final = ("", ".gz", ".bz2", ".xz", ".zip")
_JSON: Final = tuple(f".json{packed}" for packed in _PACKINGS)
LINES: Final = (*(f".jsonl{packed}" for packed in _PACKINGS), *_JSON, ".zip")
SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", *LINES, ".parquet")
_OFTEN_OTHERS: Final = (*_JSON, ".parquet")
"""Suffixes of shards, but as often of what stands beside them."""
OVER_LIMIT: Final = "MB exceeds the limit of"
"""Part of the error message for a document that is too large."""
_PACKED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zip")
_LOOKED_INTO: Final = 2  # files of a suffix, to see whether they hold documents
_FOOTER: Final = 1 << 20  # bytes
_MOST_NAMES: Final = 1_000_000  # in one brace expansion
_DEEPEST: Final = 20  # nesting of braces
_EXAMINED: Final = 20  # samples examined to recognize another format
_EXAMINED_BYTES: Final = 1 << 25
_CHUNK: Final = 1 << 20
_PEEKED: Final = 4096
_SAMPLE_NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_PASSED_OVER = re.compile(r"__[^/]*__($|/)")
_ARRAY: Final = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*[{\]]")  # of objects, or empty
_BRACES = re.compile(r"\\.|[{},]", re.DOTALL)
_RANGE = re.compile(r"(-?[0-9]+|[A-Za-z])\.\.(-?[0-9]+|[A-Za-z])(?:\.\.-?([0-9]+))?")
_FIRST_DOT: Final = (
    "the loader (webdataset) ends a key at the first dot of a name and reads only '.json'"
)
_BESIDE: Final = frozenset({"length.json", "shard_id_range.json"})  # of a folder of JSON arrays


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
    format : str
        Name of the format (`mmc4viz.formats.registry`) in which it was read, or that a person
        named; if empty, that is recognized, or MMC4's own.
    unit : TextUnit
        What texts are cut into, in formats that have longer ones.
    """

    path: str
    position: int = 0
    name: str = ""
    format: str = field(default="", repr=False)
    unit: TextUnit = field(default=TextUnit.SENTENCE, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", remember(self.path))
        if not self.name:
            object.__setattr__(self, "name", self.base)

    def __reduce__(self) -> tuple[type[Self], tuple[str, int, str, str, TextUnit]]:
        return type(self), (whole(self.path), self.position, self.name, self.format, self.unit)

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
    def layout(self) -> Container:
        """What kind of file it is by its name: JSON (lines or an array), Parquet, or a tar."""
        name = self.base.lower()
        if name.endswith(".parquet"):
            return Container.PARQUET
        return Container.LINES if name.endswith(LINES) else Container.TAR

    @property
    def is_mmc4(self) -> bool:
        """Whether documents are MMC4's own JSON, not made from another format."""
        return not self.format or format_named(self.format).to_page is None


def is_packed(path: str) -> bool:
    """Whether a shard is compressed, so that reading one document means reading all before it."""
    return _without_query(path).lower().endswith(_PACKED)


def expand(
    patterns: Iterable[str], given: InputFormat = RECOGNISED, notes: list[str] | None = None
) -> list[Shard]:
    """Expand braces, globs and folders to shards; folders and globs in natural order.

    Hidden files in folders or matched by globs are skipped.

    Parameters
    ----------
    patterns : iterable of str
    given : InputFormat
        How the shards are to be read.
    notes : list of str, optional
        Receives a note on each folder or glob whose files in JSON or Parquet are not read although
        they hold documents.

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
    names = [name for pattern in patterns for name in names_of(pattern)]
    paths = [path for name in names for path in _shards_at(name, notes)]
    twice = next((path for path, n in Counter(map(_whole, paths)).items() if n > 1), None)
    if twice is not None:
        raise ShardError(f"{twice}: listed twice; list each shard once")
    return named(paths, given)


def named(paths: Iterable[str], given: InputFormat = RECOGNISED) -> list[Shard]:
    """Return the shards of a corpus, each named by the shortest unique end of its path.

    Examples
    --------
    >>> [shard.name for shard in named(["/x/a/0.tar", "/x/b/0.tar", "/x/b/1.tar"])]
    ['a/0.tar', 'b/0.tar', '1.tar']
    """
    found = [
        Shard(path, position, format=given.name, unit=given.unit)
        for position, path in enumerate(paths)
    ]
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


def names_of(pattern: str) -> list[str]:
    """Return the names in a pattern's brace expansion; what exists under its own name is one.

    Raises
    ------
    ShardError
        For unbalanced or too deeply nested braces, or more than a million names.
    """
    if not is_remote(pattern) and os.path.exists(pattern):
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
    return list(map(remember, names))


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


def files_at(name: str, noun: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files of a name, folder or glob, in natural order.

    Of a folder and of a remote glob, those with certain suffixes; of a local glob too, if it
    matches any. Hidden files are left out unless a glob asks for them.

    Parameters
    ----------
    name : str
        Without braces (`names_of`).
    noun : str
        What is looked for, for an error.
    suffixes : tuple of str

    Raises
    ------
    ShardError
        When there is none.
    """
    if is_web(name) and not glob.has_magic(_without_query(name)):
        return [name]  # reading it will show whether it exists
    others = False
    if is_remote(name):
        inside, problem = listing(name), f"no {noun} found"
    elif os.path.isdir(name):
        inside = sorted((str(path) for path in Path(name).iterdir() if path.is_file()), key=natural)
        problem = f"no {noun}s in this folder ({' '.join(suffixes)})"
    elif glob.has_magic(name) and not os.path.exists(name):
        inside = sorted(filter(os.path.isfile, glob.glob(name)), key=natural)
        problem, others = f"matches no {noun}", True
    else:
        inside, problem = [name] * os.path.isfile(name), f"{noun} not found"
    found = inside
    if inside != [name]:
        inside = _shown(inside, name)
        found = [path for path in inside if _without_query(path).lower().endswith(suffixes)]
        found = found or inside * others
    if not found:
        raise ShardError(f"{name}: {problem}")
    return found


def shards_among(paths: Iterable[str]) -> list[str]:
    """Return the files that are shards by their names.

    Files in JSON or Parquet are shards only where there are none of another kind, since they are
    otherwise about the shards.

    Examples
    --------
    >>> shards_among(["0.tar", "similarity.parquet"]), shards_among(["0.parquet", "a.txt"])
    (['0.tar'], ['0.parquet'])
    """
    return _rather([path for path in paths if _without_query(path).lower().endswith(SUFFIXES)])


def _rather(found: list[str]) -> list[str]:
    return [
        path for path in found if not _without_query(path).lower().endswith(_OFTEN_OTHERS)
    ] or found


def _shards_at(name: str, notes: list[str] | None) -> list[str]:
    """Return the shards of a name, folder or glob; add a note on documents that are left out."""
    found = files_at(name, "shard", SUFFIXES)
    chosen = _rather(found)
    if notes is not None and len(chosen) < len(found):
        notes += _left_out(name, found)
    return chosen


def _left_out(name: str, found: Iterable[str]) -> list[str]:
    """Return a note on files that are not read beside other shards, if they hold documents."""
    count, examples, others = 0, list[str](), sorted(map(_without_query, found), key=natural)
    for suffix in _OFTEN_OTHERS:
        alike = [path for path in others if path.lower().endswith(suffix)]
        alike = [path for path in alike if not os.path.islink(path)]  # it may lead anywhere
        if example := next(filter(_holds_documents, alike[:_LOOKED_INTO]), None):
            count, examples = count + len(alike), [*examples, os.path.basename(example)]
    if not examples:
        return []
    files = "1 file is" if count == 1 else f"{count:,} files are"
    return [
        f"{name}: {files} not read, although {' and '.join(examples)} hold"
        f"{'s' * (len(examples) == 1)} documents: JSON and Parquet beside other shards are taken "
        "to be about them; name such files to read them too"
    ]


@lru_cache(maxsize=256)
def _holds_documents(path: str) -> bool:
    """Whether the first sample of a file is a document."""
    if path.lower().endswith(".parquet") and b"text" not in _footer(path):
        return False  # known without loading what reads Parquet
    with suppress(ShardError), closing(samples(Shard(path), paged=False)) as found:
        first = next(found, None)
        return first is not None and (bool(first.format) or recognise.is_mmc4(first.raw))
    return False


def _footer(path: str) -> bytes:
    """Return the end of a local file, which of Parquet has the names of its columns."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _FOOTER))
            return file.read().lower()
    except OSError:
        return b""


def _shown(paths: list[str], pattern: str) -> list[str]:
    """Skip hidden files (incomplete, or another program's) unless a glob asks for them."""
    if os.path.basename(pattern).startswith("."):
        return paths
    names = ((path, os.path.basename(path)) for path in paths)
    return [path for path, name in names if not name.startswith(".") and name not in _BESIDE]


def image_source(shard: Shard, image_dir: str | None = None) -> ImageSource:
    """Return the image source of a shard: the shard itself, or a folder for MMC4's own JSONL."""
    if shard.layout is Container.TAR:
        return Embedded()
    if (found := images_of(shard, image_dir)) is None:
        return Embedded(sizes_unknown=True)
    folder = Path(found)
    return Folder((folder / str(shard.position), folder / downloaded_to(shard), folder))


def images_of(shard: Shard, image_dir: str | None = None) -> str | None:
    """Return the given image folder, or else the one of MMC4's own downloader, if it exists."""
    if image_dir is not None or shard.layout is Container.TAR or is_remote(shard.path):
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
    return re.sub(r"\.(jsonl?(\.(gz|zip))?|zip)$", "", shard.base, flags=re.IGNORECASE) + "_images"


def _too_large(size: int, limit: int) -> str:
    return f"its size of {size / 1e6:,.0f} {OVER_LIMIT} {limit / 1e6:,.0f} MB: raise {LIMIT}"


def samples(
    shard: Shard, notes: list[str] | None = None, *, paged: bool = True
) -> Generator[Sample]:
    """Stream a shard's samples.

    Parameters
    ----------
    shard : Shard
    notes : list of str, optional
        Receives notes on what is not read, one line each.
    paged : bool
        Whether samples of another format than MMC4's have their pages; otherwise `with_page` makes
        them.

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
    lines: list[str] = []
    count = 0
    try:
        for sample in _in_format(shard, _ShardReading(shard, lines)):
            yield with_page(sample, shard) if paged else sample
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


def with_page(sample: Sample, shard: Shard) -> Sample:
    """Return a sample with its page, or the reason why it has none; one of MMC4's as it is."""
    return format_named(sample.format).paged(sample, shard.unit) if sample.format else sample


def reason(error: Exception) -> str:
    """Return in one line why a shard cannot be read further."""
    return "not enough memory" if isinstance(error, MemoryError) else words(error)


@dataclass
class _ShardReading:
    """A shard that is being read.

    Attributes
    ----------
    shard : Shard
    notes : list of str
        Receives notes on what is not read, one line each.
    container : Container
        What kind of file it is; a list of lines may turn out to be an array.
    with_members : bool
        Whether the images beside a tar's JSON are read.
    """

    shard: Shard
    notes: list[str]
    with_members: bool = True

    def __post_init__(self) -> None:
        self.container = self.shard.layout

    def samples(self) -> Iterator[Sample]:
        """Yield samples as they are found."""
        if self.container is Container.PARQUET:
            return _parquet_samples(self)
        return _tar_samples(self) if self.container is Container.TAR else _json_samples(self)


def _in_format(shard: Shard, reading: _ShardReading) -> Iterator[Sample]:
    """Yield samples with the name of their format.

    Raises
    ------
    ShardError
        If the first samples all have another known format: says what the shard looks like, and
        what mmc4viz reads.
    """
    found = reading.samples()
    first: list[Sample] = []
    broken: Exception | None = None
    left, ordinary = _EXAMINED_BYTES, bool(shard.format)
    try:
        while not ordinary and len(first) < _EXAMINED and left > 0:
            first.append(next(found))
            left -= first[-1].size
            ordinary = recognise.is_mmc4(first[-1].raw)
    except (ShardError, ConfigError):
        raise
    except StopIteration:
        pass
    except Exception as error:
        broken = error
    known = format_named(shard.format) if shard.format else _format_of(first, reading.container)
    if known is None and (looks := _looks_like(shard, first, broken)) is not None:
        raise ShardError(f"{shard.path}: looks like {looks}; {recognise.READ}")
    reading.with_members = known is not None and bool(known.members)
    if reading.with_members:
        reading.notes.append(
            "images stored as members of the tar are read like those in image_base64, which are "
            "all that OpenFlamingo's loader reads"
        )
    everything = _followed_by(first, broken, found)
    if known is None or known.to_page is None:
        yield from everything
        return
    if known.groups:
        everything = _grouped_rows(everything, known.groups, reading)
    for sample in everything:
        yield replace(sample, format=known.name)


def _followed_by(
    first: list[Sample], broken: Exception | None, rest: Iterator[Sample]
) -> Iterator[Sample]:
    yield from first
    if broken is not None:
        raise broken
    yield from rest


def _format_of(first: list[Sample], container: Container) -> Format | None:
    """Return the format of a shard by its first samples; None if it is not known."""
    return recognise_format(
        ((sample.fields(), frozenset(sample.suffixes)) for sample in first), container
    )


def format_of(shard: Shard) -> Format | None:
    """Return a shard's format by its first samples; None if it is MMC4's, or cannot be told."""
    if shard.format:
        return format_named(shard.format)
    with suppress(ShardError), closing(samples(shard, paged=False)) as found:
        name = next((sample.format for sample in found), "")
        return format_named(name) if name else None
    return None


def _looks_like(shard: Shard, first: list[Sample], broken: Exception | None) -> str | None:
    """Describe a shard none of whose samples is a document; None if not recognized."""
    if shard.layout is Container.PARQUET:
        return None if broken else _columns_of(first)
    seen = [(s.raw, s.suffixes) for s in first if s.raw is not None or s.why == NO_JSON]
    if (looks := recognise.of_samples(seen)) is not None:
        return looks
    lines = shard.layout is Container.LINES
    if not lines and (first or broken is None):
        return None  # a tar with other content
    head = b""
    with suppress(Exception), decompressed(shard) as stream:
        head = stream.read(recognise.HEAD)
    return recognise.of_head(head, lines=lines)


def _columns_of(first: list[Sample]) -> str:
    if first and first[0].row is None:
        return f"a Parquet table whose first row cannot be read ({first[0].why})"
    names = list(first[0].row or ()) if first else []
    shown = ", ".join(map(str, names[:12]))[:200] + (", …" if len(names) > 12 else "")
    return f"a Parquet table with the columns {shown}" if names else "a Parquet table without rows"


def _grouped_rows(found: Iterator[Sample], column: str, reading: _ShardReading) -> Iterator[Sample]:
    """Join neighboring rows with the same value in a column: one sample with a list of rows.

    A row that was not read is a sample of its own.
    """
    limit = limit_bytes(LIMIT, LIMIT_MB)
    seen: set[str] = set()
    for key, group in groupby(found, key=lambda one: None if one.row is None else one.row[column]):
        if key is None:
            yield from (one if one.row is None else replace(one, row=[one.row]) for one in group)
            continue
        first, rows, size, count = None, [], 0, 0
        for sample in group:
            first, count = first or sample, count + 1
            size += sample.n_bytes
            if size <= limit:
                rows.append(sample.row)
            else:
                rows.clear()
        assert first is not None  # no group is empty
        name = storable(str(key))
        if name in seen:
            _note(
                reading.notes,
                f"rows with the same {column} that are not neighbors are documents of their own: "
                f"sort the rows by {column}",
            )
        seen.add(name)
        if size > limit:
            yield _unread(name, size, limit, reading.notes)
        else:
            yield replace(first, key=name, row=rows, size=count)


def fetch(shard: Shard, offset: int, size: int) -> bytes:
    """Fetch one sample's JSON bytes by its place; in another format, the JSON of its page.

    Raises
    ------
    ShardError
        When the shard cannot be read or has become shorter.
    """
    return next(fetch_all(shard, [(offset, size)], alone=True))


def fetch_all(
    shard: Shard, places: Iterable[tuple[int, int]], *, alone: bool = False
) -> Iterator[bytes]:
    """Fetch the JSON bytes of several samples in one pass, as `fetch` does.

    Parameters
    ----------
    shard : Shard
    places : iterable of (int, int)
        Offset and size of each; ascending, as a compressed shard is read once from the start.
    alone : bool
        Whether there is only one, so that of a remote shard no more is read.

    Raises
    ------
    ShardError
        When the shard cannot be read or has become shorter.
    """
    find = _raw_rows if shard.layout is Container.PARQUET else _raw_bytes
    try:
        for found in find(shard, places, alone):
            yield _paged_json(shard, found)
    except ShardError:
        raise
    except Exception as error:  # as in `samples`
        raise ShardError(f"{shard.path}: cannot be read: {reason(error)}") from None


def _raw_bytes(shard: Shard, places: Iterable[tuple[int, int]], alone: bool) -> Iterator[Sample]:
    """Read bytes at their places; from a compressed shard in order."""
    limit = limit_bytes(LIMIT, LIMIT_MB)
    with decompressed(shard) as stream:
        plain = isinstance(stream, io.BufferedReader)
        for offset, size in places:
            if size > limit:
                raise ShardError(f"{shard.path}: {_too_large(size, limit)}")
            if plain and alone:
                raw = read_range(shard.path, offset, size)
            else:
                stream.seek(offset)
                raw = stream.read(size)
            if len(raw) != size:
                raise _truncated(shard)
            yield Sample("", raw, offset, size)


def _raw_rows(shard: Shard, places: Iterable[tuple[int, int]], alone: bool) -> Iterator[Sample]:
    """Read rows of a Parquet file again, in order."""
    limit = limit_bytes(LIMIT, LIMIT_MB)
    wanted = [range(first, first + count) for first, count in places]
    with decompressed(shard) as file, _seekable(file) as whole:
        stream = parquet.rows(whole, limit, wanted)
        for place in wanted:
            found = list(islice(stream, len(place)))
            if len(found) != len(place):
                raise _truncated(shard)
            grouped = [row.fields or {} for row in found]
            one = grouped if format_named(shard.format).groups else grouped[0]
            yield Sample("", None, place.start, len(place), row=one)


def _truncated(shard: Shard) -> ShardError:
    return ShardError(f"{shard.path}: has been truncated since it was first read")


def _paged_json(shard: Shard, sample: Sample) -> bytes:
    """Return the JSON of a sample that was read again: its own, or its page's."""
    if shard.is_mmc4:
        return sample.raw or b""
    if format_named(shard.format).members and sample.raw is not None:
        sample = _of_span(sample.raw)
    paged = with_page(replace(sample, format=shard.format), shard)
    if paged.page is None:
        raise ShardError(f"{shard.path}: has changed since it was first read: {paged.why}")
    return paged.as_json()


def _of_span(raw: bytes) -> Sample:
    """Read the members of one sample from their part of a tar."""
    part = io.BytesIO(raw.ljust(-(-len(raw) // 512) * 512, b"\0") + bytes(1024))
    return next(_samples_in(StrictTar(fileobj=part), _ShardReading(Shard("part.tar"), [])))


def _tar_samples(reading: _ShardReading) -> Iterator[Sample]:
    """Yield the samples of a tar."""
    shard = reading.shard
    with decompressed(shard) as packed:
        stream = cast(IO[bytes], _Forward(packed)) if is_remote(shard.path) else packed
        yield from _samples_in(StrictTar(fileobj=stream), reading)
        if _more_follows(stream):
            reading.notes.append(
                "data after the end of the tar is ignored, as in the loader (webdataset)"
            )


@dataclass
class _Group:
    """The members of one sample, as webdataset groups them."""

    key: str
    start: int
    end: int = 0
    json: Sample | None = None
    suffixes: list[str] = field(default_factory=list)
    members: dict[str, bytes] = field(default_factory=dict)


def _samples_in(tar: StrictTar, reading: _ShardReading) -> Iterator[Sample]:
    """Group a tar's members as webdataset does: consecutive, same key, no repeated suffix."""
    group: _Group | None = None
    limit = limit_bytes(LIMIT, LIMIT_MB)
    broken: Exception | None = None
    try:
        while (member := tar.next()) is not None:
            match = _SAMPLE_NAME.match(member.name)
            if not member.isreg() or match is None or _PASSED_OVER.match(member.name):
                continue
            key, suffix = storable(match.group(1)), match.group(2).lower()
            if group is None or key != group.key or suffix in group.suffixes:
                ended, group = group, _Group(key, member.offset)
                if ended is not None:
                    yield _grouped(ended, reading.notes)
            _add(group, suffix, member, tar, reading, limit)
    except Exception as error:
        broken = error
    if group is not None and group.suffixes:
        yield _grouped(group, reading.notes)
    if broken is not None:
        raise broken


def _add(
    group: _Group,
    suffix: str,
    member: tarfile.TarInfo,
    tar: StrictTar,
    reading: _ShardReading,
    limit: int,
) -> None:
    """Add a member to its sample: the JSON, and images if they are wanted."""
    read = group.end - group.start
    if suffix == "json":
        if member.size > limit:
            if member.sparse is None:
                tar.check_end(member)
            group.json = _unread(group.key, member.size, limit, reading.notes)
        else:
            raw = _contents(tar, member)
            span = group.start, member.offset_data + member.size - group.start
            group.json = Sample(group.key, raw, member.offset_data, len(raw), span=span)
    elif reading.with_members and suffix.rpartition(".")[2] in IMAGE_SUFFIXES:
        if read + member.size <= limit:
            group.members[suffix] = _contents(tar, member)
        else:
            _note(
                reading.notes,
                f"images by which a document exceeds the limit of {limit / 1e6:,.0f} MB are not "
                f"read and count as missing: raise {LIMIT}",
            )
    group.suffixes.append(suffix)
    group.end = member.offset_data + member.size


def _grouped(group: _Group, notes: list[str]) -> Sample:
    """Return a sample with the suffixes of its members; without JSON, note a likely reason."""
    suffixes = group.suffixes
    if group.json is None:
        meant = (s for s in suffixes if not {"json", "jsonl"}.isdisjoint(s.split(".")))
        if (suffix := next(meant, None)) and not any(_FIRST_DOT in note for note in notes):
            name = f"{group.key}.{suffix}"[:100]
            notes.append(f"members with names like {name!r} are ignored: {_FIRST_DOT}")
        return Sample(group.key, None, suffixes=tuple(suffixes))
    if len(suffixes) == 1:
        return group.json
    return replace(
        group.json,
        suffixes=tuple(suffix for suffix in suffixes if suffix != "json"),
        members=group.members,
        span=(group.start, group.end - group.start),
    )


def _unread(key: str, size: int, limit: int, notes: list[str]) -> Sample:
    """Return a sample for a document above the size limit, and add a note."""
    _note(
        notes,
        f"documents above the limit of {limit / 1e6:,.0f} MB are not read and count as unreadable, "
        f"although the loader would read them: raise {LIMIT}",
    )
    return Sample(key, None, why=_too_large(size, limit))


def _note(notes: list[str], note: str) -> None:
    """Add a note once."""
    if note not in notes:
        notes.append(note)


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


def _json_samples(reading: _ShardReading) -> Iterator[Sample]:
    """Yield each line, or each element of an array, as a sample, keyed by its number from 0."""
    with decompressed(reading.shard, reading.notes) as stream:
        head = cast(io.BufferedReader, stream).peek(_PEEKED)
        if recognise.UTF_16.match(head):
            raise ShardError(f"{reading.shard.path}: looks like {recognise.IS_UTF_16}")
        if not _ARRAY.match(head):
            yield from _line_samples(stream, reading.notes)
            return
        reading.container = Container.ARRAY
        limit = limit_bytes(LIMIT, LIMIT_MB)
        for number, (offset, size, raw) in enumerate(elements(stream, limit)):
            if raw is None:
                yield _unread(str(number), size, limit, reading.notes)
            else:
                yield Sample(str(number), raw, offset, size)


def _line_samples(stream: IO[bytes], notes: list[str]) -> Iterator[Sample]:
    limit = limit_bytes(LIMIT, LIMIT_MB)
    offset, number, line = 0, 0, b""
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


def _parquet_samples(reading: _ShardReading) -> Iterator[Sample]:
    """Yield each row as a sample, keyed by its number from 0."""
    limit = limit_bytes(LIMIT, LIMIT_MB)
    with decompressed(reading.shard) as file, _seekable(file) as whole:
        for number, size, fields, why in parquet.rows(whole, limit):
            if why:
                yield Sample(str(number), None, why=why)
            elif fields is None:
                yield _unread(str(number), size, limit, reading.notes)
            else:
                yield Sample(str(number), None, number, 1, row=fields, n_bytes=size)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


_UNPACK: Final[dict[str, Any]] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}


@contextmanager
def decompressed(shard: Shard, notes: list[str] | None = None) -> Iterator[IO[bytes]]:
    """Open a shard as a stream of its decompressed bytes, detecting the compression."""
    with open_for_reading(shard.path) as file:
        kind = packing(file.peek(PEEKED))
        if kind in _UNPACK:
            with _UNPACK[kind](file) as stream:
                yield stream
        elif kind == "zip" and shard.layout is Container.LINES:
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
def _seekable(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Return a seekable file for a zip, copied if necessary."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield copy
