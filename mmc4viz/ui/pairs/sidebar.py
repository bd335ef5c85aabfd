"""The sidebar of a table of pairs: the table, its scores, their thresholds and conditions."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, cast, get_args

import numpy as np
import streamlit as st

from mmc4viz.data.storage import remember
from mmc4viz.pairs.count import open_pair_index
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.recognise import MANIFEST
from mmc4viz.pairs.selection import PairSelection, RowCondition, Together, conditions_on
from mmc4viz.types import ConfigError, Mmc4vizError
from mmc4viz.ui import fields, state
from mmc4viz.ui.data import identify
from mmc4viz.ui.html import note
from mmc4viz.ui.pairs import table_data
from mmc4viz.ui.pairs.table_data import PairChoice, TableKey
from mmc4viz.ui.sidebar import text_field
from mmc4viz.ui.start import Start

FIRST_SHARE: Final = 0.3  # of rows, kept by the threshold that a score starts with
_TOGETHER: Final = {
    "one": "none: one score",
    "and": "AND: both reach their thresholds",
    "or": "OR: either reaches its threshold",
    "sum": "Sum: both together reach one threshold",
}
_HELP: Final = {
    "table": "One per line. Parquet, CSV or TSV, or img2dataset's tars; folders, globs and braces "
    "are expanded.",
    "index": "A folder written by mmc4viz index, used instead of the table. Clear it to enter "
    "files.",
    "score": "A column with one number per row. Its threshold is remembered.",
    "where": "One per line, such as width>=200, aspect<=3 or NSFW=UNLIKELY. Rows that do not meet "
    "all of them are dropped before any threshold.",
    "strict": "Scores must exceed the threshold (>) instead of reaching it (≥).",
}


def choose(start: Start, *, threshold_here: bool) -> PairChoice:
    """Draw the sidebar of a table.

    Raises
    ------
    Mmc4vizError
        For a table, an index or conditions that cannot be used.
    """
    with st.sidebar:
        threshold_slot = st.container(key="threshold-slot" if threshold_here else None)
        score_slot = st.container()
        st.header("Conditions")
        where, strict = _conditions(start)
        source = _source(start)
        with score_slot:
            columns, together = _scores(table_data.columns_of(source))
        conditions = _parsed(where, source)
        curves = _curves(source, columns, conditions, strict)
        with threshold_slot:
            return _thresholds(source, curves, columns, together, threshold_here)


def prepare(start: Start) -> None:
    """Count the table that the app was started with, if it is one, before a page asks for it."""
    with suppress(Mmc4vizError):  # the page tells
        if start.shards and not start.index and table_data.holds_table(start.shards, start):
            source = TableKey(tuple(map(identify, start.shards)), named=start.named)
            known = table_data.columns_of(source)
            _curves(source, known[:1], _parsed(list(start.where), source), start.strict)


def _parsed(lines: list[str], source: TableKey) -> tuple[RowCondition, ...]:
    """Return conditions; on columns that the table has, unless it is known by its index only."""
    if source.index:
        return tuple(map(RowCondition.parse, lines))
    return tuple(conditions_on(lines, table_data.table_of(source))) if lines else ()


def _conditions(start: Start) -> tuple[list[str], bool]:
    """Ask for conditions on rows, and for the rule."""
    default = "\n".join(start.where)
    state.seed("where", state.get("where", default))
    text = st.text_area("Keep only pairs with", key="where", height=90, help=_HELP["where"],
                        placeholder="width>=200")  # fmt: skip
    state.put("where", None if text == default else text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    strict = fields.yes_or_no(
        "Drop equal scores", "strict", "strict", default=start.strict, help=_HELP["strict"]
    )
    return lines, strict


def _source(start: Start) -> TableKey:
    """Ask for an index or the table's files."""
    st.header("Data")
    default, place = "\n".join(start.shards), st.container()
    folder = text_field("Index", "index", start.index, _HELP["index"])
    with place:
        text = text_field(
            "Table", "shards", default, _HELP["table"], area=True, disabled=bool(folder)
        )
    if folder:
        return _index(folder, start)
    patterns = [line.strip() for line in text.splitlines() if line.strip()]
    paths = start.roots.tables(list(map(remember, patterns)))
    return TableKey(tuple(map(identify, paths)), named=start.named)


def _index(folder: str, start: Start) -> TableKey:
    """Identify an index, if it and the files that it was made from are within the roots."""
    if folder != start.index:
        start.roots.path(folder)
        start.roots.shard_files(open_pair_index(folder).paths)
    return TableKey((), (identify(folder), identify(f"{folder.rstrip('/')}/{MANIFEST}")))


