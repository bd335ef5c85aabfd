"""The sidebar: widgets for the data, the CLIP model and the loader's settings.

When the CLIP model changes, the threshold becomes the one with equal precision, if labels tell and
are read at once, else the one that keeps as many documents. Widgets
that do not depend on the data are always drawn, so that an error in one input does not reset the
others. The choices are kept in the page's address.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.data.corpus import check_page_order
from mmc4viz.data.index import OWN, files_of, names_of, read_origin
from mmc4viz.data.scale import COSINE, Scale, misfit
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Container
from mmc4viz.loader.profile import PROFILES
from mmc4viz.loader.tokenizer import BUILT_IN
from mmc4viz.text import plain
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold
from mmc4viz.types import NEIGHBOR, SETTINGS, ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, fields, model_data, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import ASSIGNMENTS, note
from mmc4viz.ui.model_data import Side
from mmc4viz.ui.start import Start, label_file, own_model, read_start

_MORE = {
    "softmax": "An image's scores sum to 1, so the meaning of a threshold depends on the number of "
    "sentences in the document.",
    "sigmoid": "Nearly all scores are close to 0, where the threshold's steps are coarse.",
    "unknown": "None of cosine, ×100, softmax and sigmoid.",
}


def _show_misfit(threshold: float, spread: data.Spread) -> None:
    """Warn if a threshold keeps all pairs or none."""
    low, high = spread.ends
    why = misfit(threshold, spread.scale.name, low, high)
    if why is not None and low <= high:  # pages report a lack of pairs themselves
        note(f"Threshold {threshold:.12g}: {why}.", "error")


_LARGE: Final = 100_000  # documents; labels of fewer are joined with their pairs at once
_LAST: Final = "model-shown"  # name, source and threshold of the CLIP model shown last
_TAKEN: Final = "equivalent-threshold"


@dataclass(frozen=True)
class _Shown:
    """A CLIP model as last shown: its name, its documents and its threshold."""

    name: str
    source: data.CorpusKey
    threshold: float


@dataclass(frozen=True)
class _Conversion:
    """A threshold converted from another model.

    Attributes
    ----------
    model : str
    threshold : float
    by : str
        What is equal.
    otherwise : float
        The default that it replaced.
    words : str
    instead : _Conversion or None
        The one by something else.
    """

    model: str
    threshold: float
    by: str
    otherwise: float
    words: str
    instead: _Conversion | None = None


def _last_shown(own: _Shown) -> _Shown:
    """Return the model last shown for these documents in this session; else the shards' own."""
    shown: _Shown = st.session_state.get(_LAST, own)
    same = (replace(one.source, sidecar=None, similarity=None) for one in (shown, own))
    return shown if next(same) == next(same) else own


def _threshold_for(
    model: str, source: data.CorpusKey, other: _Shown, base: LoaderConfig, otherwise: float
) -> float:
    """Return the threshold equivalent to another model's: by precision, else by documents.

    Parameters
    ----------
    model : str
    source : data.CorpusKey
        The documents with the model's scores.
    other : _Shown
    base : LoaderConfig
        The settings of both.
    otherwise : float
        Returned, with a note, if the two cannot be compared.
    """
    sides = model_data.side(other.name, other.source, base), model_data.side(model, source, base)
    try:
        match = model_data.equal_documents(*sides, other.threshold)
    except Mmc4vizError as error:
        note(f"{plain(model)} starts at {otherwise:.12g}: {error}")
        return otherwise
    theirs = f"{other.threshold:.12g} of {plain(other.name)}"
    by_yield = _Conversion(
        model, match.second, "equal yield", otherwise,
        f"Equivalent threshold: {match.second:.12g} keeps {match.found:,.10g} documents; "
        f"{theirs} keeps {match.wanted:,.10g}.",
    )  # fmt: skip
    precise = _equal_precision(*sides, other.threshold)
    taken = by_yield if precise is None else _Conversion(
        model, precise.second, "equal precision", otherwise,
        f"Equivalent threshold: {precise.second:.12g} at equal precision, {precise.found:.0%} "
        f"({theirs}: {precise.wanted:.0%}; from {precise.rests_on}).",
        by_yield,
    )  # fmt: skip
    st.session_state[_TAKEN] = taken
    return taken.threshold


