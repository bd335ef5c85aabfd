"""The page Slices of a table of pairs: where one threshold does not fit all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import streamlit as st

from mmc4viz.charts import slices as charts
from mmc4viz.export.figure_svg import sheet
from mmc4viz.pairs.slices.division import SITE, attribute_of
from mmc4viz.pairs.slices.sliced import (
    ASSUMPTION,
    SLICE_HEAD,
    PairSlice,
    PairSlices,
    compared_slices,
    ordered_slices,
    slices_of,
)
from mmc4viz.slices.division import MOST
from mmc4viz.slices.words import share, signed
from mmc4viz.text import escaped, plain
from mmc4viz.ui import fields, state
from mmc4viz.ui.cache import Memo, progress
from mmc4viz.ui.components.charts import STILL
from mmc4viz.ui.html import heading, note, part, show_problems, table
from mmc4viz.ui.pairs import table_data
from mmc4viz.ui.pairs.table_data import PairChoice

_SLICES: Final = Memo[PairSlices]()
_HEAD: Final = (
    "slice", "pairs", "of all", "kept", "kept share", "difference", "95% CI", "cost",
    "median score",
)  # fmt: skip
_ROLES: Final = ("id", "url", "text")
_BY: Final = "s.by"


def show(choice: PairChoice) -> None:
    """Draw the page."""
    st.title("Slices", anchor=False)
    st.text("Where one threshold does not fit all: what it keeps of each part of the table.")
    names = _attributes(choice)
    name = fields.one_of(
        st.selectbox, "Divide by", names, "slices-by", _BY,
        format_func=lambda one: "Site" if one == SITE else plain(one), width=320,
    )  # fmt: skip
    found = _slices(choice, name)
    show_problems(found.tally.errors, found.notes)
    selection = choice.selection
    kept = found.kept(selection.scores, selection.thresholds, selection.together)
    slices = ordered_slices(compared_slices(found, kept, selection.scores[0]), "cost")
    if not slices:
        note("There is nothing to divide.")
        return
    whole = float(kept.sum()) / max(int(found.rows.sum()), 1)
    _shares(slices, whole, name)
    st.html(part("document", table(_HEAD, map(_row, slices), ASSUMPTION)))


def _attributes(choice: PairChoice) -> list[str]:
    """Return what the table can be divided by."""
    known = table_data.table_of(choice.source)
    columns, layout = known.first.columns, known.layout
    roles = {layout.column_of(role, columns) for role in _ROLES}
    sites = [SITE] if layout.column_of("url", columns) is not None else []
    numbers = [one.name for one in known.numbers if one.name not in columns]
    return [*sites, *(one for one in columns if one not in roles), *numbers]


def chosen(choice: PairChoice) -> str:
    """Return what the page divides by."""
    names = _attributes(choice)
    return name if (name := state.get(_BY)) in names else names[0]


def _slices(choice: PairChoice, name: str) -> PairSlices:
    """Return the slices of the table, counted by the scores that decide."""
    selection = choice.selection
    plan = replace(choice.curves.plan, columns=selection.scores, joint=selection.together != "one")
    opened = table_data.table_of(choice.source)
    attribute, workers = attribute_of(opened, name), len(os.sched_getaffinity(0))

    def make() -> PairSlices:
        threads = partial(ThreadPoolExecutor, workers)
        with progress("Counting rows by slice", unit="rows") as tell:
            return slices_of(opened, attribute, plan, MOST, threads, workers, tell)

    return _SLICES.get((choice.source, attribute, plan), make)


def _shares(slices: Sequence[PairSlice], whole: float, name: str) -> None:
    """Draw what is kept of each slice."""
    drawn = slices[: charts.MOST_ROWS]
    figure = charts.shares_of_slices(drawn, whole, [_hover(one) for one in drawn])
    heading(
        "Kept share of each slice", "slices", SLICE_HEAD,
        lambda: [tuple(one.as_dict().values()) for one in slices], what="slices",
        svg=lambda: sheet([figure], f"Kept share by {plain(name)}"),
    )  # fmt: skip
    rest = f" The table has all {len(slices):,}." if len(drawn) < len(slices) else ""
    st.text(
        "Those that cost most are on top; bars are simultaneous 95% CIs, gray dots have too few "
        f"pairs for one.{rest}"
    )
    st.plotly_chart(figure, key="slices", config=STILL, alt="Kept share of each slice")


def _hover(one: PairSlice) -> str:
    words = f"<b>{escaped(plain(one.name))}</b><br>{share(one.share)} of {one.rows:,} pairs kept"
    words += f"<br>{signed(one.difference)} points"
    if one.low is not None:
        words += f" (95% CI {signed(one.low)} to {signed(one.high)})"
    return f"{words}<br>cost: {one.cost:,.1f}"


def _row(one: PairSlice) -> tuple[str, ...]:
    interval = "–" if one.low is None else f"{signed(one.low)} to {signed(one.high)}"
    median = "–" if one.median is None or np.isnan(one.median) else f"{one.median:g}"
    return (
        plain(one.name), f"{one.rows:,}", share(one.part), f"{one.kept:,}", share(one.share),
        signed(one.difference), interval, f"{round(one.cost, 1) + 0.0:,.1f}", median,
    )  # fmt: skip
