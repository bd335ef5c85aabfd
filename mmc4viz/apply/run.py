"""Rewrite many shards, one task each: resume, totals."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mmc4viz.apply.options import RewriteCounts, refuse_impossible
from mmc4viz.apply.resuming import record_of, still_valid, writing_alone
from mmc4viz.apply.shard import (
    Rewritten,
    ShardSettings,
    SharedSentenceError,
    rewrite_shard,
    shard_columns,
    slice_shifts,
)
from mmc4viz.apply.tar import Output, Unpacked, unpacked, written
from mmc4viz.apply.tasks import (
    SUFFIX,
    ApplyError,
    Record,
    ReplacingError,
    RewriteTask,
    check_places,
    disk_use,
    names_in,
    read_record,
    write_record,
)
from mmc4viz.data.index import absolute
from mmc4viz.data.jobs import OUT_OF_MEMORY, MakeExecutor, run
from mmc4viz.data.storage import (
    fingerprint,
    is_remote,
    make_folder,
    put_in_place,
    size_of,
    unchanged,
    whole_fingerprint,
)
from mmc4viz.slices.thresholds import attribute_of
from mmc4viz.types import ShardError


@dataclass(frozen=True)
class Applied:
    """The result of one shard.

    Attributes
    ----------
    shard : str
        Its path.
    status : str
        ``written``, ``counted`` (dry run), ``skipped`` (written before), ``incomplete`` (the shard
        is truncated), or ``failed``.
    reason : str or None
        Why it is incomplete or failed.
    counts : RewriteCounts
        Also for a skipped shard.
    left_out : tuple of str
        Documents that were not written, with the reason.
    shared : str or None
        In a dry run, describes the first document with several images on one sentence.
    n_bytes : int
        Size of the original.
    out_bytes : int
        Size of the rewritten shard; in a dry run, before compression.
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
    """Rewrite shards, skipping those that are already finished.

    Parameters
    ----------
    tasks : sequence of RewriteTask
        With the same settings and output folder.
    make_executor : callable
        Returns the executor.
    on_done : callable
        Called with each finished shard.

    Returns
    -------
    list of Applied
        In the order of the tasks.

    Raises
    ------
    ConfigError
        If the loader cannot reproduce the settings.
    SharedSentenceError
        If a document has several images on one sentence, except in a dry run.
    ApplyError
        If shards would overwrite each other, themselves or other files, or the output cannot be
        written.
    """
    refuse_impossible(tasks[0].config)
    if tasks[0].slices is not None:
        attribute_of(tasks[0].slices)  # with the digest of the user's table, if there is one
    check_places(tasks)
    if not tasks[0].dry_run and not is_remote(tasks[0].out):
        make_folder(tasks[0].out, ApplyError)
    return run(apply_to_shard, tasks, make_executor, on_done, _failed)


def _failed(task: RewriteTask, reason: str) -> Applied:
    return Applied(task.shard.path, "failed", f"{task.shard.path}: {reason}")


