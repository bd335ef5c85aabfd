"""Figures of what is kept at each threshold and at each value of a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from mmc4viz.charts.style import (
    COLOURS,
    FAINT,
    INK,
    Spec,
    above,
    axis,
    curve,
    figure,
    name_beside,
    threshold_line,
)


def yields(
    rows: Sequence[Mapping[str, Any]], quantities: Sequence[str], threshold: float
) -> go.Figure:
    """Draw quantities against the threshold, each as a share of its highest value.

    Parameters
    ----------
    rows : sequence of mapping
        One per threshold, ascending, as `mmc4viz.notebook.YieldCurves.rows`; with ``NAME_low`` and
        ``NAME_high`` where they are estimates.
    quantities : sequence of str
        Columns of the rows, drawn in a fixed color each, others in turn.
    threshold : float
        Marked by a line.
    """
    x, data, names = [row["threshold"] for row in rows], [], []
    for number, name in enumerate(quantities):
        colour, dash = _STYLES.get(name, _OTHER_STYLES[number % len(_OTHER_STYLES)])
        values = np.array([row[name] for row in rows], np.float64)
        most = float(values.max(initial=0)) or 1.0
        words = name.replace("_", " ")
        if f"{name}_low" in rows[0]:
            ends = [[row[f"{name}_{end}"] / most for row in rows] for end in ("low", "high")]
            edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
            data += [
                {**edge, "x": x, "y": ends[0]},
                {**edge, "x": x, "y": ends[1], "fill": "tonexty", "fillcolor": FAINT},
            ]
        hover = [f"{words} at {at:g}: {value:,.10g}" for at, value in zip(x, values, strict=True)]
        share = (values / most).tolist()
        line = {"color": colour, "width": 2, "dash": dash}
        data.append(curve(x, share, line, hover, "%{customdata}"))
        # Near its end every curve is close to zero: its name is where it has fallen so far.
        fallen = np.flatnonzero(np.array(share) >= max(0.06, 0.9 - 0.14 * number))
        if len(fallen):
            names.append(name_beside(x[fallen[-1]], share[fallen[-1]], words, colour))
    layout = {
        "xaxis": axis(title="threshold (CLIP score)"),
        "yaxis": axis(title="share of the highest value", tickformat=".0%", range=[0, 1.02]),
        "annotations": names,
        "shapes": [threshold_line(threshold)],
    }
    return figure(data, layout, 320, left=64, bottom=46)


# Curves of one picture: no two are told apart by two blues alone.
_STYLES: Final = {
    "documents": (COLOURS["kept"], "solid"),
    "pairs": (INK, "solid"),
    "image_tokens": (COLOURS["kept"], "dash"),
    "text_tokens": (INK, "dot"),
    "mispaired": (COLOURS["mispaired"], "dashdot"),
}
_OTHER_STYLES: Final = (
    (COLOURS["rejected"], "solid"),
    (COLOURS["unreadable"], "dash"),
    (COLOURS["truncated"], "dot"),
    (COLOURS["rejected"], "longdash"),
    (COLOURS["unreadable"], "dashdot"),
)


def values_of_a_setting(
    names: Sequence[str],
    values: Sequence[tuple[float, float, float]],
    present: Sequence[bool],
    title: str,
    most: float,
    *,
    joined: bool,
    share: bool,
) -> go.Figure:
    """Draw a yield against the values of a setting, the current value as a large dot.

    Parameters
    ----------
    names : sequence of str
        The setting's values.
    values : sequence of (estimate, low, high)
        With the ends of the 95% CI.
    present : sequence of bool
    title : str
    most : float
        The end of the y axis.
    joined : bool
        Whether the values are numbers, joined by a line.
    share : bool
    """
    places = list(range(len(names)))
    line = {"color": COLOURS["kept"], "width": 2}
    data: list[Spec] = []
    if joined:
        data.append(curve(places, [value for value, *_ in values], line, list(names), ""))
    for at, ((value, low, high), now) in enumerate(zip(values, present, strict=True)):
        marker = {"color": COLOURS["kept"], "size": 12 if now else 7}
        if high > low:
            data.append(curve([at, at], [low, high], line | {"width": 1}, [], ""))
        data.append({"type": "scatter", "mode": "markers", "x": [at], "y": [value],
                     "marker": marker})  # fmt: skip
    layout = {
        "xaxis": axis(range=[-0.5, len(names) - 0.5], tickvals=places, ticktext=list(names)),
        "yaxis": axis(range=[0, most], tickformat=".0%" if share else ",~g"),
        "annotations": [above(title, 0, "left")],
    }
    return figure(data, layout, 240, left=64, bottom=36)
