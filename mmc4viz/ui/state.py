"""The page's address (query string), the session's choices and the threshold.

A link reproduces a view, and a reload keeps it. The address is read when a session starts and when
the user goes back or forward, and written at the end of each run. It holds only values that differ
from their defaults. Values are validated where they are used (`understood`); what is not understood
is told in one line when the page has been drawn, and removed.

Following a link must be safe. Therefore an address cannot set an output directory, a remote store,
an index, tokenizer files or a folder outside the roots: these come from the app's options or are
typed into the page, and then stay in the session.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import streamlit as st
from streamlit.navigation.page import StreamlitPage

from mmc4viz.data.scale import COSINE, Scale
from mmc4viz.data.storage import is_remote
from mmc4viz.loader.tokenizer import BUILT_IN
from mmc4viz.text import plain
from mmc4viz.types import ConfigError
from mmc4viz.ui import data
from mmc4viz.ui.html import note
from mmc4viz.ui.start import Roots

T = TypeVar("T")

TYPED: Final = "typed"
"""Query parameter that lists the session's data which the address does not carry."""
_WORDS: Final = {
    "index": "an index",
    "shards": "shards",
    "image_dir": "an image folder",
    "s.table": "a slice table",
    "tok": "a tokenizer",
    "x.out": "an output directory",
    "x.dataset": "a dataset folder",
}
_NAMES: Final = {
    "t", "loader", "min", "cap", "len", "kb", "match", "keep", "sample", "model", "vs", "view",
    "doc",
    "d.columns", "figures", "reason", "note", "saved", "l.view", "l.goal", "l.width", "l.focus",
    "l.precision", "l.pair", "b.view", "b.n", "b.other", "b.from", "b.to", "b.below", "b.above",
    "o.kept", "o.lost", "m.other", "m.by", "m.quadrant", "s.by", "s.slice", "x.for",
    "x.order", "x.cap", "x.drop", "x.keep",
    "x.images", "x.models", "x.slices", "picture", "place", "shape", "map.of", "map.with",
    "budget", "unit", "corpus", "quality", "kept", "score", "with", "second", "where", "strict",
    "number",
}  # fmt: skip
_FAMILIES: Final = ("t.", "p.", "f.")
_DATA: Final = ("index", "shards", "image_dir", "s.table", "tok")
_LONGEST: Final = 4000  # characters of a value in the address


def _is_known(name: str) -> bool:
    """Whether a name is a known choice."""
    return name in _NAMES or name in _WORDS or name.startswith(_FAMILIES)


def _may_stand(name: str, value: str, roots: Roots) -> bool:
    """Whether a choice may be written to an address and read from one."""
    if name in ("shards", "image_dir", "s.table"):
        return all(_is_here(line.strip(), roots) for line in value.splitlines())
    if name == "tok":
        return value == BUILT_IN
    return _is_known(name) and name not in _WORDS


def _carried(chosen: Mapping[str, str], roots: Roots) -> dict[str, str]:
    """Return the choices for the address, and which data it does not carry."""
    found = {
        name: value
        for name, value in chosen.items()
        if len(value) <= _LONGEST and _may_stand(name, value, roots)
    }
    typed = [name for name in _DATA if chosen.get(name) and name not in found]
    return found | ({TYPED: " ".join(typed)} if typed else {})


def _is_here(pattern: str, roots: Roots) -> bool:
    """Whether a pattern is local and within the roots."""
    try:
        return not is_remote(pattern) and bool(roots.pattern(pattern))
    except ConfigError:
        return False


def _refused(found: Mapping[str, str], own: Mapping[str, str], roots: Roots) -> str:
    """Return a note about values of an address that were ignored or are missing; else empty."""
    asked = [
        f"{words} ({_short(found[name])})"
        for name, words in _WORDS.items()
        if found.get(name) and not _may_stand(name, found[name], roots)
    ]
    if asked:
        return (
            f"The link asks for {_list(asked)}, which a link cannot set. Enter it on the page, or "
            "start the app with it."
        )
    typed = [
        _WORDS[name] for name in found.get(TYPED, "").split() if name in _WORDS and name not in own
    ]
    if typed:
        return (
            f"This view used {_list(typed)} entered on the page, which a link does not carry. "
            "Enter it again, or start the app with it."
        )
    return ""


