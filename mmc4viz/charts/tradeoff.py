"""Figures of what a threshold buys: repeats of the data under a budget, quality for quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mmc4viz.charts.models import MODELS
from mmc4viz.charts.style import (
    ALIGNED,
    COLOURS,
    FAINT,
    INK,
    LABEL,
    WORDS,
    Spec,
    above,
    axis,
    curve,
    figure,
    shade,
    text_colour,
    threshold_line,
)
from mmc4viz.text import escaped
from mmc4viz.thresholds.budget import CHEAP, SOURCE, Passes, times
from mmc4viz.thresholds.compare.frontier import (
    QUALITIES,
    Frontier,
    FrontierLine,
    FrontierPoint,
    SharedYield,
    point_in_words,
)

_SHADE = "rgba(0,114,178,0.18)"


def passes(found: Passes, threshold: float, span: tuple[float, float] | None = None) -> go.Figure:
    """Draw the passes that a budget takes against the threshold, on a logarithmic axis.

    The zone up to `mmc4viz.thresholds.budget.CHEAP` passes is shaded.

    Parameters
    ----------
    found : Passes
    threshold : float
        The current threshold, drawn as a vertical line.
    span : (float, float), optional
        The x axis and margins of the threshold control, so that both are in line; by default all
        thresholds.
    """
    x = found.thresholds
    low, high = span or (float(x[0]), float(x[-1]))
    inside = (x >= low) & (x <= high) & np.isfinite(found.estimate)
    bottom, top = _ends(found, inside)
    zone = {"x": [low, high, high, low], "y": [bottom, bottom, CHEAP, CHEAP]}
    quiet: Spec = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": {"width": 0}}
    data = [quiet | zone | {"fill": "toself", "fillcolor": FAINT}]
    if found.sampled is not None:
        ends = [np.clip(one, bottom, top) for one in (found.high[inside], found.low[inside][::-1])]
        band = {"x": np.concatenate([x[inside], x[inside][::-1]]), "y": np.concatenate(ends)}
        data.append(quiet | band | {"fill": "toself", "fillcolor": _SHADE})
    data.append(_curve(found, inside))
    clear = float(found.estimate[inside].min(initial=np.inf)) > (CHEAP * top) ** 0.5
    data.append(_zone_label(high, (bottom, top), upward=clear))
    layout = {
        "xaxis": axis(title="threshold (CLIP score)", range=[low, high]),
        "yaxis": axis(
            type="log", range=[math.log10(bottom), math.log10(top)], **_ticks(bottom, top)
        ),
        "shapes": [threshold_line(threshold)],
        "annotations": [above("passes over what is kept", 0, "left")],
    }
    return figure(data, layout, 300, **ALIGNED)


def _zone_label(x: float, ends: tuple[float, float], *, upward: bool) -> Spec:
    """Name the zone and its source, within it, or above it where the curve is far above."""
    lines = [f"up to {CHEAP:g} passes ", "repeats cost little ", f"{SOURCE} "]
    apart = (ends[1] / ends[0]) ** 0.078  # a line of text on the logarithmic axis
    y = (
        [CHEAP * apart**row for row in (2, 1, 0)]
        if upward
        else [CHEAP / apart**row for row in range(3)]
    )
    place = "top left" if upward else "bottom left"
    font = {"textposition": place, "textfont": WORDS | {"color": INK}}
    return LABEL | {"mode": "text", "x": [x] * 3, "y": y, "text": lines} | font


def _curve(found: Passes, inside: NDArray[np.bool_]) -> Spec:
    """Draw the estimate, with its CI under the pointer."""
    ends = np.stack([found.low[inside], found.high[inside]], axis=1)
    hover = [
        f"{times(value)} passes"
        + (f" (95% CI {times(low)}–{times(high)})" if found.sampled is not None else "")
        for value, (low, high) in zip(found.estimate[inside], ends, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": found.thresholds[inside],
        "y": found.estimate[inside],
        "line": {"color": COLOURS["kept"], "width": 2.5},
        "customdata": hover,
        "hovertemplate": "at %{x}: %{customdata}<extra></extra>",
    }


def _ends(found: Passes, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ends of the y axis: all passes and the zone, with room for its label."""
    values = found.estimate[inside]
    low = min(float(values.min(initial=np.inf)), 1.0)
    high = max(float(values.max(initial=0.0)), 2 * CHEAP)
    return low / 1.6, high * 1.3


