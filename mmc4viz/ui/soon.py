"""A large corpus: an estimate at once, exact numbers as soon as every document is matched."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Final

import streamlit as st

from mmc4viz.model import LoaderConfig
from mmc4viz.ui import data, jobs
from mmc4viz.ui.inert import note
from mmc4viz.ui.sidebar import Choice

LARGE: Final = 100_000  # documents; fewer are matched in about a second
QUICK: Final = 5_000  # documents of the estimate
_WORDS: Final = "Matching every document for exact numbers: {:,} of {:,}"


def quick(source: data.Source, config: LoaderConfig) -> data.Source:
    """Return a sample to begin with where matching every document takes long, else the source."""
    if source.sample is not None or data.facts_of(source).documents <= LARGE:
        return source
    return source if data.is_matched(source, config) else replace(source, sample=QUICK)


def show(choice: Choice) -> None:
    """Show how far the matching of every document is; draw the page anew when it is done.

    It begins when the page stands, so that nobody waits for the two at once.
    """
    source, config = choice.whole, choice.config
    key = source, config.min_kb, config.assignment
    total = data.facts_of(source).documents
    turns = itertools.count()

    @st.fragment(run_every=0.5)
    def wait() -> None:
        if next(turns) == 0 and not jobs.is_known(key):
            st.progress(0.0, _WORDS.format(0, total))
            return
        job = jobs.ask(key, lambda tell: data.prepare(source, config, tell))
        if job.error is not None:
            note(str(job.error), "error")
            return
        if not job.running:
            jobs.forget(key)
            st.rerun()
        st.progress(min(1.0, job.done / max(1, total)), _WORDS.format(job.done, total))

    wait()
