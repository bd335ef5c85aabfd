"""Saved settings: the baseline, saving, and the list in which they are managed.

They belong to a CLIP model. A link with their id applies them in any browser that uses the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import streamlit as st

from mmc4viz.text import plain
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, model_data, state
from mmc4viz.ui.components.control import Baseline
from mmc4viz.ui.html import note, setting_in_words
from mmc4viz.ui.saved import store
from mmc4viz.ui.saved.store import Record, RecordKind
from mmc4viz.ui.sidebar import NAMES, Choice
from mmc4viz.ui.state import finite

_LONGEST: Final = 40  # characters of a name
_KEPT: Final = ("threshold", *(name for name in NAMES if name != "tokenizer"))
_BASELINE: Final = "vs"
_LINKED: Final = "saved"
"""Query parameters: the baseline (a threshold or an id), and the id of settings to apply."""
_PROBLEM: Final = "saved-settings-problem"
_CHOSEN: Final = "saved-settings"
_RENAMED: Final = "saved-settings-name"


@dataclass(frozen=True)
class SavedSettings:
    """Settings saved under a name.

    Attributes
    ----------
    name : str
    config : LoaderConfig
        With the CLIP model; without the tokenizer.
    when : str
        The date on which they were saved.
    """

    name: str
    config: LoaderConfig
    when: str

    @property
    def title(self) -> str:
        """The name with the CLIP model."""
        return f"{plain(self.name)} ({plain(self.config.clip_model)})"

    @classmethod
    def of_record(cls, record: Record) -> SavedSettings | None:
        """Return what a record holds; None if that is not valid."""
        name, model, values = (record.get(key) for key in ("name", "clip_model", "settings"))
        if not (isinstance(name, str) and isinstance(model, str) and isinstance(values, dict)):
            return None
        try:
            kept = {key: value for key, value in values.items() if key in _KEPT}
            config = LoaderConfig(clip_model=model, **kept)
        except (Mmc4vizError, TypeError):
            return None
        return cls(name[:_LONGEST], config, str(record.get("saved", ""))[:10])


def saved_settings(choice: Choice) -> dict[str, SavedSettings]:
    """Return all saved settings by id, of every CLIP model."""
    found = store.records(choice, RecordKind.SETTINGS)
    settings = {name: SavedSettings.of_record(one) for name, one in found.items()}
    return {name: one for name, one in settings.items() if one is not None}


def follow_link(choice: Choice) -> None:
    """Apply the settings that a link names, then draw the page again with them."""

    def parse(name: str) -> SavedSettings | None:
        record = store.find(choice, RecordKind.SETTINGS, name)
        return SavedSettings.of_record(record) if record is not None else None

    found = state.understood(_LINKED, parse, "the id of settings saved on this server")
    state.put(_LINKED, None)
    if found is None:
        return
    if found.config.clip_model not in choice.models:
        state.tell(
            f"The saved settings “{plain(found.name)}” are for {plain(found.config.clip_model)}, "
            "which this corpus has no scores of; they were not applied."
        )
        return
    state.tell(
        f"Saved settings “{plain(found.name)}” applied: {plain(found.config.clip_model)}, "
        f"{in_words(found.config)}."
    )
    _apply(found.config, choice)
    st.rerun()


def in_words(config: LoaderConfig) -> str:
    """Return the threshold and the settings that are not the loader's defaults, in words."""
    own = LoaderConfig()
    changed = [name for name in _KEPT[1:] if getattr(config, name) != getattr(own, name)]
    parts = [setting_in_words(name, getattr(config, name)) for name in changed]
    return ", ".join([f"threshold {config.threshold:.12g}", *parts])


def choose_baseline(choice: Choice) -> Baseline:
    """Draw the choice of the baseline and the list of saved settings; return the baseline."""
    every = saved_settings(choice)
    here = _of_this_model(every, choice)
    reference = _reference(choice)
    chosen = _choose(here, f"{reference:g}")
    _manage(every, choice)
    if chosen not in here and finite(chosen) is None:
        note(f"{chosen} is neither a threshold nor saved settings; using {reference:g}.")
    return _baseline(chosen, here, choice, reference)


