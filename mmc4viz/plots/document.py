"""Scores that a setting exchanges → a figure. No text from documents enters it."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.plots.style import (
    COLOURS,
    TEXT_COLOURS,
    Floats,
    Spec,
    above,
    axis,
    figure,
)


def displaced(lost: Floats, instead: Floats, bars: int = 40) -> go.Figure:
    """Draw the scores of pairs lost to the cap against those kept in their place.

    Parameters
    ----------
    lost, instead : ndarray of float64
        As many of each, at least one.
    """
    everything = np.concatenate([lost, instead])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, bars + 1)
    data = [
        _outline(edges, np.histogram(lost, edges)[0], "rejected", "lost"),
        _outline(edges, np.histogram(instead, edges)[0], "kept", "kept in their place"),
    ]
    means = float(lost.mean()), float(instead.mean())
    layout = {
        "xaxis": axis(title="similarity", range=[edges[0], edges[-1]]),
        "yaxis": axis(title="pairs", rangemode="tozero", tickformat=",~g", nticks=4),
        "annotations": [
            above(f"kept instead, mean {means[1]:.3f}", 0, "left", color=TEXT_COLOURS["kept"]),
            above(f"lost, mean {means[0]:.3f}", 1, "right", color=TEXT_COLOURS["rejected"]),
        ],
    }
    return figure(data, layout, 220, left=52, bottom=46)


def _outline(edges: Floats, counts: NDArray[np.int64], meaning: str, words: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": (edges[:-1] + edges[1:]) / 2,
        "y": counts,
        "line": {"color": COLOURS[meaning], "width": 2, "shape": "hvh"},
        "hovertemplate": f"%{{y:,}} pairs {words}, around %{{x:.3f}}<extra></extra>",
    }
