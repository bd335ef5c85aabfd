"""The frontier: what is kept against how good it is, for two CLIP models or two settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import streamlit as st

from mmc4viz.charts import tradeoff
from mmc4viz.sweep.statistics import Curves
from mmc4viz.text import plain
from mmc4viz.thresholds.by_yield import YIELDS, Steps, steps_of_curves
from mmc4viz.thresholds.compare.equivalent import Rates, rates_of
from mmc4viz.thresholds.compare.frontier import (
    CAVEATS,
    NO_QUALITY,
    Frontier,
    SharedYield,
    round_thresholds,
    trace,
    whole_of,
)
from mmc4viz.thresholds.compare.roc import FEWEST, precision_rates
from mmc4viz.thresholds.labels.precision import Labelled
from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import fields, label_data, model_data, state
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.components.control import Baseline
from mmc4viz.ui.html import note
from mmc4viz.ui.model_data import Side
from mmc4viz.ui.sidebar import Choice

TITLE: Final = "Frontier"
_WORDS: Final = {
    "precision": "Precision (labels)",
    "fdr": "1 − FDR (no labels)",
    "overlap": "Overlap at equal yield",
}
_QUALITY: Final = "quality"
_KEPT: Final = "kept"
_CURRENT: Final = "current"


def show_models(choice: Choice, first: Side, second: Side, quantity: str) -> None:
    """Draw the frontier of two CLIP models by a yield.

    Parameters
    ----------
    choice : Choice
    first, second : Side
    quantity : str
        One of `mmc4viz.thresholds.by_yield.YIELDS`.
    """
    threshold, path = choice.config.threshold, label_data.path_of(choice)
    try:
        labels = model_data.Labels.of(path) if model_data.has_labels(path) else None
        wanted = _quality(TITLE, labelled=labels is not None)
        if wanted == "precision" and labels is not None:
            found = model_data.frontier_by_precision(first, second, labels, quantity, threshold)
            _show(found, settings=False)
        elif wanted == "precision":
            _no_labels("No labels yet, so there is no precision.")
        elif wanted == "fdr":
            _show(model_data.frontier_by_fdr(first, second, quantity, threshold), settings=False)
        else:
            overlap = model_data.shared_yield(first, second, quantity, threshold)
            _show_shared(overlap, labelled=labels is not None)
    except Mmc4vizError as error:
        note(str(error), "error")


def show_settings(choice: Choice, curves: Curves, compared: Baseline) -> None:
    """Draw the frontier of the current settings and of the baseline.

    Parameters
    ----------
    choice : Choice
    curves : Curves
    compared : Baseline
        If only its threshold differs, both points are on one line.
    """
    try:
        found = {_CURRENT: _labelled(choice), _name(compared): _labelled(_other(choice, compared))}
    except Mmc4vizError as error:
        note(str(error), "error")
        found = {}
    labelled = {name: one for name, one in found.items() if one is not None}
    quantity = fields.one_of(
        st.segmented_control,
        "Kept",
        YIELDS,
        "frontier-kept",
        _KEPT,
        format_func=lambda name: name.replace("_", " "),
        required=True,
    )
    wanted = _quality("", labelled=bool(labelled))
    try:
        if wanted == "overlap":
            _settings_overlap(choice, compared, quantity, labelled=bool(labelled))
            return
        rates, missing = (
            _precision(choice, labelled, found) if wanted == "precision" else _fdr(choice, compared)
        )
        if not rates and wanted == "precision":
            _no_labels(f"No labels yet for {plain(choice.config.clip_model)} with these settings.")
            return
        _show(_of_settings(choice, curves, compared, quantity, wanted, rates, missing),
              settings=True)  # fmt: skip
    except Mmc4vizError as error:
        note(str(error), "error")
    if _alike(choice, compared):
        note(_SAME)


_SAME: Final = (
    "Baseline and current settings differ in the threshold only, so they are one line. To compare "
    "two caps or assignments, save settings and use them as the baseline."
)


def _alike(choice: Choice, compared: Baseline) -> bool:
    return choice.config.for_yields() == compared.config.for_yields()


def _name(compared: Baseline) -> str:
    return f"baseline {compared.label}"


def _other(choice: Choice, compared: Baseline) -> Choice:
    return replace(choice, config=compared.config)


def _labelled(choice: Choice) -> Labelled | None:
    """Return the labels of these settings' pairs; None without any."""
    path = label_data.path_of(choice)
    design = label_data.design_of(path, choice)
    found = None if design is None else label_data.labelled_of(path, design, choice)
    return found if found is not None and len(found.sample) else None


def _quality(title: str, *, labelled: bool) -> str:
    """Choose how quality is measured; precision by default if there are labels."""
    if title:
        st.header(title, anchor=False)
    return fields.one_of(
        st.segmented_control,
        "Quality",
        list(_WORDS),
        "frontier-quality",
        _QUALITY,
        "precision" if labelled else "overlap",
        format_func=lambda name: _WORDS[name],
        required=True,
    )


