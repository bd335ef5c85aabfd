"""A CLIP model shown for the first time begins at the equivalent threshold, which can be undone.

The number that suits one model means nothing on another's scale; what it keeps does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

from mmc4viz.corpus.scales import Scale
from mmc4viz.model import LoaderConfig, Mmc4vizError
from mmc4viz.ui import compared, data, state, threshold
from mmc4viz.ui.inert import note, plain

_BY: Final = "documents"
_LAST: Final = "model-shown"  # name, source and threshold of the CLIP model shown last
_TAKEN: Final = "equivalent-threshold"


@dataclass(frozen=True)
class Shown:
    """A CLIP model as it was shown: its name, its documents, and the threshold."""

    name: str
    source: data.Source
    threshold: float


@dataclass(frozen=True)
class Taken:
    """A threshold taken over from another model, what it would be otherwise, and what to say."""

    model: str
    threshold: float
    otherwise: float
    words: str


def last_shown(own: Shown) -> Shown:
    """Return the model that this session showed last of these documents; else the shards' own."""
    shown: Shown = st.session_state.get(_LAST, own)
    same = (replace(one.source, sidecar=None, similarity=None) for one in (shown, own))
    return shown if next(same) == next(same) else own


def keep_shown(shown: Shown) -> None:
    """Remember the model that is shown."""
    st.session_state[_LAST] = shown


def threshold_for(
    model: str, source: data.Source, other: Shown, base: LoaderConfig, otherwise: float
) -> float:
    """Return the threshold at which a model keeps as many documents as another at its own.

    Parameters
    ----------
    model : str
    source : data.Source
        The documents with its similarity.
    other : Shown
    base : LoaderConfig
        The setting of both.
    otherwise : float
        What is returned where the two cannot be compared, with a note that says why.
    """
    sides = compared.side(other.name, other.source, base), compared.side(model, source, base)
    try:
        compared.check(*sides)
        match = next(m for m in compared.matches(*sides, other.threshold) if m.by == _BY)
    except Mmc4vizError as error:
        note(f"{plain(model)} begins at {otherwise:g}: {error}")
        return otherwise
    words = (
        f"{match.second:.12g} keeps {match.found:,.10g} documents, as {other.threshold:.12g} of "
        f"{plain(other.name)} keeps {match.wanted:,.10g}."
    )
    st.session_state[_TAKEN] = Taken(model, match.second, otherwise, words)
    return match.second


def show(model: str, name: str, now: float, scale: Scale, span: tuple[float, float]) -> None:
    """Say where the threshold comes from, and offer to undo it, while it is the one taken over."""
    taken: Taken | None = st.session_state.get(_TAKEN)
    if taken is None or taken.model != model:
        return
    if abs(threshold.on_grid(taken.threshold, scale, span) - now) > scale.step / 2:
        del st.session_state[_TAKEN]
        return
    note(taken.words)
    back = threshold.on_grid(taken.otherwise, scale, span)
    st.button(f"Undo: begin at {back:.12g}", key="equivalent-undo", type="tertiary",
              on_click=_undo, args=(name, back))  # fmt: skip


def _undo(name: str, back: float) -> None:
    st.session_state.pop(_TAKEN, None)
    threshold.choose(name, back)
    state.begin_anew()
