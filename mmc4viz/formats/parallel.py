"""Formats with texts and images in two parallel lists: at each place, one of the two is null.

OBELICS began it; OmniCorpus, the Multimodal Textbook and MINT-1T do the same. They differ in what
stands for an image and in what is recorded of it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mmc4viz.formats.format import (
    LIMIT,
    LIMIT_MB,
    Container,
    Format,
    Mmc4Page,
    PageBuilder,
    Place,
    shown_as,
    text_of,
)
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.loader.images import limit_bytes, open_image
from mmc4viz.types import DocumentError

_ROWS: Final = frozenset({Container.PARQUET, Container.LINES, Container.ARRAY})


def parallel(
    row: Mapping[str, Any],
    unit: TextUnit,
    url: str,
    image: Callable[[Any, int, int], Place],
) -> Mmc4Page:
    """Build a page from parallel lists.

    Parameters
    ----------
    row : mapping
        With lists ``texts`` and ``images``.
    unit : TextUnit
    url : str
        The page's.
    image : callable
        A value of ``images``, its place in the lists, and its number among the images → the image.

    Raises
    ------
    DocumentError
        When the lists differ in length, or have both or neither at a place.
    """
    texts, images = (_listed(row, name) for name in ("texts", "images"))
    _check_lengths(texts, images, "images")
    builder, number = PageBuilder(unit), 0
    for place, (text, shown) in enumerate(zip(texts, images, strict=True)):
        if (text is None) == (shown is None):
            what = "neither a text nor" if text is None else "both a text and"
            raise DocumentError(f"place {place + 1} of {len(texts)} has {what} an image")
        if shown is not None:
            builder.add_image(*image(shown, place, number))
            number += 1
        elif isinstance(text, str):
            builder.add_text(text)
        else:
            raise DocumentError(f"place {place + 1} of texts is not text")
    return builder.page(url)


def _listed(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = row[name]
    if not isinstance(found, list):
        raise DocumentError(f"{name} is {'null' if found is None else 'not a list'}")
    return found


def _check_lengths(texts: Sequence[Any], images: Sequence[Any], name: str) -> None:
    if len(texts) != len(images):
        raise DocumentError(f"texts has {len(texts)} places, {name} {len(images)}")


def object_in(value: Any, what: str) -> Any:
    """Return a value that may be written as JSON in a string.

    Raises
    ------
    DocumentError
        When the string is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise DocumentError(f"{what} is not valid JSON") from None


