"""The sample's two dual encoders, run with NumPy.

An encoder is a folder: `weights.npz`, `tokenizer.json` with `tokenizer_config.json`, and
`preprocessor_config.json` (in the form of Hugging Face's `CLIPImageProcessor`). Every step exists
in ONNX: convolution, relu, pooling, a sum of token embeddings, linear maps, L2 normalisation.
Weights are stored in half precision and used as the numbers they then are; NumPy computes in
double precision. How they were fitted is in `fit.py`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

Array = NDArray[np.float64]

IMAGE_BATCH = 64


@dataclass(frozen=True)
class Preprocessor:
    """`CLIPImageProcessor` with its defaults, but for size, mean and deviation."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Array:
        """Return the pixels, shape (3, size, size)."""
        image = image.convert("RGB")
        short, long = min(image.size), max(image.size)
        long = int(self.size * long / short)
        wide = image.width >= image.height
        size = (long, self.size) if wide else (self.size, long)
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        pixels = np.asarray(image, dtype=np.float64)[top : top + self.size, left : left + self.size]
        normal = (pixels / 255 - np.array(self.mean)) / np.array(self.std)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))

    def config(self) -> dict[str, Any]:
        """Return what `preprocessor_config.json` holds."""
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"shortest_edge": self.size},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": {"height": self.size, "width": self.size},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Preprocessor:
        """Read what `config` returned."""
        return cls(
            size=int(config["size"]["shortest_edge"]),
            mean=tuple(map(float, config["image_mean"])),
            std=tuple(map(float, config["image_std"])),
        )


def convolve(x: Array, weight: Array, bias: Array, stride: int) -> Array:
    """Convolve without padding, then relu.

    Parameters
    ----------
    x : shape (n, channels, height, width)
    weight : shape (filters, channels, k, k)
    bias : shape (filters,)
    """
    k = weight.shape[2]
    windows = sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]
    n, _, height, width = windows.shape[:4]
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
    out = columns @ weight.reshape(len(weight), -1).T + bias
    return np.maximum(out, 0).reshape(n, height, width, -1).transpose(0, 3, 1, 2)


def average_pool(x: Array, k: int) -> Array:
    """Average over k by k cells that do not overlap; a rest at the far edges is dropped."""
    n, c, height, width = x.shape
    h, w = height // k, width // k
    cells = x[:, :, : h * k, : w * k].reshape(n, c, h, k, w, k)
    return np.asarray(cells.mean(axis=(3, 5)))


@dataclass(frozen=True)
class Filters:
    """The fixed convolutions of an image encoder.

    Pixels are convolved by `conv1` (stride `stride`), averaged over cells of `pool`; their means
    over a coarse grid of cells of `grid` are the first features, in a few places of the picture.
    `conv2` looks at several cells at once; the mean and the maximum of each of its maps over the
    picture are the other features.
    """

    conv1: Array
    bias1: Array
    conv2: Array
    bias2: Array
    stride: int
    pool: int
    grid: int

    def cells(self, x: Array) -> Array:
        """Return the first layer's maps, pooled: shape (n, filters, cells, cells)."""
        return average_pool(convolve(x, self.conv1, self.bias1, self.stride), self.pool)

    def features(self, x: Array) -> Array:
        """Return the features of pixels of shape (n, 3, size, size)."""
        cells = self.cells(x)
        parts = convolve(cells, self.conv2, self.bias2, 1)
        coarse = average_pool(cells, self.grid).reshape(len(x), -1)
        return np.concatenate([coarse, parts.mean(axis=(2, 3)), parts.max(axis=(2, 3))], axis=1)


def normalised(x: Array) -> Array:
    """Scale rows to length 1."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


@dataclass(frozen=True)
class DualEncoder:
    """An image and a text encoder into one space.

    The last three dimensions hold constants, part of the two biases: one that pictures and
    sentences share, one of the pictures' own and one of the sentences' own (the modality gap).
    """

    preprocessor: Preprocessor
    tokenizer: Tokenizer
    filters: Filters
    image_linear: Array
    image_bias: Array
    token_embedding: Array
    text_linear: Array
    text_bias: Array
    max_length: int

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Array:
        """Return unit vectors, shape (n, dimension)."""
        out = [np.empty((0, len(self.image_bias)))]
        for start in range(0, len(pictures), IMAGE_BATCH):
            batch = pictures[start : start + IMAGE_BATCH]
            x = self.filters.features(np.stack([self.preprocessor(p) for p in batch]))
            out.append(normalised(x @ self.image_linear + self.image_bias))
        return np.concatenate(out)

    def embed_jpegs(self, jpegs: Sequence[bytes]) -> Array:
        """Decode, then embed."""
        return self.embed_pictures([Image.open(io.BytesIO(jpeg)) for jpeg in jpegs])

    def embed_texts(self, texts: Sequence[str]) -> Array:
        """Return unit vectors, shape (n, dimension)."""
        ids = [token_ids(self.tokenizer, text, self.max_length) for text in texts]
        sums = np.stack([self.token_embedding[i].sum(axis=0) for i in ids])
        return normalised(sums @ self.text_linear + self.text_bias)

    def similarity(self, jpegs: Sequence[bytes], texts: Sequence[str]) -> Array:
        """Return the cosines, images by sentences, as single precision numbers."""
        cosine = self.embed_jpegs(jpegs) @ self.embed_texts(texts).T
        return cosine.astype(np.float32).astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self.filters, name) for name in _FILTER_ARRAYS}
        arrays |= {name: getattr(self, name) for name in _LINEAR_ARRAYS}
        numbers = {name: np.array(getattr(self.filters, name)) for name in _FILTER_NUMBERS}
        numbers["max_length"] = np.array(self.max_length)
        halves = {name: array.astype(np.float16) for name, array in arrays.items()}
        np.savez_compressed(folder / "weights.npz", **halves, **numbers)  # type: ignore[arg-type]
        self.tokenizer.save(str(folder / "tokenizer.json"))
        _write_json(folder / "preprocessor_config.json", self.preprocessor.config())
        special = {"model_max_length": self.max_length, "unk_token": "[UNK]", "pad_token": "[PAD]"}
        _write_json(folder / "tokenizer_config.json", special)

    @classmethod
    def load(cls, folder: Path) -> DualEncoder:
        """Read what `save` wrote."""
        with np.load(folder / "weights.npz") as stored:
            arrays = {k: stored[k].astype(np.float64) for k in _FILTER_ARRAYS + _LINEAR_ARRAYS}
            numbers = {k: int(stored[k]) for k in (*_FILTER_NUMBERS, "max_length")}
        config = json.loads((folder / "preprocessor_config.json").read_text())
        return cls(
            preprocessor=Preprocessor.from_config(config),
            tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
            filters=Filters(
                *(arrays[k] for k in _FILTER_ARRAYS), *(numbers[k] for k in _FILTER_NUMBERS)
            ),
            **{k: arrays[k] for k in _LINEAR_ARRAYS},
            max_length=numbers["max_length"],
        )


_FILTER_NUMBERS = ("stride", "pool", "grid")
_FILTER_ARRAYS = tuple(f.name for f in fields(Filters) if f.name not in _FILTER_NUMBERS)
_LINEAR_ARRAYS = ("image_linear", "image_bias", "token_embedding", "text_linear", "text_bias")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def token_ids(tokenizer: Tokenizer, text: str, max_length: int) -> list[int]:
    """Return a sentence's first tokens; one unknown token for a sentence without any."""
    ids: list[int] = tokenizer.encode(text).ids[:max_length]
    return ids or [0]
