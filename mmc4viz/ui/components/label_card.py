"""The labeling card: image and sentence side by side, answered with a key or a click.

Each answer carries the queue position of the pair it was given for, so it cannot be applied to
another pair. The card hides score, status and model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote
from uuid import uuid4

import streamlit as st

from mmc4viz.text import plain
from mmc4viz.thresholds.labels.store import Answer
from mmc4viz.ui import state
from mmc4viz.ui.html import asset, site_of

_KEY: Final = "label-card"
UNDO: Final = "undo"
_COOKIE: Final = "mmc4viz-name"
_ANSWER: Final = re.compile(r"(\d{1,9})/([a-z]+)", re.ASCII)


@dataclass(frozen=True)
class LabelCard:
    """A pair to label.

    Attributes
    ----------
    place : int
        Position in the queue.
    picture : str or None
        A JPEG as a data URI.
    sentence : str
    before, after : tuple of str
        Neighboring sentences.
    problem : str
        Why the pair cannot be shown; empty if it can.
    url : str
        Address of the image, linked to if there is no picture.
    noun : str
        What the words are: a sentence or a text.
    """

    place: int
    picture: str | None
    sentence: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    problem: str = ""
    url: str = ""
    noun: str = "sentence"


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.label",
    html='<div class="label"></div>',
    css=asset("label.css"),
    js=asset("dom.js", "label.js"),
)


def show(
    card: LabelCard, person: str, done: int, wanted: int, answered: Callable[[int, str], None]
) -> None:
    """Draw the card.

    Parameters
    ----------
    card : LabelCard
    person : str
        The annotator's name, remembered in a cookie.
    done, wanted : int
        Number of labels and target, for the progress bar.
    answered : callable
        Called with the pair's position and an `Answer` or `UNDO`.
    """
    _MOUNT(
        key=_KEY,
        data={
            "place": card.place,
            "picture": card.picture,
            "sentence": plain(card.sentence),
            "before": [plain(text) for text in card.before],
            "after": [plain(text) for text in card.after],
            "problem": card.problem,
            "site": [card.url.strip(), site_of(card.url)] if site_of(card.url) else None,
            "noun": card.noun,
            "person": person,
            "cookie": _COOKIE,
            "done": done,
            "wanted": wanted,
            "serial": st.session_state.setdefault("label-serial", uuid4().hex),
        },
        on_answer_change=lambda: _answered(answered),
    )


def _answered(answered: Callable[[int, str], None]) -> None:
    """Pass on a valid answer; the new serial number tells the card that it arrived."""
    st.session_state["label-serial"] = uuid4().hex
    value = state.asked(_KEY, "answer")
    found = _ANSWER.fullmatch(value) if isinstance(value, str) else None
    if found and found[2] in (UNDO, *map(str, Answer)):
        answered(int(found[1]), found[2])


def remembered() -> str:
    """Return the annotator name stored in this browser, empty without any."""
    return unquote(st.context.cookies.get(_COOKIE, ""))[:200]
