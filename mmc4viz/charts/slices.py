"""Figures of slices: what is kept of each beside the whole, and the scores of one.

Names of slices are the only text from a corpus in figures; they are escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import plotly.graph_objects as go

from mmc4viz.arrays import Floats
from mmc4viz.charts.style import (
    COLOURS,
    INK,
    LINE,
    TEXT_COLOURS,
    Spec,
    above,
    axis,
    figure,
    pressable,
    threshold_line,
)
from mmc4viz.data.scale import Scale
from mmc4viz.slices.comparison import Slice, SliceComparison
from mmc4viz.slices.words import SliceShare, dropped_singly, limits, share, signed, unit_of
from mmc4viz.text import escaped, plain

MOST_ROWS: Final = 30
_ROW: Final = 25  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 168, 74, 30, 46
_LONGEST: Final = 20  # characters of a name beside its row
_ACROSS: Final = 30  # places in a row that can be pressed
_PERCENT: Final[Spec] = {"tickformat": ".0%", "nticks": 4}


def kept_shares(found: SliceComparison, slices: Sequence[Slice]) -> go.Figure:
    """Draw the kept share of each slice with its simultaneous 95% CI, and the whole's as a line.

    Parameters
    ----------
    found : SliceComparison
    slices : sequence of Slice
        Those of ``found`` that are drawn, from top to bottom.
    """
    return shares_of_slices(slices, found.share, [_hover(one, found) for one in slices])


def shares_of_slices(slices: Sequence[SliceShare], whole: float, hover: Sequence[str]) -> go.Figure:
    """Draw the kept share of each slice with its simultaneous 95% CI, and the whole's as a line.

    Every row has points that can be selected, anywhere in it; the first of their ``customdata`` is
    the number of the row.

    Parameters
    ----------
    slices : sequence of SliceShare
        From top to bottom.
    whole : float
        Kept share of all of them together.
    hover : sequence of str
        What is shown of each under the pointer; escaped.
    """
    rows = [(number, one) for number, one in enumerate(slices) if one.share is not None]
    ends = [_ends(one, whole) for _, one in rows]
    low, high = _range([whole, *(end for both in ends for end in both)])
    n = max(len(slices), 1)
    with_interval = [(at, one) for at, one in rows if one.low is not None]
    without = [(at, one) for at, one in rows if one.low is None]
    data = [
        _dots(with_interval, COLOURS["kept"]),
        _dots(without, INK),
        _places(hover, low, high),
    ]
    bars = [
        _level(at, *both, {"color": COLOURS["kept"], "width": 2.5})
        for (at, one), both in zip(rows, ends, strict=True)
        if one.low is not None
    ]
    line = {"x0": whole, "x1": whole, "y0": 0, "y1": 1, "yref": "y domain"}
    layout = {
        "xaxis": axis(
            title="kept share", range=[low, high], tickformat=".0%", nticks=5, tickangle=0
        ),
        "yaxis": axis(range=[n - 0.5, -0.5], showgrid=False, showticklabels=False),
        "shapes": [*bars, {"type": "line", "line": LINE, **line}],
        "annotations": [
            *(_beside(at, 0.0, "right", f"{_short(one.name)}  ") for at, one in enumerate(slices)),
            *(_beside(at, 1.0, "left", f"  {_signed(one.cost)}") for at, one in enumerate(slices)),
            above("  cost", 1, "left"),
            _name_of_the_whole(whole, low, high),
        ],
        "clickmode": "event+select",
        "hovermode": "closest",
    }
    height = _TOP + _BOTTOM + _ROW * n
    return figure(data, layout, height, left=_LEFT, bottom=_BOTTOM, top=_TOP, right=_RIGHT)


def _ends(one: SliceShare, whole: float) -> tuple[float, float]:
    """Return the ends of the interval of a slice's share; without one, the share itself."""
    return limits(one, whole) or ((one.share or 0.0,) * 2)


def _range(values: Sequence[float]) -> tuple[float, float]:
    known = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    margin = 0.04 * (max(known) - min(known)) or 0.05
    return max(-0.02, min(known) - margin), min(1.02, max(known) + margin)


def _dots(rows: Sequence[tuple[int, SliceShare]], colour: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [one.share for _, one in rows],
        "y": [at for at, _ in rows],
        "marker": {"size": 10, "color": colour},
        "hoverinfo": "skip",
    }


def _places(hover: Sequence[str], low: float, high: float) -> Spec:
    """Return unseen points all along every row, which can be pressed."""
    x = np.linspace(low, high, _ACROSS)
    return pressable(
        np.tile(x, len(hover)).tolist(),
        np.repeat(np.arange(len(hover)), _ACROSS).tolist(),
        [[at, words] for at, words in enumerate(hover) for _ in range(_ACROSS)],
        "%{customdata[1]}",
        size=_ROW - 1,
    )


