"""Small multiples: what each value of each setting yields → one message for the browser.

Every picture has the same scale; the present value is marked. Computes no yield.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st

from mmc4viz.charts import COLOURS

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


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.multiples",
    html='<div class="multiples"></div>',
    css=_read("multiples.css"),
    js=_read("multiples.js"),
)


def show(points: Sequence[Point], what: str, *, share: bool) -> None:
    """Draw one small picture a setting.

    Parameters
    ----------
    points : sequence of Point
    what : str
        What is yielded, in words.
    share : bool
        Whether yields are shares, else counts.
    """
    most = max((p.high if math.isfinite(p.high) else p.estimate for p in points), default=0) or 1.0
    knobs = dict.fromkeys(point.knob for point in points)
    panels = [_panel([p for p in points if p.knob == knob], what, share) for knob in knobs]
    ticks = [{"at": at, "label": _short(at, share)} for at in _ticks(1.06 * most)]
    _MOUNT(
        key="multiples",
        data={"panels": panels, "most": 1.06 * most, "ticks": ticks, "colour": COLOURS["kept"]},
    )


def _panel(points: Sequence[Point], what: str, share: bool) -> dict[str, Any]:
    title = TITLES[points[0].knob]
    shown = [
        {
            "name": str(point.value).replace("_to_", "-to-"),
            "value": point.estimate,
            "low": point.low,
            "high": point.high if math.isfinite(point.high) else point.estimate,
            "present": point.present,
            "words": _words(point, share),
        }
        for point in points
    ]
    alt = f"{what} against {title}. " + "; ".join(str(point["words"]) for point in shown)
    joined = points[0].knob != "assignment"
    return {"title": title, "alt": alt, "joined": joined, "points": shown}


def _words(point: Point, share: bool) -> str:
    """Say a point in words.

    Examples
    --------
    >>> _words(Point("max_images", 6, 0.5, 0.4, 0.6, True), True)
    '6: 50.0% (40.0% to 60.0%), now'
    """
    value, low, high = (_long(v, share) for v in (point.estimate, point.low, point.high))
    band = f" ({low} to {high})" if point.low < point.high else ""
    return f"{point.value}: {value}{band}{', now' if point.present else ''}"


def _long(value: float, share: bool) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{value:.1%}" if share else f"{value:,.0f}"


def _short(value: float, share: bool) -> str:
    """Write a number for an axis.

    Examples
    --------
    >>> _short(0.25, True), _short(1500, False), _short(2e6, False), _short(40, False)
    ('25%', '1.5k', '2M', '40')
    """
    if share:
        return f"{100 * value:.3g}%"
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _ticks(most: float) -> list[float]:
    """Return round steps from 0 on, about four.

    Examples
    --------
    >>> _ticks(0.9), _ticks(1200)
    ([0.0, 0.2, 0.4, 0.6, 0.8], [0.0, 500.0, 1000.0])
    """
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= most / 5 * 0.999)
    return [round(k * step, 12) for k in range(math.floor(most / step + 1e-9) + 1)]