def _equal_precision(first: Side, second: Side, threshold: float) -> EquivalentThreshold | None:
    """Return the second model's threshold with equal precision.

    None if labels do not tell, or would take long to read.
    """
    source, start = second.source, read_start()
    if (first.source.sample, source.sample) != (None, None):
        return None  # labels are sampled from all documents
    try:
        path = label_file(start, source.index[0].path if source.index else "")
        if not os.path.exists(path):
            return None
        labels = model_data.Labels.of(path)
        quick = data.facts_of(source).documents <= _LARGE
        if not quick and not model_data.evidence_on.knows(first, second, labels):
            return None
        found = model_data.equal_precision(first, second, labels, threshold)
    except Mmc4vizError:
        return None  # the pages about labels show the error
    return found if isinstance(found, EquivalentThreshold) else None


def _same_share(there: data.Spread, threshold: float, here: data.Spread) -> float:
    """Return the threshold that keeps the share of pairs nearest to another model's.

    Examples
    --------
    >>> counts = np.zeros(2001, np.int64)
    >>> counts[[1200, 1240, 1300, 1400]] = 1  # 0.2, 0.24, 0.3, 0.4
    >>> there = data.Spread(COSINE, (0.2, 0.4), 0.2, 0.4, counts)
    >>> _same_share(there, 0.25, replace(there, counts=np.roll(counts, 100)))
    0.4
    """
    kept = np.cumsum(there.counts[::-1])[::-1] / max(1, int(there.counts.sum()))
    shares = np.cumsum(here.counts[::-1])[::-1] / max(1, int(here.counts.sum()))
    at = int(np.searchsorted(there.scale.thresholds(), threshold - 1e-9))
    wanted = float(kept[min(at, len(kept) - 1)])
    nearest = len(shares) - 1 - int(np.abs(shares - wanted)[::-1].argmin())
    return float(here.scale.thresholds()[nearest])


def _show_conversion(
    model: str, name: str, now: float, scale: Scale, span: tuple[float, float]
) -> None:
    """While a converted threshold is in use, say where it comes from and offer to undo it."""
    taken: _Conversion | None = st.session_state.get(_TAKEN)
    if taken is None or taken.model != model:
        return
    if abs(state.on_grid(taken.threshold, scale, span) - now) > scale.step / 2:
        del st.session_state[_TAKEN]
        return
    note(taken.words)
    if taken.instead is not None:
        there = state.on_grid(taken.instead.threshold, scale, span)
        st.button(f"Use {there:.12g}: {taken.instead.by}", key="equivalent-instead",
                  type="tertiary", on_click=_use_instead, args=(name, taken, there))  # fmt: skip
    back = state.on_grid(taken.otherwise, scale, span)
    st.button(f"Undo: use {back:.12g}", key="equivalent-undo", type="tertiary",
              on_click=_undo, args=(name, back))  # fmt: skip


def _use_instead(name: str, taken: _Conversion, threshold: float) -> None:
    assert taken.instead is not None
    st.session_state[_TAKEN] = replace(taken.instead, instead=replace(taken, instead=None))
    state.choose(name, threshold)
    state.begin_anew()


def _undo(name: str, back: float) -> None:
    st.session_state.pop(_TAKEN, None)
    state.choose(name, back)
    state.begin_anew()


_HELP = {
    "clip_model": "Model whose scores are used: the shards' own, a score set in the index, or "
    "similarity_*.parquet next to the shards. The threshold is remembered per model.",
    "shards": "One per line. MMC4's tars or .jsonl, or files of another corpus (mmc4viz formats); "
    "folders, globs and braces such as shard-{0000..0003}.tar are expanded.",
    "index": "A folder written by mmc4viz index, used instead of shards. Clear it to enter shards.",
    "sample": "N documents are sampled at random, and every number becomes an estimate with a "
    "95% CI.",
    "image_dir": "Images of MMC4's own .jsonl: FOLDER/k/NAME, where k is the shard's position in "
    "the list, or FOLDER/NAME.",
}
# Query parameters of the settings.
NAMES: Final = {
    "loader": "loader",
    "min_images": "min",
    "max_images": "cap",
    "max_tokens": "len",
    "min_kb": "kb",
    "assignment": "match",
    "single_image_keep": "keep",
    "tokenizer": "tok",
}
_MOST: Final = 2**31 - 1  # documents of a sample
_OUTSIDE: Memo[str] = Memo()  # why an index may not be opened


