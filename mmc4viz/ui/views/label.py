"""The page Label: blind labeling of pairs, and results with import and export.

During labeling the sidebar is hidden, so that nothing on screen reveals score, status or model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from zlib import crc32

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz import charts
from mmc4viz.data.scale import Scale
from mmc4viz.pairs.labels.estimate import LabelledRows
from mmc4viz.thresholds.labels import chosen, exchange, precision, queue, store
from mmc4viz.thresholds.labels.precision import Labelled, StratifiedSample, curve, propose, remarks
from mmc4viz.thresholds.labels.queue import DrawnPair
from mmc4viz.thresholds.labels.sampling import Design, begin, usual_range
from mmc4viz.thresholds.labels.store import Answer, Judgement, LabelsError, PairId
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ShardError
from mmc4viz.ui import document_data, fields, label_data, proposals, state
from mmc4viz.ui.components import label_card
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.components.label_card import LabelCard
from mmc4viz.ui.html import note, part, table
from mmc4viz.ui.proposals import LIKELY, PRECISION
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import read_start

_WIDTH, _FOCUS = "l.width", "l.focus"
MESSAGE: Final = "label-message"


def _show_results(path: str, design: Design | None, choice: Choice) -> None:
    """Draw the results, and import and export."""
    if design is None:
        note(
            f"No labels yet for {choice.config.clip_model} with these settings: label pairs first."
        )
        in_and_out(path)
        return
    found = label_data.findings_for(path, design, choice)
    show_account(found.labelled)
    if len(found.labelled.sample):
        place = proposals.row("label-wanted")
        with place:
            wanted = asked("Target precision", PRECISION, LIKELY, 0.5, 0.999)
        proposal = propose(found.labelled.sample, wanted)
        _proposal(proposal, choice, place)
        show_curves(found, found.labelled.sample, proposal, wanted, choice.config.threshold)
        show_now(found.labelled.sample, choice.config.threshold)
        show_agreement(found)
    in_and_out(path)


def asked(words: str, name: str, default: float, least: float, most: float) -> float:
    """Ask for a number that is kept in the address."""
    return fields.number(words, f"label-{name}", name, default, least, most, step=0.01, width=180)


def show_account(found: Labelled | LabelledRows) -> None:
    """Summarize the labels."""
    sample = found.sample
    right = int(sample.correct.sum())
    note(
        f"{len(sample):,} of {found.drawn:,} sampled pairs labeled ({right:,} correct, "
        f"{len(sample) - right:,} incorrect). {found.waiting:,} unlabeled: similar-scoring pairs "
        "are used instead."
    )
    for remark in remarks(found):
        note(remark)


def _proposal(found: Proposal, choice: Choice, place: DeltaGenerator) -> None:
    """Show the suggested threshold, or why there is none."""
    proposals.show_proposal(found, choice, proposals.promise(found), place)
    show_needed(found)


def show_needed(found: Proposal) -> None:
    """Say how many more labels would show a precision that is not shown yet."""
    if found.threshold is None and found.labels_needed:
        least = "At least" if found.estimate is None else "About"
        note(f"{least} {found.labels_needed:,} more labels there would suffice.")


def show_curves(
    found: label_data.LabelResults,
    sample: StratifiedSample,
    proposal: Proposal,
    wanted: float,
    t: float,
) -> None:
    """Draw the curves side by side, with their data."""
    low, high = (float(end) for end in (sample.score.min(), sample.score.max()))
    isotonic = found.isotonic
    left, right = st.columns([3, 2])
    with left:
        show_figure(
            charts.precision(found.curve, t, wanted, proposal.threshold),
            "Precision by threshold",
            "precision",
            label_data.COLUMNS,
            found.rows,
            what="precision by threshold",
            alt="Precision and recall against the threshold, with 95% CIs",
            key="label-precision",
        )
    with right:
        show_figure(
            charts.probability(isotonic, t, (low, high)),
            "Correct by score",
            "probability",
            ("score", "probability_correct"),
            lambda: zip(isotonic.score.tolist(), isotonic.probability.tolist(), strict=True),
            what="probability correct by score",
            alt="Probability of a correct pair against the score, by isotonic regression",
            key="label-probability",
        )


def show_now(sample: StratifiedSample, t: float, of: str = "matched correct pairs") -> None:
    """Draw the precision at the current threshold, and what to label next.

    Parameters
    ----------
    sample : StratifiedSample
    t : float
        The threshold.
    of : str
        What recall is a share of.
    """
    here = curve(sample, np.array([t]))
    st.header(f"At {t:g}", anchor=False)
    labels, wrong = int(here.labels[0]), int(here.wrong[0])
    if not labels:
        note("No labeled pair is at or above this threshold.")
        return
    p, k = here.precision, here.kept
    words = (
        f"precision (95% CI {p.low[0]:.1%} to {p.high[0]:.1%}), from {labels:,} labels, "
        f"{wrong:,} of them incorrect. Recall of {of}: {k.estimate[0]:.1%} "
        f"({k.low[0]:.1%} to {k.high[0]:.1%})."
    )
    st.html(part("finding", f"{p.estimate[0]:.1%}", words))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        width = asked("Target CI width", _WIDTH, 0.1, 0.01, 0.5)
        note(_more(sample, t, width))
    state.seed("label-focus", is_focused())
    st.toggle(
        f"Prioritize pairs that reduce uncertainty at {t:g}",
        key="label-focus",
        on_change=lambda: state.put(
            _FOCUS, "threshold" if st.session_state["label-focus"] else None
        ),
        help="Otherwise labels are spread over the whole threshold range.",
    )


def is_focused() -> bool:
    """Whether pairs near the threshold are labeled first."""
    return state.understood(_FOCUS, {"threshold": True}.get, "threshold") or False


def _more(sample: StratifiedSample, threshold: float, width: float) -> str:
    """Return how many more labels a CI width takes, in words."""
    labelled, right = sample.counts()
    over = sample.pairs_above(np.array([threshold]))[0]
    more = precision.needed(sample.population, over, labelled, right, width)
    if more is None:
        return "No number of labels can reach this width."
    if not more:
        return "Already reached."
    return f"About {more:,} more labels would reach it, if placed where they help most."


def show_agreement(found: label_data.LabelResults) -> None:
    """Draw Cohen's κ of every two annotators."""
    st.header("Inter-annotator agreement", anchor=False)
    if not found.agreements:
        note(
            "No pair was labeled by two annotators yet; one in five is shown to a second annotator."
        )
        return
    rows = [
        (
            f"{a.people[0]} and {a.people[1]}",
            f"{a.pairs:,}",
            f"{a.agreed / a.pairs:.0%}",
            "–" if a.kappa is None else f"{a.kappa:.2f}",
        )
        for a in found.agreements
    ]
    caption = (
        "On pairs that both labeled yes or no. Cohen’s κ: 1 is full agreement, 0 is chance; "
        "undefined (–) if both gave only one answer."
    )
    head = ("annotators", "pairs", "agreement", "κ")
    st.html(part("document", table(head, rows, caption)))