def baseline_of(choice: Choice) -> Baseline:
    """Return the baseline chosen on the page Threshold."""
    here = _of_this_model(saved_settings(choice), choice)
    reference = _reference(choice)
    return _baseline(state.get(_BASELINE, f"{reference:g}"), here, choice, reference)


def _of_this_model(every: Mapping[str, SavedSettings], choice: Choice) -> dict[str, SavedSettings]:
    model = choice.config.clip_model
    return {name: one for name, one in every.items() if one.config.clip_model == model}


def _baseline(
    chosen: str, here: Mapping[str, SavedSettings], choice: Choice, reference: float
) -> Baseline:
    if chosen in here:
        there = here[chosen].config.with_(tokenizer=choice.config.tokenizer)
        curves = data.curves_of(choice.source, there)
        name = plain(here[chosen].name)
        return Baseline(name, curves, there.threshold, there)
    value = finite(chosen)
    value = reference if value is None else value
    curves = data.curves_of(choice.source, choice.config)
    at = value if value == data.REFERENCE else float(curves.thresholds[curves.step(value)])
    return Baseline(f"{at:g}", curves, at, choice.config)


def _reference(choice: Choice) -> float:
    """Return the reference threshold; for another CLIP model, the one that keeps as much."""
    own, source = next(iter(choice.models)), choice.source
    if choice.config.clip_model == own:
        return data.REFERENCE
    theirs = replace(choice.models[own], sample=source.sample)
    sides = (
        model_data.side(own, theirs, choice.config),
        model_data.side(choice.config.clip_model, source, choice.config),
    )
    try:
        match = model_data.equal_documents(*sides, data.REFERENCE)
    except Mmc4vizError:
        return data.REFERENCE
    return state.on_grid(match.second, choice.scale, choice.span)


def _choose(here: Mapping[str, SavedSettings], reference: str) -> str:
    """Draw the choice of the baseline: a threshold, or the id of saved settings."""

    def parse(text: str) -> str | None:
        return text if text in here or finite(text) is not None else None

    expected = "a threshold or the id of settings saved here for this CLIP model"
    wanted = state.understood(_BASELINE, parse, expected, reference) or state.get(
        _BASELINE, reference
    )
    if store.is_id(wanted) and wanted not in here:
        wanted = reference  # deleted, or of another CLIP model
    state.seed("compare", wanted)
    now = st.session_state["compare"]
    if store.is_id(now) and now not in here:
        now = st.session_state["compare"] = reference
    by_name = {one.name: name for name, one in here.items()}
    if now in by_name:  # typed
        now = st.session_state["compare"] = by_name[now]
    chosen: str = st.selectbox(
        "Baseline",
        list(dict.fromkeys([reference, *here, wanted, now])),
        key="compare",
        format_func=lambda name: plain(here[name].name) if name in here else name,
        accept_new_options=True,
        width=200,
        help="Differences are shown against this threshold or these saved settings. 0.24 is the "
        "threshold of OpenFlamingo's reference training script; for another CLIP model it becomes "
        "the one that keeps as many documents. Type a number for another one.",
    )
    state.put(_BASELINE, None if chosen == reference else chosen[:_LONGEST])
    return chosen


def _manage(every: Mapping[str, SavedSettings], choice: Choice) -> None:
    """Draw the list of saved settings, and the form that saves the current ones."""
    words = f"Saved settings ({len(every)})" if every else "Save settings"
    with st.popover(words, width="content"):
        with st.form("saving", border=False):
            note(f"Now: {plain(choice.config.clip_model)}, {in_words(choice.config)}.")
            with st.container(horizontal=True, vertical_alignment="bottom"):
                name = st.text_input("Name", max_chars=_LONGEST, placeholder="strict")
                pressed = st.form_submit_button("Save")
        if pressed and _done(lambda: _save(name.strip(), choice)):
            st.rerun()
        if every:
            _list(every, choice)
        if _PROBLEM in st.session_state:
            note(st.session_state.pop(_PROBLEM), "error")
        if problem := store.problem():
            note(problem)


