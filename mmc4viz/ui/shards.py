"""The part Shards of the page Export: what ``mmc4viz apply`` would write, and a button that writes.

Draws and asks; what is done is `rewriting`'s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import streamlit as st

from mmc4viz.corpus.files import absolute
from mmc4viz.corpus.shards import expand
from mmc4viz.handover.apply import Applied
from mmc4viz.handover.command import apply_command
from mmc4viz.handover.counts import EXPECTED, TITLES
from mmc4viz.handover.options import CAPS, ORDERS, Options
from mmc4viz.handover.outcome import by_status, complaints, total
from mmc4viz.model import ConfigError, Mmc4vizError
from mmc4viz.ui import data, inspector, rewriting, state
from mmc4viz.ui.inert import note
from mmc4viz.ui.markup import table
from mmc4viz.ui.rewriting import Run, Wanted
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import Start

CONFIG: Final = "mmc4viz-config.yaml"
_INTRO: Final = (
    "The setting put into the data: shards on which the unmodified loader, run with the flags "
    "above, does just what was chosen. The shards themselves are never changed."
)
_CAPTION: Final = "Of a dry run: what would be written, before it is packed."
_ORDERS: Final = {"page": "as on the page", "sentence": "as their sentences"}
_CAPS: Final = {"first": "the first", "best": "the best"}
_HELP: Final = {
    "order": "As their sentences: sorted, the matrix's rows with them, so that every image token "
    "gets its own image.",
    "cap": "Which pairs stay where more than the image cap allows reach the threshold.",
    "drop": "Otherwise one image that does not decode loses its document.",
    "keep": "Without them shards are smaller, and what was rejected cannot be had back from them.",
    "out": "Where the shards go, local or remote, on the machine that serves this page.",
    "replace": "The folder holds shards that were written with other settings. Without this they "
    "are left alone.",
}
_MANY: Final = 4  # names in a command
_ASKED: Final = "shards-asked"  # the dry run that was asked for, and how many bytes it reads
_PROBLEM: Final = "shards-problem"


def show(choice: Choice, start: Start) -> None:
    """Draw the part."""
    inspector.load_styles()
    st.subheader("Shards", anchor=False)
    st.text(_INTRO)
    options = _options()
    out = _folder(choice, start)
    suggested = out or _suggested(choice, start)
    wanted = Wanted(choice.whole, choice.config, options, suggested)
    st.code(_command(wanted, start), language="bash", wrap_lines=True)
    st.caption(f"{CONFIG} is the file that the button YAML above gives.")
    why = rewriting.refusal(wanted)
    if why is None:
        _buttons(wanted, start, named=bool(out))
    else:
        note(why, "error")
    if st.session_state.get(_PROBLEM, (None, ""))[0] == wanted:
        note(st.session_state[_PROBLEM][1], "error")
    _count(wanted)
    _run()


def _options() -> Options:
    """Ask how shards are to be rewritten."""
    left, right = st.columns(2)
    with left:
        order = _one_of("Images stand", "order", ORDERS, _ORDERS)
        cap = _one_of("Of too many pairs stay", "cap", CAPS, _CAPS)
    with right:
        drop = _whether("Leave out undecodable images", "drop", default=False)
        keep = _whether("Keep rejected images", "keep", default=True)
    return Options(order, cap, drop, keep)


def _one_of(label: str, name: str, known: Sequence[str], words: dict[str, str]) -> str:
    """Ask for one of the core's words, kept in the address."""
    key, asked = f"shards-{name}", state.get(f"x.{name}")
    state.seed(key, asked if asked in known else known[0])
    chosen = st.segmented_control(
        label, known, format_func=lambda one: words.get(one, one), required=True, key=key,
        help=_HELP[name],
    )  # fmt: skip
    chosen = chosen or known[0]
    state.put(f"x.{name}", None if chosen == known[0] else chosen)
    return str(chosen or known[0])


def _whether(label: str, name: str, *, default: bool) -> bool:
    """Ask yes or no, kept in the address."""
    key, asked = f"shards-{name}", state.get(f"x.{name}")
    state.seed(key, {"yes": True, "no": False}.get(asked, default))
    chosen = st.toggle(label, key=key, help=_HELP[name])
    state.put(f"x.{name}", None if chosen == default else "yes" if chosen else "no")
    return chosen


def _folder(choice: Choice, start: Start) -> str:
    """Ask where the shards go; empty as long as nobody says, and where nothing may be written."""
    state.seed("shards-out", state.get("x.out"))
    out = st.text_input(
        "Folder to write into",
        key="shards-out",
        placeholder=_suggested(choice, start),
        help=_HELP["out"],
    ).strip()
    state.put("x.out", out or None)
    try:
        return start.roots.path(absolute(out), writing=True) if out else ""
    except ConfigError as error:
        note(str(error), "error")
        return ""


def _suggested(choice: Choice, start: Start) -> str:
    """Return a folder beside that of the shards, or here, where that may be written."""
    source = choice.whole
    shards = source.shards
    if source.index:
        path = data.index_of(source.index).columns[0].shard.path
    elif shards:
        path = shards[0].path
    else:
        return "DIR"
    beside = f"{os.path.dirname(absolute(path))}-chosen"
    return beside if start.roots.allow(beside, writing=True) else os.path.basename(beside)


def _command(wanted: Wanted, start: Start) -> str:
    """Return the command that does the same."""
    source, options = wanted.source, wanted.options
    if source.index:
        return apply_command(
            CONFIG, wanted.out, options, index=absolute(source.index[0].path),
            similarity=source.similarity,
        )  # fmt: skip
    return apply_command(CONFIG, wanted.out, options, shards=_named(source, start))


