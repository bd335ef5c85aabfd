"""Charts drawn in the browser: multiples, score distributions, similarity matrix, token ruler.

Images and sentences are numbered from 1, as everywhere on screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.charts import COLOURS, values_of_a_setting
from mmc4viz.data.scale import Scale
from mmc4viz.export.figure_svg import sheet
from mmc4viz.ui import state
from mmc4viz.ui.html import asset, heading

TITLES: Final = {
    "max_images": "Max images",
    "max_tokens": "Max tokens",
    "min_kb": "Min image size (kB)",
    "assignment": "Assignment",
}


@dataclass(frozen=True)
class Point:
    """One value of a setting with its yield."""

    setting: str
    value: Any
    estimate: float
    low: float
    high: float
    present: bool


_MULTIPLES: Final = st.components.v2.component(
    "mmc4viz.multiples",
    html='<div class="multiples"></div>',
    css=asset("multiples.css"),
    js=asset("dom.js", "multiples.js"),
)


def show(points: Sequence[Point], what: str, *, share: bool) -> None:
    """Draw one small chart per setting, all on the same scale, with the current value marked.

    Parameters
    ----------
    points : sequence of Point
    what : str
        The yield, in words.
    share : bool
        Whether yields are shares, else counts.
    """
    most = max((_high(point) for point in points), default=0) or 1.0
    settings = dict.fromkeys(point.setting for point in points)
    panels = [
        _panel([p for p in points if p.setting == setting], what, share) for setting in settings
    ]
    ticks = [{"at": at, "label": _short(at, share)} for at in _value_ticks(1.06 * most)]
    _MULTIPLES(
        key="multiples",
        data={"panels": panels, "most": 1.06 * most, "ticks": ticks, "colour": COLOURS["kept"]},
    )


def svg(points: Sequence[Point], what: str, *, share: bool) -> bytes:
    """Return the same charts as an SVG file."""
    settings = dict.fromkeys(point.setting for point in points)
    groups = [[p for p in points if p.setting == setting] for setting in settings]
    most = max((_high(point) for point in points), default=0) or 1.0
    figures = [
        values_of_a_setting(
            [str(p.value).replace("_to_", "-to-") for p in group],
            [(p.estimate, p.low, _high(p)) for p in group],
            [p.present for p in group],
            TITLES[group[0].setting],
            1.06 * most,
            joined=group[0].setting != "assignment",
            share=share,
        )
        for group in groups
    ]
    return sheet(figures, f"Sensitivity of {what} to other settings", columns=2)


def _high(point: Point) -> float:
    return point.high if math.isfinite(point.high) else point.estimate


def _panel(points: Sequence[Point], what: str, share: bool) -> dict[str, Any]:
    title = TITLES[points[0].setting]
    shown = [
        {
            "name": str(point.value).replace("_to_", "-to-"),
            "value": point.estimate,
            "low": point.low,
            "high": _high(point),
            "present": point.present,
            "words": _words(point, share),
        }
        for point in points
    ]
    alt = f"{what} against {title}. " + "; ".join(str(point["words"]) for point in shown)
    joined = points[0].setting != "assignment"
    return {"title": title, "alt": alt, "joined": joined, "points": shown}


def _words(point: Point, share: bool) -> str:
    """Describe a point.

    Examples
    --------
    >>> _words(Point("max_images", 6, 0.5, 0.4, 0.6, True), True)
    '6: 50.0% (40.0% to 60.0%), current'
    """
    value, low, high = (_long(v, share) for v in (point.estimate, point.low, point.high))
    band = f" ({low} to {high})" if point.low < point.high else ""
    return f"{point.value}: {value}{band}{', current' if point.present else ''}"


def _long(value: float, share: bool) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{value:.1%}" if share else f"{value:,.0f}"


def _short(value: float, share: bool) -> str:
    """Format a number for an axis.

    Examples
    --------
    >>> _short(0.25, True), _short(1500, False), _short(2e6, False), _short(40, False)
    ('25%', '1.5k', '2M', '40')
    """
    if share:
        return f"{100 * value:.3g}%"
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _value_ticks(most: float, least: float = 0.0) -> list[float]:
    """Return about four round values.

    Examples
    --------
    >>> _value_ticks(0.9), _value_ticks(1200), _value_ticks(0.41, 0.08)
    ([0.0, 0.2, 0.4, 0.6, 0.8], [0.0, 500.0, 1000.0], [0.1, 0.2, 0.3, 0.4])
    """
    power = 10.0 ** math.floor(math.log10((most - least) / 5))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= (most - least) / 5 * 0.999)
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


_HISTOGRAM: Final = st.components.v2.component(
    "mmc4viz.histogram",
    html='<div class="histogram"></div>',
    css=asset("histogram.css"),
    js=asset("dom.js", "histogram.js"),
)


def histogram(figure: go.Figure, key: str, alt: str) -> None:
    """Draw a score distribution as Plotly would, which takes a browser seconds to load.

    Parameters
    ----------
    figure : Figure
        As `mmc4viz.charts.score_histogram` and `count_histogram` return it.
    key : str
    alt : str
        What it shows.
    """
    layout, parts = figure.layout, figure.data
    (low, high), (_, most) = layout.xaxis.range, layout.yaxis.range
    counts = [part.y.tolist() for part in parts]
    colours = [part.marker.color for part in parts]
    data = {
        "edges": np.linspace(low, high, len(counts[0]) + 1).tolist(),
        "most": most,
        "counts": counts,
        "colours": colours,
        "words": [
            "; ".join(f"{n:,} {part.name}" for part, n in zip(parts, both, strict=True)) + f"; {at}"
            for *both, at in zip(*counts, parts[0].customdata, strict=True)
        ],
        "threshold": layout.shapes[0].x0,
        "totals": [
            {"words": re.sub("</?b>", "", one.text), "ink": one.font.color}
            for one in layout.annotations
        ],
        "titles": [layout.xaxis.title.text, layout.yaxis.title.text],
        "scores": [{"at": at, "label": f"{at:.6g}"} for at in _value_ticks(high, low)],
        "heights": [
            {"at": at, "label": _short(at, False)} for at in _value_ticks(most) if at.is_integer()
        ],
        "alt": alt,
    }
    _HISTOGRAM(key=key, data=data)


STILL: Final = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""Settings of a figure that is only looked at."""


