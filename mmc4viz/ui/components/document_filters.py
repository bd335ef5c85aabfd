"""Filters of the page Documents: widgets and query parameters to a query, sort order and search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from mmc4viz.slices.attributes import ATTRIBUTES
from mmc4viz.sweep.query import CONTENTS, SORTS, InSlice, Query
from mmc4viz.types import Outcome
from mmc4viz.ui import data, state
from mmc4viz.ui.html import part
from mmc4viz.ui.start import read_start
from mmc4viz.ui.state import FILTER

OUTCOMES: Final = {
    "": "any outcome",
    "kept": "kept",
    "kept_always": "always kept",
    "kept_single_image": "kept (single image)",
    **{str(o): str(o).replace("_", " ") for o in Outcome if o is not Outcome.KEPT},
}
CONTAINS: Final = {
    "": "anything",
    "pair_kept": "pair: kept",
    "pair_below_threshold": "pair: below threshold",
    "pair_over_cap": "pair: dropped at the cap",
    "pair_truncated": "pair: truncated",
    "image_missing": "image: missing",
    "image_too_small": "image: too small",
    "image_unmatched": "image: unmatched",
    "image_matched": "image: matched",
    "image_undecodable": "image: undecodable",
    "image_lost_with_document": "image: dropped with its document",
    "mispaired": "mispaired image tokens",
    "outscored": "cut at cap despite higher score",
    "one_bad_image": "dropped because of one undecodable image",
    "size_band": "image just under the size limit",
    "stored_differs": "stored score ≠ matrix",
    "same_url": "URL of another document",
    "same_image": "image that occurs again",
    "near_image": "image with a near-duplicate",
    "duplicate_differs": "duplicate with other scores",
}
ORDERS: Final = {
    "nearest": "closest to threshold",
    "best": "top score",
    "images": "images",
    "matched": "matched images",
    "surviving": "pairs at or above threshold",
    "image_tokens": "image tokens",
    "text_tokens": "text tokens",
    "mispaired": "mispaired image tokens",
    "kind": "outcome",
    "place": "position in the shards",
    "key": "key",
    "url": "URL",
}
assert set(CONTAINS) - {""} == set(CONTENTS)
assert list(ORDERS) == list(SORTS)
_LARGEST: Final = 2**53
TYPED: Final = "filter-typed"
"""Whether words to search for were just typed, which starts the search; a link does not."""
_FIELDS: Final = {"outcome": "Outcome", "has": "Contains", "sort": "Sort"}
_NAMES: Final = {
    *_FIELDS, "down", "text", "lo", "hi", "images", "images_to", "tokens", "tokens_to", "shard",
    "url", "by", "slice", "page",
}  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """A query, the sort order and words to search for."""

    query: Query
    sort: str
    upside_down: bool
    words: str


def filters_of_address() -> Filters:
    """Return the filters of the address."""
    state.known_only(FILTER, _NAMES, "a filter of this version of mmc4viz")
    query = Query(
        outcome=_one_of(OUTCOMES, "outcome", ""),
        contains=_one_of(CONTAINS, "has", ""),
        best_from=_number("lo"),
        best_to=_number("hi"),
        images_from=_whole("images"),
        images_to=_whole("images_to"),
        tokens_from=_whole("tokens"),
        tokens_to=_whole("tokens_to"),
        shard=_get("shard"),
        url=_get("url"),
        slice=_slice(),
    )
    return Filters(query, _one_of(ORDERS, "sort", "nearest"), _turned(), _get("text"))


def draw(now: Filters, step: float, digits: int) -> None:
    """Draw the filters; a change is stored before the page is redrawn."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        _select("Outcome", "outcome", OUTCOMES, now.query.outcome, 145)
        _select("Contains", "has", CONTAINS, now.query.contains, 175)
        _select("Sort", "sort", ORDERS, now.sort, 185)
        _toggle("Reverse", "down", now.upside_down)
        _text("Text", "text", now.words, 105, "Words in the document or its key, case-insensitive.")
        with st.popover(_more(now.query)):
            _more_filters(now.query, step, digits)
        if not now.query.is_empty or now.words:
            st.button("Clear filters", key="filters-clear", on_click=_clear, type="tertiary")
    if now.query.slice is not None:
        _draw_slice(now.query.slice)


def _slice() -> InSlice | None:
    """Return the slice whose documents are listed; None for the whole corpus."""
    by, name = _get("by"), _get("slice")
    if not by or not name:
        state.misread(f"{FILTER}by", "together with f.slice")
        state.misread(f"{FILTER}slice", "together with f.by")
        return None
    path = state.get(state.SLICE_TABLE)
    allowed = path and read_start().roots.allow(path)
    return InSlice(by, name, data.identify(path) if allowed else None)


