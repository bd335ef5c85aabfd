"""Settings and data, as widgets.

Recognising and judging are `corpus.scales`' job; this draws them.

The number that suits one model means nothing on another's scale; what it keeps does.

Widgets that do not depend on the data are always drawn, so that an error in one input does not
reset the others. What is chosen stands in the page's address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.data.index import OWN, files_of, names_of, read_origin
from mmc4viz.data.scale import Scale, misfit
from mmc4viz.data.shards import Layout, Shard
from mmc4viz.loader.tokenizer import BUILT_IN
from mmc4viz.text import plain
from mmc4viz.types import ASSIGNMENT_NAMES, ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, model_data, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import note
from mmc4viz.ui.start import Start, own_model

_ENDS: Memo[tuple[float, float]] = Memo()
_MORE = {
    "softmax": "Each image's values sum to 1, so what a threshold means changes with the number of "
    "sentences on the page.",
    "sigmoid": "Nearly all values are next to 0, so steps of the threshold are far apart there.",
    "unknown": "It is none of cosine, ×100, softmax and sigmoid.",
}


def _ends(source: data.CorpusKey, config: LoaderConfig) -> tuple[float, float]:
    """Return the lowest and the highest matched score, NaN without any."""
    scores = data.matched_of(source, config).scores()
    return (float(scores.min()), float(scores.max())) if len(scores) else (nan, nan)


def _ends_of(source: data.CorpusKey, config: LoaderConfig) -> tuple[float, float]:
    key = source, config.min_kb, config.assignment
    return _ENDS.get(key, lambda: _ends(source, config))


def scale_name(source: data.CorpusKey, config: LoaderConfig) -> str:
    """Name a source's scale."""
    return data.scale_for(source, config).name


def show_scale(source: data.CorpusKey, config: LoaderConfig) -> None:
    """Draw the scale's name, with what it means for a threshold."""
    name = scale_name(source, config)
    st.caption(f"Scale of the similarity: {name}", help=_MORE.get(name))


def show_misfit(source: data.CorpusKey, config: LoaderConfig) -> None:
    """Say that a threshold keeps all or nothing, where it does."""
    ends = _ends_of(source, config)
    why = misfit(config.threshold, scale_name(source, config), *ends)
    if why is not None and ends[0] <= ends[1]:  # that nothing is matched, pages say themselves
        note(f"The threshold {config.threshold:.12g} does not fit these scores: {why}.", "error")


_BY: Final = "documents"
_LAST: Final = "model-shown"  # name, source and threshold of the CLIP model shown last
_TAKEN: Final = "equivalent-threshold"


@dataclass(frozen=True)
class Shown:
    """A CLIP model as it was shown: its name, its documents, and the threshold."""

    name: str
    source: data.CorpusKey
    threshold: float


@dataclass(frozen=True)
class Taken:
    """A threshold taken over from another model, what it would be otherwise, and what to say."""

    model: str
    threshold: float
    otherwise: float
    words: str


def last_shown(own: Shown) -> Shown:
    """Return the model that this session showed last of these documents; else the shards' own."""
    shown: Shown = st.session_state.get(_LAST, own)
    same = (replace(one.source, sidecar=None, similarity=None) for one in (shown, own))
    return shown if next(same) == next(same) else own


def keep_shown(shown: Shown) -> None:
    """Remember the model that is shown."""
    st.session_state[_LAST] = shown


def threshold_for(
    model: str, source: data.CorpusKey, other: Shown, base: LoaderConfig, otherwise: float
) -> float:
    """Return the threshold at which a model keeps as many documents as another at its own.

    Parameters
    ----------
    model : str
    source : data.Source
        The documents with its similarity.
    other : Shown
    base : LoaderConfig
        The setting of both.
    otherwise : float
        What is returned where the two cannot be compared, with a note that says why.
    """
    sides = model_data.side(other.name, other.source, base), model_data.side(model, source, base)
    try:
        model_data.check(*sides)
        match = next(m for m in model_data.matches(*sides, other.threshold) if m.by == _BY)
    except Mmc4vizError as error:
        note(f"{plain(model)} begins at {otherwise:g}: {error}")
        return otherwise
    words = (
        f"{match.second:.12g} keeps {match.found:,.10g} documents, as {other.threshold:.12g} of "
        f"{plain(other.name)} keeps {match.wanted:,.10g}."
    )
    st.session_state[_TAKEN] = Taken(model, match.second, otherwise, words)
    return match.second


