"""The dashboard's entry point: page setup, sidebar and navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import FragmentHandledException
from streamlit.navigation.page import StreamlitPage

from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import cache, html, proposals, state
from mmc4viz.ui.cache import BUDGET
from mmc4viz.ui.html import asset, note, part
from mmc4viz.ui.sidebar import Choice, choose
from mmc4viz.ui.start import Start, read_start, sample_shards
from mmc4viz.ui.views import (
    compare_models,
    documents,
    export,
    label,
    loader_audit,
    near_threshold,
    threshold,
)

_CACHE: Final = (
    "Computed values, shared by all sessions on this server; the least recently used are dropped "
    "first."
)
_STYLES: Final = f"<style>{asset('page.css')}</style>"
_PAGES: Final = {
    "Threshold": threshold.show,
    "Documents": documents.show,
    "Near threshold": near_threshold.show,
    "Label": label.show,
    "Compare models": compare_models.show,
    "Loader audit": loader_audit.show,
    "Export": export.show,
}


def run() -> None:
    """Draw the dashboard once; any error is shown as one line."""
    try:
        _run()
    except FragmentHandledException:
        raise  # already shown
    except Exception as error:
        html.log(error)
        html.show_error(error)


def _run() -> None:
    st.set_page_config(page_title="mmc4viz", layout="wide", initial_sidebar_state="auto")
    st.html(_STYLES)
    start = read_start()
    if start.problem:
        note(start.problem, "error")
    pages = {name: _page(name, show) for name, show in _PAGES.items()}
    page = st.navigation(list(pages.values()), position="hidden")
    st.session_state["pages"] = pages
    refused = state.read_address(start.roots)
    menu = st.empty()
    _show_menu(menu, pages)
    with st.container():  # always present, so that later elements keep their positions
        if refused:
            note(refused)
    cache.reserve_place()
    try:
        on_threshold = page.title == "Threshold"
        begin_with = {"begin_with": threshold.quick} if on_threshold else {}
        choice = choose(start, threshold_here=not on_threshold, **begin_with)
        if choice is None:
            _show_nothing(start)
        else:
            proposals.review(choice)
            now = export.current(start)
            if now is not None and page.title not in ("Export", "Label"):
                export.show_differences(now, choice)
            _PAGES[page.title](choice)
            st.sidebar.caption(f"Server cache: {BUDGET}", help=_CACHE)
    except Mmc4vizError as error:
        note(str(error), "error")
    st.session_state["page"] = page.title
    state.write_address()
    _show_menu(menu, pages)


def _show_nothing(start: Start) -> None:
    """Say how to open data, and offer the sample if it is here."""
    st.html(part("no_shards"))
    sample = "\n".join(sample_shards())
    if sample and start.roots.allow(sample):
        st.button("Open the sample", key="open-sample", on_click=_open, args=(sample,))
    elif not sample:
        st.html(part("no_sample"))


def _open(shards: str) -> None:
    state.put("index", "")
    state.put("shards", shards)
    state.begin_anew()


def _show_menu(place: DeltaGenerator, pages: dict[str, StreamlitPage]) -> None:
    """Link to the pages with the full query string, so that going back is one step."""
    address = state.address()
    with place.container(horizontal=True):
        for name, page in pages.items():
            st.page_link(page, label=name, query_params=address)


def _page(name: str, show: Callable[[Choice], None]) -> StreamlitPage:
    """Register a page; `run` draws its content after the sidebar."""
    path = name.lower().replace(" ", "-")
    return st.Page(lambda: None, title=name, url_path=path, default=show is threshold.show)


if __name__ == "__main__":
    run()