def in_and_out(path: str) -> None:
    """Export and import labels as CSV."""
    st.header("Export / import", anchor=False)
    note(f"Labels are saved to {path}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if os.path.exists(path):
            st.download_button(
                "Export labels (CSV)",
                data=lambda: exchange.export_csv(path),
                file_name="mmc4viz-labels.csv",
                mime="text/csv",
                on_click="ignore",
                icon=":material/download:",
            )
            if chosen.read(path):
                st.download_button(
                    "Export labels of chosen pairs (CSV)",
                    data=lambda: exchange.export_chosen_csv(path),
                    file_name="mmc4viz-chosen-labels.csv",
                    mime="text/csv",
                    on_click="ignore",
                    icon=":material/download:",
                    help="Pairs that were chosen on other pages. They do not count in precision.",
                )
        if read_start().read_only:
            note("Read-only: labels cannot be imported here.")
            return
        with st.popover("Import labels (CSV)"):
            given = st.file_uploader("A CSV file exported by this page", type="csv")
            if given is not None and st.button("Import"):
                _take(path, given.getvalue(), given.name)
                st.rerun()


def _take(path: str, content: bytes, name: str) -> None:
    """Import labels; the result is shown on the next run."""
    try:
        store.create(path)
        new, there = exchange.import_csv(path, content.decode("utf-8-sig"), name)
    except UnicodeDecodeError:
        st.session_state[MESSAGE] = f"{name}: not UTF-8 text", "error"
    except LabelsError as error:
        st.session_state[MESSAGE] = str(error), "error"
    else:
        words = f"{new:,} labels imported; {there:,} already present."
        st.session_state[MESSAGE] = words, "note"


_VIEWS: Final = {"label": "Label", "results": "Results"}
_SAMPLED: Final = "Labels are sampled from all pairs: set the sample size in the sidebar to 0."
_VIEW: Final = "l.view"
PERSON: Final = "label-person"
PROBLEM: Final = "label-problem"
GOAL: Final = "l.goal"
USUAL_LABELS: Final = 200  # labels; the coverage of the intervals was measured with this number
MOST_LABELS: Final = 100_000
_AROUND: Final = 3  # sentences before and after
BLIND: Final = """<style>
[data-testid="stSidebarUserContent"] { display: none; }
@media (min-width: 768px) {
  [data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] { display: none; }
}
</style>"""


def show(choice: Choice) -> None:
    """Draw the page."""
    path = label_data.path_of(choice)
    view = show_head()
    if choice.source.sample is not None:
        note(_SAMPLED)
        return
    pair = None if read_start().read_only else state.chosen_pair(choice.source)
    if pair is not None and view == "label":
        place, image, sentence = pair

        def look() -> tuple[PairId, float | None]:
            score = label_data.score_of(choice, place, image, sentence)
            return label_data.pair_of(choice, place, image, sentence), score

        label_chosen(path, choice.config.clip_model, look, partial(_card, choice, place))
        return
    if not len(label_data.population_for(choice)):
        note("No image is matched to a sentence in these documents: nothing to label.", "error")
        return
    design = label_data.design_of(path, choice)
    if st.session_state.get(MESSAGE):
        note(*st.session_state.pop(MESSAGE))
    if view == "results":
        _show_results(path, design, choice)
        return
    person = st.session_state.get(PERSON) or label_card.remembered()
    if design is None or not person or st.session_state.get("label-rename"):
        _begin(path, design, person, choice)
        return
    st.html(BLIND)
    _label(path, design, store.checked_name(person), choice)


def show_head() -> str:
    """Draw the title with the choice of the view, and return the view."""
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        key="label-head",
    ):
        st.title("Label", anchor=False, width="content")
        return "results" if read_start().read_only else choose_view()


