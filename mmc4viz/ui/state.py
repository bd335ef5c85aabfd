"""The page's address, the session and the chosen threshold.

Anybody can make a link, and who follows it has chosen nothing. So no link names a place to write, a
store, an index, a tokenizer's files or a folder outside the roots: these come from the start, or
are typed into the page and stay in its session. Keeps and draws nothing.

A link reproduces a view, a reload keeps it. The address is read when a session begins and when the
person goes back or forward; it is written at the end of each run, also after a change of page,
which clears it. Only what differs from its default stands in it, and nothing that could do harm
(`address`); what is typed of that is the session's alone. No value is checked here: whoever reads
one makes sure that it makes sense, for an address may say anything.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import streamlit as st

from mmc4viz.data.scale import COSINE, Scale
from mmc4viz.data.storage import is_remote
from mmc4viz.loader.tokenizer import BUILT_IN
from mmc4viz.types import ConfigError
from mmc4viz.ui import data
from mmc4viz.ui.html import note
from mmc4viz.ui.start import Roots

TYPED: Final = "typed"
"""In an address: which data the session had that the address does not carry."""
WORDS: Final = {
    "index": "an index",
    "shards": "shards",
    "image_dir": "a folder of images",
    "tok": "a tokenizer",
    "x.out": "a folder to write into",
}
_NAMES: Final = {
    "t", "min", "cap", "len", "kb", "match", "coin", "sample", "model", "vs", "view", "doc",
    "basis", "l.view", "l.goal", "l.width", "l.focus", "l.precision", "b.view", "b.n", "b.other",
    "m.other", "m.by", "x.order", "x.cap", "x.drop", "x.keep", "x.images", "x.models",
}  # fmt: skip
_FAMILIES: Final = ("t.", "s.", "p.", "f.")
_DATA: Final = ("index", "shards", "image_dir", "tok")
_LONGEST: Final = 4000  # characters of one value; longer ones stay in the session only


def is_known(name: str) -> bool:
    """Whether it is said here if a choice may stand in an address."""
    return name in _NAMES or name in WORDS or name.startswith(_FAMILIES)


def may_stand(name: str, value: str, roots: Roots) -> bool:
    """Whether a choice may stand in an address, and may be taken from one."""
    if name in ("shards", "image_dir"):
        return all(_is_here(line.strip(), roots) for line in value.splitlines())
    if name == "tok":
        return value == BUILT_IN
    return is_known(name) and name not in WORDS


def carried(chosen: Mapping[str, str], roots: Roots) -> dict[str, str]:
    """Return what of the choices stands in the address, and the names of the data that does not."""
    found = {
        name: value
        for name, value in chosen.items()
        if len(value) <= _LONGEST and may_stand(name, value, roots)
    }
    typed = [name for name in _DATA if chosen.get(name) and name not in found]
    return found | ({TYPED: " ".join(typed)} if typed else {})


def _is_here(pattern: str, roots: Roots) -> bool:
    """Whether a pattern is local, and names nothing outside the roots as far as it says."""
    try:
        return not is_remote(pattern) and bool(roots.pattern(pattern))
    except ConfigError:
        return False


def refused(found: Mapping[str, str], own: Mapping[str, str], roots: Roots) -> str:
    """Say in a line what an address asks for, is not given, and is not the session's own.

    Nothing where there is none.
    """
    asked = [
        f"{words} ({_short(found[name])})"
        for name, words in WORDS.items()
        if found.get(name) and not may_stand(name, found[name], roots)
    ]
    if asked:
        return (
            f"The link asks for {_list(asked)}. Not taken from a link: name it here on the page, "
            "or start the app with it."
        )
    typed = [
        WORDS[name] for name in found.get(TYPED, "").split() if name in WORDS and name not in own
    ]
    if typed:
        return (
            f"This view had {_list(typed)} typed into the page, which a link does not carry: type "
            "it again, or start the app with it."
        )
    return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:80]}…"


def _list(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


_CHOSEN: Final = "chosen"
_EPOCH: Final = "epoch"
_SEEDED: Final = "seeded"
_WRITTEN: Final = "written"
_ROOTS: Final = "roots"
_REFUSED: Final = "refused"  # a line about the address, and what was chosen then
_ON_ITS_WAY: Final = 1.0  # seconds in which a browser may not know the newest address yet


def get(name: str, default: str = "") -> str:
    """Return what was chosen under a name."""
    return _chosen().get(name, default)


def put(name: str, value: str | None) -> None:
    """Keep a choice; None forgets it, as does whoever finds that it is the default.

    Raises
    ------
    KeyError
        For a name of which `address` does not know whether it may stand there.
    """
    if not is_known(name):
        raise KeyError(name)
    if value is None:
        _chosen().pop(name, None)
    else:
        _chosen()[name] = value


def named(prefix: str) -> dict[str, str]:
    """Return what was chosen under names that begin with a prefix, by the rest of the name."""
    return {
        name.removeprefix(prefix): value
        for name, value in _chosen().items()
        if name.startswith(prefix)
    }


def whole(name: str, default: int, least: int, most: int) -> int:
    """Return a choice that is a whole number in a range, else the default."""
    text = get(name)
    try:
        value = int(text) if len(text) < 20 else default
    except ValueError:
        return default
    return value if least <= value <= most else default


def seed(key: str, value: Any) -> None:
    """Give a widget its value: when it is drawn anew, and when the choices came from elsewhere."""
    seeded: dict[str, int] = st.session_state.setdefault(_SEEDED, {})
    if key not in st.session_state or seeded.get(key) != epoch():
        st.session_state[key] = value
        seeded[key] = epoch()


def epoch() -> int:
    """Return a number that changes when choices came from elsewhere than the page's widgets."""
    number: int = st.session_state.setdefault(_EPOCH, 0)
    return number