def show(model: str, name: str, now: float, scale: Scale, span: tuple[float, float]) -> None:
    """Say where the threshold comes from, and offer to undo it, while it is the one taken over."""
    taken: Taken | None = st.session_state.get(_TAKEN)
    if taken is None or taken.model != model:
        return
    if abs(state.on_grid(taken.threshold, scale, span) - now) > scale.step / 2:
        del st.session_state[_TAKEN]
        return
    note(taken.words)
    back = state.on_grid(taken.otherwise, scale, span)
    st.button(f"Undo: begin at {back:.12g}", key="equivalent-undo", type="tertiary",
              on_click=_undo, args=(name, back))  # fmt: skip


def _undo(name: str, back: float) -> None:
    st.session_state.pop(_TAKEN, None)
    state.choose(name, back)
    state.begin_anew()


HELP = {
    "clip_model": "Whose similarity decides: the shards' own, a set of the index, or a file "
    "similarity_*.parquet beside the shards. The threshold is remembered for each model.",
    "min_kb": "An image of n bytes is too small when n // 1000 is at most this: 10 accepts from "
    "11,000 bytes on. −1 turns the limit off.",
    "assignment": "How images are matched to sentences: one_to_one (optimal, the loader today), "
    "argmax (the loader before August 2023), stored (the corpus's own), greedy (best first).",
    "min_images": "A sequence with fewer image tokens is rejected.",
    "max_images": "So many surviving pairs are kept, in image order, whatever their scores.",
    "max_tokens": "The sequence is cut at this length; image tokens behind the cut are lost.",
    "single_image_keep": "Probability with which a sequence with exactly one image token "
    "survives. The loader tosses a coin: 0.5.",
    "tokenizer": "gpt2 (built in), a tokenizer.json, a folder, or a Hugging Face id.",
    "shards": "One a line: WebDataset tars or MMC4's .jsonl, .jsonl.gz, .jsonl.zip; folders, "
    "globs and braces such as shard-{0000..0003}.tar are expanded.",
    "index": "A folder made by mmc4viz index, in place of shards: empty it to name shards.",
    "sample": "0 opens every document. N draws that many at random: every number becomes an "
    "estimate with its 95 % interval.",
    "image_dir": "Images of MMC4's own .jsonl: FOLDER/k/NAME, k the shard's position in the "
    "list, or FOLDER/NAME.",
}
# Names in the address.
NAMES: Final = {
    "min_images": "min",
    "max_images": "cap",
    "max_tokens": "len",
    "min_kb": "kb",
    "assignment": "match",
    "single_image_keep": "coin",
    "tokenizer": "tok",
}
_LARGEST: Final = 2**31 - 1
_OUTSIDE: Memo[str] = Memo()  # of an index, in words


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    source : data.Source
        The identity of the data.
    config : LoaderConfig
        The setting, its threshold on a step of the grid.
    scale : Scale
    span : (float, float)
        The thresholds worth showing.
    keep : callable
        Keeps another threshold for the next run.
    whole : data.Source
        What the source is a first sample of, else the source itself.
    models : dict of str to data.Source
        The same documents with every CLIP model's similarity, by its name.
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

    ``begin_with`` may put a sample in the place of a source that is not ready.

    Raises
    ------
    Mmc4vizError
        For shards, an index, a tokenizer or settings that cannot be used.
    """
    with st.sidebar:
        threshold_slot, model_slot = st.container(), st.container()
        settings = _settings(start.config)
        tokenizer_slot = st.container()
        source = _source(start, tokenizer_slot)
    if source is None:
        return None
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
        first = Shown(own, begin_with(models[own], base), at_own)
        other = last_shown(first)
        now = threshold_for(model, source, other, base, now)
        state.choose(name, state.on_grid(now, spread.scale, span))
    config = base.with_(threshold=state.chosen(name, now, spread.scale, span))
    keep_shown(Shown(model, source, config.threshold))
    keep = partial(state.choose, name)
    show_misfit(source, config)
    with model_slot:
        show_scale(source, config)
    with threshold_slot:
        if threshold_here:
            state.number_input(config.threshold, spread.scale, span, keep)
        show(model, name, config.threshold, spread.scale, span)
    return Choice(source, config, spread.scale, span, keep, whole, models)


def _asked(start: Start, begin: str) -> dict[str, float]:
    """Return the threshold that the start's config asks for, by the CLIP model it is meant for."""
    if "threshold" not in start.file.settings:
        return {}
    named = start.config.clip_model
    return {begin if named == LoaderConfig().clip_model else named: start.config.threshold}


