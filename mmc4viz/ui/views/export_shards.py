"""The page Export: filtered shards, written as by ``mmc4viz apply``.

One run writes at a time, since it uses all workers. All sessions see it, and it continues when the
page is closed. A stopped run is resumed by the next one into the same folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

import streamlit as st

from mmc4viz.apply.options import (
    CAPS,
    EXPECTED,
    ORDERS,
    TITLES,
    Options,
    apply_command,
    refuse_impossible,
)
from mmc4viz.apply.run import (
    Applied,
    apply_in_subprocess,
    apply_shards,
    disk_space_note,
    error_messages,
    replacement_note,
    total,
)
from mmc4viz.apply.tasks import (
    SUFFIX,
    ApplyError,
    ReplacingError,
    RewriteTask,
    check_places,
    names_in,
    tasks_for_index,
    tasks_for_shards,
)
from mmc4viz.data.index import absolute
from mmc4viz.data.jobs import by_status
from mmc4viz.data.shards import Shard, expand
from mmc4viz.data.storage import size_of
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import cache, data, fields, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import note, pair_of_columns, table
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import Start, read_start

_QUICK: Final = 64_000_000  # bytes that are rewritten faster than processes start


@dataclass(frozen=True)
class Wanted:
    """A request to write filtered shards.

    Attributes
    ----------
    source : data.CorpusKey
    config : LoaderConfig
    options : Options
    out : str
        Output directory.
    overwrite : bool
        Whether shards written there with different settings may be replaced.
    """

    source: data.CorpusKey
    config: LoaderConfig
    options: Options
    out: str
    overwrite: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class _Counted:
    """The result of a dry run: shards, disk space and what would be replaced."""

    shards: tuple[Applied, ...]
    room: str
    replaced: str | None


@dataclass
class RewriteRun:
    """A run that writes, or has written, filtered shards.

    Attributes
    ----------
    wanted : Wanted
    n_shards, n_bytes : int
        To be rewritten; 0 until known.
    replaced : str or None
        A message about replaced shards.
    done : list of Applied
        Shards finished so far.
    job : cache.Job
    """

    wanted: Wanted
    n_shards: int = 0
    n_bytes: int = 0
    replaced: str | None = None
    done: list[Applied] = field(default_factory=list)
    job: cache.Job = field(init=False)


_COUNTED: Memo[_Counted] = Memo()
_RUNS: list[RewriteRun] = []  # the last one, if any
_GUARD = Lock()


def _refusal(wanted: Wanted) -> str | None:
    """Say why shards cannot do what was chosen, as far as that shows without reading them."""
    if wanted.source.sidecar is not None:
        path = wanted.source.sidecar.path
        return (
            f"the similarity is {path}'s, which apply does not put over shards: take it into an "
            f"index, mmc4viz index --out DIR --similarity NAME={path}, and open that"
        )
    try:
        refuse_impossible(wanted.config)
    except ConfigError as error:
        return str(error)
    return None


def tasks_of(wanted: Wanted, *, dry_run: bool) -> list[RewriteTask]:
    """Return one task per shard of the corpus.

    Raises
    ------
    ApplyError, IndexFileError
        If the index cannot be used, there are no shards, or the folder holds other files.
    """
    source, config, options, out = wanted.source, wanted.config, wanted.options, wanted.out
    how = {"dry_run": dry_run, "overwrite": wanted.overwrite}
    if "\0" in out:
        raise ApplyError("the output directory contains a zero byte: enter another name")
    if source.index:
        folder, name = source.index[0].path, source.similarity
        found = tasks_for_index(folder, out, config, options, similarity=name, **how)
    else:
        shards = [Shard(absolute(one.path), at) for at, one in enumerate(source.shards)]
        found = tasks_for_shards(shards, out, config, options, **how)
    if not found:
        raise ApplyError("no shards to rewrite")
    check_places(found)
    names = {name for name in names_in(out) if not name.startswith(".")}
    if names and not any(name.endswith(SUFFIX) for name in names):
        raise ApplyError(f"{out}: contains files that apply did not write: choose a new directory")
    return found


def _counted(wanted: Wanted) -> _Counted | None:
    """Return the result of a finished dry run, None without one."""
    return _COUNTED.kept(lambda key: key == wanted)


def count(wanted: Wanted) -> cache.Job:
    """Start a dry run, or return the running one; it ends when no longer polled."""
    return cache.ask(wanted, lambda tell: _COUNTED.get(wanted, lambda: _dry_run(wanted, tell)))


def _forget(wanted: Wanted) -> None:
    """Drop a finished dry run."""
    cache.forget(wanted)


def _dry_run(wanted: Wanted, tell: Callable[[int], None]) -> _Counted:
    tasks = tasks_of(wanted, dry_run=True)
    room, words = disk_space_note(tasks), replacement_note(tasks)
    done = _apply(tasks, lambda applied: tell(applied.n_bytes))
    return _Counted(tuple(done), room, words)


def _size_in_bytes(wanted: Wanted) -> int:
    """Return the number of bytes to read."""
    return _size(tasks_of(wanted, dry_run=True))


def _size(tasks: Sequence[RewriteTask]) -> int:
    return sum(size_of(task.shard.path) for task in tasks)


def _replaces(wanted: Wanted) -> bool:
    """Whether a dry run or a rejected run found shards written with different settings."""
    found, run = _counted(wanted), last_run()
    refused = run is not None and run.wanted == wanted and isinstance(run.job.error, ReplacingError)
    return refused or (found is not None and found.replaced is not None)


def last_run() -> RewriteRun | None:
    """Return the current or last run."""
    return _RUNS[-1] if _RUNS else None


def begin(wanted: Wanted) -> RewriteRun:
    """Start writing.

    Raises
    ------
    ApplyError
        If another run is writing, or the app is read-only.
    """
    start = read_start()
    if start.read_only:
        raise ApplyError("the app was started with --read-only")
    start.roots.path(wanted.out, writing=True)
    with _GUARD:
        before = last_run()
        if before is not None and before.job.running:
            raise ApplyError(
                f"another run is writing to {before.wanted.out}: wait for it or stop it"
            )
        run = RewriteRun(wanted)
        run.job = cache.Job(lambda tell: _write(run, tell), cache.FOR_GOOD)
        _RUNS[:] = [run]
        return run


def _write(run: RewriteRun, tell: Callable[[int], None]) -> None:
    tasks = tasks_of(run.wanted, dry_run=False)
    run.replaced = replacement_note(tasks)
    disk_space_note(tasks)
    run.n_shards, run.n_bytes = len(tasks), _size(tasks)

    def record(applied: Applied) -> None:
        run.done.append(applied)
        tell(applied.n_bytes)

    _apply(tasks, record)


def _apply(tasks: Sequence[RewriteTask], record: Callable[[Applied], object]) -> list[Applied]:
    """Rewrite shards: a few bytes in this process, more in others, leaving one core free."""
    if _size(tasks) < _QUICK:
        return apply_shards(tasks, lambda: ThreadPoolExecutor(1), record)
    return apply_in_subprocess(tasks, max(1, (os.cpu_count() or 2) - 1), record)


_CONFIG: Final = "mmc4viz-config.yaml"
_INTRO: Final = (
    "Write filtered shards that reproduce this selection with the stock loader and the flags "
    "above. Originals are not modified."
)
_UNCHANGED: Final = (
    "No document has to change: with the flags above, the loader itself makes this selection. To "
    "make the shards smaller, turn off Keep dropped images."
)
_CAPTION: Final = "Dry run: nothing was written. Sizes are before compression."
_ORDERS: Final = {"page": "page", "sentence": "sentence (fixes mispaired images)"}
_CAPS: Final = {"first": "first", "best": "highest-scoring"}
_HELP: Final = {
    "order": "Sentence: images and matrix rows are sorted in the order of their sentences, so that "
    "every image token gets its own image.",
    "cap": "Which pairs to keep when more than the maximum number of images reach the threshold.",
    "drop": "Otherwise one undecodable image drops its document.",
    "keep": "Without them, shards are smaller, but dropped images cannot be recovered from them.",
    "out": "A local or remote directory, as seen from the machine that serves this page.",
    "replace": "The directory contains shards written with different settings. Without this they "
    "are not replaced.",
}
_MANY: Final = 4  # paths in a command
_ASKED: Final = "shards-asked"  # the requested dry run, and how many bytes it reads
_PROBLEM: Final = "shards-problem"


def show(choice: Choice, start: Start) -> None:
    """Draw the section."""
    st.header("Filtered shards", anchor=False)
    st.text(_INTRO)
    options = _options()
    out, allowed = _folder(choice, start)
    wanted = Wanted(choice.whole, choice.config, options, out or _suggested(choice, start))
    why = _refusal(wanted)
    if why is not None:
        note(why, "error")
        return
    st.code(_command(wanted, start), language="bash", wrap_lines=True)
    st.caption(f"Uses {_CONFIG} (Download YAML above).")
    if not allowed:
        return
    _buttons(wanted, start, named=bool(out))
    if st.session_state.get(_PROBLEM, (None, ""))[0] == wanted:
        note(st.session_state[_PROBLEM][1], "error")
    _count(wanted)
    _run()


def _options() -> Options:
    """Ask for the options."""
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


def _folder(choice: Choice, start: Start) -> tuple[str, bool]:
    """Ask for the output directory, empty if not given; say whether the app may write there."""
    state.seed("shards-out", state.get("x.out"))
    out = st.text_input(
        "Output directory",
        key="shards-out",
        placeholder=_suggested(choice, start),
        help=_HELP["out"],
    ).strip()
    state.put("x.out", out or None)
    if not out:
        return "", True
    try:
        return start.roots.path(absolute(out), writing=True), True
    except ConfigError as error:
        note(f"{error}. Or run the command below.", "error")
        return absolute(out), False


def _suggested(choice: Choice, start: Start) -> str:
    """Return a directory next to the shards', or here if that is not writable."""
    source = choice.whole
    shards = source.shards
    if source.index:
        path = data.index_of(source.index).columns[0].shard.path
    elif shards:
        path = shards[0].path
    else:
        return "DIR"
    folder = f"{os.path.dirname(absolute(path))}-chosen"
    return folder if start.roots.allow(folder, writing=True) else os.path.basename(folder)


