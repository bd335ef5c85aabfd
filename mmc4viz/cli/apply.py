"""The command that rewrites shards for a chosen setting."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.shared import INDEX, SHARDS, SIMILARITY, complain, open_corpus, progress, say
from mmc4viz.corpus.source import Indexed
from mmc4viz.corpus.storage import size_of
from mmc4viz.corpus.workers import dask, processes
from mmc4viz.handover.apply import Applied, apply_shards
from mmc4viz.handover.counts import TITLES, Counts
from mmc4viz.handover.loaders import openflamingo_flags
from mmc4viz.handover.options import CAPS, ORDERS, Options
from mmc4viz.handover.records import ApplyError
from mmc4viz.handover.tasks import Task, disk_use, tasks_for_index, tasks_for_shards
from mmc4viz.model import LoaderConfig
from mmc4viz.output import printable, table

_MOST_NAMED = 20  # documents that are left out


@click.command()
@SHARDS
@INDEX
@SIMILARITY
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    required=True,
    help="The chosen setting, YAML or JSON.",
)
@click.option("--out", required=True, metavar="DIR", help="Where the shards go, local or remote.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="page",
    show_default=True,
    help="sentence: sort images so that every image token gets its own image.",
)
@click.option(
    "--cap",
    type=click.Choice(CAPS),
    default="first",
    show_default=True,
    help="Of too many pairs, keep the first ones or the best.",
)
@click.option(
    "--drop-undecodable", is_flag=True, help="Leave out bad images in place of their documents."
)
@click.option(
    "--keep-rejected-images",
    type=click.Choice(["yes", "no"]),
    default="yes",
    show_default=True,
    help="no: images in no chosen pair lose their bytes, for smaller shards.",
)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--scheduler", metavar="ADDRESS", help="Use a Dask cluster instead of --workers.")
@click.option("--dry-run", is_flag=True, help="Count everything, write nothing.")
def apply(
    out: str,
    order: str,
    cap: str,
    drop_undecodable: bool,
    keep_rejected_images: str,
    workers: int,
    scheduler: str | None,
    dry_run: bool,
    **corpus: Any,
) -> None:
    """Rewrite WebDataset shards so that the unmodified loader does what was chosen.

    The original loader, run with the flags printed at the end, then yields exactly the chosen
    documents and pairs. What needs no change is carried over byte for byte. Finished shards are
    skipped, so a run that was stopped goes on.
    """
    options = Options(order, cap, drop_undecodable, keep_rejected_images == "yes")
    config, tasks = _tasks(corpus, out, options, dry_run)
    _say_disk_use(tasks)
    make = (lambda: dask(scheduler)) if scheduler else (lambda: processes(workers))
    with progress("B", sum(size_of(task.shard.path) for task in tasks)) as advance:
        done = apply_shards(tasks, make, lambda applied: advance(applied.n_bytes))
    click.echo(_report(done))
    click.echo(f"the loader's flags: {printable(openflamingo_flags(config))}")
    if _complaints(done):
        sys.exit(2)


def _tasks(
    corpus: dict[str, Any], out: str, options: Options, dry_run: bool
) -> tuple[LoaderConfig, list[Task]]:
    """Open what the person named and return a task a shard."""
    config, source = open_corpus({**corpus, "image_dir": None, "tokenizer": None})
    for note in source.notes:
        say(note)
    config = config.with_(tokenizer=source.tokenizer.name)
    if not isinstance(source, Indexed):
        return config, tasks_for_shards(source.shards, out, config, options, dry_run=dry_run)
    index = source.index
    tasks = tasks_for_index(
        index.folder, out, config, options, similarity=index.similarity, dry_run=dry_run
    )
    return config, tasks


def _say_disk_use(tasks: Sequence[Task]) -> None:
    """Say how much will be written; refuse what cannot fit."""
    needed, free = disk_use(tasks)
    if tasks[0].dry_run:
        return
    room = "" if free is None else f", {free / 1e9:.1f} GB are free there"
    say(f"about {needed / 1e9:.1f} GB at most will be written to {tasks[0].out}{room}")
    if free is not None and needed > free and tasks[0].options.keep_rejected_images:
        raise ApplyError(f"{tasks[0].out}: {needed / 1e9:.1f} GB do not fit{room}; choose another")


def _report(done: Sequence[Applied]) -> str:
    """Return the table of shards and the table of counts."""
    rows: list[tuple[Any, ...]] = [("", "shards", "MB read", "MB written")]
    for status in ("written", "counted", "skipped", "broken off", "failed"):
        some = [one for one in done if one.status == status]
        if some:
            sizes = (sum(one.n_bytes for one in some), sum(one.out_bytes for one in some))
            rows.append((status, len(some), *(f"{size / 1e6:.1f}" for size in sizes)))
    total = Counts()
    for one in done:
        total.add(one.counts)
    found = total.as_dict()
    counts = [(title, found[name]) for name, title in TITLES.items() if found[name]]
    odds = ("the loader yields, in expectation", f"{total.expected:g}")
    return "\n".join([table(rows), "", table([*counts, odds])])


def _complaints(done: Sequence[Applied]) -> bool:
    """Say what is not as it was asked for; return whether anything is not."""
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
    for problem in problems:
        complain(problem)
    return bool(problems)
