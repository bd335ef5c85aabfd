"""The page Documents: the list with filters and text search, and the open document.

Search results are kept in the session, so a stopped search can be resumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.arrays import Ints
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.query import SORTS, Ordered, search
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import Mmc4vizError, ShardError
from mmc4viz.ui import cache, data, document_data, document_view, html, state
from mmc4viz.ui.components import document_filters, document_list
from mmc4viz.ui.components.document_list import COLUMNS
from mmc4viz.ui.html import NO_DOCUMENTS, note
from mmc4viz.ui.sidebar import Choice

_ROWS: Final = 50  # rows
_COLUMNS: Final = "d.columns"


def _columns() -> list[str]:
    """Ask which columns to show; return them in order."""
    names = state.get(_COLUMNS).split(",")
    wanted = [name for name in names if name in COLUMNS]

    def parse(_: str) -> list[str] | None:
        return wanted if wanted == names else None

    using = ", ".join(wanted) or "all columns"
    if state.understood(_COLUMNS, parse, "a list of this table's columns", using) is None:
        state.put(_COLUMNS, ",".join(wanted) or None)
    state.seed("documents-columns", wanted or list(COLUMNS))

    def keep() -> None:
        chosen = set(st.session_state["documents-columns"]) or set(COLUMNS)
        names = ",".join(name for name in COLUMNS if name in chosen)
        state.put(_COLUMNS, None if chosen == set(COLUMNS) else names)

    with st.popover("Columns", type="tertiary", width="content"):
        chosen = st.pills(
            "Columns of the list",
            list(COLUMNS),
            selection_mode="multi",
            format_func=lambda name: COLUMNS[name].label,
            key="documents-columns",
            on_change=keep,
        )
    return [name for name in COLUMNS if name in chosen] or list(COLUMNS)


_EVERY = 0.2  # seconds between reports


@dataclass
class _Search:
    """A session's text search.

    Attributes
    ----------
    what : hashable
        The data and the words.
    read, hit : ndarray of bool, shape (documents,)
        Documents searched, and documents found.
    running : bool
    error : str
        What ended it early; empty otherwise.
    """

    what: Hashable
    read: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    running: bool = False
    error: str = ""


def _search_text(
    source: Hashable, matched: Matched, documents: Ints, words: str
) -> tuple[Ints, int]:
    """Draw the text search, and continue it if it is running.

    Returns
    -------
    (ndarray of int64, int)
        The documents found so far, and how many are not searched yet.
    """
    found = _search((source, words), matched.n_documents)
    todo = documents[~found.read[documents]]
    place = st.empty()
    if found.running and len(todo):
        with place.container():
            found.error = _read_on(found, matched, documents, words)
        place.empty()
        todo = documents[~found.read[documents]]
    found.running = False
    hits = documents[found.hit[documents]]
    with place.container(horizontal=True, vertical_alignment="center"):
        if len(todo) == len(documents):
            st.button(f"Search {len(todo):,} documents", key="find-start", on_click=_start)
        else:
            state_ = "Stopped at" if len(todo) else "Searched all"
            st.text(_progress(state_, len(documents) - len(todo), len(documents), len(hits)))
            if len(todo):
                st.button("Continue search", key="find-start", on_click=_start)
    if found.error:
        note(found.error, "error")
    return hits, len(todo)


def _progress(state_: str, searched: int, whole: int, hits: int) -> str:
    """Say how far a search has come.

    Examples
    --------
    >>> _progress("Searching", 120, 240, 34), _progress("Searched all", 240, 240, 51)
    ('Searching 120 of 240 documents: 34 found', 'Searched all 240 documents: 51 found')
    """
    of = f"{searched:,} of {whole:,}" if searched < whole else f"{whole:,}"
    return f"{state_} {of} documents: {hits:,} found"


def _search(what: Hashable, n: int) -> _Search:
    """Return the session's search, a new one for other data or words; typing words starts it."""
    found: _Search | None = st.session_state.get("find")
    if found is None or found.what != what or len(found.read) != n:
        found = st.session_state["find"] = _Search(what, np.zeros(n, bool), np.zeros(n, bool))
    found.running |= st.session_state.pop(document_filters.TYPED, False)
    return found


def _start() -> None:
    st.session_state["find"].running = True


def _stop() -> None:
    st.session_state["find"].running = False


def _read_on(found: _Search, matched: Matched, documents: Ints, words: str) -> str:
    """Search until all are read, a shard fails (return why), or the run is superseded."""
    todo, whole = documents[~found.read[documents]], len(documents)
    searched, hits = whole - len(todo), int(found.hit[documents].sum())
    with st.container(horizontal=True, vertical_alignment="center"):
        line = st.empty()
        st.button("Stop search", key="find-stop", on_click=_stop)
    bar, last = st.empty(), -math.inf
    try:
        for document, hit in search(matched, todo, words):
            found.read[document], found.hit[document] = True, hit
            searched, hits = searched + 1, hits + hit
            if time.monotonic() - last > _EVERY:
                last = time.monotonic()
                line.text(_progress("Searching", searched, whole, hits))
                bar.progress(searched / whole)
    except ShardError as error:
        return str(error)
    return ""


