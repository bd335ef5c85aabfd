"""mOSCAR: texts and images that are numbered in one order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mmc4viz.formats.format import Container, Format, Mmc4Page, PageBuilder, text_of
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.types import DocumentError


def _moscar(row: Mapping[str, Any], members: Any, unit: TextUnit) -> Mmc4Page:
    """Build a page from nodes that are numbered in one order, or named in it."""
    texts, images = row["text"], row["images"]
    if not isinstance(texts, list) or not isinstance(images, list):
        raise DocumentError(f"{'images' if isinstance(texts, list) else 'text'} is not a list")
    facts = row["metadata"]
    facts = facts[0] if isinstance(facts, list) and facts else facts
    facts = facts if isinstance(facts, Mapping) else {}
    numbered = [(("text", _number(one, "text_idx")), one) for one in texts]
    numbered += [(("image", _number(one, "img_idx")), one) for one in images]
    nodes = dict(numbered)
    if len(nodes) < len(numbered):
        raise DocumentError("two nodes of a kind have the same number")
    builder = PageBuilder(unit)
    for kind, number in _order(facts.get("node_order"), nodes):
        node = nodes[kind, number]
        if kind == "text":
            builder.add_text(text_of(node, "text"))
        else:
            builder.add_image(text_of(node, "sha512"), text_of(node, "url"))
    return builder.page(text_of(facts, "url"))


def _number(node: Any, name: str) -> int:
    number = node.get(name) if isinstance(node, Mapping) else None
    if type(number) is not int:
        raise DocumentError(f"a node's {name} is not a whole number")
    return number


def _order(found: Any, nodes: Mapping[tuple[str, int], Any]) -> list[tuple[str, int]]:
    """Return the nodes in page order: as named (``text_0``, ``img_0``), or else as numbered.

    Raises
    ------
    DocumentError
        When not each node is named once.
    """
    if not isinstance(found, list):
        return sorted(nodes, key=lambda node: node[1])
    order = []
    for name in found:
        match = re.fullmatch(r"(text|img|image)_?(\d{1,9})", str(name))
        node = (match[1].replace("img", "image"), int(match[2])) if match else ("", -1)
        if node not in nodes:
            raise DocumentError(f"node_order names {str(name)[:50]!r}, which is no node")
        order.append(node)
    if len(set(order)) < len(order):
        raise DocumentError("node_order names a node twice")
    if len(order) < len(nodes):
        raise DocumentError(f"node_order leaves out {len(nodes) - len(order)} of the nodes")
    return order


MOSCAR: Final = Format(
    "moscar",
    "mOSCAR",
    frozenset({"images", "text", "metadata"}),
    frozenset({Container.LINES, Container.ARRAY}),
    '{"images": [{"img_idx": 1, "sha512": "…", "url": "https://…"}], '
    '"text": [{"text": "A boat.", "text_idx": 0}], "metadata": [{"url": "https://…"}]}',
    _moscar,
    in_page_order=True,
)
