"""The page Compare models: equivalent thresholds, overlap, disagreements and discrimination."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import streamlit as st

from mmc4viz import charts
from mmc4viz.export.tables import areas, match_cells, match_head, overlaps, values
from mmc4viz.sweep.pairs import place_of
from mmc4viz.text import escaped
from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare.disagreement import Correlation, Disagreement, Distribution
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold, NoEquivalent, match_by_fdr
from mmc4viz.thresholds.compare.roc import (
    STEPS,
    ConfidenceBand,
    Evidence,
    Separation,
    compare_separation,
    evidence,
    match_by_precision,
)
from mmc4viz.thresholds.fdr.estimate import FDR_CAVEAT
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.sampling import designs
from mmc4viz.types import Mmc4vizError, ShardError
from mmc4viz.ui import data, document_data, document_view, html, label_data, model_data, state
from mmc4viz.ui.cache import Memo, progress
from mmc4viz.ui.html import note, pair_of_columns, table
from mmc4viz.ui.model_data import Side
from mmc4viz.ui.sidebar import Choice

_WORDS: Final = {"fdr": "false-discovery rate", "precision": "precision"}


def show_fdr(first: Side, second: Side, threshold: float) -> None:
    """Draw the thresholds with equal label-free false-discovery rate."""
    st.subheader("Label-free comparison (FDR)", anchor=False)
    note(FDR_CAVEAT)
    if not st.toggle("Estimate FDR", key="models-fdr"):
        return
    estimates = model_data.fdr_of(first), model_data.fdr_of(second)
    candidates = model_data.candidate(first), model_data.candidate(second)
    show_equal_rate(match_by_fdr(*candidates, estimates, threshold), first, second)


def show_equal_rate(match: EquivalentThreshold | NoEquivalent, first: Side, second: Side) -> None:
    """Draw the thresholds with equal FDR or precision, or why there are none."""
    words = _WORDS[match.by]
    if isinstance(match, NoEquivalent):
        note(f"No threshold with equal {words}: {match.reason}.")
        return
    names = escaped(first.name), escaped(second.name)
    row = (
        words, f"{match.first:.12g}", f"<b>{match.second:.12g}</b>", *values(match),
        *overlaps(match),
    )  # fmt: skip
    heads = (
        "equal", *names, f"estimate ({names[0]})", f"estimate ({names[1]})",
        "document overlap (IoU)", "pair overlap (IoU)",
    )  # fmt: skip
    good = "low" if match.by == "fdr" else "high"
    caption = (
        f"Lowest threshold of {names[1]} whose estimated {words} is as {good}, with 95% CIs. Based "
        f"on {escaped(match.rests_on)}."
    )
    st.html(table(heads, [row], caption))


_EVIDENCE: Memo[Evidence] = Memo()
_PRECISION: Memo[EquivalentThreshold | NoEquivalent] = Memo()
_SEPARATION: Memo[Separation] = Memo()
_CURVES: Final = ("model", "step", "true_positive_rate", "low", "high", "precision", "low", "high")


def show_separation(first: Side, second: Side, threshold: float, path: str) -> None:
    """Draw the comparison from labels, or what is missing for it."""
    st.subheader("Label-based comparison", anchor=False)
    if not os.path.exists(path):
        st.text(
            "No labels yet. With labels from the page Label, this section shows thresholds with "
            "equal precision, and which model separates correct from incorrect pairs better."
        )
        return
    try:
        _draw_separation(first, second, threshold, path)
    except Mmc4vizError as error:
        note(str(error))


def _draw_separation(first: Side, second: Side, threshold: float, path: str) -> None:
    labels = tuple(store.read(path)), tuple(designs(path))
    candidates = model_data.candidate(first), model_data.candidate(second)
    key = first, second, path, labels
    with progress("Reading the labels"):
        found = _EVIDENCE.get(key, lambda: evidence(path, candidates))
    with progress("Estimating precision"):
        match = _PRECISION.get(
            (*key, threshold), lambda: match_by_precision(*candidates, found, threshold)
        )
    show_equal_rate(match, first, second)
    models = [one.model for one in candidates]
    with progress("Computing ROC curves"):
        result = _SEPARATION.get(key, lambda: compare_separation(models, found))
    _areas(result, found)
    _separation_curves(result)


def _areas(found: Separation, among: Evidence) -> None:
    """Draw a table of how well the models separate correct from incorrect pairs."""
    rows = [(escaped(name), *measures) for name, *measures in areas(found)]
    unusable = f" {found.unusable:,} labels have no score." if found.unusable else ""
    caption = (
        f"{found.labels:,} labels of pairs from {escaped(among.words)}, in {found.documents:,} "
        "documents, weighted by inverse sampling probability. 95% CIs and two-sided test of the "
        f"difference: paired bootstrap over documents, {found.rounds:,} rounds.{unusable}"
    )
    st.html(table(("model", "ROC AUC", "average precision (AP)"), rows, caption))


def _separation_curves(found: Separation) -> None:
    """Draw the ROC and precision–recall curves of both models."""
    names = [escaped(one.model) for one in found.models]
    pictures = {
        "roc": (charts.roc, "ROC curves of both models"),
        "precision": (charts.precision_recall, "Precision–recall curves of both models"),
    }
    for place, (name, (draw, alt)) in zip(pair_of_columns("labels"), pictures.items(), strict=True):
        picture = draw(found, names)
        place.plotly_chart(picture, key=f"labels-{name}", config=document_view.STILL, alt=alt)
    html.csv_button("separation", _CURVES, lambda: _separation_rows(found))


def _separation_rows(found: Separation) -> list[Sequence[object]]:
    return [
        (one.model, step, *_at(one.roc, at), *_at(one.precision, at))
        for one in found.models
        for at, step in enumerate(STEPS.tolist())
    ]


def _at(band: ConfidenceBand, place: int) -> tuple[float, ...]:
    return tuple(float(end[place]) for end in (band.value, band.low, band.high))


SHOWN: Final = 8
_HEAD: Final = (
    "shard", "key", "image", "sentence", "high_with", "score", "percentile",
    "low_with", "other_score", "other_percentile", "other_sentence",
)  # fmt: skip


def show_disagreements(one: Side, other: Side, digits: tuple[int, int]) -> None:
    """Draw the pairs that one model ranks high and the other low, and vice versa.

    ``digits`` are the decimals of each model's scores.
    """
    _gallery("first", one, other, digits)
    _gallery("second", other, one, (digits[1], digits[0]))


def _gallery(name: str, high: Side, low: Side, digits: tuple[int, int]) -> None:
    """Draw the pairs that one model ranks high, as many per row as fit."""
    found = model_data.strongest(high, low, SHOWN)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        title = f"High in {escaped(high.name)}, low in {escaped(low.name)}"
        st.html(f'<h3 class="mmc-title">{title}</h3>', width="content")
        if found:
            html.csv_button(
                f"disagreements-{name}", _HEAD, lambda: _disagreement_rows(found, high, low)
            )
    if not found:
        st.text("None.")
        return
    starts = data.starts_of(high.source, high.config)
    with st.container(horizontal=True, gap="small", key=f"disagreements-{name}"):
        for number, pair in enumerate(found):
            place = place_of(starts, pair.document)
            with st.container(border=True, width=208):
                _draw_disagreement(pair, place, high, low, digits)
                if st.button("Open document", key=f"open-{name}-{number}", type="tertiary"):
                    state.put_filters()
                    state.go_to_document(high.source, *place)


def _draw_disagreement(
    pair: Disagreement, place: tuple[int, int], high: Side, low: Side, digits: tuple[int, int]
) -> None:
    """Draw one pair, with text escaped."""
    try:
        seen = document_data.thumbnail_of(high.source, *place, pair.image, pair.sentence)
        words = seen.sentence if seen.sentence is not None else "(no text)"
        picture = seen.picture
    except ShardError as error:
        words, picture = str(error), None
    shown = '<span class="mmc-none">no image</span>'
    if picture is not None:
        shown = f'<img src="{picture}" alt="image {pair.image + 1}">'
    ranks = _rank(high, pair.score, pair.percentile, digits[0]) + _rank(
        low, pair.other_score, pair.other_percentile, digits[1]
    )
    st.html(
        f'<div class="mmc-card mmc-doc"><div class="mmc-card-picture">{shown}</div>'
        f'<div class="mmc-standings mmc-num">{ranks}</div>'
        f'<div class="mmc-card-words" dir="auto">{escaped(words)}</div>'
        f'<div class="mmc-card-foot">{_instead(pair, low)}</div></div>'
    )


def _rank(one: Side, score: float, percentile: float, digits: int) -> str:
    """Return a model's percentile and score of a pair."""
    return (
        f"<span>{escaped(one.name)}</span><b>{_ordinal(percentile)}</b>"
        f"<span>{score:.{digits}f}</span>"
    )