def _short(text: str, most: int = 80) -> str:
    line = plain(" ".join(text[: 20 * most].split()))
    return line if len(line) <= most else f"{line[:most]}…"


def _list(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


_CHOSEN: Final = "chosen"
_EPOCH: Final = "epoch"
_SEEDED: Final = "seeded"
_WRITTEN: Final = "written"
_ROOTS: Final = "roots"
_FRESH: Final = "fresh"  # values of the address that nothing has read yet
_MISREAD: Final = "misread"  # what was not understood of the address
_TOLD: Final = "told"  # other lines to show
_SHOWN: Final = "messages"  # the lines shown, and the choices at that time
_MOST_MISREAD: Final = 3  # parts of an address that are told in full
_PENDING: Final = 1.0  # seconds until a browser surely has the newest address


def get(name: str, default: str = "") -> str:
    """Return the choice stored under a name."""
    return _chosen().get(name, default)


def put(name: str, value: str | None) -> None:
    """Store a choice; None deletes it, as for a default.

    Raises
    ------
    KeyError
        For an unknown name.
    """
    if not _is_known(name):
        raise KeyError(name)
    if value is None:
        _chosen().pop(name, None)
    else:
        _chosen()[name] = value


def named(prefix: str) -> dict[str, str]:
    """Return the choices whose names start with a prefix, by the rest of the name."""
    return {
        name.removeprefix(prefix): value
        for name, value in _chosen().items()
        if name.startswith(prefix)
    }


def all_but(*names: str) -> dict[str, str]:
    """Return every choice but some."""
    return {name: value for name, value in _chosen().items() if name not in names}


def understood(
    name: str, parse: Callable[[str], T | None], expected: str, using: str = ""
) -> T | None:
    """Return a choice as parsed; None without one, or if it is not understood.

    What is not understood of an address is told once, and removed.

    Parameters
    ----------
    name : str
    parse : callable
        Returns None for a text that it does not understand.
    expected : str
        What the value should be: ``"a whole number from 1 to 9"``.
    using : str
        What is used instead; by default the value is ignored.
    """
    text = get(name)
    if not text:
        return None
    value = parse(text)
    if value is None:
        misread(name, expected, using)
    else:
        _fresh().pop(name, None)
    return value


def misread(name: str, expected: str, using: str = "") -> None:
    """Tell that a value is not what it should be, if the address brought it; then remove it."""
    text = _fresh().pop(name, None)
    if text is not None and text == get(name):
        _tell_misread(name, text, f"is not {expected}", using)
        put(name, None)


def known_only(prefix: str, names: Iterable[str], expected: str) -> None:
    """Tell which names with a prefix the address should not have, and remove them."""
    for name in named(prefix).keys() - set(names):
        misread(prefix + name, expected)


def _tell_misread(name: str, text: str, why: str, using: str = "") -> None:
    found: list[str] = st.session_state.setdefault(_MISREAD, [])
    done = f"using {using}" if using else "ignored"
    found.append(f'"{_short(f"{name}={text}", 60)}", which {why}; {done}.')


def asked(key: str, name: str) -> Any:
    """Return what a component asks for.

    Nothing if its page has been left in the meantime: what it sent before is still heard then, but
    the component is gone.
    """
    return (st.session_state.get(key) or {}).get(name)


def tell(line: str) -> None:
    """Show a line on top of the page until something is changed."""
    st.session_state.setdefault(_TOLD, []).append(line)


def messages() -> list[str]:
    """Return what to tell about the address and what was saved, once the page has been drawn."""
    lines, then = st.session_state.get(_SHOWN, ([], {}))
    misread, told = (st.session_state.pop(name, []) for name in (_MISREAD, _TOLD))
    if misread:
        more = len(misread) - _MOST_MISREAD
        parts = [*misread[:_MOST_MISREAD], *([f"{more:,} more that were ignored."] * (more > 0))]
        told = [f"This address has {' It also has '.join(parts)}", *told]
    if not told and then == _chosen():
        return list(lines)
    st.session_state[_SHOWN] = told, dict(_chosen())
    return list(told)


def _fresh() -> dict[str, str]:
    found: dict[str, str] = st.session_state.setdefault(_FRESH, {})
    return found


def whole(name: str, default: int, least: int, most: int) -> int:
    """Return a choice that is an integer in a range, else the default."""

    def parse(text: str) -> int | None:
        try:
            value = int(text) if len(text) < 20 else None
        except ValueError:
            return None
        return value if value is not None and least <= value <= most else None

    found = understood(name, parse, f"a whole number from {least:,} to {most:,}", f"{default:,}")
    return default if found is None else found


def seed(key: str, value: Any) -> None:
    """Set a widget's value when it is new, or when the choices changed outside the widgets."""
    seeded: dict[str, int] = st.session_state.setdefault(_SEEDED, {})
    if key not in st.session_state or seeded.get(key) != _epoch():
        st.session_state[key] = value
        seeded[key] = _epoch()


def _epoch() -> int:
    """Return a number that changes when choices change outside the page's widgets."""
    number: int = st.session_state.setdefault(_EPOCH, 0)
    return number


def begin_anew() -> None:
    """Reset every widget to the stored choices."""
    st.session_state[_EPOCH] = _epoch() + 1


def read_address(roots: Roots) -> None:
    """Read the address when a session starts, and when the user went back or forward."""
    st.session_state[_ROOTS] = roots
    found = st.query_params.to_dict()
    written, when = st.session_state.get(_WRITTEN, (found, 0.0))
    # An empty address is ignored: a change of page clears it.
    moved = found and found != written and time.monotonic() - when > _PENDING
    if not moved and _CHOSEN in st.session_state:
        return
    own = {k: v for k, v in _chosen().items() if not _may_stand(k, v, roots)}
    taken = {k: v for k, v in found.items() if len(v) <= _LONGEST and _may_stand(k, v, roots)}
    st.session_state[_CHOSEN] = own | taken
    st.session_state[_FRESH] = dict(taken)
    for name, text in found.items():
        if not _is_known(name) and name != TYPED:
            _tell_misread(name, text, "this version of mmc4viz does not know")
        elif len(text) > _LONGEST:
            _tell_misread(name, text, f"is longer than {_LONGEST:,} characters")
    if line := _refused(found, own, roots):
        tell(line)
    if moved:
        begin_anew()


def address() -> dict[str, str]:
    """Return the query parameters."""
    return _carried(_chosen(), st.session_state[_ROOTS])


def write_address() -> None:
    """Write the address if it has changed."""
    wanted = address()
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    if st.session_state.get(_WRITTEN, (None, 0.0))[0] != wanted:
        st.session_state[_WRITTEN] = (wanted, time.monotonic())


def _chosen() -> dict[str, str]:
    chosen: dict[str, str] = st.session_state.setdefault(_CHOSEN, {})
    return chosen


_DOCUMENT: Final = "doc"  # index of the shard, and number of the document in it
FILTER: Final = "f."
_NEAR: Final = "b."
PAIR: Final = "l.pair"
"""Query parameter: the pair to label (`go_to_label`)."""


def open_document(source: data.CorpusKey) -> tuple[int, int] | None:
    """Return the open document's part and row, None without a valid one."""

    def parse(text: str) -> tuple[int, int] | None:
        found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", text, re.ASCII)
        return data.place_here(source, int(found[1]), int(found[2])) if found else None

    among = "corpus" if source.sample is None else "sample"
    return understood(_DOCUMENT, parse, f"a document of this {among}")


def keep_open(source: data.CorpusKey, place: tuple[int, int] | None) -> None:
    """Store which document is open, by its part and row."""
    put(_DOCUMENT, None if place is None else document_name(source, place))


def go_to_document(source: data.CorpusKey, part: int, row: int) -> None:
    """Switch to the page Documents with a document open."""
    keep_open(source, (part, row))
    go_to("Documents")


def document_address() -> dict[str, str]:
    """Return the query parameters of the page Documents, without filters and an open document."""
    left_out = (FILTER, _NEAR, _DOCUMENT, PAIR)
    return {name: value for name, value in address().items() if not name.startswith(left_out)}


def document_name(source: data.CorpusKey, place: tuple[int, int]) -> str:
    """Return how an address names a document, given by its part and row."""
    shard, number = data.place_in_corpus(source, *place)
    return f"{shard}.{number}"


def go_to_pairs(low: str | None, high: str | None) -> None:
    """Switch to the page Near threshold with the pairs of a range of scores."""
    for name in named(_NEAR):
        if name in ("view", "below", "above"):
            put(_NEAR + name, None)
    put(_NEAR + "from", low)
    put(_NEAR + "to", high)
    go_to("Near threshold")


def go_to_label(*pair: int) -> None:
    """Switch to the page Label with a chosen pair.

    Parameters
    ----------
    *pair : int
        Where it is: shard, document, image and sentence, or file and row of a table.
    """
    put(PAIR, ".".join(map(str, pair)))
    put("l.view", None)
    go_to("Label")


def chosen_pair(source: data.CorpusKey) -> tuple[tuple[int, int], int, int] | None:
    """Return the chosen pair's document (part and row), image and sentence; None without any."""

    def parse(text: str) -> tuple[tuple[int, int], int, int] | None:
        found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})", text, re.ASCII)
        place = data.place_here(source, int(found[1]), int(found[2])) if found else None
        if not found or place is None:
            return None
        image, sentence = int(found[3]), int(found[4])
        columns = data.columns_of(source)[place[0]]
        return (place, image, sentence) if image < columns.n_images[place[1]] else None

    return understood(PAIR, parse, "a pair of this corpus")


