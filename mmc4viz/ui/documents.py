"""The page Documents: every document, filtered and sorted, and one of them in full."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz.corpus.listing import SORTS, Ordered
from mmc4viz.corpus.pairs import place_of
from mmc4viz.model import Mmc4vizError
from mmc4viz.ui import (
    data,
    filters,
    find,
    inspector,
    jobs,
    links,
    numbers,
    record,
    state,
    table,
    views,
)
from mmc4viz.ui.inert import note
from mmc4viz.ui.sidebar import Choice

_MOST_IN_CSV: Final = 100_000  # rows
_PAGE: Final = f"{links.FILTER}page"
_SORTED: Final = "documents-sorted"  # whether a column was pressed just now
_SETTING: Final = "documents-setting"  # under which the list was drawn last
_TURN: Final = "documents-turn"  # whether to turn to the open document's page
Standing = tuple[int | None, int | None, int | None]
"""A document's place in the list, and the documents before and after it."""


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Documents", anchor=False)
    inspector.load_styles()
    if not data.matched_of(choice.source, choice.config).n_documents:
        note("No document could be read from these shards: name others in the sidebar.", "error")
        return
    now = filters.asked()
    filters.draw(now, choice.scale.step, choice.scale.digits)
    _follow(choice)
    listed, unread = _listed(choice, now)
    _browse(choice, now, listed, unread)


@st.fragment
def _browse(choice: Choice, now: filters.Asked, listed: Ordered, unread: int) -> None:
    """Draw the list and the open document: all that changes when another one is opened."""
    if st.session_state.pop(_SORTED, False):
        st.rerun()  # the whole page: the filters say what the list is sorted by
    try:
        _show(choice, now, listed, unread)
    except Mmc4vizError as error:
        note(str(error), "error")
    state.write_address()


def _show(choice: Choice, now: filters.Asked, listed: Ordered, unread: int) -> None:
    opened = _opened(choice)
    if len(listed):
        opened = _table(choice, now, listed, opened)
    elif unread:
        note(f"None found so far; the text of {unread:,} documents was not searched yet.")
    else:
        note("No document is like this: change or clear the filters.")
    if opened is None:
        _get_ready(choice)
        st.text("Select a row to open its document, or press J for the first.")
        return
    place = place_of(views.starts_of(choice.source, choice.config), opened)
    inspector.show(choice, place, record.opened(choice.source, *place))


def _get_ready(choice: Choice) -> None:
    """Let the tokenizer be made ready while nobody has opened a document yet."""
    tokenizer, limit = data.tokenizer_of(choice.source), choice.config.max_tokens
    jobs.ask(("tokenizer", choice.source, limit), lambda _: tokenizer.encode("", limit))


def _follow(choice: Choice) -> None:
    """After a change of the threshold or another setting, turn to the open document's page."""
    now = choice.source, choice.config
    if st.session_state.get(_SETTING, now) != now:
        st.session_state[_TURN] = True
    st.session_state[_SETTING] = now


def _listed(choice: Choice, now: filters.Asked) -> tuple[Ordered, int]:
    """Return the documents asked for, in their order, and how many are still to be searched."""
    source, config = choice.source, choice.config
    if not now.words:
        return views.ordered_for(source, config, now.query, now.sort, now.upside_down), 0
    documents = views.chosen_for(source, config, now.query)
    hits, unread = find.having(source, data.matched_of(source, config), documents, now.words)
    return views.order(source, config, hits, now.sort, now.upside_down), unread


def _opened(choice: Choice) -> int | None:
    """Return the open document's position among all, None where there is none such."""
    place = links.open_document(choice.source)
    if place is None:
        return None
    return int(views.starts_of(choice.source, choice.config)[place[0]]) + place[1]


def _table(choice: Choice, now: filters.Asked, listed: Ordered, opened: int | None) -> int | None:
    """Draw how many there are, a page of them, and the ways through; return what is open."""
    source, config = choice.source, choice.config
    if st.session_state.pop(_TURN, False) and opened is not None:
        rank = listed.rank(opened)
        if rank is not None:
            _turn(rank // table.PAGE + 1)
    columns = data.columns_of(source)
    found = views.verdicts_for(source, config)
    pages = math.ceil(len(listed) / table.PAGE)
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
        numbers.offer(
            "documents",
            table.HEAD,
            lambda: table.rows(columns, found, listed.page(0, _MOST_IN_CSV).tolist()),
        )
    first = (page - 1) * table.PAGE
    start = max(0, first - 1)
    around = listed.page(start, first + table.PAGE + 1)
    shown = around[first - start :][: table.PAGE]
    down = SORTS[now.sort] != now.upside_down
    sort_by = partial(_sort_by, now)
    chosen = table.show(columns, found, shown, opened, config, (now.sort, down), sort_by)
    if chosen is not None and chosen != opened:
        _open(choice, chosen)
        opened = chosen
    _ways(choice, listed, opened, _standing(listed, opened, start, around.tolist()))
    return opened


def _sort_by(now: filters.Asked, sort: str) -> None:
    filters.sort_by(now, sort)
    st.session_state[_SORTED] = True


def _standing(listed: Ordered, opened: int | None, start: int, around: list[int]) -> Standing:
    """Find a document's place in the list: among the rows at hand, else among all."""
    if opened not in around[1:-1]:
        document = -1 if opened is None else opened
        return listed.rank(document), *listed.beside(document)
    at = around.index(opened)
    return start + at, around[at - 1], around[at + 1]


def _page(pages: int) -> int:
    """Draw the pager at the page that was chosen, anew where something else has turned it."""
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


def _ways(choice: Choice, listed: Ordered, opened: int | None, standing: Standing) -> None:
    """Draw the ways to the document before and after the open one."""
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
    """Open a document and turn the list to its page."""
    if target is None:
        return
    _open(choice, target)
    _turn((listed.rank(target) or 0) // table.PAGE + 1)


def _open(choice: Choice, document: int) -> None:
    starts = views.starts_of(choice.source, choice.config)
    links.keep_open(choice.source, place_of(starts, document))
