"""The page Threshold: the control, saved settings, pictures, suggestions and sensitivity.

Sensitivity to other settings is computed once for all thresholds, for a large corpus from a
random sample unless exact numbers are requested.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz import charts as pictures
from mmc4viz.data.scale import Thresholds
from mmc4viz.export.figure_svg import sheet
from mmc4viz.sweep.estimate import RATES, Estimate, Rate
from mmc4viz.sweep.settings.sensitivity import Effect, Pool, estimated, exact, pool, variations
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import Matched, match_corpus
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import cache, data, html, proposals, state
from mmc4viz.ui.cache import Memo, progress
from mmc4viz.ui.components import charts, control, saved_settings
from mmc4viz.ui.components.charts import TITLES, Point
from mmc4viz.ui.html import NO_DOCUMENTS, many, note
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.views import threshold_pictures

_LARGE: Final = 100_000  # documents; fewer are matched in about a second
_QUICK: Final = 5_000  # sample size until all documents are matched
_WORDS: Final = "Matching all documents for exact numbers: {:,} of {:,}"


def quick(source: data.CorpusKey, config: LoaderConfig) -> data.CorpusKey:
    """Return a sample of a large source that is not matched yet, else the source."""
    if source.sample is not None or data.facts_of(source).documents <= _LARGE:
        return source
    return source if data.is_matched(source, config) else replace(source, sample=_QUICK)


def _show_matching(choice: Choice) -> None:
    """Match all documents in the background with a progress bar; then redraw the page.

    It starts after the page is drawn.
    """
    source, config = choice.whole, choice.config
    key = source, config.for_matching()
    total = data.facts_of(source).documents
    turns = itertools.count()

    @st.fragment(run_every=0.5)
    def wait() -> None:
        if next(turns) == 0 and not cache.is_known(key):
            st.progress(0.0, _WORDS.format(0, total))
            return
        job = cache.ask(key, lambda tell: data.prepare(source, config, tell))
        if job.error is not None:
            note(str(job.error), "error")
            return
        if not job.running:
            cache.forget(key)
            st.rerun()
        st.progress(min(1.0, job.done / max(1, total)), _WORDS.format(job.done, total))

    wait()


def _show_sample_note(choice: Choice, found: Estimate, facts: data.Facts) -> None:
    """Say what the numbers are estimated from, and how precise they are."""
    note(" ".join([_sampled(found, facts), _width(choice, found), _more_documents(found)]))


def _sampled(found: Estimate, facts: data.Facts) -> str:
    """Describe the sample."""
    of = f" of {facts.whole:,}" if facts.whole else ""
    counted = (
        "numbers are for the whole corpus" if facts.whole else "numbers are per 1,000 documents"
    )
    return (
        f"Estimated from a random sample of {found.documents:,}{of} documents in "
        f"{many(facts.shards, 'shard')}: {counted}, with 95% CIs."
    )


def _width(choice: Choice, found: Estimate) -> str:
    """Describe the CI of kept documents at the current threshold."""
    at = found.curves.step(choice.config.threshold)
    band = found.band("documents", choice.config.single_image_keep)
    low, high = (100 * float(end[at]) / found.whole for end in (band.low, band.high))
    if not np.isfinite(high):
        return "No CI: a sample of one shard does not represent the others."
    if low == high:
        return f"At {choice.config.threshold:g} all sampled documents have the same outcome."
    return (
        f"At {choice.config.threshold:g}, {low:.1f}% to {high:.1f}% of all documents are kept (CI "
        f"width {high - low:.1f} percentage points)."
    )


def _more_documents(found: Estimate) -> str:
    more = found.more_to_halve()
    return f"About {more:,} more documents would halve the width." if more else ""


_SAMPLE: Final = 20_000  # documents
_POOLS: Memo[Pool] = Memo()
_MATCHED: Memo[Matched] = Memo()
_RATES: Memo[dict[str, Rate]] = Memo()
_SHOWN: Final = {"image_tokens": "image tokens", "documents": "documents"}


def _show_sensitivity(choice: Choice) -> None:
    """Draw the sensitivity charts, last on the page since they may take long."""
    source = replace(choice.whole, sample=None)
    documents = data.facts_of(choice.whole).whole or 0
    whole = choice.whole.sample is None and (documents <= _SAMPLE or _asked_for(choice))
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.header("Sensitivity to other settings", anchor=False, width="content")
        shown = st.segmented_control(
            "Yield",
            list(_SHOWN),
            default="image_tokens",
            format_func=lambda name: _SHOWN[name],
            required=True,
            key="settings-yield",
            label_visibility="collapsed",
            width="content",
        )
    shown = shown or "image_tokens"
    st.caption(_words(choice, shown, whole=whole, documents=documents))
    waiting = st.empty()
    if "multiples" not in st.session_state:  # existing charts stay until they are redrawn
        waiting.text("Computing setting sensitivity…")
    state.write_address()
    rates = _rates(source if choice.whole.sample is None else choice.whole, choice, whole)
    points = list(_points(rates, shown, choice, documents))
    waiting.empty()
    charts.show(points, _SHOWN[shown], share=shown == "documents" or not documents)
    with st.container(horizontal=True):
        if not whole and choice.whole.sample is None:
            st.button("Compute exactly", on_click=_ask, args=(choice,))
        html.csv_button(
            "sensitivity",
            ("setting", "value", "yield", "low", "high"),
            lambda: _rows(points),
            "sensitivity to other settings",
        )
        html.svg_button(
            "sensitivity",
            lambda: charts.svg(points, _SHOWN[shown], share=shown == "documents" or not documents),
            "sensitivity to other settings",
        )


def _words(choice: Choice, shown: str, *, whole: bool, documents: int) -> str:
    what = (
        f"One setting varied at a time, at threshold {choice.config.threshold:g}; "
        "large dot = current value."
    )
    if shown == "documents":
        what += " Kept documents as a share of all."
    if whole:
        return f"{what} Exact: all {documents:,} documents."
    drawn = choice.whole.sample or _SAMPLE
    return f"{what} Estimated from a random sample of {drawn:,} documents, with 95% CIs."


def _asked_for(choice: Choice) -> bool:
    asked = choice.whole, choice.config.for_yields()
    return bool(st.session_state.get("settings-exact") == asked)


def _ask(choice: Choice) -> None:
    st.session_state["settings-exact"] = choice.whole, choice.config.for_yields()


def _rates(
    source: data.CorpusKey, choice: Choice, whole: bool
) -> list[tuple[Effect, dict[str, Rate]]]:
    """Return the yields of every value of every setting, at every threshold."""
    tried, found = variations(choice.config.for_yields()), []
    sampled = source if source.sample else replace(source, sample=_SAMPLE)
    grid = data.with_reference(choice.scale)
    with progress("Computing setting sensitivity") as tell:
        for effect in tried:
            if whole:
                make = partial(_exact, source, effect.config, choice.config, grid, tell)
            else:
                make = partial(_estimated, sampled, effect.config, grid)
            key = source, whole, effect.config, choice.scale
            found.append((effect, _RATES.get(key, make)))
            tell(0)
    return found


def _exact(
    source: data.CorpusKey,
    config: LoaderConfig,
    present: LoaderConfig,
    grid: Thresholds,
    tell: data.Tell,
) -> dict[str, Rate]:
    """Compute exact rates; for a large corpus, other matchings are not cached."""
    large = data.facts_of(source).documents > _SAMPLE
    if large and config.for_matching() != present.for_matching():
        return exact(match_corpus(data.columns_of(source), config, tell), config, grid)
    return exact(data.matched_of(source, config), config, grid)


def _estimated(source: data.CorpusKey, config: LoaderConfig, grid: Thresholds) -> dict[str, Rate]:
    sample = _POOLS.get(source, lambda: pool(data.drawn_of(source)))
    key = source, config.for_matching()
    matched = _MATCHED.get(key, lambda: match_corpus([sample.columns], config))
    return estimated(sample, matched, config, grid)


def _points(
    rates: Sequence[tuple[Effect, dict[str, Rate]]], shown: str, choice: Choice, documents: int
) -> Iterator[Point]:
    """Yield points: documents as a share, image tokens in total or per document."""
    times = 1 if shown == "documents" else documents or 1
    grid = data.with_reference(choice.scale)
    at = int(np.abs(grid - choice.config.threshold).argmin())
    for effect, found in rates:
        rate = found[shown]
        estimate, low, high = (times * float(v[at]) for v in (rate.estimate, rate.low, rate.high))
        present = effect.value == getattr(choice.config, effect.setting)
        yield Point(effect.setting, effect.value, estimate, low, high, present)


def _rows(points: Sequence[Point]) -> list[tuple[Any, ...]]:
    return [(TITLES[p.setting], p.value, p.estimate, p.low, p.high) for p in points]


_NOTHING = Curves.none(np.zeros(1))
_YIELDS = tuple(_NOTHING.rows(0.5)[0])
_BANDS = ("threshold", *(f"{name}_{end}" for name in RATES for end in ("low", "high")))


def show(choice: Choice) -> None:
    """Draw the page."""
    facts = data.facts_of(choice.whole)
    st.title("Threshold", anchor=False)
    st.text("Pairs scoring below the threshold are dropped.")
    if not facts.documents:
        _show_facts(facts)
        note(NO_DOCUMENTS, "error")
        return
    curves = data.curves_of(choice.source, choice.config)
    estimated = data.estimate_of(choice.source, choice.config) if choice.source.sample else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container():
            _show_facts(facts)
        compared = saved_settings.choose_baseline(choice)
    if choice.whole != choice.source:
        _show_matching(choice)
    if not choice.config.has_threshold:
        note(
            "This loader has no threshold: it uses all pairs whatever their scores, so that every "
            "threshold keeps the same."
        )
    if estimated is not None:
        _show_sample_note(choice, estimated, data.facts_of(choice.source))
    standing = proposals.available(choice)
    control.show(choice, curves, _counts(choice, curves), compared, estimated, standing)
    _downloads(choice, curves, estimated)
    threshold_pictures.show(choice, curves, compared)
    proposals.show_suggestions(choice)
    last = st.container()  # above the links, but computed last
    _links()
    with last:
        _show_sensitivity(choice)


def _downloads(choice: Choice, curves: Curves, estimated: Estimate | None) -> None:
    """Offer the control's pictures and their data."""
    keep, scale = choice.config.single_image_keep, choice.scale
    with st.popover("Download these charts", type="tertiary", width="content"):
        _pair_of_buttons(
            "Kept counts by threshold",
            "yields",
            _YIELDS,
            lambda: [[*row.values()] for row in curves.rows(keep)],
            lambda: _yield_svg(choice, curves),
        )
        steps = scale.thresholds().tolist()
        pairs = _counts(choice, curves)
        _pair_of_buttons(
            "Score distribution",
            "histogram",
            ("similarity", "pairs"),
            lambda: zip(steps, pairs.tolist(), strict=True),
            lambda: _histogram_svg(choice, pairs),
        )
        if estimated is not None:
            _pair_of_buttons("95% CIs", "intervals", _BANDS, lambda: _bands(estimated, keep))