def _model(
    slot: DeltaGenerator, source: data.CorpusKey, start: Start
) -> tuple[str, dict[str, data.CorpusKey], str]:
    """Choose among the shards' own similarity, the index's sets, and the files beside the shards.

    A file whose model has a set is passed over. The last that is returned is the model that the
    start begins with.
    """
    sets = {found.name: found.model for found in data.sets_of(source)}
    beside = data.similarity_files_beside(data.folders_of(source))
    beside = [
        one for one in beside if one.model not in sets.values() and start.roots.allow(one.path)
    ]
    own = own_model(source, start.config, {*sets.values(), *(file.model for file in beside)})
    sets_by_name = names_of(own, sets)
    models: dict[str, data.CorpusKey] = {
        name: source if one == OWN else replace(source, similarity=one)
        for name, one in sets_by_name.items()
    }
    for sidecar in beside:
        over = replace(source, sidecar=data.identify(sidecar.path))
        models[_unused(sidecar.model, sidecar.path, models)] = over
    names = list(models)
    asked, named = start.similarity, start.config.clip_model
    begin = named if named in models else own
    begin = next((name for name, one in models.items() if asked and one.similarity == asked), begin)
    wanted = state.get("model", begin)
    state.seed("clip-model", wanted if wanted in names else own)
    if st.session_state["clip-model"] not in names:
        st.session_state["clip-model"] = own
    with slot:
        chosen = st.selectbox(
            "CLIP model",
            names,
            format_func=lambda name: _with_set(name, sets_by_name.get(name) or name),
            key="clip-model",
            help=HELP["clip_model"],
        )
    state.put("model", None if chosen == begin else chosen)
    return chosen, models, begin


def _with_set(name: str, similarity: str) -> str:
    """Write a model's name with that of its score set, where that does not say it already."""
    said = similarity in (OWN, name) or name.endswith(f"({similarity})")
    return name if said else f"{name} (set {similarity})"


def _unused(model: str, where: str, models: dict[str, data.CorpusKey]) -> str:
    return f"{model} ({where})" if model in models else model


def _settings(config: LoaderConfig) -> dict[str, Any]:
    """Draw every setting of the loader but threshold, tokenizer and model."""
    st.subheader("Loader")
    left, right = st.columns(2)
    with left:
        min_images = _whole("Fewest images", "min_images", 0, config)
        max_tokens = _whole("Token limit", "max_tokens", 1, config)
    with right:
        max_images = _whole("Image cap", "max_images", 1, config)
        min_kb = _whole("Too small (kB)", "min_kb", -1, config)
    return {
        "min_images": min_images,
        "max_images": max_images,
        "max_tokens": max_tokens,
        "min_kb": min_kb,
        "assignment": _assignment(config),
        "single_image_keep": _single_image_keep(config),
    }


def _whole(label: str, name: str, least: int, config: LoaderConfig) -> int:
    """Draw one setting that is a whole number."""
    default: int = getattr(config, name)
    state.seed(name, state.whole(NAMES[name], default, least, _LARGEST))
    value: int = st.number_input(label, least, _LARGEST, step=1, key=name, help=HELP[name])
    state.put(NAMES[name], None if value == default else str(value))
    return value


def _assignment(config: LoaderConfig) -> str:
    wanted = state.get(NAMES["assignment"])
    state.seed("assignment", wanted if wanted in ASSIGNMENT_NAMES else config.assignment)
    chosen: str = st.selectbox(
        "Assignment", ASSIGNMENT_NAMES, key="assignment", help=HELP["assignment"]
    )
    state.put(NAMES["assignment"], None if chosen == config.assignment else chosen)
    return chosen