def _obelics(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    facts = object_in(row.get("metadata"), "metadata")
    facts = facts if isinstance(facts, list) else []
    url = text_of(object_in(row.get("general_metadata"), "general_metadata"), "url")
    known = next((one for one in facts if isinstance(one, Mapping)), None)

    def image(value: Any, place: int, number: int) -> Place:
        fact = facts[place] if place < len(facts) else None
        name = text_of(fact, "formatted_filename")
        return shown_as(value, name, text_of(fact, "src", "unformatted_src"))

    return parallel(row, unit, url or text_of(known, "document_url") or text_of(row, "url"), image)


def _obelics_urls(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    urls = _listed(row, "images_urls")
    _check_lengths(_listed(row, "texts"), urls, "images_urls")
    return _obelics({**row, "images": [one or None for one in urls]}, members, unit)


def _omnicorpus(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    facts = row.get("metadata")
    facts = facts if isinstance(facts, list) else []

    def image(value: Any, place: int, number: int) -> Place:
        name, url, data = shown_as(value)
        fact = facts[place] if place < len(facts) else None
        name = name or text_of(fact, "img_url_sha") or (hashed(url) if url else "")
        return name, url, data

    return parallel(row, unit, text_of(row.get("general_metadata"), "url"), image)


def hashed(url: str) -> str:
    """Return the name under which OmniCorpus stores the image of a URL: its SHA-256."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    def image(value: Any, place: int, number: int) -> Place:
        return shown_as(value)

    return parallel(row, unit, text_of(row, "url"), image)


def _mint1t(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    """Take the n-th frame of the TIFF for the n-th image, unless that names a member of its own."""
    frames = _Frames(members)

    def image(value: Any, place: int, number: int) -> Place:
        own = members.get(value.rpartition(".")[2].lower()) if isinstance(value, str) else None
        name, url, data = ("", "", None) if not isinstance(value, str) else shown_as(value)
        return name, url, data or frames.take(own)

    return parallel(row, unit, text_of(row, "url"), image)


_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "LA": 2, "RGB": 3}


class _Frames:
    """Hands out the frames of TIFFs in order; any other image as it is."""

    def __init__(self, members: Mapping[str, bytes]) -> None:
        tiffs = (data for suffix, data in members.items() if suffix in ("tiff", "tif"))
        self._default = next(tiffs, next(iter(members.values()), None))
        self._opened: dict[int, FramesOfTiff] = {}
        self._left = limit_bytes(LIMIT, LIMIT_MB)

    def take(self, own: bytes | None) -> bytes | None:
        """Return the next frame; None beyond the last one.

        Raises
        ------
        DocumentError
            When all frames together exceed the limit on a document's size.
        """
        data = self._default if own is None else own
        if data is None or data[:4] not in _TIFF:
            return data
        frames = self._opened.setdefault(id(data), FramesOfTiff(data))
        frame = frames.next(self._left)
        self._left -= len(frame or b"")
        return frame


class FramesOfTiff:
    """The frames of a TIFF, one after the other, each as a TIFF of its own, uncompressed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._number = 0
        self._image: Any = None

    def next(self, most: int) -> bytes | None:
        """Return the next frame; None beyond the last one.

        A frame that cannot be decoded gives what there is of the file, which then does not decode.

        Parameters
        ----------
        most : int
            Largest frame that is decoded, in bytes.

        Raises
        ------
        DocumentError
            When the frame is larger.
        """
        number, self._number = self._number, self._number + 1
        try:
            image = self._image = self._image or open_image(io.BytesIO(self._data))
            image.seek(number)
            size = image.width * image.height * _BYTES.get(image.mode, 4)
            if size > most:
                raise DocumentError(
                    f"its frames exceed the limit of {limit_bytes(LIMIT, LIMIT_MB) / 1e6:,.0f} MB "
                    f"when unpacked: raise {LIMIT}"
                )
            buffer = io.BytesIO()
            image.copy().save(buffer, format="TIFF", compression="raw")
            return buffer.getvalue()
        except EOFError:
            return None
        except (DocumentError, MemoryError):
            raise
        except Exception:  # Pillow's plugins raise any exception on malicious bytes
            return self._data[:8]


def _struct(row: Mapping[str, Any]) -> bool:
    return isinstance(row["general_metadata"], Mapping)


def _format(name: str, words: str, fields: str, to_page: Any, example: str, **more: Any) -> Format:
    containers = more.pop("containers", _ROWS)
    return Format(
        name,
        words,
        frozenset(fields.split()),
        containers,
        example,
        to_page,
        in_page_order=True,
        **more,
    )


OMNICORPUS: Final = _format(
    "omnicorpus",
    "OmniCorpus-CC or OmniCorpus-210M",
    "images texts general_metadata metadata",
    _omnicorpus,
    '{"general_metadata": {"id": "…", "url": "https://…", "fluency_prob": 0.9}, '
    '"images": [null, "https://…/a.jpg"], "texts": ["A boat.", null], '
    '"metadata": [null, {"width": 640, "height": 480}]}',
    check=_struct,
)
OBELICS: Final = _format(
    "obelics",
    "OBELICS",
    "images texts metadata general_metadata",
    _obelics,
    '{"images": [null, "https://…/a.jpg"], "texts": ["A boat.", null], '
    '"metadata": "[null, {\\"src\\": \\"https://…/a.jpg\\", \\"formatted_filename\\": \\"a\\"}]", '
    '"general_metadata": "{\\"url\\": \\"https://…\\"}"}',
)
OBELICS_URLS: Final = _format(
    "obelics-urls",
    "documents of OBELICS's own pipeline",
    "url texts images_urls",
    _obelics_urls,
    '{"url": "https://…", "texts": ["A boat.", null], "images_urls": ["", "https://…/a.jpg"]}',
)
TEXTBOOK: Final = _format(
    "textbook",
    "the Multimodal Textbook",
    "images texts text_ocr_list",
    _plain,
    '{"images": ["v/v@10.0_55.0#2.jpg", null], "texts": [null, "We add two."], '
    '"text_ocr_list": [null, "We add two. 1+1"], "image_num": 1}',
)
MINT1T: Final = _format(
    "mint-1t",
    "MINT-1T, a tar with one TIFF for each document",
    "images texts",
    _mint1t,
    '{"texts": ["A boat.", null], "images": [null, "page_1_image_0"]} beside a TIFF with a frame '
    "for each image",
    members=frozenset({"tif", "tiff", "jpg", "jpeg", "png", "webp"}),
    containers=frozenset({Container.TAR}),
)
INTERLEAVED: Final = _format(
    "interleaved",
    "documents with parallel lists texts and images, as of MINT-1T's HTML part and this tool's own "
    "export for Hugging Face datasets",
    "images texts",
    _plain,
    '{"images": [null, "https://…/a.jpg"], "texts": ["A boat.", null]}',
)
