"""A gallery of pairs, each with its image, its sentence and a button that opens its document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from mmc4viz.types import ShardError
from mmc4viz.ui import data, document_data, state
from mmc4viz.ui.html import heading, part

_COLUMNS: Final = ("shard", "key", "image", "sentence")


@dataclass(frozen=True)
class Card:
    """A pair to show.

    Attributes
    ----------
    place : (int, int)
        The document's part and row.
    image, sentence : int
        Numbered from 0.
    head, foot : str
        Text or HTML below the image, and below the sentence.
    cells : tuple
        More cells of its row in the CSV.
    """

    place: tuple[int, int]
    image: int
    sentence: int
    head: str
    foot: str
    cells: tuple[object, ...]


def show(
    source: data.CorpusKey,
    name: str,
    title: str,
    cards: Sequence[Card],
    columns: Sequence[str],
    without: str = "None.",
) -> None:
    """Draw a heading and the cards in rows, as many per row as fit.

    Parameters
    ----------
    source : data.CorpusKey
    name : str
        Of the CSV; unique on the page.
    title : str
        Text, or HTML from `mmc4viz.ui.html.part`.
    cards : sequence of Card
    columns : sequence of str
        Heads of the cards' cells in the CSV.
    without : str
        Shown if there are no cards.
    """
    if not cards:
        heading(title)
        st.text(without)
        return
    heading(title, name, (*_COLUMNS, *columns), lambda: [_row(source, card) for card in cards])
    with st.container(horizontal=True, gap="small", key=f"gallery-{name}"):
        for number, card in enumerate(cards):
            with st.container(border=True, width=212):
                _draw(source, card)
                if st.button("Open document", key=f"open-{name}-{number}", type="tertiary"):
                    state.put_filters()
                    state.go_to_document(source, *card.place)


def _row(source: data.CorpusKey, card: Card) -> tuple[object, ...]:
    part_, row = card.place
    columns = data.columns_of(source)[part_]
    key = str(columns.batch.column("key")[row])
    return columns.shard.name, key, card.image + 1, card.sentence + 1, *card.cells


def _draw(source: data.CorpusKey, card: Card) -> None:
    try:
        seen = document_data.thumbnail_of(source, *card.place, card.image, card.sentence)
    except ShardError as error:
        picture, words = None, str(error)
    else:
        picture = seen.picture
        words = "(no text)" if seen.sentence is None else seen.sentence
    st.html(part("card", picture, card.image + 1, card.head, words, card.foot))