def choose_view() -> str:
    """Choose between labeling and results."""
    return fields.one_of(
        st.segmented_control,
        "View",
        list(_VIEWS),
        "label-view",
        _VIEW,
        format_func=lambda name: _VIEWS[name],
        required=True,
        label_visibility="collapsed",
        width="content",
    )


def _begin(path: str, design: Design | None, person: str, choice: Choice) -> None:
    """Ask for the name, the target number of labels and, once, the threshold range."""
    st.text("Does the sentence describe the image? Scores are hidden so labels are unbiased.")
    show_rule(store.RULE)
    note(f"Labels are saved to {path}{'' if os.path.exists(path) else ' (new file)'}.")
    if design is None and label_data.count_other_samples(path, choice):
        note("Its labels so far are for another corpus; this corpus gets its own sample.")
    begin_form(
        person,
        lambda: None if design else _asked_range(choice),
        lambda between: _begun(path, between, choice),
    )


Range = tuple[float, float]


def begin_form(
    person: str,
    asked_range: Callable[[], Range | None],
    begun: Callable[[Range | None], None],
) -> None:
    """Ask for the name, the target number of labels and, once, the threshold range.

    Parameters
    ----------
    person : str
    asked_range : callable
        Draws the fields of the range; returns None if it is fixed.
    begun : callable
        Called with the range when the form is sent.
    """
    with st.form("label-begin", width=520):
        name = st.text_input("Your name", value=person, max_chars=store.LONGEST_NAME)
        goal = st.number_input(
            "Target number of labels",
            1,
            MOST_LABELS,
            value=goal_of(),
            step=20,
            help="Total of all annotators of this file. It is a target, not a limit: the Results "
            "tab shows how many more labels a narrower CI needs.",
        )
        between = asked_range()
        if st.form_submit_button("Start labeling", type="primary"):
            state.put(GOAL, None if goal == USUAL_LABELS else str(goal))
            st.session_state[PERSON] = store.checked_name(name)
            st.session_state.pop("label-rename", None)
            if between is not None and between[0] > between[1]:
                raise LabelsError("the threshold range is empty: the lowest is above the highest")
            begun(between)
            st.rerun()


