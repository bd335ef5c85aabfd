"""The page Documents: the list with filters and text search, and the open document.

Search results are kept in the session, so a stopped search can be resumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.errors import StreamlitAPIException

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Columns
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.query import SORTS, Ordered, search
from mmc4viz.sweep.statistics import CLASSES
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import plain
from mmc4viz.types import LoaderConfig, Mmc4vizError, Outcome, ShardError
from mmc4viz.ui import cache, data, document_data, document_view, html, state
from mmc4viz.ui.components import document_filters
from mmc4viz.ui.html import NO_DOCUMENTS, note
from mmc4viz.ui.sidebar import Choice

_ROWS: Final = 50  # rows
_ROW_HEIGHT: Final = 46  # pixels
_HEAD: Final = (
    "key", "shard", "outcome", "reason", "images", "matched", "pairs", "best", "nearest",
    "image_tokens", "text_tokens", "mispaired", "url",
)  # fmt: skip
_REASONS: Final = {
    "kept_always": "always kept",
    "kept_single_image": "single image, kept at random",
    "too_few_images": "too few image tokens",
    "single_image_at_end": "only image token is last",
    "below_threshold": "no pair reaches the threshold",
    "no_valid_image": "all images missing or too small",
    "unreadable": "loader error",
}
_SORT_OF: Final = {
    "image": "images", "key": "key", "shard": "place",
    "outcome": "kind", "reason": "kind", "images": "images",
    "matched": "matched", "pairs": "surviving", "best": "best", "nearest": "nearest",
    "image_tokens": "image_tokens", "text_tokens": "text_tokens", "mispaired": "mispaired",
    "url": "url",
}  # fmt: skip
"""The sort order for each column (`mmc4viz.sweep.query.SORTS`)."""
_ORDER: Final = (
    "image", "key", "outcome", "pairs", "best", "nearest", "reason", "images", "matched",
    "image_tokens", "text_tokens", "mispaired", "shard", "url",
)  # fmt: skip
"""The columns in the order in which they are shown."""
_NAMES: Final = {
    "matched": "matched images", "best": "top score", "nearest": "distance to threshold",
    "url": "URL",
}  # fmt: skip
_COLUMNS: Final = "d.columns"
_LONGEST: Final = 300  # characters of a key or URL in a cell
_KEY: Final = "documents"
_DRAWN: Final = "documents-drawn"  # the last rows, and the document open then


def _show_table(
    columns: Sequence[Columns],
    found: Verdicts,
    documents: NDArray[np.int64],
    opened: int | None,
    config: LoaderConfig,
    sort: tuple[str, bool],
    sort_by: Callable[[str], None],
    pictures: Sequence[str | None],
    shown: Sequence[str],
) -> int | None:
    """Show a page of documents; return the one just selected.

    Parameters
    ----------
    documents : ndarray of int64
        Positions among all documents, sorted.
    opened : int or None
        The open document.
    sort : (str, bool)
        The sort order, and whether it is descending.
    sort_by : callable
        Called with a column's sort order when its header is clicked.
    pictures : sequence of (str or None)
        A small image of each document.
    shown : sequence of str
        Columns in the order in which they are shown.
    """
    import pandas as pd  # Streamlit loads it when it shows a table, and not before

    places = documents.tolist()
    _restore(places, opened)
    frame = pd.DataFrame(_rows(columns, found, places), columns=list(_HEAD))
    frame.insert(0, "image", list(pictures))
    frame["key"] = [_shortened(key) for key in frame["key"]]
    frame["outcome"] = [text.replace("_", " ") for text in frame["outcome"]]
    event = st.dataframe(
        frame,
        key=_KEY,
        on_select=lambda: _pressed(sort_by),
        selection_mode=["single-cell", "single-column"],
        hide_index=True,
        row_height=_ROW_HEIGHT,
        height=min(_ROW_HEIGHT * len(frame) + 38, 400),
        column_config=_layout(config, *sort),
        column_order=shown,
        placeholder="–",
        alt="Documents with their outcomes",
    )
    row = next((row for row, _ in event["selection"]["cells"]), len(places))
    chosen = places[row] if row < len(places) else None
    st.session_state[_DRAWN] = (places, opened if chosen is None else chosen)
    return chosen


def _shortened(key: str) -> str:
    """Shorten a key in the middle.

    Examples
    --------
    >>> _shortened("033a86de888a77016c5c28b59108a717"), _shortened("short")
    ('033a86d…8a717', 'short')
    """
    return key if len(key) <= 14 else f"{key[:7]}…{key[-5:]}"


def _columns() -> list[str]:
    """Ask which columns to show; return them in order."""
    names = state.get(_COLUMNS).split(",")
    wanted = [name for name in names if name in _ORDER]

    def parse(_: str) -> list[str] | None:
        return wanted if wanted == names else None

    using = ", ".join(wanted) or "all columns"
    if state.understood(_COLUMNS, parse, "a list of this table's columns", using) is None:
        state.put(_COLUMNS, ",".join(wanted) or None)
    state.seed("documents-columns", wanted or list(_ORDER))

    def keep() -> None:
        chosen = set(st.session_state["documents-columns"]) or set(_ORDER)
        names = ",".join(name for name in _ORDER if name in chosen)
        state.put(_COLUMNS, None if chosen == set(_ORDER) else names)

    with st.popover("Columns", type="tertiary", width="content"):
        chosen = st.pills(
            "Columns of the list",
            _ORDER,
            selection_mode="multi",
            format_func=lambda name: _NAMES.get(name, name.replace("_", " ")),
            key="documents-columns",
            on_change=keep,
        )
    return [name for name in _ORDER if name in chosen] or list(_ORDER)


def _pressed(sort_by: Callable[[str], None]) -> None:
    """Sort the whole list by the column whose header was clicked."""
    columns = st.session_state[_KEY]["selection"]["columns"]
    if columns:
        del st.session_state[_KEY]  # otherwise the column stays selected
        sort_by(_SORT_OF[columns[0]])


def _restore(places: list[int], opened: int | None) -> None:
    """Update the selection if the rows or the open document changed otherwise than by a click.

    After a click it is left alone, since an update would undo a second, quick click.
    """
    if _KEY not in st.session_state or st.session_state.get(_DRAWN) != (places, opened):
        cells = [(places.index(opened), _HEAD[0])] if opened in places else []
        st.session_state[_KEY] = {"selection": {"rows": [], "columns": [], "cells": cells}}


def _rows(
    columns: Sequence[Columns], found: Verdicts, documents: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of documents, with text sanitized."""
    for document in documents:
        part, row = int(found.part[document]), int(found.row[document])
        here, kind = columns[part], CLASSES[found.kind[document]]
        yield (
            _text(here, "key", row),
            plain(here.shard.name),
            str(Outcome.KEPT) if kind.startswith("kept") else kind,
            _REASONS[kind],
            int(found.images[document]),
            int(found.matched[document]),
            int(found.surviving[document]),
            float(found.best[document]),
            float(found.nearest[document]),
            int(found.image_tokens[document]),
            int(found.text_tokens[document]),
            int(found.mispaired[document]),
            _text(here, "url", row),
        )