def _named(source: data.Source, start: Start) -> list[str]:
    """Return the shards as they are named in the sidebar; many by their folder if it has no other.

    Raises
    ------
    ShardError
        When a folder cannot be listed.
    """
    lines = state.get("shards", "\n".join(start.shards)).splitlines()
    named = [absolute(line.strip()) for line in lines if line.strip()]
    if len(named) > _MANY:
        folders = sorted({os.path.dirname(path) for path in named})
        whole = [shard.path for shard in expand(folders)] if len(folders) <= _MANY else []
        if whole == [absolute(one.path) for one in source.shards]:
            return folders
    return named


def _buttons(wanted: Wanted, start: Start, *, named: bool) -> None:
    """Offer to count, and to write where a folder is named and nobody writes."""
    run = rewriting.last_run()
    busy = run is not None and run.job.running
    if rewriting.replaces(wanted):
        replacing = st.checkbox(
            "Replace shards made with other settings", key="shards-overwrite", help=_HELP["replace"]
        )
        wanted = replace(wanted, overwrite=replacing)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Dry run", key="shards-count", on_click=_ask, args=(wanted,))
        if start.read_only:
            note("Read-only: nothing is written from here; run the command.")
            return
        st.button(
            "Write the shards",
            key="shards-write",
            type="primary",
            disabled=busy or not named,
            on_click=_begin,
            args=(wanted,),
            help=None if named else "Name a folder to write into.",
        )


def _ask(wanted: Wanted) -> None:
    """Begin a dry run; what is wrong is said when the page is drawn."""
    st.session_state.pop(_PROBLEM, None)
    try:
        st.session_state[_ASKED] = wanted, rewriting.size_in_bytes(wanted)
    except Mmc4vizError as error:
        st.session_state[_PROBLEM] = wanted, str(error)


def _begin(wanted: Wanted) -> None:
    st.session_state.pop(_PROBLEM, None)
    try:
        rewriting.begin(wanted)
    except Mmc4vizError as error:
        st.session_state[_PROBLEM] = wanted, str(error)


def _count(wanted: Wanted) -> None:
    """Show what a dry run of just this counted, or how far it is."""
    asked, n_bytes = st.session_state.get(_ASKED, (None, 0))
    found = rewriting.counted(wanted)
    if found is not None:
        note(f"A dry run: {found.room}.")
        if found.replaced is not None:
            note(f"{found.replaced}.")
        _account(found.shards)
    elif asked == wanted:
        st.fragment(run_every=0.5)(_counting)(wanted, n_bytes)


def _counting(wanted: Wanted, n_bytes: int) -> None:
    """Draw how far a dry run is; draw the page anew when it has ended."""
    if rewriting.counted(wanted) is not None:
        st.rerun()
    job = rewriting.count(wanted)
    if job.running:
        _bar("Counting what would be written", job.done, n_bytes)
        return
    problem = "The dry run ended without an answer: try again, or run the command."
    if job.error is not None:
        problem = str(job.error)
    rewriting.forget(wanted)
    if rewriting.counted(wanted) is None:
        st.session_state[_PROBLEM] = wanted, problem
    st.session_state.pop(_ASKED, None)
    st.rerun()


def _bar(words: str, done: int, n_bytes: int) -> None:
    share = min(1.0, done / n_bytes) if n_bytes else 0.0
    st.progress(share, f"{words}: {done / 1e6:,.0f} of {n_bytes / 1e6:,.0f} MB")


def _run() -> None:
    """Show the run that writes, or what the last one wrote."""
    run = rewriting.last_run()
    if run is None:
        return
    if run.job.running:
        st.fragment(run_every=0.5)(_running)(run)
        return
    into = f"{run.wanted.out}, at the threshold {run.wanted.config.threshold:g}"
    whole = f"{len(run.done):,} of {run.n_shards:,} shards"
    if run.job.error is not None:
        note(f"Not all is written to {into}: {run.job.error}", "error")
    elif len(run.done) < run.n_shards or not run.n_shards:
        note(f"Stopped after {whole}, into {into}. The same button goes on with the others.")
    else:
        note(f"Written to {into}.")
    _account(run.done)


def _running(run: Run) -> None:
    """Draw how far the run is, and a way to stop it."""
    if not run.job.running:
        st.rerun()
    words = "Stopping when the shards at work are whole" if run.job.stopped else "Writing shards"
    _bar(words, run.job.done, run.n_bytes)
    note(f"Into {run.wanted.out}. It goes on when this page is left.")
    if run.replaced is not None:
        note(f"{run.replaced}.")
    st.button("Stop", key="shards-stop", disabled=run.job.stopped, on_click=run.job.stop)


def _account(done: Sequence[Applied]) -> None:
    """Write what became of shards and documents, and what is not as it was asked for."""
    if done:
        rows = [
            (status, f"{n:,}", f"{read / 1e6:,.1f}", f"{out / 1e6:,.1f}")
            for status, n, read, out in by_status(done)
        ]
        caption = _CAPTION if any(one.status == "counted" for one in done) else ""
        counts, found = total(done), total(done).as_dict()
        lines = [(title, f"{found[name]:,}") for name, title in TITLES.items() if found[name]]
        lines.append((EXPECTED, f"{counts.expected:,.12g}"))
        left, right = st.columns([2, 3])
        left.html(table(("shards", "number", "MB read", "MB written"), rows, caption))
        right.html(table(("documents and images", "number"), lines, "Counted over all shards."))
    for problem in complaints(done):
        note(problem, "error")
