"""Models in ONNX, run by ONNX Runtime.

The folder has ``onnx/vision_model.onnx`` (pixel_values → image_embeds or pooler_output),
``onnx/text_model.onnx`` (input_ids, often attention_mask → text_embeds or pooler_output),
``tokenizer.json``, ``preprocessor_config.json``, and, where they are needed,
``tokenizer_config.json`` and ``config.json``, as in public exports of CLIP and SigLIP.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmc4viz.clip.encoder import Embeddings, EncoderError, unit
from mmc4viz.clip.files import TEXT, VISION, digest_of, json_of, onnx_files
from mmc4viz.clip.preprocess import (
    Pixels,
    Preprocessing,
    TextInput,
    read_preprocessing,
    text_input_of,
)
from mmc4viz.loader.images import words

PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
_DEFAULT: Final = ("cuda", "rocm", "directml", "coreml", "cpu")  # default, in this order
_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


@dataclass(frozen=True)
class Half:
    """One of the two encoders: a session and the name of its embedding output.

    Attributes
    ----------
    path : Path
    session : onnxruntime.InferenceSession
    output : str
    """

    path: Path
    session: Any
    output: str

    @property
    def inputs(self) -> dict[str, Any]:
        """Its inputs by name, each with ``type`` and ``shape``."""
        return {found.name: found for found in self.session.get_inputs()}

    def run(self, fields: dict[str, NDArray[Any]]) -> Embeddings:
        """Embed one batch as unit vectors, shape (n, dimension).

        A model exported with a fixed batch size gets batches of that size.
        """
        n = len(next(iter(fields.values())))
        fixed = next(iter(self.inputs.values())).shape[0]
        step = fixed if isinstance(fixed, int) else max(n, 1)
        parts = [self._run(fields, start, step) for start in range(0, n, step)]
        return unit(np.concatenate(parts)[:n])

    def _run(self, fields: dict[str, NDArray[Any]], start: int, step: int) -> NDArray[np.float64]:
        feed = {}
        for name, facts in self.inputs.items():
            part = fields[name][start : start + step].astype(_TYPES[facts.type])
            feed[name] = np.concatenate([part, np.repeat(part[:1], step - len(part), axis=0)])
        try:
            [found] = self.session.run([self.output], feed)
        except Exception as error:  # ONNX Runtime raises its own types
            raise EncoderError(
                f"{self.path} failed on a batch of {step}: {words(error)}; if memory is short, use "
                "a smaller --batch"
            ) from None
        if found.ndim != 2:
            raise EncoderError(f"{self.path}: output {self.output} is not one vector per input")
        return np.asarray(found, np.float64)


def _runtime() -> Any:
    """Import ONNX Runtime with telemetry disabled."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError:
        raise EncoderError(
            "scoring requires ONNX Runtime: pip install 'mmc4viz[score]' (or onnxruntime-gpu)"
        ) from None
    onnxruntime.disable_telemetry_events()  # in case it was already imported
    onnxruntime.set_default_logger_severity(4)  # errors are raised as exceptions
    return onnxruntime


def _providers(runtime: Any, asked: str | None) -> list[str]:
    there = runtime.get_available_providers()
    if asked is None:
        return [PROVIDERS[name] for name in _DEFAULT if PROVIDERS[name] in there]
    if PROVIDERS[asked] not in there:
        known = ", ".join(name for name, long in PROVIDERS.items() if long in there)
        raise EncoderError(f"ONNX Runtime has no provider {asked!r} here; available: {known}")
    return [PROVIDERS[asked]] if asked == "cpu" else [PROVIDERS[asked], PROVIDERS["cpu"]]


def open_half(path: Path, provider: str | None, inputs: Sequence[str], own: str) -> Half:
    """Open one encoder and check its inputs and outputs.

    Parameters
    ----------
    path : Path
    provider : str or None
        One of `PROVIDERS`; None uses a GPU if available.
    inputs : sequence of str
        Supported inputs; the first is required.
    own : str
        The embedding output; else ``pooler_output`` or the only two-dimensional output is used.

    Raises
    ------
    EncoderError
        If the file is not such a model, or ONNX Runtime or the provider is missing.
    """
    runtime = _runtime()
    providers = _providers(runtime, provider)
    try:
        session = runtime.InferenceSession(str(path), providers=providers)
    except Exception as error:  # as in `Half._run`
        raise EncoderError(f"{path} is not a complete ONNX model: {words(error)}") from None
    wanted = {one.name: one.type for one in session.get_inputs()}
    odd = [n for n, kind in wanted.items() if n not in inputs or kind not in _TYPES]
    if odd or inputs[0] not in wanted:
        named = ", ".join(f"{n} ({kind})" for n, kind in wanted.items())
        raise EncoderError(f"{path} has inputs {named}; supported: {', '.join(inputs)}")
    outputs = {one.name: one.shape for one in session.get_outputs()}
    flat = [name for name, shape in outputs.items() if len(shape) == 2]
    for name in (own, "pooler_output", *(flat if len(flat) == 1 else ())):
        if name in outputs:
            return Half(path, session, name)
    raise EncoderError(f"{path} has outputs {', '.join(outputs)}; needed: {own} or pooler_output")


