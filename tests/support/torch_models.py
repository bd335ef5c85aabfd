"""Tiny CLIP models with random weights, as transformers and open_clip save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

torch = pytest.importorskip("torch")


def _without_operators() -> None:
    """Let a torchvision for another PyTorch be imported: its transforms are plain PyTorch.

    The package index has torchvision for CUDA only, whose own operators do not load next to a
    PyTorch for the CPU.
    """
    try:
        import torchvision  # type: ignore[import-not-found,unused-ignore] # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        _KEPT.append(library)
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except ImportError:
        pass


_KEPT: list[Any] = []
_without_operators()
transformers = pytest.importorskip("transformers")
open_clip = pytest.importorskip("open_clip")

FAMILIES = ("clip", "siglip", "siglip2")
WORDS = ["a", "red", "boat", "and", "lamp", "two", "tree", "snow", "fog"]
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 12,
    "projection_size": 16,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "num_patches": 16,
}
OPEN_CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 64,
        "heads": 1,
        "layers": 2,
    },
}


def pictures() -> list[Image.Image]:
    """Return images of many shapes and modes."""
    rng = np.random.default_rng(0)
    shapes = [(100, 120), (33, 200), (31, 31), (48, 64), (300, 20), (64, 64)]
    made = [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]
    return [*made, *(made[0].convert(mode) for mode in ("L", "P", "RGBA", "CMYK"))]


SENTENCES = ["", "a red boat", "a lamp and two tree " * 20, "fog \N{SNOWMAN}", "snow", "\ud800 a"]


def tokenizer(length: int = 12) -> Any:
    """Return a tokenizer of a few words, with the special tokens of every family."""
    names = ["<bos>", "<eos>", "<pad>", "<unk>", "<mask>", *WORDS]
    made = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=length,
    )


def save_transformers(folder: Path, family: str, **changes: Any) -> Path:
    """Save a tiny model of transformers; ``changes`` are to its text config."""
    torch.manual_seed(len(family))
    name = {"clip": "CLIP", "siglip": "Siglip", "siglip2": "Siglip2"}[family]
    text = TEXT | {"vocab_size": 5 + len(WORDS)} | changes
    vision = VISION | ({"patch_size": 16, "num_patches": 256} if family == "siglip2" else {})
    config = getattr(transformers, f"{name}Config")(
        text_config=text, vision_config=vision, **({"projection_dim": 10} if name == "CLIP" else {})
    )
    sizes: dict[str, Any] = {
        "clip": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
        "siglip": {"size": {"height": 32, "width": 32}},
        "siglip2": {"patch_size": 16, "max_num_patches": 256},
    }[family]
    images = getattr(transformers, f"{name}ImageProcessor")(**sizes)
    processor = getattr(transformers, f"{name}Processor")(
        image_processor=images, tokenizer=tokenizer()
    )
    model = getattr(transformers, f"{name}Model")(config)
    for parameter in (p for n, p in model.named_parameters() if n.startswith("logit_")):
        torch.nn.init.constant_(parameter, 2.5)
    transformers.logging.set_verbosity_error()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_open_clip(folder: Path) -> Path:
    """Save a tiny model of open_clip, as in a local folder of its own."""
    from safetensors.torch import save_file

    torch.manual_seed(5)
    model = open_clip.model.CLIP(**OPEN_CLIP)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": OPEN_CLIP, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
