"""Which files are tables of image–text pairs, by their content; without loading what reads them."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mmc4viz.data.containers.packed import packing
from mmc4viz.data.recognise import UTF_16
from mmc4viz.data.shards import files_at, names_of
from mmc4viz.data.storage import file_system, is_remote, open_for_reading
from mmc4viz.pairs.layout import recognised
from mmc4viz.types import ShardError

_PACKED: Final = ("gz", "bz2", "xz", "zst", "zip")
SUFFIXES: Final = (
    ".parquet", ".tar", ".csv", ".tsv",
    *(f".{kind}.{packed}" for kind in ("csv", "tsv") for packed in _PACKED),
)  # fmt: skip
"""How names of tables in a folder end; what a file holds is told by its content."""
MANIFEST: Final = "pairs.json"
"""What an index of a table has, and an index of shards has not."""
HEAD: Final = 1 << 16
"""Number of bytes by which a file is recognized."""

_LINES: Final = re.compile(r"\.jsonl?(\.\w+)?$", re.IGNORECASE)
_IMAGES: Final = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class JoinedFile:
    """Another file whose columns are joined to a table.

    Attributes
    ----------
    path : str
        A file, folder or glob.
    key : str
        Its column with keys.
    id : str
        The table's column that they name.
    columns : tuple of str
        Its other columns, without those that the table has as well.
    state : str
        Fingerprints of its files when it was opened, so that a changed file is read again.
    """

    path: str
    key: str
    id: str
    columns: tuple[str, ...]
    state: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.key}"


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of a table.

    Attributes
    ----------
    path : str
        Without secrets in a URL.
    kind : str
        ``parquet``, ``text`` (CSV or TSV) or ``tar``.
    columns : tuple of str
        In the order of the file.
    delimiter : str
        Of a text file.
    header : bool
        Whether a text file's first line names its columns.
    joined : JoinedFile or None
        Whose columns are among ``columns`` at the end.
    """

    path: str
    kind: str
    columns: tuple[str, ...]
    delimiter: str = ","
    header: bool = True
    joined: JoinedFile | None = None


def table_files(patterns: Iterable[str]) -> list[str]:
    """Expand braces, globs and folders to files of tables, in natural order.

    A tar with a Parquet file of the same stem beside it is left out: img2dataset writes the same
    rows to both.

    Raises
    ------
    ShardError
        When a pattern matches nothing.
    """
    return _without_twins([path for pattern in patterns for path in _files_of(pattern)])


def _files_of(pattern: str) -> list[str]:
    return [path for name in names_of(pattern) for path in files_at(name, "table", SUFFIXES)]


def _without_twins(found: Sequence[str]) -> list[str]:
    twins = {path.removesuffix(".parquet") for path in found if path.endswith(".parquet")}
    return [path for path in dict.fromkeys(found) if path.removesuffix(".tar") not in twins]


def holds_pairs(patterns: Sequence[str], named: bool = False) -> bool:
    """Whether paths hold a table of image–text pairs, by the content of the first and last file.

    A file that is missing does not decide. False for anything else, including files that cannot be
    read, whose error the reader of interleaved documents reports.

    Parameters
    ----------
    patterns : sequence of str
    named : bool
        Whether a person named a score, so that any table will do.
    """
    files: list[str] = []
    for pattern in dict.fromkeys((patterns[0], patterns[-1])):
        with suppress(Exception):  # malicious bytes make libraries raise almost anything
            files += _files_of(pattern)
    found, known = _without_twins(files), False
    for path in dict.fromkeys((*found[:1], *found[-1:])):
        with suppress(Exception):  # another file decides
            known = not _LINES.search(path) and _is_table(path, named)
            if not known:
                break
    return known


def _is_table(path: str, named: bool) -> bool:
    with open_for_reading(path) as file:
        head = unpacked_head(file.read(HEAD))
    if head[:4] == b"PAR1":
        columns: Sequence[str] = _parquet_columns(path)
    elif head[257:262] == b"ustar":
        return _is_pair_tar(path)
    else:
        found = text_columns(_as_utf8(head))
        columns = () if found is None else found.columns
    return bool(columns) and (named or recognised(columns) is not None)


