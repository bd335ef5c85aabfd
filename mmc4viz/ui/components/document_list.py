"""The list of documents: a table whose rows open documents and whose heads sort.

Pressing a row or scrolling to images that are not known yet runs only the part of the page that
answers (`relay`); the list itself stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.data.columns import Columns
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.query import SORTS
from mmc4viz.sweep.statistics import CLASSES
from mmc4viz.text import plain
from mmc4viz.types import LoaderConfig, Outcome
from mmc4viz.ui import state
from mmc4viz.ui.html import asset

_KEY: Final = "documents"
_HEARD: Final = "documents-heard"  # how many presses on the heads have been heard
_LONGEST: Final = 300  # characters of a key or URL in a cell
_REASONS: Final = {
    "kept_single_image": "single image, ",
    "too_few_images": "fewer images than the minimum",
    "single_image_at_end": "only image token is last",
    "below_threshold": "no pair reaches the threshold",
    "no_valid_image": "all images missing or too small",
    "unreadable": "loader error",
}


@dataclass(frozen=True)
class _Listed:
    """A document with its shard's columns, all documents' verdicts and single-image probability."""

    columns: Columns
    row: int
    found: Verdicts
    document: int
    keep: float

    @property
    def kind(self) -> str:
        """The name of its outcome class."""
        return CLASSES[self.found.kind[self.document]]


def _text(name: str) -> Callable[[_Listed], str]:
    def value(one: _Listed) -> str:
        text = str(one.columns.batch.column(name)[one.row])
        return plain(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")

    return value


def _count(name: str) -> Callable[[_Listed], int]:
    return lambda one: int(getattr(one.found, name)[one.document])


def _score(name: str) -> Callable[[_Listed], float]:
    return lambda one: float(getattr(one.found, name)[one.document])


def _reason(one: _Listed) -> str:
    """Say why a document has its outcome, and with which probability it is kept."""
    words = _REASONS.get(one.kind, "")
    if one.kind == "unreadable" and one.columns.lacks_scores(one.row):
        return "no scores yet"
    if not one.kind.startswith("kept"):
        return words
    chance = float(one.found.readable[one.document])
    chance *= one.keep if one.kind == "kept_single_image" else 1
    return words + (
        {1.0: "always kept", 0.0: "never kept"}.get(chance) or f"kept with p = {chance:.3g}"
    )


def _outcome(one: _Listed) -> str:
    return str(Outcome.KEPT) if one.kind.startswith("kept") else one.kind


@dataclass(frozen=True)
class Column:
    """A column of the list and of its CSV.

    Attributes
    ----------
    name : str
        In the address and in the CSV.
    sort : str
        The sort order when its head is pressed (`mmc4viz.sweep.query.SORTS`).
    width : int
        Pixels, at least.
    value : callable, optional
        Returns a document's text, count or score; images, which have none, are not in the CSV.
    words : str
        Its head, if that is not its name.
    help : str
        May name the threshold, as in ``{threshold:g}``.
    wraps : bool
        Whether a cell may have two lines.
    """

    name: str
    sort: str
    width: int
    value: Callable[[_Listed], str | int | float] | None = None
    words: str = ""
    help: str = ""
    wraps: bool = False

    @property
    def label(self) -> str:
        """Its head."""
        return self.words or self.name.replace("_", " ")


_IN_SEQUENCE: Final = "In the sequence after truncation."
COLUMNS: Final = {
    column.name: column
    for column in (
        Column("image", "images", 62, help="The document's first image."),
        Column("key", "key", 118, _text("key")),
        Column("outcome", "kind", 104, _outcome, wraps=True),
        Column("reason", "kind", 132, _reason, wraps=True),
        Column("pairs", "surviving", 62, _count("surviving"),
               help="Matched pairs at or above {threshold:g}."),
        Column("best", "best", 84, _score("best"), "top score",
               "Highest score of the document's pairs."),
        Column("nearest", "nearest", 100, _score("nearest"), "distance to threshold",
               "Difference between the threshold and the closest pair's score."),
        Column("images", "images", 74, _count("images"), help="Number of images in the document."),
        Column("matched", "matched", 84, _count("matched"), "matched images",
               "Images matched to a sentence."),
        Column("image_tokens", "image_tokens", 74, _count("image_tokens"), help=_IN_SEQUENCE),
        Column("text_tokens", "text_tokens", 74, _count("text_tokens"), help=_IN_SEQUENCE),
        Column("mispaired", "mispaired", 92, _count("mispaired"),
               help="Image tokens whose sentence is trained with another sentence's image."),
        Column("shard", "place", 125, lambda one: plain(one.columns.shard.name)),
        Column("url", "url", 240, _text("url"), "URL"),
    )
}  # fmt: skip
"""All columns by name, in the order in which they are shown: beside an open document in a window of
1280 pixels, there is space for those up to the reason."""
_IN_CSV: Final = {name: column.value for name, column in COLUMNS.items() if column.value}
CSV_HEAD: Final = tuple(_IN_CSV)


def csv_rows(
    columns: Sequence[Columns], found: Verdicts, documents: NDArray[np.int64], keep: float
) -> Iterator[tuple[str | int | float, ...]]:
    """Yield the cells of documents under `CSV_HEAD`, given the single-image keep probability."""
    for one in _listed(columns, found, documents, keep):
        yield tuple(value(one) for value in _IN_CSV.values())


def _listed(
    columns: Sequence[Columns], found: Verdicts, documents: NDArray[np.int64], keep: float
) -> Iterator[_Listed]:
    for document in documents.tolist():
        row = int(found.row[document])
        yield _Listed(columns[int(found.part[document])], row, found, document, keep)


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.list",
    html='<div class="list"></div>',
    css=asset("list.css"),
    js=asset("dom.js", "list.js"),
)


def show(
    columns: Sequence[Columns],
    found: Verdicts,
    documents: NDArray[np.int64],
    pictures: Sequence[str | bool | None],
    names: Sequence[str],
    opened: int | None,
    config: LoaderConfig,
    sort: tuple[str, bool],
    sort_by: Callable[[str, bool], None],
) -> None:
    """Draw a page of documents.

    Parameters
    ----------
    columns : sequence of Columns
        Of all shards.
    found : Verdicts
        Of all documents.
    documents : ndarray of int64, shape (rows,)
        Positions among all documents.
    pictures : sequence of (str, bool or None)
        A small image of each document as a data URI; False if it is to be asked for.
    names : sequence of str
        Of the columns to show.
    opened : int or None
        The open document.
    config : LoaderConfig
    sort : (str, bool)
        The sort order, and whether it is descending.
    sort_by : callable
        Called with the order to sort by, and whether it is descending, when a head is pressed.
    """
    digits = 4 if abs(config.threshold) < 2 else 2
    shown, places = [COLUMNS[name] for name in names], documents.tolist()
    listed = list(_listed(columns, found, documents, config.single_image_keep))
    values = [[column.value(one) if column.value else "" for column in shown] for one in listed]
    order, down = sort
    data = {
        "alt": "Documents with their outcomes",
        "columns": [
            {
                "name": column.name,
                "label": column.label,
                "help": column.help.format(threshold=config.threshold),
                "width": column.width,
                "number": not isinstance(example, str),
                "wraps": column.wraps,
                "order": column.sort,
                "first": _direction(SORTS[column.sort]),
                "sort": _direction(down) if column.sort == order else "none",
            }
            for column, example in zip(shown, values[0], strict=True)
        ],
        "rows": [
            {"id": id_, "picture": picture, "cells": list(map(_cell, names, row, repeat(digits)))}
            for id_, picture, row in zip(places, pictures, values, strict=True)
        ],
        "open": opened,
        "heard": st.session_state.get(_HEARD, 0),
    }
    _MOUNT(key=_KEY, data=data, on_sort_change=lambda: _sorted(sort_by))


def _direction(down: bool) -> str:
    return "descending" if down else "ascending"


def _cell(name: str, value: str | int | float, digits: int) -> list[str]:
    """Return a cell as shown, and the whole text if that is longer.

    Examples
    --------
    >>> _cell("pairs", 1200, 4), _cell("best", math.nan, 4), _cell("outcome", "below_threshold", 4)
    (['1,200'], ['–'], ['below threshold'])
    """
    if isinstance(value, float):
        return [f"{value:.{digits}f}" if math.isfinite(value) else "–"]
    if isinstance(value, int):
        return [f"{value:,}"]
    if name == "key":
        return [_shortened(value), value]
    return [value.replace("_", " ") if name == "outcome" else value]


def _shortened(key: str) -> str:
    """Shorten a key in the middle.

    Examples
    --------
    >>> _shortened("033a86de888a77016c5c28b59108a717"), _shortened("short")
    ('033a86d…8a717', 'short')
    """
    return key if len(key) <= 14 else f"{key[:7]}…{key[-5:]}"


def _sorted(sort_by: Callable[[str, bool], None]) -> None:
    match state.asked(_KEY, "sort"):
        case [str(order), "ascending" | "descending" as direction, int(press)] if order in SORTS:
            st.session_state[_HEARD] = press
            sort_by(order, direction == "descending")


_RELAY: Final = st.components.v2.component(
    "mmc4viz.relay", html="<div hidden></div>", js=asset("relay.js")
)


def relay(name: Literal["open", "pictures"], told: Any, hear: Callable[[Any], None]) -> None:
    """Let the fragment that calls this hear what the list asks, and tell the list.

    Parameters
    ----------
    name : "open" or "pictures"
        What the list asks for: to open a document, or images of documents.
    told : JSON value
        The open document, or images by document.
    hear : callable
        Called with what the browser asks, not validated, before the fragment is run again.
    """
    key, heard = f"relay-{name}", f"relay-{name}-heard"

    def hear_asked() -> None:
        asked = state.asked(key, "asked")
        if isinstance(asked, list) and len(asked) == 2 and isinstance(asked[0], int):
            st.session_state[heard] = asked[0]
            hear(asked[1])

    data = {"name": name, "told": told, "heard": st.session_state.get(heard, 0)}
    with st.container(key=f"hidden-{name}"):
        _RELAY(key=key, data=data, on_asked_change=hear_asked)