def show_rule(rule: Mapping[Answer, str]) -> None:
    """Draw the guidelines."""
    rows = [(part("bold", answer.capitalize()), words) for answer, words in rule.items()]
    st.html(part("document", part("facts", rows)), width=760)


def goal_of() -> int:
    """Return the target number of labels."""
    return state.whole(GOAL, USUAL_LABELS, 1, MOST_LABELS)


def _asked_range(choice: Choice) -> tuple[float, float]:
    """Ask for the threshold range, which determines the strata."""
    return ask_range(usual_range(label_data.population_for(choice).pairs.score), choice.scale)


def ask_range(usual: tuple[float, float], scale: Scale) -> tuple[float, float]:
    """Ask for the threshold range, given the default."""
    step, form = float(scale.step), f"%.{scale.digits}f"
    st.text("Threshold range to evaluate (fixed after the first label)")
    note(
        "No threshold outside the range is suggested. A narrower range needs fewer labels. "
        "Default: thresholds that keep 95% to 5% of pairs."
    )
    left, right = st.columns(2)
    low, high = (float(state.on_grid(end, scale)) for end in usual)
    lowest = left.number_input("Lowest", value=low, step=step, format=form)
    highest = right.number_input("Highest", value=high, step=step, format=form)
    return float(lowest), float(highest)


def _begun(path: str, between: Range | None, choice: Choice) -> None:
    store.create(path)
    if between is not None:
        begin(path, choice.config, label_data.population_for(choice), choice.scale, between)


def _label(path: str, design: Design, person: str, choice: Choice) -> None:
    """Draw the next pair."""
    if st.session_state.get(PROBLEM):
        note(st.session_state.pop(PROBLEM), "error")
    population = label_data.population_for(choice)
    focus = choice.config.threshold if is_focused() else None
    found = queue.next_existing(path, design, population, person, focus)
    counts, goal = queue.counts(path, design, person), goal_of()
    if found is None:
        note("All pairs have been labeled.")
        return
    drawn, place = found
    card = _card(choice, place, drawn)
    label_card.show(
        card,
        person,
        min(counts.labelled, goal),
        goal,
        partial(answered, path, design, person, choice.config.clip_model),
    )
    show_so_far(counts, goal, person, store.RULE)


