"""The page Compare models of a table of pairs: two scores of the same pairs, without any image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.pairs.curves import PairCurves, step_of
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.text import escaped, plain
from mmc4viz.ui import fields, state
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.html import heading, note, pair_of_columns, part, table
from mmc4viz.ui.pairs import table_data
from mmc4viz.ui.pairs.sidebar import span_of, stored_as
from mmc4viz.ui.pairs.table_data import PairChoice

_HEAD: Final = (
    "kept", "threshold", "other threshold", "pairs", "other pairs", "both", "only first",
    "only second", "overlap (IoU)",
)  # fmt: skip


def show(choice: PairChoice) -> None:
    """Draw the page."""
    st.title("Compare models", anchor=False)
    scores = [one for one in table_data.columns_of(choice.source) if one.is_score]
    first = choice.selection.scores[0]
    others = [one for one in scores if one.name != first.name]
    if not others or not first.is_score:
        note(
            f"A comparison needs two CLIP scores; this table has {len(scores)}. Name another "
            "column with --score COLUMN=MODEL when the app is started."
        )
        return
    names = {one.name: table_data.in_words(one) for one in others}
    chosen = fields.one_of(
        st.selectbox, "Compare with", list(names), "pair-other", "second",
        format_func=names.__getitem__, width=360,
    )  # fmt: skip
    second = next(one for one in others if one.name == chosen)
    curves = table_data.curves_of(
        choice.source,
        _in_order(choice, first, second),
        choice.selection.where,
        choice.selection.rule.strict,
    )
    _draw(choice, curves, first, second)


def _in_order(
    choice: PairChoice, first: ScoreColumn, second: ScoreColumn
) -> tuple[ScoreColumn, ...]:
    """Return all scores, these two first, in the order of the table."""
    known = table_data.columns_of(choice.source)
    pair = tuple(one for one in known if one.name in (first.name, second.name))
    return (*pair, *(one for one in known if one not in pair))


def _draw(choice: PairChoice, curves: PairCurves, first: ScoreColumn, second: ScoreColumn) -> None:
    """Draw everything about two scores."""
    columns = (first, second)
    at = state.on_grid(
        state.number(state.get(f"t.{first.name}"), choice.threshold)
        if choice.selection.together == "sum"
        else choice.threshold,
        first.scale,
    )
    compared = Comparison.of(curves, columns)
    step = step_of(first, at)
    places = (at, float(second.scale.thresholds()[compared.equal[step]]))
    names = [escaped(one.name) for one in columns]  # Plotly shows markup
    st.header("Equivalent thresholds", anchor=False)
    row = compared.row(step)
    st.html(table(_HEAD, [row], "Thresholds that keep the same number of pairs, or the closest: "
                  "exact counts over all pairs of the table."))  # fmt: skip
    digits = second.scale.digits
    st.button(
        f"Use {plain(second.name)} at {places[1]:.{digits}f}", key="use-equivalent",
        type="primary", on_click=_use, args=(second, places[1]),
    )  # fmt: skip
    for place, column, threshold in zip(pair_of_columns("scores"), columns, places, strict=True):
        with place:
            _histogram(choice, curves, column, threshold)
    _joint(choice, curves, columns, places, names)
    some = compared.shown()
    thresholds = first.scale.thresholds()[some]
    left, right = pair_of_columns("along")
    with left:
        show_figure(
            charts.overlap(thresholds, compared.jaccard[some], at, names),
            "Overlap (IoU) by threshold", "overlap", ("threshold", "overlap"),
            lambda: zip(thresholds.tolist(), compared.jaccard[some].tolist(), strict=True),
            what="overlap by threshold", alt="Overlap of what both scores keep at equal yield",
        )  # fmt: skip
    with right:
        equal = second.scale.thresholds()[compared.equal[some]]
        show_figure(
            charts.equivalents(thresholds, equal, at, names),
            "Equivalent by threshold", "equivalent", ("threshold", "other_threshold"),
            lambda: zip(thresholds.tolist(), equal.tolist(), strict=True),
            what="equivalent thresholds", alt="Thresholds of both scores with equal yield",
        )  # fmt: skip


def _use(column: ScoreColumn, threshold: float) -> None:
    """Choose the second score at its equivalent threshold."""
    state.put("score", column.name)
    state.put("second", None)
    state.put("with", None)
    state.choose(f"t.{column.name}", threshold)
    state.begin_anew()


def _histogram(
    choice: PairChoice, curves: PairCurves, column: ScoreColumn, threshold: float
) -> None:
    """Draw the distribution of a score with its threshold."""
    found = replace(
        choice, curves=curves, selection=PairSelection((column,), (threshold,), "one",
                                                       choice.selection.where,
                                                       choice.selection.rule),
    )  # fmt: skip
    counts, span = found.counts, span_of(curves, found.selection)
    grid = column.scale.thresholds().tolist()
    figure = charts.count_histogram(counts.astype(np.float64), threshold, span, column.scale)
    title = f"{plain(column.name)} at {threshold:.{column.scale.digits}f}"
    words = part("score_title", table_data.in_words(column), f"{threshold:.12g}",
                 column.scale.name)  # fmt: skip
    name = f"scores-{stored_as(found.selection).removeprefix('t.')}"
    heading(
        part("document", words), name, ("from", "pairs"),
        lambda: zip(grid, counts.tolist(), strict=True), what=f"scores at {title}",
    )  # fmt: skip
    st.plotly_chart(figure, key=name, config={"displayModeBar": False},
                    alt=f"Score distribution of {title}")  # fmt: skip


def _joint(
    choice: PairChoice,
    curves: PairCurves,
    columns: tuple[ScoreColumn, ScoreColumn],
    places: tuple[float, float],
    names: Sequence[str],
) -> None:
    """Draw both scores of the same pairs."""
    joint = curves.joint(columns)
    grids = tuple(one.scale.thresholds() for one in columns)
    spans = [
        span_of(curves, PairSelection((one,), (0.0,), rule=choice.selection.rule))
        for one in columns
    ]
    counted, edges = charts.rebinned(joint, (grids[0], grids[1]), spans)
    counts = _quadrants(curves, columns, places)
    figure = charts.joint_counts(
        counted.astype(np.float64), edges, places, counts, names, noun="pairs"
    )
    show_figure(
        figure, "Same pairs, both scores", "both-scores", ("first", "second", "pairs"),
        lambda: [
            (float(a), float(b), int(n))
            for a, line in zip(edges[0][:-1], counted, strict=True)
            for b, n in zip(edges[1][:-1], line, strict=True) if n
        ],
        what="both scores of the same pairs",
        alt=f"Both scores of the same pairs, with thresholds {places[0]:g} and {places[1]:g}",
    )  # fmt: skip
    st.text("Stronger color: more pairs. Scores beyond the picture are in its outermost cells.")


def _quadrants(
    curves: PairCurves, columns: tuple[ScoreColumn, ScoreColumn], places: tuple[float, float]
) -> list[int]:
    """Return the pairs kept by both, by the first only, by the second only, and by neither."""
    both = curves.kept(columns, places, "and")
    one, other = (curves.kept((c,), (at,)) for c, at in zip(columns, places, strict=True))
    return [both, one - both, other - both, curves.tally.pool - one - other + both]


class Comparison:
    """Two scores at every threshold of the first, with the second's at equal yield.

    Attributes
    ----------
    equal : ndarray of int64, shape (K,)
        The step of the second score's grid that keeps the closest number of pairs.
    both, jaccard : ndarray, shape (K,)
        Pairs kept by both, and their share of those kept by either.
    """

    def __init__(self, kept: Any, other: Any, both: Any, columns: Sequence[ScoreColumn]) -> None:
        self._kept, self._other, self.both, self._columns = kept, other, both, columns

    @classmethod
    def of(cls, curves: PairCurves, columns: tuple[ScoreColumn, ScoreColumn]) -> Comparison:
        """Compare two scores that were counted together."""
        raise NotImplementedError
