"""Progress of long work, which the person's next change abandons.

Streamlit ends a run from within the calls that draw; so work that reports its progress here can be
left at every report, after which `Memo` holds nothing of it. Computes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

_PLACE: ContextVar[DeltaGenerator | None] = ContextVar("place", default=None)
_SHOWN: ContextVar[Callable[[int, int], None] | None] = ContextVar("shown", default=None)
_EVERY = 0.1  # seconds between reports
_PATIENCE = 1.0  # seconds before anything is shown


def make_room() -> None:
    """Reserve the place of the bar, so that its coming and going moves nothing else."""
    _PLACE.set(st.empty())


@contextmanager
def progress(words: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar when a second has passed; the function it gives is told what was done since.

    Parameters
    ----------
    words : str
        What is done, of our own making.
    total : int, optional
        Everything there is to do; without it only the words are shown.
    """
    place: DeltaGenerator | None = None
    began = last = time.monotonic()
    done = 0

    def show(count: int, ahead: int = 0) -> None:
        nonlocal last, done, place
        done += count
        now = time.monotonic()
        if now - last < _EVERY:
            return
        last = now
        if get_script_run_ctx(suppress_warning=True) is None:
            return  # a file that is made for a download: no page runs that could show it
        if place is None:
            place = _PLACE.get() or st.empty()
        if now - began < _PATIENCE:
            place.empty()
        elif ahead:
            place.progress(0.0, f"{words}: {ahead:,} before you …")
        elif total:
            share = min(1.0, done / total)
            place.progress(share, f"{words}: {done:,} of {total:,} documents")
        else:
            place.progress(0.0, f"{words}: {done:,} documents" if done else f"{words} …")

    token = _SHOWN.set(show)
    try:
        yield show
    except MemoryError as error:
        raise MemoryError(f"{words}: {error}".rstrip(": ")) from error
    finally:
        _SHOWN.reset(token)
    if place is not None:
        place.empty()


def pulse(ahead: int) -> None:
    """Say that the work shown waits, for others ``ahead`` of it; the person may abandon it here."""
    show = _SHOWN.get()
    if show is not None:
        show(0, ahead)
