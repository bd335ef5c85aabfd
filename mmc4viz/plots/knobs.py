"""Small multiples: a yield against every other setting. No Streamlit, no text from documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from mmc4viz.plots.style import COLOURS, INK, Spec, above, axis, figure

TITLES: Final = {
    "max_images": "image cap",
    "max_tokens": "token limit",
    "min_kb": "too small (kB)",
    "assignment": "assignment",
}


@dataclass(frozen=True)
class Point:
    """One value of one setting with what it yields."""

    knob: str
    value: Any
    estimate: float
    low: float
    high: float
    present: bool


def multiples(points: Sequence[Point], *, share: bool) -> dict[str, go.Figure]:
    """Draw one small picture a setting, all on one scale, the present values marked.

    Parameters
    ----------
    points : sequence of Point
    share : bool
        Whether yields are shares, else counts.
    """
    highest = max((min(point.high, 1e300) for point in points), default=1.0) or 1.0
    y = axis(range=[0, 1.12 * highest], tickformat=".0%" if share else ",~s", nticks=5)
    figures = {}
    for knob in dict.fromkeys(point.knob for point in points):
        layout = {
            "xaxis": axis(type="category", tickangle=0),
            "yaxis": y,
            "annotations": [above(TITLES[knob], 0, "left")],
        }
        here = [point for point in points if point.knob == knob]
        figures[knob] = figure(_panel(here, share), layout, 210, left=44, bottom=26)
    return figures


def _panel(points: Sequence[Point], share: bool) -> list[Spec]:
    """Draw one setting: a line with bars of uncertainty; no line between names."""
    names = [str(point.value).replace("_to_", "-to-") for point in points]
    axes: Spec = {"type": "scatter"}
    form = ".1%" if share else ",.4~s"
    line: Spec = axes | {
        "x": names,
        "y": [point.estimate for point in points],
        "mode": "markers" if points[0].knob == "assignment" else "lines+markers",
        "line": {"color": COLOURS["kept"], "width": 2},
        "marker": {"color": COLOURS["kept"], "size": 6},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [point.high - point.estimate for point in points],
            "arrayminus": [point.estimate - point.low for point in points],
            "color": INK,
            "thickness": 1.5,
            "width": 3,
        },
        "hovertemplate": f"%{{y:{form}}} at %{{x}}<extra></extra>",
    }
    here = [at for at, point in enumerate(points) if point.present]
    mark: Spec = axes | {
        "x": [names[at] for at in here],
        "y": [points[at].estimate for at in here],
        "mode": "markers",
        "marker": {"color": COLOURS["kept"], "size": 12, "line": {"color": INK, "width": 2}},
        "hoverinfo": "skip",
    }
    return [line, mark]
