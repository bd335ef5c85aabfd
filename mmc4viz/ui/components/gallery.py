"""Pairs as cards, each with its image and sentence; a press enlarges one.

Every card opens its document, copies a link to it, and leads to the page Label.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from mmc4viz.charts import COLOURS
from mmc4viz.text import plain
from mmc4viz.types import ShardError
from mmc4viz.ui import data, document_data, state
from mmc4viz.ui.html import asset, heading, site_of
from mmc4viz.ui.start import read_start

_COLUMNS: Final = ("shard", "key", "image", "sentence")
_LONGEST: Final = 240  # characters of a sentence on a card
_NO_TEXT: Final = "(no text)"
_PARTS: Final = (
    "dom.js", "control_model.js", "control_draw.js", "control_move.js", "cards.js", "sheet.js",
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """A pair to show.

    Attributes
    ----------
    place : (int, int)
        The document's part and row.
    image, sentence : int
        Numbered from 0.
    cells : tuple
        More cells of its row in the CSV.
    score : float or None
        Decides on which side of the threshold it is.
    head : str
        The score as shown.
    ranks : sequence of (str, str, str)
        CLIP models with the pair's percentile and score, instead of one score.
    lines : sequence of (str, str)
        What becomes of the pair: meanings, which have colors, or empty; and words.
    expected : bool
        Whether the lines say nothing that the card's side does not; then they are enlarged only.
    """

    place: tuple[int, int]
    image: int
    sentence: int
    cells: tuple[object, ...]
    score: float | None = None
    head: str = ""
    ranks: Sequence[tuple[str, str, str]] = ()
    lines: Sequence[tuple[str, str]] = ()
    expected: bool = False

    @property
    def id(self) -> str:
        """Its name in messages from the browser."""
        return ".".join(map(str, (*self.place, self.image, self.sentence)))


MOUNT: Final = st.components.v2.component(
    "mmc4viz.gallery",
    html='<div class="gallery"></div>',
    css=asset("control.css", "gallery.css"),
    js=asset(*_PARTS),
)


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
    heading(title, *(table(source, name, cards, columns) if cards else ()))
    if cards:
        mount(source, f"gallery-{name}", {"groups": [{"cards": cards}]})
    else:
        st.text(without)


def table(
    source: data.CorpusKey, name: str, cards: Sequence[Card], columns: Sequence[str]
) -> tuple[str, Sequence[str], Callable[[], list[tuple[object, ...]]]]:
    """Return the cards as `mmc4viz.ui.html.csv_button` takes them."""
    return name, (*_COLUMNS, *columns), lambda: [_row(source, card) for card in cards]


def mount(source: data.CorpusKey, key: str, message: dict[str, Any], **callbacks: Any) -> Any:
    """Draw groups of cards in the browser, and do what is pressed on a card.

    Parameters
    ----------
    source : data.CorpusKey
    key : str
    message : dict
        With ``groups``, each with its ``cards``.
    **callbacks
        For more that the browser may report.

    Returns
    -------
    ComponentResult
        What the browser reported.
    """
    cards = [card for group in message["groups"] for card in group["cards"]]
    groups = [
        group | {"cards": [_sent(source, card) for card in group["cards"]]}
        for group in message["groups"]
    ]
    can_label = source.sample is None and not read_start().read_only
    sent = {"groups": groups, "address": state.document_address(), "label": can_label}
    found = draw(key, message | sent, lambda asked: _large(source, cards, asked), **callbacks)
    _act(source, cards, found.act, can_label=can_label)
    return found


def draw(
    key: str,
    message: dict[str, Any],
    enlarged: Callable[[object], dict[str, Any] | None],
    **callbacks: Any,
) -> Any:
    """Draw groups of cards that are ready for the browser.

    Parameters
    ----------
    key : str
    message : dict
        With ``groups``, each with its ``cards`` as `card_message` returns them.
    enlarged : callable
        Returns the large picture and whole text of the card with an id; None without one.
    **callbacks
        For more that the browser may report.

    Returns
    -------
    ComponentResult
        What the browser reported.
    """
    large = enlarged(st.session_state.get(f"{key}-large"))
    return MOUNT(
        key=key,
        data={"address": {}, "label": False} | message | {"large": large},
        on_act_change=lambda: None,
        on_enlarge_change=lambda: _enlarge(key),
        **callbacks,
    )


def _enlarge(key: str) -> None:
    st.session_state[f"{key}-large"] = state.asked(key, "enlarge")


def card_message(
    name: str,
    named: str,
    words: str,
    *,
    score: float | None,
    head: str,
    ranks: Sequence[tuple[str, str, str]] = (),
    lines: Sequence[tuple[str, str]] = (),
    expected: bool = False,
    picture: str | None = None,
    alt: str = "image",
    url: str = "",
    facts: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return what the browser needs of a card; its texts are data there.

    Parameters
    ----------
    name : str
        In messages from the browser.
    named : str
        What it shows, in words that differ between cards.
    words : str
        The text of the pair.
    score, head, ranks, lines, expected
        As of a `Card`.
    picture : str or None
        As a data URI.
    alt : str
        What the picture shows.
    url : str
        Where the image is, if it is not here; nothing but http and https becomes a link.
    facts : sequence of (str, str)
        More about it, when it is enlarged.
    """
    return {
        "id": name,
        "named": plain(named),
        "words": plain(words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"),
        "score": _ordered(score),
        "head": head,
        "ranks": list(ranks),
        "lines": [[COLOURS.get(meaning, ""), line] for meaning, line in lines],
        "expected": expected,
        "picture": picture,
        "alt": alt,
        "site": [url, site_of(url)] if site_of(url) else None,
        "facts": [[label, plain(value)] for label, value in facts],
    }


def _act(source: data.CorpusKey, cards: Sequence[Card], asked: object, *, can_label: bool) -> None:
    """Open a card's document, or go to the page Label with its pair."""
    if not isinstance(asked, list) or len(asked) != 2:
        return
    card = next((card for card in cards if card.id == asked[1]), None)
    if card is not None and asked[0] == "open":
        state.put_filters()
        state.go_to_document(source, *card.place)
    elif card is not None and asked[0] == "label" and can_label:
        place = data.place_in_corpus(source, *card.place)
        state.go_to_label(*place, card.image, card.sentence)


def _row(source: data.CorpusKey, card: Card) -> tuple[object, ...]:
    return *_document(source, card), card.image + 1, card.sentence + 1, *card.cells


def _document(source: data.CorpusKey, card: Card) -> tuple[str, str]:
    """Return a card's shard and key."""
    columns = data.columns_of(source)[card.place[0]]
    return columns.shard.name, str(columns.batch.column("key")[card.place[1]])


def _sent(source: data.CorpusKey, card: Card) -> dict[str, Any]:
    """Return what the browser needs of a card; its texts are data there."""
    try:
        seen = document_data.thumbnail_of(source, *card.place, card.image, card.sentence)
    except ShardError as error:
        picture, words, url = None, str(error), ""
    else:
        picture, words = seen.picture, _NO_TEXT if seen.sentence is None else seen.sentence
        url = "" if picture else seen.url.strip()
    shard, key = _document(source, card)
    image, sentence = f"{card.image + 1}", f"{card.sentence + 1}"
    return card_message(
        card.id,
        f"image {image} and sentence {sentence} of {key}",
        words,
        score=card.score,
        head=card.head,
        ranks=card.ranks,
        lines=card.lines,
        expected=card.expected,
        picture=picture,
        alt=f"image {image}",
        url=url,
        facts=[("Image", image), ("Sentence", sentence), ("Key", key), ("Shard", shard)],
    ) | {"doc": state.document_name(source, card.place)}


def _ordered(score: float | None) -> float | None:
    """Return a score that JSON can carry; NaN is sorted above all others.

    Examples
    --------
    >>> _ordered(0.3), _ordered(math.nan) > 1e300, _ordered(-math.inf) < -1e300
    (0.3, True, True)
    """
    if score is None or math.isfinite(score):
        return score
    return -sys.float_info.max if score < 0 else sys.float_info.max


def _large(source: data.CorpusKey, cards: Sequence[Card], asked: object) -> dict[str, Any] | None:
    """Return the enlarged image, the whole sentence and the best other sentence of a card."""
    card = next((card for card in cards if card.id == asked), None)
    if card is None:
        return None
    try:
        seen = document_data.enlarged(source, *card.place, card.image)
    except ShardError as error:
        return {"id": card.id, "picture": None, "words": str(error), "second": ""}
    texts, columns = seen.sentences, data.columns_of(source)[card.place[0]]
    words = texts[card.sentence] if card.sentence < len(texts) else _NO_TEXT
    matrix = columns.document(card.place[1]).similarity
    second = best_other(matrix, card.image, card.sentence)
    return {
        "id": card.id,
        "picture": seen.picture,
        "words": plain(words),
        "second": "" if second is None else _second(texts, *second),
    }


def _second(texts: Sequence[str], sentence: int, score: float) -> str:
    words = " ".join(texts[sentence].split()) if sentence < len(texts) else ""
    return plain(f"{score:.4g}, sentence {sentence + 1}: {words[:_LONGEST]}")


def best_other(matrix: Any, image: int, sentence: int) -> tuple[int, float] | None:
    """Return the sentence with an image's highest score except the matched one, and its score.

    None if there is none, or if the matrix is invalid.

    Examples
    --------
    >>> best_other([[0.1, 0.3, 0.2]], 0, 1), best_other([["x"]], 0, 1), best_other(None, 0, 0)
    ((2, 0.2), None, None)
    """
    try:
        scores = [(float(score), -n) for n, score in enumerate(matrix[image]) if n != sentence]
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    score, place = max((one for one in scores if math.isfinite(one[0])), default=(math.nan, 1))
    return None if place > 0 else (-place, score)
