"""Curves and scores of a corpus → figures: the histogram, the yields, the funnels.

No text from documents. Every picture carries its words: none needs a legend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.corpus.curves import Curves, Scale
from mmc4viz.corpus.funnel import Loss
from mmc4viz.plots.style import (
    COLOURS,
    LABEL,
    STAND_OFF,
    TEXT_COLOURS,
    WORDS,
    Floats,
    Spec,
    above,
    axis,
    count,
    figure,
    lost_words,
    part_words,
    threshold_line,
)

# What a loss of a funnel means; those not listed are rejected.
_LOSS: Final = {
    "undecodable": "unreadable",
    "lost_with_document": "unreadable",
    "unreadable": "unreadable",
    "truncated": "truncated",
}
YIELDS: Final = {"documents": "documents", "pairs": "pairs", "image_tokens": "image tokens"}


def score_histogram(
    scores: Floats, threshold: float, span: tuple[float, float], scale: Scale, bars: int = 60
) -> go.Figure:
    """Draw matched scores, kept and rejected told apart, with the threshold as a line.

    Parameters
    ----------
    scores : ndarray of float64, shape (pairs,)
        Ascending.
    span : (float, float)
        The scores shown; those beyond count in the outermost bars.
    bars : int
        How many at the most; each is whole steps of the scale's grid wide.
    """
    edges = _edges(span, scale, bars)
    ends = np.concatenate([[0], np.searchsorted(scores, edges[1:-1], side="left"), [len(scores)]])
    cut = int(np.searchsorted(scores, threshold, side="left"))
    parts = {
        "rejected": np.diff(np.minimum(ends, cut)),
        "kept": np.diff(np.maximum(ends, cut)),
    }
    highest = max(int(np.diff(ends).max()), 1)
    form = f".{scale.digits}f"
    places = [f"from {a:{form}} to below {b:{form}}" for a, b in pairwise(edges.tolist())]
    whole = {"dtick": 1 if highest < 4 else 2} if highest < 8 else {}
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": axis(title="similarity of the matched pair", range=[edges[0], edges[-1]]),
        "yaxis": axis(title="pairs", range=[0, 1.05 * highest], tickformat=",~g", **whole),
        "shapes": [threshold_line(threshold)],
        "annotations": [
            above(f"<b>{cut:,} rejected</b>", 0, "left", color=TEXT_COLOURS["rejected"]),
            above(f"<b>{len(scores) - cut:,} kept</b>", 1, "right", color=TEXT_COLOURS["kept"]),
        ],
    }
    data = [_bars(name, edges, counts, places) for name, counts in parts.items()]
    return figure(data, layout, 260, left=52, bottom=46)


def _bars(meaning: str, edges: Floats, counts: NDArray[np.int64], places: list[str]) -> Spec:
    return {
        "type": "bar",
        "x": (edges[:-1] + edges[1:]) / 2,
        "y": counts,
        "width": edges[1] - edges[0],
        "name": meaning,
        "marker": {"color": COLOURS[meaning], "line": {"width": 0}},
        "customdata": places,
        "hovertemplate": f"%{{y:,}} pairs {meaning}, %{{customdata}}<extra></extra>",
    }


def _edges(span: tuple[float, float], scale: Scale, bars: int) -> Floats:
    """Return the bars' edges: steps of the grid, so that a threshold can stand at each."""
    first, last = round(span[0] / scale.step), round(span[1] / scale.step)
    width = max(1, math.ceil((last - first) / bars))
    steps = range(first, last + width, width)
    return np.array([round(k * scale.step, scale.digits) for k in steps])


def yields(
    curves: Curves, step: int, keep: float, span: tuple[float, float], *, share: bool = True
) -> go.Figure:
    """Draw documents, pairs and image tokens against the threshold, the chosen point marked.

    Parameters
    ----------
    step : int
        Position of the chosen threshold in the curves.
    keep : float
        Probability with which a single image's document survives.
    share : bool
        As shares of what there is at the most, else absolute.
    """
    threshold, steps = float(curves.thresholds[step]), _shown(curves.thresholds, span, step)
    data: list[Spec] = []
    layout: Spec = {"shapes": [], "annotations": []}
    gap = 0.05 if share else 0.1
    width = (1 - 2 * gap) / 3
    for place, (quantity, title) in enumerate(YIELDS.items()):
        values, whole = yield_of(curves, quantity, keep)
        shown, most = (values / whole, 1.0) if share else (values, float(values.max(initial=1)))
        number, left = str(place + 1) if place else "", place * (width + gap)
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        data += [
            _curve(curves.thresholds[steps], shown[steps], share) | axes,
            _mark(threshold, float(shown[step]), span, share) | axes,
        ]
        across = {"domain": [left, left + width], "range": list(span), "nticks": 4}
        layout[f"xaxis{number}"] = axis(**across, anchor=f"y{number}")
        layout[f"yaxis{number}"] = axis(
            anchor=f"x{number}",
            range=[0, 1.2 * most],
            tickformat=".0%" if share else ",~s",
            nticks=5,
            showticklabels=not share or not place,
        )
        layout["shapes"].append(threshold_line(threshold, number))
        layout["annotations"].append(above(title, left + width / 2, "center"))
    return figure(data, layout, 230, left=44, bottom=24)


