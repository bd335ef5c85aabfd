"""PIN: documents in Markdown, with links to their images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mmc4viz.formats.format import Container, Format, Mmc4Page, PageBuilder, shown_as
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.types import DocumentError

_IMAGE: Final = re.compile(
    r"""
    !\[ (?: [^\]\n!] | !(?!\[) )*+ \]                     # ![a boat]
    \( [^\S\n]*+ <?+ (?P<markdown> (?: [^)\s>!] | !(?!\[) )++ ) >?+ (?: [^)\n!] | !(?!\[) )*+ \)
    | <img\s (?P<tag> (?: [^<>] | <(?!img\s) )*+ ) >      # <img src="a.png">
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Images in Markdown. It is linear: nothing is matched across the start of another image."""
_SOURCE: Final = re.compile(r"""(?<!\S)src\s*=\s*(["'])([^"']*)\1""", re.IGNORECASE)


_LONGEST: Final = 2000  # characters of a link; longer ones hold the image itself and stay text


def _pin(row: Mapping[str, Any], members: Any, unit: TextUnit) -> Mmc4Page:
    """Cut Markdown at its images; its other markup stays, as it does in training."""
    text = row["md"]
    if not isinstance(text, str):
        raise DocumentError("md is not text")
    builder, at = PageBuilder(unit), 0
    for match in _IMAGE.finditer(text):
        target = match["markdown"] or _source(match["tag"])
        if not 0 < len(target) <= _LONGEST:
            continue
        builder.add_text(text[at : match.start()])
        builder.add_image(*shown_as(target))
        at = match.end()
    builder.add_text(text[at:])
    return builder.page("")


def _source(tag: str) -> str:
    found = _SOURCE.search(tag)
    return "" if found is None else found[2]


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
