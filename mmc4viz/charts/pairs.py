"""Figures of tables of image–text pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from mmc4viz.arrays import Floats, Ints
from mmc4viz.charts.style import (
    COLOURS,
    INK,
    Spec,
    above,
    axis,
    curve,
    figure,
    horizontal_line,
    name_beside,
    pressable,
    threshold_line,
    x_range,
)

_MOST_CELLS: Final = 40  # along an axis


def rebinned(
    histogram: Ints, grids: tuple[Floats, Floats], spans: Sequence[tuple[float, float]]
) -> tuple[Ints, tuple[Floats, Floats]]:
    """Return a joint histogram by codes in fewer and wider bins over a range.

    Parameters
    ----------
    histogram : ndarray of int64, shape (K₁ + 1, K₂ + 1)
        By the number of thresholds that each score reaches.
    grids : tuple of ndarray, shapes (K₁,) and (K₂,)
    spans : sequence of (float, float)
        Values beyond are counted in the outermost bins.

    Returns
    -------
    tuple of ndarray, (ndarray, ndarray)
        Counts, and the edges of the bins.

    Examples
    --------
    >>> grid = np.array([0.0, 0.1, 0.2])
    >>> joint = np.zeros((4, 4), np.int64)
    >>> joint[2, 3] = 5  # from 0.1 to 0.2, and 0.2 or more
    >>> counts, edges = rebinned(joint, (grid, grid), [(0.0, 0.2)] * 2)
    >>> counts.tolist(), edges[0].tolist()
    ([[0, 0], [0, 5]], [0.0, 0.1, 0.2])
    """
    edges = []
    found = histogram
    for side, (grid, (low, high)) in enumerate(zip(grids, spans, strict=True)):
        first, last = (int(np.searchsorted(grid, end - 1e-9)) for end in (low, high))
        last = max(last, first + 1)
        every = -(-(last - first) // _MOST_CELLS)
        starts = np.arange(first, last, every)
        cut = np.concatenate([[0], starts[1:] + 1])
        found = np.add.reduceat(found, cut, axis=side)
        edges.append(np.append(grid[starts], grid[last]))
    return found, (edges[0], edges[1])


def level_line(kept: Floats, seconds: Floats, level: float) -> Floats:
    """Return the highest second threshold that keeps a share, for each first one; NaN without.

    Parameters
    ----------
    kept : ndarray of float64, shape (X, Y)
        Shares by both thresholds; they fall with either.
    seconds : ndarray of float64, shape (Y,)
        Ascending.
    level : float

    Examples
    --------
    >>> kept = np.array([[0.9, 0.5], [0.4, 0.1]])
    >>> level_line(kept, np.array([0.2, 0.3]), 0.4).tolist()
    [0.3, 0.2]
    """
    enough = (kept >= level).sum(axis=1)
    found = seconds[np.maximum(enough - 1, 0)]
    return np.where(enough > 0, found, np.nan)


def both_thresholds(
    kept: Floats,
    grids: tuple[Floats, Floats],
    thresholds: tuple[float, float],
    names: Sequence[str],
    together: str,
) -> go.Figure:
    """Draw lines of thresholds that keep the same share of all pairs: 10%, 20%, … 90%.

    Places all over the picture can be selected; their ``customdata`` are two thresholds and the
    share that they keep.

    Parameters
    ----------
    kept : ndarray of float64, shape (X, Y)
        Shares, by the first score's threshold, then the second's.
    grids : tuple of ndarray, shapes (X,) and (Y,)
        The part of both grids that is drawn.
    thresholds : (float, float)
        The current ones.
    names : (str, str)
    together : str
        ``and`` or ``or``.
    """
    x, y = grids
    data: list[Spec] = []
    annotations = [above(f"threshold of {names[1]}", 0, "left")]
    for tenth in range(1, 10):
        line = level_line(kept, y, tenth / 10)
        known = np.isfinite(line) & (line < y[-1])
        if not known.any():
            continue
        across, up = x[known].tolist(), line[known].tolist()
        if together == "and":  # beyond, no second threshold keeps that much
            across, up = [*across, across[-1]], [*up, float(y[0])]
            end = across[-1], up[-2]
        else:  # before, every second threshold does
            across, up = [across[0], *across], [float(y[-1]), *up]
            end = across[0], up[1]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": across,
                "y": up,
                "line": {"color": COLOURS["kept"], "width": 1.5},
                "hoverinfo": "skip",
            }
        )
        annotations.append(name_beside(*end, f"{tenth * 10}%", INK))
    some = [
        np.unique(np.linspace(0, len(one) - 1, _MOST_CELLS).round().astype(int)) for one in grids
    ]
    places = [(int(a), int(b)) for a in some[0] for b in some[1]]
    data.append(
        pressable(
            [float(x[a]) for a, _ in places],
            [float(y[b]) for _, b in places],
            [[float(x[a]), float(y[b]), float(kept[a, b])] for a, b in places],
            f"%{{customdata[0]:.6g}} {together} %{{customdata[1]:.6g}} keep "
            "%{customdata[2]:.1%}; press to use",
        )
    )
    layout: Spec = {
        "xaxis": axis(title=f"threshold of {names[0]}", range=[x[0], x[-1]], nticks=7),
        "yaxis": axis(range=[y[0], y[-1]], nticks=7),
        "shapes": [threshold_line(thresholds[0]), horizontal_line(thresholds[1])],
        "annotations": annotations,
        "clickmode": "event+select",
        "hovermode": "closest",
    }
    return figure(data, layout, 420, left=52, bottom=46)


def number_yield(thresholds: Floats, shares: Floats, name: str) -> go.Figure:
    """Draw the share of pairs whose number reaches each threshold.

    Parameters
    ----------
    thresholds, shares : ndarray of float64, shape (K,)
    name : str
        The column.
    """
    line = {"color": COLOURS["kept"], "width": 2.5}
    x = thresholds.tolist()
    data = [curve(x, shares.tolist(), line, [f"{one:.6g}" for one in thresholds],
                  "%{y:.1%} of pairs have %{customdata} or more")]  # fmt: skip
    layout = {
        "xaxis": axis(nticks=7, title=name, **x_range(x, named=False)),
        "yaxis": axis(range=[0, 1.08], tickformat=".0%", nticks=6),
        "annotations": [above("pairs that reach it", 0, "left")],
    }
    return figure(data, layout, 260, left=52, bottom=46)
