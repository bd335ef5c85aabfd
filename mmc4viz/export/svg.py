"""Curves and histograms as static SVG for the report.

Colors come from ``report.css``, by class name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup

from mmc4viz.arrays import Floats, Ints
from mmc4viz.text import escaped

HALF: Final = 540  # pixels of a chart in two columns
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 44  # pixels around the plot area


class _Plot:
    """The plot area: maps values to pixels."""

    def __init__(
        self, x: tuple[float, float], highest: float, width: int, height: int, left: int = _LEFT
    ) -> None:
        self.x, self.highest, self.width, self.height = x, highest or 1.0, width, height
        self.left = left

    def across(self, value: float) -> float:
        low, high = float(self.x[0]), float(self.x[1])
        share = (min(max(float(value), low), high) - low) / ((high - low) or 1.0)
        return round(self.left + share * (self.width - self.left - _RIGHT), 1)

    def up(self, value: float) -> float:
        pixels = self.height - _TOP - _BOTTOM
        return round(self.height - _BOTTOM - value / self.highest * pixels, 1)

    def frame(
        self, words: Callable[[float], str], title: str, across: str = "threshold"
    ) -> list[str]:
        """Return the title, the grid, the tick labels and the title of the axis below."""
        right = self.width - _RIGHT
        parts = [_text(_LEFT, 15, title, "title")]
        for value in ticks(0.0, self.highest, 4):
            y = self.up(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
            parts.append(_text(_LEFT - 6, y + 4, words(value), "number", "end"))
        parts.append(_text((_LEFT + right) / 2, self.height - 6, across, "axis"))
        most, below = self.width // 72, self.height - 25
        numbers = ticks(*self.x, most)
        return parts + [_text(self.across(v), below, f"{v:g}", "number") for v in numbers]

    def line(self, threshold: float) -> str:
        """Return the line that marks the threshold."""
        x, bottom = self.across(threshold), self.height - _BOTTOM
        return f'<line class="threshold" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>'


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers from low to high, at most about ``most``.

    Examples
    --------
    >>> ticks(0.13, 0.41, 5)
    [0.2, 0.3, 0.4]
    >>> ticks(0, 1, 4)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5) if m * power >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]


def curve(
    thresholds: Floats,
    values: Floats,
    step: int,
    span: tuple[float, float],
    title: str,
    words: Callable[[float], str],
    width: int = 360,
) -> Markup:
    """Draw a quantity against the threshold, with the chosen threshold's value marked.

    Parameters
    ----------
    thresholds, values : ndarray of float64, shape (T,)
    step : int
        Position of the chosen threshold.
    span : (float, float)
        The range of thresholds shown.
    title : str
    words : callable
        Formats a value.
    width : int
        Width in pixels.
    """
    first, last = np.searchsorted(thresholds, span)
    shown = np.arange(first, min(last + 1, len(thresholds)))
    shown = np.union1d(shown[:: max(1, len(shown) // 300)], [step])
    plot = _Plot(span, 1.12 * float(values[shown].max(initial=0)), width, 220)
    points = " ".join(
        f"{plot.across(float(thresholds[i]))},{plot.up(float(values[i]))}" for i in shown
    )
    x, y = plot.across(float(thresholds[step])), plot.up(float(values[step]))
    anchor, shift = ("end", -9) if x > 0.7 * plot.width else ("start", 9)
    return _svg(
        plot,
        f"{title}: {words(float(values[step]))} at {thresholds[step]:g}",
        [
            *plot.frame(words, title),
            plot.line(float(thresholds[step])),
            f'<polyline class="curve" points="{points}"/>',
            f'<circle class="point" cx="{x}" cy="{y}" r="4.5"/>',
            _text(x + shift, y - 8, words(float(values[step])), "value", anchor),
        ],
    )


def band(
    thresholds: Floats,
    ends: tuple[Floats, Floats, Floats],
    here: tuple[float, float, float, float],
    title: str,
) -> Markup:
    """Draw a share with its interval against the threshold, with the chosen threshold marked.

    Parameters
    ----------
    thresholds : ndarray of float64, shape (T,)
        Ascending; the first and the last are the range shown.
    ends : (ndarray, ndarray, ndarray) of float64, shape (T,)
        Estimate, low and high, from 0 to 1; nothing is drawn where the estimate is NaN.
    here : (float, float, float, float)
        The chosen threshold, with estimate, low and high there.
    title : str
    """
    known = np.flatnonzero(~np.isnan(ends[0]))
    plot = _Plot((float(thresholds[0]), float(thresholds[-1])), 1.0, HALF, 220)
    x = [plot.across(value) for value in thresholds[known].tolist()]
    middle, low, high = ([plot.up(v) for v in end[known].tolist()] for end in ends)
    around = _points([*x, *reversed(x)], [*high, *reversed(low)])
    threshold, *found = here
    parts = [
        *plot.frame(lambda value: f"{value:.0%}", title),
        f'<polygon class="band" points="{around}"/>',
        plot.line(threshold),
        f'<polyline class="curve" points="{_points(x, middle)}"/>',
    ]
    if math.isnan(found[0]):
        return _svg(plot, f"{title}: unknown at {threshold:g}", parts)
    at, (y, bottom, top) = plot.across(threshold), (plot.up(value) for value in found)
    anchor, shift = ("end", -9) if at > 0.7 * plot.width else ("start", 9)
    words = f"{found[0]:.1%} (95% CI {found[1]:.1%}–{found[2]:.1%})"
    under = y + 22 if middle and middle[-1] < y else y - 8  # next to the curve, not on it
    parts += [
        f'<line class="error" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>',
        f'<circle class="point" cx="{at}" cy="{y}" r="4.5"/>',
        _text(at + shift, under, f"{found[0]:.1%}", "value", anchor),
    ]
    return _svg(plot, f"{title}: {words} at {threshold:g}", parts)


def _points(x: Sequence[float], y: Sequence[float]) -> str:
    return " ".join(f"{one},{other}" for one, other in zip(x, y, strict=True))


def histogram(
    scores: Floats,
    threshold: float,
    span: tuple[float, float],
    title: str,
    bars: int = 60,
    width: int = 1104,
    counts: Ints | None = None,
) -> Markup:
    """Draw a histogram of scores, colored by side of the threshold.

    Parameters
    ----------
    scores : ndarray of float64, shape (pairs,)
        Ascending.
    threshold : float
    span : (float, float)
        The range shown; scores beyond it are counted in the outermost bars.
    title : str
    bars : int
    width : int
        Width in pixels.
    counts : ndarray of int64, shape (pairs,), optional
        How often each score occurs; once by default.
    """
    edges = _edges(threshold, span, bars)
    inside, cut = np.clip(scores, edges[0], edges[-1]), int(np.searchsorted(scores, threshold))
    times = np.ones(len(scores), np.int64) if counts is None else counts
    below, above = (
        np.histogram(inside[part], edges, weights=times[part])[0]
        for part in (slice(cut), slice(cut, None))
    )
    plot = _Plot((edges[0], edges[-1]), 1.05 * float((below + above).max(initial=0)), width, 220)
    parts = plot.frame(lambda value: f"{value:,.0f}", title, "score (pairs per bar upwards)")
    for low, high, rejected, kept in zip(edges, edges[1:], below, above, strict=False):
        x, wide = plot.across(low), plot.across(high) - plot.across(low)
        for count, under, name in ((rejected, 0, "rejected"), (kept, rejected, "kept")):
            if count:
                y, end = plot.up(float(under + count)), plot.up(float(under))
                size = f'width="{max(wide - 1, 0.5):.1f}" height="{end - y:.1f}"'
                parts.append(f'<rect class="{name}" x="{x}" y="{y}" {size}/>')
    words = f"{below.sum():,} below {threshold:g}, {above.sum():,} at or above"
    return _svg(plot, f"{title}: {words}", [*parts, plot.line(threshold)])


def _edges(threshold: float, span: tuple[float, float], bars: int) -> Floats:
    """Return the bars' edges; the threshold is one of them if it is in the range."""
    width = (span[1] - span[0]) / bars
    start = span[0]
    if span[0] < threshold < span[1]:
        start = threshold - width * math.ceil((threshold - span[0]) / width)
    return np.asarray(start + width * np.arange(math.ceil((span[1] - start) / width - 1e-9) + 1))


