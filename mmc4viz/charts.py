"""Plotly figures of scores, CLIP models and labels, and the colors used on every page.

Figures are labeled directly, without legends, and contain no text from documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import Scale
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold
from mmc4viz.thresholds.compare.roc import STEPS, ConfidenceBand, Separation
from mmc4viz.thresholds.labels.intervals import Interval
from mmc4viz.thresholds.labels.precision import Curve, Isotonic

# Okabe and Ito's colorblind-safe palette; each color has the same meaning everywhere.
COLOURS: Final = {
    "kept": "#0072B2",
    "rejected": "#E69F00",
    "truncated": "#56B4E9",
    "mispaired": "#CC79A7",
    "unreadable": "#D55E00",
}
# For text, with sufficient contrast on light and dark backgrounds.
TEXT_COLOURS: Final = {"kept": "#2A86C8", "rejected": "#B87D00"}
INK: Final = "#7D858C"
FAINT: Final = "rgba(125,133,140,0.22)"
CLEAR: Final = "rgba(0,0,0,0)"
LINE: Final[dict[str, Any]] = {"color": INK, "width": 2, "dash": "dash"}  # marks the threshold
WORDS: Final[dict[str, Any]] = {"size": 14}
LABEL: Final = {"type": "scatter", "cliponaxis": False, "hoverinfo": "skip"}

Spec = dict[str, Any]


def above(text: str, x: float, anchor: str, **font: str) -> Spec:
    """Return a label above the plot, where the threshold line never hides it."""
    where = {"x": x, "xref": "paper", "xanchor": anchor, "y": 1.0, "yref": "paper"}
    return {**where, "yanchor": "bottom", "text": text, "font": WORDS | font, "showarrow": False}


def threshold_line(threshold: float, number: str = "") -> Spec:
    """Return a vertical line at the threshold, over the full height of the plot."""
    x = {"x0": threshold, "x1": threshold, "xref": f"x{number}"}
    return {"type": "line", **x, "y0": 0, "y1": 1, "yref": f"y{number} domain", "line": LINE}


def axis(**settings: Any) -> Spec:
    """Return an axis with a fixed range and faint grid lines."""
    fixed = {"gridcolor": FAINT, "zeroline": False, "automargin": False, "fixedrange": True}
    if "title" in settings:
        settings["title"] = {"text": settings["title"]}
    return fixed | settings


def figure(
    data: list[Spec], layout: Spec, height: int, *, left: int, bottom: int, top: int = 30
) -> go.Figure:
    """Build a figure with the shared layout.

    Margins are fixed: automatic margins would make the browser draw every figure several times.
    """
    shared = {
        "height": height,
        "margin": {"l": left, "r": 8, "t": top, "b": bottom, "autoexpand": False},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": False,
        "hoverlabel": {"align": "left"},
        "dragmode": False,
    }
    return go.Figure({"data": data, "layout": layout | shared})


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
    edges = _edges(span, scale, bars)
    ends = np.concatenate([[0], np.searchsorted(scores, edges[1:-1], side="left"), [len(scores)]])
    cut = int(np.searchsorted(scores, threshold, side="left"))
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
        "xaxis": axis(title=_score_title(scale), range=[edges[0], edges[-1]]),
        "yaxis": axis(title="pairs", range=[0, 1.05 * highest], tickformat=",~g", **whole),
        "shapes": [threshold_line(threshold)],
        "annotations": [
            above(f"<b>{cut:,} dropped</b>", 0, "left", color=TEXT_COLOURS["rejected"]),
            above(f"<b>{len(scores) - cut:,} kept</b>", 1, "right", color=TEXT_COLOURS["kept"]),
        ],
    }
    data = [_bars(name, edges, counts, places) for name, counts in parts.items()]
    return figure(data, layout, 260, left=52, bottom=46)


def _score_title(scale: Scale) -> str:
    return "score" if scale.name == "unknown" else f"score ({scale.name})"


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


def _edges(span: tuple[float, float], scale: Scale, bars: int) -> Floats:
    """Return the bars' edges, each of which is a threshold of the grid."""
    first, last = round(span[0] / scale.step), round(span[1] / scale.step)
    width = max(1, math.ceil((last - first) / bars))
    steps = range(first, last + width, width)
    return np.array([round(k * scale.step, scale.digits) for k in steps])


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
        Columns of the rows, at most as many as there are colours.
    threshold : float
        Marked by a line.
    """
    x, data, names = [row["threshold"] for row in rows], [], []
    for name, colour in zip(quantities, (*COLOURS.values(), INK), strict=False):
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
        data.append(
            _line(
                x, (values / most).tolist(), {"color": colour, "width": 2}, hover, "%{customdata}"
            )
        )
        names.append(f'<span style="color:{colour}">{words}</span>')
    layout = {
        "xaxis": axis(title="threshold (CLIP score)"),
        "yaxis": axis(tickformat=".0%", range=[0, 1.02]),
        "annotations": [above(" · ".join(names), 0, "left")],
        "shapes": [threshold_line(threshold)],
    }
    return figure(data, layout, 320, left=52, bottom=46)


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
        "xaxis": axis(title="score", range=[edges[0], edges[-1]]),
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


# The first and the second CLIP model: colorblind-safe, and used for nothing else.
MODELS: Final = ("#0072B2", "#009E73")
_SHADES: Final = ("rgba(0,114,178,0.16)", "rgba(0,158,115,0.16)")
_TEXTS: Final = (TEXT_COLOURS["kept"], "#1B9E77")


def agreement(
    matches: Sequence[EquivalentThreshold], threshold: float, names: Sequence[str]
) -> go.Figure:
    """Draw the overlap (IoU) of what two models keep against the first model's threshold.

    Parameters
    ----------
    matches : sequence of EquivalentThreshold
        By ascending threshold of the first model.
    threshold : float
        The current threshold of the first model.
    names : (str, str)
        Names of the models.
    """
    x = [match.first for match in matches]
    series = {
        "documents": [match.agreement.documents.jaccard for match in matches],
        "pairs": [match.agreement.pairs.jaccard for match in matches],
    }
    hover = [f"{match.first:.6g} and {match.second:.6g}" for match in matches]
    data: list[Spec] = []
    for (name, y), colour in zip(series.items(), (COLOURS["kept"], INK), strict=True):
        line = {"color": colour, "width": 2.5, "dash": "solid" if name == "documents" else "dot"}
        data.append(_line(x, y, line, hover, f"%{{y:.1%}} overlap of {name} at %{{customdata}}"))
        if x:
            data.append(_name_at(x, y, name, colour))
    layout = {
        "xaxis": axis(nticks=7, title=f"threshold of {names[0]}", **_x_range(x)),
        "yaxis": axis(range=[0, 1.08], tickformat=".0%", nticks=6),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("overlap (IoU)", 0, "left")],
    }
    return figure(data, layout, 260, left=52, bottom=46)


def thresholds(
    matches: Sequence[EquivalentThreshold], threshold: float, names: Sequence[str]
) -> go.Figure:
    """Draw the second model's equivalent threshold for each threshold of the first."""
    x, y = [match.first for match in matches], [match.second for match in matches]
    hover = [f"{match.wanted:,.10g}" for match in matches]
    line = {"color": COLOURS["kept"], "width": 2.5}
    data = [_line(x, y, line, hover, "%{x:.6g} and %{y:.6g} keep %{customdata}")]
    layout = {
        "xaxis": axis(nticks=7, title=f"threshold of {names[0]}", **_x_range(x, named=False)),
        "yaxis": axis(nticks=6),
        "shapes": [threshold_line(threshold)],
        "annotations": [above(f"threshold of {names[1]}", 0, "left")],
    }
    return figure(data, layout, 260, left=52, bottom=46)


