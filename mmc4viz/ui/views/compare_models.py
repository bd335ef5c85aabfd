"""The page Compare models: equivalent thresholds, overlap, disagreements and discrimination."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.export.figure_svg import sheet
from mmc4viz.export.tables import areas, match_cells, match_head, overlaps, values
from mmc4viz.text import escaped, plain
from mmc4viz.thresholds.by_yield import YIELDS, steps_of_curves
from mmc4viz.thresholds.compare.disagreement import (
    QUADRANTS,
    Correlation,
    Distribution,
    JointScores,
)
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold, NoEquivalent, match_by_fdr
from mmc4viz.thresholds.compare.roc import STEPS, ConfidenceBand, Evidence, Separation
from mmc4viz.thresholds.fdr.estimate import FDR_CAVEAT
from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import data, fields, label_data, model_data, state
from mmc4viz.ui.components import frontier, gallery, navigation
from mmc4viz.ui.components.charts import STILL, histogram, pressed_point
from mmc4viz.ui.components.gallery import Card
from mmc4viz.ui.html import NO_DOCUMENTS, heading, note, pair_of_columns, part, table
from mmc4viz.ui.model_data import Side
from mmc4viz.ui.sidebar import Choice

_WORDS: Final = {"fdr": "false-discovery rate", "precision": "precision"}


def _fdr(first: Side, second: Side, threshold: float) -> None:
    """Draw the thresholds with equal label-free false-discovery rate."""
    st.header("Label-free comparison (FDR)", anchor=False)
    note(FDR_CAVEAT)
    if not st.toggle("Estimate FDR", key="models-fdr"):
        return
    estimates = model_data.fdr_of(first), model_data.fdr_of(second)
    candidates = model_data.candidate(first), model_data.candidate(second)
    _equal_rate(match_by_fdr(*candidates, estimates, threshold), first, second)


def _equal_rate(match: EquivalentThreshold | NoEquivalent, first: Side, second: Side) -> None:
    """Draw the thresholds with equal FDR or precision, or why there are none."""
    words = _WORDS[match.by]
    if isinstance(match, NoEquivalent):
        note(f"No threshold with equal {words}: {match.reason}.")
        return
    names = first.name, second.name
    row = (
        words, f"{match.first:.12g}", part("bold", f"{match.second:.12g}"), *values(match),
        *overlaps(match),
    )  # fmt: skip
    heads = (
        "equal", *names, f"estimate ({names[0]})", f"estimate ({names[1]})",
        "document overlap (IoU)", "pair overlap (IoU)",
    )  # fmt: skip
    good = "low" if match.by == "fdr" else "high"
    caption = (
        f"Lowest threshold of {names[1]} whose estimated {words} is as {good}, with 95% CIs. Based "
        f"on {match.rests_on}."
    )
    st.html(table(heads, [row], caption))


_CURVES: Final = ("model", "step", "true_positive_rate", "low", "high", "precision", "low", "high")


def _separation(first: Side, second: Side, threshold: float, path: str) -> None:
    """Draw the comparison from labels, or what is missing for it."""
    st.header("Label-based comparison", anchor=False)
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
    labels = model_data.Labels.of(path)
    found = model_data.evidence_on(first, second, labels)
    _equal_rate(model_data.equal_precision(first, second, labels, threshold), first, second)
    result = model_data.separation(first, second, labels)
    _areas(result, found)
    _separation_curves(result)


def _areas(found: Separation, among: Evidence) -> None:
    """Draw a table of how well the models separate correct from incorrect pairs."""
    unusable = f" {found.unusable:,} labels have no score." if found.unusable else ""
    caption = (
        f"{found.labels:,} labels of pairs from {among.words}, in {found.documents:,} "
        "documents, weighted by inverse sampling probability. 95% CIs and two-sided test of the "
        f"difference: paired bootstrap over documents, {found.rounds:,} rounds.{unusable}"
    )
    st.html(table(("model", "ROC AUC", "average precision (AP)"), areas(found), caption))


def _separation_curves(found: Separation) -> None:
    """Draw the ROC and precision–recall curves of both models."""
    names = [escaped(one.model) for one in found.models]  # Plotly shows markup
    pictures = {
        "roc": ("ROC", charts.roc, "ROC curves of both models"),
        "recall": (
            "Precision–recall",
            charts.precision_recall,
            "Precision–recall curves of both models",
        ),
    }
    for place, (name, (title, draw, alt)) in zip(
        pair_of_columns("labels"), pictures.items(), strict=True
    ):
        picture = draw(found, names)
        with place:
            heading(
                title, name, _CURVES, lambda: _separation_rows(found), what=alt,
                svg=partial(sheet, [picture], alt),
            )  # fmt: skip
            st.plotly_chart(picture, key=f"labels-{name}", config=STILL, alt=alt)


def _separation_rows(found: Separation) -> list[Sequence[object]]:
    return [
        (one.model, step, *_at(one.roc, at), *_at(one.precision, at))
        for one in found.models
        for at, step in enumerate(STEPS.tolist())
    ]


def _at(band: ConfidenceBand, place: int) -> tuple[float, ...]:
    return tuple(float(end[place]) for end in (band.value, band.low, band.high))


_SHOWN: Final = 8
_COLUMNS: Final = (
    "high_with", "score", "percentile", "low_with", "other_score", "other_percentile",
    "other_sentence",
)  # fmt: skip


def _disagreements(high: Side, low: Side, name: str) -> None:
    """Draw the pairs that one model ranks high and the other low."""
    cards = [
        Card(
            data.place_of(high.source, high.config, pair.document),
            pair.image,
            pair.sentence,
            (
                high.name, pair.score, pair.percentile, low.name, pair.other_score,
                pair.other_percentile,
                "" if pair.other_sentence is None else pair.other_sentence + 1,
            ),
            ranks=[
                _rank(high, pair.score, pair.percentile),
                _rank(low, pair.other_score, pair.other_percentile),
            ],
            lines=[("", _instead(pair.sentence, pair.other_sentence, low))],
        )
        for pair in model_data.strongest(high, low, _SHOWN)
    ]  # fmt: skip
    title = part("title", f"High in {high.name}, low in {low.name}")
    gallery.show(high.source, f"disagreements-{name}", title, cards, _COLUMNS)


def _rank(one: Side, score: float, percentile: float) -> tuple[str, str, str]:
    """Return a model's name, and its percentile and score of a pair."""
    digits = model_data.distribution_of(one).scale.digits + 1
    return one.name, f"{100 * percentile:.0f}%", f"{score:.{digits}f}"


