"""The page Models: the chosen CLIP model beside another one. Draws; the numbers are the core's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz import charts
from mmc4viz.choice.comparing.cells import agreed, how_sure, values
from mmc4viz.choice.comparing.disagreement import Correlation
from mmc4viz.choice.comparing.distribution import Distribution
from mmc4viz.choice.comparing.models import Match
from mmc4viz.choice.steps import YIELDS
from mmc4viz.ui import (
    compared,
    data,
    disagreements,
    estimated,
    inspector,
    label_file,
    numbers,
    separated,
    state,
)
from mmc4viz.ui.beside import pair_of_columns
from mmc4viz.ui.compared import Side
from mmc4viz.ui.inert import escaped, note
from mmc4viz.ui.markup import table
from mmc4viz.ui.sidebar import Choice

_OTHER: Final = "m.other"
_BY: Final = "m.by"
_SPREAD: Final = ("from", "to_below", "pairs")
_ALONE = """
<p>There is one similarity set here: <b>{name}</b>. Comparing takes another CLIP model's similarity
of the same documents. To make it, with a model's folder of ONNX files:</p>
<pre class="mmc-raw">mmc4viz score SHARD... --model FOLDER --out similarity_NAME.parquet</pre>
<p>A file <code>similarity_*.parquet</code> beside the shards is found by itself. An index takes it
in:</p>
<pre class="mmc-raw">mmc4viz index --out DIR --similarity NAME=similarity_NAME.parquet</pre>
"""


def show(choice: Choice) -> None:
    """Draw the page; what takes long comes when its place stands."""
    st.title("Models", anchor=False)
    inspector.load_styles()
    others = [name for name in choice.models if name != choice.config.clip_model]
    if not others:
        name = escaped(choice.config.clip_model)
        st.html(f'<div class="mmc-doc">{_ALONE.format(name=name)}</div>')
        return
    other = _other(choice, others)
    first = compared.side(choice.config.clip_model, choice.source, choice.config)
    second = compared.side(other, choice.models[other], choice.config)
    if not data.facts_of(choice.source).documents:
        note("No document could be read from these shards: name others in the sidebar.", "error")
        return
    state.write_address()
    compared.check(first, second)
    if not compared.distribution_of(first).pairs or not compared.distribution_of(second).pairs:
        note(
            "No image is matched to a sentence with one of the models: see the page Audit.", "error"
        )
        return
    _draw(choice, first, second)


def _other(choice: Choice, others: Sequence[str]) -> str:
    """Choose the model to compare with."""
    wanted = state.get(_OTHER) if state.get(_OTHER) in others else others[0]
    if st.session_state.get("models-other") not in others:
        st.session_state.pop("models-other", None)
    state.seed("models-other", wanted)

    def keep() -> None:
        chosen = st.session_state["models-other"]
        state.put(_OTHER, None if chosen == others[0] else chosen)

    found: str = st.selectbox(
        "Compare the CLIP model on the left with", others, key="models-other", on_change=keep,
        width=320,
    )  # fmt: skip
    if choice.source.sample is not None:
        st.text("Counted on the sample, not on the whole corpus.")
    return found


def _draw(choice: Choice, first: Side, second: Side) -> None:
    """Draw everything about two models."""
    threshold = choice.config.threshold
    names = escaped(first.name), escaped(second.name)
    table_place, choose_place, scores_place = (st.container() for _ in range(3))
    found = compared.matches(first, second, threshold)
    with table_place:
        _table(found, names)
    with choose_place:
        chosen = _by()
    match = next(one for one in found if one.by == chosen)
    with scores_place:
        _scores(first, second, match)
    _curves(compared.curve(first, second, chosen), match, names)
    _changes(match, names)
    st.subheader("Strongest disagreements", anchor=False)
    st.text(
        "Percentiles are a score's place among all matched scores of its own model. Of the model "
        "below, the score of the same image and sentence, matched by it or not."
    )
    digits = [compared.distribution_of(one).scale.digits + 1 for one in (first, second)]
    disagreements.show(first, second, (digits[0], digits[1]))
    _correlated(compared.correlations(first, second))
    estimated.show_fdr(first, second, threshold)
    separated.show(first, second, threshold, label_file.path_of(choice))


def _table(found: Sequence[Match], names: tuple[str, str]) -> None:
    """Draw which thresholds go together, and what rests on what."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("Matched thresholds", anchor=False, width="content")
        head = list(found[0].row())
        numbers.offer("matched", head, lambda: [list(match.row().values()) for match in found])
    heads = (
        "equal in", names[0], names[1], f"left by {names[0]}", f"left by {names[1]}",
        "documents agreed", "pairs agreed", "how sure",
    )  # fmt: skip
    caption = (
        "Each line: the thresholds that leave the same of one quantity, counted over all of them; "
        "nearest where none leaves the same. Agreed: kept by both, of what either keeps; a pair is "
        "the same when image and sentence are."
    )
    st.html(table(heads, [_cells(match) for match in found], caption))


