"""Rewrite many shards: resume, run aside, totals.

Workers begin by loading their parent's main module, and a dashboard's is the script that draws it.
So another Python is started, which has workers, is told the tasks, and tells of each shard. It ends
when it is done, and when nobody listens any more: the shards at work are finished, no other begun.
When the program that asked is gone altogether, it ends at once.

Rewrites nothing, prints nothing.

A shard is one task; a task writes one whole shard and its record. What is done to a document is
`rewrite`'s job.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import BinaryIO, Final

from filelock import FileLock, Timeout

from mmc4viz.apply.options import RewriteCounts, refuse_impossible
from mmc4viz.apply.shard import (
    Rewritten,
    Setting,
    SharedSentenceError,
    rewrite_shard,
    shard_columns,
)
from mmc4viz.apply.tar import Output, Unpacked, unpacked, written
from mmc4viz.apply.tasks import (
    ApplyError,
    Record,
    ReplacingError,
    RewriteTask,
    check_places,
    disk_use,
    exists,
    is_intact,
    names_in,
    read_record,
    write_record,
)
from mmc4viz.data.build_index import out_of_memory, scratch_of
from mmc4viz.data.columns import Verify
from mmc4viz.data.index import absolute, digest, map_columns, map_set_file
from mmc4viz.data.jobs import ROUNDS, MakeExecutor, processes, run
from mmc4viz.data.storage import (
    fingerprint,
    is_remote,
    put_in_place,
    remember_users,
    size_of,
    unchanged,
    users,
    whole_fingerprint,
)
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.types import Mmc4vizError, ShardError


@dataclass(frozen=True)
class Applied:
    """What became of one shard.

    Attributes
    ----------
    shard : str
        Its path.
    status : str
        ``written``, ``counted`` (a dry run), ``skipped`` (it was written before), ``broken off``,
        or ``failed``.
    reason : str or None
        Why it broke off or failed.
    counts : RewriteCounts
        Also of a shard that was written before.
    left_out : tuple of str
        Documents that are not in the output, with the reason.
    shared : str or None
        In a dry run, words for the first document with several images on one sentence.
    n_bytes : int
        Of the original.
    out_bytes : int
        Of the rewritten shard; of a dry run, before it is packed.
    """

    shard: str
    status: str
    reason: str | None = None
    counts: RewriteCounts = field(default_factory=RewriteCounts)
    left_out: tuple[str, ...] = ()
    shared: str | None = None
    n_bytes: int = 0
    out_bytes: int = 0


def apply_shards(
    tasks: Sequence[RewriteTask], make_executor: MakeExecutor, on_done: Callable[[Applied], object]
) -> list[Applied]:
    """Rewrite shards; those that are written as asked already are skipped.

    Parameters
    ----------
    tasks : sequence of RewriteTask
        All with one setting and one folder.
    make_executor : callable
        Returns the workers.
    on_done : callable
        Told of each shard as it is finished.

    Returns
    -------
    list of Applied
        In the order of the tasks.

    Raises
    ------
    ConfigError
        For a setting that the loader has no means for.
    SharedSentenceError
        For a document with several images on one sentence, unless nothing is written.
    ApplyError
        When shards would get in each other's, their own or something else's place, or the place
        cannot be written.
    """
    refuse_impossible(tasks[0].config)
    check_places(tasks)
    if not tasks[0].dry_run and not is_remote(tasks[0].out):
        _make_folder(tasks[0].out)
    results: dict[int, Applied] = {}
    for place, applied in run(apply_to_shard, tasks, make_executor):
        results[place] = applied
        on_done(applied)
    for place, task in enumerate(tasks):
        if place not in results:
            reason = f"{task.shard.path}: its worker died {ROUNDS} times (out of memory?)"
            results[place] = Applied(task.shard.path, "failed", reason)
            on_done(results[place])
    return [results[place] for place in range(len(tasks))]


def _make_folder(folder: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ApplyError(f"{folder}: cannot be made: {error.strerror}") from None


def apply_to_shard(task: RewriteTask) -> Applied:
    """Rewrite one shard; the whole of what a worker does.

    Returns
    -------
    Applied
        A shard that cannot be read is no exception: the others go on.

    Raises
    ------
    SharedSentenceError, ApplyError
        As `apply_shards` says.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is one core
    try:
        if task.dry_run:
            with TemporaryDirectory(prefix="mmc4viz-") as folder:
                return _apply(task, Path(folder))
        scratch = scratch_of(task.out)
        with _locked(task, scratch):
            return _apply(task, scratch)
    except SharedSentenceError:
        raise
    except ShardError as error:
        return Applied(task.shard.path, "failed", str(error))
    except MemoryError:
        return Applied(task.shard.path, "failed", out_of_memory(task.shard.path))


