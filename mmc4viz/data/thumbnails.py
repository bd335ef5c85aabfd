"""Read one image and one sentence from a shard, and re-encode images as small JPEGs.

Only re-encoded images are displayed, as data URIs, so that no untrusted bytes reach the browser.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from mmc4viz.data.shards import Shard, fetch
from mmc4viz.loader.images import ImageSource, open_image
from mmc4viz.loader.parse import read_json

SIDE: Final = 224  # pixels
MOST_PIXELS: Final = 64_000_000


@dataclass(frozen=True)
class Thumbnail:
    """An image of a document and one of its sentences; None if unavailable.

    ``url`` is the image's ``raw_url``, empty without one.
    """

    picture: str | None
    sentence: str | None
    url: str = ""


def read_thumbnail(
    shard: Shard, place: tuple[int, int], images: ImageSource | None, image: int, sentence: int
) -> Thumbnail:
    """Read one image and one sentence of a document.

    Parameters
    ----------
    shard : Shard
    place : (int, int)
        Offset and size of the document; offset -1 if it has no JSON.
    images : ImageSource or None
        Where images come from; None omits the picture.
    image, sentence : int
        Indices in the document.

    Raises
    ------
    ShardError
        When the shard has changed.
    """
    raw = fetch(shard, *place) if place[0] >= 0 else b""
    try:
        info = read_json(raw)
    except ValueError:
        return Thumbnail(None, None)
    texts = info.get("text_list") if isinstance(info, dict) else None
    text = texts[sentence] if isinstance(texts, list) and sentence < len(texts) else None
    entry = next(islice(entries(info), image, None), None)
    shown = None if images is None else picture(entry, images)
    url = entry.get("raw_url") if isinstance(entry, dict) else None
    words = text if isinstance(text, str) else None
    return Thumbnail(shown, words, url if isinstance(url, str) else "")


def entries(info: Any) -> Iterator[Any]:
    """Yield the entries of a document's ``image_info``, if it is a list."""
    found = info.get("image_info") if isinstance(info, dict) else None
    yield from found if isinstance(found, list) else ()


def picture(entry: Any, source: ImageSource, side: int = SIDE) -> str | None:
    """Return the thumbnail of an entry's image; None if unavailable."""
    return pictures(entry, source, side)[0]


def pictures(entry: Any, source: ImageSource, *sides: int) -> tuple[str | None, ...]:
    """Return thumbnails of an entry's image, the largest first; None if unavailable."""
    try:
        found = source.data(entry)
    except Exception:  # the walk reports what is wrong with the entry
        found = None
    return (None,) * len(sides) if found is None else thumbnails(found, *sides)


def thumbnail(found: bytes, side: int = SIDE) -> str | None:
    """Re-encode an image as a small JPEG in a data URI; None if it cannot be decoded."""
    return thumbnails(found, side)[0]


def thumbnails(found: bytes, *sides: int) -> tuple[str | None, ...]:
    """Re-encode an image in several sizes, the largest first; it is decoded once."""
    made = []
    try:
        with open_image(io.BytesIO(found)) as image:
            if image.width * image.height > MOST_PIXELS:
                return (None,) * len(sides)
            image.draft("RGB", (sides[0], sides[0]))
            small = image.convert("RGB")
            for side in sides:
                buffer = io.BytesIO()
                small.thumbnail((side, side))
                small.save(buffer, format="JPEG", quality=82)
                made.append(base64.b64encode(buffer.getvalue()).decode())
    except Exception:  # Pillow's plugins raise any exception on malicious bytes
        return (None,) * len(sides)
    return tuple(f"data:image/jpeg;base64,{one}" for one in made)
