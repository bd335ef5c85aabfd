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
from mmc4viz.sweep.distribution import PositionMap
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
    data: list[Spec],
    layout: Spec,
    height: int,
    *,
    left: int,
    bottom: int,
    top: int = 30,
    right: int = 8,
) -> go.Figure:
    """Build a figure with the shared layout.

    Margins are fixed: automatic margins would make the browser draw every figure several times.
    """
    shared = {
        "height": height,
        "margin": {"l": left, "r": right, "t": top, "b": bottom, "autoexpand": False},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": False,
        "hoverlabel": {"align": "left"},
        "dragmode": False,
    }
    return go.Figure({"data": data, "layout": layout | shared})


def count_histogram(
    counts: Floats, threshold: float, span: tuple[float, float], scale: Scale
) -> go.Figure:
    """Draw a score distribution, like `score_histogram`, from the pairs in each step of the grid.

    Parameters
    ----------
    counts : ndarray of float64, shape (steps of the grid,)
    """
    grid = scale.thresholds()
    scores = np.repeat(grid, np.round(counts).astype(np.int64))
    return score_histogram(scores, threshold, span, scale)


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
    edges = bin_edges(span, scale, bars)
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
    return "CLIP score" if scale.name == "unknown" else f"CLIP score ({scale.name})"


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
        Columns of the rows, drawn in a fixed color each, others in turn.
    threshold : float
        Marked by a line.
    """
    x, data, names = [row["threshold"] for row in rows], [], []
    for number, name in enumerate(quantities):
        colour, dash = _STYLES.get(name, _OTHER_STYLES[number % len(_OTHER_STYLES)])
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
        share = (values / most).tolist()
        line = {"color": colour, "width": 2, "dash": dash}
        data.append(_line(x, share, line, hover, "%{customdata}"))
        # Near its end every curve is close to zero: its name is where it has fallen so far.
        fallen = np.flatnonzero(np.array(share) >= max(0.06, 0.9 - 0.14 * number))
        if len(fallen):
            names.append(_name_beside(x[fallen[-1]], share[fallen[-1]], words, colour))
    layout = {
        "xaxis": axis(title="threshold (CLIP score)"),
        "yaxis": axis(title="share of the highest value", tickformat=".0%", range=[0, 1.02]),
        "annotations": names,
        "shapes": [threshold_line(threshold)],
    }
    return figure(data, layout, 320, left=64, bottom=46)


# Curves of one picture: no two are told apart by two blues alone.
_STYLES: Final = {
    "documents": (COLOURS["kept"], "solid"),
    "pairs": (INK, "solid"),
    "image_tokens": (COLOURS["kept"], "dash"),
    "text_tokens": (INK, "dot"),
    "mispaired": (COLOURS["mispaired"], "dashdot"),
}
_OTHER_STYLES: Final = (
    (COLOURS["rejected"], "solid"),
    (COLOURS["unreadable"], "dash"),
    (COLOURS["truncated"], "dot"),
    (COLOURS["rejected"], "longdash"),
    (COLOURS["unreadable"], "dashdot"),
)


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


# The first and the second CLIP model: colorblind-safe, and used for nothing else.
MODELS: Final = ("#0072B2", "#009E73")
_SHADES: Final = ("rgba(0,114,178,0.16)", "rgba(0,158,115,0.16)")
_TEXTS: Final = (TEXT_COLOURS["kept"], "#1B9E77")
_MODEL_DASHES: Final = ("solid", "dash")


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

    Each cell has a point that can be selected, anywhere in it; the first of its ``customdata`` is
    its quadrant's number in `mmc4viz.thresholds.compare.disagreement.QUADRANTS`.

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
        "colorscale": [[0, "rgba(0,114,178,0.4)"], [1, "rgb(0,114,178)"]],
        "showscale": False,
        "hoverinfo": "skip",
    }
    words = ("kept by both", f"{names[0]} only", f"{names[1]} only", "kept by neither")
    middle_x, middle_y = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
    below_first, below_second = middle_x < thresholds[0], middle_y < thresholds[1]
    quadrant = 2 * below_first[:, None] + below_second[None, :]
    # Markers of Streamlit's selection are transparent, so that a choice leaves the picture alone.
    unseen = {"marker": {"opacity": 0}}
    cells = {
        "type": "scatter",
        "mode": "markers",
        "x": np.repeat(middle_x, len(middle_y)),
        "y": np.tile(middle_y, len(middle_x)),
        "customdata": [
            [number, words[number], int(n)]
            for number, n in zip(quadrant.ravel().tolist(), counted.ravel().tolist(), strict=True)
        ],
        "marker": {"size": 10, "opacity": 0},
        "selected": unseen,
        "unselected": unseen,
        "hovertemplate": "%{customdata[2]:,} images here; press to see pairs %{customdata[1]}"
        "<extra></extra>",
    }
    corners = (("right", "top"), ("right", "bottom"), ("left", "top"), ("left", "bottom"))
    named = [
        {
            "text": f"{word}: {n:,}",
            "font": WORDS,
            "showarrow": False,
            "xref": "x domain",
            "yref": "y domain",
            "x": float(across == "right"),
            "y": float(up == "top"),
            "xanchor": across,
            "yanchor": up,
        }
        for word, n, (across, up) in zip(words, counts, corners, strict=True)
    ]
    level = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "yref": "y"}
    layout = {
        "xaxis": axis(title=f"score of {names[0]}", range=spans[0], nticks=7),
        "yaxis": axis(range=spans[1], nticks=7),
        "shapes": [
            threshold_line(thresholds[0]),
            level | {"y0": thresholds[1], "y1": thresholds[1], "line": LINE},
        ],
        "annotations": [above(f"score of {names[1]}", 0, "left"), *named],
        "clickmode": "event+select",
        "hovermode": "closest",
    }
    return figure([density, cells], layout, 420, left=52, bottom=46)


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


def _name_beside(x: float, y: float, name: str, colour: str) -> Spec:
    """Return a label beside a point of a curve."""
    font = WORDS | {"color": _text_colour(colour)}
    return {"x": x, "y": y, "text": f" {name}", "xanchor": "left", "showarrow": False, "font": font}


def _text_colour(colour: str) -> str:
    return TEXT_COLOURS["kept"] if colour == COLOURS["kept"] else colour


def _name_at(x: Sequence[float], y: Sequence[float], name: str, colour: str) -> Spec:
    """Label a curve at its end."""
    return LABEL | {
        "x": [x[-1]],
        "y": [y[-1]],
        "mode": "text",
        "text": [f" {name}"],
        "textposition": "middle right",
        "textfont": WORDS | {"color": _text_colour(colour)},
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
        f'<span style="color:{colour}">{sign} {name}</span>'
        for name, colour, sign in zip(names, _TEXTS, ("━━", "╍╍"), strict=False)
    )
    return [above(words, 1, "right")]


def _bands(bands: Sequence[ConfidenceBand], words: str) -> list[Spec]:
    """Draw curves over `STEPS`, each with its confidence band."""
    data: list[Spec] = []
    for band, colour, shade, dash in zip(bands, MODELS, _SHADES, _MODEL_DASHES, strict=False):
        edge: Spec = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        data += [
            edge | {"x": STEPS, "y": band.low},
            edge | {"x": STEPS, "y": band.high, "fill": "tonexty", "fillcolor": shade},
            _line(STEPS, band.value, {"color": colour, "width": 2.5, "dash": dash}, [], words),
        ]
    return data


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
            data.append(_name_at([end[0]], [end[1]], name, _RATES[name][0]))
    if proposed is not None:
        at = int(np.argmin(np.abs(x - proposed)))
        data.append(_mark(float(x[at]), float(found.precision.estimate[at])))
    shapes = [threshold_line(threshold)]
    if wanted is not None:
        target = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": wanted, "y1": wanted}
        shapes.append(target | {"line": {"color": INK, "width": 1}})
    across = _x_range(x.tolist()) if span is None else {"range": list(span)}
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", **across),
        "yaxis": axis(range=[0, 1.02], tickformat=".0%"),
        "shapes": shapes,
        "annotations": [above("share of pairs, with 95% CI", 0, "left")],
    }
    return figure(data, layout, 300, **(ALIGNED if span else {"left": 52, "bottom": 46}))


ALIGNED: Final = {"left": 46, "right": 14, "bottom": 46}  # margins of the threshold control


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


def values_of_a_setting(
    names: Sequence[str],
    values: Sequence[tuple[float, float, float]],
    present: Sequence[bool],
    title: str,
    most: float,
    *,
    joined: bool,
    share: bool,
) -> go.Figure:
    """Draw a yield against the values of a setting, the current value as a large dot.

    Parameters
    ----------
    names : sequence of str
        The setting's values.
    values : sequence of (estimate, low, high)
        With the ends of the 95% CI.
    present : sequence of bool
    title : str
    most : float
        The end of the y axis.
    joined : bool
        Whether the values are numbers, joined by a line.
    share : bool
    """
    places = list(range(len(names)))
    line = {"color": COLOURS["kept"], "width": 2}
    data: list[Spec] = []
    if joined:
        data.append(_line(places, [value for value, *_ in values], line, list(names), ""))
    for at, ((value, low, high), now) in enumerate(zip(values, present, strict=True)):
        marker = {"color": COLOURS["kept"], "size": 12 if now else 7}
        if high > low:
            data.append(_line([at, at], [low, high], line | {"width": 1}, [], ""))
        data.append({"type": "scatter", "mode": "markers", "x": [at], "y": [value],
                     "marker": marker})  # fmt: skip
    layout = {
        "xaxis": axis(range=[-0.5, len(names) - 0.5], tickvals=places, ticktext=list(names)),
        "yaxis": axis(range=[0, most], tickformat=".0%" if share else ",~g"),
        "annotations": [above(title, 0, "left")],
    }
    return figure(data, layout, 240, left=64, bottom=36)


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
        fill = {"fill": "toself", "fillcolor": _shade(colour)}
        quiet = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
        data.append(quiet | outline | fill | {"line": {"width": 0, "color": colour}})
        hover = [f"{name}: {count:,.10g} {of}, {place}" for count, place in
                 zip(np.round(counts, 1).tolist(), places, strict=True)]  # fmt: skip
        line = {"color": colour, "width": 2, "shape": "hvh"}
        data.append(_line(middles, height, line, hover, "%{customdata}"))
        share = f" · {total / whole:.1%}" if whole else ""
        notes.append(
            {"x": 0, "xref": "paper", "xanchor": "left", "y": base + _DENSITY + 0.03,
             "yanchor": "bottom", "text": f"<b>{name}</b>  {total:,.10g}{share}",
             "showarrow": False, "font": WORDS}
        )  # fmt: skip
    layout = {
        "xaxis": axis(title=_score_title(scale), range=list(span)),
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


def _shade(colour: str) -> str:
    """Return a color, given in hexadecimal, as a transparent one.

    Examples
    --------
    >>> _shade("#0072B2")
    'rgba(0,114,178,0.35)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


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
    data = [density, _line(mean[known], known + 0.5, line, hover, "%{customdata}")]
    layout = {
        "xaxis": axis(title=_score_title(scale), range=list(span)),
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
