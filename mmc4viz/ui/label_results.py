"""What the labels say, drawn: precision by threshold, a proposal, what to label next, agreement.

Estimates come from the core; files of labels go in and out as CSV here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz import charts
from mmc4viz.choice.labelling import labels_csv, planning, store, strata
from mmc4viz.choice.labelling.by_precision import propose
from mmc4viz.choice.labelling.design import Design
from mmc4viz.choice.labelling.labelled import Labelled, remarks
from mmc4viz.choice.labelling.precision import LabelledSample, curve
from mmc4viz.choice.labelling.store import LabelsError
from mmc4viz.choice.proposal import Proposal
from mmc4viz.ui import inspector, label_file, numbers, proposed, state
from mmc4viz.ui.inert import escaped, note
from mmc4viz.ui.markup import table
from mmc4viz.ui.proposals import LIKELY, PRECISION
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import read_start
from mmc4viz.ui.threshold import number

_WIDTH, _FOCUS = "l.width", "l.focus"
_HEAD: Final = (
    "threshold", "labels", "wrong", "precision", "low", "high", "kept", "kept_low", "kept_high",
)  # fmt: skip
_TOLD: Final = "label-told"


def focus_of(choice: Choice) -> float | None:
    """Return the threshold that is labelled for, None for all in question."""
    return choice.config.threshold if state.get(_FOCUS) == "threshold" else None


def show(path: str, design: Design | None, choice: Choice) -> None:
    """Draw the results, and the way in and out for labels."""
    inspector.load_styles()
    if st.session_state.get(_TOLD):
        note(*st.session_state.pop(_TOLD))
    if design is None:
        note(f"No sample is drawn yet for {choice.config.clip_model}: label pairs first.")
        _in_and_out(path, choice)
        return
    found = label_file.findings_for(path, design, choice)
    _account(found.labelled)
    if len(found.labelled.sample):
        place = proposed.row("label-wanted")
        with place:
            wanted = _asked("Wanted precision", PRECISION, LIKELY, 0.5, 0.999, 0.01)
        proposal = propose(found.labelled.sample, wanted)
        _proposal(proposal, choice, place)
        _curves(found, proposal, wanted, choice)
        _now(found.labelled.sample, choice)
        _agreement(found)
    _in_and_out(path, choice)


def _asked(words: str, name: str, default: float, least: float, most: float, step: float) -> float:
    """Ask for a number that stands in the address."""
    key = f"label-{name}"
    wish = number(state.get(name), default)
    state.seed(key, wish if least <= wish <= most else default)
    value = float(st.number_input(words, least, most, step=step, key=key, width=180))
    state.put(name, None if value == default else f"{value:g}")
    return value


def _account(found: Labelled) -> None:
    """Say how many labels there are, and what becomes of each."""
    sample = found.sample
    right = int(sample.correct.sum())
    note(
        f"{len(sample):,} labels count: {right:,} right, {len(sample) - right:,} wrong. "
        f"{found.drawn:,} pairs are drawn; {found.waiting:,} of them have no answer, because they "
        "wait or were skipped by all who saw them: pairs of like score stand for them."
    )
    for remark in remarks(found):
        note(remark)


def _proposal(found: Proposal, choice: Choice, place: DeltaGenerator) -> None:
    """Say which threshold is proposed, or why none."""
    proposed.show(found, choice, proposed.promise(found), place)
    if found.threshold is None and found.labels_needed:
        least = "At least" if found.estimate is None else "About"
        note(f"{least} {found.labels_needed:,} more labels there would settle it.")


def _curves(found: label_file.Findings, proposal: Proposal, wanted: float, choice: Choice) -> None:
    """Draw the curves side by side, with their numbers to download."""
    t, sample = choice.config.threshold, found.labelled.sample
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("By threshold", anchor=False, width="content")
        numbers.offer("precision", _HEAD, lambda: _rows(found))
    left, right = st.columns([3, 2])
    left.plotly_chart(
        charts.precision(found.curve, t, wanted, proposal.threshold),
        key="label-precision",
        config=inspector.STILL,
        alt="Precision and share of right pairs kept against the threshold, with 95 % intervals",
    )
    low, high = (float(end) for end in (sample.score.min(), sample.score.max()))
    right.plotly_chart(
        charts.probability(found.isotonic, t, (low, high)),
        key="label-probability",
        config=inspector.STILL,
        alt="Probability of being right against the score, by isotonic regression",
    )


def _rows(found: label_file.Findings) -> list[Sequence[Any]]:
    c = found.curve
    columns = (c.thresholds, c.labels, c.wrong, *vars(c.precision).values(),
               *vars(c.kept).values())  # fmt: skip
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _now(sample: LabelledSample, choice: Choice) -> None:
    """Say what is known at the present threshold, and what to label next."""
    t = choice.config.threshold
    here = curve(sample, np.array([t]))
    st.subheader(f"At {t:g}", anchor=False)
    labels, wrong = int(here.labels[0]), int(here.wrong[0])
    if not labels:
        note("No label is of a pair at or above this threshold.")
        return
    p, k = here.precision, here.kept
    st.html(
        f'<div class="mmc-finding"><div class="mmc-large mmc-num">{p.estimate[0]:.1%}</div>'
        f"<p>of the pairs are right ({p.low[0]:.1%} to {p.high[0]:.1%}), from {labels:,} labels, "
        f"{wrong:,} of them wrong. {k.estimate[0]:.1%} of all right pairs are kept "
        f"({k.low[0]:.1%} to {k.high[0]:.1%}).</p></div>"
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        width = _asked("Wanted width of the interval", _WIDTH, 0.1, 0.01, 0.5, 0.01)
        note(_more(sample, t, width))
    state.seed("label-focus", state.get(_FOCUS) == "threshold")
    st.toggle(
        f"Label these next: the pairs that narrow the interval at {t:g} most",
        key="label-focus",
        on_change=lambda: state.put(
            _FOCUS, "threshold" if st.session_state["label-focus"] else None
        ),
        help="Otherwise labels are spread over all thresholds in question.",
    )


def _more(sample: LabelledSample, threshold: float, width: float) -> str:
    """Say how many labels a width takes."""
    labelled, right = sample.counts()
    over = strata.above(sample.scores, sample.edges, np.array([threshold]))[0]
    more = planning.needed(sample.population, over, labelled, right, width)
    if more is None:
        return "No number of labels brings the interval there."
    if not more:
        return "The interval is that narrow already."
    return f"About {more:,} more labels, given where they help most, bring the interval there."


def _agreement(found: label_file.Findings) -> None:
    """Write Cohen's κ of every two people."""
    st.subheader("Agreement between people", anchor=False)
    if not found.agreements:
        note("No pair was judged by two people yet; one in five is shown to a second person.")
        return
    rows = [
        (
            escaped(f"{a.people[0]} and {a.people[1]}"),
            f"{a.pairs:,}",
            f"{a.agreed / a.pairs:.0%}",
            "–" if a.kappa is None else f"{a.kappa:.2f}",
        )
        for a in found.agreements
    ]
    caption = (
        "On pairs of which both were sure. Cohen’s κ: 1 is full agreement, 0 what chance gives; "
        "none (–) where both said one thing only."
    )
    st.html(f'<div class="mmc-doc">{table(("people", "pairs", "agree", "κ"), rows, caption)}</div>')