def begin_anew() -> None:
    """Let every widget take its value from the choices again."""
    st.session_state[_EPOCH] = epoch() + 1


def read_address(roots: Roots) -> str:
    """Follow the address when a session begins, and when the person went back or forward.

    Returns
    -------
    str
        A line about what it asks for and is not given, until something else is chosen.
    """
    st.session_state[_ROOTS] = roots
    found = st.query_params.to_dict()
    written, when = st.session_state.get(_WRITTEN, (found, 0.0))
    # An empty address says nothing: a change of page clears it, and the threshold always stands.
    moved = found and found != written and time.monotonic() - when > _ON_ITS_WAY
    if moved or _CHOSEN not in st.session_state:
        own = {k: v for k, v in _chosen().items() if not may_stand(k, v, roots)}
        taken = {k: v for k, v in found.items() if may_stand(k, v, roots)}
        st.session_state[_CHOSEN] = own | taken
        line = refused(found, own, roots)
        st.session_state[_REFUSED] = line, None
        if moved:
            begin_anew()
        return line
    return _line_about_it()


def _line_about_it() -> str:
    """Return the line about the address as long as what is chosen is what it was then."""
    line, then = st.session_state.setdefault(_REFUSED, ("", {}))
    if line and then is None:  # the run that has read it chooses much by itself
        st.session_state[_REFUSED] = line, dict(_chosen())
    return line if then in (None, _chosen()) else ""


def address() -> dict[str, str]:
    """Return what stands in the address."""
    return carried(_chosen(), st.session_state[_ROOTS])


def write_address() -> None:
    """Write the address, if it says anything else."""
    wanted = address()
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    if st.session_state.get(_WRITTEN, (None, 0.0))[0] != wanted:
        st.session_state[_WRITTEN] = (wanted, time.monotonic())


def _chosen() -> dict[str, str]:
    chosen: dict[str, str] = st.session_state.setdefault(_CHOSEN, {})
    return chosen


DOCUMENT: Final = "doc"  # its shard's place in the corpus, and its number in the shard
FILTER: Final = "f."


def open_document(source: data.CorpusKey) -> tuple[int, int] | None:
    """Return the open document's part and row, as far as the address says one that is here."""
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", get(DOCUMENT), re.ASCII)
    return data.place_here(source, int(found[1]), int(found[2])) if found else None


