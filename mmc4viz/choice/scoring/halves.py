"""One of a model's two encoders as ONNX Runtime runs it: a batch in, unit vectors out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice.scoring.model_files import EncoderError
from mmc4viz.loader.images import words

Embeddings = NDArray[np.float32]

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
_BY_ITSELF: Final = ("cuda", "rocm", "directml", "coreml", "cpu")  # tried in this order
_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


@dataclass(frozen=True)
class Half:
    """One of the two encoders: a session, and which of its outputs is the embedding.

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
        """Embed one batch, scaled to length 1: shape (n, dimension).

        A model that was exported for one size of batch gets batches of that size.
        """
        n = len(next(iter(fields.values())))
        fixed = next(iter(self.inputs.values())).shape[0]
        step = fixed if isinstance(fixed, int) else max(n, 1)
        parts = [self._run(fields, start, step) for start in range(0, n, step)]
        found = np.concatenate(parts)[:n]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    def _run(self, fields: dict[str, NDArray[Any]], start: int, step: int) -> NDArray[np.float64]:
        feed = {}
        for name, facts in self.inputs.items():
            part = fields[name][start : start + step].astype(_TYPES[facts.type])
            feed[name] = np.concatenate([part, np.repeat(part[:1], step - len(part), axis=0)])
        try:
            [found] = self.session.run([self.output], feed)
        except Exception as error:  # ONNX Runtime has its own kinds, down to lack of memory
            raise EncoderError(
                f"{self.path}: fails on a batch of {step}: {words(error)}; if memory is short, "
                "give a smaller --batch"
            ) from None
        if found.ndim != 2:
            raise EncoderError(f"{self.path}: {self.output} is no vector an input")
        return np.asarray(found, np.float64)


def _runtime() -> Any:
    """Return ONNX Runtime, which writes no device id and sends nothing anywhere."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # is looked at while it is loaded
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError:
        raise EncoderError(
            "scoring needs ONNX Runtime: pip install 'mmc4viz[score]' (or onnxruntime-gpu)"
        ) from None
    onnxruntime.disable_telemetry_events()  # in case that something else has loaded it
    onnxruntime.set_default_logger_severity(4)  # what goes wrong comes as an exception
    return onnxruntime


def _providers(runtime: Any, asked: str | None) -> list[str]:
    there = runtime.get_available_providers()
    if asked is None:
        return [PROVIDERS[name] for name in _BY_ITSELF if PROVIDERS[name] in there]
    if PROVIDERS[asked] not in there:
        known = ", ".join(name for name, long in PROVIDERS.items() if long in there)
        raise EncoderError(f"this ONNX Runtime has no provider {asked!r}; it has: {known}")
    return [PROVIDERS[asked]] if asked == "cpu" else [PROVIDERS[asked], PROVIDERS["cpu"]]


def open_half(path: Path, provider: str | None, inputs: Sequence[str], own: str) -> Half:
    """Open one encoder; see to it that it takes what is there and gives an embedding.

    Parameters
    ----------
    path : Path
    provider : str or None
        One of `PROVIDERS`; when None, a graphics processor where ONNX Runtime can use one.
    inputs : sequence of str
        What it may take; the first it must.
    own : str
        Its output, unless that is ``pooler_output`` or the only vector that it gives.

    Raises
    ------
    EncoderError
        When it is no model, or another one; where ONNX Runtime or the provider is missing.
    """
    runtime = _runtime()
    providers = _providers(runtime, provider)
    try:
        session = runtime.InferenceSession(str(path), providers=providers)
    except Exception as error:  # as in `Half._run`
        raise EncoderError(f"{path}: no whole ONNX model: {words(error)}") from None
    wanted = {one.name: one.type for one in session.get_inputs()}
    odd = [n for n, kind in wanted.items() if n not in inputs or kind not in _TYPES]
    if odd or inputs[0] not in wanted:
        named = ", ".join(f"{n} ({kind})" for n, kind in wanted.items())
        raise EncoderError(f"{path}: takes {named}; known are {', '.join(inputs)}")
    outputs = {one.name: one.shape for one in session.get_outputs()}
    flat = [name for name, shape in outputs.items() if len(shape) == 2]
    for name in (own, "pooler_output", *(flat if len(flat) == 1 else ())):
        if name in outputs:
            return Half(path, session, name)
    raise EncoderError(f"{path}: gives {', '.join(outputs)}; wanted: {own} or pooler_output")
