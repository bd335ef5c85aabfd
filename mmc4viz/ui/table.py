"""The table of documents: verdicts → a data frame, shown and selected from.

Reasons come from the class of a document; its exact words are the walk's, shown with the document.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.corpus.sweep import Matched
from mmc4viz.corpus.tally import CLASSES
from mmc4viz.corpus.verdicts import Verdicts, verdicts
from mmc4viz.model import LoaderConfig, Outcome
from mmc4viz.ui.inert import plain

REASONS: Final = {
    "kept_surely": "reaches the model",
    "kept_by_coin": "a single image: the coin decides",
    "too_few_images": "too few image tokens after the cut",
    "single_image_at_end": "its only image token is the last token",
    "below_threshold": "no pair reaches the threshold",
    "no_valid_image": "every image missing or too small",
    "unreadable": "the loader fails on it",
}
LIMIT: Final = 5000  # rows in one table; beyond, a shard at a time, and the shard's first
_ALL: Final = "all outcomes"


def choose_document(matched: Matched, config: LoaderConfig) -> tuple[int, int] | None:
    """Show the table; return the selected document's shard and row, None where there is none."""
    parts = _parts_shown(matched)
    frame = _filtered(_frame(matched, parts, config))
    if len(frame) > LIMIT:
        st.text(f"The first {LIMIT:,} of {len(frame):,} documents.")
        frame = frame.head(LIMIT)
    places = list(zip(frame.pop("part").tolist(), frame.pop("row").tolist(), strict=True))
    if not places:
        st.text("No document has this outcome.")
        return _kept_selection(matched, parts)
    _restore(places)
    event = st.dataframe(
        frame,
        key="documents",
        on_select="rerun",
        selection_mode="single-row",
        hide_index=True,
        height=min(36 * (len(frame) + 1), 396),
        column_config=_layout(config),
        placeholder="–",
        alt="Documents with their outcomes",
    )
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(places):
        st.session_state["document"] = places[rows[0]]
    return _kept_selection(matched, parts) or places[0]


def _parts_shown(matched: Matched) -> list[int]:
    """All shards, or one chosen by the person where that would be too many rows."""
    if matched.n_documents <= LIMIT or len(matched.parts) == 1:
        return list(range(len(matched.parts)))
    number = st.selectbox(
        "Shard",
        range(len(matched.parts)),
        format_func=lambda n: plain(matched.parts[n].columns.shard.name),
        key="table-shard",
    )
    return [number]


def _kept_selection(matched: Matched, parts: list[int]) -> tuple[int, int] | None:
    """Return the document last selected, as long as its shard is in the table."""
    chosen: tuple[int, int] | None = st.session_state.get("document")
    if chosen is None or chosen[0] not in parts:
        return None
    return chosen if chosen[1] < len(matched.parts[chosen[0]].columns) else None


def _restore(places: list[tuple[int, int]]) -> None:
    """Let the selection follow its document when the rows around it change."""
    if st.session_state.get("places") == places:
        return
    known = "places" in st.session_state
    st.session_state["places"] = places
    chosen = st.session_state.get("document")
    if known and chosen is not None:
        rows = [places.index(chosen)] if chosen in places else []
        st.session_state["documents"] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def _frame(matched: Matched, parts: list[int], config: LoaderConfig) -> pd.DataFrame:
    """Build the rows of some shards' documents, in the shards' order."""
    shown = Matched([matched.parts[n] for n in parts], matched.config)
    found = verdicts(shown, config)
    columns = [part.columns for part in shown.parts]
    keys = [plain(str(key)) for one in columns for key in one.batch.column("key").to_pylist()]
    names = np.array([plain(one.shard.name) for one in columns], object)
    return pd.DataFrame(
        {
            "part": np.array(parts, np.int64)[found.part],
            "row": found.row,
            "key": keys,
            "shard": names[found.part],
            "outcome": _words(found, {name: _outcome(name) for name in CLASSES}),
            "reason": _words(found, REASONS),
            "images": found.images,
            "matched": found.matched,
            "pairs": found.surviving,
            "best": found.best,
            "nearest": found.nearest,
            "image_tokens": found.image_tokens,
            "text_tokens": found.text_tokens,
            "misbound": found.misbound,
        }
    )


def _words(found: Verdicts, words: dict[str, str]) -> NDArray[np.object_]:
    return np.array([words[name] for name in CLASSES], object)[found.kind]


def _outcome(name: str) -> str:
    return str(Outcome.KEPT) if name.startswith("kept") else name


def _filtered(frame: pd.DataFrame) -> pd.DataFrame:
    chosen = st.selectbox(
        "Outcome", [_ALL, *map(str, Outcome)], key="table-outcome", label_visibility="collapsed"
    )
    return frame if chosen == _ALL else frame[frame["outcome"] == chosen].reset_index(drop=True)


def _layout(config: LoaderConfig) -> dict[str, Any]:
    """Say what each column is; every text column is text, never a link."""
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    score = "%.4f" if abs(config.threshold) < 2 else "%.2f"
    return {
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
        "misbound": number("misbound", width=76, help="Image tokens that get another image."),
    }
