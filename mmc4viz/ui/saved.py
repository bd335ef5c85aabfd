"""Settings saved under a name, and the one that the page compares with.

They stand in the choices, so a link carries them. A saved setting belongs to its CLIP model:
thresholds mean nothing for another.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

import streamlit as st

from mmc4viz.model import LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, state
from mmc4viz.ui.headline import Compared
from mmc4viz.ui.inert import note, plain
from mmc4viz.ui.sidebar import NAMES, Choice
from mmc4viz.ui.threshold import number

_PREFIX: Final = "s."
_LONGEST: Final = 40  # characters of a name
_KEPT: Final = ("threshold", *(name for name in NAMES if name != "tokenizer"))


def settings_saved(config: LoaderConfig) -> dict[str, LoaderConfig]:
    """Return the settings saved for a setting's CLIP model, by name."""
    found = {name: _read(text, config) for name, text in state.named(_PREFIX).items()}
    return {name: one for name, one in found.items() if one is not None}


def _read(text: str, config: LoaderConfig) -> LoaderConfig | None:
    """Read a saved setting; None for another model's, and for what makes no sense."""
    try:
        found = json.loads(text)
        model, values = found.pop("model"), {k: v for k, v in found.items() if k in _KEPT}
        own = {field.name: field.default for field in fields(config) if field.name in _KEPT}
        return config.with_(**(own | values)) if model == config.clip_model else None
    except (ValueError, AttributeError, KeyError, TypeError, Mmc4vizError):
        return None


def save(name: str, config: LoaderConfig) -> None:
    """Keep a setting under a name: what differs from the loader's own."""
    own = LoaderConfig()
    kept: dict[str, Any] = {
        n: getattr(config, n) for n in _KEPT if getattr(config, n) != getattr(own, n)
    }
    text = json.dumps(kept | {"model": config.clip_model}, separators=(",", ":"))
    state.put(_PREFIX + name, text)


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
    saved = settings_saved(choice.config)
    wanted = state.get("vs", f"{data.REFERENCE:g}")
    state.seed("compare", wanted)
    chosen = _choose(wanted, saved)
    if chosen in saved:
        st.button("Use it", on_click=use, args=(saved[chosen], choice))
        st.button("Forget it", on_click=_forget, args=(chosen,))
    _saving(choice)
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
                save(name, choice.config)
                state.put("vs", name)
                state.begin_anew()
                st.rerun()


def _forget(name: str) -> None:
    state.put(_PREFIX + name, None)
    state.put("vs", None)
    state.begin_anew()
