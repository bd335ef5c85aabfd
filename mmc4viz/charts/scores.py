"""Figures of scores: the number of pairs with each score, and their position on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.charts.style import (
    ALIGNED,
    COLOURS,
    TEXT_COLOURS,
    WORDS,
    Spec,
    above,
    axis,
    curve,
    figure,
    score_title,
    shade,
    threshold_line,
)
from mmc4viz.data.scale import Scale
from mmc4viz.sweep.distribution import PositionMap


def count_histogram(
    counts: Floats, threshold: float, span: tuple[float, float], scale: Scale
) -> go.Figure:
    """Draw a score distribution, like `score_histogram`, from the pairs in each step of the grid.

    Parameters
    ----------
    counts : ndarray of float64, shape (steps of the grid,)
    """
    below = np.concatenate([[0], np.round(counts).astype(np.int64).cumsum()])
    return _histogram(below, scale.thresholds(), threshold, span, scale, 60)


def score_histogram(
    scores: Floats, threshold: float, span: tuple[float, float], scale: Scale, bars: int = 60
) -> go.Figure:
    """Draw the score distribution of matched pairs, kept and dropped, with the threshold.

    Parameters
    ----------
    scores : ndarray of float64, shape (pairs,)
        Ascending.
    span : (float, float)
        The range shown; scores beyond it count in the outermost bars.
    bars : int
        Maximum number of bars; each spans a whole number of grid steps of the scale.
    """
    below = np.arange(len(scores) + 1, dtype=np.int64)
    return _histogram(below, scores, threshold, span, scale, bars)


def _histogram(
    below: NDArray[np.int64], scores: Floats, threshold: float, span: tuple[float, float],
    scale: Scale, bars: int,
) -> go.Figure:  # fmt: skip
    """Draw a score distribution from the number of pairs below each score, and of all pairs."""
    edges, total = bin_edges(span, scale, bars), int(below[-1])
    inside = below[np.searchsorted(scores, edges[1:-1], side="left")]
    ends = np.concatenate([[0], inside, [total]])
    cut = int(below[np.searchsorted(scores, threshold, side="left")])
    parts = {
        "rejected": np.diff(np.minimum(ends, cut)),
        "kept": np.diff(np.maximum(ends, cut)),
    }
    highest = max(int(np.diff(ends).max()), 1)
    form = f".{scale.digits}f"
    places = [f"{a:{form}} ≤ score < {b:{form}}" for a, b in pairwise(edges.tolist())]
    whole = {"dtick": 1 if highest < 4 else 2} if highest < 8 else {}
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": axis(title=score_title(scale), range=[edges[0], edges[-1]]),
        "yaxis": axis(title="pairs", range=[0, 1.05 * highest], tickformat=",~g", **whole),
        "shapes": [threshold_line(threshold)],
        "annotations": [
            above(f"<b>{cut:,} dropped</b>", 0, "left", color=TEXT_COLOURS["rejected"]),
            above(f"<b>{total - cut:,} kept</b>", 1, "right", color=TEXT_COLOURS["kept"]),
        ],
    }
    data = [_bars(name, edges, counts, places) for name, counts in parts.items()]
    return figure(data, layout, 260, left=52, bottom=46)


def _bars(meaning: str, edges: Floats, counts: NDArray[np.int64], places: list[str]) -> Spec:
    name = "dropped" if meaning == "rejected" else meaning
    return {
        "type": "bar",
        "x": (edges[:-1] + edges[1:]) / 2,
        "y": counts,
        "width": edges[1] - edges[0],
        "name": name,
        "marker": {"color": COLOURS[meaning], "line": {"width": 0}},
        "customdata": places,
        "hovertemplate": f"%{{y:,}} pairs {name}, %{{customdata}}<extra></extra>",
    }


def bin_edges(
    span: tuple[float, float], scale: Scale, bars: int = 60, at: float | None = None
) -> Floats:
    """Return the bars' edges, each of which is a threshold of the grid, one of them ``at``."""
    first, last = round(span[0] / scale.step), round(span[1] / scale.step)
    width = max(1, math.ceil((last - first) / bars))
    if at is not None:
        first -= (first - round(at / scale.step)) % width
    steps = range(first, last + width, width)
    return np.array([round(k * scale.step, scale.digits) for k in steps])


