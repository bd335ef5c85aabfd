"""What labels say → figures: precision and share kept with intervals, probability by score."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from mmc4viz.choice.labelling.precision import Curve, Isotonic
from mmc4viz.choice.labelling.stratified import Interval
from mmc4viz.plots.style import (
    COLOURS,
    INK,
    TEXT_COLOURS,
    Floats,
    Spec,
    above,
    axis,
    figure,
    threshold_line,
)

_BAND = {"kept": "rgba(0,114,178,0.18)", "truncated": "rgba(86,180,233,0.20)"}


def precision(found: Curve, threshold: float, wanted: float, proposed: float | None) -> go.Figure:
    """Draw precision, and the share of right pairs that is kept, against the threshold.

    Parameters
    ----------
    found : Curve
    threshold : float
        The one that is chosen, drawn as a line.
    wanted : float
        The precision that is wished for, drawn across.
    proposed : float or None
        Marked on the curve, where there is one.
    """
    x = found.thresholds
    data = [
        *_banded(x, found.kept, "truncated", "of the right pairs kept"),
        *_banded(x, found.precision, "kept", "of the kept pairs right"),
    ]
    if proposed is not None:
        at = int(np.argmin(np.abs(x - proposed)))
        data.append(_mark(float(x[at]), float(found.precision.estimate[at])))
    wish = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": wanted, "y1": wanted}
    layout = {
        "xaxis": axis(title="threshold", range=[float(x[0]), float(x[-1])]),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": [threshold_line(threshold), wish | {"line": {"color": INK, "width": 1}}],
        "annotations": [
            above("<b>precision</b>", 0, "left", color=TEXT_COLOURS["kept"]),
            above("<b>share of right pairs kept</b>", 1, "right", color=COLOURS["truncated"]),
        ],
    }
    return figure(data, layout, 300, left=52, bottom=46)


def _banded(x: Floats, found: Interval, meaning: str, words: str) -> list[Spec]:
    """Draw a curve with its interval."""
    band: Spec = {
        "type": "scatter",
        "x": np.concatenate([x, x[::-1]]),
        "y": np.concatenate([found.high, found.low[::-1]]),
        "fill": "toself",
        "fillcolor": _BAND[meaning],
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
    }
    line: Spec = {
        "type": "scatter",
        "x": x,
        "y": found.estimate,
        "mode": "lines",
        "line": {"color": COLOURS[meaning], "width": 2},
        "customdata": np.stack([found.low, found.high], axis=1),
        "hovertemplate": f"at %{{x}}: %{{y:.1%}} {words}"
        " (%{customdata[0]:.1%} to %{customdata[1]:.1%})<extra></extra>",
    }
    return [band, line]


def _mark(x: float, y: float) -> Spec:
    return {
        "type": "scatter",
        "x": [x],
        "y": [y],
        "mode": "markers",
        "marker": {"color": COLOURS["kept"], "size": 12, "line": {"color": INK, "width": 2}},
        "hovertemplate": "proposed: %{x}<extra></extra>",
    }


def probability(found: Isotonic, threshold: float, span: tuple[float, float]) -> go.Figure:
    """Draw the probability of being right against the score, as steps that never fall."""
    x = np.concatenate([found.score, [max(span[1], float(found.score[-1]))]])
    line: Spec = {
        "type": "scatter",
        "x": x,
        "y": np.concatenate([found.probability, found.probability[-1:]]),
        "mode": "lines",
        "line": {"color": COLOURS["kept"], "width": 2, "shape": "hv"},
        "hovertemplate": "from %{x:.4g} on: %{y:.0%} right<extra></extra>",
    }
    layout = {
        "xaxis": axis(title="similarity of the matched pair", range=list(span)),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": [threshold_line(threshold)],
        "annotations": [
            above("<b>probability of being right</b>", 0, "left", color=TEXT_COLOURS["kept"])
        ],
    }
    return figure([line], layout, 300, left=52, bottom=46)
