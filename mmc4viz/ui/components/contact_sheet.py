"""The contact sheet: pairs by score on both sides of a threshold that is dragged over them.

While the threshold is dragged, cards change sides in the browser; the server is told on release.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st
from numpy.typing import NDArray

from mmc4viz.charts import COLOURS, TEXT_COLOURS
from mmc4viz.ui import state
from mmc4viz.ui.components.control import Steered, references, score_range

SIDES: Final = ("below", "above")
_KEY: Final = "contact-sheet"
_HEARD: Final = "contact-sheet-heard"  # serial number of the browser's last threshold


@dataclass(frozen=True)
class SheetHalf:
    """The pairs on one side of the threshold, nearest first.

    Attributes
    ----------
    cards : sequence
        Of one page, as the sheet's ``mount`` takes them.
    page, pages : int
        Counted from 1, away from the threshold.
    first : int
        Which pair from the threshold is the first card, counted from 1.
    """

    cards: Sequence[Any]
    page: int
    pages: int
    first: int


@dataclass(frozen=True)
class SheetScores:
    """The small histogram above the sheet.

    Attributes
    ----------
    counts : ndarray, shape (steps of the grid,)
        Pairs in each step.
    model : str
        Whose published thresholds are marked.
    within : (float or None, float or None)
        The range of scores shown; None is an open end.
    across : str
        Name of the scores.
    """

    counts: NDArray[Any]
    model: str
    within: tuple[float | None, float | None]
    across: str = "CLIP score"


def show(
    steered: Steered,
    below: SheetHalf,
    above: SheetHalf,
    scores: SheetScores,
    turn: Callable[[str, int], None],
    mount: Callable[..., Any],
) -> None:
    """Draw the sheet below a small score histogram with the threshold.

    Parameters
    ----------
    steered : Steered
    below, above : SheetHalf
    scores : SheetScores
    turn : callable
        Called with the name of a side and the page that is asked for.
    mount : callable
        Draws the cards, given a key, a message and callbacks.
    """
    groups = [
        {"side": side, "cards": half.cards, "page": half.page, "pages": half.pages,
         "first": half.first}
        for side, half in zip(SIDES, (below, above), strict=True)
    ]  # fmt: skip
    found = mount(
        _KEY,
        {"groups": groups, "strip": _strip(steered, scores)},
        on_threshold_change=lambda: _moved(steered, turn),
        on_page_change=lambda: _turned(turn),
        on_bar_change=lambda: None,
    )
    if (asked := score_range(found.bar)) is not None:
        state.go_to_pairs(*asked)


def _strip(steered: Steered, scores: SheetScores) -> dict[str, Any]:
    """Return the histogram and the threshold."""
    scale = steered.scale
    first, steps = round(scale.start / scale.step), len(scale.thresholds())
    ends = [
        None if end is None else round(state.on_grid(end, scale) / scale.step) - first
        for end in scores.within
    ]
    return {
        "first": first,
        "step": scale.step,
        "digits": scale.digits,
        "steps": steps,
        "span": [round(end / scale.step) - first for end in steered.span],
        "counts": scores.counts.tolist(),
        "within": [0 if ends[0] is None else ends[0], steps if ends[1] is None else ends[1]],
        "threshold": steered.threshold,
        "heard": st.session_state.get(_HEARD, 0),
        "view": {"form": "share", "log": False},
        "marks": references(scores.model, scale),
        "proposals": [],
        "compared": {"at": None},
        "colours": {k: COLOURS[k] for k in ("kept", "rejected")}
        | {f"{side}_text": colour for side, colour in TEXT_COLOURS.items()},
        "words": {"across": scores.across, "threshold": "Threshold"},
    }


def _moved(steered: Steered, turn: Callable[[str, int], None]) -> None:
    """Keep the threshold that the browser reports, and show the pairs nearest to it."""
    asked = state.asked(_KEY, "threshold")
    if not isinstance(asked, list) or len(asked) != 2:
        return
    serial, value = asked
    if isinstance(value, int | float) and math.isfinite(value) and isinstance(serial, int):
        st.session_state[_HEARD] = serial
        steered.keep(state.on_grid(float(value), steered.scale, steered.span))
        for side in SIDES:
            turn(side, 1)


def _turned(turn: Callable[[str, int], None]) -> None:
    asked = state.asked(_KEY, "page")
    if isinstance(asked, list) and len(asked) == 2:
        side, page = asked
        if side in SIDES and isinstance(page, int):
            turn(side, page)