def _command(wanted: Wanted, start: Start) -> str:
    """Return the equivalent command."""
    source, options = wanted.source, wanted.options
    if source.index:
        return apply_command(
            _CONFIG, wanted.out, options, index=absolute(source.index[0].path),
            similarity=source.similarity,
        )  # fmt: skip
    return apply_command(_CONFIG, wanted.out, options, shards=_named(source, start))


def _named(source: data.CorpusKey, start: Start) -> list[str]:
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
        if whole == [absolute(one.path) for one in source.shards]:
            return folders
    return named


def _buttons(wanted: Wanted, start: Start, *, named: bool) -> None:
    """Draw the buttons for a dry run and for writing."""
    run = last_run()
    busy = run is not None and run.job.running
    if _replaces(wanted):
        replacing = st.checkbox(
            "Overwrite shards written with different settings",
            key="shards-overwrite",
            help=_HELP["replace"],
        )
        wanted = replace(wanted, overwrite=replacing)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Dry run", key="shards-count", on_click=_ask, args=(wanted,))
        if start.read_only:
            note("Read-only: shards cannot be written from here. Run the command instead.")
            return
        st.button(
            "Write shards",
            key="shards-write",
            type="primary",
            disabled=busy or not named,
            on_click=_begin,
            args=(wanted,),
            help=None if named else "Enter an output directory.",
        )


