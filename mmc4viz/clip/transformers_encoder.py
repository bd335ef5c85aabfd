"""CLIP and SigLIP models of Hugging Face transformers.

Images and text are prepared by the model's own processor, so that scores equal the library's.
Code that a model's folder may contain is never run, and pickled weights are read as tensors only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image

from mmc4viz.clip.encoder import EncoderError
from mmc4viz.clip.files import check_transformers_files, json_of
from mmc4viz.clip.torch_encoder import (
    Fields,
    TorchEncoder,
    device_of,
    dtype_of,
    encoder_of,
    imported,
    reading,
)

FAMILIES: Final = ("clip", "siglip", "siglip2")
_LOCAL: Final = {"local_files_only": True, "trust_remote_code": False}
_STEPS: Final = (
    "crop_size", "do_center_crop", "do_normalize", "do_rescale", "do_resize", "image_mean",
    "image_std", "max_num_patches", "patch_size", "resample", "rescale_factor", "size",
)  # fmt: skip


def open_transformers(
    folder: Path, name: str, device: str | None = None, precision: str | None = None
) -> TorchEncoder:
    """Open a model of transformers.

    Parameters
    ----------
    folder : Path
        With ``config.json``, ``model.safetensors``, ``preprocessor_config.json`` and the
        tokenizer's files.
    name : str
    device : str, optional
        PyTorch's name of a device; by default a GPU if available.
    precision : str, optional
        By default float16 on a GPU, else float32.

    Raises
    ------
    EncoderError
        If it is not a CLIP or SigLIP model, a file is missing or broken, weights and config differ,
        or transformers, PyTorch or the device is missing.
    """
    kind = json_of(folder / "config.json").get("model_type")
    if kind not in FAMILIES:
        raise EncoderError(
            f"{folder}: a model of type {kind!r} cannot score images with sentences; supported: "
            f"{', '.join(FAMILIES)}"
        )
    check_transformers_files(folder)
    library = imported("transformers", "transformers")
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    place = device_of(device)
    dtype = dtype_of(precision, place)
    with reading(folder):
        processor = library.AutoProcessor.from_pretrained(folder, **_LOCAL)
        model, loaded = library.AutoModel.from_pretrained(
            folder,
            dtype=dtype_of("float32", place),
            weights_only=True,
            output_loading_info=True,
            **_LOCAL,
        )
    _check_complete(folder, loaded)
    images, tokenizer = _halves(folder, processor)
    length = _text_length(folder, tokenizer, model.config.text_config)
    padding = "longest" if kind == "clip" else "max_length"  # SigLIP is trained with padding

    def to_pixels(image: Image.Image) -> Fields:
        made = images(images=image.convert("RGB"), return_tensors="pt")
        return {field: made[field][0] for field in made}

    def to_tokens(texts: list[str]) -> Fields:
        how = {"padding": padding, "truncation": True, "max_length": length}
        return dict(tokenizer(texts, return_tensors="pt", **how))

    steps = f"{type(images).__name__} of transformers {library.__version__}: {_steps(images)}"
    return encoder_of(
        model,
        name,
        f"{steps}; text truncated to {length} tokens",
        place,
        dtype,
        to_pixels,
        to_tokens,
        _vectors(model.get_image_features),
        _vectors(model.get_text_features),
    )


def _vectors(features: Callable[..., Any]) -> Callable[..., Any]:
    """Return a forward pass that returns a tensor, as before transformers 5."""

    def run(**fields: Any) -> Any:
        found = features(**fields)
        return getattr(found, "pooler_output", found)

    return run


def _check_complete(folder: Path, loaded: Mapping[str, Any]) -> None:
    """Check that the weights have every tensor of the model; otherwise it would be random."""
    missing = sorted(loaded["missing_keys"])
    if missing:
        raise EncoderError(
            f"{folder}: the weights lack {len(missing):,} of the model's tensors (such as "
            f"{missing[0]}); they are incomplete or of another model"
        )


def _halves(folder: Path, processor: Any) -> tuple[Any, Any]:
    """Return the image processor and the tokenizer."""
    images, tokenizer = (getattr(processor, n, None) for n in ("image_processor", "tokenizer"))
    if images is None or tokenizer is None:
        lacking = "preprocessor_config.json" if images is None else "tokenizer.json"
        raise EncoderError(f"{folder}: required file {lacking} is missing")
    return images, tokenizer


def _text_length(folder: Path, tokenizer: Any, config: Any) -> int:
    """Return the longest text in tokens; check that the model knows every token."""
    if len(tokenizer) > config.vocab_size:
        raise EncoderError(
            f"{folder}: the tokenizer has {len(tokenizer):,} tokens and the model knows "
            f"{config.vocab_size:,}; the tokenizer is of another model"
        )
    return min(int(tokenizer.model_max_length), int(config.max_position_embeddings))


def _steps(images: Any) -> str:
    """Describe an image processor's steps in one line."""
    named = {key: value for key, value in images.to_dict().items() if key in _STEPS and value}
    return json.dumps(named, default=str, sort_keys=True)
