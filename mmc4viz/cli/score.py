"""The command ``score``: scores shards with a CLIP model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.common import checked_folder, input_format_of
from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.cli.pace import pace
from mmc4viz.clip.models import ModelChoice, open_encoder
from mmc4viz.clip.score import ScoredPart, ScoreTask, score_shards, shard_size
from mmc4viz.data.jobs import by_status
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import refuse_inputs
from mmc4viz.text import table
from mmc4viz.types import ConfigError


def score(
    shards: tuple[str, ...],
    model: str,
    provider: str | None,
    device: str | None,
    precision: str | None,
    out: str,
    decoys: str | None,
    embeddings: str | None,
    image_dir: str | None,
    input_format: str | None,
    unit: str,
    workers: int,
    **how: Any,
) -> None:
    """Score every image and sentence with a CLIP model."""
    if not shards:
        raise ConfigError("give the SHARDs to score")
    notes: list[str] = []
    found = expand(shards, input_format_of({"input_format": input_format, "unit": unit}), notes)
    folder = checked_folder(image_dir)
    refuse_inputs((out, decoys, embeddings), (shard.path for shard in found))
    choice = ModelChoice(model, provider, device, precision)
    encoder = open_encoder(choice)
    task = ScoreTask(out, decoys, folder, embeddings=embeddings, **how)
    with pace(sum(map(shard_size, found))) as advance:
        done = score_shards(found, encoder, task, advance, workers, choice)
    click.echo(_report(done))
    for note in (*notes, *(note for part in done for note in part.notes)):
        print_note(note)
    if not any(part.documents for part in done if part.status != "skipped") and any(
        part.status == "scored" for part in done
    ):
        print_note("no document can be scored: run mmc4viz explain to see why")
    failed = [part for part in done if part.status in ("failed", "incomplete")]
    for part in failed:
        print_error(str(part.reason))
    if failed:
        sys.exit(2)


def _report(done: Sequence[ScoredPart]) -> str:
    """Return the table of shards by status."""
    head = ("", "shards", "documents", "sentences", "images", "without embedding")
    return table([head, *by_status(done, "documents", "sentences", "images", "lacking")])
