"""Buttons that make a file when they are pressed; why one could not be made is said in a line.

Files are made outside of a run of the page, and the browser only learns that there is none. So a
press runs the page again, which waits for the file and then shows the problem.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz.types import Mmc4vizError
from mmc4viz.ui.html import error_message, note

_OUTCOME: Final = "download-outcome"
_LOGGER: Final = "streamlit.runtime.backend_operation_handler"


@dataclass
class _Outcome:
    """What became of the files that a session asked for.

    Attributes
    ----------
    asked, made : int
        Presses, and files that were made, or could not be.
    problem : str
        Why the last one could not be made; empty if it was.
    """

    asked: int = 0
    made: int = 0
    problem: str = ""

    def press(self) -> None:
        self.asked += 1


def offer(words: str, name: str, make: Callable[[], str | bytes], mime: str | None = None) -> None:
    """Draw a button that makes and downloads a file.

    Parameters
    ----------
    words : str
    name : str
        Of the file.
    make : callable
        Returns the content; called outside of a run of the page.
    mime : str, optional
    """
    outcome = _outcome()
    st.download_button(
        words,
        data=partial(_made, outcome, make),
        file_name=name,
        mime=mime,
        on_click=outcome.press,
        icon=":material/download:",
    )


def show_problem() -> None:
    """Say why the last file could not be made, as soon as that is known."""
    outcome = _outcome()
    if outcome.made < outcome.asked:
        st.fragment(run_every=0.5)(_await)(outcome)
    elif outcome.problem:
        note(outcome.problem, "error")


def _await(outcome: _Outcome) -> None:
    if outcome.made >= outcome.asked:
        st.rerun()


def _outcome() -> _Outcome:
    found: _Outcome = st.session_state.setdefault(_OUTCOME, _Outcome())
    return found


def _made(outcome: _Outcome, make: Callable[[], str | bytes]) -> str | bytes:
    outcome.problem = ""
    try:
        return make()
    except Exception as error:
        known = isinstance(error, Mmc4vizError)
        outcome.problem = str(error) if known else error_message(error)
        raise
    finally:
        outcome.made += 1


def _in_a_line(record: logging.LogRecord) -> bool:
    """Log an error that people are told in a line without its traceback."""
    error = record.exc_info[1] if record.exc_info else None
    cause = None if error is None else error.__cause__
    if isinstance(cause, Mmc4vizError):
        record.msg, record.args, record.exc_info = str(cause), (), None
    return True


logging.getLogger(_LOGGER).addFilter(_in_a_line)
