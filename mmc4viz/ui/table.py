"""The table of documents: one page of rows at a time, shown and selected from.

Reasons come from the class of a document; its exact words are the walk's, shown with the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.tally import CLASSES
from mmc4viz.corpus.verdicts import Verdicts
from mmc4viz.model import LoaderConfig, Outcome
from mmc4viz.ui.inert import plain

PAGE: Final = 50  # rows
HEAD: Final = (
    "key", "shard", "outcome", "reason", "images", "matched", "pairs", "best", "nearest",
    "image_tokens", "text_tokens", "misbound", "url",
)  # fmt: skip
REASONS: Final = {
    "kept_surely": "reaches the model",
    "kept_by_coin": "a single image: the coin decides",
    "too_few_images": "too few image tokens after the cut",
    "single_image_at_end": "its only image token is the last token",
    "below_threshold": "no pair reaches the threshold",
    "no_valid_image": "every image missing or too small",
    "unreadable": "the loader fails on it",
}
SORT_OF: Final = {
    "key": "key", "shard": "place", "outcome": "kind", "reason": "kind", "images": "images",
    "matched": "matched", "pairs": "surviving", "best": "best", "nearest": "nearest",
    "image_tokens": "image_tokens", "text_tokens": "text_tokens", "misbound": "misbound",
    "url": "url",
}  # fmt: skip
"""What the whole list is sorted by when a column is pressed (`mmc4viz.corpus.listing.SORTS`)."""
_LONGEST: Final = 300  # characters of a key or an address in a cell
_KEY: Final = "documents"
_DRAWN: Final = "documents-drawn"  # the rows drawn last, and what was open then


def show(
    columns: Sequence[Columns],
    found: Verdicts,
    documents: NDArray[np.int64],
    opened: int | None,
    config: LoaderConfig,
    sort: tuple[str, bool],
    sort_by: Callable[[str], None],
) -> int | None:
    """Show a page of documents; return the one that was just selected.

    Parameters
    ----------
    documents : ndarray of int64
        Positions among all documents, in their order.
    opened : int or None
        The one that is open.
    sort : (str, bool)
        What the list is sorted by, and whether its largest come first.
    sort_by : callable
        Called with a column's sort when its head is pressed.
    """
    places = documents.tolist()
    _restore(places, opened)
    frame = pd.DataFrame(rows(columns, found, places), columns=list(HEAD))
    event = st.dataframe(
        frame,
        key=_KEY,
        on_select=lambda: _pressed(sort_by),
        selection_mode=["single-cell", "single-column"],
        hide_index=True,
        height=min(36 * (len(frame) + 1), 360),
        column_config=_layout(config, *sort),
        placeholder="–",
        alt="Documents with their outcomes",
    )
    row = next((row for row, _ in event["selection"]["cells"]), len(places))
    chosen = places[row] if row < len(places) else None
    st.session_state[_DRAWN] = (places, opened if chosen is None else chosen)
    return chosen


def _pressed(sort_by: Callable[[str], None]) -> None:
    """Sort the whole list by a column whose head was pressed."""
    columns = st.session_state[_KEY]["selection"]["columns"]
    if columns:
        del st.session_state[_KEY]  # else the column stays selected
        sort_by(SORT_OF[columns[0]])


def _restore(places: list[int], opened: int | None) -> None:
    """Let the selection follow where rows changed, or where something else opened a document.

    After a press it is left alone: what is told to the browser would undo a second, quick press.
    """
    if _KEY not in st.session_state or st.session_state.get(_DRAWN) != (places, opened):
        cells = [(places.index(opened), HEAD[0])] if opened in places else []
        st.session_state[_KEY] = {"selection": {"rows": [], "columns": [], "cells": cells}}


def rows(
    columns: Sequence[Columns], found: Verdicts, documents: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of documents, every text made harmless."""
    for document in documents:
        part, row = int(found.part[document]), int(found.row[document])
        here, kind = columns[part], CLASSES[found.kind[document]]
        yield (
            _text(here, "key", row),
            plain(here.shard.name),
            str(Outcome.KEPT) if kind.startswith("kept") else kind,
            REASONS[kind],
            int(found.images[document]),
            int(found.matched[document]),
            int(found.surviving[document]),
            float(found.best[document]),
            float(found.nearest[document]),
            int(found.image_tokens[document]),
            int(found.text_tokens[document]),
            int(found.misbound[document]),
            _text(here, "url", row),
        )


def _text(columns: Columns, name: str, row: int) -> str:
    text = str(columns.batch.column(name)[row])
    return plain(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _layout(config: LoaderConfig, sort: str, down: bool) -> dict[str, Any]:
    """Say what each column is; every text column is text, never a link."""
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    score = "%.4f" if abs(config.threshold) < 2 else "%.2f"
    layout = {
        "key": text("key", width=130),
        "shard": text("shard", width=115),
        "outcome": text("outcome", width=118),
        "reason": text("reason", width=205),
        "images": number("images", width=62, help="Entries of image_info."),
        "matched": number("matched", width=66, help="Images matched to a sentence."),
        "pairs": number("pairs", width=54, help=f"Matched pairs at or above {config.threshold:g}."),
        "best": number("best", width=64, format=score, help="Score of the best matched pair."),
        "nearest": number(
            "distance",
            width=70,
            format=score,
            help="From the threshold to the nearest matched score.",
        ),
        "image_tokens": number("image tokens", width=95, help="In the cut sequence."),
        "text_tokens": number("text tokens", width=88, help="In the cut sequence."),
        "misbound": number(
            "misbound", width=76, help="Image tokens that get another sentence's image."
        ),
        "url": text("address", width=240),
    }
    for name, column in layout.items():
        if SORT_OF[name] == sort:
            column["label"] = f"{'↓' if down else '↑'} {column['label']}"
    return layout