def _ordinal(percentile: float) -> str:
    """Format a percentile.

    Examples
    --------
    >>> _ordinal(0.978), _ordinal(0.9999), _ordinal(0.0)
    ('98%', '100%', '0%')
    """
    return f"{100 * percentile:.0f}%"


def _instead(pair: Disagreement, low: Side) -> str:
    """Return what the model that ranks the pair low matches the image to."""
    name = escaped(low.name)
    if pair.other_sentence is None:
        return f"{name}: image unmatched"
    if pair.other_sentence == pair.sentence:
        return f"{name}: same sentence"
    return f"{name}: sentence {pair.other_sentence + 1}, not {pair.sentence + 1}"


def _disagreement_rows(
    found: Iterable[Disagreement], high: Side, low: Side
) -> list[Sequence[object]]:
    columns = data.columns_of(high.source)
    starts = data.starts_of(high.source, high.config)
    rows: list[Sequence[object]] = []
    for one in found:
        part, row = place_of(starts, one.document)
        key = str(columns[part].batch.column("key")[row])
        other = "" if one.other_sentence is None else one.other_sentence + 1
        rows.append(
            (
                columns[part].shard.name,
                key,
                one.image + 1,
                one.sentence + 1,
                high.name,
                one.score,
                one.percentile,
                low.name,
                one.other_score,
                one.other_percentile,
                other,
            )
        )
    return rows