def _cells(match: Match) -> tuple[str, ...]:
    return (
        _words(match.by),
        f"{match.first:.12g}",
        f"<b>{match.second:.12g}</b>",
        *values(match),
        *agreed(match),
        how_sure(match),
    )


def _words(by: str) -> str:
    return by.replace("_", " ")


def _by() -> str:
    """Choose which yield the rest of the page holds equal."""
    wanted = state.get(_BY) if state.get(_BY) in YIELDS else "pairs"
    state.seed("models-by", wanted)

    def keep() -> None:
        chosen = st.session_state["models-by"]
        state.put(_BY, None if chosen == "pairs" else chosen)

    found = st.segmented_control(
        "With equal",
        YIELDS,
        format_func=_words,
        required=True,
        key="models-by",
        on_change=keep,
    )
    return str(found or wanted)


def _scores(first: Side, second: Side, match: Match) -> None:
    """Draw both models' scores on their own scales, with the thresholds that go together."""
    places = pair_of_columns("scores")
    for place, which, one, threshold in zip(
        places, ("first", "second"), (first, second), (match.first, match.second), strict=True
    ):
        found = compared.distribution_of(one)
        with place:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                words = f"<b>{escaped(one.name)}</b> at {threshold:.12g}, {found.scale.name} scale"
                st.html(f'<div class="mmc-doc">{words}</div>', width="content")
                numbers.offer(f"scores-{which}", _SPREAD, partial(_spread, found))
            scores = compared.candidate(one).model.pairs.score
            low, high = float(found.edges[0]), float(found.edges[-1])
            span = min(low, threshold), max(high, threshold)
            st.plotly_chart(
                charts.score_histogram(scores, threshold, span, found.scale),
                key=f"scores-{which}",
                config=inspector.STILL,
                alt=f"Matched scores of the {which} model, its threshold {threshold:.6g} marked",
            )


def _spread(found: Distribution) -> list[tuple[float, float, int]]:
    edges = found.edges.tolist()
    return list(zip(edges[:-1], edges[1:], found.counts.tolist(), strict=True))


def _curves(found: Sequence[Match], match: Match, names: tuple[str, str]) -> None:
    """Draw agreement, and the second model's threshold, against the first one's."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("Along the thresholds", anchor=False, width="content")
        if found:
            rows = [one.row() for one in found]
            numbers.offer("along", list(rows[0]), lambda: [list(row.values()) for row in rows])
    pictures = {
        "agreement": (charts.agreement, "What both models keep, of what either keeps"),
        "thresholds": (charts.thresholds, "Thresholds of both models that leave the same"),
    }
    for place, (name, (draw, alt)) in zip(pair_of_columns("along"), pictures.items(), strict=True):
        picture = draw(found, match.first, names)
        alt = f"{alt}, by {_words(match.by)}"
        place.plotly_chart(picture, key=f"along-{name}", config=inspector.STILL, alt=alt)


def _changes(match: Match, names: tuple[str, str]) -> None:
    """Say what becomes of images when one model takes the other's place."""
    changes, documents = match.agreement.changes, match.agreement.documents
    first, second = names
    st.subheader("Which pairs change", anchor=False)
    rows = [
        ("images kept by both, with the same sentence", f"{changes.same:,}"),
        ("images kept by both, with another sentence", f"{changes.other_sentence:,}"),
        (f"images kept by {first} only", f"{changes.only_first:,}"),
        (f"images kept by {second} only", f"{changes.only_second:,}"),
        ("documents kept by both", f"{documents.both:,}"),
        (f"documents kept by {first} only", f"{documents.only_first:,}"),
        (f"documents kept by {second} only", f"{documents.only_second:,}"),
    ]
    at = f"at {match.first:.12g} of {first} and {match.second:.12g} of {second}"
    caption = (
        f"Counted {at}. An image is kept when its pair reaches the threshold, a document when it "
        "survives the loader, whatever its coin."
    )
    st.html(table(("of", "number"), rows, caption))


def _correlated(found: Sequence[Correlation]) -> None:
    """Say how alike the two models rank."""
    of = {
        "pairs": "pairs that both models match",
        "entries": "matrix entries that both models score",
    }
    st.subheader("Rank correlation", anchor=False)
    rows = [(of[one.of], f"{one.n:,}", _rho(one)) for one in found]
    caption = (
        "Spearman's, of both models' numbers for the same image and sentence: 1 is the same order."
    )
    st.html(table(("of", "number", "correlation"), rows, caption))


def _rho(one: Correlation) -> str:
    if one.rho is None:
        return "not defined"
    sampled = f" ({one.low:.3f} to {one.high:.3f}, of a sample)" if one.low is not None else ""
    return f"{one.rho:.3f}{sampled}"
