"""The card that is labelled: image and sentence side by side, answered by a key or a click.

The answer comes back with the place of the pair that was on screen when it was given, so that none
goes to another one. What the card shows says nothing of score, status or model.
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
from mmc4viz.ui.html import asset

KEY: Final = "label-card"
UNDO: Final = "undo"
_COOKIE: Final = "mmc4viz-name"
_ANSWER: Final = re.compile(r"(\d{1,9})/([a-z]+)", re.ASCII)


@dataclass(frozen=True)
class LabelCard:
    """A pair as it is shown.

    Attributes
    ----------
    place : int
        Its position in the queue.
    picture : str or None
        A JPEG as a data URI.
    sentence : str
    before, after : tuple of str
        The sentences around it.
    problem : str
        Why there is nothing to see, empty if there is.
    """

    place: int
    picture: str | None
    sentence: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    problem: str = ""


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.label",
    html='<div class="label"></div>',
    css=asset("label.css"),
    js=asset("label.js"),
)


def show(
    card: LabelCard, person: str, done: int, wanted: int, told: Callable[[int, str], None]
) -> None:
    """Draw the card.

    Parameters
    ----------
    card : LabelCard
    person : str
        Remembered by the browser, so that the name is asked for once.
    done, wanted : int
        Labels that there are and that are wanted, for the bar of progress.
    told : callable
        Called with the pair's position and an `Answer` or `UNDO`.
    """
    _MOUNT(
        key=KEY,
        data={
            "place": card.place,
            "picture": card.picture,
            "sentence": plain(card.sentence),
            "before": [plain(text) for text in card.before],
            "after": [plain(text) for text in card.after],
            "problem": card.problem,
            "person": person,
            "cookie": _COOKIE,
            "done": done,
            "wanted": wanted,
            "serial": st.session_state.setdefault("label-serial", uuid4().hex),
        },
        on_answer_change=lambda: _told(told),
    )


def _told(told: Callable[[int, str], None]) -> None:
    """Pass an answer on, if it makes sense; the card then knows that it was heard."""
    st.session_state["label-serial"] = uuid4().hex
    value = st.session_state[KEY].get("answer")
    found = _ANSWER.fullmatch(value) if isinstance(value, str) else None
    if found and found[2] in (UNDO, *map(str, Answer)):
        told(int(found[1]), found[2])


def remembered() -> str:
    """Return the name that this browser was given before, empty without any."""
    return unquote(st.context.cookies.get(_COOKIE, ""))[:200]