def _no_labels(words: str) -> None:
    """Say what is missing, with a link to the page Label."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note(f"{words} About 200 labels of each show it at every threshold.")
        st.page_link(state.pages()["Label"], label="Label pairs", width="content")


Estimates = tuple[dict[str, Rates], list[str]]
"""Rates by line, and why other lines are missing."""


def _precision(
    choice: Choice, labelled: dict[str, Labelled], asked: dict[str, Labelled | None]
) -> Estimates:
    rates = {
        name: precision_rates(
            choice.config.clip_model, one, round_thresholds(one.sample.scores, choice.scale)
        )
        for name, one in labelled.items()
    }  # fmt: skip
    without = "is not drawn: its pairs differ (another assignment or min image size) and have no"
    return rates, [f"{name} {without} labels." for name in asked if name not in labelled]


def _fdr(choice: Choice, compared: Baseline) -> Estimates:
    rates, missing = dict[str, Rates](), []
    for name, config in ((_CURRENT, choice.config), (_name(compared), compared.config)):
        found = model_data.fdr_of(model_data.side(name, choice.source, config))
        if found.reason is None:
            rates[name] = rates_of(choice.config.clip_model, found)
        else:
            missing.append(f"{name} is not drawn: {found.reason}.")
    return rates, missing


def _of_settings(
    choice: Choice,
    curves: Curves,
    compared: Baseline,
    quantity: str,
    by: str,
    rates: dict[str, Rates],
    missing: Sequence[str],
) -> Frontier:
    """Return the frontier of both settings, or of one with two points if they are alike."""
    chosen = {
        _CURRENT: (curves, choice.config.single_image_keep, choice.config.threshold),
        _name(compared): (compared.curves, compared.keep, compared.threshold),
    }
    every = {name: steps_of_curves(c, keep) for name, (c, keep, _) in chosen.items()}
    marked = {name: [_step(every[name], at)] for name, (*_, at) in chosen.items()}
    names = list(chosen)
    if _alike(choice, compared):
        names = [_CURRENT]
        marked[_CURRENT] = sorted({at for one in marked.values() for at in one})
        missing = missing[:1]
    lines = [
        trace(name, every[name], quantity, rates[name], marked[name])
        for name in names
        if name in rates
    ]
    whole = whole_of(quantity, list(every.values()))
    return Frontier(quantity, by, whole, tuple(lines), tuple(missing))


def _step(steps: Steps, threshold: float) -> float:
    return float(steps.threshold[abs(steps.threshold - threshold).argmin()])


def _settings_overlap(choice: Choice, compared: Baseline, quantity: str, *, labelled: bool) -> None:
    """Draw what both settings keep at equal yield, or say why there is nothing to compare."""
    if _alike(choice, compared):
        if not labelled:
            _no_labels("Settings that are one line need a quality, and there are no labels yet.")
        note(_SAME)
        return
    sides = [
        model_data.side(name, choice.source, config)
        for name, config in ((_CURRENT, choice.config), (_name(compared), compared.config))
    ]
    found = model_data.shared_yield(sides[0], sides[1], quantity, choice.config.threshold)
    _show_shared(found, labelled=labelled)


def _show(found: Frontier, *, settings: bool) -> None:
    """Draw a frontier with its points in words, and what is missing."""
    for line in found.missing:
        note(line)
    rows = found.rows()
    if not rows:
        return
    title = f"{found.quality_in_words} against {found.quantity.replace('_', ' ')} kept"
    figure = tradeoff.frontier(found, settings=settings)
    show_figure(
        figure,
        title,
        "frontier",
        list(rows[0]),
        lambda: [list(row.values()) for row in rows],
        what="frontier",
        alt=f"{title}, one line each with thresholds and 95% CIs",
    )
    for sentence in found.in_words():
        note(f"{sentence}.")
    rest = "; ".join(dict.fromkeys(line.rests_on for line in found.lines))
    few = f" Drawn where at least {FEWEST} labels are at or above the threshold."
    note(f"From {rest}. {CAVEATS[found.by]}{few * (found.by == 'precision')}")


def _show_shared(found: SharedYield, *, labelled: bool) -> None:
    """Draw what both keep at equal yield, and say what is missing."""
    title, rows = f"Overlap at equal {found.quantity.replace('_', ' ')} kept", found.rows()
    show_figure(
        tradeoff.shared(found),
        title,
        "frontier",
        list(rows[0]),
        lambda: [list(row.values()) for row in rows],
        what="frontier",
        alt=f"{title}: share of documents and pairs that the other keeps too",
    )
    note(found.in_words())
    if labelled:
        note(NO_QUALITY)
    else:
        _no_labels(NO_QUALITY)