def joint(
    scores: Floats, thresholds: tuple[float, float], counts: Sequence[int], names: Sequence[str]
) -> go.Figure:
    """Draw two models' scores of the same images, with both thresholds as lines.

    The names of the four quadrants are points that can be selected, in the order of
    `mmc4viz.thresholds.compare.disagreement.QUADRANTS`.

    Parameters
    ----------
    scores : ndarray of float64, shape (2, n)
    thresholds : (float, float)
    counts : sequence of int
        Images in each quadrant.
    names : (str, str)
        Names of the models.
    """
    finite = scores[:, np.isfinite(scores).all(axis=0)]
    spans = [_padded(one, at) for one, at in zip(finite, thresholds, strict=True)]
    counted, x, y = np.histogram2d(finite[0], finite[1], bins=48, range=spans)
    density = {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": np.where(counted > 0, np.log10(np.maximum(counted, 1)), np.nan).T,
        "customdata": counted.T,
        "colorscale": [[0, "rgba(0,114,178,0.4)"], [1, "rgb(0,114,178)"]],
        "showscale": False,
        "hovertemplate": "%{customdata:,} images<extra></extra>",
    }
    words = ("kept by both", f"{names[0]} only", f"{names[1]} only", "kept by neither")
    ends = [(low, high) for low, high in spans]
    corners = {
        "x": [ends[0][1], ends[0][1], ends[0][0], ends[0][0]],
        "y": [ends[1][1], ends[1][0], ends[1][1], ends[1][0]],
        "textposition": ["bottom left", "top left", "bottom right", "top right"],
        "text": [f"{word}: {n:,}" for word, n in zip(words, counts, strict=True)],
    }
    labels = {
        "type": "scatter",
        "mode": "markers+text",
        **corners,
        "marker": {"size": 14, "color": INK, "symbol": "square"},
        "cliponaxis": False,
        "textfont": WORDS,
        "hovertemplate": "show these pairs<extra></extra>",
    }
    level = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "yref": "y"}
    layout = {
        "xaxis": axis(title=f"score of {names[0]}", range=spans[0], nticks=7),
        "yaxis": axis(range=spans[1], nticks=7),
        "shapes": [
            threshold_line(thresholds[0]),
            level | {"y0": thresholds[1], "y1": thresholds[1], "line": LINE},
        ],
        "annotations": [above(f"score of {names[1]}", 0, "left")],
        "clickmode": "event+select",
    }
    return figure([density, labels], layout, 420, left=52, bottom=46)