@dataclass(frozen=True)
class Choice:
    """The chosen data and settings.

    Attributes
    ----------
    source : data.CorpusKey
        The data.
    config : LoaderConfig
        The settings; the threshold is on the grid.
    scale : Scale
    span : (float, float)
        The range of thresholds to show.
    keep : callable
        Stores another threshold for the next run.
    whole : data.CorpusKey
        The corpus that the source is a sample of, else the source itself.
    models : dict of str to data.CorpusKey
        The same documents with each CLIP model's scores, by model name.
    """

    source: data.CorpusKey
    config: LoaderConfig
    scale: Scale
    span: tuple[float, float]
    keep: partial[None]
    whole: data.CorpusKey
    models: dict[str, data.CorpusKey]


def choose(
    start: Start,
    *,
    threshold_here: bool,
    begin_with: Callable[[data.CorpusKey, LoaderConfig], data.CorpusKey] = lambda source, _: source,
) -> Choice | None:
    """Draw the sidebar; return None when there is nothing to open.

    ``begin_with`` may replace a source that is not ready with a sample of it.

    Raises
    ------
    Mmc4vizError
        For shards, an index, a tokenizer or settings that cannot be used.
    """
    with st.sidebar:
        threshold_slot = st.container(key="threshold-slot" if threshold_here else None)
        model_slot = st.container(key="model-slot")
        for slot in (threshold_slot, model_slot):
            slot.empty()  # a container with nothing in it is not drawn
        settings_slot, tokenizer_slot = st.container(), st.container()
        source = None
        try:
            source = _source(start, tokenizer_slot)
        finally:
            with settings_slot:
                page_order = source is not None and data.in_page_order(source)
                settings = _settings(start.config, page_order=page_order)
    if source is None:
        return None
    if settings["assignment"] == NEIGHBOR:
        check_page_order(data.formats_of(source))
    model, models, begin = _model(model_slot, source, start)
    own, asked = next(iter(models)), _asked(start, begin)
    source = models[model]
    tokenizer = data.tokenizer_of(source)
    tokenizer.check_room(settings["max_tokens"])
    base = LoaderConfig(tokenizer=tokenizer.name, clip_model=model, **settings)
    whole, source = source, begin_with(source, base)
    spread = data.spread_of(source, base)
    span = state.visible_span(spread.low, spread.high, spread.scale)
    name, now = state.name_of(model, own), asked.get(model, data.REFERENCE)
    if model not in (own, *asked) and name not in state.named(""):
        at = state.get(state.name_of(own, own))
        at_own = state.number(at, asked.get(own, data.REFERENCE))
        first = _Shown(own, begin_with(models[own], base), at_own)
        other = _last_shown(first)
        if spread.scale != COSINE:  # the reference is a cosine
            now = _same_share(data.spread_of(other.source, base), other.threshold, spread)
        now = _threshold_for(model, source, other, base, now)
        state.choose(name, state.on_grid(now, spread.scale, span))
    config = base.with_(threshold=state.chosen(name, now, spread.scale, span))
    st.session_state[_LAST] = _Shown(model, source, config.threshold)
    keep = partial(state.choose, name)
    _show_misfit(config.threshold, spread)
    with model_slot:
        scale = spread.scale.name
        st.caption(f"Score scale: {scale}", help=_MORE.get(scale))
    with threshold_slot:
        if threshold_here:
            state.number_input(config.threshold, spread.scale, span, keep)
        _show_conversion(model, name, config.threshold, spread.scale, span)
    return Choice(source, config, spread.scale, span, keep, whole, models)


def _asked(start: Start, begin: str) -> dict[str, float]:
    """Return the threshold of the start's config, by the CLIP model it applies to."""
    if "threshold" not in start.file.settings:
        return {}
    named = start.config.clip_model
    return {begin if named == LoaderConfig().clip_model else named: start.config.threshold}