@dataclass(frozen=True)
class OnnxEncoder:
    """An `Encoder` run by ONNX Runtime.

    Attributes
    ----------
    name : str
        Folder name, or Hugging Face id.
    weights : str
        Digest of both model files.
    preprocessing : Preprocessing
    text_input : TextInput
    vision, text : Half
    logit_scale, logit_bias : float or None
        The model's scale, if given in ``config.json``: logits are
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
    def batch(self) -> int:
        """How many images or sentences fill the device."""
        on_cpu = self.vision.session.get_providers()[:1] == [PROVIDERS["cpu"]]
        return 32 if on_cpu else 256

    @cached_property
    def dimension(self) -> int:
        """Embedding dimension."""
        return int(self.embed_sentences(["a"]).shape[1])

    @property
    def prepared(self) -> str:
        """The preprocessing of images and text, in one line."""
        padded = "padded" if self.text_input.full else "not padded"
        return f"{self.preprocessing}; text truncated to {self.text_input.length} tokens, {padded}"

    def threads(self) -> ThreadPoolExecutor:
        """Return threads for `prepare`."""
        return ThreadPoolExecutor(os.cpu_count())

    def prepare(self, image: Image.Image) -> Pixels:
        """Preprocess an image, to float32 of shape (3, height, width)."""
        return self.preprocessing(image)

    def embed_images(self, prepared: Sequence[Pixels]) -> Embeddings:
        """Embed a batch of preprocessed images as unit vectors, shape (n, dimension)."""
        return self.vision.run({"pixel_values": np.stack(prepared)})

    def embed_sentences(self, sentences: Sequence[str]) -> Embeddings:
        """Embed a batch as unit vectors, shape (n, dimension)."""
        return self.text.run(dict(self.text_input.fields(sentences)))


def open_onnx(folder: Path, name: str, provider: str | None = None) -> OnnxEncoder:
    """Open an ONNX model.

    Parameters
    ----------
    folder : Path
    name : str
    provider : str, optional
        One of `PROVIDERS`; by default a GPU if available.

    Raises
    ------
    EncoderError
        If a required file is missing or broken, the encoders' dimensions differ, the tokenizer does
        not belong to the model, or ONNX Runtime or the provider is missing.
    """
    found = onnx_files(folder)
    config = json_of(found.get("config.json"))
    preprocessing = read_preprocessing(found["preprocessor_config.json"])
    vision = open_half(found[VISION], provider, ("pixel_values",), "image_embeds")
    text_inputs = ("input_ids", "attention_mask", "token_type_ids")
    text = open_half(found[TEXT], provider, text_inputs, "text_embeds")
    encoder = OnnxEncoder(
        name,
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


def _check(encoder: OnnxEncoder, found: dict[str, Path], config: dict[str, Any]) -> None:
    """Run both encoders once to check that encoders, preprocessing and tokenizer fit together."""
    _check_tokens(encoder, found["tokenizer.json"], config)
    pixels = encoder.preprocessing(Image.new("RGB", (64, 48)))
    try:
        of_image = encoder.embed_images([pixels]).shape[1]
    except EncoderError as error:
        shape = " × ".join(map(str, pixels.shape))
        raise EncoderError(f"{error} (an image of {shape}: preprocessor_config.json)") from None
    of_text = encoder.dimension
    if of_image != of_text:
        raise EncoderError(
            f"{encoder.vision.path.parent}: image embeddings have {of_image} dimensions, text "
            f"embeddings {of_text}; the encoders are not from one model"
        )


def _check_tokens(encoder: OnnxEncoder, path: Path, config: dict[str, Any]) -> None:
    """Check that the text encoder knows the tokenizer's last token."""
    vocabulary = encoder.text_input.tokenizer.get_vocab(with_added_tokens=True)
    last = max(vocabulary.values(), default=0)
    of_text = config.get("text_config")
    size = of_text.get("vocab_size") if isinstance(of_text, dict) else None
    fields = encoder.text_input.fields([""])
    fields["input_ids"][0, 0], fields["attention_mask"][0, 0] = last, 1
    try:
        if type(size) is int and last >= size:
            raise EncoderError("more tokens than vocab_size in config.json")
        encoder.text.run(dict(fields))
    except EncoderError as error:
        raise EncoderError(
            f"{path} does not belong to this model: {TEXT} does not know its token {last} ({error})"
        ) from None
