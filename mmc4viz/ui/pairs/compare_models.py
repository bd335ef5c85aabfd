"""The page Compare models of a table of pairs: two scores of the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.export.figure_svg import sheet
from mmc4viz.pairs.comparison import ComparedScores, compared, rank_correlation
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.rows.examples import PairRow, rows_of_quadrant
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.text import escaped, plain
from mmc4viz.thresholds.compare.disagreement import QUADRANTS
from mmc4viz.ui import fields, state
from mmc4viz.ui.cache import cached
from mmc4viz.ui.components import navigation
from mmc4viz.ui.components.charts import histogram, pressed_point, show_figure
from mmc4viz.ui.html import heading, many, note, pair_of_columns, part, show_problems, table
from mmc4viz.ui.pairs import precision, row_cards, table_data
from mmc4viz.ui.pairs.sidebar import span_of
from mmc4viz.ui.pairs.table_data import FoundRows, PairChoice, TableKey

_HEAD: Final = (
    "threshold", "equivalent", "pairs", "pairs at the equivalent", "kept by both",
    "only by the first", "only by the second", "overlap (IoU)",
)  # fmt: skip
_SHOWN: Final = 12  # pairs of a quadrant
_POINTS: Final = 120  # of a curve


@dataclass(frozen=True, eq=False)
class ScoreSides:
    """Two scores of a table, and how both were counted.

    Attributes
    ----------
    choice : PairChoice
    curves : PairCurves
        In which they were counted together.
    columns : tuple of ScoreColumn
        The first and the second.
    """

    choice: PairChoice
    curves: PairCurves
    columns: tuple[ScoreColumn, ScoreColumn]

    @property
    def names(self) -> list[str]:
        """Their names, as Plotly takes them."""
        return [escaped(one.name) for one in self.columns]


def show(choice: PairChoice) -> None:
    """Draw the page."""
    st.title("Compare models", anchor=False)
    scores = [one for one in table_data.columns_of(choice.source) if one.is_score]
    first = choice.selection.scores[0]
    others = [one for one in scores if one.name != first.name]
    if not others or not first.is_score:
        note(
            f"A comparison needs two CLIP scores; this table has {len(scores)}. To name another "
            "column, start the app with --score COLUMN=MODEL for each."
        )
        return
    names = {one.name: table_data.in_words(one) for one in others}
    chosen = fields.one_of(
        st.selectbox, "Compare with", list(names), "pair-other", "second",
        format_func=names.__getitem__, width=360,
    )  # fmt: skip
    second = next(one for one in others if one.name == chosen)
    curves = table_data.curves_together(choice, (first, second))
    if not all(curves.curve([one])[0] for one in (first, second)):
        note("One of the scores has no pair with a number.", "error")
        return
    _draw(ScoreSides(choice, curves, (first, second)))


def _draw(sides: ScoreSides) -> None:
    """Draw everything about two scores."""
    first, second = sides.columns
    at = sides.choice.threshold
    if sides.choice.selection.together == "sum":  # the first score's own threshold
        at = state.number(state.get(f"t.{first.name}"), at)
    at = state.on_grid(at, first.scale)
    found = compared(sides.curves, first, second, at)
    _equivalent(found, second)
    for place, name in enumerate(pair_of_columns("scores")):
        with name:
            _histogram(sides, place, (found.threshold, found.equivalent)[place])
    if not navigation.rest_is_wanted():
        return
    _joint(sides, found)
    _along(sides, at)
    precision.show_frontier(
        sides.choice, sides.curves, sides.columns, (found.threshold, found.equivalent)
    )
    rho, rows = rank_correlation(sides.curves)
    st.header("Rank correlation", anchor=False)
    words = "undefined" if np.isnan(rho) else f"{rho:.3f}"
    st.text(
        f"Spearman's ρ of both scores: {words} ({many(rows, 'pair')}; scores within a step of the "
        "grid are tied)."
    )


def _equivalent(found: ComparedScores, second: ScoreColumn) -> None:
    """Draw the table of the equivalent threshold, and offer to use it."""
    row = found.row()
    heading(
        "Equivalent thresholds", "equivalent-threshold", list(row), lambda: [list(row.values())],
        what="equivalent thresholds",
    )  # fmt: skip
    both = found.overlap
    cells = (
        f"{found.threshold:.12g}", part("bold", f"{found.equivalent:.12g}"),
        *(f"{n:,}" for n in (*found.kept, both.both, both.only_first, both.only_second)),
        f"{both.jaccard:.1%}",
    )  # fmt: skip
    caption = (
        f"The threshold of {found.second.name} that keeps as many pairs as that of "
        f"{found.first.name}, or the closest. Exact counts over the whole table."
    )
    st.html(table(_HEAD, [cells], caption))
    st.button(
        f"Use {plain(second.name)} at {found.equivalent:.{second.scale.digits}f}",
        key="use-equivalent", type="primary", on_click=_use, args=(second, found.equivalent),
    )  # fmt: skip


def _use(column: ScoreColumn, threshold: float) -> None:
    """Choose the second score at its equivalent threshold."""
    for name in ("second", "with"):
        state.put(name, None)
    state.put("score", column.name)
    state.choose(f"t.{column.name}", threshold)
    state.begin_anew()


def _histogram(sides: ScoreSides, place: int, threshold: float) -> None:
    """Draw the distribution of a score with its threshold."""
    column = sides.columns[place]
    selection = sides.choice.selection.alone(column, threshold)
    one = replace(sides.choice, curves=sides.curves, selection=selection)
    counts, grid = one.counts, column.scale.thresholds()
    figure = charts.count_histogram(
        counts.astype(np.float64), threshold, span_of(sides.curves, selection), column.scale
    )
    name = f"scores-{('first', 'second')[place]}"
    words = part("score_title", table_data.in_words(column), f"{threshold:.12g}",
                 column.scale.name)  # fmt: skip
    heading(
        part("document", words), name, ("from", "pairs"),
        lambda: zip(grid.tolist(), counts.tolist(), strict=True),
        what=f"scores of the {('first', 'second')[place]} model",
        svg=lambda: sheet([figure], f"{plain(column.name)} at {threshold:.12g}"),
    )  # fmt: skip
    alt = f"Score distribution of the {('first', 'second')[place]} model"
    histogram(figure, name, f"{alt} with threshold {threshold:.6g}")


def _joint(sides: ScoreSides, found: ComparedScores) -> None:
    """Draw both scores of the same pairs, and pairs of the chosen quadrant."""
    counted_both = sides.curves.histogram_of_both(sides.columns)
    grids = sides.columns[0].scale.thresholds(), sides.columns[1].scale.thresholds()
    spans = [span_of(sides.curves, sides.choice.selection.alone(one)) for one in sides.columns]
    counted, edges = charts.rebinned(counted_both, grids, spans)
    both, n = found.overlap, sides.curves.tally.pool
    counts = [both.both, both.only_first, both.only_second]
    counts.append(n - sum(counts))
    at = found.threshold, found.equivalent
    show_figure(
        charts.joint_counts(
            counted.astype(np.float64), edges, at, counts, sides.names, noun="pairs"
        ),
        "Same pairs, both scores",
        "both-scores",
        ("first_score_from", "second_score_from", "pairs"),
        lambda: [
            (float(edges[0][i]), float(edges[1][k]), int(counted[i, k]))
            for i, k in np.argwhere(counted).tolist()
        ],
        what="scores of both models",
        alt=f"Scores of the same pairs by both models, with thresholds {at[0]:g} and {at[1]:g}",
        key="joint",
        on_select=_quadrant_pressed,
    )
    st.text(
        "Stronger color: more pairs. Press anywhere in a quadrant to see its pairs. Pairs without "
        "a score are kept by neither."
    )
    _quadrant(sides, at, counts)


def _quadrant_pressed() -> None:
    """Show the quadrant that was pressed."""
    number, *_ = pressed_point(state.asked("joint", "selection")) or [None]
    if isinstance(number, int) and 0 <= number < len(QUADRANTS):
        st.session_state["pairs-quadrant"] = QUADRANTS[number]
        state.put("m.quadrant", QUADRANTS[number])


def _quadrant(sides: ScoreSides, at: tuple[float, float], counts: Sequence[int]) -> None:
    """Draw pairs of a quadrant, those first on which both scores disagree most."""
    first, second = (plain(one.name) for one in sides.columns)
    words = dict(
        zip(QUADRANTS, ("both", f"{first} only", f"{second} only", "neither"), strict=True)
    )
    shown = fields.one_of(
        st.segmented_control,
        "Kept by",
        ["none", *QUADRANTS],
        "pairs-quadrant",
        "m.quadrant",
        format_func=lambda name: "Hide pairs" if name == "none" else words[name],
        required=True,
    )
    if shown == "none":
        return
    number = QUADRANTS.index(shown)
    selection = PairSelection(
        sides.columns, at, "and", sides.choice.selection.where, sides.choice.selection.rule
    )
    found = _rows(sides.choice.source, selection, number)
    show_problems(found.errors, [])
    title = f"Kept by {words[shown]}: {len(found.rows):,} of {many(counts[number], 'pair')}"
    st.html(part("title", title))
    groups = {"groups": [{"cards": found.rows}]}
    row_cards.mount(sides.choice, "quadrant", groups, partial(_card, sides))


def _card(sides: ScoreSides, row: PairRow) -> dict[str, Any]:
    """Return a row as a card with both scores and their percentiles."""
    ranks = [
        (column.name, f"{100 * _percentile(sides.curves, column, score):.0f}%", f"{score:.5g}")
        for column, score in zip(sides.columns, row.scores, strict=True)
    ]
    return row_cards.card_of(row, ranks=ranks)


def _percentile(curves: PairCurves, column: ScoreColumn, score: float) -> float:
    """Return the share of scores below the step of a score."""
    kept = curves.curve([column])
    step = int(np.searchsorted(column.scale.thresholds(), score, "right")) - 1
    return 1 - float(kept[max(step, 0)]) / max(int(kept[0]), 1)


@cached("Reading pairs of the quadrant")
def _rows(source: TableKey, selection: PairSelection, number: int) -> FoundRows:
    errors: list[str] = []
    rows = rows_of_quadrant(table_data.table_of(source), selection, number, _SHOWN, errors)
    return FoundRows(rows, errors)


def _along(sides: ScoreSides, at: float) -> None:
    """Draw overlap and the second score's threshold against the first one's."""
    first, second = sides.columns
    kept = sides.curves.curve([first])
    used = np.flatnonzero((kept > 0) & (kept < kept[0]))
    if not len(used):
        return
    steps = np.unique(np.linspace(used[0], used[-1], _POINTS).round().astype(np.int64))
    found = [
        compared(sides.curves, first, second, one)
        for one in first.scale.thresholds()[steps].tolist()
    ]
    places = [(one.threshold, one.equivalent) for one in found]
    series = {"pairs": [one.overlap.jaccard for one in found]}
    yields = [one.kept[0] for one in found]
    pictures = {
        "overlap": (
            "Overlap (IoU) by threshold", charts.overlaps(places, series, at, sides.names),
        ),
        "equivalent": (
            "Equivalent by threshold", charts.equivalents(places, yields, at, sides.names),
        ),
    }  # fmt: skip
    for place, (name, (title, figure)) in zip(
        pair_of_columns("along"), pictures.items(), strict=True
    ):
        with place:
            show_figure(
                figure, title, name, list(found[0].row()),
                lambda: [list(one.row().values()) for one in found],
                what=title.lower(), alt=title,
            )  # fmt: skip
