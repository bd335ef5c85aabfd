"""The dashboard's entry: page, sidebar, and which page is shown. Computes and draws nothing."""

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
from mmc4viz.ui.html import asset, note
from mmc4viz.ui.sidebar import Choice, choose
from mmc4viz.ui.start import read_start
from mmc4viz.ui.views import (
    compare_models,
    documents,
    export,
    label,
    loader_audit,
    near_threshold,
    threshold,
)

_NOTHING = """
<p>No shards are named, and the sample is not here.</p>
<p>Name shards in the sidebar, one a line, or start with them:
<code>mmc4viz app shards/</code>. WebDataset tars as OpenFlamingo's converter writes them, and
MMC4's own <code>.jsonl</code>, are read.</p>
<p>The sample shards stand in the project's source repository, in the folder
<code>sample_data</code>; an installed package does not carry them.</p>
"""


_CACHE: Final = (
    "What was computed, shared by everyone on this server; the values used longest ago are "
    "dropped first."
)
_STYLES: Final = f"<style>{asset('page.css')}</style>"
PAGES: Final = {
    "Tune": threshold.show,
    "Documents": documents.show,
    "Borderline": near_threshold.show,
    "Label": label.show,
    "Models": compare_models.show,
    "Audit": loader_audit.show,
    "Export": export.show,
}


def run() -> None:
    """Draw the dashboard once; whatever goes wrong is one line on it."""
    try:
        _run()
    except FragmentHandledException:
        raise  # it is told already
    except Exception as error:
        html.log(error)
        html.tell(error)


def _run() -> None:
    st.set_page_config(page_title="mmc4viz", layout="wide", initial_sidebar_state="auto")
    st.html(_STYLES)
    start = read_start()
    if start.problem:
        note(start.problem, "error")
    pages = {name: _page(name, show) for name, show in PAGES.items()}
    page = st.navigation(list(pages.values()), position="hidden")
    st.session_state["pages"] = pages
    refused = state.read_address(start.roots)
    menu = st.empty()
    _show_menu(menu, pages)
    with st.container():  # is there with or without, so that what follows keeps its place
        if refused:
            note(refused)
    cache.make_room()
    try:
        on_tune = page.title == "Tune"
        begin_with = {"begin_with": threshold.quick} if on_tune else {}
        choice = choose(start, threshold_here=not on_tune, **begin_with)
        if choice is None:
            st.html(_NOTHING)
        else:
            proposals.review(choice)
            now = export.current(start)
            if now is not None and page.title not in ("Export", "Label"):
                export.say(now, choice)
            PAGES[page.title](choice)
            st.sidebar.caption(f"Server cache: {BUDGET}", help=_CACHE)
    except Mmc4vizError as error:
        note(str(error), "error")
    st.session_state["page"] = page.title
    state.write_address()
    _show_menu(menu, pages)


def _show_menu(place: DeltaGenerator, pages: dict[str, StreamlitPage]) -> None:
    """Link to the pages with the whole address, so that going back is one step."""
    address = state.address()
    with place.container(horizontal=True):
        for name, page in pages.items():
            st.page_link(page, label=name, query_params=address)


def _page(name: str, show: Callable[[Choice], None]) -> StreamlitPage:
    """Name a page; what it draws is drawn by `run`, behind the sidebar's choice."""
    return st.Page(lambda: None, title=name, url_path=name.lower(), default=show is threshold.show)


if __name__ == "__main__":
    run()
