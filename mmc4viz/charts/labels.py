"""Figures of labels: precision, recall and the probability of being correct."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go

from mmc4viz.arrays import Floats
from mmc4viz.charts.style import (
    ALIGNED,
    COLOURS,
    INK,
    TEXT_COLOURS,
    Spec,
    above,
    axis,
    figure,
    name_at,
    threshold_line,
    x_range,
)
from mmc4viz.thresholds.labels.intervals import Interval
from mmc4viz.thresholds.labels.precision import Curve, Isotonic

# Precision and recall: one is blue and solid, the other grey and dotted.
_RATES: Final = {
    "precision": (COLOURS["kept"], "solid", "rgba(0,114,178,0.18)"),
    "recall": (INK, "dot", "rgba(125,133,140,0.18)"),
}


def precision(
    found: Curve,
    threshold: float,
    wanted: float | None,
    proposed: float | None,
    span: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw precision and recall against the threshold, with their 95% CIs.

    Parameters
    ----------
    found : Curve
    threshold : float
        The current threshold, drawn as a vertical line.
    wanted : float or None
        The target precision, drawn as a horizontal line.
    proposed : float or None
        The suggested threshold, marked on the precision curve.
    span : (float, float), optional
        The x axis and margins of the threshold control, so that both are in line; by default the
        curves' own range.
    """
    x = found.thresholds
    rates = {"recall": found.kept, "precision": found.precision}
    data = [one for name, rate in rates.items() for one in _banded(x, rate, name)]
    for name, rate in rates.items():
        last = _last(rate.estimate)
        if last is not None:
            end = float(x[last]), float(rate.estimate[last])
            data.append(name_at([end[0]], [end[1]], name, _RATES[name][0]))
    if proposed is not None:
        at = int(np.argmin(np.abs(x - proposed)))
        data.append(_mark(float(x[at]), float(found.precision.estimate[at])))
    shapes = [threshold_line(threshold)]
    if wanted is not None:
        target = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": wanted, "y1": wanted}
        shapes.append(target | {"line": {"color": INK, "width": 1}})
    across = x_range(x.tolist()) if span is None else {"range": list(span)}
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", **across),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": shapes,
        "annotations": [above("share of pairs, with 95% CI", 0, "left")],
    }
    return figure(data, layout, 300, **(ALIGNED if span else {"left": 52, "bottom": 46}))


def _last(values: Floats) -> int | None:
    known = np.flatnonzero(np.isfinite(values))
    return int(known[-1]) if len(known) else None


def _banded(x: Floats, found: Interval, words: str) -> list[Spec]:
    """Draw a curve with its confidence interval."""
    colour, dash, shade = _RATES[words]
    band: Spec = {
        "type": "scatter",
        "x": np.concatenate([x, x[::-1]]),
        "y": np.concatenate([found.high, found.low[::-1]]),
        "fill": "toself",
        "fillcolor": shade,
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
    }
    line: Spec = {
        "type": "scatter",
        "x": x,
        "y": found.estimate,
        "mode": "lines",
        "line": {"color": colour, "width": 2, "dash": dash},
        "customdata": np.stack([found.low, found.high], axis=1),
        "hovertemplate": f"at %{{x}}: {words} %{{y:.1%}}"
        " (95% CI %{customdata[0]:.1%}–%{customdata[1]:.1%})<extra></extra>",
    }
    return [band, line]


def _mark(x: float, y: float) -> Spec:
    return {
        "type": "scatter",
        "x": [x],
        "y": [y],
        "mode": "markers",
        "marker": {"color": COLOURS["kept"], "size": 12, "line": {"color": INK, "width": 2}},
        "hovertemplate": "suggested: %{x}<extra></extra>",
    }


def probability(found: Isotonic, threshold: float, span: tuple[float, float]) -> go.Figure:
    """Draw the probability that a pair is correct against its score, as a rising step function."""
    x = np.concatenate([found.score, [max(span[1], float(found.score[-1]))]])
    line: Spec = {
        "type": "scatter",
        "x": x,
        "y": np.concatenate([found.probability, found.probability[-1:]]),
        "mode": "lines",
        "line": {"color": COLOURS["kept"], "width": 2, "shape": "hv"},
        "hovertemplate": "score ≥ %{x:.4g}: %{y:.0%} correct<extra></extra>",
    }
    layout = {
        "xaxis": axis(title="CLIP score", range=list(span)),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("<b>probability correct</b>", 0, "left", color=TEXT_COLOURS["kept"])],
    }
    return figure([line], layout, 300, left=52, bottom=46)
