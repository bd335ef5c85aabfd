"""The page Loaders: the same corpus under the loader of every training code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.arrays import Ints
from mmc4viz.data.scale import Thresholds
from mmc4viz.loader.profile import PROFILES
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.by_yield import Steps, steps_of_scores
from mmc4viz.thresholds.compare.loaders import (
    LoaderComparison,
    UnderLoader,
    compare_resolved,
    kept_and_lost,
    rows_of,
    table_of,
)
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import data, fields, html, state
from mmc4viz.ui.cache import cached
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.html import NO_DOCUMENTS, many, note, part
from mmc4viz.ui.sidebar import Choice

_SHOWN: Final = 200  # documents in the list
_KEPT, _LOST = "o.kept", "o.lost"


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Loaders", anchor=False)
    if not data.facts_of(choice.source).documents:
        note(NO_DOCUMENTS, "error")
        return
    at = f"{choice.config.threshold:g}"
    st.text(
        f"The same documents under the loader of each training code, at {at} (dots) and at its own "
        "threshold (circles). Each has its own other settings, the one in the sidebar those there."
    )
    if choice.source.sample is not None:
        note("Counted on the sample, not on the whole corpus.")
    found = _compared(choice.source, choice.config)
    with st.container(key="loaders-picture"):
        show_figure(
            charts.under_loaders(found),
            "What is left under each loader",
            "loaders",
            list(rows_of(found)[0]),
            lambda: [list(row.values()) for row in rows_of(found)],
            what="loaders",
            alt="Shares of documents kept, single-image sequences and mispaired image tokens "
            f"under {len(found.loaders)} loaders",
        )
    _table(found)
    _documents(choice, found)


@dataclass(frozen=True)
class _CachedUnderLoader:
    """A corpus under one loader, as it is cached: another threshold is looked up."""

    source: data.CorpusKey
    config: LoaderConfig

    def curves(self, thresholds: Thresholds) -> Curves:
        return _curves(self.source, self.config.for_curves(), tuple(thresholds.tolist()))

    def steps(self) -> Steps:
        return _steps(self.source, self.config.for_yields())

    def verdicts(self) -> Verdicts:
        return data.verdicts_for(self.source, self.config)


@cached("Computing curves")
def _curves(source: data.CorpusKey, config: LoaderConfig, thresholds: tuple[float, ...]) -> Curves:
    return sweep(data.matched_of(source, config), config, np.array(thresholds))


@cached("Computing what every score keeps")
def _steps(source: data.CorpusKey, config: LoaderConfig) -> Steps:
    return steps_of_scores(data.matched_of(source, config), config)


def _compared(source: data.CorpusKey, config: LoaderConfig) -> LoaderComparison:
    documents = sum(map(len, data.columns_of(source)))
    return compare_resolved(config, (), lambda own: _CachedUnderLoader(source, own), documents)


def _table(found: LoaderComparison) -> None:
    """Draw the numbers, and how to read them."""
    st.header("In numbers", anchor=False)
    head, *rows = table_of(found)
    caption = (
        f"Expected values of {many(found.documents, 'document')}. “Equal at” is the threshold at "
        f"which a loader keeps as many documents as {found.loaders[0].config.loader} does at "
        f"{found.config.threshold:g}, or as close to that as it can."
    )
    st.html(part("document", html.table(head, rows, caption)))
    with st.expander("Which code each loader is"):
        rows = [(name, profile.label, str(profile.source)) for name, profile in PROFILES.items()]
        st.html(part("document", html.table(("loader", "name", "code"), rows, "")))


def _documents(choice: Choice, found: LoaderComparison) -> None:
    """List the documents that one loader keeps and another loses."""
    st.header("Kept by one, lost by another", anchor=False)
    head, *rows = kept_and_lost(found)
    caption = "Documents that the loader of the row may keep, and that of the column never does."
    st.html(part("document", html.table(head, rows, caption)))
    by_name = {one.config.loader: one for one in found.loaders}
    names = list(by_name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kept = _one("Kept by", names, "loaders-kept", _KEPT, names[0])
        lost = _one("Lost by", names, "loaders-lost", _LOST, names[-1])
    documents = found.lost(by=by_name[lost], kept_by=by_name[kept])
    cells = ("shard", "key", "probability")
    html.heading(
        many(len(documents), "document"), "loaders-documents", cells,
        lambda: _cells(choice, documents, by_name[kept]), what="documents",
    )  # fmt: skip
    if not len(documents):
        return
    listed = list(_cells(choice, documents[:_SHOWN], by_name[kept]))
    shown = f"The first {_SHOWN:,}; the file has all. " if len(documents) > _SHOWN else ""
    st.text(f"{shown}Press a row to open its document under the loader in the sidebar.")
    chosen = st.dataframe(
        {name: [row[n] for row in listed] for n, name in enumerate(cells)},
        key=f"loaders-list-{kept}-{lost}",
        on_select="rerun",
        selection_mode="single-row",
        hide_index=True,
    )
    if pressed := chosen["selection"]["rows"]:
        place = data.place_of(choice.source, choice.config, int(documents[pressed[0]]))
        state.go_to_document(choice.source, *place)


def _one(label: str, names: list[str], key: str, name: str, default: str) -> str:
    return fields.one_of(
        st.selectbox,
        label,
        names,
        key,
        name,
        default,
        format_func=lambda one: PROFILES[one].label,
        width=300,
    )


def _cells(choice: Choice, documents: Ints, kept: UnderLoader) -> Iterator[tuple[str, str, float]]:
    """Yield shard, key and keep probability of documents."""
    columns = data.columns_of(choice.source)
    for document in documents.tolist():
        number, row = data.place_of(choice.source, choice.config, document)
        here = columns[number]
        key = here.batch.column("key")[row].as_py()
        yield here.shard.name, key, float(kept.probability[document])
