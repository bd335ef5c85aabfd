"""The training budget: its fields, and the passes over the data that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
import streamlit as st

from mmc4viz.sweep.estimate import Estimate, Rate, estimate
from mmc4viz.sweep.statistics import Curves
from mmc4viz.thresholds.budget import (
    UNITS,
    Passes,
    TrainingBudget,
    as_sample,
    check_corpus_size,
    exact_passes,
    parse_corpus_size,
    passes_of,
)
from mmc4viz.types import ConfigError, LoaderConfig
from mmc4viz.ui import data, fields, state
from mmc4viz.ui.cache import cached, tell
from mmc4viz.ui.sidebar import Choice

T = TypeVar("T")

USUAL: Final = "60M"
"""The budget until another is entered: what OpenFlamingo's models saw of MMC4."""
_BUDGET, _UNIT, _CORPUS = "budget", "unit", "corpus"


def ask(choice: Choice) -> None:
    """Draw the fields of the budget and of the corpus size."""
    state.understood(_BUDGET, _valid(TrainingBudget.parse), "a number such as 60M", USUAL)
    state.understood(_CORPUS, _valid(parse_corpus_size), "a number such as 101.2M")
    documents = data.facts_of(choice.source).whole
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="budget-row"):
        fields.text(
            "Training budget", "budget-amount", _BUDGET, USUAL, width=130,
            help="What is trained on in all, such as 60M. OpenFlamingo's models saw 60M MMC4 "
            "sequences.",
        )  # fmt: skip
        fields.one_of(
            st.selectbox, "Unit", list(UNITS), "budget-unit", _UNIT, width=150,
            format_func=lambda unit: f"{unit[0].upper()}{unit[1:]}",
        )  # fmt: skip
        fields.text(
            "Documents in the corpus", "budget-corpus", _CORPUS, width=200,
            placeholder=f"{documents:,}" if documents else "101.2M",
            help="Size of the whole corpus, such as 101.2M, if these documents are a random part "
            "of it. By default, these documents are the corpus.",
        )  # fmt: skip


def _valid(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return a reader of an address's value, which yields None for what says nothing."""

    def parse(text: str) -> T | None:
        try:
            return read(text)
        except ConfigError:
            return None

    return parse


def in_words() -> str:
    """Return the budget as entered: ``60M sequences``."""
    unit = state.get(_UNIT)
    return f"{state.get(_BUDGET, USUAL)} {unit if unit in UNITS else next(iter(UNITS))}"


def passes(choice: Choice, curves: Curves) -> Passes:
    """Return the passes over the data at every threshold, for the budget entered.

    Raises
    ------
    ConfigError
        For a budget or a corpus size that says nothing, or if the latter is missing.
    """
    budget = TrainingBudget.parse(in_words())
    entered, facts = state.get(_CORPUS), data.facts_of(choice.source)
    size = parse_corpus_size(entered) if entered else facts.whole
    if size is None:
        raise ConfigError(
            "This is a sample of shards, so the size of the corpus is unknown: enter the number of "
            "its documents"
        )
    check_corpus_size(size, facts.whole or facts.documents)
    if choice.source.sample is not None:
        found = data.estimate_of(choice.source, choice.config)
    elif size > facts.documents:
        found = _estimate(choice.source, choice.config.for_curves())
    else:
        return exact_passes(curves, choice.config.single_image_keep, budget)
    if found.fraction:
        found = replace(found, fraction=min(1.0, found.documents / size))
    band = found.band(budget.quantity, choice.config.single_image_keep)
    kept = Rate(*(np.divide(one, found.whole) for one in (band.estimate, band.low, band.high)))
    return passes_of(budget, found.curves.thresholds, kept, size, found.documents)


@cached("Estimating the passes over a larger corpus")
def _estimate(source: data.CorpusKey, config: LoaderConfig) -> Estimate:
    """Return the estimates if all documents at hand are a random sample."""
    columns, grid = data.columns_of(source), data.curves_of(source, config).thresholds
    documents = sum(map(len, columns))
    return estimate(as_sample(columns, 2 * documents), config, grid, documents, tell)