def show_figure(
    figure: go.Figure,
    title: str,
    name: str,
    head: Sequence[str],
    rows: Callable[[], Iterable[Sequence[Any]]],
    *,
    what: str,
    alt: str,
    key: str | None = None,
    on_select: Callable[[], None] | None = None,
) -> None:
    """Draw a figure under its heading, with its data as CSV and itself as SVG.

    Parameters
    ----------
    figure : Figure
    title : str
        Also that of the SVG.
    name : str
        Of the files; unique on the page.
    head : sequence of str
    rows : callable
        Returns the data, when they are asked for.
    what : str
        What is downloaded, in words.
    alt : str
        What the figure shows.
    key : str, optional
        By default the name.
    on_select : callable, optional
        Called when a point was pressed.
    """
    heading(title, name, head, rows, what=what, svg=lambda: sheet([figure], title))
    st.plotly_chart(
        figure,
        key=key or name,
        config=STILL,
        alt=alt,
        on_select=on_select or "ignore",
        selection_mode="points",
    )


MOST_ROWS: Final = 60
MOST_COLUMNS: Final = 300


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.pictures",
    html='<div class="picture"></div>',
    css=asset("pictures.css"),
    js=asset("dom.js", "pictures.js"),
)


def heat_map(
    matrix: NDArray[np.float64],
    marks: Sequence[tuple[int, int, str, str]],
    digits: int,
    seconds: Sequence[tuple[int, int]],
    sentences: Sequence[str],
    pictures: Sequence[str | None],
) -> None:
    """Draw the similarity matrix, images (rows) by sentences (columns), with pairs marked.

    Parameters
    ----------
    matrix : ndarray of float64, shape (images, sentences)
        The first `MOST_ROWS` rows and `MOST_COLUMNS` columns are drawn.
    marks : sequence of (image, sentence, meaning, words)
        The matched pairs, numbered from 0, with a color class and a description.
    digits : int
    seconds : sequence of (image, sentence)
        The runner-up of each matched image.
    sentences : sequence of str
        Shown under the pointer.
    pictures : sequence of (str or None)
        A very small image for each row, as a data URI.
    """
    shown = matrix[:MOST_ROWS, :MOST_COLUMNS]
    finite = np.isfinite(shown)
    if not shown.size:
        st.text("The matrix is empty.")
        return
    low, high = (float(f(shown[finite])) if finite.any() else 0.0 for f in (np.min, np.max))
    with np.errstate(over="ignore"):
        whole = np.round(shown, digits).tolist()
    rows, columns = shown.shape
    data = {
        "kind": "heat map",
        "z": [[value if math.isfinite(value) else None for value in row] for row in whole],
        "low": low,
        "high": high,
        "digits": digits,
        "ends": [f"{low:.{digits}f}", f"{high:.{digits}f}"],
        "marks": [
            {"image": i + 1, "sentence": s + 1, "colour": COLOURS[meaning], "words": words}
            for i, s, meaning, words in marks
            if i < rows and s < columns
        ],
        "seconds": [
            {"image": i + 1, "sentence": s + 1} for i, s in seconds if i < rows and s < columns
        ],
        "sentences": list(sentences[:columns]),
        "pictures": list(pictures[:rows]),
        "words": {
            "image": "image",
            "sentence": "sentence",
            "score": "CLIP score",
            "pair": "matched pair",
            "second": "runner-up",
        },
        "alt": f"Similarity matrix of {len(matrix)} images and {matrix.shape[1]} sentences, with "
        "matched pairs",
    }
    _MOUNT(key="matrix", data=data)