def keep_open(source: data.CorpusKey, place: tuple[int, int] | None) -> None:
    """Keep which document is open, by its part and row."""
    there = None if place is None else data.place_in_corpus(source, *place)
    put(DOCUMENT, None if there is None else f"{there[0]}.{there[1]}")


def go_to_document(source: data.CorpusKey, part: int, row: int) -> None:
    """Leave for the page Documents, with one of them open."""
    keep_open(source, (part, row))
    _go()


def put_filters(**filters: str) -> None:
    """Set these filters and the order of the page Documents, and no others."""
    for name in named(FILTER):
        put(FILTER + name, None)
    for name, value in filters.items():
        put(FILTER + name, value)


def go_to_list() -> None:
    """Leave for the page Documents, with none of them open."""
    put(DOCUMENT, None)
    _go()


def _go() -> None:
    begin_anew()
    st.switch_page(st.session_state["pages"]["Documents"], query_params=address())


HELP = "A matched pair that scores below this is dropped; equal is kept."


def name_of(model: str, own: str) -> str:
    """Return the short name under which a model's threshold is kept."""
    return "t" if model == own else f"t.{model}"


def chosen(name: str, asked: float, scale: Scale, span: tuple[float, float]) -> float:
    """Return the threshold: what was chosen, else what was asked for, on a step of the grid."""
    wanted = number(get(name), asked)
    nearest = on_grid(wanted, scale, span)
    if abs(nearest - wanted) > 1e-9:
        note(f"{wanted:g} is no step of this model's scale ({scale.name}); shown: {nearest:g}")
    elif name not in named(""):
        choose(name, nearest)
    return nearest


def choose(name: str, value: float) -> None:
    """Keep a threshold."""
    put(name, f"{value:.12g}")


def number(text: str, default: float) -> float:
    """Read a finite number, else the default.

    Examples
    --------
    >>> number("0.3", 0.24), number("nan", 0.24), number("", 0.24)
    (0.3, 0.24, 0.24)
    """
    try:
        value = float(text)
    except ValueError:
        return default
    return value if math.isfinite(value) else default


def on_grid(value: float, scale: Scale, span: tuple[float, float]) -> float:
    """Return the nearest step of the grid within a span.

    Examples
    --------
    >>> on_grid(0.24049, COSINE, (0.1, 0.4)), on_grid(30, COSINE, (0.1, 0.4))
    (0.24, 0.4)
    """
    inside = min(max(value, span[0]), span[1])
    return round(round(inside / scale.step) * scale.step, scale.digits)


def visible_span(low: float, high: float, scale: Scale) -> tuple[float, float]:
    """Return the thresholds worth showing: steps of the grid around all scores.

    On cosine scale the reference setting is among them. Without scores the ends are NaN.

    Examples
    --------
    >>> visible_span(0.2, 0.4, COSINE)
    (0.19, 0.41)
    """
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 0.5
    if scale == COSINE:
        low, high = min(low, data.REFERENCE), max(high, data.REFERENCE)
    low, high = max(low, scale.start), min(high, scale.stop)
    margin = max(5, round(0.05 * (high - low) / scale.step))
    first = max(math.floor(low / scale.step + 1e-6) - margin, round(scale.start / scale.step))
    last = min(math.ceil(high / scale.step - 1e-6) + margin, round(scale.stop / scale.step))
    return round(first * scale.step, scale.digits), round(last * scale.step, scale.digits)


def number_input(
    value: float, scale: Scale, span: tuple[float, float], keep: Callable[[float], None]
) -> None:
    """Draw the threshold as a number, where the control is not."""
    st.session_state["threshold"] = value
    st.number_input(
        "Similarity threshold",
        *span,
        step=scale.step,
        format=f"%.{scale.digits}f",
        key="threshold",
        help=HELP,
        on_change=lambda: keep(on_grid(st.session_state["threshold"], scale, span)),
    )
