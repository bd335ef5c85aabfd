"""Widgets whose values are kept in the address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from mmc4viz.ui import state

T = TypeVar("T")
N = TypeVar("N", int, float)


def one_of(
    draw: Callable[..., Any],
    label: str,
    options: Sequence[T],
    key: str,
    name: str,
    default: T | None = None,
    **looks: Any,
) -> T:
    """Ask for one of several options.

    Parameters
    ----------
    draw : callable
        ``st.selectbox`` or ``st.segmented_control``.
    label : str
    options : sequence
    key, name : str
        Of the widget, and of its value in the address.
    default : optional
        By default the first option.
    **looks
        Passed to ``draw``.
    """
    default = options[0] if default is None else default
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    by_text = {str(one): one for one in options}
    known = state.understood(name, by_text.get, _one_of(list(by_text)), str(default))
    state.seed(key, default if known is None else known)
    chosen: T | None = draw(label, options, key=key, **looks)
    chosen = default if chosen is None else chosen
    state.put(name, None if chosen == default else str(chosen))
    return chosen


def _one_of(names: Sequence[str]) -> str:
    """Say which words are expected, unless they are many or long."""
    words = ", ".join(names)
    return f"one of {words}" if len(words) <= 80 else "one of the options"


def number(label: str, key: str, name: str, default: N, least: N, most: N, **looks: Any) -> N:
    """Ask for a number; whole if the default is."""
    found: float | None
    if isinstance(default, int):
        found = state.whole(name, default, int(least), int(most))
    else:
        found = state.understood(
            name,
            lambda text: one if least <= (one := state.number(text, most + 1)) <= most else None,
            f"a number from {least:g} to {most:g}",
            f"{default:g}",
        )
    state.seed(key, default if found is None else found)
    value: N = st.number_input(label, least, most, key=key, **looks)
    state.put(name, None if value == default else f"{value:.12g}")
    return value


def yes_or_no(label: str, key: str, name: str, *, default: bool, **looks: Any) -> bool:
    """Ask for yes or no."""
    known = {"yes": True, "no": False}
    found = state.understood(name, known.get, "yes or no", "yes" if default else "no")
    state.seed(key, default if found is None else found)
    chosen = st.toggle(label, key=key, **looks)
    state.put(name, None if chosen == default else "yes" if chosen else "no")
    return chosen


def text(label: str, key: str, name: str, default: str = "", most: int = 40, **looks: Any) -> str:
    """Ask for a line of text of at most so many characters."""
    state.seed(key, state.get(name)[:most] or default)
    value = (st.text_input(label, key=key, max_chars=most, **looks) or "").strip()
    state.put(name, None if value in ("", default) else value)
    return value or default
