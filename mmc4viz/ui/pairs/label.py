"""The page Label of a table of pairs: blind labeling of rows, and results."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz.pairs.labels.estimate import by_precision_of_rows
from mmc4viz.pairs.labels.population import RowPopulation
from mmc4viz.thresholds.labels import queue, store
from mmc4viz.thresholds.labels.queue import DrawnPair
from mmc4viz.thresholds.labels.sampling import Design
from mmc4viz.thresholds.labels.store import Answer
from mmc4viz.types import ShardError
from mmc4viz.ui.components import label_card
from mmc4viz.ui.components.label_card import LabelCard
from mmc4viz.ui.html import note, show_problems
from mmc4viz.ui.pairs import row_images, row_labels, table_data
from mmc4viz.ui.pairs.row_cards import NO_TEXT
from mmc4viz.ui.pairs.table_data import PairChoice
from mmc4viz.ui.proposals import LIKELY, PRECISION, promise
from mmc4viz.ui.start import read_start
from mmc4viz.ui.views import label as documents

RULE: Final = {
    Answer.YES: "the text says something about what this image shows. It may omit details or "
    "mention other things.",
    Answer.NO: "the text would fit almost any image, only names a product or topic that is not "
    "shown, or contradicts this image.",
    Answer.UNSURE: store.RULE[Answer.UNSURE],
    Answer.SKIP: "the image cannot be seen. You will not see the pair again unless you undo; "
    "others may. Without any answer it is not counted: similar-scoring pairs are used instead.",
}
"""Annotation guidelines, by answer."""
_AHEAD: Final = queue.FIRST + queue.STAGE  # rows of a stratum that the next round may need


def show(choice: PairChoice) -> None:
    """Draw the page."""
    path = row_labels.path_of(choice)
    view = documents.show_head()
    population = row_labels.population_for(choice)
    if not len(population):
        note("No pair has a number here: nothing to label. Choose another score.", "error")
        return
    chosen = None if read_start().read_only else row_labels.chosen_row(choice)
    if chosen is not None and view == "label":
        pair, row = chosen
        score = table_data.score_of(population.selection, row)
        looked = pair, None if math.isnan(score) else score
        card = partial(_card, choice, population)
        documents.label_chosen(path, population.key[1], lambda: looked, card)
        return
    design = row_labels.design_of(path, population)
    if st.session_state.get(documents.MESSAGE):
        note(*st.session_state.pop(documents.MESSAGE))
    if view == "results":
        _results(path, design, choice)
        return
    person = st.session_state.get(documents.PERSON) or label_card.remembered()
    if design is None or not person or st.session_state.get("label-rename"):
        _begin(path, design, person, population)
        return
    st.html(documents.BLIND)
    _label(path, design, store.checked_name(person), choice, population)


def _begin(path: str, design: Design | None, person: str, population: RowPopulation) -> None:
    """Ask for the name, the target number of labels and, once, the threshold range."""
    st.text("Does the text describe the image? Scores are hidden so labels are unbiased.")
    documents.show_rule(RULE)
    note(f"Labels are saved to {path}{'' if os.path.exists(path) else ' (new file)'}.")
    note("Images come from tars or folders beside the table; else the card links to the image.")
    scale = population.selection.scale

    def begun(between: documents.Range | None) -> None:
        store.create(path)
        if between is not None:
            population.begin(path, between)

    documents.begin_form(
        person,
        lambda: None if design else documents.ask_range(population.usual_range(), scale),
        begun,
    )


def _label(
    path: str, design: Design, person: str, choice: PairChoice, population: RowPopulation
) -> None:
    """Draw the next pair."""
    if st.session_state.get(documents.PROBLEM):
        note(st.session_state.pop(documents.PROBLEM), "error")
    focus = choice.threshold if documents.is_focused() else None
    counts, goal = queue.counts(path, design, person), documents.goal_of()
    row_labels.prepare(population, design, counts.drawn + _AHEAD)
    show_problems(population.errors, [])
    found = queue.next_existing(path, design, population, person, focus)
    if found is None:
        note("All pairs have been labeled.")
        return
    drawn, _ = found
    label_card.show(
        _card(choice, population, drawn),
        person,
        min(counts.labelled, goal),
        goal,
        partial(documents.answered, path, design, person, design.clip_model),
    )
    documents.show_so_far(counts, goal, person, RULE)


def _card(choice: PairChoice, population: RowPopulation, drawn: DrawnPair) -> LabelCard:
    """Read the row again, and its image if it is at hand."""
    try:
        row = row_labels.row_of(choice.source, population.selection, drawn.pair)
    except ShardError as error:
        return LabelCard(drawn.position, None, "", problem=str(error), noun="text")
    if row is None:
        problem = "the file has changed: the row is not there any more"
        return LabelCard(drawn.position, None, "", problem=problem, noun="text")
    picture = row_images.enlarged(row)
    return LabelCard(drawn.position, picture, row.text or NO_TEXT, url=row.url, noun="text")


def _results(path: str, design: Design | None, choice: PairChoice) -> None:
    """Draw the results, and import and export."""
    population = row_labels.population_for(choice)
    if design is None:
        note(f"No labels yet for {population.key[1]} under these conditions: label pairs first.")
        documents.in_and_out(path)
        return
    found = row_labels.results_of(path, design, population)
    sample = found.labelled.sample
    documents.show_account(found.labelled)
    if len(sample):
        wanted = documents.asked("Target precision", PRECISION, LIKELY, 0.5, 0.999)
        proposal = by_precision_of_rows(sample, wanted)
        if proposal.threshold is None:
            note(f"No threshold for {proposal.target}: {proposal.reason}.")
            documents.show_needed(proposal)
        else:
            note(f"{proposal.threshold:.12g}. {promise(proposal)}")
        documents.show_curves(found, sample, proposal, wanted, choice.threshold)
        documents.show_now(sample, choice.threshold, "correct pairs")
        documents.show_agreement(found)
    documents.in_and_out(path)
