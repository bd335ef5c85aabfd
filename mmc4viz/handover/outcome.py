"""What became of many rewritten shards, summed up: for the command's end and for the page Export.

Rewrites nothing, prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mmc4viz.corpus.files import absolute
from mmc4viz.corpus.storage import fingerprint, size_of
from mmc4viz.handover.apply import Applied
from mmc4viz.handover.counts import Counts
from mmc4viz.handover.records import ApplyError, ReplacingError, read_record
from mmc4viz.handover.tasks import Task, disk_use, names_in

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


def total(done: Sequence[Applied]) -> Counts:
    """Add all counts up."""
    found = Counts()
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


def room_for(tasks: Sequence[Task]) -> str:
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


def replaced(tasks: Sequence[Task]) -> str | None:
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


def _of_another_setting(tasks: Sequence[Task]) -> dict[int, list[str]]:
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
