"""The page Export: data for training, for the trainer that is chosen.

OpenFlamingo gets filtered shards, as by ``mmc4viz apply``; the others what ``mmc4viz export --for``
writes. How it is written, in the background, is `mmc4viz.ui.writing`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import streamlit as st

from mmc4viz.apply.options import CAPS, ORDERS, Options
from mmc4viz.apply.tasks import ReplacingError
from mmc4viz.data.index import absolute
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import is_remote
from mmc4viz.export.trainer import webdataset_snippet
from mmc4viz.types import ConfigError, Mmc4vizError
from mmc4viz.ui import data, fields, state, writing
from mmc4viz.ui.components.download import offer
from mmc4viz.ui.html import note, pair_of_columns, table
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import Start
from mmc4viz.ui.writing import CONFIG, Account, WriteRequest, WriteRun
from mmc4viz.ui.writing.shards import ShardsRequest
from mmc4viz.ui.writing.trainers import NAMES, request_for

_INTRO: Final = {
    "openflamingo": "Write filtered shards that reproduce this selection with the stock loader and "
    "the flags above. Originals are not modified.",
    "energon": "Let Megatron-Energon train on exactly this selection, with the shards left as they "
    "are: a few small files in .nv-meta list what is excluded, and which images are chosen.",
    "hf": "Write the chosen documents as Parquet, one file per shard: images and texts aligned as "
    "in OBELICS.",
    "torchtitan": "Write the chosen documents as Parquet, one file per shard, for torchtitan's "
    "data source for OBELICS.",
    "mds": "Write the chosen documents as MDS shards, one folder per shard: images and texts "
    "aligned as in OBELICS.",
    "webdataset": "Filter your own WebDataset pipeline by a manifest of the documents; shards are "
    "not written.",
}
_ORDERS: Final = {"page": "page", "sentence": "sentence (fixes mispaired images)"}
_CAPS: Final = {"first": "first", "best": "highest-scoring"}
_HELP: Final = {
    "order": "Sentence: images and matrix rows are sorted in the order of their sentences, so that "
    "every image token gets its own image.",
    "cap": "Which pairs to keep when more than the maximum number of images reach the threshold.",
    "drop": "Otherwise one undecodable image drops its document.",
    "keep": "Without them, shards are smaller, but dropped images cannot be recovered from them.",
    "out": "A local or remote directory, as seen from the machine that serves this page.",
    "dataset": "The folder that contains all shards, as seen from the machine that serves this "
    "page.",
    "replace": "The directory contains data written with different settings. Without this it is "
    "not replaced.",
}
_MANIFEST: Final = "manifest.parquet"
_MANY: Final = 4  # paths in a command
_ASKED: Final = "write-asked"  # the requested preview, and how many bytes it reads
_PROBLEM: Final = "write-problem"  # a request, and the error that it caused


def show(choice: Choice, start: Start, manifest: Callable[[], bytes]) -> None:
    """Draw the section.

    Parameters
    ----------
    choice : Choice
    start : Start
    manifest : callable
        Returns the manifest of documents as Parquet.
    """
    st.header("Data for training", anchor=False)
    trainer = fields.one_of(
        st.segmented_control, "Trainer", list(NAMES), "write-for", "x.for",
        format_func=lambda name: NAMES[name], required=True,
    )  # fmt: skip
    st.text(_INTRO[trainer])
    options = _options() if trainer == "openflamingo" else None
    if trainer == "webdataset":
        _filter(choice, start, manifest)
    else:
        _write(choice, start, trainer, options)
    _run()


def _write(choice: Choice, start: Start, trainer: str, options: Options | None) -> None:
    """Offer to write for a trainer."""
    out, allowed = _folder(choice, start, trainer)
    wanted = out or _suggested(choice, start, trainer)
    request: WriteRequest
    if options is not None:
        request = ShardsRequest(choice.whole, choice.config, wanted, options)
    else:
        request = request_for(trainer, choice.whole, choice.config, wanted)
    why = request.refusal()
    if why is not None:
        note(why, "error")
        return
    st.code(request.command(lambda: _named(choice, start)), language="bash", wrap_lines=True)
    st.caption(f"Uses {CONFIG} (Download YAML above).")
    with st.expander("How training starts"):
        code, language = request.starts_training()
        st.code(code, language=language, wrap_lines=True)
    if not allowed:
        return
    _buttons(request, start, named=bool(out))
    asked, error = st.session_state.get(_PROBLEM, (None, None))
    if asked == request:
        note(str(error), "error")
    _preview(request)


def _filter(choice: Choice, start: Start, manifest: Callable[[], bytes]) -> None:
    """Offer the manifest, and the pipeline that it filters."""
    request = request_for("webdataset", choice.whole, choice.config, _MANIFEST)
    why = request.refusal()
    if why is not None:
        note(why, "error")
        return
    st.code(request.command(lambda: _named(choice, start)), language="bash", wrap_lines=True)
    st.caption(f"Uses {CONFIG} (Download YAML above).")
    if choice.source.sample is None:
        offer("Download manifest (Parquet)", _MANIFEST, manifest, key="filter")
    else:
        note("The manifest needs all documents: set the sample size in the sidebar to 0.")
    with st.expander("How training starts"):
        st.code(webdataset_snippet(_MANIFEST), language="python", wrap_lines=True)


def _options() -> Options:
    """Ask for the options of filtered shards."""
    left, right = pair_of_columns("shards")
    with left:
        order = _one_of("Image order", "order", ORDERS, _ORDERS)
        cap = _one_of("Over the cap keep", "cap", CAPS, _CAPS)
    with right:
        drop = _whether("Remove undecodable images", "drop", default=False)
        keep = _whether("Keep dropped images", "keep", default=True)
    return Options(order, cap, drop, keep)


def _one_of(label: str, name: str, known: Sequence[str], words: dict[str, str]) -> str:
    return fields.one_of(
        st.segmented_control,
        label,
        known,
        f"shards-{name}",
        f"x.{name}",
        format_func=lambda one: words.get(one, one),
        required=True,
        help=_HELP[name],
    )


def _whether(label: str, name: str, *, default: bool) -> bool:
    return fields.yes_or_no(label, f"shards-{name}", f"x.{name}", default=default, help=_HELP[name])


def _folder(choice: Choice, start: Start, trainer: str) -> tuple[str, bool]:
    """Ask for the output directory, empty if not given; say whether the app may write there.

    Energon's is the shards' own, and therefore given.
    """
    suggested = _suggested(choice, start, trainer)
    own = trainer == "energon"
    label, name = ("Dataset folder", "dataset") if own else ("Output directory", "out")
    state.seed(f"write-{name}", state.get(f"x.{name}"))
    out = st.text_input(label, key=f"write-{name}", placeholder=suggested, help=_HELP[name]).strip()
    state.put(f"x.{name}", out or None)
    if not out and not own:
        return "", True
    out = absolute(out or suggested)
    try:
        return start.roots.path(out, writing=True), True
    except ConfigError as error:
        note(f"{error}. Or run the command below.", "error")
        return out, False


def _suggested(choice: Choice, start: Start, trainer: str) -> str:
    """Return a directory next to the shards', or here if that is not writable.

    For Energon it is the folder that contains all shards.
    """
    source = choice.whole
    if source.index:
        paths = [part.shard.path for part in data.index_of(source.index).columns]
    else:
        paths = [shard.path for shard in source.shards]
    if not paths:
        return "DIR"
    folders = sorted({os.path.dirname(absolute(path)) for path in paths})
    if trainer == "energon":
        remote = any(map(is_remote, folders))
        return folders[0] if remote else os.path.commonpath(folders)
    folder = f"{os.path.dirname(absolute(paths[0]))}-{_SUFFIXES.get(trainer, trainer)}"
    return folder if start.roots.allow(folder, writing=True) else os.path.basename(folder)


_SUFFIXES: Final = {"openflamingo": "chosen"}


def _named(choice: Choice, start: Start) -> list[str]:
    """Return the shards as entered in the sidebar; many by their folders, if these hold no others.

    Raises
    ------
    ShardError
        If a folder cannot be listed.
    """
    lines = state.get("shards", "\n".join(start.shards)).splitlines()
    named = [absolute(line.strip()) for line in lines if line.strip()]
    if len(named) > _MANY:
        folders = sorted({os.path.dirname(path) for path in named})
        whole = [shard.path for shard in expand(folders)] if len(folders) <= _MANY else []
        if whole == [absolute(one.path) for one in choice.whole.shards]:
            return folders
    return named


def _buttons(request: WriteRequest, start: Start, *, named: bool) -> None:
    """Draw the buttons for a preview and for writing."""
    run = writing.last_run()
    busy = run is not None and run.job.running
    if _replaces(request):
        replacing = st.checkbox(
            request.overwrite_words, key="write-overwrite", help=_HELP["replace"]
        )
        request = replace(request, overwrite=replacing)
    with st.container(horizontal=True, vertical_alignment="center"):
        if request.preview_words:
            st.button(request.preview_words, key="write-preview", on_click=_ask, args=(request,))
        if start.read_only:
            note("Read-only: nothing can be written from here. Run the command instead.")
            return
        st.button(
            request.write_words,
            key="write-start",
            type="primary",
            disabled=busy or not named,
            on_click=_begin,
            args=(request,),
            help=None if named else "Enter an output directory.",
        )


def _replaces(request: WriteRequest) -> bool:
    """Whether a preview or a rejected run found data written with different settings."""
    found, run = writing.previewed(request), writing.last_run()
    asked, problem = st.session_state.get(_PROBLEM, (None, None))
    errors = [problem] if asked == request else []
    errors += [run.job.error] if run is not None and run.request == request else []
    refused = any(isinstance(error, ReplacingError) for error in errors)
    return refused or (found is not None and found.replaces)


def _ask(request: WriteRequest) -> None:
    """Request a preview; an error is shown on the next run."""
    st.session_state.pop(_PROBLEM, None)
    writing.forget_preview(request)
    try:
        st.session_state[_ASKED] = request, request.preview_bytes()
    except Mmc4vizError as error:
        st.session_state[_PROBLEM] = request, error


def _begin(request: WriteRequest) -> None:
    st.session_state.pop(_PROBLEM, None)
    try:
        writing.begin(request)
    except Mmc4vizError as error:
        st.session_state[_PROBLEM] = request, error


def _preview(request: WriteRequest) -> None:
    """Show the result or the progress of a preview."""
    asked, n_bytes = st.session_state.get(_ASKED, (None, 0))
    found = writing.previewed(request)
    if found is not None:
        for line in found.lines:
            note(line)
        _account(found.account)
    elif asked == request:
        st.fragment(run_every=0.5)(_previewing)(asked, n_bytes)


def _previewing(request: WriteRequest, n_bytes: int) -> None:
    """Draw the progress of a preview; redraw the page when it is done."""
    if writing.previewed(request) is not None:
        st.rerun()
    job = writing.ask_preview(request)
    if job.running:
        if n_bytes:
            _bar(request.preview_words, job.done, n_bytes, "MB")
        else:
            st.progress(0.0, f"{request.preview_words}…")
        return
    words = f"{request.preview_words}: ended without a result; try again, or run the command."
    writing.end_preview(request)
    if writing.previewed(request) is None:
        st.session_state[_PROBLEM] = request, job.error or Mmc4vizError(words)
    st.session_state.pop(_ASKED, None)
    st.rerun()


def _bar(words: str, done: int, size: int, unit: str) -> None:
    share, scale = min(1.0, done / size) if size else 0.0, 1e6 if unit == "MB" else 1
    st.progress(share, f"{words}: {done / scale:,.0f} of {size / scale:,.0f} {unit}")


def _run() -> None:
    """Show the progress of the current run, or the result of the last one."""
    run = writing.last_run()
    if run is None:
        return
    if run.job.running:
        st.fragment(run_every=0.5)(_running)(run)
        return
    request = run.request
    into = f"{request.out} with threshold {request.config.threshold:g}{request.purpose}"
    whole = f"{len(run.done):,} of {run.n_parts:,} shards"
    if run.job.error is not None:
        note(f"Not everything was written to {into}: {run.job.error}", "error")
    elif len(run.done) == run.n_parts and run.n_parts:
        note(f"Written to {into}.")
    elif request.writes_at_end:
        note(f"Stopped: nothing was written to {into}.")
    else:
        note(f"Stopped after {whole}, written to {into}. {request.write_words} again to resume.")
    _account(request.account(run.done))


def _running(run: WriteRun) -> None:
    """Draw the progress of the run, and a button to stop it."""
    if not run.job.running:
        st.rerun()
    request = run.request
    after = "" if request.writes_at_end else " after the current shards"
    _bar(f"Stopping{after}" if run.job.stopped else "Writing", run.job.done, run.size, run.unit)
    note(f"Writing to {request.out}{request.purpose}. This continues when you leave the page.")
    for line in run.notes:
        note(line)
    st.button("Stop writing", key="write-stop", disabled=run.job.stopped, on_click=run.job.stop)


def _account(found: Account) -> None:
    """Draw counts of shards and documents, notes and problems."""
    if found.shards:
        rows = [
            (status, f"{n:,}", f"{read / 1e6:,.1f}", f"{out / 1e6:,.1f}")
            for status, n, read, out in found.shards
        ]
        left, right = st.columns([2, 3])
        left.html(table(("shards", "count", "MB read", "MB written"), rows, found.caption))
        right.html(table(("documents and images", "count"), found.counts, "Total of all shards."))
    for line in found.notes:
        note(line)
    for line in found.problems:
        note(line, "error")