def displaced(lost: Floats, instead: Floats, bars: int = 40) -> go.Figure:
    """Draw the scores of pairs dropped at the cap, and of the pairs kept instead.

    Parameters
    ----------
    lost, instead : ndarray of float64
        Equally many dropped and kept pairs, at least one.
    """
    everything = np.concatenate([lost, instead])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, bars + 1)
    data = [
        _outline(edges, np.histogram(lost, edges)[0], "rejected", "dropped"),
        _outline(edges, np.histogram(instead, edges)[0], "kept", "kept"),
    ]
    means = float(lost.mean()), float(instead.mean())
    layout = {
        "xaxis": axis(title="CLIP score", range=[edges[0], edges[-1]]),
        "yaxis": axis(title="pairs", rangemode="tozero", tickformat=",~g", nticks=4),
        "annotations": [
            above(f"kept, mean {means[1]:.3f}", 0, "left", color=TEXT_COLOURS["kept"]),
            above(f"dropped, mean {means[0]:.3f}", 1, "right", color=TEXT_COLOURS["rejected"]),
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
        "hovertemplate": f"%{{y:,}} pairs {words}, score ≈ %{{x:.3f}}<extra></extra>",
    }


_ROW: Final = 58  # pixels of a row of `densities`
_DENSITY: Final = 0.55  # height of a density in its row; its name is above it


def densities(
    edges: Floats,
    rows: Sequence[tuple[str, Floats, str]],
    threshold: float,
    span: tuple[float, float],
    scale: Scale,
    of: str = "pairs",
) -> go.Figure:
    """Draw score densities below one another, each to its own peak, in line with the control.

    Parameters
    ----------
    edges : ndarray of float64, shape (B + 1,)
        Of the bins.
    rows : sequence of (name, counts, color)
        From the top; ``counts`` has shape (B,).
    threshold : float
    span : (float, float)
        The range shown.
    scale : Scale
    of : str
        What is counted.
    """
    whole = sum(float(counts.sum()) for _, counts, _ in rows)
    middles = (edges[:-1] + edges[1:]) / 2
    form = f".{scale.digits}f"
    places = [f"{a:{form}} ≤ score < {b:{form}}" for a, b in pairwise(edges.tolist())]
    data, notes = [], []
    for number, (name, counts, colour) in enumerate(rows):
        base, total = float(len(rows) - 1 - number), float(counts.sum())
        most = float(counts.max(initial=0)) or 1.0
        height = base + _DENSITY * counts / most
        outline = {"x": np.repeat(edges, 2), "y": _outlined(height, base)}
        fill = {"fill": "toself", "fillcolor": shade(colour)}
        quiet = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
        data.append(quiet | outline | fill | {"line": {"width": 0, "color": colour}})
        hover = [f"{name}: {count:,.10g} {of}, {place}" for count, place in
                 zip(np.round(counts, 1).tolist(), places, strict=True)]  # fmt: skip
        line = {"color": colour, "width": 2, "shape": "hvh"}
        data.append(curve(middles, height, line, hover, "%{customdata}"))
        share = f" · {total / whole:.1%}" if whole else ""
        notes.append(
            {"x": 0, "xref": "paper", "xanchor": "left", "y": base + _DENSITY + 0.03,
             "yanchor": "bottom", "text": f"<b>{name}</b>  {total:,.10g}{share}",
             "showarrow": False, "font": WORDS}
        )  # fmt: skip
    layout = {
        "xaxis": axis(title=score_title(scale), range=list(span)),
        "yaxis": axis(
            title=f"{of}, each to its own peak",
            range=[0, len(rows)],
            showticklabels=False,
            tickvals=[],
            ticktext=[],
        ),
        "shapes": [threshold_line(threshold)],
        "annotations": notes,
        "hovermode": "closest",
        "hoverdistance": 60,
    }
    return figure(data, layout, 60 + _ROW * len(rows), top=8, **ALIGNED)


def _outlined(height: Floats, base: float) -> Floats:
    """Return the heights at every edge, twice, of a filled outline that returns to its base."""
    return np.concatenate([[base], np.repeat(height, 2), [base]])


def positions(
    found: PositionMap, threshold: float, span: tuple[float, float], scale: Scale
) -> go.Figure:
    """Draw where on the page pairs of each score are, with the mean score at every place.

    The page's top is at the top. Each row is divided by its own number of pairs, so that places
    with few pairs can be compared with others.
    """
    each = found.counts.sum(axis=1)
    rows = len(each)
    if found.place == "image":  # documents seldom have as many images
        rows = max(5, int(np.flatnonzero(each)[-1]) + 1 if each.any() else 0)
    counts, mean = found.counts[:rows], found.mean[:rows]
    share = counts / np.maximum(each[:rows, None], 1)
    words = "%{customdata[0]:,} pairs, %{customdata[1]:.1%} of those at this place"
    density = {
        "type": "heatmap",
        "x": found.edges,
        "y": np.arange(rows + 1),
        "z": np.where(counts > 0, share, np.nan),
        "customdata": np.stack([counts, share], axis=2),
        "colorscale": [[0, "rgba(0,114,178,0.06)"], [1, "rgb(0,114,178)"]],
        "showscale": False,
        "hovertemplate": f"{words}<extra></extra>",
    }
    names = _places(found.place, rows, len(found.counts))
    known = np.flatnonzero(np.isfinite(mean))
    hover = [f"mean score {mean[at]:.{scale.digits + 1}f}" for at in known.tolist()]
    line = {"color": _MEAN, "width": 3}
    data = [density, curve(mean[known], known + 0.5, line, hover, "%{customdata}")]
    layout = {
        "xaxis": axis(title=score_title(scale), range=list(span)),
        "yaxis": axis(range=[rows, 0], showgrid=False, **names),
        "shapes": [threshold_line(threshold)],
        "annotations": [
            above(_PLACE_TITLES[found.place], 0, "left"),
            above("<b>━ mean score</b>", 1, "right", color=_MEAN),
        ],
    }
    return figure(data, layout, 400, **ALIGNED)


_MEAN: Final = COLOURS["unreadable"]  # the color that differs most from the map's blue
_PLACE_TITLES: Final = {
    "sentence": "position of the sentence on its page",
    "image": "number of the image on its page",
}


def _places(place: str, rows: int, most: int) -> Spec:
    """Return the ticks of the places."""
    if place == "sentence":
        return {
            "tickvals": [0, rows / 4, rows / 2, 3 * rows / 4, rows],
            "ticktext": ["top", "25%", "50%", "75%", "end"],
        }
    shown = [1, *range(5, rows - 1, 5), rows]
    texts = [f"{number}+" if number == most else str(number) for number in shown]
    return {"tickvals": [number - 0.5 for number in shown], "ticktext": texts}
