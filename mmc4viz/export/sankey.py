"""A Sankey diagram of a funnel: one ribbon from the whole to every drop reason and to what is kept.

Every row has a label of one line and a ribbon as thick as its share, so the diagram's height does
not depend on the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmc4viz.export.figure_svg import document, text

LINE: Final = 27.0  # pixels of a row without a ribbon
WHOLE: Final = 170.0  # pixels of the whole
WIDTH: Final = 100.0  # of the ribbons; they are stretched to the width there is
_THIN: Final = 1.5  # pixels of the thinnest ribbon


@dataclass(frozen=True)
class Flow:
    """One row: a drop reason, or what is kept.

    Attributes
    ----------
    label : str
    number : float
    colour : str
    words : (str, str)
        The number and its share, as written.
    """

    label: str
    number: float
    colour: str
    words: tuple[str, str]


@dataclass(frozen=True)
class Ribbon:
    """A row's place, in pixels from the top, and its ribbon as an SVG path; empty for none."""

    top: float
    height: float
    path: str


def height_of(rows: int) -> float:
    """Return the height of a diagram, in pixels."""
    return rows * LINE + WHOLE


def ribbons(numbers: Sequence[float]) -> list[Ribbon]:
    """Arrange rows, the last straight along the bottom; the others leave upward, in their order.

    Examples
    --------
    >>> one, two = ribbons([1, 3])
    >>> one.top + one.height == two.top, two.top + two.height == height_of(2)
    (True, True)
    """
    whole, found = sum(numbers), []
    top, start = 0.0, height_of(len(numbers)) - WHOLE - LINE / 2
    for at, number in enumerate(numbers):
        thick = WHOLE * number / whole if whole else 0.0
        middle, centre = start + thick / 2, top + (LINE + thick) / 2
        bend = 4 + 60 * at / len(numbers)
        shown = max(thick, _THIN) if number > 0 else 0.0
        found.append(Ribbon(top, LINE + thick, _path(middle, centre, bend, shown)))
        top, start = top + LINE + thick, start + thick
    return found


def trunk(rows: int) -> tuple[float, float]:
    """Return where the whole begins and how high it is, in pixels."""
    return height_of(rows) - WHOLE - LINE / 2, WHOLE


def _path(middle: float, centre: float, bend: float, thick: float) -> str:
    """Return a ribbon between two heights, straight up to a bend."""
    if not thick:
        return ""
    (a, b), (c, d) = ((y - thick / 2, y + thick / 2) for y in (middle, centre))
    half = (bend + WIDTH) / 2
    over = f"M0,{a:.2f}H{bend:.2f}C{half:.2f},{a:.2f} {half:.2f},{c:.2f} {WIDTH:g},{c:.2f}"
    return f"{over}V{d:.2f}C{half:.2f},{d:.2f} {half:.2f},{b:.2f} {bend:.2f},{b:.2f}H0Z"


_LEFT, _FLOW, _ALL, _GAP = 16.0, 330.0, 700.0, 58.0


def svg(diagrams: Sequence[tuple[str, str, Sequence[Flow]]], title: str) -> bytes:
    """Draw diagrams below one another as an SVG file.

    Parameters
    ----------
    diagrams : sequence of (title, whole, flows)
        ``whole`` names and counts what is divided.
    title : str
        Of the file.
    """
    parts, y = [text(12, 22, title, size=15, weight="600")], 36.0
    for name, whole, flows in diagrams:
        parts.append(text(_LEFT, y + 18, name, size=14, weight="600"))
        parts.append(text(_LEFT + 140, y + 18, whole))
        y += 32
        start, high = trunk(len(flows))
        parts.append(
            f'<rect x="{_LEFT:g}" y="{y + start:.1f}" width="5" height="{high:g}" fill="#7D858C"/>'
        )
        move = f"translate({_LEFT + 5:g},{y:g}) scale({_FLOW / WIDTH:g},1)"
        found = ribbons([flow.number for flow in flows])
        paths = "".join(
            f'<path d="{one.path}" fill="{flow.colour}" fill-opacity="0.75"/>'
            for flow, one in zip(flows, found, strict=True)
            if one.path
        )
        parts.append(f'<g transform="{move}">{paths}</g>')
        for flow, one in zip(flows, found, strict=True):
            middle = y + one.top + one.height / 2 + 4
            parts.append(text(_LEFT + _FLOW + 16, middle, flow.label))
            for column, words in enumerate(flow.words):
                parts.append(text(_ALL - 76 + 64 * column, middle, words, "end"))
        y += height_of(len(flows)) + _GAP - 32
    return document(parts, title, _ALL, y)
