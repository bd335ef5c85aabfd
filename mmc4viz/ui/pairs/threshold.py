"""The page Threshold of a table of pairs: the control, both thresholds together, targets."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.export.figure_svg import sheet
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.text import escaped, plain
from mmc4viz.ui import state
from mmc4viz.ui.components import control
from mmc4viz.ui.components.charts import pressed_point, show_figure
from mmc4viz.ui.components.control import HeadlineNumber, Steered
from mmc4viz.ui.html import csv_button, heading, many, note, show_problems, svg_button
from mmc4viz.ui.pairs import basis, precision
from mmc4viz.ui.pairs.sidebar import span_of
from mmc4viz.ui.pairs.table_data import PairChoice

_WORDS: Final = {
    "title": "Score distribution",
    "counted": "pairs",
}


def show(choice: PairChoice) -> None:
    """Draw the page."""
    st.title("Threshold", anchor=False)
    st.text(f"A pair is kept if {choice.selection}.")
    tally = choice.curves.tally
    show_problems(tally.errors, choice.curves.notes())
    if not choice.scored:
        note("No pair has a number here. Choose another score in the sidebar.", "error")
        return
    if not tally.pool:
        note("No pair meets the conditions in the sidebar.", "error")
        return
    _control(choice)
    _downloads(choice)
    if choice.selection.together in ("and", "or"):
        _both(choice)
    _targets(choice)
    precision.show_target(choice)
    st.header("Next: inspect", anchor=False)
    st.page_link(state.pages()["Near threshold"], label="Pairs near the threshold")


def _control(choice: PairChoice) -> None:
    """Draw the control."""
    tally, kept = choice.curves.tally, choice.kept.astype(np.float64)
    arrays = {"pairs": kept, "counts": choice.counts.astype(np.float64)}
    numbers = [
        HeadlineNumber("kept", "Pairs kept", 0, "Exact: every row is counted.", "pairs"),
        HeadlineNumber(
            "share",
            "% of all pairs",
            None,
            "Kept pairs as a share of the whole table.",
            "pairs",
            float(tally.rows),
        ),
    ]
    if tally.pool < tally.rows:
        numbers.append(
            HeadlineNumber(
                "admitted",
                "% of admitted pairs",
                None,
                "Kept pairs as a share of those that meet the conditions and were downloaded.",
                "pairs",
                float(tally.pool),
            )
        )
    yields = [("pairs", "Pairs", "of all pairs", float(tally.rows))]
    if choice.selection.together != "one":
        first = choice.selection.scores[0]
        if choice.selection.together != "sum":
            arrays["alone"] = choice.curves.of(first).kept.astype(np.float64)
            yields.append(("alone", f"{first.name} alone", "of all pairs", float(tally.rows)))
    header: dict[str, Any] = {
        "wholes": {name: whole for name, *_, whole in yields},
        "all_pairs": float(choice.scored),
        "numbers": [one.header() for one in numbers],
        "yields": [
            {"name": name, "label": plain(label), "digits": 0, "of": of, "per": None}
            for name, label, of, _ in yields
        ],
        "marks": _marks(choice),
        "compared": {"at": None},
        "estimated": False,
        "words": _WORDS | {"across": _across(choice)},
    }
    with st.container(key="pair-control"):
        control.draw(
            Steered(choice.threshold, choice.scale, choice.span, choice.keep), header, arrays
        )


def _across(choice: PairChoice) -> str:
    return plain(choice.name)


def _marks(choice: PairChoice) -> list[dict[str, Any]]:
    """Return published thresholds of the score's CLIP model; of a sum there are none."""
    if choice.selection.together == "sum":
        return []
    return control.references(choice.selection.scores[0].model, choice.scale)