def apply_to_shard(task: RewriteTask) -> Applied:
    """Rewrite one shard in a worker.

    Returns
    -------
    Applied
        With status ``failed`` if the shard cannot be read.

    Raises
    ------
    SharedSentenceError, ApplyError
        As in `apply_shards`.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core per worker
    try:
        if task.dry_run:
            with TemporaryDirectory(prefix="mmc4viz-") as folder:
                return _apply(task, Path(folder))
        with writing_alone(task.target, task.out, task.shard.name, ApplyError) as scratch:
            return _apply(task, scratch)
    except SharedSentenceError:
        raise
    except ShardError as error:
        return Applied(task.shard.path, "failed", str(error))
    except MemoryError:
        return _failed(task, OUT_OF_MEMORY)


def _apply(task: RewriteTask, scratch: Path) -> Applied:
    record = record_of(task)
    before = None
    if not task.dry_run:
        before = still_valid(read_record(task.target), record, task)
    if before is not None and before.whole:
        return _written_before(task, before, "skipped", None)
    if task.index_file is None:
        record = replace(record, fingerprint=whole_fingerprint(task.shard.path))
    spool = scratch / f"{task.shard.name}.in"
    try:
        plain = unpacked(task.shard, spool)
        return _rewrite(task, record, plain, scratch, before)
    finally:
        spool.unlink(missing_ok=True)


def _written_before(task: RewriteTask, before: Record, status: str, reason: str | None) -> Applied:
    """Return the result of a shard that was written before and is kept."""
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
    """Rewrite a shard; the output of a truncated one is kept unless more can be read now."""
    columns = shard_columns(task, plain)
    shifts = slice_shifts(task, columns.own)
    own = None if shifts is None else shifts.at(task.config.threshold)
    setting = ShardSettings(task.config, task.options, columns.own.tokenizer, task.slices, own)

    def rewrite(out: Output) -> Rewritten:
        return rewrite_shard(columns, plain, out, setting, refuse_shared=not task.dry_run)

    if task.dry_run:
        out = Output(None)
        return _applied(task, rewrite(out), out.size, "counted")
    partial = scratch / f"{task.shard.name}.part"
    try:
        with written(partial, plain.packing) as (file, made):
            done = rewrite(Output(file))
        if not unchanged(task.shard.path, record.fingerprint):
            raise ShardError(
                f"{task.shard.path}: changed while it was read; run again once it is complete"
            )
        if before is not None and done.error and done.counts.documents <= before.documents:
            return _written_before(task, before, "incomplete", done.error)
        write_record(record, task.target + SUFFIX, scratch)
        put_in_place(partial, task.target)
        record = replace(
            record,
            whole=done.error is None,
            size=made.size,
            digest=made.digest,
            counts=done.counts.as_dict(),
            left_out=done.left_out,
            error=done.error,
        )
        write_record(record, task.target + SUFFIX, scratch)
    except OSError as error:
        raise ApplyError(
            f"{task.out}: cannot be written: {error.strerror or error}; free some space or choose "
            "another --out, then run the same command again to resume"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return _applied(task, done, made.size, "written")


def _applied(task: RewriteTask, done: Rewritten, size: int, status: str) -> Applied:
    return Applied(
        task.shard.path,
        status if done.error is None else "incomplete",
        done.error,
        done.counts,
        tuple(done.left_out),
        done.shared,
        size_of(task.shard.path),
        size,
    )


_MAX_NAMED: Final = 20  # documents not written


def total(done: Sequence[Applied]) -> RewriteCounts:
    """Return the sum of all counts."""
    found = RewriteCounts()
    for one in done:
        found.add(one.counts)
    return found


def error_messages(done: Sequence[Applied]) -> list[str]:
    """Return problems, one line each."""
    problems = [
        str(one.reason or f"{one.shard}: {one.status}")
        for one in done
        if one.status == "failed" or one.reason is not None
    ]
    problems += [
        f"{one.shard}: {one.shared}, but the loader assigns one image per sentence; use the "
        "assignment one_to_one or greedy"
        for one in done
        if one.shared is not None
    ][:1]
    left_out = [f"{one.shard}: not written: {words}" for one in done for words in one.left_out]
    problems += left_out[:_MAX_NAMED]
    if len(left_out) > _MAX_NAMED:
        more = len(left_out) - _MAX_NAMED
        problems.append(f"further documents not written: {more}; see the .apply.json records")
    return problems


def disk_space_note(tasks: Sequence[RewriteTask]) -> str:
    """Return a note on how much will be written at most, and how much space is free.

    Raises
    ------
    ApplyError
        If the space is insufficient, unless it is a dry run or images may be removed.
    """
    task, (needed, free) = tasks[0], disk_use(tasks)
    needed += sum(size_of(tasks[place].shard.path) for place in _of_another_setting(tasks))
    strict = task.options.keep_rejected_images and not task.dry_run
    if free is not None and needed > free and strict:
        raise ApplyError(
            f"{task.out}: not enough space: {_size(needed)} needed, {_size(free)} free; choose "
            "another --out"
        )
    space = "" if free is None else f" ({_size(free)} free)"
    return f"up to about {_size(needed)} will be written to {task.out}{space}"


def replacement_note(tasks: Sequence[RewriteTask]) -> str | None:
    """Return a note on existing shards written with different settings; None if there are none.

    Raises
    ------
    ReplacingError
        If they would be replaced without ``overwrite``.
    """
    found, task = _of_another_setting(tasks), tasks[0]
    if not found:
        return None
    each = {"; ".join(words) for words in found.values()}
    example = "for example " if len(each) > 1 else ""
    verb = "was" if len(found) == 1 else "were"
    words = (
        f"{len(found):,} of {len(tasks):,} shards in {task.out} {verb} written with different "
        f"settings ({example}{min(each)})"
    )
    if not task.overwrite and not task.dry_run:
        raise ReplacingError(f"{words}; choose another --out, or add --overwrite")
    return f"{words} and {'would' if task.dry_run else 'will'} be replaced"


def _of_another_setting(tasks: Sequence[RewriteTask]) -> dict[int, list[str]]:
    """Return how existing shards differ from the present settings, by task."""
    here, found = names_in(tasks[0].out), dict[int, list[str]]()
    for place, task in enumerate(tasks):
        before = read_record(task.target) if task.shard.name in here else None
        if before is None:
            continue
        path, settings = absolute(task.shard.path), (task.settings(), task.options.as_dict())
        now = replace(before, shard=path, config=settings[0], options=settings[1])
        if path != before.shard:
            now = replace(now, fingerprint=fingerprint(path))
        if words := before.unlike(now):
            found[place] = words
    return found


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
