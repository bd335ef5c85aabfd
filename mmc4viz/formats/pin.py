"""PIN: documents in Markdown, with links to their images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mmc4viz.formats.format import Container, Format, Mmc4Page, PageBuilder
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.types import DocumentError

_IMAGE: Final = re.compile(
    r"""!\[[^\]\n]{0,2000}\]\(\s*<?([^)\s>]{1,2000})>?[^)\n]{0,2000}\)|<img\s[^>]{0,2000}?src=["']([^"'>]{1,2000})["'][^>]{0,2000}>""",
    re.IGNORECASE,
)


def _pin(row: Mapping[str, Any], members: Any, unit: TextUnit) -> Mmc4Page:
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


PIN: Final = Format(
    "pin",
    "PIN-14M or PIN-200M",
    frozenset({"md", "content_image"}),
    frozenset({Container.LINES, Container.ARRAY}),
    '{"id": 1, "md": "A boat.\\n![](content_image/a.png)", '
    '"content_image": ["content_image/a.png"]}',
    _pin,
    in_page_order=True,
)
