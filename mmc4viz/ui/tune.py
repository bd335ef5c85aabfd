"""The page Tune: one threshold, everything it costs. Draws; the numbers are the core's."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.corpus.curves import Curves
from mmc4viz.corpus.estimate import RATES, Estimate
from mmc4viz.corpus.funnel import document_funnel, image_funnel
from mmc4viz.ui import (
    control,
    data,
    enough,
    funnel,
    knobs,
    numbers,
    proposals,
    saved,
    soon,
    suggested,
)
from mmc4viz.ui.inert import note
from mmc4viz.ui.sidebar import Choice

_NOTHING = Curves(np.zeros(1), np.zeros((10, 7, 1), np.int64), np.zeros((6, 1), np.int64))
_YIELDS = tuple(_NOTHING.rows(0.5)[0])
_BANDS = ("threshold", *(f"{name}_{end}" for name in RATES for end in ("low", "high")))


def show(choice: Choice) -> None:
    """Draw the page."""
    facts = data.facts_of(choice.whole)
    st.title("Tune the threshold", anchor=False)
    if not facts.documents:
        _about(facts)
        note("No document could be read from these shards.", "error")
        return
    curves = data.curves_of(choice.source, choice.config)
    estimated = data.estimate_of(choice.source, choice.config) if choice.source.sample else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container():
            _about(facts)
        compared = saved.compared(choice)
    if choice.whole != choice.source:
        soon.show(choice)
    if estimated is not None:
        enough.show(choice, estimated, data.facts_of(choice.source))
    standing = proposals.standing(choice)
    control.show(choice, curves, _counts(choice, curves), compared, estimated, standing)
    _csv(choice, curves, estimated)
    suggested.show(choice)
    funnel.show(curves, choice)
    last = st.container()  # drawn below, but computed when all else stands
    _more()
    with last:
        knobs.show(choice)


def _csv(choice: Choice, curves: Curves, estimated: Estimate | None) -> None:
    """Offer the numbers of the pictures."""
    keep, scale = choice.config.single_image_keep, choice.scale
    with st.popover("Numbers of these pictures", type="tertiary", width="content"):
        st.text("Every threshold, as mmc4viz curve prints it:")
        numbers.offer("yields", _YIELDS, lambda: [[*row.values()] for row in curves.rows(keep)])
        st.text("Pairs from each step to below the next:")
        steps = scale.thresholds().tolist()
        pairs = _counts(choice, curves).tolist()
        numbers.offer("histogram", ("similarity", "pairs"), lambda: zip(steps, pairs, strict=True))
        st.text("Every loss at the chosen threshold:")
        numbers.offer(
            "losses", ("of", "loss", "lost", "remaining"), lambda: _losses(curves, choice)
        )
        if estimated is not None:
            st.text("The estimates' 95 % intervals:")
            numbers.offer("intervals", _BANDS, lambda: _bands(estimated, keep))


def _losses(curves: Curves, choice: Choice) -> list[tuple[str, str, float, float]]:
    step, keep = curves.step(choice.config.threshold), choice.config.single_image_keep
    funnels = {"documents": document_funnel, "images": image_funnel}
    return [
        (of, loss.name, loss.lost, loss.remaining)
        for of, losses in funnels.items()
        for loss in losses(curves, step, keep)
    ]


def _bands(estimated: Estimate, keep: float) -> list[list[float]]:
    """Return the ends of every interval, a row a threshold."""
    bands = [estimated.band(name, keep) for name in RATES]
    columns = [end for band in bands for end in (band.low, band.high)]
    rows: list[list[float]] = np.column_stack([estimated.curves.thresholds, *columns]).tolist()
    return rows


def _more() -> None:
    """Say where the single documents are."""
    st.subheader("What stands behind these numbers", anchor=False)
    with st.container(horizontal=True):
        for name, what in (
            ("Documents", "Every document"),
            ("Borderline", "Pairs near the line"),
            ("Audit", "What the loader does unseen"),
        ):
            st.page_link(st.session_state["pages"][name], label=what)


def _counts(choice: Choice, curves: Curves) -> NDArray[np.float64]:
    """Return the pairs from each step to below the next; of a sample, as estimated."""
    if choice.source.sample is None:
        return data.spread_of(choice.source, choice.config).counts.astype(np.float64)
    grid = choice.scale.thresholds()
    pairs = curves.total("pairs")[np.searchsorted(curves.thresholds, grid)].astype(np.float64)
    counts = pairs - np.append(pairs[1:], 0.0)
    counts[0] += float(curves.total("rejected_pairs")[0])
    return np.asarray(np.maximum(counts, 0.0))


def _about(facts: data.Facts) -> None:
    """Say what was read, and whatever is wrong with it."""
    st.text(f"{_many(facts.documents, 'document')} in {_many(facts.shards, 'shard')}")
    for error in facts.errors[:5]:
        note(error, "error")
    if len(facts.errors) > 5:
        note(f"{len(facts.errors) - 5:,} more shards are broken", "error")
    for line in facts.notes:
        note(line)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
