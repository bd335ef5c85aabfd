"""``export --for NAME``: the chosen documents in a trainer's format, and how training starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from mmc4viz.apply.options import Options, apply_command
from mmc4viz.cli.common import input_format_of, open_corpus, progress, slice_thresholds_of
from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.jobs import by_status, dask, processes
from mmc4viz.data.storage import remember, size_of
from mmc4viz.export.trainer import advice, training_command
from mmc4viz.export.trainers.energon import FOLDER, write_energon
from mmc4viz.export.trainers.launch import start_training
from mmc4viz.export.trainers.run import (
    ROW_FORMATS,
    Exported,
    RowOptions,
    export_shards,
    export_tasks,
    size_note,
)
from mmc4viz.export.trainers.summary import count_lines, error_messages, result_notes
from mmc4viz.slices.attributes import RECORDED
from mmc4viz.text import printable_code, table
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds

_OTHERS: Final = (
    "note", "chosen_by", "proposal", "manifest_file", "ids_file", "report_file", "sample",
    "labels_file", "baseline",
)  # fmt: skip


def export_for(options: dict[str, Any]) -> None:
    """Export to a trainer."""
    _check(options)
    options = options | {"similarity": next(iter(options["similarity"]), None)}
    config, corpus = open_corpus(options, by_slice=True)
    slices = slice_thresholds_of(options, config, corpus)
    config = config.with_(tokenizer=corpus.tokenizer.name)
    for note in dict.fromkeys(corpus.notes):
        print_note(note)
    trainer = options["trainer"]
    if trainer == "openflamingo":
        click.echo(_openflamingo(options, config, corpus, slices))
    elif trainer == "energon":
        _energon(options, config, corpus, slices)
    else:
        _rows(options, config, corpus, slices)


def _check(options: dict[str, Any]) -> None:
    """Reject options that say nothing to a trainer."""
    trainer, out = options["trainer"], options["out"]
    for name in _OTHERS:
        if options[name] is not None:
            flag = name.removesuffix("_file").replace("_", "-")
            raise ConfigError(f"--{flag} cannot be combined with --for {trainer}: run export twice")
    if any("=" in text for text in options["similarity"]) or len(options["similarity"]) > 1:
        raise ConfigError(f"--for {trainer} takes one score set of the index: --similarity NAME")
    if trainer != "openflamingo" and not out:
        raise ConfigError(f"--for {trainer} needs a folder to write to: add --out DIR")
    if out and out.lower().endswith((".yaml", ".yml", ".json")):
        raise ConfigError(
            f"--out {out}: with --for {trainer}, it is a folder; to write settings, run export "
            "without --for"
        )


def _rows(
    options: dict[str, Any],
    config: LoaderConfig,
    corpus: Indexed | Shards,
    slices: SliceThresholds | None,
) -> None:
    """Export rows, shard by shard, on workers."""
    trainer, out = options["trainer"], remember(options["out"])
    if isinstance(corpus, Indexed):
        index: tuple[str, str | None] | None = (corpus.index.folder, corpus.index.similarity)
        shards, image_dir = [], options["image_dir"]
    else:
        index, shards, image_dir = None, list(corpus.shards), corpus.image_dir
        if slices is not None and slices.by in RECORDED and not slices.file:
            raise ConfigError(
                f"thresholds by {slices.by} need an index that records it: add --index"
            )
    tasks = export_tasks(
        shards,
        index,
        out,
        config,
        RowOptions(ROW_FORMATS[trainer], image_dir),
        overwrite=options["overwrite"],
        slices=slices,
    )
    print_note(size_note(tasks))
    workers, scheduler = options["workers"], options["scheduler"]
    make = (lambda: dask(scheduler, print_note)) if scheduler else (lambda: processes(workers))
    with progress("B", sum(size_of(task.shard.path) for task in tasks)) as advance:
        done = export_shards(tasks, make, lambda one: advance(one.n_bytes))
    click.echo(_table(done))
    click.echo(f"\n{start_training(trainer, out)}")
    _end(done, config)


def _table(done: Sequence[Exported]) -> str:
    """Return a table of shards and a table of counts."""
    rows: list[tuple[Any, ...]] = [("", "shards", "MB read", "MB written")]
    rows += [
        (status, shards, *(f"{size / 1e6:.1f}" for size in sizes))
        for status, shards, *sizes in by_status(done, "n_bytes", "out_bytes")
    ]
    return "\n".join([table(rows), "", table(count_lines(done))])


def _end(done: Sequence[Exported], config: LoaderConfig) -> None:
    for note in result_notes(done, config):
        print_note(note)
    problems = error_messages(done)
    for problem in problems:
        print_error(problem)
    if problems:
        sys.exit(2)


def _energon(
    options: dict[str, Any],
    config: LoaderConfig,
    corpus: Indexed | Shards,
    slices: SliceThresholds | None,
) -> None:
    """Write the files that Energon reads beside shards."""
    with progress("documents") as advance:
        parts = corpus.columns(advance)
    out = options["out"]
    done = write_energon(parts, config, out, slices, overwrite=options["overwrite"])
    what, *more = done.notes()
    for note in (f"wrote {os.path.join(out, FOLDER)}: {what}", *more):
        print_note(note)
    click.echo(start_training("energon", out))


def _openflamingo(
    options: dict[str, Any],
    config: LoaderConfig,
    corpus: Indexed | Shards,
    slices: SliceThresholds | None,
) -> str:
    """Return OpenFlamingo's training command, and how to write shards for it."""
    if isinstance(corpus, Indexed):
        shards = [part.shard for part in corpus.index.columns]
    else:
        shards = list(corpus.shards)
    lowest = config if slices is None else config.with_(threshold=slices.lowest)
    lines = training_command(lowest, [shard.name for shard in shards]).splitlines()
    for title, points in advice(config, slices).items():
        lines += ["", f"{title}:", *(f"  {point}" for point in points)]
    command = apply_command(
        options["config_file"] or "settings.yaml",
        options["out"] or "chosen",
        Options(order="sentence"),
        shards=options["shards"],
        index=options["index_dir"],
        similarity=options["similarity"],
        given=input_format_of(options),
    )
    return printable_code("\n".join([*lines, "", "Shards that give exactly this:", command]))