def _text(columns: Columns, name: str, row: int) -> str:
    text = str(columns.batch.column(name)[row])
    return plain(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _layout(config: LoaderConfig, sort: str, down: bool) -> dict[str, Any]:
    """Return the column layout; text is never shown as a link."""
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    score = "%.4f" if abs(config.threshold) < 2 else "%.2f"
    layout: dict[str, Any] = {
        "image": st.column_config.ImageColumn(
            "image", width=62, help="The document's first image."
        ),
        "key": text("key", width=118),
        "shard": text("shard", width=115),
        "outcome": text("outcome", width=118),
        "reason": text("reason", width=205),
        "images": number("images", width=62, help="Number of images in the document."),
        "matched": number(_NAMES["matched"], width=110, help="Images matched to a sentence."),
        "pairs": number("pairs", width=54, help=f"Matched pairs at or above {config.threshold:g}."),
        "best": number(
            _NAMES["best"], width=72, format=score, help="Highest score of the document's pairs."
        ),
        "nearest": number(
            _NAMES["nearest"],
            width=165,
            format=score,
            help="Difference between the threshold and the closest pair's score.",
        ),
        "image_tokens": number("image tokens", width=95, help="In the sequence after truncation."),
        "text_tokens": number("text tokens", width=88, help="In the sequence after truncation."),
        "mispaired": number(
            "mispaired",
            width=76,
            help="Image tokens whose sentence is trained with another sentence's image.",
        ),
        "url": text(_NAMES["url"], width=240),
    }
    for name, column in layout.items():
        if _SORT_OF[name] == sort:
            column["label"] = f"{'↓' if down else '↑'} {column['label']}"
    return layout


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
_WITHOUT: Final = "documents-without-pictures"  # places of listed documents
_SETTING: Final = "documents-setting"  # data and settings of the last list
_TURN: Final = "documents-turn"  # whether to go to the open document's page
_Position = tuple[int | None, int | None, int | None]
"""A document's position in the list, and the documents before and after it."""


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
    _browse(choice, now, listed, unread)


@st.fragment
def _browse(choice: Choice, now: document_filters.Filters, listed: Ordered, unread: int) -> None:
    """Draw the list and the open document, which change when another one is opened."""
    if st.session_state.pop(document_view.REDRAW, False):
        st.rerun()  # the whole page, which shows the sort order and the threshold
    try:
        _show(choice, now, listed, unread)
    except Mmc4vizError as error:
        note(str(error), "error")
    state.write_address()
    _fetch_pictures(choice.source)


def _show(choice: Choice, now: document_filters.Filters, listed: Ordered, unread: int) -> None:
    opened = _opened(choice)
    with st.container(key="documents-split"):
        listing, panel = st.columns(2, gap="medium")
    with listing:
        if len(listed):
            opened = _table(choice, now, listed, opened)
        elif not unread:
            note("No documents match. Change or clear the filters.")
    with panel:
        if opened is None:
            _get_ready(choice)
            st.text("Select a row to open its document, or press J for the first.")
        else:
            place = data.place_of(choice.source, choice.config, opened)
            document_view.show(choice, place, document_data.opened(choice.source, *place))


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


def _table(
    choice: Choice, now: document_filters.Filters, listed: Ordered, opened: int | None
) -> int | None:
    """Draw the count, a page of the list and navigation; return the open document."""
    source, config = choice.source, choice.config
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
            _HEAD,
            lambda: _rows(columns, found, listed.page(0, _MOST_IN_CSV).tolist()),
        )
    first = (page - 1) * _ROWS
    start = max(0, first - 1)
    around = listed.page(start, first + _ROWS + 1)
    shown = around[first - start :][:_ROWS]
    down = SORTS[now.sort] != now.upside_down
    sort_by = partial(_sort_by, now)
    pictures, st.session_state[_WITHOUT] = _pictures(source, found, shown)
    chosen = _show_table(
        columns, found, shown, opened, config, (now.sort, down), sort_by, pictures, names
    )
    if chosen is not None and chosen != opened:
        _open(choice, chosen)
        opened = chosen
    row = shown.tolist().index(opened) if opened in shown else None
    with st.container(key="row-in-view"):
        _IN_VIEW(key="row", data={"page": page, "row": row, "height": _ROW_HEIGHT})
    _navigation(choice, listed, opened, _position(listed, opened, start, around.tolist()))
    return opened