def _downloads(choice: PairChoice) -> None:
    """Offer the control's pictures and their data."""
    with st.popover("Download these charts", type="tertiary", width="content"):
        grid = choice.scale.thresholds()
        rows = choice.curves.tally.rows
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text("Kept pairs by threshold", width=220)
            csv_button(
                "kept-pairs",
                ("threshold", "pairs", "share"),
                lambda: [
                    (at, kept, kept / rows)
                    for at, kept in zip(grid.tolist(), choice.kept.tolist(), strict=True)
                ],
                "kept pairs by threshold",
            )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text("Score distribution", width=220)
            csv_button(
                "histogram",
                ("from", "pairs"),
                lambda: zip(grid.tolist(), choice.counts.tolist(), strict=True),
                "score distribution",
            )
            svg_button("histogram", partial(_histogram_svg, choice), "score distribution")


def _histogram_svg(choice: PairChoice) -> bytes:
    figure = charts.count_histogram(
        choice.counts.astype(np.float64), choice.threshold, control.shown(choice), choice.scale
    )
    return sheet([figure], f"Score distribution, threshold {choice.threshold:g}")


def _both(choice: PairChoice) -> None:
    """Draw what every pair of thresholds keeps."""
    selection, curves = choice.selection, choice.curves
    surface = curves.surface(selection.scores, selection.together)
    parts = [_part(choice, one) for one in selection.scores]
    grids = [one.scale.thresholds()[at] for one, at in zip(selection.scores, parts, strict=True)]
    shares = surface[tuple(parts)] / max(curves.tally.rows, 1)
    names = [escaped(one.name) for one in selection.scores]
    figure = charts.both_thresholds(
        shares, (grids[0], grids[1]), (choice.threshold, choice.fixed[0]), names,
        selection.together,
    )  # fmt: skip
    word = selection.together.upper()
    show_figure(
        figure,
        f"Both thresholds ({word})",
        "both-thresholds",
        ("first_threshold", "second_threshold", "share"),
        lambda: [
            (a, b, share)
            for a, row in zip(grids[0].tolist(), shares.tolist(), strict=True)
            for b, share in zip(grids[1].tolist(), row, strict=True)
        ],
        what="share of pairs by both thresholds",
        alt=f"Share of pairs kept by both thresholds, joined by {word}",
        on_select=partial(_pressed, choice),
    )
    st.caption("Lines join thresholds that keep the same share of all pairs. Press to use them.")


def _part(choice: PairChoice, column: ScoreColumn) -> slice:
    """Return the steps of a score's grid that are drawn."""
    low, high = span_of(choice.curves, choice.selection.alone(column))
    first, last = np.searchsorted(column.scale.thresholds(), [low - 1e-9, high - 1e-9])
    return slice(int(first), int(last) + 1)


def _pressed(choice: PairChoice) -> None:
    """Use the pair of thresholds that was pressed."""
    found = pressed_point(state.asked("both-thresholds", "selection"))
    if len(found) < 2 or not all(isinstance(one, int | float) for one in found[:2]):
        return
    for column, value in zip(choice.selection.scores, found, strict=False):
        state.choose(f"t.{column.name}", state.on_grid(float(value), column.scale))
    state.begin_anew()


def _targets(choice: PairChoice) -> None:
    """Offer the highest threshold that keeps enough pairs."""
    heading("Choose by what is kept")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.number_input(
            "Keep at least (% of all pairs)", 0.01, 100.0, 30.0, step=1.0, key="pairs-target",
            width=240,
        )  # fmt: skip
        found = basis.by_share(choice, wanted / 100)
        if found.threshold is None:
            st.text("No threshold keeps that much.")
            return
        st.button(
            f"Use {found.threshold:.{choice.scale.digits}f}", key="use-target",
            on_click=basis.use, args=(found, wanted / 100, choice),
        )  # fmt: skip
        kept = int(found.kept["pairs"])
        st.text(f"keeps {many(kept, 'pair')} ({kept / max(choice.curves.tally.rows, 1):.2%})",
                width="content")  # fmt: skip
    st.caption(
        "The highest step of the grid; mmc4viz suggest finds thresholds between two steps, and "
        "DataComp's own fraction. Does not consider whether pairs are correct."
    )
