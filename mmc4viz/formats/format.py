"""What a format is: how its samples are recognized, and how each becomes a page.

A page is what MMC4's own JSON would hold. So everything after reading (columns, the document view,
scoring, exports) knows one kind of document, and a format is one small module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any, Final

import numpy as np
import pybase64

from mmc4viz.formats.sentences import TextUnit, cut
from mmc4viz.loader.images import words
from mmc4viz.loader.parse import NO_JSON
from mmc4viz.loader.skim import image_mark, image_number
from mmc4viz.types import DocumentError

LIMIT: Final = "MMC4VIZ_MAX_DOCUMENT_MB"
"""Environment variable for the maximum size of a document in MB."""
LIMIT_MB: Final = 256  # 117 images, the most in MMC4, at 1.6 MB each and as base64


class Container(StrEnum):
    """What kind of file holds samples."""

    TAR = "tar"
    LINES = "jsonl"
    ARRAY = "json"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Mmc4Page:
    """A document as MMC4's JSON has it, with its images beside it.

    Attributes
    ----------
    info : dict
        MMC4's fields. In entries of ``image_info``, the ``image_base64`` of the n-th image is the
        mark that `mmc4viz.loader.skim.skim` writes in its place.
    images : list of bytes
    """

    info: dict[str, Any]
    images: list[bytes] = field(default_factory=list)

    def as_json(self) -> bytes:
        r"""Return MMC4's JSON, images in base64.

        Examples
        --------
        >>> Mmc4Page({"image_info": [{"image_base64": "\x000"}]}, [b"MMC4"]).as_json()
        b'{"image_info": [{"image_base64": "TU1DNA=="}]}'
        """
        entries = [self._in_base64(entry) for entry in self.info.get("image_info", ())]
        whole = self.info | ({"image_info": entries} if entries else {})
        text = json.dumps(whole, ensure_ascii=False, default=np.ndarray.tolist)
        return text.encode("utf-8", "surrogatepass")

    def _in_base64(self, entry: dict[str, Any]) -> dict[str, Any]:
        number = image_number(entry)
        if number is None:
            return entry
        return entry | {"image_base64": pybase64.b64encode(self.images[number]).decode()}


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a shard, and its place there.

    Attributes
    ----------
    key : str
    raw : bytes or None
        Its JSON; None for one without JSON, or that is not read (``why``).
    offset, size : int
        Place of ``raw``, in bytes of the decompressed shard; in Parquet the first row and the
        number of rows. The offset is -1 if there is nothing to read again.
    suffixes : tuple of str
        Suffixes of its other members in a tar.
    why : str
        Why ``raw`` is None.
    row : mapping or None
        Its fields, parsed, if they are not in ``raw``.
    n_bytes : int
        The size of ``row`` in memory, about.
    members : mapping of str to bytes
        Its images in a tar by suffix, if the format needs them.
    span : (int, int)
        Offset and size of all its members in a tar.
    page : Mmc4Page or None
        What it is as an MMC4 document, in another format than MMC4's own.
    format : str
        Name of that format; empty for MMC4's own.
    """

    key: str
    raw: bytes | None
    offset: int = -1
    size: int = 0
    suffixes: tuple[str, ...] = ()
    why: str = NO_JSON
    row: Any = None
    n_bytes: int = 0
    members: Mapping[str, bytes] = field(default_factory=dict)
    span: tuple[int, int] = (-1, 0)
    page: Mmc4Page | None = None
    format: str = ""

    def as_json(self) -> bytes:
        """Return MMC4's JSON: its own, or its page's; empty if it was not read."""
        return (self.raw or b"") if self.page is None else self.page.as_json()

    def fields(self) -> Any:
        """Return its parsed fields; None without JSON, `BROKEN` if that is not valid."""
        if self.row is not None or self.raw is None:
            return self.row
        try:
            return json.loads(self.raw)
        except (ValueError, RecursionError):
            return BROKEN


class Broken(Enum):
    """In place of a sample's fields: its JSON is not valid."""

    BROKEN = "broken"


BROKEN: Final = Broken.BROKEN

ToPage = Callable[[Any, Mapping[str, bytes], TextUnit], Mmc4Page]
"""A sample's parsed fields, its image members, and the unit of text → its page.

Raises a DocumentError for a sample that has no page.
"""


