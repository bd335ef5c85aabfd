"""Thresholds of two CLIP models that are estimated to be equally pure. Draws; computes nothing."""

from __future__ import annotations

from typing import Final

import streamlit as st

from mmc4viz.choice.comparing.cells import agreed, values
from mmc4viz.choice.comparing.equal_fdr import match_by_fdr
from mmc4viz.choice.comparing.models import Match, NoMatch
from mmc4viz.ui import compared
from mmc4viz.ui.compared import Side
from mmc4viz.ui.inert import escaped, note
from mmc4viz.ui.markup import table

FAILED: Final = (
    "Supposes one right sentence an image and independent noise. Right on simulated corpora, it "
    "failed on real MMC4 pages, where several sentences fit an image: prefer labels."
)
_WORDS: Final = {"fdr": "false-discovery rate", "precision": "precision"}


def show_fdr(first: Side, second: Side, threshold: float) -> None:
    """Draw which thresholds have the same false-discovery rate, as estimated without labels."""
    st.subheader("Without labels", anchor=False)
    note(FAILED)
    if not st.toggle("Estimate without labels", key="models-fdr"):
        return
    estimates = compared.fdr_of(first), compared.fdr_of(second)
    candidates = compared.candidate(first), compared.candidate(second)
    equally_pure(match_by_fdr(*candidates, estimates, threshold), first, second)


def equally_pure(match: Match | NoMatch, first: Side, second: Side) -> None:
    """Say which thresholds are estimated to be equally pure, or why none are."""
    words = _WORDS[match.by]
    if isinstance(match, NoMatch):
        note(f"No threshold of equal {words}: {match.reason}.")
        return
    names = escaped(first.name), escaped(second.name)
    row = (
        words, f"{match.first:.12g}", f"<b>{match.second:.12g}</b>", *values(match),
        *agreed(match),
    )  # fmt: skip
    heads = (
        "equal in", *names, f"of {names[0]}", f"of {names[1]}", "documents agreed", "pairs agreed",
    )  # fmt: skip
    good = "low" if match.by == "fdr" else "high"
    caption = (
        f"The lowest threshold of {names[1]} whose {words} is estimated to be as {good}, with 95 % "
        f"intervals; from {escaped(match.rests_on)}."
    )
    st.html(table(heads, [row], caption))
