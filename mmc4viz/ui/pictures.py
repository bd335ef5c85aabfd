"""Pictures of one document → messages for the browser: its similarity, its tokens along a ruler.

Images and sentences are numbered from 1, as everywhere on screen; their text never enters a
picture. Judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.charts import COLOURS

MOST_ROWS: Final = 60
MOST_COLUMNS: Final = 300


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.pictures",
    html='<div class="picture"></div>',
    css=_read("pictures.css"),
    js=_read("pictures.js"),
)


def heat_map(
    matrix: NDArray[np.float64], marks: Sequence[tuple[int, int, str, str]], digits: int
) -> None:
    """Draw the similarity of images (rows) and sentences (columns), the assignment marked.

    Parameters
    ----------
    matrix : ndarray of float64, shape (images, sentences)
        Of which the first `MOST_ROWS` rows and `MOST_COLUMNS` columns are drawn.
    marks : sequence of (image, sentence, meaning, words)
        The matched pairs, counted from 0; the meaning names a colour, the words say it.
    digits : int
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
        "scale": f"From faint, {low:.{digits}f}, to strong, {high:.{digits}f}; the pairs marked.",
        "marks": [
            {"image": i + 1, "sentence": s + 1, "colour": COLOURS[meaning], "words": words}
            for i, s, meaning, words in marks
            if i < rows and s < columns
        ],
        "words": {"image": "image", "sentence": "sentence"},
        "alt": f"Similarity of {len(matrix)} images and {matrix.shape[1]} sentences, the pairs "
        "marked",
    }
    _MOUNT(key="matrix", data=data)


def ruler(length: int, limit: int, tokens: Sequence[tuple[int, str, str]]) -> None:
    """Draw a sequence's tokens as a ruler: image tokens on it, what is cut behind the limit.

    Parameters
    ----------
    length : int
        Tokens before the cut.
    limit : int
        Where it is cut.
    tokens : sequence of (place, meaning, words)
        The image tokens.
    """
    end = max(length, min(limit, 2 * length), 1)
    said = f"{min(length, limit):,} of {length:,}" if length > limit else f"{length:,}"
    data: dict[str, Any] = {
        "kind": "ruler",
        "length": length,
        "limit": limit,
        "end": end,
        "ticks": [{"at": at, "label": f"{at:,}"} for at in _ticks(end)],
        "tokens": [
            {"place": place, "colour": COLOURS[meaning], "words": f"token {place:,}: {words}"}
            for place, meaning, words in tokens
        ],
        "scale": f"{said} tokens, {len(tokens):,} of them image tokens",
        "words": {"limit": f"token limit {limit:,}"},
        "alt": f"{length} tokens with {len(tokens)} image tokens, cut at {limit}",
    }
    _MOUNT(key="ruler", data=data)


def _ticks(end: int) -> list[int]:
    """Return round places along a ruler, about eight.

    Examples
    --------
    >>> _ticks(256)
    [0, 50, 100, 150, 200, 250]
    """
    power = 10.0 ** math.floor(math.log10(max(end / 8, 1)))
    step = max(1, int(power * next(m for m in (1, 2, 5, 10) if m * power >= end / 8)))
    return list(range(0, end + 1, step))
