"""What each knob does: a yield against every other setting, once the rest of the page stands.

From a fixed random sample, marked as an estimate; exact on request, and for a small corpus. Either
way every setting is summed up once for all thresholds: as the line moves, this is a look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz.corpus.estimate import Rate
from mmc4viz.corpus.knobs import Effect, Pool, estimated, exact, pool, variations
from mmc4viz.corpus.matched import Matched, match_corpus
from mmc4viz.corpus.scales import Thresholds
from mmc4viz.model import LoaderConfig
from mmc4viz.ui import data, multiples, numbers, state
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.multiples import TITLES, Point
from mmc4viz.ui.progress import progress
from mmc4viz.ui.sidebar import Choice

SAMPLE: Final = 20_000  # documents
_POOLS: Memo[Pool] = Memo()
_MATCHED: Memo[Matched] = Memo()
_RATES: Memo[dict[str, Rate]] = Memo()
_SHOWN: Final = {"image_tokens": "image tokens", "documents": "documents"}


def show(choice: Choice) -> None:
    """Draw the pictures; what takes long comes last and is abandoned by the next change."""
    source = replace(choice.whole, sample=None)
    documents = data.facts_of(choice.whole).whole or 0
    whole = choice.whole.sample is None and (documents <= SAMPLE or _asked_for(choice))
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.subheader("What each knob does", anchor=False, width="content")
        shown = st.segmented_control(
            "Yield",
            list(_SHOWN),
            default="image_tokens",
            format_func=lambda name: _SHOWN[name],
            required=True,
            key="knobs-yield",
            label_visibility="collapsed",
            width="content",
        )
    shown = shown or "image_tokens"
    st.caption(_words(choice, whole=whole, documents=documents))
    waiting = st.empty()
    if "multiples" not in st.session_state:  # later ones stand until they are drawn anew
        waiting.text("Trying every setting …")
    state.write_address()
    rates = _rates(source if choice.whole.sample is None else choice.whole, choice, whole)
    points = list(_points(rates, shown, choice, documents))
    waiting.empty()
    multiples.show(points, _SHOWN[shown], share=shown == "documents" or not documents)
    with st.container(horizontal=True):
        if not whole and choice.whole.sample is None:
            st.button("Compute exactly", on_click=_ask, args=(choice,))
        numbers.offer("knobs", ("setting", "value", "yield", "low", "high"), lambda: _rows(points))


def _words(choice: Choice, *, whole: bool, documents: int) -> str:
    what = (
        f"Each setting varied alone at {choice.config.threshold:g}; "
        "the larger dot is the present value."
    )
    if whole:
        return f"{what} Exact: all {documents:,} documents."
    drawn = choice.whole.sample or SAMPLE
    return f"{what} An estimate from {drawn:,} documents drawn at random, with 95 % intervals."


def _asked_for(choice: Choice) -> bool:
    asked = choice.whole, choice.config.with_(threshold=0.0)
    return bool(st.session_state.get("knobs-exact") == asked)


def _ask(choice: Choice) -> None:
    st.session_state["knobs-exact"] = choice.whole, choice.config.with_(threshold=0.0)


def _rates(
    source: data.Source, choice: Choice, whole: bool
) -> list[tuple[Effect, dict[str, Rate]]]:
    """Return what every value of every setting yields, at every threshold."""
    tried, found = variations(choice.config.with_(threshold=0.0)), []
    sampled = source if source.sample else replace(source, sample=SAMPLE)
    grid = data.with_reference(choice.scale)
    with progress("Trying every setting") as tell:
        for effect in tried:
            if whole:
                make = partial(_exact, source, effect.config, choice.config, grid, tell)
            else:
                make = partial(_estimated, sampled, effect.config, grid)
            key = source, whole, effect.config, choice.scale
            found.append((effect, _RATES.get(key, make)))
            tell(0)
    return found


def _exact(
    source: data.Source,
    config: LoaderConfig,
    present: LoaderConfig,
    grid: Thresholds,
    tell: data.Tell,
) -> dict[str, Rate]:
    """Answer from all documents; of a large corpus, other matchings are not kept."""
    if (config.min_kb, config.assignment) == (present.min_kb, present.assignment):
        return exact(data.matched_of(source, config), config, grid)
    columns, key = data.columns_of(source), (source, config.min_kb, config.assignment)
    if data.facts_of(source).documents > SAMPLE:
        return exact(match_corpus(columns, config, tell), config, grid)
    return exact(_MATCHED.get(key, lambda: match_corpus(columns, config)), config, grid)


def _estimated(source: data.Source, config: LoaderConfig, grid: Thresholds) -> dict[str, Rate]:
    sample = _POOLS.get(source, lambda: pool(data.drawn_of(source)))
    key = source, config.min_kb, config.assignment
    matched = _MATCHED.get(key, lambda: match_corpus([sample.columns], config))
    return estimated(sample, matched, config, grid)


def _points(
    rates: Sequence[tuple[Effect, dict[str, Rate]]], shown: str, choice: Choice, documents: int
) -> Iterator[Point]:
    """Yield points: documents as a share, image tokens of the corpus or per document."""
    times = 1 if shown == "documents" else documents or 1
    grid = data.with_reference(choice.scale)
    at = int(np.abs(grid - choice.config.threshold).argmin())
    for effect, found in rates:
        rate = found[shown]
        estimate, low, high = (times * float(v[at]) for v in (rate.estimate, rate.low, rate.high))
        present = effect.value == getattr(choice.config, effect.knob)
        yield Point(effect.knob, effect.value, estimate, low, high, present)


def _rows(points: Sequence[Point]) -> list[tuple[Any, ...]]:
    return [(TITLES[p.knob], p.value, p.estimate, p.low, p.high) for p in points]