def _as_utf8(head: bytes) -> bytes:
    """Return the beginning of a text in UTF-8, to recognize one that cannot be read as it is."""
    if UTF_16.match(head) is None:
        return head
    return head.decode("utf-16-be" if head[:1] == b"\0" else "utf-16", "ignore").encode()


def _parquet_columns(path: str) -> list[str]:
    import pyarrow.parquet as pq  # imported late to start faster

    if not is_remote(path):
        return list(pq.read_schema(path).names)
    store, inside = file_system(path)
    with store.open(inside, "rb") as remote:
        return list(pq.read_schema(remote).names)


def unpacked_head(head: bytes) -> bytes:
    """Return the first bytes of a file's decompressed content, given those of the file."""
    kind = packing(head)
    if kind == "gzip":
        return zlib.decompressobj(31).decompress(head, HEAD)
    if kind == "bz2":
        return bz2.BZ2Decompressor().decompress(head, HEAD)
    if kind == "xz":
        return lzma.LZMADecompressor().decompress(head, HEAD)
    if kind == "zstd":
        import pyarrow as pa  # imported late to start faster

        with pa.CompressedInputStream(io.BytesIO(head), kind) as stream:
            return bytes(stream.read(1 << 12))  # more may be cut off
    if kind == "zip":  # a local header, then the first member
        start = 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        deflated = head[8:10] == b"\x08\0"
        return zlib.decompressobj(-15).decompress(head[start:], HEAD) if deflated else head[start:]
    return head


def _is_pair_tar(path: str) -> bool:
    """Whether a tar's first sample is one image and one caption, as img2dataset writes it."""
    suffixes: set[str] = set()
    first = None
    with open_for_reading(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            key, dot, suffix = member.name.rpartition("/")[2].partition(".")
            first = key if first is None else first
            if key != first:
                break
            suffixes.add(dot + suffix.lower())
            if suffix.lower() == "json":
                opened = tar.extractfile(member) if member.size <= HEAD else None
                row = None if opened is None else json.loads(opened.read())
                return isinstance(row, dict) and {"caption", "url", "key"} <= row.keys()
    return ".txt" in suffixes and not suffixes.isdisjoint(_IMAGES)


def text_columns(head: bytes) -> TableFile | None:
    r"""Return delimiter, header and columns of a text file by its first bytes; None if it is none.

    The first line names the columns; or it is a row that begins with a caption and a url, in either
    order. A caption may hold more commas than a line has tabs, so a delimiter is one with which the
    line is a table, not the most frequent one.

    Examples
    --------
    >>> text_columns(b"https://a.b/c.jpg\ta red, green, blue boat\n").columns
    ('url', 'caption')
    """
    line, _, _ = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    try:
        text = line.decode().rstrip("\r")
    except UnicodeDecodeError:
        return None
    if "\0" in text or text.lstrip()[:1] in ("{", "[", "<"):
        return None
    found = (_divided(text, delimiter) for delimiter in "\t,|")
    return next((one for one in found if one is not None), None)


def _divided(line: str, delimiter: str) -> TableFile | None:
    """Return the columns of a first line with a delimiter; None if that makes no table of it."""
    cells = [cell.strip().strip('"') for cell in line.split(delimiter)]
    if len(cells) < 2:
        return None
    urls = [re.match(r"https?://", cell) is not None for cell in cells]
    if sum(urls) == 1 and any(urls[:2]) and (len(cells) == 2 or delimiter == "\t"):
        names = ("url", "caption") if urls[0] else ("caption", "url")
        more = tuple(f"column_{number}" for number in range(3, len(cells) + 1))
        return TableFile("", "text", names + more, delimiter, header=False)
    words = all(re.fullmatch(r"[A-Za-z_][\w .-]{0,63}", cell) for cell in cells)
    return TableFile("", "text", tuple(cells), delimiter) if words and not any(urls) else None


def is_pair_index(folder: str) -> bool:
    """Whether a folder is an index of a table."""
    if not is_remote(folder):
        return os.path.isfile(os.path.join(folder, MANIFEST))
    try:
        with open_for_reading(f"{folder.rstrip('/')}/{MANIFEST}"):
            return True
    except (ShardError, OSError):
        return False
