"""Text from documents and files as text: escaped, never markup. Everything foreign goes through it.

Streamlit reads Markdown in most of what it is given; what comes from elsewhere is therefore shown
by `st.html` with every character of it escaped here, or in a table's cells.
"""

from __future__ import annotations

import html
import unicodedata
from typing import Literal

import streamlit as st

_SHOWN = {"\n", "\t", "\u00ad", "\u200c", "\u200d"}  # breaks; joiners that scripts need
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str) -> str:
    r"""Write control and formatting characters as escapes, so that they show and do nothing.

    Examples
    --------
    >>> plain("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in _HIDDEN and c not in _SHOWN
        else c
        for c in text
    )


def escaped(text: str) -> str:
    """Write text so that it stands as itself in HTML, in an attribute too.

    Examples
    --------
    >>> escaped("<b onclick='x'>")
    '&lt;b onclick=&#x27;x&#x27;&gt;'
    """
    return html.escape(plain(text), quote=True)


def note(text: str, kind: Literal["note", "error"] = "note") -> None:
    """Show one line about the input; an error is announced to screen readers."""
    role = "alert" if kind == "error" else "note"
    words = escaped(" ".join(text.split()))
    st.html(f'<div class="mmc-note mmc-{kind}" role="{role}">{words}</div>')
