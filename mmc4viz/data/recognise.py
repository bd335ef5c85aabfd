"""Recognize files that hold no documents, to explain what they are.

Recognition is by content: a file's first bytes, or the fields and members of its first samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mmc4viz.formats.format import IMAGE_SUFFIXES
from mmc4viz.formats.mmc4 import FIELDS

READ: Final = (
    "mmc4viz reads interleaved documents (mmc4viz formats lists the formats); its commands curve, "
    "compare, explain, export, index, slices, suggest and verify, and mmc4viz.open_pairs in "
    "Python, also read tables of image–text pairs"
)
HEAD: Final = 4096
"""Number of bytes by which a file is recognized."""

_PLAIN: Final = re.compile(rb'\s*\{.*?"(text_list|image_info|similarity_matrix)"\s*:', re.DOTALL)
_COLUMNS: Final = re.compile(
    rb"(?i)(^|[,\t\"])(url|image_?url|caption|text|similarity|image|file_?path|title)([,\t\"]|$)"
)
_TEXT: Final = re.compile(rb"[\t\r\n -~\x80-\xff]+")
_ABSENT: Final = object()  # a sample has no JSON
_BROKEN: Final = object()  # a sample's JSON is invalid
_PAIRS: Final = "image–text pairs"


@dataclass(frozen=True, slots=True)
class Shape:
    """Characteristics of samples of another format.

    Attributes
    ----------
    words : str
        Description, to follow "looks like".
    fields : frozenset of str
        Fields that the JSON has; if empty, there is no JSON.
    members : frozenset of str
        Suffixes of which one occurs among the sample's members; if empty, any will do.
    """

    words: str
    fields: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()

    def fits(self, info: Any, members: Collection[str]) -> bool:
        """Whether a sample has this shape."""
        names = info.keys() if isinstance(info, dict) else frozenset()
        known = self.fields <= names if self.fields else info is _ABSENT
        return known and (not self.members or bool(self.members & set(members)))


def _shape(words: str, fields: str = "", members: Collection[str] = ()) -> Shape:
    return Shape(words, frozenset(fields.split()), frozenset(members))


SHAPES: Final = (  # the first match counts
    _shape("conversations about an image, as in LLaVA", "conversations"),
    _shape(_PAIRS + " as written by img2dataset", "caption url key"),
    _shape(_PAIRS + " as written by img2dataset", "caption", IMAGE_SUFFIXES),
    _shape(_PAIRS, "url caption"),
    _shape(_PAIRS, "URL TEXT"),
    _shape("rows with a url and a text", "url text"),
    _shape("images, without documents", "", IMAGE_SUFFIXES),
    _shape(
        "NeMo Curator's Parquet rows as JSON: give its Parquet files", "sample_id position modality"
    ),
)

_LINES: Final = "JSON: its name must end in .jsonl or .json (.jsonl.gz, .jsonl.zip)"
UTF_16: Final = re.compile(rb"\xff\xfe|\xfe\xff|([\t\r\n -~]\0){4}|(\0[\t\r\n -~]){4}")
"""The first bytes of a text in UTF-16, with its byte order mark or in ASCII."""
IS_UTF_16: Final = "UTF-16 text: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)"
HEADS: Final = (  # patterns of a file's first bytes; the first match counts
    (rb".{257}ustar", "a tar: its name must end in .tar (.tar.gz, .tar.xz)"),
    (rb"PAR1", "a Parquet file: its name must end in .parquet"),
    (UTF_16.pattern, IS_UTF_16),
    (rb"ARROW1", "an Arrow file (to use an index, name its folder with --index)"),
    (
        rb"\x80[\x02-\x05]",
        "a Python pickle, which mmc4viz does not load for safety: convert it to .jsonl",
    ),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)", "a web page"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (rb"/?(\.\./)*(\.git/)?annex/objects/", "a git-annex pointer, not the file itself"),
    (rb"[\x00-\xff]{6}\x00\x00\{\s*\"", "safetensors, a model's weights"),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0\0|RIFF.{4}WEBP|II\*\0|MM\0\*", "an image"),
    (rb"%PDF", "a PDF"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"SQLite format", "an SQLite database"),
    (rb"\x28\xb5\x2f\xfd", "a zstd-compressed file: decompress it first"),
    (rb"\x04\x22\x4d\x18", "an lz4-compressed file: decompress it first"),
    (rb"7z\xbc\xaf|Rar!", "a 7z or RAR archive: unpack it first"),
    (rb"PK\x03\x04", "a zip: its name must end in .zip, and it must contain a .jsonl"),
    (
        rb"(\xef\xbb\xbf)?\s*\[\s*([\[\"]|\Z)",
        "a JSON array that does not hold documents",
    ),
    (
        rb"(\xef\xbb\xbf)?\s*\{\s*\n\s*[\"}]",
        "JSON over several lines: write one document per line (jq -c . FILE > FILE.jsonl)",
    ),
)


def is_mmc4(raw: bytes | None) -> bool:
    """Whether a sample has any field of an MMC4 document."""
    if raw is None:
        return False
    if raw[:1] == b"{" and raw.rstrip()[-1:] == b"}" and _PLAIN.match(raw, 0, HEAD):
        return True
    info = _parsed(raw)
    return isinstance(info, dict) and not FIELDS.isdisjoint(info)


def _parsed(raw: bytes | None) -> Any:
    try:
        return _ABSENT if raw is None else json.loads(raw)
    except (ValueError, RecursionError):
        return _BROKEN


def of_samples(found: Sequence[tuple[bytes | None, Collection[str]]]) -> str | None:
    """Describe samples that are not MMC4 documents.

    Parameters
    ----------
    found : sequence of (bytes or None, collection of str)
        Each sample's JSON and the suffixes of its members; none is an MMC4 document.

    Returns
    -------
    str or None
        None unless all have the same known shape; invalid JSON fits any.

    Examples
    --------
    >>> of_samples([(b'{"url": "http://a.b/c.jpg", "caption": "A boat."}', ())])
    'image–text pairs'
    """
    parsed = [(_parsed(raw), members) for raw, members in found]
    seen = [(info, members) for info, members in parsed if info is not _BROKEN]
    if not seen or (len(seen) < len(found) and any(info is _ABSENT for info, _ in seen)):
        return None
    return next((s.words for s in SHAPES if all(s.fits(*one) for one in seen)), None)


def of_head(head: bytes, *, lines: bool) -> str | None:
    r"""Describe a file by its first bytes; None if they are not recognized.

    Parameters
    ----------
    head : bytes
        The first `HEAD` bytes, decompressed.
    lines : bool
        Whether the file's name ends in .jsonl or the like.

    Examples
    --------
    >>> of_head(b"PAR1\x15\x04", lines=False)
    'a Parquet file: its name must end in .parquet'
    """
    for pattern, words in HEADS if lines else HEADS[1:]:
        if re.match(pattern, head, re.DOTALL):
            return words
    if re.match(rb"(\xef\xbb\xbf)?\s*[{\[]", head):
        return None if lines else _LINES
    first, _, _ = head.partition(b"\n")
    cells = re.split(rb"[\t,]", first.strip())
    web = b"\t" in first and any(re.match(rb"https?://", cell) for cell in cells)
    if b"\0" not in head and len(cells) > 1 and (web or _COLUMNS.search(first.strip())):
        return "a CSV or TSV table, such as a list of image–text pairs"
    return "text without columns" if not lines and _TEXT.fullmatch(head) else None
