"""The menu of pages, and the bar on top of every page: what is open, what is kept, what is next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.ui import data, state
from mmc4viz.ui.components.control import headline
from mmc4viz.ui.html import asset, part
from mmc4viz.ui.sidebar import Choice

GROUPS: Final = (
    ("", ("Data",)),
    ("", ("Threshold",)),
    ("Inspect", ("Documents", "Near threshold", "Loader audit", "Loaders", "Slices")),
    ("", ("Compare models",)),
    ("", ("Label",)),
    ("", ("Export",)),
)
"""The pages in the order of the work, with the names of groups."""

_EXPORT: Final = ("Export", "Export these settings")
_NEAR: Final = ("Near threshold", "See nearby pairs")
_NEXT: Final = {
    "Data": ("Threshold", "Choose a threshold"),
    "Threshold": _NEAR,
    "Documents": _NEAR,
    "Near threshold": ("Label", "Measure precision"),
    "Loader audit": _EXPORT,
    "Loaders": _EXPORT,
    "Slices": _EXPORT,
    "Compare models": _EXPORT,
    "Label": _EXPORT,
}


_FIRST: Final = st.components.v2.component(
    "mmc4viz.first", html="<div hidden></div>", js=asset("dom.js", "first.js")
)


_REST: Final = st.components.v2.component(
    "mmc4viz.rest", html="<p>Drawing more …</p>", js=asset("dom.js", "rest.js")
)


_COPY: Final = st.components.v2.component(
    "mmc4viz.copy",
    html='<button type="button" aria-live="polite" title="Copy a link to this page with all its '
    'settings">Copy link</button>',
    css="button { font: inherit; font-size: 0.875rem; line-height: 1.9rem; padding: 0 0.5rem; "
    "border: 0; background: none; color: var(--st-text-color); cursor: pointer; "
    "white-space: nowrap; } "
    "button:hover { text-decoration: underline; } "
    "button:focus-visible { outline: 2px solid var(--st-primary-color); }",
    js=asset("copy.js"),
)


def show_first() -> None:
    """Fold the sidebar in a narrow window, and show the page when it is laid out."""
    with st.container(key="first"):
        _FIRST(key="first-drawn", data={"widest": 900})


def rest_is_wanted() -> bool:
    """Whether to draw the rest of a page, below what fits into a window.

    When a page is opened, the rest is left out until the browser has shown the beginning: loading
    Plotly and drawing several figures takes it seconds, in which it shows nothing.
    """
    if "page" in st.session_state or not st.context.headers:  # it is open; no browser
        return True
    _REST(key="rest-of-page", on_shown_change=lambda: None)  # after which the page is drawn again
    return False


def show_menu(place: DeltaGenerator) -> None:
    """Link to the pages with the full query string, so that going back is one step."""
    address, pages = state.address(), state.pages()
    with place.container(horizontal=True, vertical_alignment="center"):
        for group, names in GROUPS:
            here = [name for name in names if name in pages]
            if not here:
                continue
            with st.container(horizontal=True, width="content", vertical_alignment="center"):
                if group:
                    st.html(part("menu_group", group), width="content")
                for name in here:
                    st.page_link(pages[name], label=name, query_params=address)


def show_bar(page: str, corpus: str, facts: Sequence[tuple[str, str]]) -> None:
    """Draw what is open, facts about it, and the next step.

    Parameters
    ----------
    page, corpus : str
    facts : sequence of (str, str)
        Such as the threshold, and what it keeps.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        st.html(part("bar", corpus, facts))
        _COPY(key="copy-link", data={}, width="content")
        name, words = _NEXT.get(page, _EXPORT)
        if page == "Export":
            return
        if name not in state.pages():
            name, words = _EXPORT
        st.page_link(
            state.pages()[name],
            label=words,
            icon=":material/arrow_forward:",
            query_params=state.address(),
        )


def facts_of(choice: Choice) -> list[tuple[str, str]]:
    """Return the CLIP model, the threshold and what it keeps of a corpus of documents."""
    threshold, source = choice.config.threshold, choice.source
    found = headline(
        data.curves_of(source, choice.config), threshold, choice.config.single_image_keep
    )
    kept = f"{found.share:.1%} of all documents"
    exact = source.sample is None
    shown = f"{threshold:.{choice.scale.digits}f}"
    return [
        ("CLIP model", choice.config.clip_model),
        ("Threshold", shown),
        ("Kept", f"{kept} ({found.documents:,.10g})" if exact else f"≈ {kept}"),
    ]
