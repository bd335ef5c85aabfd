"""One document read again from its shard, with small pictures: the data behind its view.

Pictures are decoded and encoded anew, small, so that no byte of an unknown format reaches the
browser. Nothing is judged here; the walk does that.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np
import streamlit as st
from PIL import Image as PillowImage

from mmc4viz.corpus.columns import Columns, Kind
from mmc4viz.corpus.shards import fetch, image_source
from mmc4viz.loader.images import Embedded, ImageSource
from mmc4viz.loader.parse import parse_document, read_json
from mmc4viz.model import Document
from mmc4viz.ui import data

SIDE: Final = 224  # pixels
MOST_PIXELS: Final = 64_000_000
MOST_IMAGES: Final = 100


@dataclass(frozen=True)
class Opened:
    """A document with its pictures.

    Attributes
    ----------
    shard : str
        Base name.
    document : Document
        With the chosen model's similarity.
    pictures : tuple of (str or None)
        For each of the first images a small JPEG as a data URI; None where it has none.
    """

    shard: str
    document: Document
    pictures: tuple[str | None, ...]


def opened(source: data.Source, part: int, row: int) -> Opened:
    """Read a document again; raises a ShardError when its shard has changed."""
    return _opened(source, part, row)


@st.cache_resource(max_entries=64, show_spinner=False)
def _opened(source: data.Source, part: int, row: int) -> Opened:
    columns = data.columns_of(source)[part]
    shard = columns.shard
    offset, size = (int(columns.numbers(name)[row]) for name in ("offset", "size"))
    if offset < 0:
        return Opened(shard.name, columns.document(row), ())
    raw = fetch(shard, offset, size)
    images = image_source(shard, source.image_dir.path if source.image_dir else None)
    document = parse_document(str(columns.batch.column("key")[row]), raw, images)
    if source.sidecar is not None:
        document = _with_columns_similarity(document, columns, row)
    return Opened(shard.name, document, tuple(_pictures(document, raw, images)))


def _with_columns_similarity(document: Document, columns: Columns, row: int) -> Document:
    """Put the chosen model's similarity, which the columns hold, in place of the shard's own."""
    kind = Kind(int(columns.kind[row]))
    if kind is Kind.UNREADABLE or document.is_gpt:
        return document
    if kind is Kind.LITERAL:
        return replace(document, similarity=columns.document(row).similarity)
    starts = columns.offsets("similarity")
    values = columns.values("similarity")[starts[row] : starts[row + 1]].astype(np.float64)
    width = int(columns.numbers("n_sentences")[row])
    return replace(document, similarity=values.reshape(-1, width))


def _pictures(document: Document, raw: bytes, images: ImageSource) -> Iterator[str | None]:
    """Draw each image small; None for one that cannot be shown."""
    try:
        info = read_json(raw)
    except ValueError:
        return
    entries = _chatgpt_entries(info) if document.is_gpt else _entries(info)
    source = Embedded() if document.is_gpt else images
    for entry in islice(entries, min(len(document.images), MOST_IMAGES)):
        try:
            found = source.data(entry)
        except Exception:  # whatever the entry is, the walk's words say what is wrong with it
            found = None
        yield None if found is None else thumbnail(found)


def _entries(info: Any) -> Iterator[Any]:
    entries = info.get("image_info") if isinstance(info, dict) else None
    yield from entries if isinstance(entries, list) else ()


def _chatgpt_entries(info: Any) -> Iterator[Any]:
    image_map = info.get("image_map")
    for number in range(1, len(image_map) + 1) if isinstance(image_map, dict) else ():
        entry = image_map.get(f"_!_IMAGE{number}_!_")
        yield {"image_base64": entry.get("base64_image")} if isinstance(entry, dict) else None


def thumbnail(found: bytes) -> str | None:
    """Encode an image anew as a small JPEG in a data URI; None where it cannot be decoded."""
    buffer = io.BytesIO()
    try:
        with PillowImage.open(io.BytesIO(found)) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft("RGB", (SIDE, SIDE))
            small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE))
            small.save(buffer, format="JPEG", quality=82)
    except Exception:  # Pillow's plugins raise errors of every kind on hostile bytes
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
