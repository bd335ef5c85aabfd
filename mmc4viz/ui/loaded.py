"""A config that was loaded, at the start or on the page Export: its settings taken, what differs.

What differs is the core's answer; here it is remembered and said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz.corpus.storage import fingerprint
from mmc4viz.handover.basics import Basics, SimilarityFacts, basics_of, with_documents
from mmc4viz.handover.differences import differences
from mmc4viz.model import LoaderConfig
from mmc4viz.settings import Config
from mmc4viz.ui import chosen, data, state, threshold
from mmc4viz.ui.inert import note
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.sidebar import NAMES, Choice
from mmc4viz.ui.start import Start

REASONS: Final = "export-reasons"  # of the person's own; a config that is loaded has others
_LOADED: Final = "loaded-config"
_BASICS: Memo[Basics] = Memo()


@dataclass(frozen=True)
class Loaded:
    """A config by the name of its file."""

    name: str
    file: Config


def basics_for(source: data.Source, config: LoaderConfig) -> Basics:
    """Return what numbers on the screen rest on, but for the scores' scale."""
    return _BASICS.get((source, config.clip_model), lambda: _basics(source, config))


def _basics(source: data.Source, config: LoaderConfig) -> Basics:
    basics = basics_of(data.corpus_of(source), config)
    if source.sidecar is not None:
        path = os.path.abspath(source.sidecar.path)
        facts = SimilarityFacts(config.clip_model, path, fingerprint(path))
        basics = replace(basics, similarity=facts)
    if source.index:
        return basics
    if source.sample is None:
        return with_documents(basics, data.columns_of(source))
    whole = data.facts_of(source).whole
    return replace(basics, corpus=replace(basics.corpus, documents=whole))


def with_scale(basics: Basics, source: data.Source, config: LoaderConfig) -> Basics:
    """Return the same with how the scores lie, under the setting's size limit and assignment."""
    spread = data.spread_of(source, config)
    seen = replace(
        basics.similarity,
        scale=spread.scale.name,
        lowest=spread.low if np.isfinite(spread.low) else np.nan,
        highest=spread.high if np.isfinite(spread.high) else np.nan,
    )
    return replace(basics, similarity=seen)


def take(loaded: Loaded, choice: Choice, start: Start) -> None:
    """Take a config's settings as those chosen; a model that is not here is left as it is."""
    config = loaded.file.loader_config()
    for name, short in NAMES.items():
        state.put(short, str(getattr(config, name)))
    source = loaded.file.provenance.get("similarity", {}).get("source")
    model = next(
        (name for name, one in choice.models.items() if source and one.similarity == source),
        config.clip_model if config.clip_model in choice.models else choice.config.clip_model,
    )
    state.put("model", model)
    threshold.choose(threshold.name_of(model, next(iter(choice.models))), config.threshold)
    st.session_state[_LOADED] = loaded
    st.session_state.pop(REASONS, None)
    state.begin_anew()


def reasons(start: Start, value: float) -> tuple[dict[str, Any], str]:
    """Return how a threshold was chosen, as far as is known, and the note of a loaded config."""
    now = current(start)
    words = "" if now is None else str(now.file.provenance.get("note", ""))
    if proposal := chosen.proposal():
        return proposal, words
    if now is not None and now.file.loader_config().threshold == value:
        return now.file.provenance.get("chosen", {}), words
    return {}, words


def current(start: Start) -> Loaded | None:
    """Return the config that was loaded last, else the one that the app was started with."""
    found: Loaded | None = st.session_state.get(_LOADED)
    if found is None and start.file.settings:
        return Loaded(start.file_name, start.file)
    return found


def say(loaded: Loaded, choice: Choice) -> int:
    """Say what is another than when a config was exported; return how many lines that took."""
    if not loaded.file.provenance:
        return 0
    source, config = choice.whole, choice.config
    basics = basics_for(source, config)
    if data.is_matched(source, config):
        basics = with_scale(basics, source, config)
    found = differences(loaded.file.settings, loaded.file.provenance, basics)
    for line in found:
        note(f"{loaded.name}: {line}", "error")
    return len(found)
