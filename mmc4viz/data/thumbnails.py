"""One image and one sentence read again from a shard; pictures encoded anew, small.

No byte of an unknown format leaves this room: what is shown is a JPEG of our own making, as a data
URI. Nothing is judged here.
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
    """One image of a document and one of its sentences; None where there is none to show."""

    picture: str | None
    sentence: str | None


def read_thumbnail(
    shard: Shard, place: tuple[int, int], images: ImageSource | None, image: int, sentence: int
) -> Thumbnail:
    """Read one image and one sentence again.

    Parameters
    ----------
    shard : Shard
    place : (int, int)
        Offset and size of the document; offset -1 without any JSON.
    images : ImageSource or None
        Where images come from; None leaves the picture out.
    image, sentence : int
        The document's own indices.

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
    return Thumbnail(shown, text if isinstance(text, str) else None)


def entries(info: Any) -> Iterator[Any]:
    """Yield what stands in a document's ``image_info``, if that is a list."""
    found = info.get("image_info") if isinstance(info, dict) else None
    yield from found if isinstance(found, list) else ()


def picture(entry: Any, source: ImageSource, side: int = SIDE) -> str | None:
    """Return an entry's image as `thumbnail` does; None where there is none to show."""
    try:
        found = source.data(entry)
    except Exception:  # whatever the entry is, the walk's words say what is wrong with it
        return None
    return None if found is None else thumbnail(found, side)


def thumbnail(found: bytes, side: int = SIDE) -> str | None:
    """Encode an image anew as a small JPEG in a data URI; None where it cannot be decoded."""
    buffer = io.BytesIO()
    try:
        with open_image(io.BytesIO(found)) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
            small.thumbnail((side, side))
            small.save(buffer, format="JPEG", quality=82)
    except Exception:  # Pillow's plugins raise errors of every kind on hostile bytes
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
