"""Figures that compare two CLIP models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from mmc4viz.arrays import Floats
from mmc4viz.charts.style import (
    COLOURS,
    INK,
    LINE,
    TEXT_COLOURS,
    WORDS,
    Spec,
    above,
    axis,
    curve,
    figure,
    horizontal_line,
    name_at,
    pressable,
    threshold_line,
    x_range,
)
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold
from mmc4viz.thresholds.compare.roc import STEPS, ConfidenceBand, Separation

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
    series = {
        "documents": [match.agreement.documents.jaccard for match in matches],
        "pairs": [match.agreement.pairs.jaccard for match in matches],
    }
    return overlaps([(match.first, match.second) for match in matches], series, threshold, names)


def overlaps(
    places: Sequence[tuple[float, float]],
    series: Mapping[str, Sequence[float]],
    threshold: float,
    names: Sequence[str],
) -> go.Figure:
    """Draw the overlap (IoU) of what two scores keep, as `agreement` does.

    Parameters
    ----------
    places : sequence of (float, float)
        Equivalent thresholds, by ascending threshold of the first score.
    series : mapping of str to sequence of float
        The overlap of ``documents`` or ``pairs`` at each of them.
    threshold, names
        As of `agreement`.
    """
    x = [first for first, _ in places]
    hover = [f"{first:.6g} and {second:.6g}" for first, second in places]
    data: list[Spec] = []
    for name, y in series.items():
        colour, dash = (COLOURS["kept"], "solid") if name == "documents" else (INK, "dot")
        line = {"color": colour, "width": 2.5, "dash": dash}
        data.append(curve(x, y, line, hover, f"%{{y:.1%}} overlap of {name} at %{{customdata}}"))
        if x:
            data.append(name_at(x, y, name, colour))
    layout = {
        "xaxis": axis(nticks=7, title=f"threshold of {names[0]}", **x_range(x)),
        "yaxis": axis(range=[0, 1.08], tickformat=".0%", nticks=6),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("overlap (IoU)", 0, "left")],
    }
    return figure(data, layout, 260, left=52, bottom=46)


def thresholds(
    matches: Sequence[EquivalentThreshold], threshold: float, names: Sequence[str]
) -> go.Figure:
    """Draw the second model's equivalent threshold for each threshold of the first."""
    places = [(match.first, match.second) for match in matches]
    return equivalents(places, [match.wanted for match in matches], threshold, names)


def equivalents(
    places: Sequence[tuple[float, float]],
    kept: Sequence[float],
    threshold: float,
    names: Sequence[str],
) -> go.Figure:
    """Draw equivalent thresholds with how much each pair keeps, as `thresholds` does."""
    x, y = ([place[side] for place in places] for side in (0, 1))
    hover = [f"{n:,.10g}" for n in kept]
    line = {"color": COLOURS["kept"], "width": 2.5}
    data = [curve(x, y, line, hover, "%{x:.6g} and %{y:.6g} keep %{customdata}")]
    layout = {
        "xaxis": axis(nticks=7, title=f"threshold of {names[0]}", **x_range(x, named=False)),
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
    return joint_counts(counted, (x, y), thresholds, counts, names)


def joint_counts(
    counted: Floats,
    edges: tuple[Floats, Floats],
    thresholds: tuple[float, float],
    counts: Sequence[int],
    names: Sequence[str],
    *,
    noun: str = "images",
) -> go.Figure:
    """Draw counted scores of two models, as `joint` does.

    Parameters
    ----------
    counted : ndarray, shape (X, Y)
        By the first model's score, then the second's.
    edges : tuple of ndarray, shapes (X + 1,) and (Y + 1,)
        Ascending.
    thresholds, counts, names
        As of `joint`.
    noun : str
        What is counted.
    """
    x, y = edges
    spans = [[float(one[0]), float(one[-1])] for one in edges]
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
    cells = pressable(
        np.repeat(middle_x, len(middle_y)),
        np.tile(middle_y, len(middle_x)),
        [
            [number, words[number], int(n)]
            for number, n in zip(quadrant.ravel().tolist(), counted.ravel().tolist(), strict=True)
        ],
        f"%{{customdata[2]:,}} {noun} here; press to see pairs %{{customdata[1]}}",
    )
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
    layout = {
        "xaxis": axis(title=f"score of {names[0]}", range=spans[0], nticks=7),
        "yaxis": axis(range=spans[1], nticks=7),
        "shapes": [threshold_line(thresholds[0]), horizontal_line(thresholds[1])],
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
            curve(STEPS, band.value, {"color": colour, "width": 2.5, "dash": dash}, [], words),
        ]
    return data