_ROW: Final = 22  # pixels


def intervals(
    rows: Sequence[tuple[str, float, float | None, float | None]],
    whole: float,
    title: str,
    width: int = 1104,
) -> Markup:
    """Draw shares below one another, each with its interval, beside the whole's.

    Parameters
    ----------
    rows : sequence of (str, float, float or None, float or None)
        Name, share, and the limits of its interval, if it has one.
    whole : float
        Drawn as a dashed line.
    title : str
    width : int
        Width in pixels.
    """
    values = [value for _, *known in rows for value in (whole, *known) if value is not None]
    margin = 0.04 * (max(values) - min(values)) or 0.05
    span = max(-0.02, min(values) - margin), min(1.02, max(values) + margin)
    left = 180 if width > 600 else 130
    plot = _Plot(span, 1.0, width, _TOP + _BOTTOM + _ROW * len(rows), left)
    right, bottom = width - _RIGHT, plot.height - _BOTTOM
    parts = [_text(12, 15, title, "title")] if width > 600 else []
    for value in ticks(*span, 8 if width > 600 else 4):
        x = plot.across(value)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>')
        anchor = "end" if x > right - 16 else "middle"
        parts.append(_text(x, bottom + 18, f"{100 * value:.3g}%", "number", anchor))
    parts.append(_text((left + right) / 2, plot.height - 6, "kept share", "axis"))
    parts.append(plot.line(whole))
    for number, (name, share, low, high) in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        short = name if len(name) <= left // 8 else f"{name[: left // 8 - 1]}…"
        parts.append(_text(left - 8, y + 4, short, "number", "end"))
        if low is not None and high is not None:
            ends = f'x1="{plot.across(low)}" x2="{plot.across(high)}"'
            parts.append(f'<line class="error" {ends} y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="point" cx="{plot.across(share)}" cy="{y}" r="4.5"/>')
    words = "; ".join(f"{name}: {share:.1%}" for name, share, _, _ in rows)
    return _svg(plot, f"{title}, whole {whole:.1%}. {words}", parts)


def _svg(plot: _Plot, label: str, parts: Sequence[str]) -> Markup:
    size = f'viewBox="0 0 {plot.width} {plot.height}"'
    drawn = "".join(parts)
    return Markup(f'<svg {size} role="img" aria-label="{escaped(label)}">{drawn}</svg>')


def _text(x: float, y: float, words: str, name: str, anchor: str = "") -> str:
    anchor = anchor or ("start" if name == "title" else "middle")
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{name}" {place}>{escaped(words)}</text>'
