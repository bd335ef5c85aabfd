"""The page Near threshold: a contact sheet of pairs by score, and galleries of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz.data.scale import Scale
from mmc4viz.sweep.pairs import (
    Difference,
    PairOutcome,
    highest_dropped,
    judged,
    lowest_kept,
)
from mmc4viz.types import PairStatus
from mmc4viz.ui import data, fields, state
from mmc4viz.ui.components import contact_sheet, gallery
from mmc4viz.ui.components.contact_sheet import SheetHalf, SheetScores
from mmc4viz.ui.components.control import Steered
from mmc4viz.ui.components.gallery import Card
from mmc4viz.ui.html import ASSIGNMENTS, PAIR_STATUSES, csv_button, many, note, outcome_meaning
from mmc4viz.ui.sidebar import Choice

_VIEWS: Final = {
    "around": "By score",
    "lost": "Highest dropped",
    "kept": "Lowest kept",
    "between": "Assignment differences",
}
_SIZES: Final = (12, 24, 48)
_COLUMNS: Final = ("score", "status", "outcome")
_VIEW, _SIZE, _OTHER = "b.view", "b.n", "b.other"
_FROM, _TO = "b.from", "b.to"
_PAGES: Final = {"below": "b.below", "above": "b.above"}


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
    with st.container(key="near-pairs"):
        view, size = _choose()
        {"around": _around, "lost": _lost, "kept": _kept, "between": _between}[view](choice, size)


def page_of(side: str, pages: int) -> int:
    """Return which page of a side is shown, counted from 1."""
    page = min(state.whole(_PAGES[side], 1, 1, 10**9), pages)
    turn(side, page)
    return page


def choose_size() -> int:
    """Draw the choice of how many pairs are on a page."""
    return fields.one_of(st.selectbox, "Pairs per page", _SIZES, "near-size", _SIZE, width=140)


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
        size = choose_size()
    return view, size


def _around(choice: Choice, size: int) -> None:
    """Draw the pairs on both sides of the threshold."""
    pairs, within = data.pairs_for(choice.source, choice.config), score_bounds()
    first, cut, last = pairs.sides(choice.config.threshold, *within)
    if within != (None, None):
        name_bounds(choice.scale, within, last - first)
    below = _half(choice, "below", range(cut - 1, first - 1, -1), size)
    above = _half(choice, "above", range(cut, last), size)
    contact_sheet.show(
        Steered(choice.config.threshold, choice.scale, choice.span, choice.keep),
        below,
        above,
        SheetScores(
            data.spread_of(choice.source, choice.config).counts, choice.config.clip_model, within
        ),
        turn,
        partial(gallery.mount, choice.source),
    )
    cards = [*below.cards[::-1], *above.cards]
    csv_button(*gallery.table(choice.source, "pairs-around", cards, _COLUMNS))


def _half(choice: Choice, side: str, numbers: range, size: int) -> SheetHalf:
    """Return a page of the pairs on one side, given by their numbers, nearest first."""
    pages = max(1, math.ceil(len(numbers) / size))
    page = page_of(side, pages)
    first = (page - 1) * size
    pairs, matched = (
        data.pairs_for(choice.source, choice.config),
        data.matched_of(choice.source, choice.config),
    )
    found = judged(matched, choice.config, pairs, numbers[first : first + size])
    return SheetHalf(list(_cards(choice, found)), page, pages, first + 1)


def turn(side: str, page: int) -> None:
    """Store which page of a side is asked for."""
    state.put(_PAGES[side], None if page <= 1 else str(page))


def score_bounds() -> tuple[float | None, float | None]:
    """Return the range of scores in the address."""
    low, high = (state.understood(name, state.finite, "a score") for name in (_FROM, _TO))
    if low is not None and high is not None and low >= high:
        state.misread(_TO, f"above {low:.12g}")
        state.put(_FROM, None)
        return None, None
    return low, high


def name_bounds(scale: Scale, within: tuple[float | None, float | None], count: int) -> None:
    """Say which scores are shown, with a button that shows all."""
    low, high = (None if end is None else f"{end:.{scale.digits}f}" for end in within)
    if low is None:
        scores = f"scoring below {high}"
    elif high is None:
        scores = f"scoring {low} or more"
    else:
        scores = f"scoring {low} to below {high}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="near-range"):
        st.text(f"{many(count, 'pair')} {scores}", width="content")
        st.button(
            "Show all scores", on_click=_clear_range, type="tertiary", icon=":material/close:"
        )


def _clear_range() -> None:
    for name in (_FROM, _TO, *_PAGES.values()):
        state.put(name, None)


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
    cards = list(_cards(choice, found, by_side=False))
    gallery.show(choice.source, f"pairs-{name}", title, cards, _COLUMNS, without)


def _cards(choice: Choice, found: Iterable[PairOutcome], *, by_side: bool = True) -> Iterator[Card]:
    """Yield cards; those on a side say what becomes of the pair if it is not what is expected."""
    for pair in found:
        dropped = pair.status is PairStatus.BELOW_THRESHOLD
        yield Card(
            data.place_of(choice.source, choice.config, pair.document),
            pair.image,
            pair.sentence,
            (pair.score, str(pair.status), str(pair.outcome)),
            pair.score,
            _score(pair.score),
            lines=(
                PAIR_STATUSES[pair.status],
                (outcome_meaning(pair.outcome), f"document: {_words(pair)}"),
            ),
            expected=by_side and (dropped or pair.reaches),
        )


def _words(pair: PairOutcome) -> str:
    return str(pair.outcome).replace("_", " ")


def _score(score: float) -> str:
    digits = 4 if not math.isfinite(score) or abs(score) < 2 else 2
    return f"{score:.{digits}f}"


def _between(choice: Choice, size: int) -> None:
    """Compare the current assignment method with another."""
    mine = choice.config.assignment
    others = [name for name in choice.config.assignments if name != mine]
    if not others:
        note(f"The loader {choice.config.loader} has no other assignment to compare with.")
        return
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
        (difference.score, "", ""),
        difference.score,
        _score(difference.score),
        lines=(("", words),),
    )
