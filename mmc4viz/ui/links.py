"""From any page to one document, or to a list of documents. Draws nothing."""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

from mmc4viz.ui import state

DOCUMENT: Final = "doc"  # its shard's position and its row
FILTER: Final = "f."


def open_document() -> tuple[int, int] | None:
    """Return the open document's shard and row, as far as the address says any."""
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", state.get(DOCUMENT), re.ASCII)
    return (int(found[1]), int(found[2])) if found else None


def keep_open(place: tuple[int, int] | None) -> None:
    """Keep which document is open."""
    state.put(DOCUMENT, None if place is None else f"{place[0]}.{place[1]}")


def go_to_document(part: int, row: int) -> None:
    """Leave for the page Documents, with one of them open."""
    keep_open((part, row))
    _go()


def put_filters(**filters: str) -> None:
    """Set these filters and the order of the page Documents, and no others."""
    for name in state.named(FILTER):
        state.put(FILTER + name, None)
    for name, value in filters.items():
        state.put(FILTER + name, value)


def go_to_list() -> None:
    """Leave for the page Documents, with none of them open."""
    keep_open(None)
    _go()


def _go() -> None:
    state.begin_anew()
    st.switch_page(st.session_state["pages"]["Documents"], query_params=state.address())
