"""A gallery of the pairs on which two CLIP models disagree most: image, sentence, both standings.

Which pairs they are is the core's answer; images and sentences are read again from the shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import streamlit as st

from mmc4viz.choice.comparing.disagreement import Disagreement
from mmc4viz.corpus.pairs import place_of
from mmc4viz.model import ShardError
from mmc4viz.ui import compared, data, links, numbers, record, views
from mmc4viz.ui.compared import Side
from mmc4viz.ui.inert import escaped

SHOWN: Final = 8
_HEAD: Final = (
    "shard", "key", "image", "sentence", "high_with", "score", "percentile",
    "low_with", "other_score", "other_percentile", "other_sentence",
)  # fmt: skip


def show(one: Side, other: Side, digits: tuple[int, int]) -> None:
    """Draw the pairs that stand high with one model and low with another, and the reverse.

    ``digits`` are the decimals with which each model's scores are written.
    """
    _gallery("first", one, other, digits)
    _gallery("second", other, one, (digits[1], digits[0]))


def _gallery(name: str, high: Side, low: Side, digits: tuple[int, int]) -> None:
    """Draw the pairs of one model, as many in a row as fit."""
    found = compared.strongest(high, low, SHOWN)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        title = f"High with {escaped(high.name)}, low with {escaped(low.name)}"
        st.html(f'<h3 class="mmc-title">{title}</h3>', width="content")
        if found:
            numbers.offer(f"disagreements-{name}", _HEAD, lambda: _rows(found, high, low))
    if not found:
        st.text("No pair stands higher with the one than with the other.")
        return
    starts = views.starts_of(high.source, high.config)
    with st.container(horizontal=True, gap="small", key=f"disagreements-{name}"):
        for number, pair in enumerate(found):
            place = place_of(starts, pair.document)
            with st.container(border=True, width=208):
                _draw(pair, place, high, low, digits)
                if st.button("Open document", key=f"open-{name}-{number}", type="tertiary"):
                    links.put_filters()
                    links.go_to_document(high.source, *place)


def _draw(
    pair: Disagreement, place: tuple[int, int], high: Side, low: Side, digits: tuple[int, int]
) -> None:
    """Draw one pair; whatever comes from the document is escaped."""
    try:
        seen = record.glimpse(high.source, *place, pair.image, pair.sentence)
        words = seen.sentence if seen.sentence is not None else "(no text)"
        picture = seen.picture
    except ShardError as error:
        words, picture = str(error), None
    shown = '<span class="mmc-none">no picture</span>'
    if picture is not None:
        shown = f'<img src="{picture}" alt="image {pair.image + 1}">'
    standings = _standing(high, pair.score, pair.percentile, digits[0]) + _standing(
        low, pair.other_score, pair.other_percentile, digits[1]
    )
    st.html(
        f'<div class="mmc-card mmc-doc"><div class="mmc-card-picture">{shown}</div>'
        f'<div class="mmc-standings mmc-num">{standings}</div>'
        f'<div class="mmc-card-words" dir="auto">{escaped(words)}</div>'
        f'<div class="mmc-card-foot">{_instead(pair, low)}</div></div>'
    )


def _standing(one: Side, score: float, percentile: float, digits: int) -> str:
    """Write where a score stands among all matched ones of its model."""
    return (
        f"<span>{escaped(one.name)}</span><b>{_ordinal(percentile)}</b>"
        f"<span>{score:.{digits}f}</span>"
    )


def _ordinal(percentile: float) -> str:
    """Write a percentile.

    Examples
    --------
    >>> _ordinal(0.978), _ordinal(0.9999), _ordinal(0.0)
    ('98 %', '100 %', '0 %')
    """
    return f"{100 * percentile:.0f} %"


def _instead(pair: Disagreement, low: Side) -> str:
    """Say what the model with which the pair stands low does with the image."""
    name = escaped(low.name)
    if pair.other_sentence is None:
        return f"{name}: image unmatched"
    if pair.other_sentence == pair.sentence:
        return f"{name}: the same sentence"
    return f"{name}: sentence {pair.other_sentence + 1}, not {pair.sentence + 1}"


def _rows(found: Iterable[Disagreement], high: Side, low: Side) -> list[Sequence[object]]:
    columns = data.columns_of(high.source)
    starts = views.starts_of(high.source, high.config)
    rows: list[Sequence[object]] = []
    for one in found:
        part, row = place_of(starts, one.document)
        key = str(columns[part].batch.column("key")[row])
        other = "" if one.other_sentence is None else one.other_sentence + 1
        rows.append(
            (
                columns[part].shard.name,
                key,
                one.image + 1,
                one.sentence + 1,
                high.name,
                one.score,
                one.percentile,
                low.name,
                one.other_score,
                one.other_percentile,
                other,
            )
        )
    return rows
