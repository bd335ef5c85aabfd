"""Curves and histograms → static SVG for the report: no script, a few kilobytes each.

Colours come from the page's style, by the classes named here. Computes no statistics.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats

HALF: Final = 540  # pixels of a picture beside another one
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 30  # pixels around a picture's field


class _Field:
    """A picture's field: where numbers stand in it."""

    def __init__(self, x: tuple[float, float], highest: float, width: int, height: int) -> None:
        self.x, self.highest, self.width, self.height = x, highest or 1.0, width, height

    def across(self, value: float) -> float:
        low, high = float(self.x[0]), float(self.x[1])
        share = (min(max(float(value), low), high) - low) / ((high - low) or 1.0)
        return round(_LEFT + share * (self.width - _LEFT - _RIGHT), 1)

    def up(self, value: float) -> float:
        room = self.height - _TOP - _BOTTOM
        return round(self.height - _BOTTOM - value / self.highest * room, 1)

    def frame(self, words: Callable[[float], str], title: str) -> list[str]:
        """Return the lines and numbers that every picture has."""
        right = self.width - _RIGHT
        parts = [_text(_LEFT, 15, title, "title")]
        for value in ticks(0.0, self.highest, 4):
            y = self.up(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
            parts.append(_text(_LEFT - 6, y + 4, words(value), "number", "end"))
        most, below = self.width // 72, self.height - 10
        numbers = ticks(*self.x, most)
        return parts + [_text(self.across(v), below, f"{v:g}", "number") for v in numbers]

    def line(self, threshold: float) -> str:
        """Return the threshold's line."""
        x, bottom = self.across(threshold), self.height - _BOTTOM
        return f'<line class="line" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>'


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers from low to high, at most about so many.

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
) -> str:
    """Draw a quantity against the threshold, the chosen point marked with its value.

    Parameters
    ----------
    thresholds, values : ndarray of float64, shape (T,)
    step : int
        Position of the chosen threshold.
    span : (float, float)
        The thresholds shown.
    title : str
    words : callable
        Writes a value.
    """
    first, last = np.searchsorted(thresholds, span)
    shown = np.arange(first, min(last + 1, len(thresholds)))
    shown = np.union1d(shown[:: max(1, len(shown) // 300)], [step])
    field = _Field(span, 1.12 * float(values[shown].max(initial=0)), 360, 220)
    points = " ".join(
        f"{field.across(float(thresholds[i]))},{field.up(float(values[i]))}" for i in shown
    )
    x, y = field.across(float(thresholds[step])), field.up(float(values[step]))
    anchor, beside = ("end", -9) if x > 0.7 * field.width else ("start", 9)
    return _svg(
        field,
        f"{title}: {words(float(values[step]))} at {thresholds[step]:g}",
        [
            *field.frame(words, title),
            field.line(float(thresholds[step])),
            f'<polyline class="curve" points="{points}"/>',
            f'<circle class="point" cx="{x}" cy="{y}" r="4.5"/>',
            _text(x + beside, y - 8, words(float(values[step])), "value", anchor),
        ],
    )


def band(
    thresholds: Floats,
    ends: tuple[Floats, Floats, Floats],
    here: tuple[float, float, float, float],
    title: str,
) -> str:
    """Draw a share against the threshold with its interval, the chosen point with its own.

    Parameters
    ----------
    thresholds : ndarray of float64, shape (T,)
        Ascending; the first and the last are the ends of what is shown.
    ends : (ndarray, ndarray, ndarray) of float64, shape (T,)
        Estimate, low and high, from 0 to 1; where the estimate is NaN nothing is drawn.
    here : (float, float, float, float)
        The chosen threshold, with estimate, low and high there.
    title : str
    """
    known = np.flatnonzero(~np.isnan(ends[0]))
    field = _Field((float(thresholds[0]), float(thresholds[-1])), 1.0, HALF, 220)
    x = [field.across(value) for value in thresholds[known].tolist()]
    middle, low, high = ([field.up(v) for v in end[known].tolist()] for end in ends)
    around = _points([*x, *reversed(x)], [*high, *reversed(low)])
    threshold, *found = here
    parts = [
        *field.frame(lambda value: f"{value:.0%}", title),
        f'<polygon class="band" points="{around}"/>',
        field.line(threshold),
        f'<polyline class="curve" points="{_points(x, middle)}"/>',
    ]
    if math.isnan(found[0]):
        return _svg(field, f"{title}: not known at {threshold:g}", parts)
    at, (y, bottom, top) = field.across(threshold), (field.up(value) for value in found)
    anchor, beside = ("end", -9) if at > 0.7 * field.width else ("start", 9)
    words = f"{found[0]:.1%} ({found[1]:.1%} to {found[2]:.1%})"
    under = y + 22 if middle and middle[-1] < y else y - 8  # beside the curve, not on it
    parts += [
        f'<line class="error" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>',
        f'<circle class="point" cx="{at}" cy="{y}" r="4.5"/>',
        _text(at + beside, under, f"{found[0]:.1%}", "value", anchor),
    ]
    return _svg(field, f"{title}: {words} at {threshold:g}", parts)


def _points(x: Sequence[float], y: Sequence[float]) -> str:
    return " ".join(f"{one},{other}" for one, other in zip(x, y, strict=True))


def histogram(
    scores: Floats,
    threshold: float,
    span: tuple[float, float],
    title: str,
    bars: int = 60,
    width: int = 1104,
) -> str:
    """Draw scores, those below the threshold told apart by colour.

    Parameters
    ----------
    scores : ndarray of float64, shape (pairs,)
        Ascending.
    threshold : float
    span : (float, float)
        The scores shown; those beyond count in the outermost bars.
    title : str
    bars : int
    width : int
        Of the picture, in pixels.
    """
    edges = _edges(threshold, span, bars)
    inside = np.clip(scores, edges[0], edges[-1])
    below = np.histogram(inside[: np.searchsorted(scores, threshold)], edges)[0]
    above = np.histogram(inside[np.searchsorted(scores, threshold) :], edges)[0]
    field = _Field((edges[0], edges[-1]), 1.05 * float((below + above).max(initial=0)), width, 220)
    parts = field.frame(lambda value: f"{value:,.0f}", title)
    for low, high, rejected, kept in zip(edges, edges[1:], below, above, strict=False):
        x, wide = field.across(low), field.across(high) - field.across(low)
        for count, under, name in ((rejected, 0, "rejected"), (kept, rejected, "kept")):
            if count:
                y, end = field.up(float(under + count)), field.up(float(under))
                size = f'width="{max(wide - 1, 0.5):.1f}" height="{end - y:.1f}"'
                parts.append(f'<rect class="{name}" x="{x}" y="{y}" {size}/>')
    words = f"{below.sum():,} below {threshold:g}, {above.sum():,} at or above"
    return _svg(field, f"{title}: {words}", [*parts, field.line(threshold)])


def _edges(threshold: float, span: tuple[float, float], bars: int) -> Floats:
    """Return the bars' edges, the threshold among them where it is shown."""
    width = (span[1] - span[0]) / bars
    start = span[0]
    if span[0] < threshold < span[1]:
        start = threshold - width * math.ceil((threshold - span[0]) / width)
    return np.asarray(start + width * np.arange(math.ceil((span[1] - start) / width - 1e-9) + 1))


def _svg(field: _Field, label: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {field.width} {field.height}"'
    return f'<svg {size} role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'


def _text(x: float, y: float, words: str, name: str, anchor: str = "") -> str:
    anchor = anchor or ("start" if name == "title" else "middle")
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{name}" {place}>{html.escape(words)}</text>'
