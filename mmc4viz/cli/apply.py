"""The command ``apply``: writes filtered shards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from mmc4viz.apply.options import (
    EXPECTED,
    TITLES,
    Options,
    loader_config,
    refuse_impossible,
)
from mmc4viz.apply.run import (
    Applied,
    apply_shards,
    disk_space_note,
    error_messages,
    replacement_note,
    total,
)
from mmc4viz.apply.tasks import RewriteTask, tasks_for_index, tasks_for_shards
from mmc4viz.cli.common import open_corpus, progress, slice_thresholds_of
from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.data.corpus import Indexed
from mmc4viz.data.jobs import by_status, dask, processes
from mmc4viz.data.storage import remember, size_of
from mmc4viz.export.trainer import openflamingo_flags
from mmc4viz.slices.attributes import RECORDED
from mmc4viz.text import printable, table
from mmc4viz.types import ConfigError, LoaderConfig


def apply(
    out: str,
    order: str,
    cap: str,
    drop_undecodable: bool,
    keep_rejected_images: str,
    workers: int,
    scheduler: str | None,
    dry_run: bool,
    overwrite: bool,
    **corpus: Any,
) -> None:
    """Write filtered shards that reproduce a selection with the stock loader."""
    options = Options(order, cap, drop_undecodable, keep_rejected_images == "yes")
    how = {"dry_run": dry_run, "overwrite": overwrite}
    config, tasks = _tasks(corpus, remember(out), options, how)
    refuse_impossible(config)
    if (words := replacement_note(tasks)) is not None:
        print_note(words)
    if not dry_run:
        print_note(disk_space_note(tasks))
    make = (lambda: dask(scheduler, print_note)) if scheduler else (lambda: processes(workers))
    with progress("B", sum(size_of(task.shard.path) for task in tasks)) as advance:
        done = apply_shards(tasks, make, lambda applied: advance(applied.n_bytes))
    click.echo(_report(done))
    if total(done).documents and not total(done).expected:
        print_note(
            f"no document is kept at {config.threshold:g}; run mmc4viz curve to see other "
            "thresholds"
        )
    loader = loader_config(config, tasks[0].slices)
    click.echo(f"loader flags: {printable(openflamingo_flags(loader))}")
    if tasks[0].slices is not None:
        print_note(
            f"the loader has one threshold, {loader.threshold!r}, the lowest of all: the rewritten "
            "shards carry the others"
        )
    problems = error_messages(done)
    for problem in problems:
        print_error(problem)
    if problems:
        sys.exit(2)


def _tasks(
    corpus: dict[str, Any], out: str, options: Options, how: dict[str, bool]
) -> tuple[LoaderConfig, list[RewriteTask]]:
    """Open the corpus and return one task per shard."""
    given = {**corpus, "image_dir": None, "tokenizer": None}
    config, source = open_corpus(given, by_slice=True)
    slices = slice_thresholds_of(given, config, source)
    for note in source.notes:
        print_note(note)
    config = config.with_(tokenizer=source.tokenizer.name)
    if not isinstance(source, Indexed):
        if slices is not None and slices.by in RECORDED and not slices.file:
            raise ConfigError(
                f"thresholds by {slices.by} need an index that records it: add --index"
            )
        tasks = tasks_for_shards(source.shards, out, config, options, **how)
    else:
        index = source.index
        tasks = tasks_for_index(
            index.folder, out, config, options, similarity=index.similarity, **how
        )
    return config, [replace(task, slices=slices) for task in tasks]


def _report(done: Sequence[Applied]) -> str:
    """Return a table of shards and a table of counts."""
    rows: list[tuple[Any, ...]] = [("", "shards", "MB read", "MB written")]
    rows += [
        (status, shards, *(f"{size / 1e6:.1f}" for size in sizes))
        for status, shards, *sizes in by_status(done, "n_bytes", "out_bytes")
    ]
    counts, found = total(done), total(done).as_dict()
    lines = [(title, found[name]) for name, title in TITLES.items() if found[name]]
    expected = (EXPECTED, f"{counts.expected:,.12g}")
    return "\n".join([table(rows), "", table([*lines, expected])])
