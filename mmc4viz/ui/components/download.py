"""Buttons that make a file when they are pressed; why one could not be made is said in a line.

Files are made outside of a run of the page, and the browser only learns that there is none. So a
press runs the page again, once: that run ends when the file is made, or with the problem. Streamlit
would lose the file in three ways. What is said to the browser before a run begins is dropped: the
file waits for the run. What can be pressed is forgotten after one run: the run waits for the file.
A file is deleted after two runs, fetched or not: no other may follow by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Condition
from typing import Final

import streamlit as st

from mmc4viz.types import Mmc4vizError
from mmc4viz.ui.html import error_message, note

_OUTCOME: Final = "download-outcome"
_LOGGER: Final = "streamlit.runtime.backend_operation_handler"
_LOOK: Final = 0.25  # seconds between two looks whether a person did something else meanwhile
_LATE: Final = 30.0  # seconds after which a press, or its run, is taken for lost on its way


@dataclass
class _Outcome:
    """What became of the files that a session asked for.

    Attributes
    ----------
    asked, begun, made : int
        Presses, files that were begun, and files that were made, or could not be.
    pressed : float
        When the last button was pressed, in seconds.
    problem : str
        Why the last one could not be made; empty if it was.
    changed : Condition
        Is notified of each press, and when a file was made.
    """

    asked: int = 0
    begun: int = 0
    made: int = 0
    pressed: float = 0.0
    problem: str = ""
    changed: Condition = field(default_factory=Condition)

    def press(self) -> None:
        """Expect one more file; it may have been begun already."""
        with self.changed:
            self.asked, self.pressed = self.asked + 1, time.monotonic()
            self.changed.notify_all()

    def make(self, content: Callable[[], str | bytes]) -> str | bytes:
        """Return the content of a file."""
        self.begun, self.problem = self.begun + 1, ""
        try:
            return content()
        except Exception as error:
            known = isinstance(error, Mmc4vizError)
            self.problem = str(error) if known else error_message(error)
            raise
        finally:
            with self.changed:
                if not self.changed.wait_for(lambda: self.asked >= self.begun, _LATE):
                    self.asked = self.begun
                self.made += 1
                self.changed.notify_all()

    def is_awaited(self) -> bool:
        """Wait a moment for the last file; return whether it is still to come."""
        with self.changed:
            self.changed.wait_for(lambda: self.made >= self.asked, _LOOK)
        if self.begun < self.asked and time.monotonic() > self.pressed + _LATE:
            self.asked = self.begun
        return self.made < self.asked


def offer(
    words: str,
    name: str,
    make: Callable[[], str | bytes],
    mime: str = "application/octet-stream",
    key: str = "",
) -> None:
    """Draw a button that makes and downloads a file.

    Parameters
    ----------
    words : str
    name : str
        Of the file.
    make : callable
        Returns the content; called outside of a run of the page.
    mime, key : str, optional
        The key is needed if a page offers two files of that name.
    """
    outcome = _outcome()
    st.download_button(
        words,
        data=partial(outcome.make, make),
        file_name=name,
        mime=mime,
        key=f"offer-{key or name}",
        on_click=outcome.press,
        icon=":material/download:",
    )


def show_problem() -> None:
    """Wait for the file that was asked for, then say why it could not be made, if so."""
    outcome, place = _outcome(), st.empty()
    while outcome.is_awaited():
        place.caption("Making the file…")  # here, a press elsewhere ends this run
    place.empty()
    if outcome.problem:
        note(outcome.problem, "error")


def _outcome() -> _Outcome:
    found: _Outcome = st.session_state.setdefault(_OUTCOME, _Outcome())
    return found


def _in_a_line(record: logging.LogRecord) -> bool:
    """Log an error that people are told in a line without its traceback."""
    error = record.exc_info[1] if record.exc_info else None
    cause = None if error is None else error.__cause__
    if isinstance(cause, Mmc4vizError):
        record.msg, record.args, record.exc_info = str(cause), (), None
    return True


logging.getLogger(_LOGGER).addFilter(_in_a_line)
