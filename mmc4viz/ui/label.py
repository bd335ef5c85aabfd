"""The page Label: pairs judged blind, one after another, and what the judgements say.

While people label, the sidebar is hidden: nothing on screen tells score, fate or model. Results are
another view of the page (`label_results`). Draws and stores; samples and estimates are the core's.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz.choice.labelling import labels, queue, stages, store
from mmc4viz.choice.labelling.design import Design, begin
from mmc4viz.choice.labelling.labels import Answer, Judgement
from mmc4viz.choice.labelling.queue import Drawn
from mmc4viz.choice.labelling.store import LabelsError
from mmc4viz.choice.labelling.strata import usual_range
from mmc4viz.model import ShardError
from mmc4viz.ui import label_card, label_file, label_results, record, state, threshold
from mmc4viz.ui.inert import escaped, note
from mmc4viz.ui.label_card import Card
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import read_start

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
    path = label_file.path_of(choice)
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
    if not len(label_file.population_for(choice)):
        note("No image is matched to a sentence in these documents: nothing to label.", "error")
        return
    design = label_file.design_of(path, choice)
    if view == "results":
        label_results.show(path, design, choice)
        return
    person = st.session_state.get(_PERSON) or label_card.remembered()
    if design is None or not person or st.session_state.get("label-rename"):
        _begin(path, design, person, choice)
        return
    st.html(_BLIND)
    _label(path, design, labels.checked_name(person), choice)


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
    if design is None and label_file.of_others(path, choice):
        note("What was labelled in it so far is of another corpus; this one gets pairs of its own.")
    with st.form("label-begin", width=520):
        name = st.text_input("Your name", value=person, max_chars=labels.LONGEST_NAME)
        goal = _goal()
        between = None if design else _between(choice)
        if st.form_submit_button("Begin", type="primary"):
            state.put(_GOAL, None if goal == _USUAL else str(goal))
            _begun(path, name, between, choice)


def _rule() -> None:
    """Write when a sentence describes an image."""
    lines = "".join(
        f"<span><b>{str(answer).capitalize()}</b></span><span>{escaped(words)}</span>"
        for answer, words in labels.RULE.items()
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
    low, high = usual_range(label_file.population_for(choice).pairs.score)
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
    return threshold.on_grid(value, choice.scale, whole)


def _begun(path: str, name: str, between: tuple[float, float] | None, choice: Choice) -> None:
    st.session_state[_PERSON] = labels.checked_name(name)
    st.session_state.pop("label-rename", None)
    store.create(path)
    if between is not None:
        if between[0] > between[1]:
            raise LabelsError("the range of thresholds begins above its end")
        begin(path, choice.config, label_file.population_for(choice), choice.scale, between)
    st.rerun()


def _label(path: str, design: Design, person: str, choice: Choice) -> None:
    """Draw the next pair, and take its answer."""
    if st.session_state.get(_PROBLEM):
        note(st.session_state.pop(_PROBLEM), "error")
    population = label_file.population_for(choice)
    focus = label_results.focus_of(choice)
    found = stages.next_existing(path, design, population, person, focus)
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


def _so_far(counts: queue.Counts, goal: int) -> str:
    """Say how far the labels are towards what is wanted.

    Examples
    --------
    >>> _so_far(queue.Counts(drawn=65, labelled=20, mine=20), 200)
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
            labels.undo(path, person, design.id)
            return
        drawn = queue.at(path, design, position)
        if drawn is not None:
            said = Judgement(
                drawn.pair, person, Answer(answer), labels.now(), labels.own_version(),
                choice.config.clip_model, drawn.score,
            )  # fmt: skip
            labels.add(path, said)
    except LabelsError as error:
        st.session_state[_PROBLEM] = f"Not saved. {error}"


def _card(choice: Choice, place: tuple[int, int], drawn: Drawn) -> Card:
    """Read the image and the sentences again from the shard."""
    image, sentence = drawn.pair.image, drawn.pair.sentence
    try:
        seen = record.closely(choice.source, *place, image)
    except ShardError as error:
        return Card(drawn.position, None, "", problem=str(error))
    texts = seen.sentences
    if sentence >= len(texts):
        return Card(drawn.position, seen.picture, "(no text)")
    before, after = texts[max(sentence - _AROUND, 0) : sentence], texts[sentence + 1 :][:_AROUND]
    return Card(drawn.position, seen.picture, texts[sentence], before, after)
