"""One document → figures: its similarity with the assignment, its tokens along a ruler.

Images and sentences are numbered from 1, as on screen; their text never enters a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.plots.style import (
    COLOURS,
    FAINT,
    INK,
    TEXT_COLOURS,
    Floats,
    Spec,
    above,
    axis,
    figure,
)

MOST_ROWS: Final = 60
MOST_COLUMNS: Final = 300
# Ink on the page's own ground: more is more similar, on light and dark alike.
_INKS: Final = [[0, "rgba(125,133,140,0.04)"], [1, "rgba(125,133,140,1)"]]
_ROW: Final = 26  # pixels


def heat_map(
    matrix: Floats, marks: Sequence[tuple[int, int, str, str]], digits: int = 4
) -> go.Figure:
    """Draw the similarity of images (rows) and sentences (columns), the assignment marked.

    Parameters
    ----------
    matrix : ndarray of float64, shape (images, sentences)
        Of which the first `MOST_ROWS` rows and `MOST_COLUMNS` columns are drawn.
    marks : sequence of (image, sentence, meaning, words)
        The matched pairs, counted from 0; the meaning names a colour, the words say it.
    """
    shown = np.where(np.isfinite(matrix), matrix, np.nan)[:MOST_ROWS, :MOST_COLUMNS]
    rows, columns = shown.shape
    cells = {
        "type": "heatmap",
        "z": shown,
        "x": np.arange(1, columns + 1),
        "y": np.arange(1, rows + 1),
        "colorscale": _INKS,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": f"image %{{y}}, sentence %{{x}}: %{{z:.{digits}f}}<extra></extra>",
        "showscale": False,
    }
    layout: Spec = {
        "xaxis": axis(
            title="sentence", showgrid=False, range=[0.5, columns + 0.5], **_ticks(columns)
        ),
        "yaxis": axis(title="image", showgrid=False, range=[rows + 0.5, 0.5], **_ticks(rows)),
    }
    if np.isfinite(shown).any():
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        scale = f"faint {low:.{digits}f} to strong {high:.{digits}f}"
        layout["annotations"] = [above(scale, 1, "right", color=INK)]
    inside = [mark for mark in marks if mark[0] < rows and mark[1] < columns]
    return _with_marks(cells, inside, layout, rows)


def _with_marks(
    cells: Spec, marks: Sequence[tuple[int, int, str, str]], layout: Spec, rows: int
) -> go.Figure:
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [sentence + 1 for _, sentence, _, _ in marks],
        "y": [image + 1 for image, _, _, _ in marks],
        "marker": {
            "size": 13,
            "color": [COLOURS[meaning] for _, _, meaning, _ in marks],
            "line": {"color": "#FFFFFF", "width": 2},
        },
        "customdata": [words for *_, words in marks],
        "hovertemplate": "image %{y}, sentence %{x}: %{customdata}<extra></extra>",
    }
    height = max(_ROW * rows, 52) + 84
    return figure([cells, points], layout, height, left=52, bottom=54)


def _ticks(count: int) -> Spec:
    """Put a number at every place where there are few, else at some."""
    return {"dtick": 1} if count <= 30 else {"nticks": 20}


def ruler(length: int, limit: int, tokens: Sequence[tuple[int, str, str]]) -> go.Figure:
    """Draw a sequence's tokens as a ruler: image tokens on it, what is cut behind the limit.

    Parameters
    ----------
    length : int
        Tokens before the cut.
    limit : int
        Where it is cut.
    tokens : sequence of (place, meaning, words)
        The image tokens.
    """
    end = max(length, min(limit, 2 * length), 1)
    kept = min(length, limit)
    words = f"{kept:,} of {length:,} tokens" if length > limit else f"{length:,} tokens"
    bars = [_bar(0, kept, INK), _bar(kept, length - kept, FAINT)]
    notes = [above(words, 0, "left")]
    shapes = []
    if limit <= end:
        edge = {"x0": limit, "x1": limit, "y0": 0, "y1": 1, "yref": "y domain"}
        shapes.append({"type": "line", **edge, "line": {"color": INK, "width": 2}})
        notes.append(above(f"token limit {limit:,}", limit / end, _side(limit / end)))
    layout = {
        "barmode": "overlay",
        "xaxis": axis(range=[0, end], title="token", tickformat=",", nticks=8),
        "yaxis": axis(visible=False, range=[-1, 1]),
        "annotations": notes,
        "shapes": shapes,
    }
    return figure([*bars, _stems(tokens)], layout, 122, left=16, bottom=44)


def _stems(tokens: Sequence[tuple[int, str, str]]) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [place for place, _, _ in tokens],
        "y": [0] * len(tokens),
        "marker": {
            "symbol": "line-ns",
            "size": 26,
            "line": {"width": 4, "color": [COLOURS[meaning] for _, meaning, _ in tokens]},
        },
        "customdata": [words for *_, words in tokens],
        "hovertemplate": "token %{x}: %{customdata}<extra></extra>",
    }


def _side(share: float) -> str:
    return "right" if share > 0.5 else "left"


def _bar(start: float, size: float, colour: str) -> Spec:
    return {
        "type": "bar",
        "orientation": "h",
        "base": [start],
        "x": [size],
        "y": [0],
        "width": 0.35,
        "marker": {"color": colour, "line": {"width": 0}},
        "hoverinfo": "skip",
    }


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
