"""The page Data: what is open, and what else can be opened."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import streamlit as st

from mmc4viz.data.index import MANIFEST, SUFFIX
from mmc4viz.data.shards import shards_among
from mmc4viz.data.storage import natural
from mmc4viz.reference_figures import HEAD, SOURCES, cells
from mmc4viz.ui import data, html, state
from mmc4viz.ui.fields import yes_or_no
from mmc4viz.ui.html import many, note, part, show_problems, table
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import Roots, Start, read_start, sample_shards

_DEEPEST: Final = 4  # folders below a root
_MOST_ENTRIES: Final = 20_000  # of folders that are looked at
_MOST_SHOWN: Final = 50
_FOUND: Final = "openable"


@dataclass(frozen=True)
class Openable:
    """A folder with shards, or an index.

    Attributes
    ----------
    path : str
    is_index : bool
    n_files : int
        Shards, or files of the index.
    """

    path: str
    is_index: bool
    n_files: int


def openable(roots: Roots) -> tuple[list[Openable], bool]:
    """Find folders with shards and indexes within the roots.

    Returns
    -------
    (list of Openable, bool)
        In natural order; whether all folders were looked at.
    """
    found: dict[str, Openable] = {}
    n_entries = 0
    for top in filter(os.path.isdir, roots.read):
        for folder, inner, names in os.walk(top):
            n_entries += len(names)
            if n_entries > _MOST_ENTRIES:
                return _in_order(found), False
            n_files = sum(name.endswith(SUFFIX) for name in names)
            is_index = MANIFEST in names and n_files > 0
            n_shards = len(shards_among(n for n in names if not n.lower().endswith(".json")))
            if is_index or n_shards:
                found[folder] = Openable(folder, is_index, n_files if is_index else n_shards)
            depth = len(os.path.relpath(folder, top).split(os.sep)) if folder != top else 0
            inner[:] = [] if is_index or depth >= _DEEPEST else _visible(folder, inner)
    return _in_order(found), True


def _visible(folder: str, names: Iterable[str]) -> list[str]:
    """Return the folders in a folder that are neither hidden nor links."""
    there = (name for name in sorted(names) if not name.startswith("."))
    return [name for name in there if not os.path.islink(os.path.join(folder, name))]


def _in_order(found: dict[str, Openable]) -> list[Openable]:
    return sorted(found.values(), key=lambda one: (not one.is_index, natural(one.path)))


def show(choice: Choice | None) -> None:
    """Draw the page; without a choice, only what can be opened."""
    st.title("Data", anchor=False)
    if choice is not None:
        st.text("The corpus that all pages show, and what else can be opened.")
        _show_open(choice)
        _show_figures(choice)
    else:
        note("No shards selected. Open the sample, a folder of shards, or an index.")
    show_others()


def show_others() -> None:
    """Draw what else can be opened."""
    start = read_start()
    _show_sample(start)
    _show_found(start)
    note(
        "Other paths, globs and object stores are entered in the sidebar, or on the command line: "
        "mmc4viz app shards/. A large corpus opens at once from an index (mmc4viz index --help)."
    )


def _show_open(choice: Choice) -> None:
    """Draw the facts about the open corpus."""
    facts, source = data.facts_of(choice.whole), choice.whole
    of = f"{many(facts.documents, 'document')} in {many(facts.shards, 'shard')}"
    if source.sample is not None and facts.whole:
        of += f", sampled from {many(facts.whole, 'document')}"
    rows = [
        ("Corpus", data.corpus_name(source)),
        ("Documents", of),
        ("Tokenizer", choice.config.tokenizer),
        ("Index", source.index[0].path if source.index else "none: shards are read when opened"),
    ]
    with st.container(key="open-facts"):
        st.html(part("document", part("facts", rows)))
        show_problems(facts.errors, facts.notes)
    _show_models(choice)


def _show_models(choice: Choice) -> None:
    """Draw the CLIP models whose scores the corpus has."""
    rows = [
        (name, data.spread_of(source, choice.config).scale.name)
        for name, source in choice.models.items()
    ]
    current = list(choice.models).index(choice.config.clip_model)
    st.html(table(("CLIP model", "score scale"), rows, "Choose the model in the sidebar.", current))


def _show_figures(choice: Choice) -> None:
    """Show published figures beside the corpus's own, if they are asked for."""
    st.header("How does this corpus compare?", anchor=False)
    wanted = yes_or_no("Compare with published figures", "figures", "figures", default=False)
    if not wanted:
        st.caption(
            "MMC4 and others: discarded documents, single-image sequences, scores, images, tokens."
        )
        return
    found = data.figures_for(choice.source, choice.config.clip_model)
    rows = found.rows()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text("Each figure is computed the way its source did, whatever the settings.")
        html.csv_button(
            "published-figures",
            list(rows[0]),
            lambda: [["" if x is None else x for x in row.values()] for row in rows],
        )
    for source in SOURCES:
        figures = found.of(source)
        st.subheader(source.name, anchor=False)
        for reason in dict.fromkeys(one.reason for one in figures if one.reason):
            note(f"Not computed: {reason}.")
        st.html(table(HEAD, map(cells, figures), source.how))
    for line in found.notes:
        note(line)


def _show_sample(start: Start) -> None:
    """Offer the sample."""
    sample = "\n".join(sample_shards())
    if sample and start.roots.allow(sample):
        st.header("Bundled sample", anchor=False)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Open the sample", key="open-sample"):
                _open("", sample)
            st.caption("240 made-up documents with images, scored by two CLIP-like models.")
    elif not sample:
        note("There is no bundled sample here: mmc4viz sample FOLDER writes one.")


def _show_found(start: Start) -> None:
    """List folders with shards, and indexes, each with a button."""
    st.header("Folders and indexes", anchor=False)
    if _FOUND not in st.session_state or st.session_state[_FOUND][0] != start.roots:
        st.session_state[_FOUND] = start.roots, *openable(start.roots)
    _, found, complete = st.session_state[_FOUND]
    if not found:
        st.text("No shards and no index are in the folders that this app may read.")
    for number, one in enumerate(found[:_MOST_SHOWN]):
        _show_one(number, one)
    if len(found) > _MOST_SHOWN:
        note(f"{len(found) - _MOST_SHOWN:,} more are not listed; enter a path in the sidebar.")
    if not complete:
        note("Not all folders were looked at, because there are very many.")
    st.button("Rescan folders", key="look-again", type="tertiary", on_click=_look_again)


def _show_one(number: int, one: Openable) -> None:
    what = "index of " + many(one.n_files, "shard") if one.is_index else many(one.n_files, "shard")
    index, shards = (one.path, "") if one.is_index else ("", one.path)
    with st.container(horizontal=True, vertical_alignment="center", key=f"openable-{number}"):
        pressed = st.button("Open", key=f"open-{number}")
        st.html(part("path", _shown(one.path), what))
    if pressed:
        _open(index, shards)


def _shown(path: str) -> str:
    """Return a path, relative to the current folder if it is within it."""
    here = os.getcwd()
    inside = path == here or path.startswith(here.rstrip("/") + "/")
    return os.path.relpath(path, here) if inside else path


def _open(index: str, shards: str) -> None:
    """Open an index or shards, and go to the page Threshold."""
    state.put("index", index)
    state.put("shards", shards)
    state.go_to("Threshold")


def _look_again() -> None:
    st.session_state.pop(_FOUND, None)
