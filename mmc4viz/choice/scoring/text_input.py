"""Sentences as a CLIP model takes them: tokens, cut at its length and filled up as it was trained.

A model without an attention mask sees what fills up, so it must be filled up as in its training: to
the full length. Runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from mmc4viz.choice.scoring.model_files import EncoderError, json_of
from mmc4viz.loader.images import words

_LENGTHS: Final = {"clip": 77, "siglip": 64, "siglip2": 64}  # of models that leave theirs out
_NO_LENGTH: Final = 100_000  # what transformers writes for "no limit" is above this


@dataclass(frozen=True)
class TextInput:
    """How sentences become tokens.

    Attributes
    ----------
    tokenizer : Tokenizer
        Cuts at the model's length, its special tokens kept.
    length : int
        The model's, in tokens.
    pad : int
        Id of the token that fills up.
    full : bool
        Whether every sentence is filled up to the model's length, as models without an attention
        mask were trained; else up to the longest of a batch.
    """

    tokenizer: Tokenizer
    length: int
    pad: int
    full: bool

    def fields(self, sentences: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Return ``input_ids``, ``attention_mask`` and ``token_type_ids`` of a batch."""
        made = self.tokenizer.encode_batch([_encodable(text) for text in sentences])
        width = self.length if self.full else max([1, *(len(one.ids) for one in made)])
        ids = np.full((len(made), width), self.pad, np.int64)
        mask = np.zeros((len(made), width), np.int64)
        for row, one in enumerate(made):
            ids[row, : len(one.ids)], mask[row, : len(one.ids)] = one.ids, _mask(one)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _mask(one: Encoding) -> list[int]:
    mask: list[int] = one.attention_mask
    return mask


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")  # of lone surrogates


def text_input_of(
    found: dict[str, Path], config: dict[str, Any], inputs: dict[str, Any]
) -> TextInput:
    """Settle the tokenizer, the length at which it cuts, and how it fills up."""
    path = found["tokenizer.json"]
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise EncoderError(f"{path}: no tokenizer: {words(error)}") from None
    told = json_of(found, "tokenizer_config.json")
    length = _length(told, config, inputs)
    if length is None:
        raise EncoderError(
            f"{path.parent}: nothing says where text is cut; write model_max_length into "
            "tokenizer_config.json"
        )
    pad = _pad(tokenizer, told, config)
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    fixed = isinstance(inputs["input_ids"].shape[1], int)
    return TextInput(tokenizer, length, pad, fixed or "attention_mask" not in inputs)


def _length(told: dict[str, Any], config: dict[str, Any], inputs: dict[str, Any]) -> int | None:
    """Return a model's text length: the least that anything says of it."""
    of_text = config.get("text_config")
    of_text = of_text if isinstance(of_text, dict) else {}
    said = [
        told.get("model_max_length"),
        of_text.get("max_position_embeddings"),
        inputs["input_ids"].shape[1],
    ]
    lengths = [int(x) for x in said if isinstance(x, int | float) and 1 <= x < _NO_LENGTH]
    if not lengths and config.get("model_type") in _LENGTHS:
        return _LENGTHS[config["model_type"]]
    return min(lengths, default=None)


def _pad(tokenizer: Tokenizer, told: dict[str, Any], config: dict[str, Any]) -> int:
    """Return the id of the token that fills up; 0 where nothing says so, as in transformers."""
    token = told.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    known = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if known is None and tokenizer.padding:
        known = tokenizer.padding.get("pad_id")
    of_text = config.get("text_config")
    if known is None and isinstance(of_text, dict) and type(of_text.get("pad_token_id")) is int:
        known = of_text["pad_token_id"]
    return known or 0
