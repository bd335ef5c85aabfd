"""The page Threshold.

They are kept in a file next to that of the labels, and in the address, so that a link carries
them. A saved setting belongs to its CLIP model: thresholds mean nothing for another.

From a fixed random sample, marked as an estimate; exact on request, and for a small corpus. Either
way every setting is summed up once for all thresholds: as the line moves, this is a look-up.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st
from filelock import FileLock
from numpy.typing import NDArray

from mmc4viz.data.scale import Thresholds
from mmc4viz.data.storage import whole_file
from mmc4viz.sweep.estimate import RATES, Estimate, Rate
from mmc4viz.sweep.sensitivity import Effect, Pool, estimated, exact, pool, variations
from mmc4viz.sweep.statistics import Curves, document_funnel, image_funnel
from mmc4viz.sweep.sweep import Matched, match_corpus
from mmc4viz.text import plain
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import cache, data, html, label_data, proposals, state
from mmc4viz.ui.cache import Memo, progress
from mmc4viz.ui.components import charts, control, funnel
from mmc4viz.ui.components.charts import TITLES, Point
from mmc4viz.ui.components.control import Baseline
from mmc4viz.ui.html import note
from mmc4viz.ui.sidebar import NAMES, Choice
from mmc4viz.ui.start import SETTINGS, read_start
from mmc4viz.ui.state import number

LARGE: Final = 100_000  # documents; fewer are matched in about a second
QUICK: Final = 5_000  # documents of the estimate
_WORDS: Final = "Matching every document for exact numbers: {:,} of {:,}"


def quick(source: data.CorpusKey, config: LoaderConfig) -> data.CorpusKey:
    """Return a sample to begin with where matching every document takes long, else the source."""
    if source.sample is not None or data.facts_of(source).documents <= LARGE:
        return source
    return source if data.is_matched(source, config) else replace(source, sample=QUICK)


def show_matching(choice: Choice) -> None:
    """Show how far the matching of every document is; draw the page anew when it is done.

    It begins when the page stands, so that nobody waits for the two at once.
    """
    source, config = choice.whole, choice.config
    key = source, config.min_kb, config.assignment
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


_PREFIX: Final = "s."
_LONGEST: Final = 40  # characters of a name
_PROBLEM: Final = "saving-problem"
_KEPT: Final = ("threshold", *(name for name in NAMES if name != "tokenizer"))


def settings_saved(choice: Choice) -> dict[str, LoaderConfig]:
    """Return the settings saved for a setting's CLIP model, by name; a link's before the file's."""
    try:
        kept = _in_file(_place(choice))
    except ConfigError:  # no folder here may be written
        kept = {}
    texts = kept | state.named(_PREFIX)
    found = {name: _read(text, choice.config) for name, text in texts.items()}
    return {name: one for name, one in found.items() if one is not None}


def _place(choice: Choice) -> str:
    return os.path.join(os.path.dirname(label_data.path_of(choice)), SETTINGS)


def _in_file(path: str) -> dict[str, str]:
    """Read the texts of saved settings by name; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    texts = found.items() if isinstance(found, dict) else ()
    return {name: text for name, text in texts if isinstance(text, str) and len(name) <= _LONGEST}


def _write(name: str, text: str | None, choice: Choice) -> None:
    """Keep a setting's text under a name, or forget it; say so where the file cannot be written."""
    state.put(_PREFIX + name, text)
    start = read_start()
    try:
        path = _place(choice)
        if start.read_only:
            raise ConfigError("the app was started with --read-only")
        start.roots.path(path, writing=True)
        with FileLock(f"{path}.lock", timeout=5):
            kept = {other: one for other, one in _in_file(path).items() if other != name}
            kept |= {} if text is None else {name: text}
            with whole_file(path) as file:
                file.write(json.dumps(kept, indent=1, sort_keys=True).encode())
    except (OSError, Mmc4vizError) as error:
        st.session_state[_PROBLEM] = f"Kept in this page's address only: {error}"


def _read(text: str, config: LoaderConfig) -> LoaderConfig | None:
    """Read a saved setting; None for another model's, and for what makes no sense."""
    try:
        found = json.loads(text)
        model, values = found.pop("model"), {k: v for k, v in found.items() if k in _KEPT}
        own = {field.name: field.default for field in fields(config) if field.name in _KEPT}
        return config.with_(**(own | values)) if model == config.clip_model else None
    except (ValueError, AttributeError, KeyError, TypeError, Mmc4vizError):
        return None


