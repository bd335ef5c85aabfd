"""Figures of what a threshold buys: repeats of the data under a training budget."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.charts.style import (
    ALIGNED,
    COLOURS,
    FAINT,
    INK,
    LABEL,
    WORDS,
    Spec,
    above,
    axis,
    figure,
    threshold_line,
)
from mmc4viz.thresholds.budget import CHEAP, SOURCE, Passes, times

_SHADE = "rgba(0,114,178,0.18)"


def passes(found: Passes, threshold: float, span: tuple[float, float] | None = None) -> go.Figure:
    """Draw the passes that a budget takes against the threshold, on a logarithmic axis.

    The zone up to `mmc4viz.thresholds.budget.CHEAP` passes is shaded.

    Parameters
    ----------
    found : Passes
    threshold : float
        The current threshold, drawn as a vertical line.
    span : (float, float), optional
        The x axis and margins of the threshold control, so that both are in line; by default all
        thresholds.
    """
    x = found.thresholds
    low, high = span or (float(x[0]), float(x[-1]))
    inside = (x >= low) & (x <= high) & np.isfinite(found.estimate)
    bottom, top = _ends(found, inside)
    zone = {"x": [low, high, high, low], "y": [bottom, bottom, CHEAP, CHEAP]}
    quiet: Spec = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": {"width": 0}}
    data = [quiet | zone | {"fill": "toself", "fillcolor": FAINT}]
    if found.sampled is not None:
        ends = [np.clip(one, bottom, top) for one in (found.high[inside], found.low[inside][::-1])]
        band = {"x": np.concatenate([x[inside], x[inside][::-1]]), "y": np.concatenate(ends)}
        data.append(quiet | band | {"fill": "toself", "fillcolor": _SHADE})
    data.append(_curve(found, inside))
    clear = float(found.estimate[inside].min(initial=np.inf)) > (CHEAP * top) ** 0.5
    data.append(_zone_label(high, (bottom, top), upward=clear))
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", range=[low, high]),
        "yaxis": axis(
            type="log", range=[math.log10(bottom), math.log10(top)], **_ticks(bottom, top)
        ),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("times each kept document is seen", 0, "left")],
    }
    return figure(data, layout, 300, **ALIGNED)


def _zone_label(x: float, ends: tuple[float, float], *, upward: bool) -> Spec:
    """Name the zone and its source, within it, or above it where the curve is far above."""
    lines = [f"up to {CHEAP:g} passes ", "repeats cost little ", f"{SOURCE} "]
    apart = (ends[1] / ends[0]) ** 0.078  # a line of text on the logarithmic axis
    y = (
        [CHEAP * apart**row for row in (2, 1, 0)]
        if upward
        else [CHEAP / apart**row for row in range(3)]
    )
    place = "top left" if upward else "bottom left"
    font = {"textposition": place, "textfont": WORDS | {"color": INK}}
    return LABEL | {"mode": "text", "x": [x] * 3, "y": y, "text": lines} | font


def _curve(found: Passes, inside: NDArray[np.bool_]) -> Spec:
    """Draw the estimate, with its CI under the pointer."""
    ends = np.stack([found.low[inside], found.high[inside]], axis=1)
    hover = [
        f"{times(value)} passes"
        + (f" (95% CI {times(low)}–{times(high)})" if found.sampled is not None else "")
        for value, (low, high) in zip(found.estimate[inside], ends, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": found.thresholds[inside],
        "y": found.estimate[inside],
        "line": {"color": COLOURS["kept"], "width": 2.5},
        "customdata": hover,
        "hovertemplate": "at %{x}: %{customdata}<extra></extra>",
    }


def _ends(found: Passes, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ends of the y axis: all passes and the zone, with room for its label."""
    values = found.estimate[inside]
    low = min(float(values.min(initial=np.inf)), 1.0)
    high = max(float(values.max(initial=0.0)), 2 * CHEAP)
    return low / 1.6, high * 1.3


def _ticks(low: float, high: float) -> Spec:
    """Return round numbers on a logarithmic axis, and few of them.

    Examples
    --------
    >>> _ticks(0.7, 12), _ticks(0.5, 2e6)["ticktext"]
    ({'tickvals': [1.0, 2.0, 5.0, 10.0], 'ticktext': ['1', '2', '5', '10']}, ['1', '10', '100', \
'1k', '10k', '100k', '1M'])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    every = max(1, math.ceil((last - first) / 8))
    values = [
        float(step * 10.0**power) for power in range(first, last + 1, every) for step in steps
    ]
    shown = [value for value in values if low <= value <= high]
    return {"tickvals": shown, "ticktext": [_short(value) for value in shown]}


def _short(value: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