def _ask(wanted: Wanted) -> None:
    """Request a dry run; an error is shown on the next run."""
    st.session_state.pop(_PROBLEM, None)
    try:
        st.session_state[_ASKED] = wanted, _size_in_bytes(wanted)
    except Mmc4vizError as error:
        st.session_state[_PROBLEM] = wanted, str(error)


def _begin(wanted: Wanted) -> None:
    st.session_state.pop(_PROBLEM, None)
    try:
        begin(wanted)
    except Mmc4vizError as error:
        st.session_state[_PROBLEM] = wanted, str(error)


def _count(wanted: Wanted) -> None:
    """Show the result or the progress of the dry run."""
    asked, n_bytes = st.session_state.get(_ASKED, (None, 0))
    found = _counted(wanted)
    if found is not None:
        note(f"Dry run: {found.room}.")
        if found.replaced is not None:
            note(f"{found.replaced}.")
        _account(found.shards)
    elif asked == wanted:
        st.fragment(run_every=0.5)(_counting)(wanted, n_bytes)


def _counting(wanted: Wanted, n_bytes: int) -> None:
    """Draw the progress of a dry run; redraw the page when it is done."""
    if _counted(wanted) is not None:
        st.rerun()
    job = count(wanted)
    if job.running:
        _bar("Dry run", job.done, n_bytes)
        return
    problem = "The dry run ended without a result: try again, or run the command."
    if job.error is not None:
        problem = str(job.error)
    _forget(wanted)
    if _counted(wanted) is None:
        st.session_state[_PROBLEM] = wanted, problem
    st.session_state.pop(_ASKED, None)
    st.rerun()


