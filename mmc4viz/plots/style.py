"""What every picture shares: colours with fixed meanings, axes, the threshold's line, the frame.

Backgrounds are transparent and inks are greys that read on light and dark alike, so that a figure
fits whatever page it is put on. Each figure is built whole from plain dictionaries, for every
change of a Plotly figure is validated anew. Draws no data itself.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

# Okabe and Ito's palette, which colour-blind eyes tell apart; the meanings are fixed everywhere.
COLOURS: Final = {
    "kept": "#0072B2",
    "rejected": "#E69F00",
    "truncated": "#56B4E9",
    "misbound": "#CC79A7",
    "unreadable": "#D55E00",
}
# The same as text, with contrast enough on light and dark.
TEXT_COLOURS: Final = {"kept": "#2A86C8", "rejected": "#B87D00"}
INK: Final = "#7D858C"
FAINT: Final = "rgba(125,133,140,0.22)"
CLEAR: Final = "rgba(0,0,0,0)"
LINE: Final[dict[str, Any]] = {"color": INK, "width": 2, "dash": "dash"}  # the threshold's
WORDS: Final[dict[str, Any]] = {"size": 14}
STAND_OFF: Final = {"ticks": "outside", "ticklen": 6, "tickcolor": CLEAR}
LABEL: Final = {"type": "scatter", "cliponaxis": False, "hoverinfo": "skip"}

Floats = NDArray[np.float64]
Spec = dict[str, Any]


def above(text: str, x: float, anchor: str, **font: str) -> Spec:
    """Write words above a picture, where no position of the line hides them."""
    where = {"x": x, "xref": "paper", "xanchor": anchor, "y": 1.0, "yref": "paper"}
    return {**where, "yanchor": "bottom", "text": text, "font": WORDS | font, "showarrow": False}


def count(number: float) -> str:
    """Write a count; halves, which the coin makes, with their decimal.

    Examples
    --------
    >>> count(1234.0), count(12.5)
    ('1,234', '12.5')
    """
    return f"{number:,.0f}" if abs(number - round(number)) < 0.05 else f"{number:,.1f}"


def lost_words(number: float, total: float) -> str:
    """Write a loss and its share; a plain 0 where nothing is lost."""
    return f"−{part_words(number, total)}" if number else "0"


def part_words(number: float, total: float) -> str:
    """Write a count and its share of the total."""
    return f"{count(number)}  ({number / total:.1%})" if total else count(number)


def threshold_line(threshold: float, number: str = "") -> Spec:
    """Draw the threshold through the whole height of a picture, the same in every one."""
    x = {"x0": threshold, "x1": threshold, "xref": f"x{number}"}
    return {"type": "line", **x, "y0": 0, "y1": 1, "yref": f"y{number} domain", "line": LINE}


def axis(**settings: Any) -> Spec:
    """Describe an axis that stands still, with faint lines."""
    still = {"gridcolor": FAINT, "zeroline": False, "automargin": False, "fixedrange": True}
    if "title" in settings:
        settings["title"] = {"text": settings["title"]}
    return still | settings


def figure(
    data: list[Spec], layout: Spec, height: int, *, left: int, bottom: int, top: int = 30
) -> go.Figure:
    """Build a figure with what every picture shares.

    Margins are fixed: measuring them in the browser would draw every picture several times.
    """
    shared = {
        "height": height,
        "margin": {"l": left, "r": 8, "t": top, "b": bottom, "autoexpand": False},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": False,
        "hoverlabel": {"align": "left"},
        "dragmode": False,
    }
    return go.Figure({"data": data, "layout": layout | shared})