_MOST_IN_CSV: Final = 100_000  # rows
_PAGE: Final = f"{state.FILTER}page"
_SETTING: Final = "documents-setting"  # data and settings of the last list
_TURN: Final = "documents-turn"  # whether to go to the open document's page
_SHOWN: Final = "documents-shown"  # the rows of the list, a `_ListPage`
_WANTED: Final = "documents-wanted"  # documents whose images are asked for
_DRAWN: Final = "documents-drawn"  # the parts drawn, each with its state then
_Part = Literal["page", "list", "open", "pictures"]
_Position = tuple[int | None, int | None, int | None]
"""A document's position in the list, and the documents before and after it."""


@dataclass(frozen=True)
class _ListPage:
    """The documents of the list's page with one more on each side, the first at rank ``start``."""

    start: int
    around: list[int]


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Documents", anchor=False)
    if not data.matched_of(choice.source, choice.config).n_documents:
        note(NO_DOCUMENTS, "error")
        return
    now = document_filters.filters_of_address()
    document_filters.draw(now, choice.scale.step, choice.scale.digits)
    _follow(choice)
    listed, unread = _listed(choice, now)
    st.session_state[_DRAWN] = {"page": _state_of("page")}
    with st.container(key="documents-split"):
        listing, panel = st.columns(2, gap="medium")
    with listing:
        _list(choice, now, listed, unread)
        ways = st.container(horizontal=True, vertical_alignment="center", key="ways")
        ways.empty()  # a fragment can write to a container that was written to
    with panel:
        _open_document(choice, listed, ways)
    _read_pictures(choice)


@st.fragment
def _list(choice: Choice, now: document_filters.Filters, listed: Ordered, unread: int) -> None:
    """Draw the list, which changes when it is turned or has other columns."""
    with _part("list"):
        st.session_state[_SHOWN] = _ListPage(0, [])
        if len(listed):
            _table(choice, now, listed)
        elif not unread:
            note("No documents match. Change or clear the filters.")


@st.fragment
def _open_document(choice: Choice, listed: Ordered, ways: DeltaGenerator) -> None:
    """Draw the open document and the ways to others, which change when another one is opened."""
    with _part("open"):
        opened = _opened(choice)
        document_list.relay("open", opened, partial(_open, choice))
        if len(listed):
            with ways:
                _navigation(choice, listed, opened)
        if opened is None:
            _get_ready(choice)
            st.text("Select a row to open its document, or press J for the first.")
        else:
            place = data.place_of(choice.source, choice.config, opened)
            document_view.show(choice, place, document_data.opened(choice.source, *place))


@st.fragment
def _read_pictures(choice: Choice) -> None:
    """Read the images that the list asks for; nothing else is drawn again."""

    def hear(asked: Any) -> None:
        st.session_state[_WANTED] = asked if isinstance(asked, list) else []

    with _part("pictures"):
        asked: list[Any] = st.session_state.get(_WANTED, [])
        found = {}
        for document in st.session_state[_SHOWN].around:
            if document in asked:
                place = data.place_of(choice.source, choice.config, document)
                found[str(document)] = document_data.first_picture(choice.source, *place)
        document_list.relay("pictures", found, hear)


@contextmanager
def _part(name: _Part) -> Iterator[None]:
    """Draw a part of the page, or all of it if more has changed; tell an error in one line.

    Presses in different parts, or in one and elsewhere on the page, can arrive as one at nearly the
    same time. Streamlit then runs one of the parts only, although it calls the callbacks of all.
    """
    drawn: dict[_Part, object] = st.session_state[_DRAWN]
    behind = any(_state_of(part) != before for part, before in drawn.items() if part != name)
    if st.session_state.pop(document_view.REDRAW, False) or behind:
        st.rerun()
    try:
        yield
    except Mmc4vizError as error:
        note(str(error), "error")
    drawn[name] = _state_of(name)
    state.write_address()


def _state_of(part: _Part) -> object:
    """Return what a part has to be drawn again for."""
    if part == "pictures":
        return st.session_state.get(_WANTED)
    if part == "page":
        return state.all_but(_PAGE, _COLUMNS, "doc")
    return state.get(_PAGE if part == "list" else "doc")


def _get_ready(choice: Choice) -> None:
    """Load the tokenizer in the background before a document is opened."""
    tokenizer, limit = data.tokenizer_of(choice.source), choice.config.max_tokens
    cache.ask(("tokenizer", choice.source, limit), lambda _: tokenizer.encode("", limit))


def _follow(choice: Choice) -> None:
    """After a change of settings, and from a link, go to the open document's page of the list."""
    now = choice.source, choice.config
    linked = _SETTING not in st.session_state and not state.get(_PAGE)
    if linked or st.session_state.get(_SETTING, now) != now:
        st.session_state[_TURN] = True
    st.session_state[_SETTING] = now


