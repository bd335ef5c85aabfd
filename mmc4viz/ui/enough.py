"""Enough data? How wide the estimate's band is at the chosen threshold, and what would halve it."""

from __future__ import annotations

import numpy as np

from mmc4viz.corpus.estimate import Estimate
from mmc4viz.ui import data
from mmc4viz.ui.inert import note
from mmc4viz.ui.sidebar import Choice


def show(choice: Choice, found: Estimate, facts: data.Facts) -> None:
    """Say what the numbers are estimated from, and how far they can be trusted."""
    note(" ".join([_sampled(found, facts), _width(choice, found), _more(found)]))


def _sampled(found: Estimate, facts: data.Facts) -> str:
    """Say what was drawn, and what the numbers count."""
    of = f" of {facts.whole:,}" if facts.whole else ""
    counted = (
        "numbers stand for all of them" if facts.whole else "numbers are per 1,000 of the corpus"
    )
    return (
        f"Estimated from {found.documents:,}{of} documents of {facts.shards:,} shards, drawn at "
        f"random: {counted}, each with its 95 % interval."
    )


def _width(choice: Choice, found: Estimate) -> str:
    """Say how wide the interval of the documents is at the chosen threshold."""
    at = found.curves.step(choice.config.threshold)
    band = found.band("documents", choice.config.single_image_keep)
    low, high = (100 * float(end[at]) / found.whole for end in (band.low, band.high))
    if not np.isfinite(high):
        return "Enough data? One shard says nothing of the others: no interval can be given."
    if low == high:
        return f"Enough data? At {choice.config.threshold:g} every document drawn fares alike."
    return (
        f"Enough data? At {choice.config.threshold:g} between {low:.1f} % and {high:.1f} % of the "
        f"documents reach the model: a band {high - low:.1f} points wide."
    )


def _more(found: Estimate) -> str:
    more = found.more_to_halve()
    return f"About {more:,} more documents would halve it." if more else ""
