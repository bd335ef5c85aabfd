"""The command that reads shards into an index."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.shared import SHARDS, checked_folder, complain, config_of, progress
from mmc4viz.corpus.build import Done, Job, build, prune
from mmc4viz.corpus.columns import Verify
from mmc4viz.corpus.shards import expand
from mmc4viz.corpus.storage import size_of
from mmc4viz.corpus.workers import dask, processes
from mmc4viz.loader.tokens import load_tokenizer
from mmc4viz.model import ConfigError
from mmc4viz.output import table


@click.command()
@SHARDS
@click.option("--out", required=True, metavar="DIR", help="The index's folder, local or remote.")
@click.option("--tokenizer", help="Counts sentences: gpt2 (built in), a file, a folder, an id.")
@click.option("--image-dir", metavar="DIR", help="Images of MMC4's own jsonl.")
@click.option(
    "--verify",
    type=click.Choice([str(v) for v in Verify]),
    default="full",
    show_default=True,
    help="How far images are checked: pixels, opened only, not at all.",
)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--scheduler", metavar="ADDRESS", help="Use a Dask cluster instead of --workers.")
@click.option(
    "--prune", "pruning", is_flag=True, help="Also drop what was made of shards that are gone."
)
@click.option("--config", "config_file", metavar="FILE", help="Read the tokenizer from settings.")
def index(
    shards: tuple[str, ...],
    out: str,
    verify: str,
    workers: int,
    scheduler: str | None,
    pruning: bool,
    image_dir: str | None,
    **settings: Any,
) -> None:
    """Read shards once, into an index that answers for millions of documents at once.

    Finished shards are skipped, changed ones done again, so a run that was stopped goes on.
    """
    if not shards and not pruning:
        raise ConfigError("name the SHARDs to index")
    config = config_of(settings)
    load_tokenizer(config.tokenizer)
    found, folder = expand(shards), checked_folder(image_dir)
    jobs = [Job(s, out, config.tokenizer, Verify(verify), folder) for s in found]
    done: list[Done] = []
    if jobs:
        make = (lambda: dask(scheduler)) if scheduler else (lambda: processes(workers))
        with progress("B", sum(size_of(shard.path) for shard in found)) as advance:
            done = build(jobs, make, lambda finished: advance(size_of(finished.shard)))
    gone = prune(out) if pruning else []
    click.echo(_build_report(done, gone))
    for problem in (d for d in done if d.status in ("failed", "broken off")):
        complain(str(problem.reason))
    if any(d.status in ("failed", "broken off") for d in done):
        sys.exit(2)


def _build_report(done: Sequence[Done], gone: Sequence[str]) -> str:
    """Return the table of what was read, skipped and failed."""
    rows: list[tuple[Any, ...]] = [("", "shards", "documents", "unreadable", "MB")]
    for status in ("read", "skipped", "broken off", "failed"):
        some = [d for d in done if d.status == status]
        if some:
            counts = (sum(d.documents for d in some), sum(d.unreadable for d in some))
            rows.append((status, len(some), *counts, f"{sum(d.n_bytes for d in some) / 1e6:.1f}"))
    if gone:
        rows.append(("pruned", len(gone), "", "", ""))
    return table(rows)
