"""The files of a model, in a folder or downloaded from Hugging Face."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mmc4viz.loader.images import words
from mmc4viz.types import Mmc4vizError

VISION: Final = "vision_model.onnx"
TEXT: Final = "text_model.onnx"
NEEDED: Final = (VISION, TEXT, "tokenizer.json", "preprocessor_config.json")


class EncoderError(Mmc4vizError):
    """A model folder is incomplete or unusable."""


def files_of_model(model: str) -> dict[str, Path]:
    """Find a model's files; return them by name without ``onnx/``.

    Parameters
    ----------
    model : str
        A folder, or the id of a Hugging Face repository (``ORG/NAME``, ``ORG/NAME@REVISION``).

    Raises
    ------
    EncoderError
        If it is neither, or lacks a required file.
    """
    folder = Path(model) if os.path.isdir(model) else _downloaded(model)
    names = (*NEEDED, "tokenizer_config.json", "config.json")
    found = {}
    for name in names:
        places = [folder / "onnx" / name, folder / name]
        there = [place for place in places if place.is_file()]
        if there:
            found[name] = there[0]
        elif name in NEEDED:
            inside = f"onnx/{name}" if name in (VISION, TEXT) else name
            raise EncoderError(f"{model}: required file {inside} is missing")
    return found


def _downloaded(model: str) -> Path:
    """Download a repository's files, or find them in the cache."""
    name, _, revision = model.partition("@")
    if name.count("/") != 1 or os.path.isabs(name) or name.startswith("."):
        raise EncoderError(f"{model}: no such folder, and not a Hugging Face repository id")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise EncoderError(
            f"{model}: no such folder; to download it, pip install 'mmc4viz[hf]'"
        ) from None
    wanted = [f"onnx/{VISION}*", f"onnx/{TEXT}*", "*.json"]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # no network, no such repository, no access: many kinds
        raise EncoderError(
            f"{model}: no such folder, and the download failed: {words(error)}"
        ) from None


def json_of(found: dict[str, Path], name: str) -> dict[str, Any]:
    """Read an optional JSON file; empty if missing."""
    if name not in found:
        return {}
    try:
        fields = json.loads(found[name].read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderError(f"{found[name]}: invalid JSON: {words(error)}") from None
    return fields if isinstance(fields, dict) else {}


def digest_of(paths: Sequence[Path]) -> str:
    """Return a digest of model files, including external weights."""
    total = hashlib.sha256()
    for path in paths:
        for part in sorted(path.parent.glob(f"{path.name}*")):
            with part.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]