def _instead(mine: int, theirs: int | None, other: Side) -> str:
    """Return the sentence that the other model matches an image to, instead of the first's."""
    if theirs is None:
        return f"{other.name}: image unmatched"
    if theirs == mine:
        return f"{other.name}: same sentence"
    return f"{other.name}: sentence {theirs + 1}, not {mine + 1}"


_OTHER: Final = "m.other"
_BY: Final = "m.by"
_QUADRANT: Final = "m.quadrant"
_JOINT_COLUMNS: Final = ("score", "other_score", "other_sentence")
_SPREAD: Final = ("from", "to_below", "pairs")


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Compare models", anchor=False)
    others = [name for name in choice.models if name != choice.config.clip_model]
    if not others:
        st.html(part("document", part("only_model", choice.config.clip_model)))
        return
    other = _other(choice, others)
    first = model_data.side(choice.config.clip_model, choice.source, choice.config)
    second = model_data.side(other, choice.models[other], choice.config)
    if not data.facts_of(choice.source).documents:
        note(NO_DOCUMENTS, "error")
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
    found = fields.one_of(st.selectbox, "Compare with", others, "models-other", _OTHER, width=320)
    if choice.source.sample is not None:
        st.text("Counted on the sample, not on the whole corpus.")
    return found


def _draw(choice: Choice, first: Side, second: Side) -> None:
    """Draw everything about two models."""
    threshold = choice.config.threshold
    names = first.name, second.name
    table_place, choose_place, scores_place = (st.container() for _ in range(3))
    found = model_data.matches(first, second, threshold)
    with table_place:
        _table(found, names)
    with choose_place:
        chosen = _by()
    match = next(one for one in found if one.by == chosen)
    with choose_place:
        _use_button(choice, second, match)
    with scores_place:
        _scores(first, second, match)
    if not navigation.rest_is_wanted():
        return
    frontier.show_models(choice, first, second, chosen)
    _joint(first, second, match)
    _curves(model_data.curve(first, second, chosen), match, names)
    _changes(match, names)
    st.header("Strongest disagreements", anchor=False)
    st.text(
        "Percentile = rank among that model's matched scores. The second model's score is for the "
        "same image and sentence, even if it does not match them."
    )
    _disagreements(first, second, "first")
    _disagreements(second, first, "second")
    _correlated(model_data.correlations(first, second))
    _fdr(first, second, threshold)
    _separation(first, second, threshold, label_data.path_of(choice))


