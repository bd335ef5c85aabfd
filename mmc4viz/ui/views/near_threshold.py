"""The page Near threshold: galleries of pairs, each with its image and sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from mmc4viz.data.thumbnails import Thumbnail
from mmc4viz.sweep.pairs import Difference, PairOutcome, around, judged, place_of
from mmc4viz.text import escaped
from mmc4viz.types import ASSIGNMENT_NAMES, ShardError
from mmc4viz.ui import data, document_data, html, state
from mmc4viz.ui.html import ASSIGNMENTS, PAIR_STATUSES, chip, note, outcome_chip
from mmc4viz.ui.sidebar import Choice

VIEWS: Final = {
    "around": "Near threshold",
    "lost": "Highest dropped",
    "kept": "Lowest kept",
    "between": "Assignment differences",
}
SIZES: Final = (8, 16, 32, 64)
_HEAD: Final = ("shard", "key", "image", "sentence", "score", "status", "outcome")
_VIEW, _SIZE, _OTHER = "b.view", "b.n", "b.other"


@dataclass(frozen=True)
class PairCard:
    """A pair to show; ``foot`` is HTML below it."""

    place: tuple[int, int]
    image: int
    sentence: int
    score: float
    status: str
    outcome: str
    foot: str


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
    view = state.get(_VIEW) if state.get(_VIEW) in VIEWS else "around"
    size = state.whole(_SIZE, SIZES[0], SIZES[0], SIZES[-1])
    size = size if size in SIZES else SIZES[0]
    state.seed("near-view", view)
    state.seed("near-size", size)
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        st.segmented_control(
            "Pairs",
            list(VIEWS),
            format_func=lambda name: VIEWS[name],
            required=True,
            key="near-view",
            on_change=_keeper(_VIEW, "near-view", "around"),
            label_visibility="collapsed",
        )
        st.selectbox(
            "Pairs per gallery",
            SIZES,
            key="near-size",
            on_change=_keeper(_SIZE, "near-size", SIZES[0]),
            width=140,
        )
    return view, size


def _keeper(name: str, key: str, default: object) -> Callable[[], None]:
    def keep() -> None:
        value = st.session_state[key]
        state.put(name, None if value == default else str(value))

    return keep


def _around(choice: Choice, size: int) -> None:
    pairs = data.pairs_for(choice.source, choice.config)
    below, above = around(pairs, choice.config.threshold, size)
    matched = data.matched_of(choice.source, choice.config)
    here = f"{choice.config.threshold:g}"
    for name, title, places, without in (
        ("above", f"Kept: {here} and just above", above, "No pair reaches the threshold."),
        ("below", f"Dropped: just below {here}", below, "No pair scores below the threshold."),
    ):
        found = list(judged(matched, choice.config, pairs, places.tolist()))
        _gallery(choice, name, title, _cards(choice, found), without)


def _lost(choice: Choice, size: int) -> None:
    found = data.dropped_for(choice.source, choice.config, size)
    st.text(
        "Highest-scoring pairs that are not used for training: dropped at the cap, truncated, in a "
        "dropped document, or below the threshold."
    )
    _gallery(choice, "lost", "Highest dropped", _cards(choice, found), "Every pair is kept.")


def _kept(choice: Choice, size: int) -> None:
    found = data.kept_for(choice.source, choice.config, size)
    st.text("Lowest-scoring pairs that are used for training.")
    _gallery(choice, "kept", "Lowest kept", _cards(choice, found), "No pair is kept.")


def _between(choice: Choice, size: int) -> None:
    """Compare the current assignment method with another."""
    mine = choice.config.assignment
    others = [name for name in ASSIGNMENT_NAMES if name != mine]
    other = state.get(_OTHER) if state.get(_OTHER) in others else others[0]
    if st.session_state.get("near-other") not in others:
        st.session_state.pop("near-other", None)
    state.seed("near-other", other)
    st.selectbox(
        "Compare with",
        others,
        format_func=lambda name: ASSIGNMENTS[name],
        key="near-other",
        on_change=_keeper(_OTHER, "near-other", others[0]),
        width=300,
    )
    for keeps, loses in ((mine, other), (other, mine)):
        count, found = data.differing_for(choice.source, choice.config, keeps, loses, size)
        cards = [_different(choice, difference, loses) for difference in found]
        noun = "pair" if count == 1 else "pairs"
        title = f"{count:,} {noun} kept by {_short(keeps)} but not by {_short(loses)}"
        _gallery(choice, f"{keeps}-not-{loses}", title, cards, "None.")


def _short(assignment: str) -> str:
    return assignment.replace("_", "-")


def _cards(choice: Choice, found: Iterable[PairOutcome]) -> list[PairCard]:
    starts = data.starts_of(choice.source, choice.config)
    return [
        PairCard(
            place_of(starts, pair.document),
            pair.image,
            pair.sentence,
            pair.score,
            str(pair.status),
            str(pair.outcome),
            f"{chip(*PAIR_STATUSES[pair.status])}<br>document: {outcome_chip(pair.outcome)}",
        )
        for pair in found
    ]


def _different(choice: Choice, difference: Difference, loses: str) -> PairCard:
    starts = data.starts_of(choice.source, choice.config)
    words = f"{_short(loses)}: image unmatched"
    if difference.other_sentence is not None:
        number, score = difference.other_sentence + 1, difference.other_score
        words = f"{_short(loses)}: sentence {number}, {score:.4f}"
    return PairCard(
        place_of(starts, difference.document),
        difference.image,
        difference.sentence,
        difference.score,
        "",
        "",
        words,
    )


def _gallery(
    choice: Choice, name: str, title: str, cards: Sequence[PairCard], without: str
) -> None:
    """Draw cards in rows, as many per row as fit."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(title, anchor=False, width="content")
        if cards:
            html.csv_button(f"pairs-{name}", _HEAD, lambda: _rows(choice, cards))
    if not cards:
        st.text(without)
        return
    with st.container(horizontal=True, gap="small", key=f"gallery-{name}"):
        for number, card in enumerate(cards):
            with st.container(border=True, width=212):
                _draw(choice, card)
                if st.button("Open document", key=f"open-{name}-{number}", type="tertiary"):
                    state.put_filters()
                    state.go_to_document(choice.source, *card.place)