@dataclass(frozen=True)
class Stretch:
    """Thresholds above ``low`` and up to ``high`` with the same outcome of a document.

    ``strength``, from 0 to 1, is how strong its color is.
    """

    low: float
    high: float
    meaning: str
    name: str
    words: str
    strength: float


def pressed_point(selection: Any) -> list[Any]:
    """Return what the last pressed point of a figure carries, given the figure's selection.

    Empty if nothing is selected, or the figure is gone.
    """
    points = selection["points"] if selection else []
    return list(points[-1]["customdata"]) if points else []


def strip(
    stretches: Sequence[Stretch],
    scores: Sequence[float],
    threshold: float,
    span: tuple[float, float],
    scale: Scale,
    keep: Callable[[float], None],
) -> None:
    """Draw a document's outcome along the thresholds, with a handle to move the threshold.

    Parameters
    ----------
    stretches : sequence of Stretch
    scores : sequence of float
        Of the document's pairs, each marked by a line.
    threshold : float
    span : (float, float)
        The thresholds shown.
    scale : Scale
    keep : callable
        Called with the threshold at which the handle was released.
    """
    low, high = span
    ends = [(one.low, one.high) for one in stretches]
    tick = next(m for m in _TICKS if m * scale.step >= (high - low) / 8) * scale.step
    data = {
        "kind": "strip",
        "low": low,
        "high": high,
        "step": scale.step,
        "digits": scale.digits,
        "threshold": threshold,
        "states": [
            {
                "low": start if math.isfinite(start) else None,
                "high": end if math.isfinite(end) else None,
                "colour": COLOURS[one.meaning],
                "strength": one.strength,
                "name": one.name,
                "words": one.words,
            }
            for one, (start, end) in zip(stretches, ends, strict=True)
        ],
        "scores": [score for score in scores if low <= score <= high],
        "ticks": [
            round(k * tick, scale.digits)
            for k in range(math.ceil(low / tick - 1e-9), math.floor(high / tick + 1e-9) + 1)
        ],
        "tick_digits": max(0, scale.digits - 1),
        "words": {"threshold": "Threshold", "unknown": "not computed for so low a threshold"},
    }

    def released() -> None:
        value = state.asked("strip", "threshold")
        if isinstance(value, int | float) and math.isfinite(value):
            keep(float(value))

    _MOUNT(key="strip", data=data, on_threshold_change=released)


_TICKS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # steps of the grid


def ruler(length: int, limit: int, tokens: Sequence[tuple[int, str, str]]) -> None:
    """Draw a training sequence as a ruler with its image tokens and the token limit.

    Parameters
    ----------
    length : int
        Number of tokens before truncation.
    limit : int
        Maximum number of tokens.
    tokens : sequence of (place, meaning, words)
        The image tokens.
    """
    end = max(length, min(limit, 2 * length), 1)
    shown = f"{min(length, limit):,} of {length:,}" if length > limit else f"{length:,}"
    data: dict[str, Any] = {
        "kind": "ruler",
        "length": length,
        "limit": limit,
        "end": end,
        "ticks": [{"at": at, "label": f"{at:,}"} for at in _place_ticks(end)],
        "tokens": [
            {"place": place, "colour": COLOURS[meaning], "words": f"token {place:,}: {words}"}
            for place, meaning, words in tokens
        ],
        "scale": f"{shown} tokens, {len(tokens):,} of them image tokens",
        "words": {"limit": f"max tokens: {limit:,}"},
        "alt": f"{length} tokens with {len(tokens)} image tokens, truncated to {limit}",
    }
    _MOUNT(key="ruler", data=data)


def _place_ticks(end: int) -> list[int]:
    """Return about eight round positions along a ruler.

    Examples
    --------
    >>> _place_ticks(256)
    [0, 50, 100, 150, 200, 250]
    """
    power = 10.0 ** math.floor(math.log10(max(end / 8, 1)))
    step = max(1, int(power * next(m for m in (1, 2, 5, 10) if m * power >= end / 8)))
    return list(range(0, end + 1, step))