def _pair_of_buttons(
    title: str,
    name: str,
    head: Sequence[str],
    rows: Callable[[], Iterable[Sequence[Any]]],
    svg: Callable[[], bytes] | None = None,
) -> None:
    """Offer a chart's data and, if it is one, the chart."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(title, width=220)
        what = title if title[0].isdigit() else title[0].lower() + title[1:]
        html.csv_button(name, head, rows, what)
        if svg is not None:
            html.svg_button(name, svg, what)


def _histogram_svg(choice: Choice, pairs: NDArray[np.float64]) -> bytes:
    t, span = choice.config.threshold, control.shown(choice)
    figure = pictures.count_histogram(pairs, t, span, choice.scale)
    return sheet([figure], f"Score distribution of matched pairs, threshold {t:g}")


def _yield_svg(choice: Choice, curves: Curves) -> bytes:
    t, (low, high) = choice.config.threshold, control.shown(choice)
    inside = [
        row
        for row in curves.rows(choice.config.single_image_keep)
        if low <= row["threshold"] <= high
    ]
    return sheet([pictures.yields(inside, control.YIELDS, t)], "What is kept at each threshold")


def _bands(estimated: Estimate, keep: float) -> list[list[float]]:
    """Return the ends of every CI, one row per threshold."""
    bands = [estimated.band(name, keep) for name in RATES]
    columns = [end for band in bands for end in (band.low, band.high)]
    rows: list[list[float]] = np.column_stack([estimated.curves.thresholds, *columns]).tolist()
    return rows


def _links() -> None:
    """Link to the pages with details."""
    st.header("Next: inspect", anchor=False)
    with st.container(horizontal=True):
        for name, what in (
            ("Documents", "All documents"),
            ("Near threshold", "Pairs near the threshold"),
            ("Loader audit", "Silent loader behavior"),
        ):
            st.page_link(state.pages()[name], label=what)


def _counts(choice: Choice, curves: Curves) -> NDArray[np.float64]:
    """Return the pairs in each step of the grid; for a sample, estimates."""
    if choice.source.sample is None:
        return data.spread_of(choice.source, choice.config).counts.astype(np.float64)
    grid = choice.scale.thresholds()
    pairs = curves.total("pairs")[np.searchsorted(curves.thresholds, grid)].astype(np.float64)
    counts = pairs - np.append(pairs[1:], 0.0)
    counts[0] += float(curves.total("rejected_pairs")[0])
    return np.asarray(np.maximum(counts, 0.0))


def _show_facts(facts: data.Facts) -> None:
    """Show what was read, with errors and notes."""
    st.text(f"{many(facts.documents, 'document')} in {many(facts.shards, 'shard')}")
    html.show_problems(facts.errors, facts.notes)