def save(name: str, choice: Choice) -> None:
    """Keep the present setting under a name: what differs from the loader's own."""
    own, config = LoaderConfig(), choice.config
    kept: dict[str, Any] = {
        n: getattr(config, n) for n in _KEPT if getattr(config, n) != getattr(own, n)
    }
    text = json.dumps(kept | {"model": config.clip_model}, separators=(",", ":"))
    _write(name, text, choice)


def use(config: LoaderConfig, choice: Choice) -> None:
    """Take a saved setting as the one chosen."""
    for name in _KEPT:
        if name != "threshold":
            value = getattr(config, name)
            state.put(NAMES[name], str(value))
    choice.keep(config.threshold)
    state.begin_anew()


def choose_baseline(choice: Choice) -> Baseline:
    """Draw what to compare with, and saving; return the compared setting with its curves."""
    saved = settings_saved(choice)
    wanted = state.get("vs", f"{data.REFERENCE:g}")
    state.seed("compare", wanted)
    chosen = _choose(wanted, saved)
    if chosen in saved:
        st.button("Use it", on_click=use, args=(saved[chosen], choice))
        st.button("Forget it", on_click=_forget, args=(chosen, choice))
    _saving(choice)
    if _PROBLEM in st.session_state:
        note(st.session_state.pop(_PROBLEM), "error")
    if chosen in saved:
        there = saved[chosen]
        curves = data.curves_of(choice.source, there)
        return Baseline(plain(chosen), curves, there.threshold, there.single_image_keep)
    value = number(chosen, data.REFERENCE)
    if not _is_number(chosen):
        note(f"{chosen} is neither a threshold nor a saved setting; compared with {value:g}")
    curves = data.curves_of(choice.source, choice.config)
    at = value if value == data.REFERENCE else float(curves.thresholds[curves.step(value)])
    return Baseline(f"{at:g}", curves, at, choice.config.single_image_keep)


def _choose(wanted: str, saved: dict[str, LoaderConfig]) -> str:
    reference = f"{data.REFERENCE:g}"
    names = list(dict.fromkeys([reference, *saved, wanted]))
    if st.session_state["compare"] not in names:
        names.append(st.session_state["compare"])
    chosen: str = st.selectbox(
        "Compare with",
        names,
        key="compare",
        accept_new_options=True,
        width=200,
        help="A threshold under the present setting, or a saved setting. 0.24 is that of "
        "OpenFlamingo's reference training script. Type another.",
    )
    state.put("vs", None if chosen == reference else chosen[:_LONGEST])
    return chosen


def _is_number(text: str) -> bool:
    return number(text, 0.0) == number(text, 1.0)


def _saving(choice: Choice) -> None:
    """Ask for a name under which to keep the present setting."""
    with st.popover("Save this setting", width="content"), st.form("saving", border=False):
        name = st.text_input("Name", max_chars=_LONGEST, placeholder="strict").strip()
        if st.form_submit_button("Save"):
            if not name or _is_number(name):
                st.text("A name that is no number, please.")
            else:
                save(name, choice)
                state.put("vs", name)
                state.begin_anew()
                st.rerun()


def _forget(name: str, choice: Choice) -> None:
    _write(name, None, choice)
    state.put("vs", None)
    state.begin_anew()


def show_sample_note(choice: Choice, found: Estimate, facts: data.Facts) -> None:
    """Say what the numbers are estimated from, and how far they can be trusted."""
    note(" ".join([_sampled(found, facts), _width(choice, found), _more_documents(found)]))


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


def _more_documents(found: Estimate) -> str:
    more = found.more_to_halve()
    return f"About {more:,} more documents would halve it." if more else ""


SAMPLE: Final = 20_000  # documents
_POOLS: Memo[Pool] = Memo()
_MATCHED: Memo[Matched] = Memo()
_RATES: Memo[dict[str, Rate]] = Memo()
_SHOWN: Final = {"image_tokens": "image tokens", "documents": "documents"}