def _listed(choice: Choice, now: document_filters.Filters) -> tuple[Ordered, int]:
    """Return the listed documents, sorted, and how many are not searched yet."""
    source, config = choice.source, choice.config
    if not now.words:
        return data.ordered_for(source, config, now.query, now.sort, now.upside_down), 0
    documents = data.chosen_for(source, config, now.query)
    hits, unread = _search_text(source, data.matched_of(source, config), documents, now.words)
    return data.order(source, config, hits, now.sort, now.upside_down), unread


def _opened(choice: Choice) -> int | None:
    """Return the open document's position among all, None without one."""
    place = state.open_document(choice.source)
    return None if place is None else data.position_of(choice.source, choice.config, place)


def _table(choice: Choice, now: document_filters.Filters, listed: Ordered) -> None:
    """Draw the count, the pager and a page of the list."""
    source, config, opened = choice.source, choice.config, _opened(choice)
    if st.session_state.pop(_TURN, False) and opened is not None:
        rank = listed.rank(opened)
        if rank is not None:
            _turn(rank // _ROWS + 1)
    columns = data.columns_of(source)
    found = data.verdicts_for(source, config)
    pages = math.ceil(len(listed) / _ROWS)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        whole = len(found.kind)
        st.text(
            f"{len(listed):,} of {whole:,} documents"
            if len(listed) < whole
            else f"{whole:,} documents"
        )
        page = _page(pages) if pages > 1 else 1
        names = _columns()
        html.csv_button(
            "documents",
            document_list.CSV_HEAD,
            lambda: document_list.csv_rows(
                columns, found, listed.page(0, _MOST_IN_CSV), config.single_image_keep
            ),
        )
    first = (page - 1) * _ROWS
    start = max(0, first - 1)
    around = listed.page(start, first + _ROWS + 1)
    st.session_state[_SHOWN] = _ListPage(start, around.tolist())
    documents = around[first - start :][:_ROWS]
    down = SORTS[now.sort] != now.upside_down
    document_list.show(
        columns,
        found,
        documents,
        _pictures(source, found, documents),
        names,
        opened,
        config,
        (now.sort, down),
        _sort_by,
    )


def _pictures(
    source: data.CorpusKey, found: Verdicts, documents: NDArray[np.int64]
) -> list[str | bool | None]:
    """Return the images of documents: False if not read yet, None if there is none at hand."""
    places = list(zip(found.part[documents].tolist(), found.row[documents].tolist(), strict=True))
    near = {part: document_data.has_pictures_at_hand(source, part) for part, _ in set(places)}
    return [
        document_data.first_picture(source, *place)
        if document_data.first_picture.knows(source, *place)
        else False if near[place[0]] else None
        for place in places
    ]  # fmt: skip


def _sort_by(sort: str, down: bool) -> None:
    document_filters.sort_by(sort, down)
    st.session_state[document_view.REDRAW] = True


def _position(listed: Ordered, opened: int | None) -> _Position:
    """Return a document's position in the list, from the rows shown if possible."""
    shown: _ListPage = st.session_state[_SHOWN]
    if opened not in shown.around[1:-1]:
        document = -1 if opened is None else opened
        return listed.rank(document), *listed.beside(document)
    at = shown.around.index(opened)
    return shown.start + at, shown.around[at - 1], shown.around[at + 1]


def _page(pages: int) -> int:
    """Draw the pager at the current page, as a new widget if the page changed elsewhere."""
    chosen = state.whole(_PAGE, 1, 1, pages)
    turned: int = st.session_state.setdefault("documents-turned", 0)
    if st.session_state.get(_pager(turned), chosen) != chosen:
        turned = st.session_state["documents-turned"] = turned + 1
    key = _pager(turned)
    st.pagination(pages, default=chosen, key=key, on_change=lambda: _turn(st.session_state[key]))
    return chosen


def _pager(turned: int) -> str:
    return f"documents-page-{turned}"


def _turn(page: int) -> None:
    state.put(_PAGE, str(page) if page > 1 else None)


def _navigation(choice: Choice, listed: Ordered, opened: int | None) -> None:
    """Draw the buttons for the previous and next documents."""
    rank, before, after = _position(listed, opened)
    for label, key, target in (("Previous", "K", before), ("Next", "J", after)):
        st.button(
            label,
            key=f"way-{label.lower()}",
            shortcut=key,
            disabled=target is None,
            on_click=_step,
            args=(choice, listed, target),
        )
    if rank is not None:
        st.text(f"{rank + 1:,} of {len(listed):,}")
    elif opened is not None:
        st.text("The open document is not in this list.")


def _step(choice: Choice, listed: Ordered, target: int | None) -> None:
    """Open a document and go to its page of the list."""
    if target is None:
        return
    _open(choice, target)
    _turn((listed.rank(target) or 0) // _ROWS + 1)


def _open(choice: Choice, document: Any) -> None:
    """Open a document by its position among all; what is no position opens nothing."""
    whole = data.matched_of(choice.source, choice.config).n_documents
    if isinstance(document, int) and 0 <= document < whole:
        state.keep_open(choice.source, data.place_of(choice.source, choice.config, document))