def _padded(values: Floats, threshold: float) -> tuple[float, float]:
    """Return a range with all values and a threshold, and a margin."""
    low, high = min([threshold, *values]), max([threshold, *values])
    margin = 0.04 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _x_range(x: Sequence[float], *, named: bool = True) -> Spec:
    """Return the range of the x axis, with space after the last point for the curves' names."""
    if not x:
        return {}
    width = (x[-1] - x[0]) or 1.0
    return {"range": [x[0] - 0.02 * width, x[-1] + (0.2 if named else 0.02) * width]}


def _line(x: object, y: object, line: Spec, hover: Sequence[str], words: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": line,
        "customdata": hover,
        "hovertemplate": f"{words}<extra></extra>",
    }


def _name_at(x: Sequence[float], y: Sequence[float], name: str, colour: str) -> Spec:
    """Label a curve at its end."""
    text = TEXT_COLOURS["kept"] if colour == COLOURS["kept"] else colour
    return LABEL | {
        "x": [x[-1]],
        "y": [y[-1]],
        "mode": "text",
        "text": [f" {name}"],
        "textposition": "middle right",
        "textfont": WORDS | {"color": text},
    }


def roc(found: Separation, names: Sequence[str]) -> go.Figure:
    """Draw true-positive rate against false-positive rate, with 95% CI bands."""
    chance = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": LINE | {"width": 1}}
    layout = {
        "xaxis": axis(
            title="incorrect pairs kept", range=[-0.01, 1.01], tickformat=".0%", nticks=6
        ),
        "yaxis": axis(range=[0, 1.03], tickformat=".0%", nticks=6),
        "shapes": [chance],
        "annotations": [above("correct pairs kept", 0, "left"), *_names(names)],
    }
    words = "%{y:.1%} of correct and %{x:.0%} of incorrect pairs kept"
    bands = [one.roc for one in found.models]
    return figure(list(_bands(bands, words)), layout, 300, left=52, bottom=46)


def precision_recall(found: Separation, names: Sequence[str]) -> go.Figure:
    """Draw precision against recall, with 95% CI bands."""
    layout = {
        "xaxis": axis(title="recall", range=[-0.01, 1.01], tickformat=".0%", nticks=6),
        "yaxis": axis(range=[0, 1.03], tickformat=".0%", nticks=6),
        "annotations": [above("precision", 0, "left"), *_names(names)],
    }
    words = "precision %{y:.1%} at recall %{x:.0%}"
    bands = [one.precision for one in found.models]
    return figure(list(_bands(bands, words)), layout, 300, left=52, bottom=46)


def _names(names: Sequence[str]) -> list[Spec]:
    """Label the curves in their colors."""
    words = "  ".join(
        f'<span style="color:{colour}">━ {name}</span>'
        for name, colour in zip(names, _TEXTS, strict=False)
    )
    return [above(words, 1, "right")]


def _bands(bands: Sequence[ConfidenceBand], words: str) -> list[Spec]:
    """Draw curves over `STEPS`, each with its confidence band."""
    data: list[Spec] = []
    for band, colour, shade in zip(bands, MODELS, _SHADES, strict=False):
        edge: Spec = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        data += [
            edge | {"x": STEPS, "y": band.low},
            edge | {"x": STEPS, "y": band.high, "fill": "tonexty", "fillcolor": shade},
            _line(STEPS, band.value, {"color": colour, "width": 2.5}, [], words),
        ]
    return data


_BAND = {"kept": "rgba(0,114,178,0.18)", "truncated": "rgba(86,180,233,0.20)"}


def precision(found: Curve, threshold: float, wanted: float, proposed: float | None) -> go.Figure:
    """Draw precision and recall against the threshold.

    Parameters
    ----------
    found : Curve
    threshold : float
        The current threshold, drawn as a vertical line.
    wanted : float
        The target precision, drawn as a horizontal line.
    proposed : float or None
        The suggested threshold, marked on the precision curve.
    """
    x = found.thresholds
    data = [
        *_banded(x, found.kept, "truncated", "recall"),
        *_banded(x, found.precision, "kept", "precision"),
    ]
    if proposed is not None:
        at = int(np.argmin(np.abs(x - proposed)))
        data.append(_mark(float(x[at]), float(found.precision.estimate[at])))
    target = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": wanted, "y1": wanted}
    layout = {
        "xaxis": axis(title="threshold", range=[float(x[0]), float(x[-1])]),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": [threshold_line(threshold), target | {"line": {"color": INK, "width": 1}}],
        "annotations": [
            above("<b>precision</b>", 0, "left", color=TEXT_COLOURS["kept"]),
            above("<b>recall</b>", 1, "right", color=COLOURS["truncated"]),
        ],
    }
    return figure(data, layout, 300, left=52, bottom=46)


def _banded(x: Floats, found: Interval, meaning: str, words: str) -> list[Spec]:
    """Draw a curve with its confidence interval."""
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
        "xaxis": axis(title="score", range=list(span)),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("<b>probability correct</b>", 0, "left", color=TEXT_COLOURS["kept"])],
    }
    return figure([line], layout, 300, left=52, bottom=46)
