"""The page Near threshold of a table of pairs: rows by score on both sides of the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from mmc4viz.pairs.rows.examples import PairRow
from mmc4viz.pairs.selection import KEPT
from mmc4viz.ui.components import contact_sheet
from mmc4viz.ui.components.contact_sheet import SheetHalf, SheetScores
from mmc4viz.ui.components.control import Steered
from mmc4viz.ui.html import csv_button, note, show_problems
from mmc4viz.ui.pairs import row_cards, table_data
from mmc4viz.ui.pairs.table_data import PairChoice
from mmc4viz.ui.views.near_threshold import choose_size, name_bounds, page_of, score_bounds, turn

_MOST_PAGES: Final = 20
_HEAD: Final = ("file", "row", "id", "url", "text", "status", "reason")


def show(choice: PairChoice) -> None:
    """Draw the page."""
    st.title("Near threshold", anchor=False)
    if not choice.scored:
        note("No pair has a number here. Choose another score in the sidebar.", "error")
        return
    if choice.selection.together in ("and", "or"):
        first, second = choice.selection.scores
        decides = "reach" if choice.selection.together == "and" else "do not reach"
        st.text(
            f"Pairs by {first.name}, of those that {decides} {choice.fixed[0]!r} of {second.name}."
        )
    bounds, size = score_bounds(), choose_size()
    counts, grid = choice.counts, choice.scale.thresholds()
    kept = grid >= choice.threshold
    inside = (grid >= (bounds[0] if bounds[0] is not None else -math.inf)) & (
        grid < (bounds[1] if bounds[1] is not None else math.inf)
    )
    if bounds != (None, None):
        name_bounds(choice.scale, bounds, int(counts[inside].sum()))
    pages = {
        side: min(max(1, math.ceil(int(counts[inside & among].sum()) / size)), _MOST_PAGES)
        for side, among in (("below", ~kept), ("above", kept))
    }
    page = {side: page_of(side, last) for side, last in pages.items()}
    found = table_data.rows_around(
        choice.source, choice.selection, size * max(page.values()), bounds, choice.curves.tally.rows
    )
    show_problems(found.errors, [])
    above = [row for row in found.rows if _reaches(choice, row)][::-1]
    below = [row for row in found.rows if not _reaches(choice, row)]
    halves = {
        side: _half(rows, size, page[side], pages[side])
        for side, rows in (("below", below), ("above", above))
    }
    contact_sheet.show(
        Steered(choice.threshold, choice.scale, choice.span, choice.keep),
        halves["below"],
        halves["above"],
        SheetScores(counts, choice.selection.scores[0].model, bounds, choice.name),
        turn,
        partial(row_cards.mount, choice, card=partial(_card, choice)),
    )
    shown = [*halves["below"].cards[::-1], *halves["above"].cards]
    names = [one.name for one in choice.selection.scores]
    csv_button("rows-near-threshold", (*_HEAD, *names), lambda: map(_cells, shown))


def _reaches(choice: PairChoice, row: PairRow) -> bool:
    """Whether a row is kept."""
    return row.status == KEPT


def _half(rows: Sequence[PairRow], size: int, page: int, pages: int) -> SheetHalf:
    """Return a page of the rows on one side, nearest first."""
    first = (page - 1) * size
    return SheetHalf(rows[first : first + size], page, pages, first + 1)


def _card(choice: PairChoice, row: PairRow) -> dict[str, Any]:
    """Return a row as a card of the sheet."""
    others = list(zip(choice.selection.scores, row.scores, strict=True))[1:]
    lines = [("", f"{column.name}: {value:.5g}") for column, value in others]
    return row_cards.card_of(
        row,
        score=table_data.score_of(choice.selection, row),
        lines=[("kept" if row.status == KEPT else "rejected", row.status), *lines],
    )


def _cells(row: PairRow) -> tuple[object, ...]:
    return (row.path, row.number, row.id, row.url, row.text, row.status, row.reason, *row.scores)
