"""The dashboard's entry point: page setup, sidebar and navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import streamlit as st
from streamlit.errors import FragmentHandledException
from streamlit.navigation.page import StreamlitPage

from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import cache, html, proposals, state
from mmc4viz.ui import data as data_of
from mmc4viz.ui.cache import BUDGET
from mmc4viz.ui.components import download, navigation, saved_settings, tour
from mmc4viz.ui.data import REFERENCE
from mmc4viz.ui.html import asset, note
from mmc4viz.ui.pairs import compare_models as pair_compare_models
from mmc4viz.ui.pairs import data as pair_data
from mmc4viz.ui.pairs import export as pair_export
from mmc4viz.ui.pairs import label as pair_label
from mmc4viz.ui.pairs import near_threshold as pair_near_threshold
from mmc4viz.ui.pairs import sidebar as pair_sidebar
from mmc4viz.ui.pairs import slices as pair_slices
from mmc4viz.ui.pairs import table_data
from mmc4viz.ui.pairs import threshold as pair_threshold
from mmc4viz.ui.sidebar import choose
from mmc4viz.ui.start import Start, read_start
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
_PAGES: Final[dict[str, Callable[[Any], None]]] = {
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


# The pages of a table of image–text pairs.
_PAIR_PAGES: Final[dict[str, Callable[[Any], None]]] = {
    "Data": pair_data.show,
    "Threshold": pair_threshold.show,
    "Near threshold": pair_near_threshold.show,
    "Slices": pair_slices.show,
    "Compare models": pair_compare_models.show,
    "Label": pair_label.show,
    "Export": pair_export.show,
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
    state.read_address(start.roots)
    of_pairs = table_data.is_open(start)
    known = _PAIR_PAGES if of_pairs else _PAGES
    pages = {name: _page(name) for name in known}
    page = st.navigation(list(pages.values()), position="hidden")
    st.set_page_config(page_title=f"{page.title} – mmc4viz")
    st.session_state["pages"] = pages
    with st.container(key="menu"):
        menu = st.empty()
        navigation.show_first()
    navigation.show_menu(menu)
    lines = st.container()  # always present, so that later elements keep their positions
    cache.reserve_place()
    try:
        (_show_pairs if of_pairs else _show_documents)(start, page.title)
    except Mmc4vizError as error:
        note(str(error), "error")
        if page.title == "Data":
            known["Data"](None)
    st.session_state["page"] = page.title
    with lines:
        for line in state.messages():
            note(line)
        if page.title == "Export":
            download.show_problem()
    state.write_address()
    navigation.show_menu(menu)


def _show_documents(start: Start, page: str) -> None:
    """Draw the sidebar and a page of a corpus of interleaved documents."""
    on_threshold = page == "Threshold"
    begin_with = {"begin_with": threshold.quick} if on_threshold else {}
    choice = choose(start, threshold_here=not on_threshold, **begin_with)
    if choice is None:
        data.show(None)
        return
    saved_settings.follow_link(choice)
    navigation.show_bar(
        page,
        data_of.corpus_name(choice.whole),
        () if page == "Label" else navigation.facts_of(choice),  # pairs are labeled blind
    )
    if page != "Label":
        tour.show(page, moved=choice.config.threshold != REFERENCE)
    proposals.review(choice)
    now = export.current(start)
    if now is not None and page not in ("Export", "Label"):
        export.show_differences(now, choice)
    if page in _CHOOSING:
        choice.config.require_threshold()
    if page in _SCORED and choice.config.has_threshold:
        data_of.check_scores(choice.source)
    _PAGES[page](choice)
    _show_cache()


def _show_pairs(start: Start, page: str) -> None:
    """Draw the sidebar and a page of a table of image–text pairs."""
    choice = pair_sidebar.choose(start, threshold_here=page != "Threshold")
    kept, rows = choice.n_kept, choice.curves.tally.rows
    digits = choice.scale.digits
    facts = [
        ("Score", choice.name),
        ("Threshold", " · ".join(f"{at:.{digits}f}" for at in choice.selection.thresholds)),
        ("Kept", f"{kept / max(rows, 1):.1%} of all pairs ({kept:,})"),
    ]
    blind = page == "Label"  # pairs are labeled without a hint at scores
    navigation.show_bar(page, table_data.corpus_name(choice.source), () if blind else facts)
    _PAIR_PAGES[page](choice)
    _show_cache()


def _show_cache() -> None:
    st.sidebar.caption(f"Server cache: {BUDGET}", help=_CACHE)


def _page(name: str) -> StreamlitPage:
    """Register a page; `run` draws its content after the sidebar."""
    path = name.lower().replace(" ", "-")
    return st.Page(lambda: None, title=name, url_path=path, default=name == "Threshold")


if __name__ == "__main__":
    run()
