"""Models that run in PyTorch: device, precision, batches."""

from __future__ import annotations

import hashlib
import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from threading import Barrier
from typing import Any, Final

import numpy as np
from PIL import Image

from mmc4viz.clip.encoder import Embeddings, EncoderError, unit
from mmc4viz.loader.images import words

Fields = Mapping[str, Any]  # tensors by name, as a library's preprocessing returns them

_GPU: Final = ("cuda", "mps", "xpu")  # default, in this order


@dataclass(frozen=True)
class TorchEncoder:
    """An `Encoder` run by PyTorch.

    Attributes
    ----------
    name, weights, prepared : str
    device : torch.device
    dtype : torch.dtype
    to_pixels : callable
        Preprocesses an image with the library's own code; returns tensors of one image.
    to_tokens : callable
        Tokenizes a batch; returns tensors.
    image_features, text_features : callable
        The model's forward passes, of a batch of tensors.
    dimension : int
    logit_scale, logit_bias : float or None
    """

    name: str
    weights: str
    prepared: str
    device: Any
    dtype: Any
    to_pixels: Callable[[Image.Image], Fields]
    to_tokens: Callable[[list[str]], Fields]
    image_features: Callable[..., Any]
    text_features: Callable[..., Any]
    dimension: int = 0
    logit_scale: float | None = None
    logit_bias: float | None = None

    @property
    def batch(self) -> int:
        """How many images or sentences fill the device."""
        return 32 if self.device.type == "cpu" else 256

    def threads(self) -> ThreadPoolExecutor:
        """Return threads for `prepare`, in which PyTorch's operations use one core each.

        Otherwise every thread would start as many again.
        """
        torch = importlib.import_module("torch")
        cores, of_model = os.cpu_count() or 1, torch.get_num_threads()
        pool, all_there = ThreadPoolExecutor(cores), Barrier(cores)

        def start(_: int) -> None:
            torch.set_num_threads(1)
            all_there.wait()

        list(pool.map(start, range(cores)))
        torch.set_num_threads(of_model)
        return pool

    def prepare(self, image: Image.Image) -> Fields:
        """Preprocess an image with the library's own code."""
        return self.to_pixels(image)

    def embed_images(self, prepared: Sequence[Fields]) -> Embeddings:
        """Embed a batch of preprocessed images as unit vectors, shape (n, dimension)."""
        torch = importlib.import_module("torch")
        names = prepared[0].keys()
        batch = {name: torch.stack([fields[name] for fields in prepared]) for name in names}
        return self._run(self.image_features, batch, len(prepared))

    def embed_sentences(self, sentences: Sequence[str]) -> Embeddings:
        """Embed a batch as unit vectors, shape (n, dimension)."""
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in sentences]
        try:
            tokens = self.to_tokens(texts)
        except Exception as error:  # tokenizers raise bare Exceptions
            raise EncoderError(f"{self.name}: its tokenizer failed: {words(error)}") from None
        return self._run(self.text_features, tokens, len(texts))

    def _run(self, features: Callable[..., Any], batch: Fields, n: int) -> Embeddings:
        """Embed a batch; in halves if the device's memory is too small."""
        torch = importlib.import_module("torch")
        try:
            with torch.inference_mode():
                found = features(**{name: self._placed(value) for name, value in batch.items()})
            return unit(found.float().cpu().numpy())
        except torch.OutOfMemoryError:
            if n == 1:
                raise EncoderError(
                    f"{self.name}: {self.device} has too little free memory for one input; use "
                    "--precision float16 or --device cpu"
                ) from None
        except Exception as error:  # wrong sizes raise errors of several kinds
            raise EncoderError(f"{self.name} failed on a batch of {n}: {words(error)}") from None
        half = n // 2
        first, rest = ({k: v[at] for k, v in batch.items()} for at in (slice(half), slice(half, n)))
        return np.concatenate(
            [self._run(features, first, half), self._run(features, rest, n - half)]
        )

    def _placed(self, tensor: Any) -> Any:
        dtype = self.dtype if tensor.is_floating_point() else None
        return tensor.to(self.device, dtype, non_blocking=True)


def imported(name: str, extra: str) -> Any:
    """Import a library that needs PyTorch.

    Raises
    ------
    EncoderError
        If it is not installed, or does not work with what else is installed.
    """
    install = f"pip install 'mmc4viz[{extra}]'"
    try:
        importlib.import_module("torch")
        return importlib.import_module(name)
    except ImportError as error:
        raise EncoderError(f"this model needs {name}: {install} ({words(error)})") from None
    except Exception as error:  # a torchvision for another PyTorch raises a RuntimeError
        raise EncoderError(
            f"{name} cannot be loaded: {words(error)}; its packages do not fit together: {install}"
        ) from None