@contextmanager
def _locked(task: RewriteTask, scratch: Path) -> Iterator[None]:
    """Hold a shard's lock, which dies with its process."""
    lock = FileLock(str(scratch / f"{task.shard.name}.lock"))
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ApplyError(
            f"{task.target}: another run is writing it right now; wait for it"
        ) from None
    except OSError as error:
        raise ApplyError(f"{scratch}: cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def _apply(task: RewriteTask, scratch: Path) -> Applied:
    record = _record(task)
    before = None if task.dry_run else read_record(task.target)
    unlike = [] if before is None or task.overwrite else before.unlike(record)
    if unlike and exists(task.target):
        raise ReplacingError(
            f"{task.target}: was made with another setting ({'; '.join(unlike)}): choose another "
            "folder, or replace it by --overwrite"
        )
    if before is not None and not (
        _made_like(before, record, task) and is_intact(task.target, before)
    ):
        before = None
    if before is not None and before.whole:
        return _told_before(task, before, "skipped", None)
    if task.index_file is None:
        record = replace(record, fingerprint=whole_fingerprint(task.shard.path))
    spool = scratch / f"{task.shard.name}.in"
    try:
        plain = unpacked(task.shard, spool)
        return _rewrite(task, record, plain, scratch, before)
    finally:
        spool.unlink(missing_ok=True)


def _made_like(before: Record, record: Record, task: RewriteTask) -> bool:
    """Whether what is there was made from the same bytes in the same way."""
    same_way = replace(before, fingerprint=record.fingerprint).made_like(record)
    return same_way and unchanged(task.shard.path, before.fingerprint)


def _record(task: RewriteTask) -> Record:
    """Return the record of a shard that is to be written."""
    similarity, verify = "", str(Verify.FULL)
    if task.index_file is None:
        now = fingerprint(task.shard.path)
    else:
        _, origin = map_columns(Path(task.index_file))
        verify, now = origin.verify, origin.fingerprint
        if not unchanged(task.shard.path, now):
            raise ShardError(f"{task.shard.path}: has changed since it was indexed; index it again")
    if task.set_file is not None:
        _, made = map_set_file(Path(task.set_file))
        similarity = f"{made.set}:{made.sidecar}"
    return Record(
        absolute(task.shard.path),
        now,
        similarity,
        digest(load_tokenizer(task.config.tokenizer)),
        verify,
        task.config.as_dict(),
        task.options.as_dict(),
    )


def _told_before(task: RewriteTask, before: Record, status: str, reason: str | None) -> Applied:
    """Return what was written before, and stays."""
    return Applied(
        task.shard.path,
        status,
        reason,
        RewriteCounts.of(before.counts),
        tuple(before.left_out),
        out_bytes=before.size,
        n_bytes=size_of(task.shard.path),
    )


def _rewrite(
    task: RewriteTask, record: Record, plain: Unpacked, scratch: Path, before: Record | None
) -> Applied:
    """Rewrite a shard; what is there of one that broke off stays unless more can be read now."""
    columns = shard_columns(task, plain)
    setting = Setting(task.config, task.options, columns.own.tokenizer)

    def rewrite(out: Output) -> Rewritten:
        return rewrite_shard(columns, plain, out, setting, refuse_shared=not task.dry_run)

    if task.dry_run:
        out = Output(None)
        return _applied(task, rewrite(out), out.size, "counted")
    beside = scratch / f"{task.shard.name}.part"
    try:
        with written(beside, plain.packing) as (file, made):
            done = rewrite(Output(file))
        if not unchanged(task.shard.path, record.fingerprint):
            raise ShardError(
                f"{task.shard.path}: changes while it is read; run again when it is still"
            )
        if before is not None and done.error and done.counts.documents <= before.documents:
            return _told_before(task, before, "broken off", done.error)
        write_record(record, task.target, scratch)
        put_in_place(beside, task.target)
        record = replace(
            record,
            whole=done.error is None,
            size=made.size,
            digest=made.digest,
            counts=done.counts.as_dict(),
            left_out=done.left_out,
            error=done.error,
        )
        write_record(record, task.target, scratch)
    except OSError as error:
        raise ApplyError(
            f"{task.out}: cannot be written: {error.strerror or error}; free some room or choose "
            "another folder, then run the same command again: it goes on where it stopped"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return _applied(task, done, made.size, "written")


def _applied(task: RewriteTask, done: Rewritten, size: int, status: str) -> Applied:
    return Applied(
        task.shard.path,
        status if done.error is None else "broken off",
        done.error,
        done.counts,
        tuple(done.left_out),
        done.shared,
        size_of(task.shard.path),
        size,
    )


_HERE: Final = str(Path(__file__).resolve().parents[2])
_CODE: Final = """\
import sys
sys.path.append(sys.argv[1])
from mmc4viz.apply.run import main
main()
"""


class _NobodyListensError(Exception):
    """Raised where the process that asked is gone."""


def apply_aside(
    tasks: Sequence[RewriteTask], workers: int, on_done: Callable[[Applied], object]
) -> list[Applied]:
    """Do what `mmc4viz.apply.run.apply_shards` does, by so many workers of another process.

    Parameters
    ----------
    tasks : sequence of RewriteTask
    workers : int
    on_done : callable
        Told of each shard as it is finished; when it raises, no other shard is begun.

    Returns
    -------
    list of Applied
        In the order of the tasks.

    Raises
    ------
    Mmc4vizError
        As `apply_shards` does; an `ApplyError` when the other process dies.
    """
    # Without this program's own search path, on which a script's neighbours hide Python's modules;
    # in a session of its own, so that what interrupts this program leaves its shards whole.
    command = [sys.executable, "-P", "-c", _CODE, _HERE]
    with Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump((os.getpid(), users(), workers, list(tasks)), process.stdin)
            process.stdin.flush()
            while True:
                said = pickle.load(process.stdout)
                if isinstance(said, Mmc4vizError):
                    raise said
                if isinstance(said, list):
                    return said
                on_done(said)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise ApplyError(
                "the process that rewrites shards died (out of memory?): run again, it goes on "
                "where it stopped"
            ) from None


def main() -> None:
    """Do the work that is asked for on standard input, and tell of it on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not get between
    parent, known, workers, tasks = pickle.load(sys.stdin.buffer)
    remember_users(known)
    gone = Event()
    Thread(target=_listen, args=(gone, parent), daemon=True).start()

    def told(applied: Applied) -> None:
        _tell(out, applied)
        if gone.is_set():
            raise _NobodyListensError

    try:
        _tell(out, apply_shards(tasks, lambda: processes(workers), told))
    except Mmc4vizError as error:
        _tell(out, error)
    except (_NobodyListensError, BrokenPipeError):
        os._exit(1)  # nothing is left to be flushed to anybody
    except OSError as error:
        _tell(out, ApplyError(f"{error.filename or tasks[0].out}: {error.strerror or error}"))


def _listen(gone: Event, parent: int) -> None:
    """Wait until the other end is closed; end when the process there is gone."""
    while os.read(0, 4096):
        pass
    gone.set()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _tell(out: BinaryIO, what: object) -> None:
    pickle.dump(what, out)
    out.flush()


STATUSES: Final = ("written", "counted", "skipped", "broken off", "failed")
_MOST_NAMED: Final = 20  # documents that are left out


def by_status(done: Sequence[Applied]) -> list[tuple[str, int, int, int]]:
    """Return each status that came up with its shards and their bytes, read and written."""
    found = []
    for status in STATUSES:
        some = [one for one in done if one.status == status]
        if some:
            sizes = (sum(one.n_bytes for one in some), sum(one.out_bytes for one in some))
            found.append((status, len(some), *sizes))
    return found


def total(done: Sequence[Applied]) -> RewriteCounts:
    """Add all counts up."""
    found = RewriteCounts()
    for one in done:
        found.add(one.counts)
    return found


def complaints(done: Sequence[Applied]) -> list[str]:
    """Return what is not as it was asked for, a line each."""
    problems = [
        str(one.reason or f"{one.shard}: {one.status}")
        for one in done
        if one.status == "failed" or one.reason is not None
    ]
    problems += [
        f"{one.shard}: {one.shared}: the loader gives a sentence one image; "
        "choose the assignment one_to_one or greedy"
        for one in done
        if one.shared is not None
    ][:1]
    left_out = [f"{one.shard}: left out: {words}" for one in done for words in one.left_out]
    problems += left_out[:_MOST_NAMED]
    if len(left_out) > _MOST_NAMED:
        problems.append(f"{len(left_out) - _MOST_NAMED} more are left out; the records name them")
    return problems


def room_for(tasks: Sequence[RewriteTask]) -> str:
    """Say how much will be written at most, and how much is free.

    Raises
    ------
    ApplyError
        When it cannot fit, unless images lose their bytes, or nothing is written.
    """
    task, (needed, free) = tasks[0], disk_use(tasks)
    needed += sum(size_of(tasks[place].shard.path) for place in _of_another_setting(tasks))
    room = "" if free is None else f", {_size(free)} are free there"
    over = free is not None and needed > free and task.options.keep_rejected_images
    if over and not task.dry_run:
        raise ApplyError(f"{task.out}: {_size(needed)} do not fit{room}; choose another")
    return f"about {_size(needed)} at most will be written to {task.out}{room}"


def replaced(tasks: Sequence[RewriteTask]) -> str | None:
    """Say how many shards stand there already, made with another setting; None where none does.

    Raises
    ------
    ReplacingError
        When they would be replaced, and that was not asked for.
    """
    found, task = _of_another_setting(tasks), tasks[0]
    if not found:
        return None
    each = {"; ".join(words) for words in found.values()}
    example = "for example " if len(each) > 1 else ""
    words = (
        f"{len(found):,} of {len(tasks):,} shards stand in {task.out} already, made with another "
        f"setting ({example}{min(each)})"
    )
    if not task.overwrite and not task.dry_run:
        raise ReplacingError(f"{words}: choose another folder, or replace them by --overwrite")
    return f"{words}: they {'would be' if task.dry_run else 'will be'} replaced"


def _of_another_setting(tasks: Sequence[RewriteTask]) -> dict[int, list[str]]:
    """Return what differs from now, in words, of shards that are written already."""
    here, found = names_in(tasks[0].out), dict[int, list[str]]()
    for place, task in enumerate(tasks):
        before = read_record(task.target) if task.shard.name in here else None
        if before is None:
            continue
        path, settings = absolute(task.shard.path), (task.config.as_dict(), task.options.as_dict())
        now = replace(before, shard=path, config=settings[0], options=settings[1])
        if path != before.shard:
            now = replace(now, fingerprint=fingerprint(path))
        if words := before.unlike(now):
            found[place] = words
    return found


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
