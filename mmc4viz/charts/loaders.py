"""The figure of one corpus under every loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import plotly.graph_objects as go

from mmc4viz.charts.style import COLOURS, FAINT, INK, Spec, above, axis, figure
from mmc4viz.text import escaped, plain
from mmc4viz.thresholds.compare.loaders import LoaderComparison, LoaderYield

_ROW: Final = 30  # pixels
_LEFT, _TOP, _BOTTOM = 210, 30, 40
_GAP: Final = 0.05  # between two panels, of the width
_LONGEST: Final = 28  # characters of a name beside its row

_PANELS: Final[tuple[tuple[str, Callable[[LoaderYield, int], float | None]], ...]] = (
    ("documents kept", lambda one, whole: one.documents / whole if whole else None),
    ("single-image sequences", lambda one, _: one.single_image),
    ("mispaired image tokens", lambda one, _: one.mispaired),
)


def under_loaders(found: LoaderComparison) -> go.Figure:
    """Draw shares under each loader: dots at the threshold at hand, circles at its own.

    A loader without a threshold has a dot only.
    """
    rows = found.loaders
    width = (1 - _GAP * (len(_PANELS) - 1)) / len(_PANELS)
    data: list[Spec] = []
    layout: Spec = {"annotations": [], "shapes": [], "hovermode": "closest"}
    for number, (title, share) in enumerate(_PANELS, 1):
        at = "" if number == 1 else str(number)
        begin = (number - 1) * (width + _GAP)
        data += [
            _marks(
                [(n, share(one.default, found.documents)) for n, one in enumerate(rows)
                 if one.default.threshold != one.present.threshold],
                at, {"size": 11, "color": INK, "symbol": "circle-open", "line": {"width": 2}},
                [f"its own threshold, {one.default.threshold:g}" for one in rows
                 if one.default.threshold != one.present.threshold],
            ),
            _marks(
                [(n, share(one.present, found.documents)) for n, one in enumerate(rows)],
                at, {"size": 11, "color": COLOURS["kept"]},
                ["no threshold" if one.present.threshold is None
                 else f"threshold {one.present.threshold:g}" for one in rows],
            ),
        ]  # fmt: skip
        layout[f"xaxis{at}"] = axis(
            domain=[begin, begin + width], anchor=f"y{at}", tickformat=".0%", rangemode="tozero",
            range=_range(found, share), nticks=4, tickangle=0,
        )  # fmt: skip
        layout[f"yaxis{at}"] = axis(
            range=[len(rows) - 0.5, -0.5], showticklabels=False, showgrid=False, anchor=f"x{at}"
        )
        layout["annotations"].append(above(title, begin, "left"))
        layout["shapes"] += [
            {"type": "line", "x0": 0, "x1": 1, "xref": f"x{at} domain", "y0": n, "y1": n,
             "yref": f"y{at}", "line": {"color": FAINT, "width": 1}, "layer": "below"}
            for n in range(len(rows))
        ]  # fmt: skip
    layout["annotations"] += [
        {"x": 0, "xref": "paper", "xanchor": "right", "y": n, "yref": "y", "yanchor": "middle",
         "text": f"{_short(one.label)}\u00a0\u00a0", "showarrow": False, "font": {"size": 13}}
        for n, one in enumerate(rows)
    ]  # fmt: skip
    height = _TOP + _BOTTOM + _ROW * len(rows)
    return figure(data, layout, height, left=_LEFT, bottom=_BOTTOM, top=_TOP, right=16)


def _range(
    found: LoaderComparison, share: Callable[[LoaderYield, int], float | None]
) -> list[float]:
    each = [one for both in found.loaders for one in (both.present, both.default)]
    most = max((share(one, found.documents) or 0.0 for one in each), default=0.0)
    return [-0.03 * (most or 1.0), 1.08 * (most or 1.0)]


def _marks(points: list[tuple[int, float | None]], at: str, marker: Spec, words: list[str]) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value for _, value in points],
        "y": [row for row, _ in points],
        "xaxis": f"x{at}",
        "yaxis": f"y{at}",
        "marker": marker,
        "customdata": words,
        "hovertemplate": "%{x:.1%} at %{customdata}<extra></extra>",
        "cliponaxis": False,
    }


def _short(name: str) -> str:
    name = plain(name)
    return escaped(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")
