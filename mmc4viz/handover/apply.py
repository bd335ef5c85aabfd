"""Many shards → shards on which the unmodified loader does what was chosen: workers, resuming.

A shard is one task; a task writes one whole shard and its record. What is done to a document is
`rewrite`'s job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from mmc4viz.corpus.build import out_of_memory, scratch_of
from mmc4viz.corpus.columns import Verify
from mmc4viz.corpus.files import absolute, digest, map_columns
from mmc4viz.corpus.sets import map_set_file
from mmc4viz.corpus.storage import (
    fingerprint,
    is_remote,
    put_in_place,
    size_of,
    unchanged,
    whole_fingerprint,
)
from mmc4viz.corpus.workers import ROUNDS, MakeExecutor, run
from mmc4viz.handover.counts import Counts
from mmc4viz.handover.inputs import shard_columns
from mmc4viz.handover.options import refuse_impossible
from mmc4viz.handover.records import (
    ApplyError,
    Record,
    ReplacingError,
    exists,
    is_intact,
    read_record,
    write_record,
)
from mmc4viz.handover.rewrite import (
    Rewritten,
    Setting,
    SharedSentenceError,
    rewrite_shard,
)
from mmc4viz.handover.tars import Output, Unpacked, unpacked, written
from mmc4viz.handover.tasks import Task, check_places
from mmc4viz.loader.tokens import load_tokenizer
from mmc4viz.model import ShardError


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
    counts : Counts
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
    counts: Counts = field(default_factory=Counts)
    left_out: tuple[str, ...] = ()
    shared: str | None = None
    n_bytes: int = 0
    out_bytes: int = 0


def apply_shards(
    tasks: Sequence[Task], make_executor: MakeExecutor, on_done: Callable[[Applied], object]
) -> list[Applied]:
    """Rewrite shards; those that are written as asked already are skipped.

    Parameters
    ----------
    tasks : sequence of Task
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


def apply_to_shard(task: Task) -> Applied:
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
def _locked(task: Task, scratch: Path) -> Iterator[None]:
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


def _apply(task: Task, scratch: Path) -> Applied:
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


def _made_like(before: Record, record: Record, task: Task) -> bool:
    """Whether what is there was made from the same bytes in the same way."""
    same_way = replace(before, fingerprint=record.fingerprint).made_like(record)
    return same_way and unchanged(task.shard.path, before.fingerprint)


def _record(task: Task) -> Record:
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


def _told_before(task: Task, before: Record, status: str, reason: str | None) -> Applied:
    """Return what was written before, and stays."""
    return Applied(
        task.shard.path,
        status,
        reason,
        Counts.of(before.counts),
        tuple(before.left_out),
        out_bytes=before.size,
        n_bytes=size_of(task.shard.path),
    )


def _rewrite(
    task: Task, record: Record, plain: Unpacked, scratch: Path, before: Record | None
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


def _applied(task: Task, done: Rewritten, size: int, status: str) -> Applied:
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
