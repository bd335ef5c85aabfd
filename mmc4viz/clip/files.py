"""The files of a model, in a folder or downloaded from Hugging Face."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mmc4viz.clip.encoder import EncoderError
from mmc4viz.loader.images import words

VISION: Final = "vision_model.onnx"
TEXT: Final = "text_model.onnx"
OPEN_CLIP: Final = "open_clip_config.json"
NEEDED: Final = (VISION, TEXT, "tokenizer.json", "preprocessor_config.json")
_ONNX: Final = [f"onnx/{VISION}*", f"onnx/{TEXT}*", "*.json"]
_VOCABULARIES: Final = ["*.txt", "*.model"]
_SAFE: Final = "model.safetensors"
_PICKLED: Final = "pytorch_model.bin"
_WEIGHTS: Final = (_SAFE, f"{_SAFE}.index.json", _PICKLED, f"{_PICKLED}.index.json")
_TOKENIZER: Final = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_PROCESSOR: Final = ("preprocessor_config.json", "processor_config.json")


def onnx_files(folder: Path) -> dict[str, Path]:
    """Find the files of an ONNX model; return them by name without ``onnx/``.

    Raises
    ------
    EncoderError
        If a required file is missing.
    """
    names = (*NEEDED, "tokenizer_config.json", "config.json")
    found = {}
    for name in names:
        there = [place for place in _places(folder, name) if place.is_file()]
        if there:
            found[name] = there[0]
        elif name in NEEDED:
            inside = f"onnx/{name}" if name in (VISION, TEXT) else name
            raise EncoderError(f"{folder}: required file {inside} is missing")
    return found


def _places(folder: Path, name: str) -> list[Path]:
    return [folder / "onnx" / name, folder / name]


def has_onnx(folder: Path) -> bool:
    """Whether a folder has an encoder in ONNX."""
    return any(p.is_file() for name in (VISION, TEXT) for p in _places(folder, name))


def check_transformers_files(folder: Path) -> None:
    """Check that a folder has what transformers would otherwise replace by defaults.

    Raises
    ------
    EncoderError
        Names the file that is missing.
    """
    for names in (_WEIGHTS, _TOKENIZER, _PROCESSOR):
        if not any((folder / name).is_file() for name in names):
            raise EncoderError(f"{folder}: required file {names[0]} is missing")


def downloaded(model: str) -> Path:
    """Download a Hugging Face repository's model, or find it in the cache; return its folder.

    Parameters
    ----------
    model : str
        ``ORG/NAME`` or ``ORG/NAME@REVISION``.

    Raises
    ------
    EncoderError
        If it is not an id, or the download fails.
    """
    name, _, revision = model.partition("@")
    if name.count("/") != 1 or os.path.isabs(name) or name.startswith("."):
        raise EncoderError(f"{model}: no such folder, and not a Hugging Face repository id")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise EncoderError(
            f"{model}: no such folder; to download it, pip install 'mmc4viz[hf]'"
        ) from None

    def fetch(*patterns: str) -> Path:
        wanted = list(patterns)
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))

    try:
        folder = fetch(*_ONNX)
        if has_onnx(folder):
            return folder
        if (folder / "config.json").is_file():
            folder = fetch("*.json", *_VOCABULARIES, "model*.safetensors")
            return folder if _has_safe(folder) else fetch("*.json", "pytorch_model*.bin")
        return fetch("*.json", *_VOCABULARIES, "open_clip_*")
    except Exception as error:  # no network, no such repository, no access: many kinds
        raise EncoderError(
            f"{model}: no such folder, and the download failed: {words(error)}"
        ) from None


def _has_safe(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WEIGHTS[:2])


def json_of(path: Path | None) -> dict[str, Any]:
    """Read a JSON file; empty if there is none."""
    if path is None:
        return {}
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: invalid JSON: {words(error)}") from None
    return fields if isinstance(fields, dict) else {}


def digest_of(paths: Sequence[Path]) -> str:
    """Return a digest of model files, including external weights."""
    total = hashlib.sha256()
    for path in paths:
        for part in sorted(path.parent.glob(f"{path.name}*")):
            with part.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]
