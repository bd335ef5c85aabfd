"""Formats with an order of their own: NeMo Curator's rows, mOSCAR's nodes, PIN's Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mmc4viz.formats.format import Container, Format, Page, PageBuilder
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.types import DocumentError

_LINES: Final = frozenset({Container.LINES, Container.ARRAY})


def _curator(rows: Sequence[Mapping[str, Any]], members: Any, unit: TextUnit) -> Page:
    """Build a page from the rows of one ``sample_id``, in the order of ``position``.

    Rows of other modalities than text and image hold nothing for a page.
    """
    builder, url = PageBuilder(unit), ""
    for row in sorted(rows, key=_position):
        if row.get("modality") == "text" and isinstance(row.get("text_content"), str):
            builder.add_text(row["text_content"])
        elif row.get("modality") == "image":
            data = row.get("binary_content")
            builder.add_image(_member(row), "", data if isinstance(data, bytes) and data else None)
        elif row.get("modality") == "metadata" and isinstance(row.get("url"), str):
            url = row["url"]
    return builder.page(url)


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


def _moscar(row: Mapping[str, Any], members: Any, unit: TextUnit) -> Page:
    """Build a page from nodes that are numbered in one order, or named in it."""
    texts, images = row["text"], row["images"]
    if not isinstance(texts, list) or not isinstance(images, list):
        raise DocumentError(f"{'images' if isinstance(texts, list) else 'text'} is not a list")
    facts = row["metadata"]
    facts = facts[0] if isinstance(facts, list) and facts else facts
    facts = facts if isinstance(facts, Mapping) else {}
    nodes = {("text", _number(one, "text_idx")): one for one in texts}
    nodes |= {("image", _number(one, "img_idx")): one for one in images}
    builder = PageBuilder(unit)
    for kind, number in _order(facts.get("node_order"), list(nodes)):
        node = nodes[kind, number]
        if kind == "text":
            builder.add_text(node["text"] if isinstance(node.get("text"), str) else "")
        else:
            sha, url = node.get("sha512"), node.get("url")
            builder.add_image(
                sha if isinstance(sha, str) else "", url if isinstance(url, str) else ""
            )
    url = facts.get("url")
    return builder.page(url if isinstance(url, str) else "")


def _number(node: Any, name: str) -> int:
    number = node.get(name) if isinstance(node, Mapping) else None
    if type(number) is not int:
        raise DocumentError(f"a node's {name} is not a whole number")
    return number


def _order(found: Any, nodes: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the nodes in page order: as named (``text_0``, ``img_0``), or else as numbered."""
    if not isinstance(found, list):
        return sorted(nodes, key=lambda node: node[1])
    order = []
    for name in found:
        match = re.fullmatch(r"(text|img|image)_?(\d{1,9})", str(name))
        node = (match[1].replace("img", "image"), int(match[2])) if match else ("", -1)
        if node not in nodes:
            raise DocumentError(f"node_order names {str(name)[:50]!r}, which is no node")
        order.append(node)
    return order


_IMAGE: Final = re.compile(
    r"""!\[[^\]\n]{0,2000}\]\(\s*<?([^)\s>]{1,2000})>?[^)\n]{0,2000}\)|<img\s[^>]{0,2000}?src=["']([^"'>]{1,2000})["'][^>]{0,2000}>""",
    re.IGNORECASE,
)


def _pin(row: Mapping[str, Any], members: Any, unit: TextUnit) -> Page:
    """Cut Markdown at its images; its other markup stays, as it does in training."""
    text = row["md"]
    if not isinstance(text, str):
        raise DocumentError("md is not text")
    builder, at = PageBuilder(unit), 0
    for match in _IMAGE.finditer(text):
        builder.add_text(text[at : match.start()])
        target = match[1] or match[2]
        is_url = target.startswith(("http://", "https://"))
        builder.add_image("" if is_url else target, target if is_url else "")
        at = match.end()
    builder.add_text(text[at:])
    return builder.page("")


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
MOSCAR: Final = Format(
    "moscar",
    "mOSCAR",
    frozenset({"images", "text", "metadata"}),
    _LINES,
    '{"images": [{"img_idx": 1, "sha512": "…", "url": "https://…"}], '
    '"text": [{"text": "A boat.", "text_idx": 0}], "metadata": [{"url": "https://…"}]}',
    _moscar,
    in_page_order=True,
)
PIN: Final = Format(
    "pin",
    "PIN-14M or PIN-200M",
    frozenset({"md", "content_image"}),
    _LINES,
    '{"id": 1, "md": "A boat.\\n![](content_image/a.png)", "content_image": ["content_image/a.png"]}',
    _pin,
    in_page_order=True,
)