def _level(at: int, low: float, high: float, line: Spec) -> Spec:
    return {"type": "line", "x0": low, "x1": high, "y0": at, "y1": at, "xref": "x", "yref": "y",
            "line": line}  # fmt: skip


def _beside(at: int, x: float, anchor: str, text: str) -> Spec:
    """Return a label at an end of a row."""
    text = text.replace("  ", "\u00a0\u00a0")
    where = {"x": x, "xref": "paper", "xanchor": anchor, "y": at, "yref": "y", "yanchor": "middle"}
    return {**where, "text": text, "font": {"size": 13}, "showarrow": False}


def _signed(cost: float) -> str:
    return f"{round(cost, 1) + 0.0:,.1f}".replace("-", "−")


def _short(name: str) -> str:
    name = plain(name)
    return escaped(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")


def _name_of_the_whole(value: float, low: float, high: float) -> Spec:
    place = (value - low) / (high - low)
    anchor = "left" if place < 0.2 else "right" if place > 0.8 else "center"
    return {**above(f"whole: {share(value)}", value, anchor), "xref": "x"}


def _hover(one: Slice, found: SliceComparison) -> str:
    words = f"<b>{escaped(plain(one.name))}</b><br>{share(one.share)} of {one.size:,} "
    words += f"{unit_of(found)} kept<br>{signed(one.difference)} points"
    if one.low is not None:
        words += f" (95% CI {signed(one.low)} to {signed(one.high)})"
    words += f"<br>cost: {one.cost:,.1f}<br>single-image drop: {dropped_singly(one)} not kept"
    return f"{words}<br>press to list its documents"


def score_edges(scores: Floats, scale: Scale, threshold: float, bars: int = 40) -> Floats:
    """Return edges of bins over all scores, on the grid, one of them at the threshold."""
    known = scores[np.isfinite(scores)]
    low, high = (known.min(), known.max()) if len(known) else (threshold, threshold)
    first, last = (
        round(float(end) / scale.step) for end in (min(low, threshold), max(high, threshold))
    )
    width = max(1, -(-(last - first) // bars))
    middle = round(threshold / scale.step)
    before, after = -(-(middle - first) // width), (last - middle) // width + 1
    steps = middle + width * np.arange(-before, after + 1)
    return np.round(steps * scale.step, scale.digits)


def distribution(
    edges: Floats, counts: Sequence[Floats], name: str, threshold: float, scale: Scale
) -> go.Figure:
    """Draw the scores of a slice's matched pairs beside those of all, each as shares of its pairs.

    Parameters
    ----------
    edges : ndarray of float64, shape (bins + 1,)
    counts : (ndarray, ndarray), shape (bins,)
        Pairs of the slice, and of the whole.
    name : str
        The slice's.
    threshold : float
    scale : Scale
    """
    looks = ((COLOURS["kept"], "solid", _short(name)), (INK, "dot", "whole"))
    data, highest = [], 0.0
    for number, (colour, dash, words) in zip(counts, looks, strict=True):
        shares = number / max(float(number.sum()), 1.0)
        highest = max(highest, float(shares.max(initial=0.0)))
        data.append(_outline(edges, shares, number, colour, dash, words))
    title = "CLIP score" if scale.name == "unknown" else f"CLIP score ({scale.name})"
    n, whole = (int(number.sum()) for number in counts)
    layout = {
        "xaxis": axis(title=title, range=[float(edges[0]), float(edges[-1])]),
        "yaxis": axis(title="share of pairs", range=[0, 1.08 * highest or 1], tickformat=".0%",
                      nticks=5),
        "shapes": [threshold_line(threshold)],
        "annotations": [
            above(f"<b>{looks[0][2]}</b>: {n:,} pairs", 0, "left", color=TEXT_COLOURS["kept"]),
            above(f"whole, dotted: {whole:,} pairs", 1, "right", color=INK),
        ],
    }  # fmt: skip
    return figure(data, layout, 260, left=58, bottom=46)


def _outline(
    edges: Floats, shares: Floats, counts: Floats, colour: str, dash: str, words: str
) -> Spec:
    hover = [
        f"{int(n):,} pairs of {words}, {a:g} ≤ score < {b:g}"
        for n, (a, b) in zip(counts, pairwise(edges.tolist()), strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": shares.tolist(),
        "line": {"color": colour, "width": 2.5, "dash": dash, "shape": "hvh"},
        "customdata": hover,
        "hovertemplate": "%{y:.1%}: %{customdata}<extra></extra>",
    }