def _ticks(low: float, high: float) -> Spec:
    """Return round numbers on a logarithmic axis, and few of them.

    Examples
    --------
    >>> _ticks(0.7, 12), _ticks(0.5, 2e6)["ticktext"]
    ({'tickvals': [1.0, 2.0, 5.0, 10.0], 'ticktext': ['1', '2', '5', '10']}, ['1', '10', '100', \
'1k', '10k', '100k', '1M'])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    every = max(1, math.ceil((last - first) / 8))
    values = [
        float(step * 10.0**power) for power in range(first, last + 1, every) for step in steps
    ]
    shown = [value for value in values if low <= value <= high]
    return {"tickvals": shown, "ticktext": [_short(value) for value in shown]}


def _short(value: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


# Lines of one picture: models in their colors, settings in those of a curve and of its reference;
# no two are told apart by two blues alone.
_MODEL_LINES: Final = (
    (MODELS[0], "solid"),
    (MODELS[1], "dash"),
    (COLOURS["unreadable"], "dot"),
    (COLOURS["mispaired"], "dashdot"),
    (COLOURS["rejected"], "longdash"),
)
_SETTING_LINES: Final = ((COLOURS["kept"], "solid"), (INK, "dash"), *_MODEL_LINES[2:])
_PLOT: Final = (600, 280)  # pixels that labels are spaced for
_NAME: Final = 18  # characters of a name
_TICKS: Final = 7  # most thresholds written along a line


def frontier(found: Frontier, *, settings: bool = False) -> go.Figure:
    """Draw quality against what is kept, one line with its band and thresholds per model.

    Parameters
    ----------
    found : Frontier
    settings : bool
        Whether the lines are settings of one model instead of models.
    """
    styles = _SETTING_LINES if settings else _MODEL_LINES
    whole = found.whole or 1.0
    lines = [
        (line, [p for p in map(line.at, line.thresholds.tolist()) if math.isfinite(p.quality)],
         *styles[number % len(styles)])
        for number, line in enumerate(found.lines)
    ]  # fmt: skip
    every = [point for _, points, *_ in lines for point in points]
    widest = max((point.kept / whole for point in every), default=0.0) or 1.0
    lowest = min((point.low for point in every), default=0.0)
    ends = [
        (_short_name(line.name), colour, last.kept / whole, last.quality)
        for line, points, colour, _ in lines
        if points
        for last in [max(points, key=lambda point: point.kept)]
    ]
    ranges = _with_names(widest, ends), (max(0.0, math.floor(10 * lowest) / 10), 1.03)
    labels = _end_labels(ends, ranges[1])
    data = [_band(points, whole, colour) for _, points, colour, _ in lines]
    taken = [_pixels(one["x"][0], one["y"][0], ranges) for one in labels]
    for number, (line, points, colour, dash) in enumerate(lines):
        x, y = [p.kept / whole for p in points], [p.quality for p in points]
        hover = [escaped(point_in_words(found, line, point)) for point in points]
        style = {"color": colour, "width": 2.5, "dash": dash}
        chosen = [p for p in points if p.threshold in line.marked]
        taken += [_pixels(p.kept / whole, p.quality, ranges) for p in chosen]
        data += [
            curve(x, y, style, hover, "%{customdata}"),
            _chosen([p.kept / whole for p in chosen], [p.quality for p in chosen], colour),
            _threshold_ticks(line, points, whole, ranges, taken, colour, above=not number),
        ]
    layout = {
        "xaxis": _kept_axis(found.quantity, widest, ranges[0]),
        "yaxis": axis(range=list(ranges[1]), tickformat=".0%", nticks=6),
        "annotations": [above(f"{QUALITIES[found.by]}, with 95% CI", 0, "left"),
                        above("● chosen", 1, "right")],
        "hovermode": "closest",
    }  # fmt: skip
    return figure([*data, *labels], layout, 360, left=52, bottom=46, right=14)


def _kept_axis(quantity: str, widest: float, span: tuple[float, float]) -> Spec:
    """Return an axis of shares, with ticks up to the largest."""
    title = (
        "documents kept, share of all documents"
        if quantity == "documents"
        else f"{quantity.replace('_', ' ')} kept, share of the most"
    )
    power = 10.0 ** math.floor(math.log10(widest / 4))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= widest / 6)
    ticks = [round(k * step, 12) for k in range(math.floor(widest / step + 1e-9) + 1)]
    words = [f"{100 * tick:.4g}%" for tick in ticks]
    return axis(title=title, range=list(span), tickvals=ticks, ticktext=words)


def _band(points: Sequence[FrontierPoint], whole: float, colour: str) -> Spec:
    """Draw the 95% CIs of a line."""
    around = [(p, p.high) for p in points] + [(p, p.low) for p in reversed(points)]
    x, y = [p.kept / whole for p, _ in around], [end for _, end in around]
    quiet: Spec = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": {"width": 0}}
    return quiet | {"x": x, "y": y, "fill": "toself", "fillcolor": shade(colour, 0.16)}


def _chosen(x: Sequence[float], y: Sequence[float], colour: str) -> Spec:
    """Draw chosen points."""
    marker = {"color": colour, "size": 13, "line": {"color": INK, "width": 2}}
    return LABEL | {"mode": "markers", "x": x, "y": y, "marker": marker}


def _threshold_ticks(
    line: FrontierLine,
    points: Sequence[FrontierPoint],
    whole: float,
    ranges: Ranges,
    taken: list[tuple[float, float]],
    colour: str,
    *,
    above: bool,
) -> Spec:
    """Mark round thresholds along a line, as many as can be read; ``taken`` gets their places."""
    shown = [point for point in points if point.threshold in line.marked]
    for point in shown:
        x, y = _pixels(point.kept / whole, point.quality, ranges)
        taken.append((x, y + (16 if above else -16)))
    for point in _rounded([p for p in points if p.threshold not in line.marked]):
        x, y = _pixels(point.kept / whole, point.quality, ranges)
        places = (x, y), (x, y + (16 if above else -16))
        if all(abs(a - c) > 40 or abs(b - d) > 15 for a, b in places for c, d in taken):
            shown.append(point)
            taken += places
    return LABEL | {
        "mode": "markers+text",
        "x": [p.kept / whole for p in shown],
        "y": [p.quality for p in shown],
        "text": [f"<b>{p.threshold:.4g}</b>" if p.threshold in line.marked else f"{p.threshold:.4g}"
                 for p in shown],
        "textposition": "top center" if above else "bottom center",
        "textfont": WORDS | {"color": text_colour(colour), "size": 13},
        "marker": {"color": colour, "size": 6},
    }  # fmt: skip


Ranges = tuple[tuple[float, float], tuple[float, float]]


def _pixels(x: float, y: float, ranges: Ranges) -> tuple[float, float]:
    """Return about where a point is drawn, from the bottom left."""
    (left, right), (bottom, top) = ranges
    return _PLOT[0] * (x - left) / (right - left), _PLOT[1] * (y - bottom) / (top - bottom)


def _rounded(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """Return the points at multiples of the smallest round number that leaves few."""
    spread = [p.threshold for p in points]
    if not spread or max(spread) == min(spread):
        return list(points[:1])
    power = 10.0 ** math.floor(math.log10((max(spread) - min(spread)) / _TICKS))
    for size in (m * power for m in (1, 2, 5, 10, 20, 50, 100)):
        found = [p for p in points if abs(p.threshold / size - round(p.threshold / size)) < 1e-6]
        if len(found) <= _TICKS:
            return found
    return []


def _end_labels(
    ends: Sequence[tuple[str, str, float, float]], span: tuple[float, float]
) -> list[Spec]:
    """Write each line's name to the right of its end (name, color, x, y), none over another."""
    gap = 18 * (span[1] - span[0]) / _PLOT[1]
    labels, last = list[Spec](), math.inf
    for name, colour, x, y in sorted(ends, key=lambda one: -one[3]):
        last = min(y, last - gap)
        words = {"mode": "text", "x": [x], "y": [last], "text": [f" <b>{escaped(name)}</b>"]}
        font = WORDS | {"color": text_colour(colour)}
        labels.append(LABEL | words | {"textposition": "middle right", "textfont": font})
    return labels


