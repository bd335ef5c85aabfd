"""Figures of what sequences look like: images, length, text, and a map of two settings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from mmc4viz.arrays import Floats
from mmc4viz.charts.style import (
    COLOURS,
    INK,
    LABEL,
    Spec,
    above,
    axis,
    figure,
    horizontal_line,
    pressable,
    threshold_line,
)
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.settings.two_settings import SettingMap

_KEPT = "rgba(0,114,178,{:.2f})"
_SLICED = {"width": 1, "color": "rgba(255,255,255,0.7)"}


def shares(
    thresholds: Thresholds,
    parts: Floats,
    names: Sequence[str],
    threshold: float,
    span: tuple[float, float],
    last: str | None = None,
) -> go.Figure:
    """Draw how sequences divide into kinds, stacked to 100%, against the threshold.

    Parameters
    ----------
    thresholds : ndarray of float64, shape (T,)
    parts : ndarray of float64, shape (kinds, T)
        Sequences of each kind; darker the later, from the bottom up.
    names : sequence of str
        Of the kinds, drawn where they are widest.
    threshold : float
        The current threshold, drawn as a vertical line.
    span : (float, float)
        The x axis.
    last : str, optional
        The color of the last kind.
    """
    inside = (thresholds >= span[0]) & (thresholds <= span[1]) & (parts.sum(axis=0) > 0)
    x, whole = thresholds[inside], parts[:, inside].sum(axis=0)
    tops = (parts[:, inside] / whole).cumsum(axis=0)
    data: list[Spec] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": np.zeros(len(x)),
            "line": {"width": 0},
            "hoverinfo": "skip",
        }
    ]
    labels: list[Spec] = []
    for number, (name, top) in enumerate(zip(names, tops, strict=True)):
        bottom = tops[number - 1] if number else np.zeros(len(x))
        depth = 0.15 + 0.75 * number / max(1, len(names) - 1)
        colour = _KEPT.format(depth)
        if last is not None and number == len(names) - 1:
            colour = last
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": top,
                "fill": "tonexty",
                "fillcolor": colour,
                "line": _SLICED,
                "customdata": [
                    f"{name} at {at:g}: {share:.1%} of sequences"
                    for at, share in zip(x.tolist(), (top - bottom).tolist(), strict=True)
                ],
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        )
        ink = "#1d2329" if colour == last else "#ffffff" if depth > 0.5 else None
        labels += _name_inside(x, bottom, top, name, span, ink)
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", range=list(span)),
        "yaxis": axis(range=[0, 1], tickformat=".0%", nticks=6),
        "annotations": [above("share of sequences", 0, "left")],
        "shapes": [threshold_line(threshold)],
        "hovermode": "closest",
    }
    return figure([*data, *labels], layout, 320, left=46, bottom=46, right=14)


def _name_inside(
    x: Floats, bottom: Floats, top: Floats, name: str, span: tuple[float, float], ink: str | None
) -> list[Spec]:
    """Return a name in its area, where that is high enough over the name's width.

    Without ``ink``, it has the color of the page's text.
    """
    width = 0.016 * len(name) * (span[1] - span[0]) if len(x) else 0.0
    step = float(np.diff(x).min(initial=np.inf))
    reach = max(1, min(len(x), int(width / step))) if len(x) else 1
    if len(x) < reach or not len(x):
        return []
    windows = [np.lib.stride_tricks.sliding_window_view(one, reach) for one in (bottom, top)]
    lowest, highest = windows[0].max(axis=1), windows[1].min(axis=1)
    room = highest - lowest
    at = int(room.argmax())
    if room[at] < 0.055:
        return []
    font = {"size": 13} | ({"color": ink} if ink else {})
    return [
        LABEL
        | {
            "mode": "text",
            "x": [float(x[at : at + reach].mean())],
            "y": [float((lowest[at] + highest[at]) / 2)],
            "text": [name],
            "textposition": "middle center",
            "textfont": font,
        }
    ]


def text_around(
    thresholds: Thresholds,
    lines: Sequence[tuple[str, Floats]],
    threshold: float,
    span: tuple[float, float],
) -> go.Figure:
    """Draw mean numbers of text tokens around images against the threshold.

    Parameters
    ----------
    thresholds : ndarray of float64, shape (T,)
    lines : sequence of (name, ndarray of float64, shape (T,))
        Two at most; NaN where undefined.
    threshold : float
    span : (float, float)
    """
    data: list[Spec] = []
    looks = ((COLOURS["kept"], "solid", "top"), (INK, "dash", "bottom"))
    most = 0.0
    inside = (thresholds >= span[0]) & (thresholds <= span[1])
    for (name, values), (colour, dash, place) in zip(lines, looks, strict=False):
        known = inside & np.isfinite(values)
        x, y = thresholds[known], values[known]
        most = max(most, float(y.max(initial=0)))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": y,
                "line": {"color": colour, "width": 2, "dash": dash},
                "customdata": [
                    f"{name} at {at:g}: {value:.1f}"
                    for at, value in zip(x.tolist(), y.tolist(), strict=True)
                ],
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        )
        if len(x):
            data.append(
                LABEL
                | {
                    "mode": "text",
                    "x": [float(x[0])],
                    "y": [float(y[0])],
                    "text": [name],
                    "textposition": f"{place} right",
                    "textfont": {"size": 14, "color": colour},
                }
            )
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", range=list(span)),
        "yaxis": axis(range=[0, 1.15 * most or 1], nticks=6),
        "annotations": [above("text tokens, mean", 0, "left")],
        "shapes": [threshold_line(threshold)],
        "hovermode": "closest",
    }
    return figure(data, layout, 320, left=46, bottom=46, right=14)


def setting_map(
    found: SettingMap,
    words: tuple[str, str],
    written: Sequence[Sequence[str]],
    current: tuple[float, int],
    span: tuple[float, float],
) -> go.Figure:
    """Draw a statistic by threshold and another setting, as cells that can be pressed.

    Each cell has a point that can be selected; its ``customdata`` begins with the number of the
    value and that of the threshold.

    Parameters
    ----------
    found : SettingMap
    words : (str, str)
        What the statistic, and the setting, are called.
    written : sequence of sequence of str
        The cells' values as text, shape (V, T).
    current : (float, int)
        The present threshold and value, which are marked.
    span : (float, float)
        The x axis.
    """
    x, rows = found.thresholds, [str(value) for value in found.values]
    half = float(x[1] - x[0]) / 2 if len(x) > 1 else 0.5
    cells = {
        "type": "heatmap",
        "x": np.append(x - half, x[-1] + half),  # edges
        "y": np.arange(len(rows) + 1) - 0.5,
        "z": found.cells,
        "colorscale": [[0, "rgba(0,114,178,0.06)"], [1, "rgb(0,114,178)"]],
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
        "hoverinfo": "skip",
    }
    v, t = np.indices(found.cells.shape)
    points = pressable(
        np.tile(x, len(rows)),
        np.repeat(np.arange(len(rows)), len(x)),
        [
            [int(a), int(b), rows[a], f"{x[b]:g}", written[a][b]]
            for a, b in zip(v.ravel().tolist(), t.ravel().tolist(), strict=True)
        ],
        f"{words[0]} at %{{customdata[3]}} with {words[1].lower()} %{{customdata[2]}}: "
        "%{customdata[4]}",
        size=14,
    )
    here = rows.index(str(current[1])) if str(current[1]) in rows else None
    shapes = [threshold_line(current[0])]
    if here is not None:
        shapes.append(horizontal_line(here))
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", range=list(span)),
        "yaxis": axis(
            range=[-0.5, len(rows) - 0.5], tickvals=list(range(len(rows))), ticktext=rows
        ),
        "annotations": [above(words[1], 0, "left")],
        "shapes": shapes,
        "clickmode": "event+select",
        "hovermode": "closest",
    }
    return figure([cells, points], layout, 110 + 26 * len(rows), left=46, bottom=46, right=14)
