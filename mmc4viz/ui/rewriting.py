"""Shards rewritten for the page Export: what a dry run counted, and the one run that writes.

The work is `mmc4viz.handover.apply`'s, as in ``mmc4viz apply``. One run writes at a time, for it
takes all workers; it is everybody's who has the dashboard open, and outlives the page. What is
half done when it is stopped, the next run into the same folder goes on with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from mmc4viz.corpus.files import absolute
from mmc4viz.corpus.shards import Shard
from mmc4viz.corpus.storage import size_of
from mmc4viz.handover.apply import Applied, apply_shards
from mmc4viz.handover.aside import apply_aside
from mmc4viz.handover.options import Options, refuse_impossible
from mmc4viz.handover.outcome import replaced, room_for
from mmc4viz.handover.records import SUFFIX, ApplyError, ReplacingError
from mmc4viz.handover.tasks import Task, check_places, names_in, tasks_for_index, tasks_for_shards
from mmc4viz.model import ConfigError, LoaderConfig
from mmc4viz.ui import data, jobs
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.start import read_start

_QUICK: Final = 64_000_000  # bytes that are rewritten about as soon as other processes have started


@dataclass(frozen=True)
class Wanted:
    """What is to be rewritten, with what, and where to.

    Attributes
    ----------
    source : data.Source
    config : LoaderConfig
    options : Options
    out : str
        A folder.
    overwrite : bool
        Whether shards that stand there, made with another setting, may be replaced.
    """

    source: data.Source
    config: LoaderConfig
    options: Options
    out: str
    overwrite: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Counted:
    """What a dry run found: of each shard, how much room it takes, and what it would replace."""

    shards: tuple[Applied, ...]
    room: str
    replaced: str | None


@dataclass
class Run:
    """A run that writes, or has written.

    Attributes
    ----------
    wanted : Wanted
    n_shards, n_bytes : int
        To be rewritten; none of them before they are known.
    replaced : str or None
        Words for shards of another setting that stand there.
    done : list of Applied
        Shards so far.
    job : jobs.Job
    """

    wanted: Wanted
    n_shards: int = 0
    n_bytes: int = 0
    replaced: str | None = None
    done: list[Applied] = field(default_factory=list)
    job: jobs.Job = field(init=False)


_COUNTED: Memo[Counted] = Memo()
_RUNS: list[Run] = []  # the last one, if any
_GUARD = Lock()


def refusal(wanted: Wanted) -> str | None:
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


def tasks_of(wanted: Wanted, *, dry_run: bool) -> list[Task]:
    """Return a task a shard, of the whole corpus.

    Raises
    ------
    ApplyError, IndexFileError
        When the index cannot serve, there is no shard, or the folder is somebody else's.
    """
    source, config, options, out = wanted.source, wanted.config, wanted.options, wanted.out
    how = {"dry_run": dry_run, "overwrite": wanted.overwrite}
    if "\0" in out:
        raise ApplyError("a folder's name has no zero byte in it: name another folder")
    if source.index:
        folder, name = source.index[0].path, source.similarity
        found = tasks_for_index(folder, out, config, options, similarity=name, **how)
    else:
        shards = [Shard(absolute(one.path), at) for at, one in enumerate(source.shards)]
        found = tasks_for_shards(shards, out, config, options, **how)
    if not found:
        raise ApplyError("there is no shard to rewrite")
    check_places(found)
    names = {name for name in names_in(out) if not name.startswith(".")}
    if names and not any(name.endswith(SUFFIX) for name in names):
        raise ApplyError(
            f"{out}: holds other files, and no shards that apply wrote: name a new folder"
        )
    return found


def counted(wanted: Wanted) -> Counted | None:
    """Return what a dry run counted, None where none has ended."""
    return _COUNTED.kept(lambda key: key == wanted)


def count(wanted: Wanted) -> jobs.Job:
    """Begin a dry run, or return the one that goes on; it ends when nobody asks any more."""
    return jobs.ask(wanted, lambda tell: _COUNTED.get(wanted, lambda: _count(wanted, tell)))


def forget(wanted: Wanted) -> None:
    """Forget a dry run that has ended."""
    jobs.forget(wanted)


def _count(wanted: Wanted, tell: Callable[[int], None]) -> Counted:
    tasks = tasks_of(wanted, dry_run=True)
    room, words = room_for(tasks), replaced(tasks)
    done = _apply(tasks, lambda applied: tell(applied.n_bytes))
    return Counted(tuple(done), room, words)


def size_in_bytes(wanted: Wanted) -> int:
    """Return how much there is to read."""
    return _size(tasks_of(wanted, dry_run=True))


def _size(tasks: Sequence[Task]) -> int:
    return sum(size_of(task.shard.path) for task in tasks)


def replaces(wanted: Wanted) -> bool:
    """Whether a dry run, or a run that was refused, has found shards made with another setting."""
    found, run = counted(wanted), last_run()
    refused = run is not None and run.wanted == wanted and isinstance(run.job.error, ReplacingError)
    return refused or (found is not None and found.replaced is not None)


def last_run() -> Run | None:
    """Return the run that writes, or wrote last."""
    return _RUNS[-1] if _RUNS else None


def begin(wanted: Wanted) -> Run:
    """Begin to write.

    Raises
    ------
    ApplyError
        When another run writes, or nothing may be written.
    """
    start = read_start()
    if start.read_only:
        raise ApplyError("the app was started with --read-only")
    start.roots.path(wanted.out, writing=True)
    with _GUARD:
        before = last_run()
        if before is not None and before.job.running:
            raise ApplyError(f"another run writes into {before.wanted.out}: wait for it or stop it")
        run = Run(wanted)
        run.job = jobs.Job(lambda tell: _write(run, tell), jobs.FOR_GOOD)
        _RUNS[:] = [run]
        return run


def _write(run: Run, tell: Callable[[int], None]) -> None:
    tasks = tasks_of(run.wanted, dry_run=False)
    run.replaced = replaced(tasks)
    room_for(tasks)
    run.n_shards, run.n_bytes = len(tasks), _size(tasks)

    def told(applied: Applied) -> None:
        run.done.append(applied)
        tell(applied.n_bytes)

    _apply(tasks, told)


def _apply(tasks: Sequence[Task], told: Callable[[Applied], object]) -> list[Applied]:
    """Rewrite shards: few bytes here and at once, else by processes, one core left to others."""
    if _size(tasks) < _QUICK:
        return apply_shards(tasks, lambda: ThreadPoolExecutor(1), told)
    return apply_aside(tasks, max(1, (os.cpu_count() or 2) - 1), told)