def yield_of(curves: Curves, quantity: str, keep: float) -> tuple[Floats, float]:
    """Return a quantity at every threshold, and the whole that it is a share of.

    Documents are a share of all documents; pairs and image tokens of the most there ever are.
    """
    if quantity == "pairs":
        values = curves.total("pairs").astype(np.float64)
    else:
        values = curves.expected(quantity, keep)
    whole = curves.total("documents")[0] if quantity == "documents" else values.max(initial=0)
    return values, max(float(whole), 1.0)


def _curve(x: Floats, y: Floats, share: bool) -> Spec:
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines",
        "line": {"color": COLOURS["kept"], "width": 2},
        "hovertemplate": f"%{{y:{'.1%' if share else ',.6~g'}}} at %{{x}}<extra></extra>",
    }


def _mark(x: float, y: float, span: tuple[float, float], share: bool) -> Spec:
    """Mark the chosen point and write its value beside it, within the picture."""
    left = x > span[0] + 0.75 * (span[1] - span[0])
    point = {"x": [x], "y": [y], "marker": {"color": COLOURS["kept"], "size": 10}}
    return (
        LABEL
        | point
        | {
            "mode": "markers+text",
            "text": [f"<b>{y:.1%}</b>" if share else f"<b>{count(y)}</b>"],
            "textposition": "top left" if left else "top right",
            "textfont": WORDS | {"color": TEXT_COLOURS["kept"]},
        }
    )


def _shown(thresholds: Floats, span: tuple[float, float], step: int) -> NDArray[np.int64]:
    """Choose the steps to draw: those in the span, every one that a screen can tell apart."""
    first, last = np.searchsorted(thresholds, span)
    stride = max(1, (last - first) // 400)
    return np.union1d(np.arange(first, min(last + 1, len(thresholds)), stride), [step])


def funnel(losses: Sequence[Loss], whole: str, reached: str) -> go.Figure:
    """Draw a funnel: every loss a bar at its place, with its name and number beside it.

    ``whole`` and ``reached`` are what the first and the last bar are called.
    """
    total = losses[0].remaining + losses[0].lost
    left = losses[-1].remaining
    names = [whole, *(loss.name.replace("_", " ") for loss in losses), reached]
    base = [0.0, *(loss.remaining for loss in losses), 0.0]
    length = [total, *(loss.lost for loss in losses), left]
    meanings = ["kept", *(_LOSS.get(loss.name, "rejected") for loss in losses), "kept"]
    words = [
        count(total),
        *(lost_words(loss.lost, total) for loss in losses),
        part_words(left, total),
    ]
    hover = [whole, *(loss.meaning for loss in losses), reached]
    bars = {
        "type": "bar",
        "y": names,
        "x": length,
        "base": base,
        "orientation": "h",
        "width": 0.62,
        "marker": {"color": [COLOURS[meaning] for meaning in meanings], "line": {"width": 0}},
        "customdata": [f"{what}: {word}" for what, word in zip(hover, words, strict=True)],
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    ends = [start + size for start, size in zip(base, length, strict=True)]
    layout = {
        "xaxis": axis(visible=False, range=[0, max(total, 1) * 1.35]),
        "yaxis": axis(range=[len(names) - 0.5, -0.5], showgrid=False, **STAND_OFF),
    }
    return figure(
        [bars, _beside(names, ends, words)], layout, 28 * len(names) + 16, left=128, bottom=8, top=8
    )


def _beside(names: list[str], ends: list[float], words: list[str]) -> Spec:
    """Write words behind the ends of bars."""
    return LABEL | {
        "y": names,
        "x": ends,
        "mode": "text",
        "text": [f" {word}" for word in words],
        "textposition": "middle right",
        "textfont": {"size": 13},
    }
