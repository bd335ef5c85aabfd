"""What all figures share: colors, axes, lines and their labels, as parts of Plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go

from mmc4viz.data.scale import Scale

# Okabe and Ito's colorblind-safe palette; each color has the same meaning everywhere.
COLOURS: Final = {
    "kept": "#0072B2",
    "rejected": "#E69F00",
    "truncated": "#56B4E9",
    "mispaired": "#CC79A7",
    "unreadable": "#D55E00",
}
# For text, with sufficient contrast on light and dark backgrounds.
TEXT_COLOURS: Final = {"kept": "#2A86C8", "rejected": "#B87D00"}
INK: Final = "#7D858C"
FAINT: Final = "rgba(125,133,140,0.22)"
CLEAR: Final = "rgba(0,0,0,0)"
LINE: Final[dict[str, Any]] = {"color": INK, "width": 2, "dash": "dash"}  # marks the threshold
WORDS: Final[dict[str, Any]] = {"size": 14}
LABEL: Final = {"type": "scatter", "cliponaxis": False, "hoverinfo": "skip"}
ALIGNED: Final = {"left": 46, "right": 14, "bottom": 46}  # margins of the threshold control


Spec = dict[str, Any]


def above(text: str, x: float, anchor: str, **font: str) -> Spec:
    """Return a label above the plot, where the threshold line never hides it."""
    where = {"x": x, "xref": "paper", "xanchor": anchor, "y": 1.0, "yref": "paper"}
    return {**where, "yanchor": "bottom", "text": text, "font": WORDS | font, "showarrow": False}


def threshold_line(threshold: float, number: str = "") -> Spec:
    """Return a vertical line at the threshold, over the full height of the plot."""
    x = {"x0": threshold, "x1": threshold, "xref": f"x{number}"}
    return {"type": "line", **x, "y0": 0, "y1": 1, "yref": f"y{number} domain", "line": LINE}


def horizontal_line(level: float) -> Spec:
    """Return a horizontal line, such as at a second threshold, over the full width of the plot."""
    y = {"y0": level, "y1": level, "yref": "y"}
    return {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", **y, "line": LINE}


def pressable(
    x: Any, y: Any, customdata: Sequence[Sequence[Any]], words: str, size: int = 10
) -> Spec:
    """Return unseen points that can be pressed; a choice leaves the picture as it is.

    Parameters
    ----------
    x, y : array-like, shape (n,)
    customdata : sequence of sequences, length n
        What a pressed point carries.
    words : str
        Shown under the pointer.
    size : int
        In pixels.
    """
    unseen = {"marker": {"opacity": 0}}  # markers of Streamlit's selection are transparent, too
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "customdata": customdata,
        "marker": {"size": size, "opacity": 0},
        "selected": unseen,
        "unselected": unseen,
        "hovertemplate": f"{words}<extra></extra>",
    }


def axis(**settings: Any) -> Spec:
    """Return an axis with a fixed range and faint grid lines."""
    fixed = {"gridcolor": FAINT, "zeroline": False, "automargin": False, "fixedrange": True}
    if "title" in settings:
        settings["title"] = {"text": settings["title"]}
    return fixed | settings


def figure(
    data: list[Spec],
    layout: Spec,
    height: int,
    *,
    left: int,
    bottom: int,
    top: int = 30,
    right: int = 8,
) -> go.Figure:
    """Build a figure with the shared layout.

    Margins are fixed: automatic margins would make the browser draw every figure several times.
    """
    shared = {
        "height": height,
        "margin": {"l": left, "r": right, "t": top, "b": bottom, "autoexpand": False},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": False,
        "hoverlabel": {"align": "left"},
        "dragmode": False,
    }
    return go.Figure({"data": data, "layout": layout | shared})


def score_title(scale: Scale) -> str:
    """Return the title of an axis of scores."""
    return "CLIP score" if scale.name == "unknown" else f"CLIP score ({scale.name})"


def x_range(x: Sequence[float], *, named: bool = True) -> Spec:
    """Return the range of the x axis, with space after the last point for the curves' names."""
    if not x:
        return {}
    width = (x[-1] - x[0]) or 1.0
    return {"range": [x[0] - 0.02 * width, x[-1] + (0.2 if named else 0.02) * width]}


def curve(x: object, y: object, line: Spec, hover: Sequence[str], words: str) -> Spec:
    """Return a curve; ``words`` are shown under the pointer, with ``hover`` as its custom data."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": line,
        "customdata": hover,
        "hovertemplate": f"{words}<extra></extra>",
    }


def name_beside(x: float, y: float, name: str, colour: str) -> Spec:
    """Return a label beside a point of a curve."""
    font = WORDS | {"color": text_colour(colour)}
    return {"x": x, "y": y, "text": f" {name}", "xanchor": "left", "showarrow": False, "font": font}


def text_colour(colour: str) -> str:
    """Return the color of text that belongs to a line of a color."""
    return TEXT_COLOURS["kept"] if colour == COLOURS["kept"] else colour


def name_at(x: Sequence[float], y: Sequence[float], name: str, colour: str) -> Spec:
    """Label a curve at its end."""
    return LABEL | {
        "x": [x[-1]],
        "y": [y[-1]],
        "mode": "text",
        "text": [f" {name}"],
        "textposition": "middle right",
        "textfont": WORDS | {"color": text_colour(colour)},
    }


def shade(colour: str, alpha: float = 0.35) -> str:
    """Return a color, given in hexadecimal, as a transparent one.

    Examples
    --------
    >>> shade("#0072B2")
    'rgba(0,114,178,0.35)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
