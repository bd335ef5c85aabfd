"""The dashboard's entry point: page setup, sidebar and navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st
from streamlit.errors import FragmentHandledException
from streamlit.navigation.page import StreamlitPage

from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import cache, html, proposals, state
from mmc4viz.ui import data as data_of
from mmc4viz.ui.cache import BUDGET
from mmc4viz.ui.components import navigation, saved_settings, tour
from mmc4viz.ui.data import REFERENCE
from mmc4viz.ui.html import asset, note
from mmc4viz.ui.sidebar import choose
from mmc4viz.ui.start import read_start
from mmc4viz.ui.views import (
    compare_models,
    data,
    documents,
    export,
    label,
    loader_audit,
    loaders,
    near_threshold,
    slices,
    threshold,
)

_CACHE: Final = (
    "Computed values, shared by all sessions on this server; the least recently used are dropped "
    "first."
)
_STYLES: Final = f"<style>{asset('page.css')}</style>"
_PAGES: Final = {
    "Data": data.show,
    "Threshold": threshold.show,
    "Documents": documents.show,
    "Near threshold": near_threshold.show,
    "Loader audit": loader_audit.show,
    "Loaders": loaders.show,
    "Slices": slices.show,
    "Compare models": compare_models.show,
    "Label": label.show,
    "Export": export.show,
}


_CHOOSING: Final = "Near threshold", "Slices", "Compare models", "Label"  # compare thresholds


_SCORED: Final = (*_CHOOSING, "Threshold", "Loaders", "Export")  # of no use without scores


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
    st.set_page_config(page_title=f"{page.title} – mmc4viz")
    st.session_state["pages"] = pages
    state.read_address(start.roots)
    with st.container(key="menu"):
        menu = st.empty()
        navigation.show_first()
    navigation.show_menu(menu)
    lines = st.container()  # always present, so that later elements keep their positions
    cache.reserve_place()
    try:
        on_threshold = page.title == "Threshold"
        begin_with = {"begin_with": threshold.quick} if on_threshold else {}
        choice = choose(start, threshold_here=not on_threshold, **begin_with)
        if choice is None:
            data.show(None)
        else:
            saved_settings.follow_link(choice)
            navigation.show_bar(page.title, choice)
            if page.title != "Label":  # pairs are labeled blind
                tour.show(page.title, moved=choice.config.threshold != REFERENCE)
            proposals.review(choice)
            now = export.current(start)
            if now is not None and page.title not in ("Export", "Label"):
                export.show_differences(now, choice)
            if page.title in _CHOOSING:
                choice.config.require_threshold()
            if page.title in _SCORED and choice.config.has_threshold:
                data_of.check_scores(choice.source)
            _PAGES[page.title](choice)
            st.sidebar.caption(f"Server cache: {BUDGET}", help=_CACHE)
    except Mmc4vizError as error:
        note(str(error), "error")
        if page.title == "Data":
            data.show(None)
    st.session_state["page"] = page.title
    with lines:
        for line in state.messages():
            note(line)
    state.write_address()
    navigation.show_menu(menu)


def _page(name: str, show: Callable[..., None]) -> StreamlitPage:
    """Register a page; `run` draws its content after the sidebar."""
    path = name.lower().replace(" ", "-")
    return st.Page(lambda: None, title=name, url_path=path, default=show is threshold.show)


if __name__ == "__main__":
    run()