def _bar(words: str, done: int, n_bytes: int) -> None:
    share = min(1.0, done / n_bytes) if n_bytes else 0.0
    st.progress(share, f"{words}: {done / 1e6:,.0f} of {n_bytes / 1e6:,.0f} MB")


def _run() -> None:
    """Show the progress of the current run, or the result of the last one."""
    run = last_run()
    if run is None:
        return
    if run.job.running:
        st.fragment(run_every=0.5)(_running)(run)
        return
    into = f"{run.wanted.out} with threshold {run.wanted.config.threshold:g}"
    whole = f"{len(run.done):,} of {run.n_shards:,} shards"
    if run.job.error is not None:
        note(f"Not all shards were written to {into}: {run.job.error}", "error")
    elif len(run.done) < run.n_shards or not run.n_shards:
        note(f"Stopped after {whole}, written to {into}. Write shards again to resume.")
    else:
        note(f"Written to {into}.")
    _account(run.done)


def _running(run: RewriteRun) -> None:
    """Draw the progress of the run, and a button to stop it."""
    if not run.job.running:
        st.rerun()
    words = "Stopping after the current shards" if run.job.stopped else "Writing shards"
    _bar(words, run.job.done, run.n_bytes)
    note(f"Writing to {run.wanted.out}. This continues when you leave the page.")
    if run.replaced is not None:
        note(f"{run.replaced}.")
    st.button("Stop writing", key="shards-stop", disabled=run.job.stopped, on_click=run.job.stop)


def _account(done: Sequence[Applied]) -> None:
    """Draw counts of shards and documents, and problems."""
    if done:
        rows = [
            (status, f"{n:,}", f"{read / 1e6:,.1f}", f"{out / 1e6:,.1f}")
            for status, n, read, out in by_status(done, "n_bytes", "out_bytes")
        ]
        caption = _CAPTION if any(one.status == "counted" for one in done) else ""
        counts, found = total(done), total(done).as_dict()
        lines = [(title, f"{found[name]:,}") for name, title in TITLES.items() if found[name]]
        lines.append((EXPECTED, f"{counts.expected:,.12g}"))
        left, right = st.columns([2, 3])
        left.html(table(("shards", "count", "MB read", "MB written"), rows, caption))
        right.html(table(("documents and images", "count"), lines, "Total of all shards."))
        if counts.carried_over == counts.documents:
            note(_UNCHANGED)
    for problem in error_messages(done):
        note(problem, "error")
