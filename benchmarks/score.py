"""How much of the time of ``score`` is not the model's: reading, decoding, preparing, writing.

    python benchmarks/score.py FOLDER [--library open_clip] [--documents 32] [--rounds 3]

A model of ViT-B/32's size with random weights scores a shard of photo-like images on the CPU.
``waiting`` is the share of the time by the clock in which the model does not run. ``work`` is the
share of the processors' time: all outside the model, and all of preparing images, which the model
overlaps with; other work on the machine disturbs it less. The best of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shards import write_shards  # noqa: E402
from mmc4viz.clip.models import ModelChoice, open_encoder  # noqa: E402
from mmc4viz.clip.score import ScoreTask, score_shards  # noqa: E402
from mmc4viz.clip.torch_encoder import TorchEncoder  # noqa: E402
from mmc4viz.data.shards import expand  # noqa: E402
from tests.support.torch_models import open_clip, tokenizer, transformers  # noqa: E402


def save_open_clip(folder: Path) -> None:
    """Save open_clip's ViT-B-32 with random weights."""
    from safetensors.torch import save_file

    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model("ViT-B-32")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")


def save_transformers(folder: Path) -> None:
    """Save the CLIP model that transformers makes by default, which is ViT-B/32."""
    transformers.CLIPModel(transformers.CLIPConfig()).save_pretrained(folder)
    images = transformers.CLIPImageProcessor()
    transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer(77)).save_pretrained(
        folder
    )


SAVE = {"open_clip": save_open_clip, "transformers": save_transformers}


class Clocks:
    """Seconds by the clock and of processors, in the model and in preparing images."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()
        self.model_clock = self.model_work = 0.0
        self.preparing: list[float] = []  # appended to by several threads

    def model(self, features: Callable[..., Any]) -> Callable[..., Any]:
        """Measure a forward pass."""

        def run(**fields: Any) -> Any:
            clock, work = time.perf_counter(), time.process_time()
            found = features(**fields)
            self.model_clock += time.perf_counter() - clock
            self.model_work += time.process_time() - work
            return found

        return run

    def prepare(self, to_pixels: Callable[..., Any]) -> Callable[..., Any]:
        """Measure the preparing of an image."""

        def run(image: Any) -> Any:
            work = time.thread_time()
            image.load()
            found = to_pixels(image)
            self.preparing.append(time.thread_time() - work)
            return found

        return run

    def shares(self) -> tuple[float, float, float]:
        """Return the seconds by the clock, and the shares ``waiting`` and ``work``."""
        clock = time.perf_counter() - self.start[0]
        work = time.process_time() - self.start[1]
        outside = work - self.model_work + sum(self.preparing)
        return clock, 1 - self.model_clock / clock, outside / work


def measure(options: argparse.Namespace) -> None:
    """Score in rounds and print the shares."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    shards = expand(map(str, write_shards(folder, 1, options.documents)))
    model = folder / options.library
    if not model.exists():
        model.mkdir()
        SAVE[options.library](model)
    encoder = open_encoder(ModelChoice(str(model), device="cpu"))
    assert isinstance(encoder, TorchEncoder)
    rounds = []
    for _ in range(options.rounds):
        shutil.rmtree(folder / "out", ignore_errors=True)
        (folder / "out").mkdir()
        names = {name: str(folder / "out" / f"{name}.parquet") for name in ("out", "embeddings")}
        clocks = Clocks()
        timed = replace(
            encoder,
            to_pixels=clocks.prepare(encoder.to_pixels),
            image_features=clocks.model(encoder.image_features),
            text_features=clocks.model(encoder.text_features),
        )
        [part] = score_shards(shards, timed, ScoreTask(**names))
        rounds.append(clocks.shares())
    seconds, waiting, work = (min(values) for values in zip(*rounds, strict=True))
    print(
        f"{options.library}: {part.images} images and {part.sentences} sentences in "
        f"{seconds:.1f} s; waiting {waiting:.1%}, work {work:.1%}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--library", choices=SAVE, default="open_clip")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    measure(parser.parse_args())