def _single_image_keep(config: LoaderConfig) -> float:
    default = config.single_image_keep
    wanted = state.number(state.get(NAMES["single_image_keep"]), default)
    state.seed("single_image_keep", wanted if 0 <= wanted <= 1 else default)
    odds = float(
        st.number_input(
            "Odds of a single-image document",
            min_value=0.0,
            max_value=1.0,
            step=0.05,
            key="single_image_keep",
            help=HELP["single_image_keep"],
        )
    )
    state.put(NAMES["single_image_keep"], None if odds == default else repr(odds))
    return odds


def _source(start: Start, tokenizer_slot: DeltaGenerator) -> data.CorpusKey | None:
    """Ask for an index or shards, the tokenizer and the folder of images."""
    st.subheader("Data")
    asked, place = "\n".join(start.shards), st.container()
    folder = _text("Index", "index", start.index)
    with place:
        patterns = _text("Shards", "shards", asked, area=True, disabled=bool(folder)).splitlines()
    sample = _sample(start)
    if folder:
        index = _index(folder, start)
        name = data.index_of(index).tokenizer.name
        with tokenizer_slot:
            note(f"Tokenizer: {name}, with which the index was made")
        return data.CorpusKey((), data.identify(name), index=index, sample=sample)
    with tokenizer_slot:
        tokenizer = _tokenizer(start)
    shards = tuple(start.roots.shards([line.strip() for line in patterns if line.strip()]))
    if not shards:
        return None
    image_dir = _image_dir(shards, start)
    return replace(data.source_of(shards, tokenizer, image_dir, None), sample=sample)


def _index(folder: str, start: Start) -> tuple[data.FileId, ...]:
    """Identify an index within the roots, and all that it says it is made from as well."""
    if folder == start.index:
        return data.index_at(folder)
    index = data.index_at(start.roots.path(folder))
    outside = _OUTSIDE.get((index, start.roots), lambda: _outside(folder, start))
    if outside:
        raise ConfigError(f"{folder}: {outside}")
    return index


def _outside(folder: str, start: Start) -> str:
    """Say what an index names that may not be read; nothing where all may be."""
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


def _text(
    label: str, name: str, default: str, *, area: bool = False, disabled: bool = False
) -> str:
    """Draw a line of text, or several, kept in the address."""
    state.seed(name, state.get(name, default))
    if area:
        text = st.text_area(label, key=name, height=90, help=HELP[name], disabled=disabled)
    else:
        text = st.text_input(label, key=name, help=HELP[name])
    text = text.strip()
    state.put(name, None if text == default else text)
    return text


def _sample(start: Start) -> int | None:
    """Ask for how many documents stand for all; None for every one."""
    state.seed("sample", state.whole("sample", start.sample, 0, _LARGEST))
    value: int = st.number_input(
        "Estimate from a sample", 0, _LARGEST, step=1000, key="sample", help=HELP["sample"]
    )
    state.put("sample", None if value == start.sample else str(value))
    if value == 1:
        raise ConfigError("a sample takes at least 2 documents")
    return value or None


def _tokenizer(start: Start) -> str:
    default = start.config.tokenizer
    state.seed("tokenizer", state.get(NAMES["tokenizer"], default))
    name = st.text_input("Tokenizer", key="tokenizer", help=HELP["tokenizer"]).strip() or BUILT_IN
    state.put(NAMES["tokenizer"], None if name == default else name)
    if name == BUILT_IN:
        note("GPT-2's, built in: counts are approximate for models with another tokenizer.")
    return name if name == default else start.roots.tokenizer(name)


def _image_dir(shards: Sequence[Shard], start: Start) -> str | None:
    """Ask for the images' folder where shards of MMC4's own kind have none in them."""
    if not start.image_dir and all(shard.layout is not Layout.JSONL for shard in shards):
        return None
    folder = _text("Folder of images", "image_dir", start.image_dir)
    if folder:
        start.roots.path(folder)
    if folder and data.identify(folder).changed < 0:
        raise ConfigError(f"{folder}: no such folder of images")
    return folder or None