def _short_name(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _with_names(
    widest: float, ends: Sequence[tuple[str, str, float, float]]
) -> tuple[float, float]:
    """Return the range of shares, with space for the names at the lines' right ends."""
    names = (x + widest * min(0.03 * len(name), 0.4) for name, _, x, _ in ends)
    return 0.0, max([1.02 * widest, *names])


def shared(found: SharedYield) -> go.Figure:
    """Draw what two models have in common at equal yield, against that yield.

    Parameters
    ----------
    found : SharedYield
    """
    x = found.kept / (found.whole or 1.0)
    widest = float(x.max(initial=0.0)) or 1.0
    at = int(np.searchsorted(found.first, found.marked))
    hover = [
        f"{escaped(found.names[0])} at {one:.6g} and {escaped(found.names[1])} at {other:.6g} keep "
        f"{kept:,.10g} {found.quantity.replace('_', ' ')}"
        for one, other, kept in zip(found.first, found.second, found.kept, strict=True)
    ]
    series = (
        ("documents", found.documents, COLOURS["kept"], "solid"),
        ("pairs", found.pairs, INK, "dash"),
        ("by chance", found.by_chance, INK, "dot"),
    )
    data, ends = list[Spec](), list[tuple[str, str, float, float]]()
    for name, values, colour, dash in series:
        some = np.isfinite(values)
        style = {"color": colour, "width": 1.5 if name == "by chance" else 2.5, "dash": dash}
        words = [line for line, one in zip(hover, some.tolist(), strict=True) if one]
        data.append(
            curve(x[some], values[some], style, words, f"{name}: %{{y:.1%}}, %{{customdata}}")
        )
        if some.any():
            last = int(np.flatnonzero(some)[x[some].argmax()])
            ends.append((name, colour, float(x[last]), float(values[last])))
        if math.isfinite(values[at]) and name != "by chance":
            data.append(_chosen([float(x[at])], [float(values[at])], colour))
    layout = {
        "xaxis": _kept_axis(found.quantity, widest, _with_names(widest, ends)),
        "yaxis": axis(range=[0, 1.08], tickformat=".0%", nticks=6),
        "annotations": [above("share that the other keeps too", 0, "left"),
                        above("● chosen", 1, "right")],
        "hovermode": "closest",
    }  # fmt: skip
    data += _end_labels(ends, (0, 1.08))
    return figure(data, layout, 320, left=52, bottom=46, right=14)