def slice_filters(by: str, name: str) -> dict[str, str]:
    """Return the filters that list the documents of a slice."""
    return {"by": by, "slice": name}


def _draw_slice(of: InSlice) -> None:
    """Draw the slice whose documents are listed, with a button that removes the filter."""
    known = ATTRIBUTES.get(of.attribute)
    label = of.attribute if known is None else known.label
    with st.container(horizontal=True, vertical_alignment="center", key="filter-slice"):
        st.html(part("document", part("slice", label, of.name)), width="content")
        st.button("Clear slice", key="filter-slice-off", on_click=_leave_slice, type="tertiary")


def _leave_slice() -> None:
    for name in ("by", "slice", "page"):
        state.put(FILTER + name, None)
    state.begin_anew()


def _clear() -> None:
    """Clear every filter, but not the sort order."""
    for name in state.named(FILTER):
        if name not in ("sort", "down"):
            state.put(FILTER + name, None)
    state.begin_anew()


def sort_by(sort: str, down: bool) -> None:
    """Change the sort order and its direction, and go to the first page."""
    state.put(f"{FILTER}sort", sort)
    state.put(f"{FILTER}down", "1" if down != SORTS[sort] else None)
    state.put(f"{FILTER}page", None)
    state.begin_anew()


def _more(query: Query) -> str:
    names = ("best_from", "best_to", "images_from", "images_to", "tokens_from", "tokens_to")
    set_ = sum(getattr(query, name) is not None for name in names)
    set_ += bool(query.shard) + bool(query.url)
    return f"More filters ({set_})" if set_ else "More filters"


def _more_filters(query: Query, step: float, digits: int) -> None:
    form = f"%.{digits}f"
    _range("Top score", "lo", query.best_from, "hi", query.best_to, step=step, format=form)
    _range("Images", "images", query.images_from, "images_to", query.images_to)
    _range("Text tokens", "tokens", query.tokens_from, "tokens_to", query.tokens_to)
    _text("Shard", "shard", query.shard, "stretch", "Part of the shard's name.")
    _text("URL", "url", query.url, "stretch", "Part of the page's URL, case-insensitive.")


def _range(
    label: str, low: str, least: float | None, high: str, most: float | None, **form: Any
) -> None:
    left, right = st.columns(2)
    form = {"min_value": 0, "step": 1} | form if "format" not in form else form
    for place, name, words, value in ((left, low, "min", least), (right, high, "max", most)):
        key = _key(name)
        state.seed(key, value)
        place.number_input(
            f"{label} ({words})", key=key, value=None, on_change=_keeper(name), **form
        )


def _select(label: str, name: str, options: dict[str, str], value: str, width: int) -> None:
    state.seed(_key(name), value)
    st.selectbox(
        label,
        list(options),
        format_func=lambda option: options[option],
        key=_key(name),
        on_change=_keeper(name),
        width=width,
    )


def _toggle(label: str, name: str, value: bool) -> None:
    state.seed(_key(name), value)
    st.toggle(label, key=_key(name), on_change=_keeper(name))


def _text(label: str, name: str, value: str, width: Any, help_: str) -> None:
    state.seed(_key(name), value)
    st.text_input(
        label, key=_key(name), on_change=_keeper(name), width=width, help=help_, max_chars=500
    )


def _key(name: str) -> str:
    return f"filter-{name}"


def _keeper(name: str) -> Callable[[], None]:
    """Return a callback that stores a widget's value and goes to the first page."""

    def keep() -> None:
        value = st.session_state[_key(name)]
        if name == "text":
            st.session_state[TYPED] = bool(value)
        text = "" if value in (None, False) else str(1 if value is True else value).strip()
        state.put(FILTER + name, text or None)
        state.put(f"{FILTER}page", None)

    return keep


def _get(name: str) -> str:
    return state.get(FILTER + name)


def _turned() -> bool:
    return state.understood(f"{FILTER}down", {"1": True}.get, "1") or False


def _one_of(options: dict[str, str], name: str, default: str) -> str:
    def parse(text: str) -> str | None:
        return text if text in options else None

    found = state.understood(FILTER + name, parse, f"a choice of {_FIELDS[name]}", options[default])
    return default if found is None else found


def _number(name: str) -> float | None:
    return state.understood(FILTER + name, state.finite, "a number")


def _whole(name: str) -> int | None:
    def parse(text: str) -> int | None:
        value = state.finite(text)
        return int(value) if value is not None and 0 <= value < _LARGEST else None

    return state.understood(FILTER + name, parse, "a whole number of at least 0")