_OTHER: Final = "m.other"
_BY: Final = "m.by"
_SPREAD: Final = ("from", "to_below", "pairs")
_ALONE = """
<p>Only one model is available: <b>{name}</b>. A comparison needs another CLIP model's scores for
the same documents. Compute them with ONNX files of the model:</p>
<pre class="mmc-raw">mmc4viz score SHARD... --model FOLDER --out similarity_NAME.parquet</pre>
<p>Files <code>similarity_*.parquet</code> next to the shards are found automatically. To add one to
an index:</p>
<pre class="mmc-raw">mmc4viz index --out DIR --similarity NAME=similarity_NAME.parquet</pre>
"""


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Compare models", anchor=False)
    others = [name for name in choice.models if name != choice.config.clip_model]
    if not others:
        name = escaped(choice.config.clip_model)
        st.html(f'<div class="mmc-doc">{_ALONE.format(name=name)}</div>')
        return
    other = _other(choice, others)
    first = model_data.side(choice.config.clip_model, choice.source, choice.config)
    second = model_data.side(other, choice.models[other], choice.config)
    if not data.facts_of(choice.source).documents:
        note("No document could be read from these shards. Select others in the sidebar.", "error")
        return
    state.write_address()
    model_data.check(first, second)
    if not model_data.distribution_of(first).pairs or not model_data.distribution_of(second).pairs:
        note(
            "One of the models matches no image to a sentence: see the page Loader audit.", "error"
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
        "Compare with", others, key="models-other", on_change=keep, width=320,
    )  # fmt: skip
    if choice.source.sample is not None:
        st.text("Counted on the sample, not on the whole corpus.")
    return found


def _draw(choice: Choice, first: Side, second: Side) -> None:
    """Draw everything about two models."""
    threshold = choice.config.threshold
    names = escaped(first.name), escaped(second.name)
    table_place, choose_place, scores_place = (st.container() for _ in range(3))
    found = model_data.matches(first, second, threshold)
    with table_place:
        _table(found, names)
    with choose_place:
        chosen = _by()
    match = next(one for one in found if one.by == chosen)
    with scores_place:
        _scores(first, second, match)
    _curves(model_data.curve(first, second, chosen), match, names)
    _changes(match, names)
    st.subheader("Strongest disagreements", anchor=False)
    st.text(
        "Percentile = rank among that model's matched scores. The second model's score is for the "
        "same image and sentence, even if it does not match them."
    )
    digits = [model_data.distribution_of(one).scale.digits + 1 for one in (first, second)]
    show_disagreements(first, second, (digits[0], digits[1]))
    _correlated(model_data.correlations(first, second))
    show_fdr(first, second, threshold)
    show_separation(first, second, threshold, label_data.path_of(choice))