def _table(found: Sequence[EquivalentThreshold], names: tuple[str, str]) -> None:
    """Draw the table of equivalent thresholds."""
    _heading("Equivalent thresholds", "matched", found, "equivalent thresholds at the current one")
    caption = (
        "Each row: thresholds that keep the same number, or the closest if there is none. Overlap: "
        "kept by both models divided by kept by either; pairs are equal if image and sentence are."
    )
    st.html(table(match_head(*names), [_cells(match) for match in found], caption))


def _cells(match: EquivalentThreshold) -> tuple[str, ...]:
    by, first, second, *kept = match_cells(match)
    return by, first, part("bold", second), *kept


def _words(by: str) -> str:
    return by.replace("_", " ")


def _by() -> str:
    """Choose the yield by which the rest of the page compares."""
    return fields.one_of(
        st.segmented_control,
        "Same number of",
        YIELDS,
        "models-by",
        _BY,
        "pairs",
        format_func=_words,
        required=True,
    )


def _use_button(choice: Choice, second: Side, match: EquivalentThreshold) -> None:
    """Offer to switch to the second model at its equivalent threshold."""
    scale = model_data.distribution_of(second).scale
    threshold = state.on_grid(match.second, scale)
    st.button(
        f"Use {plain(second.name)} at {threshold:.{scale.digits}f}",
        key="use-equivalent",
        type="primary",
        on_click=_use,
        args=(choice, second.name, threshold),
    )
    if abs(threshold - match.second) > scale.step / 1000:
        curves = data.curves_of(second.source, second.config)
        steps = steps_of_curves(curves, second.config.single_image_keep)
        kept = steps.at(curves.step(threshold))[match.by]
        words = f"{kept:,.10g} {match.by.replace('_', ' ')} instead of {match.found:,.10g}"
        note(
            f"{threshold:.{scale.digits}f} is the control's step nearest to {match.second:.6g}: it "
            f"keeps {words}."
        )


def _use(choice: Choice, model: str, threshold: float) -> None:
    own = next(iter(choice.models))
    state.put("model", model)
    state.choose(state.name_of(model, own), threshold)
    state.begin_anew()


def _joint(first: Side, second: Side, match: EquivalentThreshold) -> None:
    """Draw both models' scores of the same images, and the pairs of the chosen quadrant."""
    found = model_data.joint(first, second)
    at = match.first, match.second
    quadrant = found.quadrants(at)
    counts = np.bincount(quadrant, minlength=len(QUADRANTS)).tolist()
    names = list(map(escaped, (first.name, second.name)))  # Plotly shows markup
    figure = charts.joint(found.score, at, counts, names)
    title = "Same images, both scores"
    heading(
        title, "both-scores", _JOINT_HEAD, lambda: _joint_rows(found), what="scores of both models",
        svg=lambda: sheet([figure], title),
    )  # fmt: skip
    st.text(
        f"{len(found.image):,} images that both models match; only {first.name} matches "
        f"{found.only_first:,}, only {second.name} {found.only_second:,}. "
        "Stronger color: more images. Press anywhere in a quadrant to see its pairs."
    )
    st.plotly_chart(
        figure,
        key="joint",
        config=STILL,
        on_select=_quadrant_pressed,
        selection_mode="points",
        alt=f"Scores of the same images by both models, with thresholds {at[0]:g} and {at[1]:g}",
    )
    sides = ("both", f"{plain(first.name)} only", f"{plain(second.name)} only", "neither")
    words = dict(zip(QUADRANTS, sides, strict=True))
    shown = fields.one_of(
        st.segmented_control,
        "Kept by",
        QUADRANTS,
        "models-quadrant",
        _QUADRANT,
        "first",
        format_func=lambda name: f"{words[name]} ({counts[QUADRANTS.index(name)]:,})",
        required=True,
    )
    inside = np.flatnonzero(quadrant == QUADRANTS.index(shown))
    some = inside[np.linspace(0, len(inside) - 1, min(_SHOWN, len(inside))).astype(np.int64)]
    cards = [_joint_card(found, place, (first, second)) for place in some.tolist()]
    title = part("title", f"Kept by {words[shown]}: {len(cards):,} of {len(inside):,} images")
    gallery.show(first.source, "joint", title, cards, _JOINT_COLUMNS)