def put_filters(**filters: str) -> None:
    """Replace the filters and the order of the page Documents."""
    for name in named(FILTER):
        put(FILTER + name, None)
    for name, value in filters.items():
        put(FILTER + name, value)


SLICE_TABLE: Final = "s.table"  # path of the user's table


def go_to_list() -> None:
    """Switch to the page Documents with none open."""
    put(_DOCUMENT, None)
    go_to("Documents")


def pages() -> dict[str, StreamlitPage]:
    """Return the pages by name."""
    found: dict[str, StreamlitPage] = st.session_state["pages"]
    return found


def go_to(page: str) -> None:
    """Switch to a page, which shows the choices as they are now."""
    begin_anew()
    st.switch_page(pages()[page], query_params=address())


_HELP = "Pairs scoring below the threshold are dropped; an equal score is kept."


def name_of(model: str, own: str) -> str:
    """Return the name under which a model's threshold is stored."""
    return "t" if model == own else f"t.{model}"


def chosen(name: str, asked: float, scale: Scale, span: tuple[float, float]) -> float:
    """Return the chosen threshold, else the default, rounded to the grid."""
    found = understood(name, finite, "a number", f"{asked:g}")
    wanted = asked if found is None else found
    nearest = on_grid(wanted, scale, span)
    if abs(nearest - wanted) > 1e-9:
        note(
            f"Threshold {wanted:g} is not on this model's grid ({scale.name} scale); using "
            f"{nearest:g}."
        )
    elif name not in named(""):
        choose(name, nearest)
    return nearest


