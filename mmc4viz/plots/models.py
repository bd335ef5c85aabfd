"""Two CLIP models → figures: their scores, their agreement, how they separate labelled pairs.

No text from documents; the models' names are the caller's to make harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from mmc4viz.choice.comparing.models import Match
from mmc4viz.choice.comparing.roc import STEPS
from mmc4viz.choice.comparing.separation import Band, Separation
from mmc4viz.plots.style import (
    COLOURS,
    INK,
    LABEL,
    LINE,
    TEXT_COLOURS,
    WORDS,
    Spec,
    above,
    axis,
    figure,
    threshold_line,
)

# The first model, and another one: apart for colour-blind eyes, and without another meaning.
MODELS: Final = ("#0072B2", "#009E73")
_SHADES: Final = ("rgba(0,114,178,0.16)", "rgba(0,158,115,0.16)")
_TEXTS: Final = (TEXT_COLOURS["kept"], "#1B9E77")


def agreement(matches: Sequence[Match], threshold: float, names: Sequence[str]) -> go.Figure:
    """Draw how far what both models keep agrees, against the first one's threshold.

    Parameters
    ----------
    matches : sequence of Match
        By ascending threshold of the first model.
    threshold : float
        The chosen one.
    names : (str, str)
        The models'.
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
        data.append(_line(x, y, line, hover, f"%{{y:.1%}} of {name} at %{{customdata}}"))
        if x:
            data.append(_name_at(x, y, name, colour))
    layout = {
        "xaxis": axis(nticks=7, title=f"threshold of {names[0]}", **_room(x)),
        "yaxis": axis(range=[0, 1.08], tickformat=".0%", nticks=6),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("kept by both, of what either keeps", 0, "left")],
    }
    return figure(data, layout, 260, left=52, bottom=46)


def thresholds(matches: Sequence[Match], threshold: float, names: Sequence[str]) -> go.Figure:
    """Draw which threshold of the second model goes with each of the first."""
    x, y = [match.first for match in matches], [match.second for match in matches]
    hover = [f"{match.wanted:,.10g}" for match in matches]
    line = {"color": COLOURS["kept"], "width": 2.5}
    data = [_line(x, y, line, hover, "%{x:.6g} and %{y:.6g} leave %{customdata}")]
    layout = {
        "xaxis": axis(nticks=7, title=f"threshold of {names[0]}", **_room(x, named=False)),
        "yaxis": axis(nticks=6),
        "shapes": [threshold_line(threshold)],
        "annotations": [above(f"threshold of {names[1]}", 0, "left")],
    }
    return figure(data, layout, 260, left=52, bottom=46)


def _room(x: Sequence[float], *, named: bool = True) -> Spec:
    """Leave room behind the last point for the names of lines."""
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
    """Write a line's name at its end."""
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
    """Draw true-positive rate against false-positive rate, with 95 % bands."""
    chance = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": LINE | {"width": 1}}
    layout = {
        "xaxis": axis(title="wrong pairs kept", range=[-0.01, 1.01], tickformat=".0%", nticks=6),
        "yaxis": axis(range=[0, 1.03], tickformat=".0%", nticks=6),
        "shapes": [chance],
        "annotations": [above("right pairs kept", 0, "left"), *_names(names)],
    }
    words = "%{y:.1%} of right pairs kept with %{x:.0%} of wrong ones"
    bands = [one.roc for one in found.models]
    return figure(list(_bands(bands, words)), layout, 300, left=52, bottom=46)


def precision_recall(found: Separation, names: Sequence[str]) -> go.Figure:
    """Draw precision against recall, with 95 % bands."""
    layout = {
        "xaxis": axis(title="right pairs kept", range=[-0.01, 1.01], tickformat=".0%", nticks=6),
        "yaxis": axis(range=[0, 1.03], tickformat=".0%", nticks=6),
        "annotations": [above("precision", 0, "left"), *_names(names)],
    }
    words = "precision %{y:.1%} with %{x:.0%} of right pairs kept"
    bands = [one.precision for one in found.models]
    return figure(list(_bands(bands, words)), layout, 300, left=52, bottom=46)


def _names(names: Sequence[str]) -> list[Spec]:
    """Name the lines in their colours."""
    words = "  ".join(
        f'<span style="color:{colour}">━ {name}</span>'
        for name, colour in zip(names, _TEXTS, strict=False)
    )
    return [above(words, 1, "right")]


def _bands(bands: Sequence[Band], words: str) -> list[Spec]:
    """Draw curves over `STEPS`, each within its band."""
    data: list[Spec] = []
    for band, colour, shade in zip(bands, MODELS, _SHADES, strict=False):
        edge: Spec = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        data += [
            edge | {"x": STEPS, "y": band.low},
            edge | {"x": STEPS, "y": band.high, "fill": "tonexty", "fillcolor": shade},
            _line(STEPS, band.value, {"color": colour, "width": 2.5}, [], words),
        ]
    return data