def _rows(choice: Choice, cards: Iterable[PairCard]) -> list[tuple[object, ...]]:
    columns = data.columns_of(choice.source)
    found: list[tuple[object, ...]] = []
    for card in cards:
        part, row = card.place
        key = str(columns[part].batch.column("key")[row])
        numbers_ = (card.image + 1, card.sentence + 1, card.score)
        found.append((columns[part].shard.name, key, *numbers_, card.status, card.outcome))
    return found


def _draw(choice: Choice, card: PairCard) -> None:
    try:
        seen = document_data.thumbnail_of(choice.source, *card.place, card.image, card.sentence)
    except ShardError as error:
        seen, problem = Thumbnail(None, None), str(error)
    else:
        problem = "(no text)"
    picture = '<span class="mmc-none">no image</span>'
    if seen.picture is not None:
        picture = f'<img src="{seen.picture}" alt="image {card.image + 1}">'
    digits = 4 if not math.isfinite(card.score) or abs(card.score) < 2 else 2
    words = escaped(problem if seen.sentence is None else seen.sentence)
    st.html(
        f'<div class="mmc-card mmc-doc"><div class="mmc-card-picture">{picture}</div>'
        f'<div class="mmc-card-score mmc-num">{card.score:.{digits}f}</div>'
        f'<div class="mmc-card-words" dir="auto">{words}</div>'
        f'<div class="mmc-card-foot">{card.foot}</div></div>'
    )
