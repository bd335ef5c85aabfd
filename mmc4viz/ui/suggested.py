"""Proposals on the page Tune: fields for what is wished for, and what each way of choosing says.

Draws; the numbers are the core's, by way of `proposals`. What takes long goes on in the background.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import streamlit as st

from mmc4viz.choice.proposal import Proposal
from mmc4viz.choice.steps import YIELDS
from mmc4viz.model import ConfigError, Mmc4vizError
from mmc4viz.ui import inspector, jobs, proposals, proposed, state
from mmc4viz.ui.estimated import FAILED
from mmc4viz.ui.inert import note
from mmc4viz.ui.proposals import Answer, Waiting
from mmc4viz.ui.sidebar import Choice

_HELP: Final = "A share, as in 50%, or a number. Several wishes are granted all at once."
_LONGEST: Final = 30  # characters of a wish
_WAIT: Final = "Waits until every document is matched."
_SAMPLED: Final = (
    "Not from a sample: it comes in whole shards, and the interval would be too narrow. Set the "
    "sample in the sidebar to 0."
)


def show(choice: Choice) -> None:
    """Draw the section."""
    inspector.load_styles()
    st.subheader("Proposals", anchor=False)
    with st.container(key="proposals"):
        waiting = [
            found
            for found in (_yield(choice), _fdr(choice), _precision(choice))
            if isinstance(found, Waiting)
        ]
    if waiting:
        _wait(waiting)


def _field(label: str, name: str, placeholder: str, words: str, width: int = 130) -> None:
    """Draw a line of text that stands in the address."""
    key = f"wish-{name}"
    state.seed(key, state.get(name)[:_LONGEST])

    def keep() -> None:
        state.put(name, st.session_state[key].strip() or None)

    st.text_input(
        label, key=key, placeholder=placeholder, help=words, width=width, max_chars=_LONGEST,
        on_change=keep,
    )  # fmt: skip


def _yield(choice: Choice) -> Answer:
    """Ask what is to be left, and propose."""
    place = proposed.row("wishes-yield")
    with place:
        for name, short in proposals.KEEP.items():
            example = "50%" if name == "documents" else ""
            words = name.replace("_", " ")
            _field(
                f"Keep {words}" if name == YIELDS[0] else words.capitalize(), short, example, _HELP
            )
    try:
        found = proposals.of_yield(choice)
    except ConfigError as error:
        note(str(error))
        return None
    if isinstance(found, Proposal):
        proposed.show(found, choice, _left(found, choice), place)
    return found


def _left(found: Proposal, choice: Choice) -> str:
    """Say what of the wished is left."""
    if found.threshold is None:
        return ""
    needed = proposals.needed(choice)
    parts = [
        f"{found.left[name]:,.10g} {name.replace('_', ' ')}, {float(amount):,.10g} wished for"
        for name, amount in needed.items()
    ]
    exact = "" if choice.source.sample is not None else " Counted, so no interval."
    return f"is the highest threshold that leaves {'; '.join(parts)}.{exact}"


def _fdr(choice: Choice) -> Answer:
    """Ask how many pairs may be wrong, and propose without labels: not unless it is opened."""
    with st.expander("Without labels", expanded=bool(state.get(proposals.FDR))):
        note(FAILED)
        return _without_labels(choice)


def _without_labels(choice: Choice) -> Answer:
    place = proposed.row("wishes-fdr")
    with place:
        _field("Pairs wrong at most, estimated without labels", proposals.FDR, "10%",
           "A share, as in 10%. Estimated in the background from at most 10,000 documents; where "
           "it cannot be told, it says so.", 330)  # fmt: skip
    try:
        found = proposals.of_fdr(choice)
    except ConfigError as error:
        note(str(error))
        return None
    if found is None and state.get(proposals.FDR):
        note(_SAMPLED if choice.whole == choice.source else _WAIT)
    if isinstance(found, Proposal):
        proposed.show(found, choice, proposed.rate(found), place)
    return found


def _precision(choice: Choice) -> Answer:
    """Propose by labels, where there are any."""
    try:
        design = proposals.design_here(choice)
        found = proposals.of_precision(choice, design)
    except Mmc4vizError as error:
        note(f"No proposal from labels: {error}")
        return None
    place = proposed.row("wishes-precision")
    if choice.source.sample is not None:
        note(
            "By precision, from labels: not of a sample."
            if choice.whole == choice.source
            else _WAIT
        )
    elif design is None:
        note("By precision, from labels: there are none yet for this model and setting.")
        with place:
            st.page_link(st.session_state["pages"]["Label"], label="Label pairs")
    elif found is None:
        note(_WAIT)
    else:
        with place:
            _ask_precision()
    if isinstance(found, Proposal):
        proposed.show(found, choice, proposed.promise(found), place)
    return found


def _ask_precision() -> None:
    """Ask for the wanted precision, which the page Label asks for as well."""

    def keep() -> None:
        try:
            value = proposals.share(st.session_state["wish-precision"])
        except ConfigError:
            value = proposals.LIKELY
        state.put(proposals.PRECISION, None if value == proposals.LIKELY else f"{value:g}")
        state.begin_anew()

    state.seed("wish-precision", f"{100 * proposals.wanted_precision():g}%")
    st.text_input(
        "Pairs right at least, from labels",
        key="wish-precision",
        width=330,
        on_change=keep,
        max_chars=_LONGEST,
        help="A share from 50% to 99.9%.",
    )


def _wait(waiting: Sequence[Waiting]) -> None:
    """Say what is computed, and draw the page anew when it is there."""
    turns = itertools.count()

    @st.fragment(run_every=0.5)
    def wait() -> None:
        first = next(turns) == 0
        for one in waiting:
            if first and not jobs.is_known(one.key):
                note(f"{one.words} …")  # it begins when the page stands
                continue
            job = jobs.ask(one.key, one.work)
            if job.error is not None:
                note(str(job.error), "error")
            elif job.running:
                note(f"{one.words} …")
            elif one.ready():
                jobs.forget(one.key)
                st.rerun()
            else:
                note(f"{one.words} ended without an answer", "error")

    wait()
