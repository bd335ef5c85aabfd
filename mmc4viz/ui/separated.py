"""What labels say of two CLIP models: equal precision, ROC and precision–recall, a paired test.

Draws and caches; the numbers are the core's. Every key holds what the file of labels says now.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import streamlit as st

from mmc4viz import charts
from mmc4viz.choice.comparing.cells import areas
from mmc4viz.choice.comparing.evidence import Evidence, evidence, match_by_precision, tell_apart
from mmc4viz.choice.comparing.models import Match, NoMatch
from mmc4viz.choice.comparing.roc import STEPS
from mmc4viz.choice.comparing.separation import Band, Separation
from mmc4viz.choice.labelling import labels
from mmc4viz.choice.labelling.design import designs
from mmc4viz.model import Mmc4vizError
from mmc4viz.ui import compared, inspector, numbers
from mmc4viz.ui.beside import pair_of_columns
from mmc4viz.ui.compared import Side
from mmc4viz.ui.estimated import equally_pure
from mmc4viz.ui.inert import escaped, note
from mmc4viz.ui.markup import table
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.progress import progress

_EVIDENCE: Memo[Evidence] = Memo()
_PRECISION: Memo[Match | NoMatch] = Memo()
_SEPARATION: Memo[Separation] = Memo()
_CURVES: Final = ("model", "step", "true_positive_rate", "low", "high", "precision", "low", "high")


def show(first: Side, second: Side, threshold: float, path: str) -> None:
    """Draw what a file of labels says, or what is missing."""
    st.subheader("What labels say", anchor=False)
    if not os.path.exists(path):
        st.text(
            "No pair is labelled yet. With labels, made on the page Label, this page says which "
            "thresholds are equally precise, and which model separates right pairs from wrong ones."
        )
        return
    try:
        _draw(first, second, threshold, path)
    except Mmc4vizError as error:
        note(str(error))


def _draw(first: Side, second: Side, threshold: float, path: str) -> None:
    said = tuple(labels.read(path)), tuple(designs(path))
    candidates = compared.candidate(first), compared.candidate(second)
    key = first, second, path, said
    with progress("Reading the labels"):
        found = _EVIDENCE.get(key, lambda: evidence(path, candidates))
    with progress("Estimating precision"):
        match = _PRECISION.get(
            (*key, threshold), lambda: match_by_precision(*candidates, found, threshold)
        )
    equally_pure(match, first, second)
    models = [one.model for one in candidates]
    with progress("Separating labelled pairs"):
        result = _SEPARATION.get(key, lambda: tell_apart(models, found))
    _areas(result, found)
    _curves(result)


def _areas(found: Separation, among: Evidence) -> None:
    """Say which model separates right pairs from wrong ones better, and how surely."""
    rows = [(escaped(name), *measures) for name, *measures in areas(found)]
    unusable = f" {found.unusable:,} labels have no score." if found.unusable else ""
    caption = (
        f"{found.labels:,} labels of pairs of {escaped(among.words)}, in {found.documents:,} "
        "documents, each weighted by one over its probability to be drawn. 95 % intervals and the "
        f"two-sided test of the difference: {found.rounds:,} draws of these documents with "
        f"replacement, the same for both models.{unusable}"
    )
    st.html(table(("right from wrong pairs", "area under ROC", "average precision"), rows, caption))


def _curves(found: Separation) -> None:
    """Draw both curves of both models."""
    names = [escaped(one.model) for one in found.models]
    pictures = {
        "roc": (charts.roc, "True-positive against false-positive rate of both models"),
        "precision": (charts.precision_recall, "Precision against recall of both models"),
    }
    for place, (name, (draw, alt)) in zip(pair_of_columns("labels"), pictures.items(), strict=True):
        picture = draw(found, names)
        place.plotly_chart(picture, key=f"labels-{name}", config=inspector.STILL, alt=alt)
    numbers.offer("separation", _CURVES, lambda: _rows(found))


def _rows(found: Separation) -> list[Sequence[object]]:
    return [
        (one.model, step, *_at(one.roc, at), *_at(one.precision, at))
        for one in found.models
        for at, step in enumerate(STEPS.tolist())
    ]


def _at(band: Band, place: int) -> tuple[float, ...]:
    return tuple(float(end[place]) for end in (band.value, band.low, band.high))
