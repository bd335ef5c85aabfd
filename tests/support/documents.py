"""Small documents for worked examples: images of a given size, sentences, a matrix."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@cache
def jpeg(n_bytes: int = 12_000, side: int = 16) -> bytes:
    """Return a JPEG of exactly n bytes (padded after its end, which Pillow ignores)."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(buffer, format="JPEG")
    data = buffer.getvalue()
    assert len(data) <= n_bytes
    return data + b"\0" * (n_bytes - len(data))


def entry(data: bytes | None = None, **fields: Any) -> dict[str, Any]:
    """Return an entry of image_info; without data the image is missing."""
    stored = {"image_name": "a.jpg", "raw_url": "http://example.org/a.jpg"} | fields
    return stored | ({} if data is None else {"image_base64": base64.b64encode(data).decode()})


def info(matrix: Any, sentences: Any = None, images: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a document's JSON object; valid images and short sentences by default."""
    if images is None:
        images = [entry(jpeg()) for _ in matrix]
    if sentences is None:
        sentences = [f"Sentence {n}." for n in range(len(matrix[0]))]
    return {
        "text_list": sentences,
        "similarity_matrix": matrix,
        "image_info": images,
        "url": "http://example.org/",
        **fields,
    }


def chatgpt(example: str, n_images: int) -> dict[str, Any]:
    """Return a ChatGPT-generated document's JSON object."""
    data = base64.b64encode(jpeg(1000)).decode()
    images = {f"_!_IMAGE{k}_!_": {"base64_image": data} for k in range(1, n_images + 1)}
    return {"is_gpt": True, "example": example, "image_map": images}


def write_tar(path: Path, documents: Iterable[tuple[str, Any]], mode: str = "w") -> Path:
    """Write documents (objects or bytes) as a WebDataset tar."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, document in documents:
            raw = document if isinstance(document, bytes) else json.dumps(document).encode()
            member = tarfile.TarInfo(name if "." in name else f"{name}.json")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return path
