"""What a file that holds no MMC4 documents looks like: known shapes, and the words for each.

Goes by contents alone: by a file's first bytes, or by the fields and members of its first samples.
Reads nothing itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

READ: Final = (
    "mmc4viz reads MMC4 documents: WebDataset tars with one in each .json member, or .jsonl "
    "(.jsonl.gz, .jsonl.zip)"
)
HEAD: Final = 4096
"""Bytes that a file is known by."""

_FIELDS: Final = {"text_list", "image_info", "similarity_matrix", "is_gpt", "image_map"}
_PLAIN: Final = re.compile(rb'\s*\{.*?"(text_list|image_info|similarity_matrix)"\s*:', re.DOTALL)
_IMAGES: Final = {"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"}
_COLUMNS: Final = re.compile(
    rb"(?i)(^|[,\t\"])(url|image_?url|caption|text|similarity|image|file_?path|title)([,\t\"]|$)"
)
_ABSENT: Final = object()  # in the place of a sample's JSON
_BROKEN: Final = object()
_PAIRS: Final = "image–text pairs"
_INTERLEAVED: Final = "documents of the lists images and texts"


@dataclass(frozen=True, slots=True)
class Shape:
    """What samples have that hold something else than MMC4 documents.

    Attributes
    ----------
    words : str
        After "looks like".
    fields : frozenset of str
        All of these stand in its JSON; without any, it has no JSON.
    members : frozenset of str
        One of these suffixes stands beside; without any, it does not matter.
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


SHAPES: Final = (  # the first that fits
    _shape("MINT-1T, " + _INTERLEAVED, "images texts", {"tif", "tiff"}),
    _shape("the Multimodal Textbook, " + _INTERLEAVED, "images texts text_ocr_list"),
    _shape("OBELICS or OmniCorpus, " + _INTERLEAVED, "images texts general_metadata"),
    _shape("OBELICS before its images, documents of texts and images_urls", "texts images_urls"),
    _shape(_INTERLEAVED + ", as OBELICS and OmniCorpus have them", "images texts"),
    _shape("OmniCorpus with similarities", "sentences matrix images_info"),
    _shape("mOSCAR, documents of images and text", "images text metadata"),
    _shape("PIN-14M, documents in Markdown", "md content_image"),
    _shape("conversations about an image, as LLaVA has them", "conversations"),
    _shape(_PAIRS + " as img2dataset writes them", "caption url key"),
    _shape(_PAIRS + " as img2dataset writes them", "caption", _IMAGES),
    _shape(_PAIRS, "url caption"),
    _shape(_PAIRS, "URL TEXT"),
    _shape("rows of a url and a text", "url text"),
    _shape("images, without documents", "", _IMAGES),
    _shape("Parquet rows of NeMo Curator, written as JSON", "sample_id position modality"),
)

_LINES: Final = "JSON lines: the name of such a file must end in .jsonl (.jsonl.gz, .jsonl.zip)"
HEADS: Final = (  # of a file's first bytes: the first that fits
    (rb".{257}ustar", "a tar: its name must end in .tar (.tar.gz, .tar.xz)"),
    (rb"PAR1", "a Parquet file, as OBELICS, OmniCorpus and LAION come"),
    (rb"ARROW1", "an Arrow file (a folder that mmc4viz index has made is named by --index)"),
    (rb"\x80[\x02-\x05]", "a Python pickle, which would run code: have it written as .jsonl"),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)", "a web page, not what it names"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (rb"/?(\.\./)*(\.git/)?annex/objects/", "a git-annex pointer, not the file itself"),
    (rb"[\x00-\xff]{6}\x00\x00\{\s*\"", "safetensors, a model's weights"),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0\0|RIFF.{4}WEBP|II\*\0|MM\0\*", "an image"),
    (rb"%PDF", "a PDF"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"SQLite format", "an SQLite database"),
    (rb"\x28\xb5\x2f\xfd", "a file packed by zstd: unpack it first"),
    (rb"\x04\x22\x4d\x18", "a file packed by lz4: unpack it first"),
    (rb"7z\xbc\xaf|Rar!", "an archive of another kind: unpack it first"),
    (rb"PK\x03\x04", "a zip: its name must end in .zip, and it holds a .jsonl"),
    (
        rb"(\xef\xbb\xbf)?\s*\[\s*([{\[\"]|\Z)",
        "a JSON array: write one document a line (jq -c '.[]' FILE > FILE.jsonl)",
    ),
    (
        rb"(\xef\xbb\xbf)?\s*\{\s*\n\s*[\"}]",
        "JSON over several lines: write one document a line (jq -c . FILE > FILE.jsonl)",
    ),
)


def is_mmc4(raw: bytes | None) -> bool:
    """Whether a sample has any field of an MMC4 document."""
    if raw is None:
        return False
    if raw[:1] == b"{" and raw.rstrip()[-1:] == b"}" and _PLAIN.match(raw, 0, HEAD):
        return True
    info = _parsed(raw)
    return isinstance(info, dict) and not _FIELDS.isdisjoint(info)


def _parsed(raw: bytes | None) -> Any:
    try:
        return _ABSENT if raw is None else json.loads(raw)
    except (ValueError, RecursionError):
        return _BROKEN


def of_samples(found: Sequence[tuple[bytes | None, Collection[str]]]) -> str | None:
    """Say what samples look like that are no MMC4 documents.

    Parameters
    ----------
    found : sequence of (bytes or None, collection of str)
        Each sample's JSON and the suffixes of its members; none is an MMC4 document.

    Returns
    -------
    str or None
        None unless all have one known shape; JSON that is broken may be of any.

    Examples
    --------
    >>> of_samples([(b'{"images": [null], "texts": ["A boat."]}', ())])
    'documents of the lists images and texts, as OBELICS and OmniCorpus have them'
    """
    parsed = [(_parsed(raw), members) for raw, members in found]
    seen = [(info, members) for info, members in parsed if info is not _BROKEN]
    if not seen or (len(seen) < len(found) and any(info is _ABSENT for info, _ in seen)):
        return None
    return next((s.words for s in SHAPES if all(s.fits(*one) for one in seen)), None)


def of_head(head: bytes, *, lines: bool) -> str | None:
    r"""Say what a file looks like by its first bytes.

    Parameters
    ----------
    head : bytes
        The first `HEAD`, unpacked.
    lines : bool
        Whether the file's name says that it is a .jsonl.

    Examples
    --------
    >>> of_head(b"PAR1\x15\x04", lines=False)
    'a Parquet file, as OBELICS, OmniCorpus and LAION come'
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
        return "a table, CSV or TSV, as lists of image–text pairs come"
    return None
