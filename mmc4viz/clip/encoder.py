"""What scoring needs of a CLIP model, whichever library runs it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmc4viz.types import Mmc4vizError

Embeddings = NDArray[np.float32]


class EncoderError(Mmc4vizError):
    """A model is incomplete or unusable."""


class Encoder(Protocol):
    """An image encoder and a text encoder with a common embedding space."""

    @property
    def name(self) -> str:
        """Folder name, Hugging Face id, or open_clip name with its checkpoint."""

    @property
    def weights(self) -> str:
        """Digest of the weights."""

    @property
    def prepared(self) -> str:
        """The preprocessing of images and text, and the precision, in one line."""

    @property
    def dimension(self) -> int:
        """Embedding dimension."""

    @property
    def batch(self) -> int:
        """How many images or sentences fill the device."""

    @property
    def logit_scale(self) -> float | None:
        """Logarithm of the factor from cosines to logits, if known."""

    @property
    def logit_bias(self) -> float | None:
        """What is added to the logits, if known."""

    def threads(self) -> Executor:
        """Return threads for `prepare`."""

    def prepare(self, image: Image.Image) -> Any:
        """Preprocess an image; called from several threads."""

    def embed_images(self, prepared: Sequence[Any]) -> Embeddings:
        """Embed a batch of preprocessed images as unit vectors, shape (n, dimension)."""

    def embed_sentences(self, sentences: Sequence[str]) -> Embeddings:
        """Embed a batch as unit vectors, shape (n, dimension)."""


def unit(vectors: NDArray[Any]) -> Embeddings:
    """Scale vectors to unit length; NaN for a vector of zeros.

    Examples
    --------
    >>> unit(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]], dtype=float32)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