def _in_and_out(path: str, choice: Choice) -> None:
    """Offer the labels as CSV, and take some in."""
    st.subheader("Labels as a file", anchor=False)
    note(f"They stand in {path}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if os.path.exists(path):
            st.download_button(
                "Export CSV",
                data=lambda: labels_csv.written(path),
                file_name="mmc4viz-labels.csv",
                mime="text/csv",
                on_click="ignore",
                icon=":material/download:",
            )
        if read_start().read_only:
            note("Read-only: no labels are taken here.")
            return
        with st.popover("Import CSV"):
            given = st.file_uploader("Labels as this page exports them", type="csv")
            if given is not None and st.button("Take these labels in"):
                _take(path, given.getvalue(), given.name)
                st.rerun()


def _take(path: str, content: bytes, name: str) -> None:
    """Take labels in; what is wrong is said when the page is drawn."""
    try:
        store.create(path)
        new, there = labels_csv.taken(path, content.decode("utf-8-sig"), name)
    except UnicodeDecodeError:
        st.session_state[_TOLD] = f"{name}: is no text in UTF-8", "error"
    except LabelsError as error:
        st.session_state[_TOLD] = str(error), "error"
    else:
        words = f"{new:,} labels came in; {there:,} were there already."
        st.session_state[_TOLD] = words, "note"