def device_of(asked: str | None) -> Any:
    """Return a PyTorch device; ``cuda`` is another GPU in each worker process.

    Raises
    ------
    EncoderError
        If PyTorch has no such device here.
    """
    torch = importlib.import_module("torch")
    there = [kind for kind in _GPU if hasattr(torch, kind) and getattr(torch, kind).is_available()]
    kind = asked or (there[0] if there else "cpu")
    try:
        device = torch.device(kind)
        if device.type == "cuda" and device.index is None and "cuda" in there:
            device = torch.device("cuda", _worker() % torch.cuda.device_count())
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise EncoderError(
            f"PyTorch has no device {kind!r} here; available: {', '.join(['cpu', *there])}"
        ) from None
    return device


def _worker() -> int:
    """Return the number of this worker process; 0 in the main process."""
    number = multiprocessing.current_process().name.rpartition("-")[2]
    return int(number) - 1 if number.isdigit() else 0


def gpus() -> int:
    """Return how many GPUs PyTorch can use by number; 0 if it is not installed."""
    try:
        found: int = importlib.import_module("torch").cuda.device_count()
    except ImportError:
        return 0
    return found


def dtype_of(precision: str | None, device: Any) -> Any:
    """Return PyTorch's type of a precision; by default float16 on a GPU, else float32."""
    default = "float32" if device.type == "cpu" else "float16"
    return getattr(importlib.import_module("torch"), precision or default)


def _digest_of(model: Any) -> str:
    """Return a digest of a model's weights, whichever files they are from."""
    torch = importlib.import_module("torch")
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return total.hexdigest()[:16]


def encoder_of(
    model: Any,
    name: str,
    steps: str,
    device: Any,
    dtype: Any,
    to_pixels: Callable[[Image.Image], Fields],
    to_tokens: Callable[[list[str]], Fields],
    image_features: Callable[..., Any],
    text_features: Callable[..., Any],
) -> TorchEncoder:
    """Return the encoder of a model, which is moved to its device.

    Parameters
    ----------
    model : torch.nn.Module
    name : str
    steps : str
        Its preprocessing.
    device, dtype, to_pixels, to_tokens, image_features, text_features
        As in `TorchEncoder`.

    Raises
    ------
    EncoderError
        If encoders, preprocessing and tokenizer do not fit together.
    """
    encoder = TorchEncoder(
        name,
        _digest_of(model),
        _described(steps, dtype),
        device,
        dtype,
        to_pixels,
        to_tokens,
        image_features,
        text_features,
        logit_scale=_number_of(model, "logit_scale"),
        logit_bias=_number_of(model, "logit_bias"),
    )
    model.to(device, dtype).eval()
    return _checked(encoder)


def _checked(encoder: TorchEncoder) -> TorchEncoder:
    """Run both encoders once; return the encoder with its dimension.

    Raises
    ------
    EncoderError
        If encoders, preprocessing and tokenizer do not fit together.
    """
    try:
        pixels = encoder.prepare(Image.new("RGB", (64, 48)))
    except Exception as error:  # as in `TorchEncoder.embed_sentences`
        raise EncoderError(f"{encoder.name}: its preprocessing failed: {words(error)}") from None
    of_image = encoder.embed_images([pixels]).shape
    of_text = encoder.embed_sentences(["\N{SNOWMAN}"]).shape  # which few tokenizers know
    if len(of_image) != 2 or of_image != of_text:
        raise EncoderError(
            f"{encoder.name}: image embeddings have the shape {of_image}, text embeddings "
            f"{of_text}; the encoders are not from one model"
        )
    return replace(encoder, dimension=of_text[1])


def _number_of(model: Any, name: str) -> float | None:
    """Return one of a model's scalar parameters; None if it has none."""
    found = getattr(model, name, None)
    return None if found is None else float(found.float().item())


@contextmanager
def reading(source: str | Path) -> Iterator[None]:
    """Turn a library's errors while it reads a model into an `EncoderError`."""
    try:
        yield
    except EncoderError:
        raise
    except UnpicklingError:
        raise EncoderError(
            f"{source}: the weights are a pickle with more than tensors, which could run code; "
            "convert them to safetensors"
        ) from None
    except MemoryError:
        raise EncoderError(f"{source}: not enough memory to load the model") from None
    except Exception as error:  # libraries raise errors of every kind on broken files
        raise EncoderError(f"{source} cannot be loaded: {words(error)}") from None


def _described(preprocessing: str, dtype: Any) -> str:
    """Return the preprocessing and the precision in one line."""
    return f"{' '.join(preprocessing.split())}; {str(dtype).removeprefix('torch.')}"
