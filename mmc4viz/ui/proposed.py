"""One proposal as it is drawn: the threshold, what it promises, on what it rests, and its button.

Computes nothing.
"""

from __future__ import annotations

from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.choice.labelling.by_precision import FEW_AT_LINE
from mmc4viz.choice.proposal import Proposal
from mmc4viz.ui import chosen
from mmc4viz.ui.inert import escaped, note
from mmc4viz.ui.sidebar import Choice

_FEW: Final = (
    " So few say little of the pairs just above the line, and the estimate hangs on them: let the "
    "page Label give more labels to this threshold before you rely on it."
)


def row(key: str) -> DeltaGenerator:
    """Return the place of a wish's fields and of the button that takes what is proposed."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=key)


def show(found: Proposal, choice: Choice, words: str, place: DeltaGenerator) -> None:
    """Say what is proposed and on what it rests, or why nothing is; offer it at a place."""
    if found.threshold is None:
        note(f"For {found.wish}, no threshold is proposed: {found.reason}.")
        return
    with place:
        if chosen.stands(found, choice):
            st.button("In use", key=f"use-{found.basis}", disabled=True)
        else:
            key = f"use-{found.basis}"
            st.button("Use it", key=key, on_click=chosen.use, args=(found, choice))
    st.html(
        '<div class="mmc-finding" style="grid-template-columns: 5.5rem minmax(0, 1fr)">'
        f'<div class="mmc-large mmc-num">{found.threshold:.12g}</div>'
        f'<div><p>{escaped(words)}</p><p class="mmc-note">{escaped(found.assumption)}</p></div>'
        "</div>"
    )


def rate(found: Proposal) -> str:
    """Say what share of the pairs is estimated to be wrong at a proposed threshold."""
    if found.estimate is None or found.low is None or found.high is None:
        return ""
    return (
        f"is the lowest threshold with {found.wish}: {found.estimate:.1%} of its pairs are "
        f"estimated to be wrong (95 % interval {found.low:.1%} to {found.high:.1%})."
    )


def promise(found: Proposal) -> str:
    """Say what labels promise of a proposed threshold, and how many labels that hangs on."""
    if found.threshold is None or found.estimate is None:
        return ""
    assert found.low is not None and found.high is not None and found.at_least is not None
    words = (
        f"is the lowest threshold with {found.wish}: with 95 % confidence, at least "
        f"{found.at_least:.1%} of its pairs are right (one-sided). {found.estimate:.1%} is "
        f"estimated, with a two-sided 95 % interval of {found.low:.1%} to {found.high:.1%}, from "
        f"{found.labels:,} labels at or above it"
    )
    if found.labels_at_line == found.labels:
        return f"{words}."
    few = (found.labels_at_line or 0) < FEW_AT_LINE
    return f"{words}, {found.labels_at_line:,} of them just above it.{_FEW * few}"