@dataclass(frozen=True, slots=True)
class Format:
    """How a corpus is written.

    Attributes
    ----------
    name : str
        As ``--input-format`` takes it.
    words : str
        What it is, in a few words that can follow "looks like".
    fields : frozenset of str
        Fields by which it is recognized.
    containers : frozenset of Container
        Files it comes in.
    example : str
        One sample, shortened.
    to_page : callable or None
        Turns a sample into a page; None if its JSON is MMC4's already.
    members : frozenset of str
        Suffixes of image members, of which a sample has at least one.
    check : callable or None
        A further condition on the parsed fields.
    in_page_order : bool
        Whether the place of images on the page is known.
    has_scores : bool
        Whether documents have a similarity matrix.
    groups : str
        The column whose equal neighbors make one sample of several rows.
    """

    name: str
    words: str
    fields: frozenset[str]
    containers: frozenset[Container]
    example: str
    to_page: ToPage | None = None
    members: frozenset[str] = frozenset()
    check: Callable[[Mapping[str, Any]], bool] | None = None
    in_page_order: bool = False
    has_scores: bool = False
    groups: str = ""

    def fits(self, row: Any, suffixes: frozenset[str], container: Container) -> bool:
        """Whether a sample, parsed, has this format."""
        return (
            container in self.containers
            and isinstance(row, Mapping)
            and self.fields <= row.keys()
            and (not self.members or bool(self.members & {_last(one) for one in suffixes}))
            and (self.check is None or self.check(row))
        )

    def paged(self, sample: Sample, unit: TextUnit) -> Sample:
        """Return a sample with its page, or with the reason why it has none."""
        if self.to_page is None:
            return sample
        found = sample.fields()
        if found is None:
            return sample
        try:
            if found is BROKEN:
                raise DocumentError("not valid JSON")
            if not self.groups and not isinstance(found, Mapping):
                raise DocumentError("not a JSON object")
            page = self.to_page(found, sample.members, unit)
        except DocumentError as error:
            return self._unread(sample, str(error))
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            return self._unread(sample, f"not {self.words}: {words(error)}")
        place = sample.span if self.members else (sample.offset, sample.size)
        return replace(
            sample, raw=None, row=None, members={}, page=page, format=self.name,
            offset=place[0], size=place[1],
        )  # fmt: skip

    def _unread(self, sample: Sample, why: str) -> Sample:
        return Sample(sample.key, None, suffixes=sample.suffixes, why=why, format=self.name)


def _last(suffix: str) -> str:
    return suffix.rpartition(".")[2]


IMAGE_SUFFIXES: Final = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})


Place = tuple[str, str, bytes | None]
"""An image's name, URL and bytes."""


def shown_as(value: Any, name: str = "", url: str = "") -> Place:
    """Return an image as a dataset's row holds it: a URL, a path, bytes, or Arrow's image struct.

    Examples
    --------
    >>> shown_as("http://a.b/c.jpg"), shown_as({"bytes": b"MMC4", "path": "c.jpg"})
    (('', 'http://a.b/c.jpg', None), ('c.jpg', '', b'MMC4'))
    """
    if isinstance(value, str):
        is_url = value.startswith(("http://", "https://"))
        return (name, value, None) if is_url else (name or value, url, None)
    if isinstance(value, bytes):
        return name, url, value
    if isinstance(value, Mapping):
        path, data = value.get("path"), value.get("bytes")
        name = path if isinstance(path, str) and path else name
        return name, url, data if isinstance(data, bytes) else None
    raise DocumentError("an image is neither a URL, a path nor bytes")


def text_of(found: Any, *names: str) -> str:
    """Return the first of some fields that is text and not empty; empty without one.

    Examples
    --------
    >>> text_of({"src": None, "url": "http://a.b"}, "src", "url"), text_of(None, "url")
    ('http://a.b', '')
    """
    if isinstance(found, dict):
        for name in names:
            value = found.get(name)
            if isinstance(value, str) and value:
                return value
    return ""


class PageBuilder:
    """Collects texts and images in page order.

    Examples
    --------
    >>> builder = PageBuilder(TextUnit.SENTENCE)
    >>> builder.add_image("0.jpg")
    >>> builder.add_text("A boat. A lake.")
    >>> page = builder.page("http://a.b")
    >>> page.info["text_list"], page.info["image_info"][0]["matched_text_index"]
    (['A boat.', 'A lake.'], 0)
    """

    def __init__(self, unit: TextUnit) -> None:
        self._unit = unit
        self._texts: list[str] = []
        self._entries: list[dict[str, Any]] = []
        self._images: list[bytes] = []

    def add_text(self, text: str) -> None:
        """Add a text, cut into units."""
        self._texts += cut(text, self._unit)

    def add_image(self, name: str = "", url: str = "", data: bytes | None = None) -> None:
        """Add an image: its name, its URL, and its bytes if they are at hand."""
        entry = {"image_name": name, "raw_url": url, "matched_text_index": len(self._texts)}
        if data is not None:
            entry["image_base64"] = image_mark(len(self._images))
            self._images.append(data)
        self._entries.append(entry)

    def page(self, url: str) -> Mmc4Page:
        """Return the page; its images precede the text that they are matched to, if any follows.

        There are no scores yet: every one is NaN.
        """
        last = len(self._texts) - 1
        for entry in self._entries:
            entry["matched_text_index"] = min(entry["matched_text_index"], last)
        unknown = np.full((len(self._entries), len(self._texts)), np.nan)
        info = {"url": url, "text_list": self._texts, "image_info": self._entries}
        return Mmc4Page(info | {"similarity_matrix": unknown}, self._images)
