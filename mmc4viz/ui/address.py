"""What the page's address may say: how a view looks, and of the data only what cannot do harm.

Anybody can make a link, and who follows it has chosen nothing. So no link names a place to write, a
store, an index, a tokenizer's files or a folder outside the roots: these come from the start, or
are typed into the page and stay in its session. Keeps and draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mmc4viz.corpus.storage import is_remote
from mmc4viz.loader.tokens import BUILT_IN
from mmc4viz.model import ConfigError
from mmc4viz.ui.roots import Roots

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