def show_sensitivity(choice: Choice) -> None:
    """Draw the pictures; what takes long comes last and is abandoned by the next change."""
    source = replace(choice.whole, sample=None)
    documents = data.facts_of(choice.whole).whole or 0
    whole = choice.whole.sample is None and (documents <= SAMPLE or _asked_for(choice))
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.subheader("What each setting does", anchor=False, width="content")
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
    st.caption(_words(choice, whole=whole, documents=documents))
    waiting = st.empty()
    if "multiples" not in st.session_state:  # later ones stand until they are drawn anew
        waiting.text("Trying every setting …")
    state.write_address()
    rates = _rates(source if choice.whole.sample is None else choice.whole, choice, whole)
    points = list(_points(rates, shown, choice, documents))
    waiting.empty()
    charts.show(points, _SHOWN[shown], share=shown == "documents" or not documents)
    with st.container(horizontal=True):
        if not whole and choice.whole.sample is None:
            st.button("Compute exactly", on_click=_ask, args=(choice,))
        html.offer("settings", ("setting", "value", "yield", "low", "high"), lambda: _rows(points))


def _words(choice: Choice, *, whole: bool, documents: int) -> str:
    what = (
        f"Each setting varied alone at {choice.config.threshold:g}; "
        "the larger dot is the present value."
    )
    if whole:
        return f"{what} Exact: all {documents:,} documents."
    drawn = choice.whole.sample or SAMPLE
    return f"{what} An estimate from {drawn:,} documents drawn at random, with 95 % intervals."


def _asked_for(choice: Choice) -> bool:
    asked = choice.whole, choice.config.with_(threshold=0.0)
    return bool(st.session_state.get("settings-exact") == asked)


def _ask(choice: Choice) -> None:
    st.session_state["settings-exact"] = choice.whole, choice.config.with_(threshold=0.0)


def _rates(
    source: data.CorpusKey, choice: Choice, whole: bool
) -> list[tuple[Effect, dict[str, Rate]]]:
    """Return what every value of every setting yields, at every threshold."""
    tried, found = variations(choice.config.with_(threshold=0.0)), []
    sampled = source if source.sample else replace(source, sample=SAMPLE)
    grid = data.with_reference(choice.scale)
    with progress("Trying every setting") as tell:
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
    """Answer from all documents; of a large corpus, other matchings are not kept."""
    if (config.min_kb, config.assignment) == (present.min_kb, present.assignment):
        return exact(data.matched_of(source, config), config, grid)
    columns, key = data.columns_of(source), (source, config.min_kb, config.assignment)
    if data.facts_of(source).documents > SAMPLE:
        return exact(match_corpus(columns, config, tell), config, grid)
    return exact(_MATCHED.get(key, lambda: match_corpus(columns, config)), config, grid)


def _estimated(source: data.CorpusKey, config: LoaderConfig, grid: Thresholds) -> dict[str, Rate]:
    sample = _POOLS.get(source, lambda: pool(data.drawn_of(source)))
    key = source, config.min_kb, config.assignment
    matched = _MATCHED.get(key, lambda: match_corpus([sample.columns], config))
    return estimated(sample, matched, config, grid)


def _points(
    rates: Sequence[tuple[Effect, dict[str, Rate]]], shown: str, choice: Choice, documents: int
) -> Iterator[Point]:
    """Yield points: documents as a share, image tokens of the corpus or per document."""
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
        compared = choose_baseline(choice)
    if choice.whole != choice.source:
        show_matching(choice)
    if estimated is not None:
        show_sample_note(choice, estimated, data.facts_of(choice.source))
    standing = proposals.standing(choice)
    control.show(choice, curves, _counts(choice, curves), compared, estimated, standing)
    _csv(choice, curves, estimated)
    proposals.show_suggestions(choice)
    funnel.show(curves, choice)
    last = st.container()  # drawn below, but computed when all else stands
    _more()
    with last:
        show_sensitivity(choice)


def _csv(choice: Choice, curves: Curves, estimated: Estimate | None) -> None:
    """Offer the numbers of the pictures."""
    keep, scale = choice.config.single_image_keep, choice.scale
    with st.popover("Numbers of these pictures", type="tertiary", width="content"):
        st.text("Every threshold, as mmc4viz curve prints it:")
        html.offer("yields", _YIELDS, lambda: [[*row.values()] for row in curves.rows(keep)])
        st.text("Pairs from each step to below the next:")
        steps = scale.thresholds().tolist()
        pairs = _counts(choice, curves).tolist()
        html.offer("histogram", ("similarity", "pairs"), lambda: zip(steps, pairs, strict=True))
        st.text("Every loss at the chosen threshold:")
        html.offer("losses", ("of", "loss", "lost", "remaining"), lambda: _losses(curves, choice))
        if estimated is not None:
            st.text("The estimates' 95 % intervals:")
            html.offer("intervals", _BANDS, lambda: _bands(estimated, keep))


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
