"""Opens a CLIP model in ONNX, of transformers or of open_clip."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmc4viz.clip.encoder import Encoder, EncoderError
from mmc4viz.clip.files import OPEN_CLIP, downloaded, has_onnx

PREFIX: Final = "open_clip:"
_SCHEMAS: Final = ("hf-hub:", "local-dir:")  # open_clip's own
PRECISIONS: Final = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A CLIP model and where it runs.

    Attributes
    ----------
    model : str
        A folder; a Hugging Face id (``ORG/NAME``, ``ORG/NAME@REVISION``), which is downloaded; or
        ``open_clip:NAME:CHECKPOINT``.
    provider : str or None
        ONNX Runtime's execution provider; by default a GPU if available.
    device : str or None
        PyTorch's device; by default a GPU if available.
    precision : str or None
        One of `PRECISIONS`; by default float16 on a GPU, else float32.
    """

    model: str
    provider: str | None = None
    device: str | None = None
    precision: str | None = None


def open_encoder(choice: ModelChoice) -> Encoder:
    """Open a CLIP model with the library that its files are for.

    Raises
    ------
    EncoderError
        If there is no such model, a file of it is missing or broken, the library or the device is
        missing, or an option does not apply to it.
    """
    model = choice.model
    if model.startswith((PREFIX, *_SCHEMAS)):
        return _open_clip(choice, model.removeprefix(PREFIX), model.removeprefix(PREFIX))
    there = os.path.isdir(model)
    folder = Path(model) if there else downloaded(model)
    name = folder.resolve().name if there else model
    if has_onnx(folder):
        for option in ("device", "precision"):
            if getattr(choice, option) is not None:
                raise EncoderError(
                    f"{model} is in ONNX, where --{option} does not apply: use --provider"
                )
        from mmc4viz.clip.onnx_encoder import open_onnx

        return open_onnx(folder, name, choice.provider)
    if (folder / "config.json").is_file():
        from mmc4viz.clip.transformers_encoder import open_transformers

        _check_no_provider(choice)
        return open_transformers(folder, name, choice.device, choice.precision)
    if (folder / OPEN_CLIP).is_file():
        return _open_clip(choice, f"local-dir:{folder}", name)
    raise EncoderError(
        f"{model}: not a CLIP model: it needs onnx/vision_model.onnx and onnx/text_model.onnx, or "
        f"config.json with model.safetensors, or {OPEN_CLIP} with open_clip_model.safetensors"
    )


def _open_clip(choice: ModelChoice, which: str, name: str) -> Encoder:
    from mmc4viz.clip.open_clip_encoder import open_open_clip

    _check_no_provider(choice)
    return open_open_clip(which, name, choice.device, choice.precision)


def _check_no_provider(choice: ModelChoice) -> None:
    if choice.provider is not None:
        raise EncoderError(
            f"{choice.model} is not in ONNX, so --provider does not apply: use --device"
        )
