"""The threshold as it was chosen, remembered for each CLIP model. The control draws it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import streamlit as st

from mmc4viz.corpus.scales import COSINE, Scale
from mmc4viz.ui import data, state
from mmc4viz.ui.inert import note

HELP = "A matched pair that scores below this is dropped; equal is kept."


def name_of(model: str, own: str) -> str:
    """Return the short name under which a model's threshold is kept."""
    return "t" if model == own else f"t.{model}"


def chosen(name: str, asked: float, scale: Scale, span: tuple[float, float]) -> float:
    """Return the threshold: what was chosen, else what was asked for, on a step of the grid."""
    wanted = number(state.get(name), asked)
    nearest = on_grid(wanted, scale, span)
    if abs(nearest - wanted) > 1e-9:
        note(f"{wanted:g} is no step of this model's scale ({scale.name}); shown: {nearest:g}")
    elif name not in state.named(""):
        choose(name, nearest)
    return nearest


def choose(name: str, value: float) -> None:
    """Keep a threshold."""
    state.put(name, f"{value:.12g}")


def number(text: str, default: float) -> float:
    """Read a finite number, else the default.

    Examples
    --------
    >>> number("0.3", 0.24), number("nan", 0.24), number("", 0.24)
    (0.3, 0.24, 0.24)
    """
    try:
        value = float(text)
    except ValueError:
        return default
    return value if math.isfinite(value) else default


def on_grid(value: float, scale: Scale, span: tuple[float, float]) -> float:
    """Return the nearest step of the grid within a span.

    Examples
    --------
    >>> on_grid(0.24049, COSINE, (0.1, 0.4)), on_grid(30, COSINE, (0.1, 0.4))
    (0.24, 0.4)
    """
    inside = min(max(value, span[0]), span[1])
    return round(round(inside / scale.step) * scale.step, scale.digits)


def visible_span(low: float, high: float, scale: Scale) -> tuple[float, float]:
    """Return the thresholds worth showing: steps of the grid around all scores.

    On cosine scale the reference setting is among them. Without scores the ends are NaN.

    Examples
    --------
    >>> visible_span(0.2, 0.4, COSINE)
    (0.19, 0.41)
    """
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 0.5
    if scale == COSINE:
        low, high = min(low, data.REFERENCE), max(high, data.REFERENCE)
    low, high = max(low, scale.start), min(high, scale.stop)
    margin = max(5, round(0.05 * (high - low) / scale.step))
    first = max(math.floor(low / scale.step + 1e-6) - margin, round(scale.start / scale.step))
    last = min(math.ceil(high / scale.step - 1e-6) + margin, round(scale.stop / scale.step))
    return round(first * scale.step, scale.digits), round(last * scale.step, scale.digits)


def number_input(
    value: float, scale: Scale, span: tuple[float, float], keep: Callable[[float], None]
) -> None:
    """Draw the threshold as a number, where the control is not."""
    st.session_state["threshold"] = value
    st.number_input(
        "Similarity threshold",
        *span,
        step=scale.step,
        format=f"%.{scale.digits}f",
        key="threshold",
        help=HELP,
        on_change=lambda: keep(on_grid(st.session_state["threshold"], scale, span)),
    )
