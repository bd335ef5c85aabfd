"""The page Slices: where one threshold does not fit all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz.charts import slices as charts
from mmc4viz.export.figure_svg import sheet
from mmc4viz.slices.attributes import ATTRIBUTES, not_recorded
from mmc4viz.slices.comparison import ASSUMPTION, Slice, SliceComparison, ordered
from mmc4viz.slices.rows import HEAD, cells
from mmc4viz.slices.words import ALONE, by_words, costliest, table_of, typeset
from mmc4viz.text import plain
from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import data, fields, slice_data, state
from mmc4viz.ui.components import document_filters
from mmc4viz.ui.components.charts import STILL, pressed_point
from mmc4viz.ui.html import NO_DOCUMENTS, heading, note, part, table
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.slice_data import DividedBy

_SLICE: Final = "s.slice"
_PRESSES: Final = "slices-presses"
_TABLE_HELP: Final = (
    "A Parquet file with the columns shard and key, and image (position on the page, from 0) in a "
    "table of images; any other column divides documents or images."
)


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Slices", anchor=False)
    if not data.facts_of(choice.source).documents:
        note(NO_DOCUMENTS, "error")
        return
    if choice.source.sample is not None:
        note(slice_data.NEEDS_ALL, "error")
        return
    st.text("Where one threshold does not fit all: what it keeps of each part of the corpus.")
    by = _divided_by(choice)
    found, problem = slice_data.comparison_of(choice, by)
    if problem:
        note(problem, "error")
    for line in found.notes:
        note(line)
    if not found.size:
        note("There is nothing to divide: no image is matched to a sentence.")
        return
    slices = ordered(found.slices, "cost")
    st.html(part("document", part("finding_of", *map(plain, costliest(found)))))
    _shares(found, slices)
    _table(found, slices)
    _one(choice, found, slices, by)


def _divided_by(choice: Choice) -> DividedBy:
    """Ask what divides the corpus."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choose = st.container(width=280)
        with st.container(width=420):
            own = _own_table()
    columns = data.columns_of(choice.source)
    of_table = () if own is None else data.slice_table(own).columns
    reasons = {name: not_recorded(name, columns) for name in ATTRIBUTES}
    known = [name for name, reason in reasons.items() if not reason and name not in of_table]
    with choose:
        name = fields.one_of(
            st.selectbox,
            "Divide by",
            [*known, *of_table],
            "slices-by",
            slice_data.BY,
            slice_data.first_choice(choice),
            format_func=lambda name: _label(name, of_table),
        )
    missing = [reason for reason in reasons.values() if reason]
    if missing:
        with st.expander("Not recorded: " + ", ".join(n for n, why in reasons.items() if why)):
            for reason in missing:
                note(reason)
    return DividedBy(name, own if name in of_table else None)


def _label(name: str, of_table: Sequence[str]) -> str:
    return f"{plain(name)} (your table)" if name in of_table else ATTRIBUTES[name].label


def _own_table() -> data.FileId | None:
    """Ask for the user's table; one that cannot be read is told and not used."""
    path = fields.text(
        "Your own table (Parquet)", "slices-table", state.SLICE_TABLE, most=1000, help=_TABLE_HELP
    )
    try:
        return slice_data.table_at(path)
    except Mmc4vizError as error:
        note(str(error), "error")
        return None


def _shares(found: SliceComparison, slices: Sequence[Slice]) -> None:
    """Draw what is kept of each slice; a press on one lists its documents."""
    drawn = slices[: charts.MOST_ROWS]
    figure = charts.kept_shares(found, drawn)
    title = f"Kept share by {plain(by_words(found))} at {found.threshold:g}"
    heading(
        "Kept share of each slice", "slices", HEAD, lambda: cells(found, slices), what="slices",
        svg=lambda: sheet([figure], title),
    )  # fmt: skip
    rest = f" The table has all {len(slices):,}." if len(drawn) < len(slices) else ""
    st.text(
        "Those that cost most are on top; bars are simultaneous 95% CIs, gray dots have too few "
        f"documents for one. Press a slice to list its documents.{rest}"
    )
    presses: int = st.session_state.setdefault(_PRESSES, 0)
    pressed: Any = st.plotly_chart(
        figure,
        key=f"slices-shares-{presses}",
        config=STILL,
        on_select="rerun",
        selection_mode="points",
        alt=f"Kept share of {len(drawn)} slices with 95% CIs, beside the whole's {found.share:.1%}",
    )
    number, *_ = pressed_point(pressed["selection"]) or [None]
    if isinstance(number, int) and 0 <= number < len(drawn):
        st.session_state[_PRESSES] = presses + 1  # a new widget, in which nothing is selected
        _list_documents(found, drawn[number])


def _list_documents(found: SliceComparison, one: Slice) -> None:
    """Switch to the page Documents with a slice's documents."""
    state.put_filters(**document_filters.slice_filters(found.name, one.name))
    state.go_to_list()


def _table(found: SliceComparison, slices: Sequence[Slice]) -> None:
    """Draw all slices as a table."""
    st.header("All slices", anchor=False)
    head, rows = table_of(found, slices, shape=True)
    alone = ALONE * ("precision" in head)
    st.html(part("document", table(head, typeset(rows), f"{ASSUMPTION}{alone}")))


def _one(choice: Choice, found: SliceComparison, slices: Sequence[Slice], by: DividedBy) -> None:
    """Draw the scores of one slice beside all."""
    head = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = fields.one_of(
            st.selectbox,
            "Slice",
            [one.name for one in slices],
            "slices-one",
            _SLICE,
            format_func=plain,
            width=320,
        )
        listed = st.button("List documents", key="slices-list")
    one = next(one for one in slices if one.name == name)
    if listed:
        _list_documents(found, one)
    source, config = choice.source, choice.config
    pairs = data.pairs_for(source, config)
    division = data.division_of(source, config.for_matching(), by.name, by.table)
    inside = division.of_pairs(pairs) == division.position(name)
    edges = charts.score_edges(pairs.score, choice.scale, config.threshold)
    clipped = np.clip(pairs.score, edges[0], edges[-1])
    counts = [np.histogram(some, edges)[0] for some in (clipped[inside], clipped)]
    figure = charts.distribution(edges, counts, name, config.threshold, choice.scale)
    with head:
        heading(
            "Scores of one slice", "slice-scores", ("score_from", "score_to", "slice", "whole"),
            partial(_scores, edges, counts), what="scores of the slice",
            svg=lambda: sheet([figure], f"Scores of {plain(name)}"),
        )  # fmt: skip
    st.plotly_chart(
        figure,
        key="slice-scores",
        config=STILL,
        alt="Scores of the matched pairs of one slice beside those of the whole",
    )


def _scores(edges: Any, counts: Sequence[Any]) -> list[tuple[float, ...]]:
    columns = (edges[:-1], edges[1:], *counts)
    return list(zip(*(column.tolist() for column in columns), strict=True))
