"""The scale guard on screen: which scale the similarity has, and a threshold that cannot divide it.

Recognising and judging are `corpus.scales`' job; this draws them.
"""

from __future__ import annotations

from math import nan

import streamlit as st

from mmc4viz.corpus.scales import misfit
from mmc4viz.model import LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.inert import note
from mmc4viz.ui.memo import Memo

_ENDS: Memo[tuple[float, float]] = Memo()
_MORE = {
    "softmax": "Each image's values sum to 1, so what a threshold means changes with the number of "
    "sentences on the page.",
    "sigmoid": "Nearly all values are next to 0, so steps of the threshold are far apart there.",
    "unknown": "It is none of cosine, ×100, softmax and sigmoid.",
}


def _ends(source: data.Source, config: LoaderConfig) -> tuple[float, float]:
    """Return the lowest and the highest matched score, NaN without any."""
    scores = data.matched_of(source, config).scores()
    return (float(scores.min()), float(scores.max())) if len(scores) else (nan, nan)


def _ends_of(source: data.Source, config: LoaderConfig) -> tuple[float, float]:
    key = source, config.min_kb, config.assignment
    return _ENDS.get(key, lambda: _ends(source, config))


def scale_name(source: data.Source, config: LoaderConfig) -> str:
    """Name a source's scale."""
    return data.scale_for(source, config).name


def show_scale(source: data.Source, config: LoaderConfig) -> None:
    """Draw the scale's name, with what it means for a threshold."""
    name = scale_name(source, config)
    st.caption(f"Scale of the similarity: {name}", help=_MORE.get(name))


def show_misfit(source: data.Source, config: LoaderConfig) -> None:
    """Say that a threshold keeps all or nothing, where it does."""
    ends = _ends_of(source, config)
    why = misfit(config.threshold, scale_name(source, config), *ends)
    if why is not None and ends[0] <= ends[1]:  # that nothing is matched, pages say themselves
        note(f"The threshold {config.threshold:.12g} does not fit these scores: {why}.", "error")
