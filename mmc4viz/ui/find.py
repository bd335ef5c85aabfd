"""Looking for words in the text of listed documents: on request, with progress, abandoned at will.

What was read stays with the session, so that a search goes on where it was left. Reading and
finding is `corpus.listing`'s.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.corpus.listing import search
from mmc4viz.corpus.sweep import Matched
from mmc4viz.model import ShardError
from mmc4viz.ui.inert import note

_EVERY = 0.2  # seconds between reports


@dataclass
class Search:
    """One session's search for some words.

    Attributes
    ----------
    what : hashable
        The data and the words.
    read, hit : ndarray of bool, shape (documents,)
        What was read, and what has the words.
    running : bool
    """

    what: Hashable
    read: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    running: bool = False


def having(source: Hashable, matched: Matched, documents: Ints, words: str) -> tuple[Ints, int]:
    """Draw the search for words, go on with it if it runs.

    Returns
    -------
    (ndarray of int64, int)
        The documents found so far, and how many are still to be searched.
    """
    found = _search((source, words), matched.n_documents)
    todo = documents[~found.read[documents]]
    place = st.empty()
    if found.running and len(todo):
        with place.container():
            _read_on(found, matched, todo, words)
        todo = documents[~found.read[documents]]
    found.running = False
    with place.container(horizontal=True, vertical_alignment="center"):
        hits = documents[found.hit[documents]]
        searched = len(documents) - len(todo)
        if not len(todo):
            st.text(f"Searched the text of all {len(documents):,} documents: {len(hits):,} found.")
        elif searched:
            st.text(f"Searched {searched:,} of {len(documents):,} documents: {len(hits):,} found.")
            st.button("Search on", key="find-start", on_click=_start)
        else:
            st.button(f"Search the text of {len(todo):,} documents", key="find-start",
                      on_click=_start)  # fmt: skip
    return hits, len(todo)


def _search(what: Hashable, n: int) -> Search:
    found: Search | None = st.session_state.get("find")
    if found is None or found.what != what or len(found.read) != n:
        found = st.session_state["find"] = Search(what, np.zeros(n, bool), np.zeros(n, bool))
    return found


def _start() -> None:
    st.session_state["find"].running = True


def _stop() -> None:
    st.session_state["find"].running = False


def _read_on(found: Search, matched: Matched, todo: Ints, words: str) -> None:
    """Read documents until all are read, a shard fails, or the person does something else."""
    st.button("Stop searching", key="find-stop", on_click=_stop)
    bar = st.progress(0.0, "Reading the documents' text …")
    last = time.monotonic()
    try:
        for done, (document, hit) in enumerate(search(matched, todo, words), start=1):
            found.read[document], found.hit[document] = True, hit
            if time.monotonic() - last > _EVERY:
                last = time.monotonic()
                hits = int(found.hit.sum())
                words_now = f"Searched {done:,} of {len(todo):,} documents: {hits:,} found"
                bar.progress(done / len(todo), words_now)
    except ShardError as error:
        note(str(error), "error")