def choose(name: str, value: float) -> None:
    """Store a threshold."""
    put(name, f"{value:.12g}")


def number(text: str, default: float) -> float:
    """Read a finite number, else the default.

    Examples
    --------
    >>> number("0.3", 0.24), number("nan", 0.24), number("", 0.24)
    (0.3, 0.24, 0.24)
    """
    value = finite(text)
    return default if value is None else value


def finite(text: str) -> float | None:
    """Read a finite number; None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def on_grid(value: float, scale: Scale, span: tuple[float, float] | None = None) -> float:
    """Return the nearest grid value within a span, by default the whole grid.

    Examples
    --------
    >>> on_grid(0.24049, COSINE, (0.1, 0.4)), on_grid(30, COSINE, (0.1, 0.4))
    (0.24, 0.4)
    """
    low, high = span or (scale.start, scale.stop)
    inside = min(max(value, low), high)
    return round(round(inside / scale.step) * scale.step, scale.digits)


def visible_span(low: float, high: float, scale: Scale) -> tuple[float, float]:
    """Return the range of thresholds to show: all scores with a margin, on the grid.

    On the cosine scale it includes the reference threshold. Without scores, pass NaN.

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
    """Draw the threshold as a number field, for pages without the control."""
    st.session_state["threshold"] = value
    st.number_input(
        "Threshold",
        *span,
        step=scale.step,
        format=f"%.{scale.digits}f",
        key="threshold",
        help=_HELP,
        on_change=lambda: keep(on_grid(st.session_state["threshold"], scale, span)),
    )
