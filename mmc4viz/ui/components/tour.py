"""Five hints on a first visit; a cookie remembers that they were dismissed."""

from __future__ import annotations

from typing import Final

import streamlit as st

from mmc4viz.ui import state
from mmc4viz.ui.html import note

_COOKIE: Final = "mmc4viz-tour"
_SEEN: Final = "tour-seen"  # number of hints seen in this session

_HINTS: Final = (
    ("Threshold", "Drag the dark handle in the histogram: every number follows at once."),
    ("Threshold", "Under the curves, thresholds are suggested for what you need: enough documents, "
     "or few incorrect pairs."),
    ("Near threshold", "These pairs are kept or dropped by a hair. They show best whether the "
     "threshold is right."),
    ("Documents", "Open any document to see why it is kept or dropped, and which image each "
     "sentence is trained with."),
    ("Export", "Take the settings with you: a config, training flags, a report, or filtered "
     "shards."),
)  # fmt: skip

_FORGET: Final = st.components.v2.component(
    "mmc4viz.tour",
    html="<span></span>",
    js=f"""
export default function () {{
  document.cookie = "{_COOKIE}=done; max-age=315360000; samesite=strict; path=/";
}}
""",
)


def show(page: str, *, moved: bool) -> None:
    """Draw the next hint, unless all were seen or the tour was dismissed.

    The first hint is followed when the threshold has been ``moved``.
    """
    seen: int = st.session_state.setdefault(_SEEN, _seen_before())
    if seen == 0 and moved:
        seen = st.session_state[_SEEN] = 1
    if seen > len(_HINTS):
        return
    if seen == len(_HINTS):
        _FORGET(key="tour-done", data={}, height=1)
        return
    where, words = _HINTS[seen]
    with st.container(horizontal=True, vertical_alignment="center", key="tour"):
        note(f"Hint {seen + 1} of {len(_HINTS)}. {words}")
        if where != page:
            st.page_link(state.pages()[where], label=f"Go to {where}", query_params=state.address())
        elif seen + 1 < len(_HINTS):
            st.button("Next hint", key="tour-next", on_click=_see, args=(seen + 1,))
        words = "Skip the tour" if seen + 1 < len(_HINTS) else "Done"
        st.button(words, key="tour-end", type="tertiary", on_click=_see, args=(len(_HINTS),))


def _seen_before() -> int:
    """Return more than all hints if the tour was dismissed before, else 0."""
    return len(_HINTS) + 1 if st.context.cookies.get(_COOKIE) == "done" else 0


def _see(n: int) -> None:
    st.session_state[_SEEN] = n
