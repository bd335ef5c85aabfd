"""The command that computes similarity with a CLIP model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.common import SHARDS, checked_folder, progress
from mmc4viz.cli.messages import complain, say
from mmc4viz.clip.encoder import PROVIDERS, open_encoder
from mmc4viz.clip.score import SCALES, ScoredPart, ScoreTask, score_shards
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import refuse_inputs
from mmc4viz.text import table
from mmc4viz.types import ConfigError


@click.command()
@SHARDS
@click.option(
    "--model",
    required=True,
    metavar="PATH_OR_HF_ID",
    help="A folder with onnx/vision_model.onnx, onnx/text_model.onnx, tokenizer.json and "
    "preprocessor_config.json, or the id of such a repository.",
)
@click.option("--out", required=True, metavar="FILE", help="The Parquet file to write.")
@click.option(
    "--decoys",
    metavar="FILE",
    help="Also write every document's images with another one's sentences, for error rates.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 65536),
    default=32,
    show_default=True,
    help="Images, and sentences, that the model gets at once.",
)
@click.option(
    "--provider",
    type=click.Choice(list(PROVIDERS)),
    help="What computes. [a graphics processor where there is one]",
)
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default="cosine",
    show_default=True,
    help="What is written: cosines, or the model's own logits.",
)
@click.option("--image-dir", metavar="DIR", help="Images of MMC4's own jsonl.")
def score(
    shards: tuple[str, ...],
    model: str,
    provider: str | None,
    out: str,
    decoys: str | None,
    image_dir: str | None,
    **how: Any,
) -> None:
    """Compute the similarity of every image and sentence with a CLIP model.

    The file is for mmc4viz index --similarity NAME=FILE. A run that was stopped goes on.
    """
    if not shards:
        raise ConfigError("name the SHARDs to score")
    found, folder = expand(shards), checked_folder(image_dir)
    refuse_inputs((out, decoys), (shard.path for shard in found))
    encoder = open_encoder(model, provider)
    with progress("documents") as advance:
        done = score_shards(found, encoder, ScoreTask(out, decoys, folder, **how), advance)
    click.echo(_report(done))
    for note in (note for part in done for note in part.notes):
        say(note)
    if not any(part.documents for part in done if part.status != "skipped") and any(
        part.status == "scored" for part in done
    ):
        say("no document can be scored: mmc4viz explain says of each what is wrong")
    failed = [part for part in done if part.status in ("failed", "broken off")]
    for part in failed:
        complain(str(part.reason))
    if failed:
        sys.exit(2)


def _report(done: Sequence[ScoredPart]) -> str:
    """Return the table of what was scored."""
    head = ("", "shards", "documents", "sentences", "images", "without embedding")
    rows: list[tuple[Any, ...]] = [head]
    for status in ("scored", "skipped", "broken off", "failed"):
        some = [part for part in done if part.status == status]
        if some:
            names = ("documents", "sentences", "images", "lacking")
            rows.append((status, len(some), *(sum(getattr(p, n) for p in some) for n in names)))
    return table(rows)
