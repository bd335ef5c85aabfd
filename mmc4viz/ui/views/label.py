"""The page Label.

Estimates come from the core; files of labels go in and out as CSV here.

While people label, the sidebar is hidden: nothing on screen tells score, status or model. Results
are another view of the page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz import charts
from mmc4viz.text import escaped
from mmc4viz.thresholds.labels import exchange, precision, queue, sampling, store
from mmc4viz.thresholds.labels.precision import Labelled, LabelledSample, curve, propose, remarks
from mmc4viz.thresholds.labels.queue import DrawnPair
from mmc4viz.thresholds.labels.sampling import Design, begin, usual_range
from mmc4viz.thresholds.labels.store import Answer, Judgement, LabelsError
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ShardError
from mmc4viz.ui import document_data, document_view, html, label_data, proposals, state
from mmc4viz.ui.components import label_card
from mmc4viz.ui.components.label_card import LabelCard
from mmc4viz.ui.html import note, table
from mmc4viz.ui.proposals import LIKELY, PRECISION
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import read_start
from mmc4viz.ui.state import number

_WIDTH, _FOCUS = "l.width", "l.focus"
_COLUMNS: Final = (
    "threshold", "labels", "wrong", "precision", "low", "high", "kept", "kept_low", "kept_high",
)  # fmt: skip
_TOLD: Final = "label-told"


def focus_of(choice: Choice) -> float | None:
    """Return the threshold that is labelled for, None for all in question."""
    return choice.config.threshold if state.get(_FOCUS) == "threshold" else None


def show_results(path: str, design: Design | None, choice: Choice) -> None:
    """Draw the results, and the way in and out for labels."""
    if st.session_state.get(_TOLD):
        note(*st.session_state.pop(_TOLD))
    if design is None:
        note(f"No sample is drawn yet for {choice.config.clip_model}: label pairs first.")
        _in_and_out(path, choice)
        return
    found = label_data.findings_for(path, design, choice)
    _account(found.labelled)
    if len(found.labelled.sample):
        place = proposals.row("label-wanted")
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
    target = number(state.get(name), default)
    state.seed(key, target if least <= target <= most else default)
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
    proposals.show_proposal(found, choice, proposals.promise(found), place)
    if found.threshold is None and found.labels_needed:
        least = "At least" if found.estimate is None else "About"
        note(f"{least} {found.labels_needed:,} more labels there would settle it.")


def _curves(found: label_data.Findings, proposal: Proposal, wanted: float, choice: Choice) -> None:
    """Draw the curves side by side, with their numbers to download."""
    t, sample = choice.config.threshold, found.labelled.sample
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("By threshold", anchor=False, width="content")
        html.offer("precision", _COLUMNS, lambda: _rows(found))
    left, right = st.columns([3, 2])
    left.plotly_chart(
        charts.precision(found.curve, t, wanted, proposal.threshold),
        key="label-precision",
        config=document_view.STILL,
        alt="Precision and share of right pairs kept against the threshold, with 95 % intervals",
    )
    low, high = (float(end) for end in (sample.score.min(), sample.score.max()))
    right.plotly_chart(
        charts.probability(found.isotonic, t, (low, high)),
        key="label-probability",
        config=document_view.STILL,
        alt="Probability of being right against the score, by isotonic regression",
    )


def _rows(found: label_data.Findings) -> list[Sequence[Any]]:
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
    over = sampling.above(sample.scores, sample.edges, np.array([threshold]))[0]
    more = precision.needed(sample.population, over, labelled, right, width)
    if more is None:
        return "No number of labels brings the interval there."
    if not more:
        return "The interval is that narrow already."
    return f"About {more:,} more labels, given where they help most, bring the interval there."


def _agreement(found: label_data.Findings) -> None:
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
                data=lambda: exchange.export_csv(path),
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
        new, there = exchange.import_csv(path, content.decode("utf-8-sig"), name)
    except UnicodeDecodeError:
        st.session_state[_TOLD] = f"{name}: is no text in UTF-8", "error"
    except LabelsError as error:
        st.session_state[_TOLD] = str(error), "error"
    else:
        words = f"{new:,} labels came in; {there:,} were there already."
        st.session_state[_TOLD] = words, "note"


VIEWS: Final = {"label": "Label", "results": "Results"}
_SAMPLED: Final = "Labels are drawn among all pairs: set the sample in the sidebar to 0."
_VIEW: Final = "l.view"
_PERSON: Final = "label-person"
_PROBLEM: Final = "label-problem"
_GOAL: Final = "l.goal"
_USUAL: Final = 200  # labels: what the intervals' coverage was measured with
_MOST: Final = 100_000
_AROUND: Final = 3  # sentences before and after
_HEAD: Final = "<style>.st-key-label-head { padding-top: 0.5rem; }</style>"
_BLIND: Final = """<style>
[data-testid="stSidebarUserContent"] { display: none; }
@media (min-width: 768px) {
  [data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] { display: none; }
}
</style>"""


def show(choice: Choice) -> None:
    """Draw the page."""
    path = label_data.path_of(choice)
    st.html(_HEAD)
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        key="label-head",
    ):
        st.title("Label", anchor=False, width="content")
        view = "results" if read_start().read_only else _view()
    if choice.source.sample is not None:
        note(_SAMPLED)
        return
    if not len(label_data.population_for(choice)):
        note("No image is matched to a sentence in these documents: nothing to label.", "error")
        return
    design = label_data.design_of(path, choice)
    if view == "results":
        show_results(path, design, choice)
        return
    person = st.session_state.get(_PERSON) or label_card.remembered()
    if design is None or not person or st.session_state.get("label-rename"):
        _begin(path, design, person, choice)
        return
    st.html(_BLIND)
    _label(path, design, store.checked_name(person), choice)


def _view() -> str:
    """Choose between labelling and results."""
    view = state.get(_VIEW) if state.get(_VIEW) in VIEWS else "label"
    state.seed("label-view", view)

    def keep() -> None:
        chosen = st.session_state["label-view"]
        state.put(_VIEW, None if chosen == "label" else chosen)

    st.segmented_control(
        "View",
        list(VIEWS),
        format_func=lambda name: VIEWS[name],
        required=True,
        key="label-view",
        on_change=keep,
        label_visibility="collapsed",
        width="content",
    )
    return view


def _begin(path: str, design: Design | None, person: str, choice: Choice) -> None:
    """Ask for the name, and for the thresholds in question where none were fixed."""
    st.text(
        "You see an image and a sentence, and say whether the sentence describes the image. "
        "Neither the score nor what becomes of the pair is shown."
    )
    _rule()
    note(f"The labels stand in {path}{'' if os.path.exists(path) else ', which is made now'}.")
    if design is None and label_data.of_others(path, choice):
        note("What was labelled in it so far is of another corpus; this one gets pairs of its own.")
    with st.form("label-begin", width=520):
        name = st.text_input("Your name", value=person, max_chars=store.LONGEST_NAME)
        goal = _goal()
        between = None if design else _between(choice)
        if st.form_submit_button("Begin", type="primary"):
            state.put(_GOAL, None if goal == _USUAL else str(goal))
            _begun(path, name, between, choice)


def _rule() -> None:
    """Write when a sentence describes an image."""
    lines = "".join(
        f"<span><b>{str(answer).capitalize()}</b></span><span>{escaped(words)}</span>"
        for answer, words in store.RULE.items()
    )
    st.html(f'<div class="mmc-doc mmc-facts">{lines}</div>', width=760)


def _goal() -> int:
    """Ask how many labels are wanted, which the bar of progress counts towards."""
    goal: int = st.number_input(
        "Labels wanted",
        1,
        _MOST,
        value=_goal_of(),
        step=20,
        help="Of all who label this file together. It is a goal to count towards, no limit: the "
        "view Results says how many more a narrower interval takes.",
    )
    return goal


def _goal_of() -> int:
    return state.whole(_GOAL, _USUAL, 1, _MOST)


def _between(choice: Choice) -> tuple[float, float]:
    """Ask for the range of thresholds in question, which fixes the strata."""
    low, high = usual_range(label_data.population_for(choice).pairs.score)
    step, form = choice.scale.step, f"%.{choice.scale.digits}f"
    st.text("Thresholds in question")
    note(
        "Cover every threshold that you may want for this model: none beyond the range is "
        "proposed, and it cannot change later. A wider one spreads the labels thinner. These keep "
        "95 % and 5 % of the pairs."
    )
    left, right = st.columns(2)
    lowest = left.number_input("from", value=_rounded(low, choice), step=step, format=form)
    highest = right.number_input("to", value=_rounded(high, choice), step=step, format=form)
    return float(lowest), float(highest)


def _rounded(value: float, choice: Choice) -> float:
    whole = choice.scale.start, choice.scale.stop
    return state.on_grid(value, choice.scale, whole)


def _begun(path: str, name: str, between: tuple[float, float] | None, choice: Choice) -> None:
    st.session_state[_PERSON] = store.checked_name(name)
    st.session_state.pop("label-rename", None)
    store.create(path)
    if between is not None:
        if between[0] > between[1]:
            raise LabelsError("the range of thresholds begins above its end")
        begin(path, choice.config, label_data.population_for(choice), choice.scale, between)
    st.rerun()


def _label(path: str, design: Design, person: str, choice: Choice) -> None:
    """Draw the next pair, and take its answer."""
    if st.session_state.get(_PROBLEM):
        note(st.session_state.pop(_PROBLEM), "error")
    population = label_data.population_for(choice)
    focus = focus_of(choice)
    found = queue.next_existing(path, design, population, person, focus)
    counts, goal = queue.counts(path, design, person), _goal_of()
    if found is None:
        note("Every pair that there is to label has been labelled by you or by others.")
        return
    drawn, place = found
    card = _card(choice, place, drawn)
    label_card.show(
        card, person, min(counts.labelled, goal), goal, partial(_told, path, design, person, choice)
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note(f"{person}: {counts.mine:,} answered. {_so_far(counts, goal)}")
        with st.popover("When yes, when no", type="tertiary"):
            _rule()
        st.button("Change name", type="tertiary", on_click=_rename)


def _so_far(counts: queue.QueueCounts, goal: int) -> str:
    """Say how far the labels are towards what is wanted.

    Examples
    --------
    >>> _so_far(queue.QueueCounts(drawn=65, labelled=20, mine=20), 200)
    '20 of 200 wanted labels are there; 45 pairs are drawn and wait, more follow.'
    """
    if counts.labelled >= goal:
        return (
            f"{counts.labelled:,} labels are there, {goal:,} were wanted: see Results. You may go "
            "on; the more labels, the narrower the intervals."
        )
    wait = counts.drawn - counts.labelled
    return (
        f"{counts.labelled:,} of {goal:,} wanted labels are there; {wait:,} pairs are drawn and "
        "wait, more follow."
    )


def _rename() -> None:
    st.session_state["label-rename"] = True


def _told(
    path: str, design: Design, person: str, choice: Choice, position: int, answer: str
) -> None:
    """Write an answer down; what is wrong with the file is said when the page is drawn."""
    try:
        if answer == label_card.UNDO:
            store.undo(path, person, design.id)
            return
        drawn = queue.at(path, design, position)
        if drawn is not None:
            said = Judgement(
                drawn.pair, person, Answer(answer), store.now(), store.own_version(),
                choice.config.clip_model, drawn.score,
            )  # fmt: skip
            store.add(path, said)
    except LabelsError as error:
        st.session_state[_PROBLEM] = f"Not saved. {error}"


def _card(choice: Choice, place: tuple[int, int], drawn: DrawnPair) -> LabelCard:
    """Read the image and the sentences again from the shard."""
    image, sentence = drawn.pair.image, drawn.pair.sentence
    try:
        seen = document_data.enlarged(choice.source, *place, image)
    except ShardError as error:
        return LabelCard(drawn.position, None, "", problem=str(error))
    texts = seen.sentences
    if sentence >= len(texts):
        return LabelCard(drawn.position, seen.picture, "(no text)")
    before, after = texts[max(sentence - _AROUND, 0) : sentence], texts[sentence + 1 :][:_AROUND]
    return LabelCard(drawn.position, seen.picture, texts[sentence], before, after)
