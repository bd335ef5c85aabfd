"""Precision of a table's scores from labels: by threshold, and against what two scores keep."""

from __future__ import annotations

import streamlit as st

from mmc4viz import charts
from mmc4viz.charts import tradeoff
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.labels.estimate import by_precision_of_rows, frontier_of, precision_line
from mmc4viz.pairs.layout import UNKNOWN, ScoreColumn
from mmc4viz.text import plain
from mmc4viz.thresholds.compare.roc import FEWEST
from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import label_data, state
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.html import note, part
from mmc4viz.ui.pairs import basis, row_labels
from mmc4viz.ui.pairs.row_labels import RowResults
from mmc4viz.ui.pairs.table_data import PairChoice
from mmc4viz.ui.proposals import LIKELY, PRECISION, promise
from mmc4viz.ui.views.label import asked, show_needed


def show_target(choice: PairChoice) -> None:
    """Draw precision and recall by threshold, and offer the lowest threshold that is good enough.

    Nothing but a line without labels, or where two thresholds decide.
    """
    st.header("Choose by precision", anchor=False)
    if choice.selection.together in ("and", "or"):
        note("Labels show the precision of one score, or of a sum, not of two thresholds together.")
        return
    try:
        found = row_labels.results_for(choice)
    except Mmc4vizError as error:
        note(str(error), "error")
        return
    if found is None:
        _no_labels(f"No labels yet for {plain(choice.name)} under these conditions.")
        return
    sample, place = found.labelled.sample, st.container(
        horizontal=True, vertical_alignment="bottom", gap="small", key="pair-precision-row"
    )  # fmt: skip
    with place:
        wanted = asked("Target precision", PRECISION, LIKELY, 0.5, 0.999)
    proposal = by_precision_of_rows(sample, wanted)
    if proposal.threshold is None:
        note(f"No threshold for {proposal.target}: {proposal.reason}.")
        show_needed(proposal)
    else:
        at = proposal.threshold
        with place:
            st.button(f"Use {at:.{choice.scale.digits}f}", key="use-precision", on_click=basis.use,
                      args=(proposal, wanted, choice))  # fmt: skip
        words = promise(proposal)
        st.html(part("finding", f"{at:.12g}", words, proposal.assumption, "mmc-narrow"))
    _figure(choice, found, wanted, proposal.threshold)


def _figure(choice: PairChoice, found: RowResults, wanted: float, proposed: float | None) -> None:
    show_figure(
        charts.precision(found.curve, choice.threshold, wanted, proposed),
        "Precision and recall by threshold",
        "precision",
        label_data.COLUMNS,
        found.rows,
        what="precision by threshold",
        alt="Precision and recall against the threshold, with 95% CIs",
        key="pair-precision",
    )
    st.caption(
        "Recall: share of all correct pairs with a score that are at or above the threshold."
    )


def _no_labels(words: str) -> None:
    """Say what is missing, with a link to the page Label."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note(f"{words} About 200 labels show precision and recall at every threshold.")
        st.page_link(state.pages()["Label"], label="Label pairs", width="content")


def show_frontier(
    choice: PairChoice,
    curves: PairCurves,
    columns: tuple[ScoreColumn, ScoreColumn],
    thresholds: tuple[float, float],
) -> None:
    """Draw precision against pairs kept for two scores, from the same labels.

    Parameters
    ----------
    choice : PairChoice
    curves : PairCurves
        In which both scores were counted together.
    columns : tuple of ScoreColumn
    thresholds : (float, float)
        Of both, marked.
    """
    st.header("Frontier", anchor=False)
    try:
        _frontier(choice, curves, columns, thresholds)
    except Mmc4vizError as error:
        note(str(error), "error")


def _frontier(
    choice: PairChoice,
    curves: PairCurves,
    columns: tuple[ScoreColumn, ScoreColumn],
    thresholds: tuple[float, float],
) -> None:
    path, samples = row_labels.path_of(choice), []
    for place, column in enumerate(columns):
        alone = choice.selection.alone(column, thresholds[place])
        population = row_labels.population_of(choice, alone, curves)
        design = row_labels.design_of(path, population)
        if design is not None:
            found = row_labels.results_of(path, design, population).labelled
            samples.append((len(found.sample), -place, found, population))
    if not samples or not max(samples, key=lambda one: one[:2])[0]:
        _no_labels(f"No labels yet for {' or '.join(plain(one.name) for one in columns)}.")
        return
    n, place, labelled, population = max(samples, key=lambda one: one[:2])
    drawn_by, models = columns[-place], {one.model for one in columns} - {UNKNOWN}
    names = {one.name: one.model if len(models) == len(columns) else one.name for one in columns}
    lines = []
    for column, at in zip(columns, thresholds, strict=True):
        sample = labelled.sample if column == drawn_by else row_labels.other_sample(
            labelled, population, curves, column
        )  # fmt: skip
        kept = curves.of(column).kept
        lines.append(precision_line(names[column.name], sample, kept, at, f"{n:,} labels"))
    frontier = frontier_of(lines)
    rows = frontier.rows()
    show_figure(
        tradeoff.frontier(frontier),
        "Precision against pairs kept",
        "frontier",
        list(rows[0]),
        lambda: [list(row.values()) for row in rows],
        what="frontier",
        alt="Precision against pairs kept, one line per score with 95% CIs",
    )
    for sentence in frontier.in_words():
        note(f"{plain(sentence)}.")
    note(
        f"Both from the same {n:,} labels, drawn by {plain(drawn_by.name)}; for the other score "
        "they are weighted by their inclusion probabilities, exactly, by the joint counts of both "
        f"scores. Drawn where at least {FEWEST} labels are at or above the threshold."
    )
