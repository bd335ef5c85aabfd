"""The page Near threshold: galleries of pairs, each with its image and sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import streamlit as st

from mmc4viz.sweep.pairs import (
    Difference,
    PairOutcome,
    around,
    highest_dropped,
    judged,
    lowest_kept,
)
from mmc4viz.types import ASSIGNMENT_NAMES
from mmc4viz.ui import data, fields
from mmc4viz.ui.components import gallery
from mmc4viz.ui.components.gallery import Card
from mmc4viz.ui.html import ASSIGNMENTS, PAIR_STATUSES, chip, many, note, outcome_chip, part
from mmc4viz.ui.sidebar import Choice

_VIEWS: Final = {
    "around": "Near threshold",
    "lost": "Highest dropped",
    "kept": "Lowest kept",
    "between": "Assignment differences",
}
_SIZES: Final = (8, 16, 32, 64)
_COLUMNS: Final = ("score", "status", "outcome")
_VIEW, _SIZE, _OTHER = "b.view", "b.n", "b.other"


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Near threshold", anchor=False)
    if not len(data.pairs_for(choice.source, choice.config)):
        note(
            "No image is matched to a sentence. The page Loader audit shows why; try a smaller "
            "minimum image size or other shards.",
            "error",
        )
        return
    view, size = _choose()
    {"around": _around, "lost": _lost, "kept": _kept, "between": _between}[view](choice, size)


def _choose() -> tuple[str, int]:
    """Draw the choice of the gallery and its size."""
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        view = fields.one_of(
            st.segmented_control,
            "Pairs",
            list(_VIEWS),
            "near-view",
            _VIEW,
            format_func=lambda name: _VIEWS[name],
            required=True,
            label_visibility="collapsed",
        )
        size = fields.one_of(
            st.selectbox, "Pairs per gallery", _SIZES, "near-size", _SIZE, width=140
        )
    return view, size


def _around(choice: Choice, size: int) -> None:
    pairs = data.pairs_for(choice.source, choice.config)
    below, above = around(pairs, choice.config.threshold, size)
    matched = data.matched_of(choice.source, choice.config)
    here = f"{choice.config.threshold:g}"
    for name, title, places, without in (
        ("above", f"Kept: {here} and just above", above, "No pair reaches the threshold."),
        ("below", f"Dropped: just below {here}", below, "No pair scores below the threshold."),
    ):
        found = judged(matched, choice.config, pairs, places.tolist())
        _gallery(choice, name, title, found, without)


def _lost(choice: Choice, size: int) -> None:
    found = data.judged_for(choice.source, choice.config, size, highest_dropped)
    st.text(
        "Highest-scoring pairs that are not used for training: dropped at the cap, truncated, in a "
        "dropped document, or below the threshold."
    )
    _gallery(choice, "lost", "Highest dropped", found, "Every pair is kept.")


def _kept(choice: Choice, size: int) -> None:
    found = data.judged_for(choice.source, choice.config, size, lowest_kept)
    st.text("Lowest-scoring pairs that are used for training.")
    _gallery(choice, "kept", "Lowest kept", found, "No pair is kept.")


def _gallery(
    choice: Choice, name: str, title: str, found: Iterable[PairOutcome], without: str
) -> None:
    """Draw pairs with what becomes of them."""
    cards = [
        Card(
            data.place_of(choice.source, choice.config, pair.document),
            pair.image,
            pair.sentence,
            _score(pair.score),
            part("card_status", chip(*PAIR_STATUSES[pair.status]), outcome_chip(pair.outcome)),
            (pair.score, str(pair.status), str(pair.outcome)),
        )
        for pair in found
    ]
    gallery.show(choice.source, f"pairs-{name}", title, cards, _COLUMNS, without)


def _score(score: float) -> str:
    digits = 4 if not math.isfinite(score) or abs(score) < 2 else 2
    return part("card_score", f"{score:.{digits}f}")


def _between(choice: Choice, size: int) -> None:
    """Compare the current assignment method with another."""
    mine = choice.config.assignment
    others = [name for name in ASSIGNMENT_NAMES if name != mine]
    other = fields.one_of(
        st.selectbox,
        "Compare with",
        others,
        "near-other",
        _OTHER,
        format_func=lambda name: ASSIGNMENTS[name],
        width=300,
    )
    for keeps, loses in ((mine, other), (other, mine)):
        count, found = data.differing_for(choice.source, choice.config, keeps, loses, size)
        cards = [_different(choice, difference, loses) for difference in found]
        title = f"{many(count, 'pair')} kept by {_short(keeps)} but not by {_short(loses)}"
        gallery.show(choice.source, f"pairs-{keeps}-not-{loses}", title, cards, _COLUMNS)


def _short(assignment: str) -> str:
    return assignment.replace("_", "-")


def _different(choice: Choice, difference: Difference, loses: str) -> Card:
    words = f"{_short(loses)}: image unmatched"
    if difference.other_sentence is not None:
        number, score = difference.other_sentence + 1, difference.other_score
        words = f"{_short(loses)}: sentence {number}, {score:.4f}"
    return Card(
        data.place_of(choice.source, choice.config, difference.document),
        difference.image,
        difference.sentence,
        _score(difference.score),
        words,
        (difference.score, "", ""),
    )
