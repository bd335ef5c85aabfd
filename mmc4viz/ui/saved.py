"""Settings saved under a name, and the one that the page compares with.

They are kept in a file next to that of the labels, and in the address, so that a link carries
them. A saved setting belongs to its CLIP model: thresholds mean nothing for another.
"""

from __future__ import annotations

import json
import os
from dataclasses import fields
from typing import Any, Final

import streamlit as st
from filelock import FileLock

from mmc4viz.handover.files import whole_file
from mmc4viz.model import ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, label_file, state
from mmc4viz.ui.headline import Compared
from mmc4viz.ui.inert import note, plain
from mmc4viz.ui.sidebar import NAMES, Choice
from mmc4viz.ui.start import SETTINGS, read_start
from mmc4viz.ui.threshold import number

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
    return os.path.join(os.path.dirname(label_file.path_of(choice)), SETTINGS)


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


def compared(choice: Choice) -> Compared:
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
        return Compared(plain(chosen), curves, there.threshold, there.single_image_keep)
    value = number(chosen, data.REFERENCE)
    if not _is_number(chosen):
        note(f"{chosen} is neither a threshold nor a saved setting; compared with {value:g}")
    curves = data.curves_of(choice.source, choice.config)
    at = value if value == data.REFERENCE else float(curves.thresholds[curves.step(value)])
    return Compared(f"{at:g}", curves, at, choice.config.single_image_keep)


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
