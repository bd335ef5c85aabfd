"""NeMo Curator's rows: one for each text and each image of a document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mmc4viz.formats.format import Container, Format, Mmc4Page, PageBuilder
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.types import DocumentError


def _curator(rows: Sequence[Mapping[str, Any]], members: Any, unit: TextUnit) -> Mmc4Page:
    """Build a page from the rows of one ``sample_id``, in the order of ``position``.

    Rows of other modalities than text and image hold nothing for a page.
    """
    if not isinstance(rows[0].get("sample_id"), str | int):
        raise DocumentError("a row has no sample_id")
    builder, url = PageBuilder(unit), ""
    for row in sorted(rows, key=_position):
        if row.get("modality") == "text":
            builder.add_text(_text(row.get("text_content")))
        elif row.get("modality") == "image":
            data = row.get("binary_content")
            builder.add_image(_member(row), "", data if isinstance(data, bytes) and data else None)
        elif row.get("modality") == "metadata" and isinstance(row.get("url"), str):
            url = row["url"]
    return builder.page(url)


def _text(content: Any) -> str:
    if not isinstance(content, str | None):
        raise DocumentError("a row's text_content is not text")
    return content or ""


def _position(row: Mapping[str, Any]) -> int:
    position = row.get("position")
    if type(position) is not int:
        raise DocumentError("a row's position is not a whole number")
    return position


def _member(row: Mapping[str, Any]) -> str:
    """Return the name of an image's file, from the JSON in ``source_ref``."""
    try:
        found = json.loads(row.get("source_ref") or "{}")
    except (ValueError, TypeError, RecursionError):
        return ""
    name = found.get("member") or found.get("path") if isinstance(found, dict) else ""
    return name if isinstance(name, str) else ""


def _is_rows(row: Mapping[str, Any]) -> bool:
    return isinstance(row["sample_id"], str)


CURATOR: Final = Format(
    "nemo-curator",
    "NeMo Curator's rows",
    frozenset({"sample_id", "position", "modality", "text_content"}),
    frozenset({Container.PARQUET}),
    '{"sample_id": "a", "position": 0, "modality": "text", "text_content": "A boat."}, '
    '{"sample_id": "a", "position": 1, "modality": "image", "binary_content": …}',
    _curator,
    check=_is_rows,
    in_page_order=True,
    groups="sample_id",
)
