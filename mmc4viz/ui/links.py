"""From any page to one document, or to a list of documents. Draws nothing."""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

from mmc4viz.ui import data, state

DOCUMENT: Final = "doc"  # its shard's place in the corpus, and its number in the shard
FILTER: Final = "f."


def open_document(source: data.Source) -> tuple[int, int] | None:
    """Return the open document's part and row, as far as the address says one that is here."""
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", state.get(DOCUMENT), re.ASCII)
    return data.place_here(source, int(found[1]), int(found[2])) if found else None


def keep_open(source: data.Source, place: tuple[int, int] | None) -> None:
    """Keep which document is open, by its part and row."""
    there = None if place is None else data.place_in_corpus(source, *place)
    state.put(DOCUMENT, None if there is None else f"{there[0]}.{there[1]}")


def go_to_document(source: data.Source, part: int, row: int) -> None:
    """Leave for the page Documents, with one of them open."""
    keep_open(source, (part, row))
    _go()


def put_filters(**filters: str) -> None:
    """Set these filters and the order of the page Documents, and no others."""
    for name in state.named(FILTER):
        state.put(FILTER + name, None)
    for name, value in filters.items():
        state.put(FILTER + name, value)


def go_to_list() -> None:
    """Leave for the page Documents, with none of them open."""
    state.put(DOCUMENT, None)
    _go()


def _go() -> None:
    state.begin_anew()
    st.switch_page(st.session_state["pages"]["Documents"], query_params=state.address())