def _model(
    slot: DeltaGenerator, source: data.CorpusKey, start: Start
) -> tuple[str, dict[str, data.CorpusKey], str]:
    """Choose among the shards' own scores, the index's score sets and similarity files.

    Similarity files are looked for next to the shards; one whose model has a score set is skipped.

    Returns
    -------
    (str, dict of str to data.CorpusKey, str)
        The chosen model, all models, and the one to start with.
    """
    sets = {found.name: found.model for found in data.sets_of(source)}
    files = data.similarity_files_beside(data.folders_of(source))
    files = [one for one in files if one.model not in sets.values() and start.roots.allow(one.path)]
    own = own_model(source, start.config, {*sets.values(), *(file.model for file in files)})
    sets_by_name = names_of(own, sets)
    models: dict[str, data.CorpusKey] = {
        name: source if one == OWN else replace(source, similarity=one)
        for name, one in sets_by_name.items()
    }
    for sidecar in files:
        over = replace(source, sidecar=data.identify(sidecar.path))
        models[_unused(sidecar.model, sidecar.path, models)] = over
    names = list(models)
    asked, named = start.similarity, start.config.clip_model
    begin = named if named in models else own
    begin = next((name for name, one in models.items() if asked and one.similarity == asked), begin)
    state.known_only("t.", names, "the threshold of a CLIP model of this corpus")
    among = dict(zip(names, names, strict=True))
    wanted = state.understood("model", among.get, "a CLIP model of this corpus", plain(begin))
    state.seed("clip-model", wanted or (own if state.get("model") else begin))
    if st.session_state["clip-model"] not in names:
        st.session_state["clip-model"] = own
    with slot:
        chosen = st.selectbox(
            "CLIP model",
            names,
            format_func=lambda name: _with_set(name, sets_by_name.get(name) or name),
            key="clip-model",
            help=_HELP["clip_model"],
        )
    state.put("model", None if chosen == begin else chosen)
    return chosen, models, begin


def _with_set(name: str, similarity: str) -> str:
    """Write a model's name with that of its score set, unless that is redundant."""
    redundant = similarity in (OWN, name) or name.endswith(f"({similarity})")
    return name if redundant else f"{name} (score set {similarity})"


def _unused(model: str, where: str, models: dict[str, data.CorpusKey]) -> str:
    return f"{model} ({where})" if model in models else model


def _settings(config: LoaderConfig, *, page_order: bool) -> dict[str, Any]:
    """Draw the loader and its settings except threshold, tokenizer and model."""
    st.header("Loader")
    loader = _loader(config.loader)
    if loader != config.loader:
        config = LoaderConfig.of_loader(loader)
    left, right = st.columns(2)
    with left:
        min_images = _whole("min_images", config)
    with right:
        max_images = _whole("max_images", config)
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        max_tokens = _whole("max_tokens", config)
    with right:
        min_kb = _whole("min_kb", config)
    known = SETTINGS["single_image_keep"]
    chosen = {
        "loader": loader,
        "min_images": min_images,
        "max_images": max_images,
        "max_tokens": max_tokens,
        "min_kb": min_kb,
        "assignment": _assignment(config, page_order=page_order),
        "single_image_keep": fields.number(
            known.label,
            "single_image_keep",
            NAMES["single_image_keep"],
            config.single_image_keep,
            0.0,
            1.0,
            step=0.05,
            help=known.help,
        ),
    }
    _show_changed(chosen)
    return chosen


def _show_changed(chosen: dict[str, Any]) -> None:
    """Name the settings that differ from the loader's defaults, and offer to undo it."""
    own = LoaderConfig.of_loader(chosen["loader"])
    changed = {name: getattr(own, name) for name in chosen if chosen[name] != getattr(own, name)}
    if not changed:
        return
    words = [
        f"{SETTINGS[name].label} {ASSIGNMENTS.get(chosen[name], chosen[name])} (default: "
        f"{ASSIGNMENTS.get(default, default)})"
        for name, default in changed.items()
    ]
    with st.container(key="changed-settings"):
        note(f"Not the loader's defaults: {'; '.join(words)}.")
        st.button(
            "Use the loader's defaults",
            key="use-defaults",
            type="tertiary",
            on_click=_use_defaults,
            args=(changed,),
        )


def _loader(default: str) -> str:
    """Ask for the loader; another one begins with its own defaults."""
    return fields.one_of(
        st.selectbox,
        SETTINGS["loader"].label,
        list(PROFILES),
        "loader",
        NAMES["loader"],
        default,
        format_func=lambda name: PROFILES[name].label,
        help=SETTINGS["loader"].help,
        label_visibility="collapsed",
        on_change=_begin_with_its_own,
    )


def _begin_with_its_own() -> None:
    for name in set(NAMES) - {"loader", "tokenizer"}:
        state.put(NAMES[name], None)
    state.put(NAMES["loader"], st.session_state["loader"])
    state.begin_anew()


def _use_defaults(changed: dict[str, Any]) -> None:
    for name, default in changed.items():
        state.put(NAMES[name], str(default))
    state.begin_anew()


def _whole(name: str, config: LoaderConfig) -> int:
    """Draw an integer setting."""
    known = SETTINGS[name]
    least, most = int(known.least or 0), int(known.most or 0)
    default: int = getattr(config, name)
    return fields.number(
        known.label, name, NAMES[name], default, least, most, step=1, help=known.help
    )