def _scores(columns: tuple[ScoreColumn, ...]) -> tuple[tuple[ScoreColumn, ...], Together]:
    """Ask for the score, and how a second one decides with it."""
    if not columns:
        raise ConfigError(
            "This table has no scores. Start the app with --score COLUMN=MODEL to name one, or "
            "compute scores first."
        )
    st.header("Scores")
    by_name = {one.name: one for one in columns}
    words = {one.name: table_data.in_words(one) for one in columns}
    names = list(by_name)
    first = fields.one_of(
        st.selectbox, "Score", names, "pair-score", "score", format_func=words.__getitem__,
        help=_HELP["score"],
    )  # fmt: skip
    others = [one.name for one in columns if one.name != first and one.is_score]
    if not others or not by_name[first].is_score:
        return (by_name[first],), "one"
    together = fields.one_of(
        st.selectbox, "With a second score", list(get_args(Together)), "pair-with", "with",
        format_func=_TOGETHER.__getitem__,
    )  # fmt: skip
    if together == "one":
        return (by_name[first],), "one"
    second = fields.one_of(
        st.selectbox, "Second score", others, "pair-second", "second",
        format_func=words.__getitem__,
    )  # fmt: skip
    return (by_name[first], by_name[second]), cast(Together, together)


def _curves(
    source: TableKey,
    columns: tuple[ScoreColumn, ...],
    where: tuple[RowCondition, ...],
    strict: bool,
) -> PairCurves:
    """Return the curves of all scores, the chosen two also together."""
    known = table_data.columns_of(source)
    pair = columns if len(columns) > 1 else (*columns, *_partner(columns[0], known))
    return table_data.curves_of(source, table_data.in_order(source, pair), where, strict)


def _partner(column: ScoreColumn, known: tuple[ScoreColumn, ...]) -> tuple[ScoreColumn, ...]:
    """Return another score, by which the page Compare models begins."""
    return tuple(one for one in known if one.is_score and one != column and column.is_score)[:1]


def _thresholds(
    source: TableKey,
    curves: PairCurves,
    columns: tuple[ScoreColumn, ...],
    together: Together,
    threshold_here: bool,
) -> PairChoice:
    """Ask for the thresholds."""
    rule, where = curves.plan.rule, curves.plan.where
    alike: Together = "sum" if together == "sum" else "one"
    whole = PairSelection(columns if together == "sum" else columns[:1], (0.0,), alike, where, rule)
    span, name = span_of(curves, whole), stored_as(whole)
    value = _chosen(curves, whole, span)
    keep = partial(state.choose, name)
    scale = whole.scale
    if threshold_here:
        state.number_input(value, scale, span, keep)
    fixed = () if len(columns) == len(whole.scores) else (_second(curves, whole, columns[1]),)
    st.caption(f"Score scale: {scale.name}")
    selection = PairSelection(columns, (value, *fixed), together, where, rule)
    return PairChoice(source, curves, selection, span, keep)


def _second(curves: PairCurves, whole: PairSelection, column: ScoreColumn) -> float:
    """Ask for the threshold of the second score."""
    single = whole.alone(column)
    span, name, scale = span_of(curves, single), stored_as(single), column.scale
    value = _chosen(curves, single, span)
    st.session_state["second-threshold"] = value
    st.number_input(
        f"Threshold of {column.name}",
        *span,
        step=scale.step,
        format=f"%.{scale.digits}f",
        key="second-threshold",
        on_change=lambda: state.choose(
            name, state.on_grid(st.session_state["second-threshold"], scale, span)
        ),
    )
    return value


def stored_as(selection: PairSelection) -> str:
    """Return the name under which a threshold is stored."""
    return f"t.{selection.name}"


def _chosen(curves: PairCurves, selection: PairSelection, span: tuple[float, float]) -> float:
    """Return the stored threshold; at first, the one that keeps a fixed share of the pairs."""
    name = stored_as(selection)
    scale = selection.scale
    if name in state.named(""):
        return state.chosen(name, span[0], scale, span)
    value = first_threshold(curves, selection, span)
    note(f"{selection.name} starts at {value:.{scale.digits}f}, which keeps about "
         f"{FIRST_SHARE:.0%} of all pairs.")  # fmt: skip
    return value


def first_threshold(
    curves: PairCurves, selection: PairSelection, span: tuple[float, float]
) -> float:
    """Return the threshold whose share of kept rows is nearest to `FIRST_SHARE`."""
    scale = selection.scale
    kept = table_data.kept_at(curves, selection)
    wanted = FIRST_SHARE * curves.tally.pool
    nearest = len(kept) - 1 - int(np.abs(kept - wanted)[::-1].argmin())
    return state.on_grid(float(scale.thresholds()[nearest]), scale, span)


def span_of(curves: PairCurves, selection: PairSelection) -> tuple[float, float]:
    """Return the range of thresholds to show: all scores of the scale, without those outside."""
    scale = selection.scale
    kept = table_data.kept_at(curves, selection)
    grid, used = scale.thresholds(), np.flatnonzero(kept[:-1] > kept[1:])
    if not len(used):
        return state.visible_span(np.nan, np.nan, scale)
    return state.visible_span(float(grid[used[0]]), float(grid[used[-1] + 1]), scale)
