"""The page Data of a table of pairs: what was read, its scores, and its other numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.pairs.count import layout_named
from mmc4viz.pairs.curves import PairCurves, shares
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.rows.examples import named_model
from mmc4viz.text import escaped
from mmc4viz.ui import fields, state
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.html import heading, many, part, show_problems, table
from mmc4viz.ui.pairs import table_data
from mmc4viz.ui.pairs.table_data import PairChoice
from mmc4viz.ui.start import read_start
from mmc4viz.ui.views import data as documents

_COLUMNS: Final = ("column", "CLIP model", "scale", "lowest", "highest", "pairs with a number")


def show(choice: PairChoice | None) -> None:
    """Draw the page; without a choice, only what can be opened."""
    if choice is None:
        documents.show(None)
        return
    st.title("Data", anchor=False)
    st.text("The table that all pages show, and what else can be opened.")
    tally, plan = choice.curves.tally, choice.curves.plan
    layout = layout_named(plan.layout)
    files = choice.source.files or table_data.index_paths(choice.source)
    rows = [
        ("Table", table_data.corpus_name(choice.source)),
        ("Kind", layout.words),
        ("Pairs", f"{tally.rows:,} in {many(len(files), 'file')}"),
        *((("Meet the conditions", f"{tally.rows - tally.filtered:,}"),) if plan.where else ()),
        *((("Not downloaded", f"{tally.not_downloaded:,}"),) if tally.not_downloaded else ()),
        ("Rule", f"score {plan.rule.sign} threshold ({layout.source})"),
        ("Index", choice.source.index[0].path if choice.source.index else "none: pairs are "
         "counted when the table is opened"),
    ]  # fmt: skip
    with st.container(key="open-facts"):
        st.html(part("document", part("facts", rows)))
        show_problems(tally.errors, choice.curves.notes())
    _scores(choice)
    _numbers(choice)
    documents.show_others()


def _scores(choice: PairChoice) -> None:
    """Draw the scores of the table."""
    rows = [_facts(choice.curves, one) for one in choice.curves.plan.columns]
    heading("Scores", "scores", _COLUMNS, lambda: rows, what="facts about the scores")
    names = [one.name for one in choice.curves.plan.columns]
    current = names.index(choice.selection.scores[0].name)
    st.html(table(_COLUMNS, rows, "Choose a score in the sidebar.", current))


def _facts(curves: PairCurves, column: ScoreColumn) -> tuple[str, ...]:
    found = curves.of(column)
    scored = curves.tally.pool - found.missing - found.malformed
    model = named_model(column.model) if column.is_score else "–"
    ends = (f"{end:.6g}" if np.isfinite(end) else "–" for end in (found.lowest, found.highest))
    return column.name, model, column.scale.name, *ends, f"{scored:,}"


def _numbers(choice: PairChoice) -> None:
    """Draw what a threshold of another number would leave, if one is asked for."""
    known = table_data.numbers_of(choice.source)
    if not known:
        return
    st.header("Other numbers", anchor=False)
    names = [one.name for one in known]
    name = fields.one_of(
        st.selectbox, "Show what a condition on a number keeps", ["none", *names], "pair-number",
        "number", width=320,
    )  # fmt: skip
    if name == "none":
        st.caption(f"{', '.join(names)}: each can be a condition in the sidebar.")
        return
    column = next(one for one in known if one.name == name)
    where, strict = choice.selection.where, choice.selection.rule.strict
    curves = table_data.curves_of(choice.source, (column,), where, strict)
    found = curves.of(column)
    grid = column.scale.thresholds()
    first, last = np.searchsorted(grid, [found.lowest, found.highest])
    at = np.unique(np.linspace(max(first - 1, 0), min(last + 1, len(grid) - 1), 200).astype(int))
    thresholds, kept = grid[at], shares(found.kept, curves.tally.rows)[at]
    show_figure(
        charts.number_yield(thresholds, kept, escaped(name)),
        "Pairs by this number",
        "number-yield",
        ("threshold", "share"),
        lambda: zip(thresholds.tolist(), kept.tolist(), strict=True),
        what="share of pairs by a number",
        alt="Share of all pairs whose number reaches a threshold",
    )
    _add_condition(column)


def _add_condition(column: ScoreColumn) -> None:
    """Offer a condition on the number."""
    scale = column.scale
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sign = st.segmented_control(
            "Keep pairs with", [">=", "<="], default=">=", required=True, key="condition-sign"
        )
        value = st.number_input(
            "Number", scale.start, scale.stop, scale.start, step=scale.step, key="condition-value",
            width=160, format=f"%.{scale.digits}f",
        )  # fmt: skip
        text = f"{column.name}{sign}{value:.12g}"
        st.button("Add condition", key="add-condition", on_click=_add, args=(text,))


def _add(text: str) -> None:
    default = "\n".join(read_start().where)
    lines = [line for line in state.get("where", default).splitlines() if line.strip()]
    state.put("where", "\n".join(dict.fromkeys([*lines, text])))
    state.begin_anew()
