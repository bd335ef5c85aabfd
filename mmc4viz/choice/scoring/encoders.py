"""A dual encoder out of a Hugging Face-style folder, run by ONNX Runtime.

The folder has ``onnx/vision_model.onnx`` (pixel_values → image_embeds or pooler_output),
``onnx/text_model.onnx`` (input_ids, often attention_mask → text_embeds or pooler_output),
``tokenizer.json``, ``preprocessor_config.json``, and, where they are needed,
``tokenizer_config.json`` and ``config.json``: so public exports of CLIP and SigLIP have it. Embeds
images and sentences; knows no documents.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmc4viz.choice.scoring.halves import Embeddings, Half, open_half
from mmc4viz.choice.scoring.model_files import (
    TEXT,
    VISION,
    EncoderError,
    digest_of,
    files_of_model,
    json_of,
)
from mmc4viz.choice.scoring.preprocess import Pixels, Preprocessing, read_preprocessing
from mmc4viz.choice.scoring.text_input import TextInput, text_input_of


@dataclass(frozen=True)
class DualEncoder:
    """An image and a text encoder into one space.

    Attributes
    ----------
    name : str
        The folder's, or the id it was downloaded by.
    weights : str
        Digest of both model files.
    preprocessing : Preprocessing
    text_input : TextInput
    vision, text : Half
    logit_scale, logit_bias : float or None
        The model's own scale, where ``config.json`` has it: logits are
        ``exp(logit_scale) · cosine + logit_bias``.
    """

    name: str
    weights: str
    preprocessing: Preprocessing
    text_input: TextInput
    vision: Half
    text: Half
    logit_scale: float | None = None
    logit_bias: float | None = None

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.embed_sentences(["a"]).shape[1])

    @property
    def prepared(self) -> str:
        """How images and text are prepared, in a line."""
        filled = "filled up to that" if self.text_input.full else "not filled up"
        return f"{self.preprocessing}; text cut at {self.text_input.length} tokens, {filled}"

    def embed_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """Return unit vectors, shape (n, dimension), of a batch that was preprocessed."""
        return self.vision.run({"pixel_values": np.stack(pixels)})

    def embed_sentences(self, sentences: Sequence[str]) -> Embeddings:
        """Return unit vectors, shape (n, dimension), of a batch."""
        return self.text.run(dict(self.text_input.fields(sentences)))


def open_encoder(model: str, provider: str | None = None) -> DualEncoder:
    """Open a dual encoder.

    Parameters
    ----------
    model : str
        A folder, or the id of a Hugging Face repository (``ORG/NAME``, ``ORG/NAME@REVISION``),
        which is downloaded.
    provider : str, optional
        One of `halves.PROVIDERS`, by which ONNX Runtime computes; when left out, a graphics
        processor where it can use one.

    Raises
    ------
    EncoderError
        For a folder without a needed file, a file that is broken, encoders of different dimension,
        a tokenizer that is not the model's; and where ONNX Runtime or the provider is missing.
    """
    found = files_of_model(model)
    config = json_of(found, "config.json")
    preprocessing = read_preprocessing(found["preprocessor_config.json"])
    vision = open_half(found[VISION], provider, ("pixel_values",), "image_embeds")
    text_inputs = ("input_ids", "attention_mask", "token_type_ids")
    text = open_half(found[TEXT], provider, text_inputs, "text_embeds")
    encoder = DualEncoder(
        model if not os.path.isdir(model) else Path(model).resolve().name,
        digest_of([found[VISION], found[TEXT]]),
        preprocessing,
        text_input_of(found, config, text.inputs),
        vision,
        text,
        *(_number(config.get(name)) for name in ("logit_scale", "logit_bias")),
    )
    _check(encoder, found, config)
    return encoder


def _number(value: Any) -> float | None:
    known = type(value) in (int, float) and math.isfinite(value)
    return float(value) if known else None


def _check(encoder: DualEncoder, found: dict[str, Path], config: dict[str, Any]) -> None:
    """Run both encoders once: they must fit each other, their preprocessing and the tokenizer."""
    _check_tokens(encoder, found["tokenizer.json"], config)
    pixels = encoder.preprocessing(Image.new("RGB", (64, 48)))
    try:
        of_image = encoder.embed_pixels([pixels]).shape[1]
    except EncoderError as error:
        shape = " × ".join(map(str, pixels.shape))
        raise EncoderError(f"{error} (an image of {shape}: preprocessor_config.json)") from None
    of_text = encoder.dimension
    if of_image != of_text:
        raise EncoderError(
            f"{encoder.vision.path.parent}: embeddings of images have {of_image} dimensions, of "
            f"text {of_text}: the two are not of one model"
        )


def _check_tokens(encoder: DualEncoder, path: Path, config: dict[str, Any]) -> None:
    """Give the text encoder the tokenizer's last token, which it must know."""
    vocabulary = encoder.text_input.tokenizer.get_vocab(with_added_tokens=True)
    last = max(vocabulary.values(), default=0)
    of_text = config.get("text_config")
    size = of_text.get("vocab_size") if isinstance(of_text, dict) else None
    fields = encoder.text_input.fields([""])
    fields["input_ids"][0, 0], fields["attention_mask"][0, 0] = last, 1
    try:
        if type(size) is int and last >= size:
            raise EncoderError("more tokens than config.json says")
        encoder.text.run(dict(fields))
    except EncoderError as error:
        raise EncoderError(
            f"{path}: its token {last} is none of {TEXT}'s: the tokenizer is not the model's "
            f"({error})"
        ) from None