def show_so_far(
    counts: queue.QueueCounts, goal: int, person: str, rule: Mapping[Answer, str]
) -> None:
    """Draw the progress in words, the guidelines, and a button to change the name."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note(f"{so_far(counts, goal)} {person}: {counts.mine:,} answered.")
        with st.popover("Guidelines", type="tertiary"):
            show_rule(rule)
        st.button("Change name", type="tertiary", on_click=rename)


_CHOSEN: Final = (
    "You chose this pair, so its label is stored separately: it does not count in precision, which "
    "needs pairs drawn at random."
)
_FIRST_CHOSEN: Final = 500_000_000  # positions of chosen pairs, above those in a queue


def label_chosen(
    path: str,
    clip_model: str,
    look: Callable[[], tuple[PairId, float | None]],
    card: Callable[[DrawnPair], LabelCard],
) -> None:
    """Draw a pair that was chosen on another page.

    Parameters
    ----------
    path : str
        The label file.
    clip_model : str
        Whose scores decide.
    look : callable
        Returns the pair, and its score if it has one.
    card : callable
        Reads the pair again.
    """
    person = st.session_state.get(PERSON) or label_card.remembered()
    note(_CHOSEN)
    if not person:
        with st.form("label-name", width=520):
            name = st.text_input("Your name", max_chars=store.LONGEST_NAME)
            if st.form_submit_button("Continue", type="primary"):
                st.session_state[PERSON] = store.checked_name(name)
                st.rerun()
    else:
        st.html(BLIND)
        if st.session_state.get(PROBLEM):
            note(st.session_state.pop(PROBLEM), "error")
        person = store.checked_name(person)
        pair, score = look()
        drawn = DrawnPair(pair, _FIRST_CHOSEN + crc32(repr(pair).encode()) // 10, 0, 0.0, False)
        answered = partial(_answered_chosen, path, drawn, score, person, clip_model)
        label_card.show(card(drawn), person, 0, 0, answered)
    with st.container(horizontal=True, gap="small"):
        st.button("Label random pairs", type="tertiary", on_click=_leave_chosen)
        if st.button("Back to Near threshold", type="tertiary"):
            _leave_chosen()
            state.go_to("Near threshold")


def _leave_chosen() -> None:
    state.put(state.PAIR, None)


def _answered_chosen(
    path: str, drawn: DrawnPair, score: float | None, person: str, clip_model: str,
    position: int, answer: str,
) -> None:  # fmt: skip
    """Save the answer to a chosen pair; then random pairs are next."""
    if position != drawn.position or answer == label_card.UNDO:
        return
    try:
        store.create(path)
        if answer != Answer.SKIP:
            label = Judgement(
                drawn.pair, person, Answer(answer), store.now(), store.own_version(),
                clip_model, score,
            )  # fmt: skip
            chosen.add(path, label)
    except LabelsError as error:
        st.session_state[PROBLEM] = f"Not saved. {error}"
        return
    st.session_state[MESSAGE] = _SAVED, "note"
    _leave_chosen()


_SAVED: Final = "Saved. It does not count in precision; Results has the labels of chosen pairs."


def so_far(counts: queue.QueueCounts, goal: int) -> str:
    """Return the progress towards the target.

    Examples
    --------
    >>> so_far(queue.QueueCounts(drawn=65, labelled=20, mine=20), 200)
    '20 / 200 labeled.'
    """
    done = f"{counts.labelled:,} / {goal:,} labeled."
    if counts.labelled < goal:
        return done
    return f"{done} See Results, or continue: more labels give narrower CIs."


def rename() -> None:
    """Ask for the name again."""
    st.session_state["label-rename"] = True


def answered(
    path: str, design: Design, person: str, clip_model: str, position: int, answer: str
) -> None:
    """Save an answer; an error is shown on the next run."""
    try:
        if answer == label_card.UNDO:
            store.undo(path, person, design.id)
            return
        drawn = queue.at(path, design, position)
        if drawn is not None:
            label = Judgement(
                drawn.pair, person, Answer(answer), store.now(), store.own_version(),
                clip_model, drawn.score,
            )  # fmt: skip
            store.add(path, label)
    except LabelsError as error:
        st.session_state[PROBLEM] = f"Not saved. {error}"


def _card(choice: Choice, place: tuple[int, int], drawn: DrawnPair) -> LabelCard:
    """Re-read the image and the sentences from the shard."""
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