def _list(every: Mapping[str, SavedSettings], choice: Choice) -> None:
    """Draw one of the saved settings with what can be done with it."""
    if st.session_state.get(_CHOSEN) not in every:
        st.session_state[_CHOSEN] = list(every)[-1]
    chosen: str = st.selectbox(
        "Saved settings", list(every), key=_CHOSEN, format_func=lambda name: every[name].title
    )
    found = every[chosen]
    note(f"{plain(found.config.clip_model)}, {in_words(found.config)}. Saved {plain(found.when)}.")
    there = found.config.clip_model in choice.models
    own = found.config.clip_model == choice.config.clip_model
    if not there:
        note("This corpus has no scores of this CLIP model.")
    with st.container(horizontal=True):
        st.button("Apply", key="saved-apply", disabled=not there, on_click=_apply,
                  args=(found.config, choice))  # fmt: skip
        st.button("Use as baseline", key="saved-compare", disabled=not own, on_click=_compare,
                  args=(chosen,))  # fmt: skip
        export = st.button(
            "Export",
            key="saved-export",
            disabled=not there,
            help="Applies them and opens the page Export, with the YAML config.",
        )
        st.button("Delete", key="saved-delete", on_click=_delete, args=(chosen, choice))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("New name", key=_RENAMED, max_chars=_LONGEST, placeholder=found.name)
        st.button("Rename", key="saved-rename", on_click=_rename, args=(chosen, choice))
    if not store.problem():
        st.caption("Link for anybody who uses this server")
        here = (st.context.url or "").partition("?")[0].rstrip("/")
        st.code(f"{here}/?{_LINKED}={chosen}", language=None)
    if export:
        _apply(found.config, choice)
        state.go_to("Export")


def _done(act: Callable[[], object]) -> bool:
    """Do something; if that is impossible, show why in the list."""
    try:
        act()
    except ConfigError as error:
        st.session_state[_PROBLEM] = str(error)
        return False
    return True


def _save(name: str, choice: Choice) -> None:
    """Save the current settings under a name, without those at their defaults."""
    own, config = LoaderConfig(), choice.config
    values: dict[str, Any] = {
        key: getattr(config, key)
        for key in _KEPT
        if key == "threshold" or getattr(config, key) != getattr(own, key)
    }
    record = {"name": name, "clip_model": config.clip_model, "settings": values}

    def check(there: Mapping[str, Record]) -> None:
        same = [one for one in there.values() if _is_named(one, name, config.clip_model)]
        if any(one["settings"] != values for one in same):
            raise ConfigError(f"“{plain(name)}” is saved already: enter another name.")

    _check_name(name)
    kept = store.keep(choice, RecordKind.SETTINGS, record, check)
    st.session_state[_CHOSEN] = kept
    state.put(_BASELINE, kept)
    state.begin_anew()


def _check_name(name: str) -> None:
    if not name or finite(name) is not None:
        raise ConfigError("Enter a name (not a number).")


def _is_named(record: Record, name: str, model: object) -> bool:
    return record.get("name") == name and record.get("clip_model") == model


def _apply(config: LoaderConfig, choice: Choice) -> None:
    """Apply saved settings with their CLIP model."""
    for name in _KEPT[1:]:
        state.put(NAMES[name], str(getattr(config, name)))
    state.put("model", config.clip_model)
    own = next(iter(choice.models))
    state.choose(state.name_of(config.clip_model, own), config.threshold)
    state.begin_anew()


def _compare(name: str) -> None:
    state.put(_BASELINE, name)
    state.begin_anew()


def _rename(chosen: str, choice: Choice) -> None:
    name = str(st.session_state.get(_RENAMED, "")).strip()

    def change(there: dict[str, Record]) -> None:
        record = there.get(chosen)
        if record is None:
            raise ConfigError("These settings were deleted meanwhile.")
        others = [one for other, one in there.items() if other != chosen]
        if any(_is_named(one, name, record.get("clip_model")) for one in others):
            raise ConfigError(f"“{plain(name)}” is saved already: enter another name.")
        record["name"] = name

    def act() -> None:
        _check_name(name)
        store.edit(choice, RecordKind.SETTINGS, change)

    if _done(act):
        st.session_state[_RENAMED] = ""


def _delete(chosen: str, choice: Choice) -> None:
    if _done(
        lambda: store.edit(choice, RecordKind.SETTINGS, lambda there: there.pop(chosen, None))
    ):
        state.begin_anew()
