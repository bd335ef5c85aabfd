"""How much of the time of ``score`` is not the model's: reading, decoding, preparing, writing.

    python benchmarks/score.py FOLDER [--library open_clip] [--documents 32] [--rounds 2]

A model of ViT-B/32's size with random weights scores a shard of photo-like images on the CPU. What
the model is given is recorded, and then given to it again without anything else; the two take
turns, and the best of the rounds counts. The rest of the whole's time is the share of ``score``
itself, by the clock and in seconds of processors, which other work on the machine disturbs less.
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
from tests.support.torch_models import open_clip, tokenizer, torch, transformers  # noqa: E402


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


Taken = tuple[float, float]
SAVE = {"open_clip": save_open_clip, "transformers": save_transformers}


def taken(work: Callable[[], object]) -> Taken:
    """Return the seconds that something takes, by the clock and of processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(options: argparse.Namespace) -> None:
    """Let both take turns and print the shares."""
    folder: Path = options.folder
    shards = expand(map(str, write_shards(folder, 1, options.documents)))
    model = folder / options.library
    if not model.exists():
        model.mkdir()
        SAVE[options.library](model)
    encoder = open_encoder(ModelChoice(str(model), device="cpu"))
    assert isinstance(encoder, TorchEncoder)
    given: list[tuple[Callable[..., Any], dict[str, Any]]] = []

    def recording(features: Callable[..., Any]) -> Callable[..., Any]:
        def run(**fields: Any) -> Any:
            given.append((features, fields))
            return features(**fields)

        return run

    recorder = replace(
        encoder,
        image_features=recording(encoder.image_features),
        text_features=recording(encoder.text_features),
    )

    def whole() -> None:
        given.clear()
        shutil.rmtree(folder / "out", ignore_errors=True)
        (folder / "out").mkdir()
        names = {name: str(folder / "out" / f"{name}.parquet") for name in ("out", "embeddings")}
        [part] = score_shards(shards, recorder, ScoreTask(**names))
        assert part.status == "scored"
        print(f"{part.images} images, {part.sentences} sentences", file=sys.stderr)

    def alone() -> None:
        with torch.inference_mode():
            for features, fields in given:
                features(**fields)

    best: list[Taken] = [(float("inf"), float("inf"))] * 2
    for _ in range(options.rounds):
        for place, work in enumerate((whole, alone)):
            wall, cpu = map(min, zip(best[place], taken(work), strict=True))
            best[place] = wall, cpu
    for place, what in enumerate(("clock", "processors")):
        all_of_it, of_model = best[0][place], best[1][place]
        share = 1 - of_model / all_of_it
        print(f"{options.library}, {what}: {all_of_it:.1f} s, of which score itself {share:.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--library", choices=SAVE, default="open_clip")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    measure(parser.parse_args())
