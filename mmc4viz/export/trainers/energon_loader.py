"""Turns documents of MMC4 into InterleavedSamples of exactly the chosen images, for Energon.

Written by mmc4viz next to chosen.sqlite, which holds the chosen images of each document and their
sentences. Images are tensors of shape (channels, height, width) from 0 to 1, as Energon decodes
them; an image comes before its sentence, and sentences between images are joined by a blank.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sqlite3
import threading
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

_open: dict[tuple[str, int, int], sqlite3.Connection] = {}


def part_filter(part: str) -> bool:
    """Read the JSON of a document only."""
    return part == "json"


def sample_loader(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the images and texts of a document, in order."""
    page = sample["json"]
    page = page if isinstance(page, dict) else json.loads(page)  # Energon decodes it by default
    sentences, sequence = list(page["text_list"]), list[Any]()
    start = 0
    for image, sentence in _chosen(sample):
        _add_text(sequence, sentences[start:sentence])
        sequence.append(_tensor(page["image_info"][image]["image_base64"]))
        start = sentence
    _add_text(sequence, sentences[start:])
    return {"sequence": sequence}


def _add_text(sequence: list[Any], sentences: list[Any]) -> None:
    text = " ".join(f"{sentence}" for sentence in sentences)
    if text:
        sequence.append(text)


def _chosen(sample: dict[str, Any]) -> Any:
    """Return a document's (image, sentence) pairs; every thread opens the file for itself."""
    store = f"{sample['__sources__'][0].dataset_path}/.nv-meta/chosen.sqlite"
    own = store, os.getpid(), threading.get_ident()
    if own not in _open:
        _open[own] = sqlite3.connect(f"file:{quote(store)}?mode=ro&immutable=1", uri=True)
    key = (sample["__key__"],)
    found = _open[own].execute("SELECT pairs FROM chosen WHERE key = ?", key).fetchone()
    if found is None:
        raise LookupError(f"{key[0]} is not in {store}: run mmc4viz export --for energon again")
    return json.loads(found[0])


def _tensor(text: str) -> Any:
    import torch

    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        pixels = np.array(image.convert("RGB"), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32) / 255
