"""Models of open_clip.

Images and text are prepared by the model's own transform and tokenizer, so that scores equal those
of the library. Pickled weights are read as tensors only.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from PIL import Image

from mmc4viz.clip.encoder import EncoderError
from mmc4viz.clip.files import OPEN_CLIP, json_of
from mmc4viz.clip.torch_encoder import (
    Fields,
    TorchEncoder,
    device_of,
    dtype_of,
    encoder_of,
    imported,
    reading,
)

_LOCAL: Final = "local-dir:"
_HUB: Final = "hf-hub:"
_SHOWN: Final = 5  # names in an error


def open_open_clip(
    which: str, name: str, device: str | None = None, precision: str | None = None
) -> TorchEncoder:
    """Open a model of open_clip.

    Parameters
    ----------
    which : str
        ``NAME:CHECKPOINT``, with one of open_clip's tags or a file of weights; a folder with
        ``open_clip_config.json``, also as ``local-dir:FOLDER``; or ``ORG/NAME``, also as
        ``hf-hub:ORG/NAME``.
    name : str
        As shown to people.
    device : str, optional
        PyTorch's name of a device; by default a GPU if available.
    precision : str, optional
        By default float16 on a GPU, else float32.

    Raises
    ------
    EncoderError
        If there is no such model or checkpoint, a file is broken, or open_clip, PyTorch or the
        device is missing.
    """
    library = imported("open_clip", "open_clip")
    place = device_of(device)
    dtype = dtype_of(precision, place)
    architecture, checkpoint = _parsed(library, which)
    with reading(which), _strict(which):
        _check_config(architecture)
        model, _, transform = library.create_model_and_transforms(
            architecture, checkpoint, require_pretrained=True, weights_only=True
        )
        tokenizer = library.get_tokenizer(architecture)

    def to_pixels(image: Image.Image) -> Fields:
        return {"image": transform(image.convert("RGB"))}

    def to_tokens(texts: list[str]) -> Fields:
        return {"text": tokenizer(texts)}

    length = tokenizer.context_length
    steps = f"open_clip {library.__version__}: {transform}; text truncated to {length} tokens"
    return encoder_of(
        model,
        name,
        steps,
        place,
        dtype,
        to_pixels,
        to_tokens,
        model.encode_image,
        model.encode_text,
    )


def _parsed(library: Any, which: str) -> tuple[str, str | None]:
    """Return open_clip's name of a model, and the checkpoint unless the name implies it."""
    if os.path.isdir(which.removeprefix(_LOCAL)):
        return _LOCAL + which.removeprefix(_LOCAL), None
    if which.startswith((_LOCAL, _HUB)):
        return which, None
    name, _, checkpoint = which.partition(":")
    known = library.list_models()
    if name in known:
        return name, _checkpoint(library, name, checkpoint)
    if name.count("/") == 1 and not os.path.isabs(name):
        return _HUB + name, None
    like = [one for one in known if name.lower() in one.lower()] or get_close_matches(name, known)
    raise EncoderError(
        f"open_clip has no model {name!r}" + (f"; it has {_some(like)}" if like else "")
    )


def _checkpoint(library: Any, name: str, checkpoint: str) -> str:
    tags = library.list_pretrained_tags_by_model(name)
    if checkpoint in tags or os.path.isfile(checkpoint):
        return checkpoint
    problem = f"no checkpoint {checkpoint!r}" if checkpoint else "a checkpoint is needed"
    raise EncoderError(
        f"open_clip:{name}: {problem}: give a file, as in open_clip:{name}:FILE"
        + (f", or one of {_some(tags)}" if tags else "")
    )


def _some(names: Sequence[str]) -> str:
    more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return ", ".join(names[:_SHOWN]) + more


def _check_config(architecture: str) -> None:
    """Refuse a model whose config asks for code to be run."""
    if architecture.startswith(_LOCAL):
        path = Path(architecture.removeprefix(_LOCAL)) / OPEN_CLIP
        if not path.is_file():
            raise EncoderError(f"{path.parent}: required file {path.name} is missing")
    elif architecture.startswith(_HUB):
        hub = imported("huggingface_hub", "hf")
        path = Path(hub.hf_hub_download(architecture.removeprefix(_HUB), OPEN_CLIP))
    else:
        return
    if "trust_remote_code" in json.dumps(json_of(path)):
        raise EncoderError(
            f"{path}: asks for trust_remote_code, which would run the model's own code; remove it"
        )


@contextmanager
def _strict(which: str) -> Iterator[None]:
    """Silence open_clip's log, and refuse weights trained with another activation function."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield
    finally:
        logging.disable(before)
    if any("QuickGELU mismatch" in str(one.message) for one in told):
        name, _, checkpoint = which.partition(":")
        other = name.removesuffix("-quickgelu")
        other = other if other != name else f"{name}-quickgelu"
        raise EncoderError(
            f"open_clip:{which}: these weights have another activation function (QuickGELU); use "
            f"open_clip:{other}:{checkpoint}"
        )
