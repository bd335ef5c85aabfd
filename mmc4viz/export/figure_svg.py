"""Figures of `mmc4viz.charts` as SVG files for papers, drawn without a browser.

Covers what those figures contain: bars, lines with bands, points, labels, heat maps, lines at a
threshold. A file has no script, style sheet or link, and no text but the figure's own.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from mmc4viz.export.svg import ticks
from mmc4viz.text import escaped

_WIDTH: Final = 760  # pixels of a figure
_INK, _GREY, _FAINT, _PAPER = "#1d2329", "#5f6973", "#dfe2e5", "#ffffff"
_FONT: Final = "font-family='Helvetica, Arial, sans-serif' font-size='12'"
_DASHES: Final = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 4"}

Spec = Mapping[str, Any]


def sheet(figures: Sequence[Any], title: str, columns: int = 1) -> bytes:
    """Draw Plotly figures below and beside one another, as one SVG file.

    Parameters
    ----------
    figures : sequence of plotly.graph_objects.Figure
        As `mmc4viz.charts` makes them.
    title : str
        Named as the file's title and written above the figures.
    columns : int
    """
    wide = _WIDTH if columns == 1 else _WIDTH // columns + 60
    specs = [_with_arrays(figure.to_plotly_json()) for figure in figures]
    parts, y = [_text(12, 22, title, size=15, weight="600")], 36.0
    for start in range(0, len(specs), columns):
        row = specs[start : start + columns]
        for column, spec in enumerate(row):
            drawn = "".join(_Figure(spec, wide).parts())
            parts.append(f'<g transform="translate({column * wide},{y:g})">{drawn}</g>')
        y += max(float(spec["layout"]["height"]) for spec in row)
    return document(parts, title, wide * columns, y + 6)


def _with_arrays(value: Any) -> Any:
    """Return a figure with arrays in place of their encoded bytes."""
    if isinstance(value, dict):
        if "bdata" in value:
            array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
            shape = str(value.get("shape", len(array))).split(",")
            return array.reshape([int(size) for size in shape])
        return {name: _with_arrays(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_arrays(one) for one in value]
    return value


def document(parts: Sequence[str], title: str, width: float, height: float) -> bytes:
    """Return a whole SVG file with a white background."""
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {_FONT}>'
    paper = f'<rect width="{width:g}" height="{height:g}" fill="{_PAPER}"/>'
    whole = f"{head}<title>{escaped(title)}</title>{paper}{''.join(parts)}</svg>\n"
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", whole).encode()


def _text(
    x: float, y: float, words: str, anchor: str = "start", colour: str = _INK, size: int = 12,
    weight: str = "400",
) -> str:  # fmt: skip
    looks = f'fill="{escaped(colour)}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {looks}>{escaped(words)}</text>'


text = _text


class _Axis:
    """One axis: maps values to pixels."""

    def __init__(self, spec: Spec, values: Sequence[Any], ends: tuple[float, float]) -> None:
        self.spec, self.ends = spec, ends
        self.logarithmic = spec.get("type") == "log"  # its range is in powers of ten
        low, high = spec.get("range") or _extent(values, spec.get("rangemode") == "tozero")
        self.low, self.high = float(low), float(high)

    def at(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        first, last = self.ends
        place = math.log10(value) if self.logarithmic else float(value)
        return float(first + (place - self.low) / span * (last - first))

    def marks(self, most: int) -> Iterator[tuple[float, str]]:
        """Yield the ticks with their labels."""
        if self.spec.get("tickvals") is not None:
            yield from zip(self.spec["tickvals"], self.spec["ticktext"], strict=True)
            return
        low, high = sorted((self.low, self.high))
        form = self.spec.get("tickformat", "")
        for value in ticks(low, high, min(most, self.spec.get("nticks", most))):
            yield value, _written(value, form)


def _extent(values: Sequence[Any], to_zero: bool) -> tuple[float, float]:
    arrays = [np.asarray(one, np.float64).ravel() for one in values]
    found = np.concatenate([np.zeros(1 if to_zero else 0), *arrays])
    found = found[np.isfinite(found)]
    low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return (0.0 if to_zero else low - margin), high + margin


def _written(value: float, form: str) -> str:
    """Write a number at an axis.

    Examples
    --------
    >>> _written(0.25, ".0%"), _written(1500.0, ",~g"), _written(0.2, "")
    ('25%', '1,500', '0.2')
    """
    if form.endswith("%"):
        return f"{value:{form}}"
    return f"{value:,.10g}"


class _Figure:
    """One figure of a fixed width."""

    def __init__(self, spec: Spec, width: float) -> None:
        self.data, self.layout = spec["data"], spec["layout"]
        margin, height = self.layout["margin"], float(self.layout["height"])
        self.left, self.right = float(margin["l"]) + 12, width - float(margin["r"]) - 12
        self.top, self.bottom = float(margin["t"]), height - float(margin["b"])
        axes = self.layout["xaxis"], self.layout["yaxis"]
        drawn = [one for one in self.data if one.get("y") is not None]
        self.x = _Axis(axes[0], [one["x"] for one in drawn], (self.left, self.right))
        self.y = _Axis(axes[1], [one["y"] for one in drawn], (self.bottom, self.top))

    def parts(self) -> list[str]:
        """Return everything, back to front."""
        traces = [one for trace in self._traces() for one in trace]
        shapes = [self._line(**shape) for shape in self.layout.get("shapes", ())]
        notes = [self._note(note) for note in self.layout.get("annotations", ())]
        return [*self._grid(), *traces, *shapes, *notes]

    def _grid(self) -> Iterator[str]:
        for value, words in self.y.marks(5):
            y = self.y.at(value)
            if self.layout["yaxis"].get("showgrid", True):
                yield _stroke(f"M{self.left:.1f},{y:.1f}H{self.right:.1f}", _FAINT, 1)
            if self.layout["yaxis"].get("showticklabels", True):
                yield _text(self.left - 6, y + 4, words, "end", _GREY)
        for value, words in self.x.marks(8):
            yield _text(self.x.at(value), self.bottom + 17, words, "middle", _GREY)
        yield _stroke(f"M{self.left:.1f},{self.bottom:.1f}H{self.right:.1f}", _FAINT, 1)
        if title := _title(self.layout["xaxis"]):
            middle = (self.left + self.right) / 2
            yield _text(middle, self.bottom + 36, title, "middle", _GREY)
        if title := _title(self.layout["yaxis"]):
            x, y = 12, (self.top + self.bottom) / 2
            words = _text(0, 0, title, "middle", _GREY)
            yield f'<g transform="translate({x},{y:.1f}) rotate(-90)">{words}</g>'

    def _traces(self) -> Iterator[list[str]]:
        below: dict[float, float] = {}  # heights of stacked bars so far
        before: Spec | None = None
        for trace in self.data:
            if trace["type"] == "bar":
                yield list(self._bars(trace, below))
            elif trace["type"] == "heatmap":
                yield list(self._cells(trace))
            else:
                yield list(self._scatter(trace, before))
                before = trace

    def _bars(self, trace: Spec, below: dict[float, float]) -> Iterator[str]:
        colour, half = trace["marker"]["color"], float(trace["width"]) / 2
        for x, y in zip(map(float, trace["x"]), map(float, trace["y"]), strict=True):
            low = below.get(x, 0.0)
            below[x] = low + y
            if y:
                across = self.x.at(x - half), self.x.at(x + half)
                yield _rect(across, (self.y.at(low + y), self.y.at(low)), colour)

    def _cells(self, trace: Spec) -> Iterator[str]:
        x, y = (np.asarray(trace[name], np.float64) for name in "xy")
        z = np.asarray(trace["z"], np.float64)
        low, high = float(np.nanmin(z, initial=np.inf)), float(np.nanmax(z, initial=-np.inf))
        low, high = float(trace.get("zmin", low)), float(trace.get("zmax", high))
        colour = re.sub(r"rgba?\((\d+),(\d+),(\d+).*", r"rgb(\1,\2,\3)", trace["colorscale"][1][1])
        first = _alpha(trace["colorscale"][0][1])
        for row, column in zip(*np.nonzero(np.isfinite(z)), strict=True):
            share = (z[row, column] - low) / ((high - low) or 1.0)
            across = self.x.at(x[column]), self.x.at(x[column + 1])
            up = self.y.at(y[row]), self.y.at(y[row + 1])
            yield _rect(across, up, colour, first + (1 - first) * share)

    def _scatter(self, trace: Spec, before: Spec | None) -> Iterator[str]:
        points = self._points(trace)
        mode = trace.get("mode", "lines")
        fill = trace.get("fill")
        if fill and points:
            around = points
            if fill == "tonexty" and before is not None:
                around = points + self._points(before)[::-1]
            colour = trace.get("fillcolor", _FAINT)
            flat = " ".join(f"{x:.1f},{y:.1f}" for x, y in around)
            yield f'<polygon points="{flat}" {_paint("fill", colour)}/>'
        line = trace.get("line", {})
        if "lines" in mode and line.get("width", 2) and points:
            path = _path(points, line.get("shape", "linear"))
            dash = _DASHES.get(line.get("dash", ""), "")
            yield _stroke(path, line.get("color", _INK), line.get("width", 2), dash)
        if "markers" in mode and trace["marker"].get("opacity", 1):
            marker = trace["marker"]
            for x, y in points:
                colour = _paint("fill", marker["color"])
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{marker["size"] / 2:g}" {colour}/>'
        if "text" in mode:
            places = trace.get("textposition", "middle center")
            each = [places] * len(points) if isinstance(places, str) else places
            colour = trace.get("textfont", {}).get("color", _INK)
            for (x, y), words, place in zip(points, trace["text"], each, strict=True):
                anchor = {"right": "start", "left": "end"}.get(place.split()[-1], "middle")
                shift = {"top": -8, "bottom": 16}.get(place.split()[0], 4)
                side = {"start": 4, "end": -4}.get(anchor, 0)
                yield _marked(x + side, y + shift, words, anchor, colour)

    def _points(self, trace: Spec) -> list[tuple[float, float]]:
        both = zip(trace["x"], trace["y"], strict=True)
        found = [(float(x), float(y)) for x, y in both if x is not None and y is not None]
        return [
            (self.x.at(x), self.y.at(y)) for x, y in found if math.isfinite(x) and math.isfinite(y)
        ]

    def _line(self, **shape: Any) -> str:
        x = [self._across(shape.get("xref", "x"), shape[end]) for end in ("x0", "x1")]
        y = [self._up(shape.get("yref", "y"), shape[end]) for end in ("y0", "y1")]
        line = shape["line"]
        dash = _DASHES.get(line.get("dash", ""), "")
        path = f"M{x[0]:.1f},{y[0]:.1f}L{x[1]:.1f},{y[1]:.1f}"
        return _stroke(path, line["color"], line["width"], dash)

    def _across(self, ref: str, value: float) -> float:
        if "domain" in ref or ref == "paper":
            return self.left + value * (self.right - self.left)
        return self.x.at(value)

    def _up(self, ref: str, value: float) -> float:
        if "domain" in ref or ref == "paper":
            return self.bottom + value * (self.top - self.bottom)
        return self.y.at(value)

    def _note(self, note: Spec) -> str:
        x = self._across(note.get("xref", "x"), note["x"])
        y = self._up(note.get("yref", "y"), note["y"])
        anchor = {"left": "start", "right": "end"}.get(note.get("xanchor", ""), "middle")
        shift = {"bottom": -6, "top": 12}.get(note.get("yanchor", ""), 4)
        return _marked(x, y + shift, note["text"], anchor, note.get("font", {}).get("color", _INK))


def _title(axis: Spec) -> str:
    return str(axis.get("title", {}).get("text", ""))


def _path(points: Sequence[tuple[float, float]], shape: str) -> str:
    """Return a path through points: straight, or in steps."""
    parts = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for (x, _), (right, below) in pairwise(points):
        if shape == "hv":
            parts.append(f"H{right:.1f}V{below:.1f}")
        elif shape == "hvh":
            parts.append(f"H{(x + right) / 2:.1f}V{below:.1f}H{right:.1f}")
        else:
            parts.append(f"L{right:.1f},{below:.1f}")
    return "".join(parts)


def _stroke(path: str, colour: str, width: float, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    looks = f'{_paint("stroke", colour)} stroke-width="{width:g}"{dashes}'
    return f'<path d="{path}" fill="none" {looks}/>'


def _rect(
    across: tuple[float, float], up: tuple[float, float], colour: str, alpha: float = 1
) -> str:
    (left, right), (top, bottom) = sorted(across), sorted(up)
    place = f'x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" height="{bottom - top:.2f}"'
    opacity = f' fill-opacity="{alpha:.2f}"' if alpha < 1 else ""
    return f"<rect {place} {_paint('fill', colour)}{opacity}/>"


_RGBA: Final = re.compile(r"rgba\((\d+), *(\d+), *(\d+), *([\d.]+)\)")


def _alpha(colour: str) -> float:
    found = _RGBA.fullmatch(colour)
    return float(found[4]) if found else 1.0


def _paint(what: str, colour: str) -> str:
    """Return a color as attributes; SVG 1.1 has no colors with transparency."""
    found = _RGBA.fullmatch(colour)
    if found:
        return f'{what}="rgb({found[1]},{found[2]},{found[3]})" {what}-opacity="{found[4]}"'
    return f'{what}="{escaped(colour)}"'


_MARKUP: Final = re.compile(r"<[^>]*>")
_COLOUR: Final = re.compile(r"color:(#[0-9A-Fa-f]{6})")


def _marked(x: float, y: float, words: str, anchor: str, colour: str) -> str:
    """Write text with Plotly's markup: bold and colors are kept, entities are characters."""
    weight, paint, parts, at = "400", colour, [], 0
    for found in [*_MARKUP.finditer(words), None]:
        piece = html.unescape(words[at : found.start() if found else len(words)])
        if piece:
            looks = f'fill="{escaped(paint)}" font-weight="{weight}"'
            parts.append(f"<tspan {looks}>{escaped(piece)}</tspan>")
        if found:
            at, tag = found.end(), found[0]
            weight = {"<b>": "600", "</b>": "400"}.get(tag, weight)
            inside = _COLOUR.search(tag)
            paint = inside[1] if inside else colour if tag == "</span>" else paint
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" xml:space="preserve"'
    return str(Markup(f"<text {place} font-size='13'>{''.join(parts)}</text>"))