def _table(found: Sequence[EquivalentThreshold], names: tuple[str, str]) -> None:
    """Draw the table of equivalent thresholds."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("Equivalent thresholds", anchor=False, width="content")
        head = list(found[0].row())
        html.csv_button("matched", head, lambda: [list(match.row().values()) for match in found])
    caption = (
        "Each row: thresholds that keep the same number, or the closest if there is none. Overlap: "
        "kept by both models divided by kept by either; pairs are equal if image and sentence are."
    )
    st.html(table(match_head(*names), [_cells(match) for match in found], caption))


def _cells(match: EquivalentThreshold) -> tuple[str, ...]:
    by, first, second, *kept = match_cells(match)
    return by, first, f"<b>{second}</b>", *kept


def _words(by: str) -> str:
    return by.replace("_", " ")


def _by() -> str:
    """Choose the yield by which the rest of the page compares."""
    wanted = state.get(_BY) if state.get(_BY) in YIELDS else "pairs"
    state.seed("models-by", wanted)

    def keep() -> None:
        chosen = st.session_state["models-by"]
        state.put(_BY, None if chosen == "pairs" else chosen)

    found = st.segmented_control(
        "Same number of",
        YIELDS,
        format_func=_words,
        required=True,
        key="models-by",
        on_change=keep,
    )
    return str(found or wanted)


def _scores(first: Side, second: Side, match: EquivalentThreshold) -> None:
    """Draw both models' score distributions with the equivalent thresholds."""
    places = pair_of_columns("scores")
    for place, which, one, threshold in zip(
        places, ("first", "second"), (first, second), (match.first, match.second), strict=True
    ):
        found = model_data.distribution_of(one)
        with place:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                words = f"<b>{escaped(one.name)}</b> at {threshold:.12g}, {found.scale.name} scale"
                st.html(f'<div class="mmc-doc">{words}</div>', width="content")
                html.csv_button(f"scores-{which}", _SPREAD, partial(_spread, found))
            scores = model_data.candidate(one).model.pairs.score
            low, high = float(found.edges[0]), float(found.edges[-1])
            span = min(low, threshold), max(high, threshold)
            st.plotly_chart(
                charts.score_histogram(scores, threshold, span, found.scale),
                key=f"scores-{which}",
                config=document_view.STILL,
                alt=f"Score distribution of the {which} model with threshold {threshold:.6g}",
            )


def _spread(found: Distribution) -> list[tuple[float, float, int]]:
    edges = found.edges.tolist()
    return list(zip(edges[:-1], edges[1:], found.counts.tolist(), strict=True))


def _curves(
    found: Sequence[EquivalentThreshold], match: EquivalentThreshold, names: tuple[str, str]
) -> None:
    """Draw overlap and the second model's threshold against the first one's."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("Overlap (IoU) by threshold", anchor=False, width="content")
        if found:
            rows = [one.row() for one in found]
            html.csv_button("along", list(rows[0]), lambda: [list(row.values()) for row in rows])
    pictures = {
        "agreement": (charts.agreement, "Overlap (IoU) of both models"),
        "thresholds": (charts.thresholds, "Equivalent thresholds of both models"),
    }
    for place, (name, (draw, alt)) in zip(pair_of_columns("along"), pictures.items(), strict=True):
        picture = draw(found, match.first, names)
        alt = f"{alt}, by {_words(match.by)}"
        place.plotly_chart(picture, key=f"along-{name}", config=document_view.STILL, alt=alt)


def _changes(match: EquivalentThreshold, names: tuple[str, str]) -> None:
    """Draw a table of what both models, or only one, keep."""
    changes, documents = match.agreement.changes, match.agreement.documents
    first, second = names
    st.subheader("Agreement", anchor=False)
    rows = [
        ("images kept by both, same sentence", f"{changes.same:,}"),
        ("images kept by both, different sentences", f"{changes.other_sentence:,}"),
        (f"images kept by {first} only", f"{changes.only_first:,}"),
        (f"images kept by {second} only", f"{changes.only_second:,}"),
        ("documents kept by both", f"{documents.both:,}"),
        (f"documents kept by {first} only", f"{documents.only_first:,}"),
        (f"documents kept by {second} only", f"{documents.only_second:,}"),
    ]
    at = f"{match.first:.12g} ({first}) and {match.second:.12g} ({second})"
    caption = (
        f"At thresholds {at}. An image is kept if its pair reaches the threshold, a document if "
        "its keep probability is above 0."
    )
    st.html(table(("", "count"), rows, caption))


def _correlated(found: Sequence[Correlation]) -> None:
    """Draw the rank correlations of the two models."""
    of = {
        "pairs": "pairs matched by both models",
        "entries": "matrix entries scored by both models",
    }
    st.subheader("Rank correlation", anchor=False)
    rows = [(of[one.of], f"{one.n:,}", _rho(one)) for one in found]
    caption = "Spearman's ρ of both models' scores; 1 means the same order."
    st.html(table(("", "count", "correlation"), rows, caption))


def _rho(one: Correlation) -> str:
    if one.rho is None:
        return "undefined"
    sampled = (
        f" (95% CI {one.low:.3f} to {one.high:.3f}, from a sample)" if one.low is not None else ""
    )
    return f"{one.rho:.3f}{sampled}"
