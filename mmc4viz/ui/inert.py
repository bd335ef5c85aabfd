"""Text from documents and files as text: escaped, never markup. Everything foreign goes through it.

Streamlit reads Markdown in most of what it is given; what comes from elsewhere is therefore shown
by `st.html` with every character of it escaped, or in a table's cells.
"""

from __future__ import annotations

from typing import Literal

import streamlit as st

from mmc4viz.output import escaped, plain

__all__ = ["escaped", "note", "plain"]


def note(text: str, kind: Literal["note", "error"] = "note") -> None:
    """Show one line about the input; an error is announced to screen readers."""
    role = "alert" if kind == "error" else "note"
    words = escaped(" ".join(text.split()))
    st.html(f'<div class="mmc-note mmc-{kind}" role="{role}">{words}</div>')
