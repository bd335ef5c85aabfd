"""Turn images and text into a CLIP model's inputs.

Follows `CLIPImageProcessor` and `SiglipImageProcessor` of Hugging Face transformers (the versions
that resize with Pillow): RGB, resize, center crop, rescale, normalize. Unknown steps are refused.

A model without an attention mask sees the padding, so its text is padded as in training: to the
full length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Encoding, Tokenizer

from mmc4viz.clip.encoder import EncoderError
from mmc4viz.clip.files import json_of
from mmc4viz.loader.images import words

Pixels = NDArray[np.float32]

_STEPS: Final = ("do_convert_rgb", "do_resize", "do_center_crop", "do_rescale", "do_normalize")
_SQUARE: Final = ("Siglip", "ViT", "Bit", "Deit")  # for these, a single number is a square size
_LONGEST: Final = 20  # aspect ratio beyond which the ends are cropped before resizing


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Image preprocessing.

    Attributes
    ----------
    shortest : int or None
        Target length of the short side, keeping the aspect ratio.
    longest : int or None
        Maximum length of the long side.
    size : (int, int) or None
        Target height and width, ignoring the aspect ratio.
    crop : (int, int) or None
        Height and width of the center crop; zero-padded if larger than the image.
    resample : int
        Pillow's interpolation constant.
    factor : float or None
        Factor for pixel values.
    mean, std : tuple of float or None
        Per-channel normalization.
    """

    shortest: int | None
    longest: int | None
    size: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int
    factor: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Output height and width."""
        shape = self.crop or self.size
        assert shape is not None  # checked by `preprocessing_of`
        return shape

    def __call__(self, image: Image.Image) -> Pixels:
        """Return the pixels, float32 of shape (3, height, width)."""
        image = image.convert("RGB")
        if self.size or self.shortest:
            image = self._resized(image)
        pixels = np.asarray(image)
        if self.crop:
            pixels = _cropped(pixels, *self.crop)
        values = pixels.astype(np.float32)
        if self.factor is not None:
            values = (pixels * self.factor).astype(np.float32)
        if self.mean is not None and self.std is not None:
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            values = ((values - mean) / std).astype(np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _resized(self, image: Image.Image) -> Image.Image:
        resample = Image.Resampling(self.resample)
        if self.size:
            return image.resize((self.size[1], self.size[0]), resample)
        assert self.shortest is not None
        if self.crop:
            image = _without_ends(image)
        short, long = sorted(image.size)
        new_short, new_long = self.shortest, int(self.shortest * long / short)
        if self.longest is not None and new_long > self.longest:
            new_short, new_long = int(self.longest * new_short / new_long), self.longest
        upright = image.width <= image.height
        return image.resize((new_short, new_long) if upright else (new_long, new_short), resample)

    def __str__(self) -> str:
        """Describe the steps in one line."""
        steps = ["RGB"]
        how = Image.Resampling(self.resample).name.lower()
        if self.size:
            steps.append(f"resized to {self.size[0]} × {self.size[1]} ({how})")
        elif self.shortest:
            most = f", at most {self.longest}" if self.longest else ""
            steps.append(f"short side resized to {self.shortest}{most} ({how})")
        if self.crop:
            steps.append(f"center crop {self.crop[0]} × {self.crop[1]}")
        if self.factor is not None:
            steps.append(f"multiplied by {self.factor:.6g}")
        if self.mean and self.std:
            mean, std = (" ".join(f"{x:.6g}" for x in values) for values in (self.mean, self.std))
            steps.append(f"mean {mean}, std {std}")
        return "; ".join(steps)


def _without_ends(image: Image.Image) -> Image.Image:
    """Crop the ends of a very elongated image, which the center crop removes anyway."""
    width, height = image.size
    most = _LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(width - most, 0) // 2, max(height - most, 0) // 2
    return image.crop((left, top, left + min(width, most), top + min(height, most)))


def _cropped(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Center-crop, zero-padding smaller images."""
    short = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
    if any(short):
        before = [-(-missing // 2) for missing in short]
        sides = [(ahead, missing - ahead) for ahead, missing in zip(before, short, strict=True)]
        pixels = np.pad(pixels, [*sides, (0, 0)])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def read_preprocessing(path: Path) -> Preprocessing:
    """Read a ``preprocessor_config.json``.

    Raises
    ------
    EncoderError
        If the file is invalid or requires unsupported steps.
    """
    try:
        config = json.loads(path.read_bytes())
        return preprocessing_of(config)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise EncoderError(f"{path}: unsupported preprocessing: {what[:200]}") from None


def preprocessing_of(config: Mapping[str, Any]) -> Preprocessing:
    """Interpret the fields of a ``preprocessor_config.json``; raise a ValueError if unsupported.

    Examples
    --------
    >>> print(preprocessing_of({"size": 224, "crop_size": 224, "do_normalize": False}))
    RGB; short side resized to 224 (bicubic); center crop 224 × 224; multiplied by 0.00392157
    """
    unknown = [k for k, v in config.items() if k.startswith("do_") and v and k not in _STEPS]
    if unknown:
        raise ValueError(f"unknown step {', '.join(unknown)}")
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    square = any(kind.startswith(name) for name in _SQUARE)
    shortest, longest, size = None, None, None
    if config.get("do_resize", True):
        shortest, longest, size = _sizes(config["size"], square)
    crop = config.get("do_center_crop", "crop_size" in config)
    found = Preprocessing(
        shortest,
        longest,
        size,
        crop=_shape(config.get("crop_size") or config["size"]) if crop else None,
        resample=int(Image.Resampling(config.get("resample", Image.Resampling.BICUBIC))),
        factor=float(config.get("rescale_factor", 1 / 255))
        if config.get("do_rescale", 1)
        else None,
        mean=_three(config["image_mean"]) if config.get("do_normalize", True) else None,
        std=_three(config["image_std"]) if config.get("do_normalize", True) else None,
    )
    if found.size is None and found.crop is None:
        raise ValueError("images would have different sizes")
    return found


def _sizes(size: Any, square: bool) -> tuple[int | None, int | None, tuple[int, int] | None]:
    """Return short side, maximum long side, and (height, width), each if given."""
    if isinstance(size, dict) and "shortest_edge" in size:
        longest = size.get("longest_edge")
        return _side_length(size["shortest_edge"]), longest and _side_length(longest), None
    if isinstance(size, dict) or square:
        return None, None, _shape(size)
    return _side_length(size), None, None


def _shape(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        return _side_length(size["height"]), _side_length(size["width"])
    return _side_length(size), _side_length(size)


def _side_length(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 4096:
        raise ValueError(f"{value!r} is not an image side length")
    return value


def _three(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3:
        raise ValueError(f"{values!r} is not three numbers")
    return numbers


_LENGTHS: Final = {"clip": 77, "siglip": 64, "siglip2": 64}  # by model type, if not given
_NO_LENGTH: Final = 100_000  # larger values mean "no limit" in transformers


@dataclass(frozen=True)
class TextInput:
    """Text preprocessing.

    Attributes
    ----------
    tokenizer : Tokenizer
        Truncates to the model's length, keeping special tokens.
    length : int
        The model's maximum length in tokens.
    pad : int
        Id of the padding token.
    full : bool
        Whether to pad every sentence to the model's length, as models without an attention mask
        require; otherwise to the longest of the batch.
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
    return text.encode("utf-8", "replace").decode("utf-8")  # replaces lone surrogates


def text_input_of(
    found: dict[str, Path], config: dict[str, Any], inputs: dict[str, Any]
) -> TextInput:
    """Load the tokenizer; determine its maximum length and padding."""
    path = found["tokenizer.json"]
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise EncoderError(f"{path} is not a tokenizer: {words(error)}") from None
    tokenizer_fields = json_of(found.get("tokenizer_config.json"))
    length = _text_length(tokenizer_fields, config, inputs)
    if length is None:
        raise EncoderError(
            f"{path.parent}: maximum text length unknown; add model_max_length to "
            "tokenizer_config.json"
        )
    pad = _pad(tokenizer, tokenizer_fields, config)
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    fixed = isinstance(inputs["input_ids"].shape[1], int)
    return TextInput(tokenizer, length, pad, fixed or "attention_mask" not in inputs)


def _text_length(
    tokenizer_fields: dict[str, Any], config: dict[str, Any], inputs: dict[str, Any]
) -> int | None:
    """Return a model's text length, the smallest one declared."""
    of_text = config.get("text_config")
    of_text = of_text if isinstance(of_text, dict) else {}
    said = [
        tokenizer_fields.get("model_max_length"),
        of_text.get("max_position_embeddings"),
        inputs["input_ids"].shape[1],
    ]
    lengths = [int(x) for x in said if isinstance(x, int | float) and 1 <= x < _NO_LENGTH]
    if not lengths and config.get("model_type") in _LENGTHS:
        return _LENGTHS[config["model_type"]]
    return min(lengths, default=None)


def _pad(tokenizer: Tokenizer, tokenizer_fields: dict[str, Any], config: dict[str, Any]) -> int:
    """Return the padding token's id; 0 if not declared, as in transformers."""
    token = tokenizer_fields.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    known = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if known is None and tokenizer.padding:
        known = tokenizer.padding.get("pad_id")
    of_text = config.get("text_config")
    if known is None and isinstance(of_text, dict) and type(of_text.get("pad_token_id")) is int:
        known = of_text["pad_token_id"]
    return known or 0