_JOINT_HEAD: Final = (
    "document", "image", "first_sentence", "second_sentence", "first_score", "second_score",
)  # fmt: skip


def _joint_rows(found: JointScores) -> list[tuple[float, ...]]:
    """Return every image with both models' sentences and scores; all are numbered from 1."""
    counted = (found.document, found.image, *found.sentence)
    columns = [*((column + 1).tolist() for column in counted), *found.score.tolist()]
    return list(zip(*columns, strict=True))


def _quadrant_pressed() -> None:
    """Show the quadrant that was pressed."""
    number, *_ = pressed_point(state.asked("joint", "selection")) or [None]
    if isinstance(number, int) and 0 <= number < len(QUADRANTS):
        chosen = QUADRANTS[number]
        st.session_state["models-quadrant"] = chosen
        state.put(_QUADRANT, chosen)


def _joint_card(found: JointScores, place: int, sides: tuple[Side, Side]) -> Card:
    first, second = sides
    ranks = [
        _rank(one, score, float(model_data.candidate(one).model.percentile(np.array([score]))[0]))
        for one, score in zip(sides, found.score[:, place].tolist(), strict=True)
    ]
    mine, theirs = found.sentence[:, place].tolist()
    return Card(
        data.place_of(first.source, first.config, int(found.document[place])),
        int(found.image[place]),
        mine,
        (*found.score[:, place].tolist(), theirs + 1),
        ranks=ranks,
        lines=[("", _instead(mine, theirs, second))],
    )


def _scores(first: Side, second: Side, match: EquivalentThreshold) -> None:
    """Draw both models' score distributions with the equivalent thresholds."""
    places = pair_of_columns("scores")
    for place, which, one, threshold in zip(
        places, ("first", "second"), (first, second), (match.first, match.second), strict=True
    ):
        found = model_data.distribution_of(one)
        with place:
            words = part("score_title", one.name, f"{threshold:.12g}", found.scale.name)
            rows = partial(_spread, found)
            scores = model_data.candidate(one).model.pairs.score
            low, high = float(found.edges[0]), float(found.edges[-1])
            span = min(low, threshold), max(high, threshold)
            figure = charts.score_histogram(scores, threshold, span, found.scale)
            what = f"scores of the {which} model"
            heading(
                part("document", words), f"scores-{which}", _SPREAD, rows, what=what,
                svg=partial(sheet, [figure], f"{plain(one.name)} at {threshold:.12g}"),
            )  # fmt: skip
            alt = f"Score distribution of the {which} model with threshold {threshold:.6g}"
            histogram(figure, f"scores-{which}", alt)


def _heading(
    title: str,
    name: str,
    found: Sequence[EquivalentThreshold],
    what: str,
    figure: Any = None,
) -> None:
    """Draw a heading, with downloads if there are equivalent thresholds."""
    if not found:
        heading(title)
        return
    rows = [one.row() for one in found]
    heading(
        title, name, list(rows[0]), lambda: [list(row.values()) for row in rows], what=what,
        svg=None if figure is None else lambda: sheet([figure], what),
    )  # fmt: skip


def _spread(found: Distribution) -> list[tuple[float, float, int]]:
    edges = found.edges.tolist()
    return list(zip(edges[:-1], edges[1:], found.counts.tolist(), strict=True))


def _curves(
    found: Sequence[EquivalentThreshold], match: EquivalentThreshold, names: tuple[str, str]
) -> None:
    """Draw overlap and the second model's threshold against the first one's."""
    pictures = {
        "agreement": (
            "Overlap (IoU) by threshold",
            charts.agreement,
            "Overlap (IoU) of both models",
        ),
        "thresholds": (
            "Equivalent by threshold",
            charts.thresholds,
            "Equivalent thresholds of both models",
        ),
    }
    for place, (name, (title, draw, alt)) in zip(
        pair_of_columns("along"), pictures.items(), strict=True
    ):
        picture = draw(found, match.first, list(map(escaped, names)))  # Plotly shows markup
        alt = f"{alt}, by {_words(match.by)}"
        with place:
            _heading(title, name, found, alt, picture)
            st.plotly_chart(picture, key=f"along-{name}", config=STILL, alt=alt)


def _changes(match: EquivalentThreshold, names: tuple[str, str]) -> None:
    """Draw a table of what both models, or only one, keep."""
    changes, documents = match.agreement.changes, match.agreement.documents
    first, second = names
    st.header("Agreement", anchor=False)
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
    st.header("Rank correlation", anchor=False)
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
