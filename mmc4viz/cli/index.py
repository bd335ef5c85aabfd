"""The command ``index``: builds and changes an index."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.common import checked_folder, config_of, input_format_of, named_file, progress
from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.data.build_index import Done, IndexTask, attach, build, prune, scratch_of
from mmc4viz.data.columns import Verify
from mmc4viz.data.corpus import NOTHING_READABLE
from mmc4viz.data.index import files_of, record, write_manifest
from mmc4viz.data.jobs import by_status, dask, processes
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import remember, size_of
from mmc4viz.formats.registry import FORMATS
from mmc4viz.loader.describe import descriptions
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.text import csv_text, json_text, table
from mmc4viz.types import ConfigError, LoaderConfig


def index(
    shards: tuple[str, ...],
    out: str,
    verify: str,
    workers: int,
    scheduler: str | None,
    pruning: bool,
    image_dir: str | None,
    sidecars: tuple[str, ...],
    clip_model: str | None,
    describe: str | None,
    input_format: str | None,
    unit: str,
    **settings: Any,
) -> None:
    """Build an index, so that shards are read only once."""
    if not shards and not pruning and not sidecars and clip_model is None:
        raise ConfigError("give the SHARDs to index")
    wanted = descriptions(describe)
    if wanted and not shards:
        raise ConfigError("--describe needs the SHARDs, which it reads")
    out = remember(out)
    named = [named_file(text) for text in sidecars]
    config = config_of(settings)
    load_tokenizer(config.tokenizer)
    notes: list[str] = []
    found = expand(shards, input_format_of({"input_format": input_format, "unit": unit}), notes)
    folder = checked_folder(image_dir)
    jobs = [IndexTask(s, out, config.tokenizer, Verify(verify), folder, wanted) for s in found]
    done: list[Done] = []
    if jobs:
        make = (lambda: dask(scheduler, print_note)) if scheduler else (lambda: processes(workers))
        with progress("B", sum(size_of(shard.path) for shard in found)) as advance:
            done = build(jobs, make, lambda finished: advance(size_of(finished.shard)))
    if clip_model is not None:
        _record_model(out, clip_model)
    pruned = prune(out) if pruning else []
    attached = {name: _attach(out, name, path) for name, path in named}
    rows = _build_rows(done, pruned)
    for name, these in attached.items():
        rows += _status_rows(these, f"score set {name}: ")
    if len(rows) > 1:
        click.echo(table(rows))
    for note in [*notes, *_notes_of(done)]:
        print_note(note)
    everything = [*done, *(one for these in attached.values() for one in these)]
    for problem in (d for d in everything if d.status in ("failed", "incomplete")):
        print_error(str(problem.reason))
    if any(d.status in ("failed", "incomplete") for d in everything):
        sys.exit(2)


def _notes_of(done: Sequence[Done]) -> list[str]:
    """Return notes on what could not be read."""
    notes = [note for one in done for note in one.notes]
    if 0 < sum(one.documents for one in done) == sum(one.unreadable for one in done):
        notes.append(NOTHING_READABLE)
    return notes


def _record_model(out: str, name: str) -> None:
    """Record in an index which CLIP model produced its shards' scores."""
    name = LoaderConfig(clip_model=name).clip_model
    files_of(out)
    record(out, name, scratch_of(out))
    write_manifest(out, scratch_of(out))
    print_note(f"{out}: recorded {name} as the CLIP model of the shards' scores")


def _attach(out: str, name: str, path: str) -> list[Done]:
    """Add a similarity file to the index; note its unused rows."""
    with progress("shards") as advance:
        attached = attach(out, name, path, lambda _: advance(1))
    if attached.unused:
        rows = "row is" if attached.unused == 1 else "rows are"
        print_note(f"{path}: {attached.unused:,} {rows} for documents that are not in {out}")
    return attached.shards


def _build_rows(done: Sequence[Done], pruned: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the table of shards by status."""
    rows: list[tuple[Any, ...]] = [("", "shards", "documents", "not parsed", "MB")]
    rows += _status_rows(done)
    if pruned:
        rows.append(("pruned", len(pruned), "", "", ""))
    return rows


def _status_rows(done: Sequence[Done], of: str = "") -> list[tuple[Any, ...]]:
    """Return one row per status that occurs."""
    return [
        (of + status, *counts, f"{n_bytes / 1e6:.1f}")
        for status, *counts, n_bytes in by_status(done, "documents", "unreadable", "n_bytes")
    ]


def formats(form: str) -> None:
    """List the formats of corpora that are read."""
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "what": one.words,
            "files": " ".join(sorted(one.containers)),
            "scores": one.has_scores,
            "page_order": one.in_page_order,
            "example": one.example,
        }
        for one in FORMATS
    ]
    if form == "json":
        click.echo(json_text(rows, 1, ascii_only=False))
    elif form == "csv":
        click.echo(csv_text(list(rows[0]), [list(row.values()) for row in rows]), nl=False)
    else:
        yes_or_no = {True: "yes", False: "no"}
        head = ("", "files", "scores", "page order")
        cells = [
            (row["name"], row["files"], yes_or_no[row["scores"]], yes_or_no[row["page_order"]])
            for row in rows
        ]
        click.echo(table([head, *cells]))
        for row in rows:
            click.echo(f"\n{row['name']}: {row['what']}\n  {row['example']}")