def _pictures(
    source: data.CorpusKey, found: Verdicts, documents: NDArray[np.int64]
) -> tuple[list[str | None], list[tuple[int, int]]]:
    """Return the images of documents that are known, and the places of the others."""
    places = list(zip(found.part[documents].tolist(), found.row[documents].tolist(), strict=True))
    known = [document_data.first_picture.knows(source, *place) for place in places]
    pictures = [
        document_data.first_picture(source, *place) if there else None
        for place, there in zip(places, known, strict=True)
    ]
    near = {part: document_data.has_pictures_at_hand(source, part) for part, _ in set(places)}
    lacking = [p for p, there in zip(places, known, strict=True) if not there and near[p[0]]]
    return pictures, lacking


def _fetch_pictures(source: data.CorpusKey) -> None:
    """Read images that the list lacks, after the page is drawn, and draw the list again."""
    lacking: list[tuple[int, int]] = st.session_state.pop(_WITHOUT, [])
    if not lacking:
        return
    with cache.progress("Reading images") as tell:
        for place in lacking:
            document_data.first_picture(source, *place)
            tell(1)
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:  # the whole page is being drawn
        st.rerun()


_IN_VIEW: Final = st.components.v2.component(
    "mmc4viz.row", html="<div hidden></div>", js=html.asset("row.js")
)


def _sort_by(now: document_filters.Filters, sort: str) -> None:
    document_filters.sort_by(now, sort)
    st.session_state[document_view.REDRAW] = True


def _position(listed: Ordered, opened: int | None, start: int, around: list[int]) -> _Position:
    """Return a document's position in the list, from the rows shown if possible."""
    if opened not in around[1:-1]:
        document = -1 if opened is None else opened
        return listed.rank(document), *listed.beside(document)
    at = around.index(opened)
    return start + at, around[at - 1], around[at + 1]


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


def _navigation(choice: Choice, listed: Ordered, opened: int | None, standing: _Position) -> None:
    """Draw the buttons for the previous and next documents."""
    rank, before, after = standing
    with st.container(horizontal=True, vertical_alignment="center", key="ways"):
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


def _open(choice: Choice, document: int) -> None:
    state.keep_open(choice.source, data.place_of(choice.source, choice.config, document))