def _assignment(config: LoaderConfig, *, page_order: bool) -> str:
    known = config.assignments
    if len(known) > 1 and page_order:
        known = tuple(dict.fromkeys((*known, NEIGHBOR)))
    return fields.one_of(
        st.selectbox,
        SETTINGS["assignment"].label,
        known,
        "assignment",
        NAMES["assignment"],
        config.assignment,
        format_func=lambda name: ASSIGNMENTS[name],
        help=SETTINGS["assignment"].help,
        disabled=len(known) == 1,
    )


def _source(start: Start, tokenizer_slot: DeltaGenerator) -> data.CorpusKey | None:
    """Ask for an index or shards, the tokenizer and the image folder."""
    st.header("Data")
    asked, place = "\n".join(start.shards), st.container()
    folder = text_field("Index", "index", start.index, _HELP["index"])
    with place:
        patterns = text_field(
            "Shards", "shards", asked, _HELP["shards"], area=True, disabled=bool(folder)
        ).splitlines()
    sample = _sample(start)
    if folder:
        index = _index(folder, start)
        name = data.index_of(index).tokenizer.name
        with tokenizer_slot:
            note(f"Tokenizer: {name} (from index)")
        return data.CorpusKey((), data.identify(name), index=index, sample=sample)
    with tokenizer_slot:
        tokenizer = _tokenizer(start)
    notes: list[str] = []
    named = [line.strip() for line in patterns if line.strip()]
    shards = tuple(start.roots.shards(named, notes))
    for line in notes:
        note(line)
    if not shards:
        return None
    image_dir = _image_dir(shards, start)
    return replace(data.source_of(shards, tokenizer, image_dir, None, start.given), sample=sample)


def _index(folder: str, start: Start) -> tuple[data.FileId, ...]:
    """Identify an index, if it and everything it was made from are within the roots."""
    if folder == start.index:
        return data.index_at(folder)
    index = data.index_at(start.roots.path(folder))
    outside = _OUTSIDE.get((index, start.roots), lambda: _outside(folder, start))
    if outside:
        raise ConfigError(f"{folder}: {outside}")
    return index


def _outside(folder: str, start: Start) -> str:
    """Return why the sources of an index may not be read; empty if they may."""
    origins = [read_origin(path) for path in files_of(folder)]
    try:
        start.roots.shard_files([origin.path for origin in origins])
        for images in filter(None, {origin.image_dir for origin in origins}):
            start.roots.path(images)
        for name in {origin.tokenizer for origin in origins}:
            start.roots.tokenizer(name)
    except ConfigError as error:
        return str(error)
    return ""


def text_field(
    label: str, name: str, default: str, words: str, *, area: bool = False, disabled: bool = False
) -> str:
    """Draw a text field, or a text area, whose value is kept in the address."""
    state.seed(name, state.get(name, default))
    if area:
        text = st.text_area(label, key=name, height=90, help=words, disabled=disabled)
    else:
        text = st.text_input(label, key=name, help=words)
    text = text.strip()
    state.put(name, None if text == default else text)
    return text


def _sample(start: Start) -> int | None:
    """Ask for the sample size; None means all documents."""
    value = fields.number(
        "Sample size (0 = all documents)",
        "sample",
        "sample",
        start.sample,
        0,
        _MOST,
        step=1000,
        help=_HELP["sample"],
    )
    if value == 1:
        raise ConfigError("a sample needs at least 2 documents")
    return value or None


def _tokenizer(start: Start) -> str:
    default = start.config.tokenizer
    state.seed("tokenizer", state.get(NAMES["tokenizer"], default))
    name = (
        st.text_input("Tokenizer", key="tokenizer", help=SETTINGS["tokenizer"].help).strip()
        or BUILT_IN
    )
    state.put(NAMES["tokenizer"], None if name == default else name)
    if name == BUILT_IN:
        note("Built-in GPT-2 tokenizer. Token counts are approximate for other models.")
    return name if name == default else start.roots.tokenizer(name)


def _image_dir(shards: Sequence[Shard], start: Start) -> str | None:
    """Ask for the image folder of shards in MMC4's own format, which contain no images."""
    if not start.image_dir and all(shard.layout is not Container.LINES for shard in shards):
        return None
    folder = text_field("Image folder", "image_dir", start.image_dir, _HELP["image_dir"])
    if folder:
        start.roots.path(folder)
    if folder and data.identify(folder).changed < 0:
        raise ConfigError(f"{folder}: no such image folder")
    return folder or None
