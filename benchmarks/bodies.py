"""Shards behind a synthetic index: room for every document, written out for the few to be opened.

The files are sparse, so that a million documents of half a megabyte take no disk. A document that
is written has its columns' images (bytes, width and height), similarity and number of sentences;
its words are made up, so its token counts are near those of the columns, not equal.
"""

from __future__ import annotations

import base64
import io
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mmc4viz.data.columns import Columns, ImageCheck

_A_TOKEN, _A_CELL, _AN_IMAGE, _REST = 5, 24, 250, 2000  # bytes, at most


def with_room(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """Give every document of a shard the bytes that its JSON may take."""
    sizes = np.full(len(columns), _REST, np.int64)
    of_image = np.repeat(np.arange(len(columns)), columns.n_images)
    n_bytes = np.maximum(0, columns.image("n_bytes").astype(np.int64))
    np.add.at(sizes, of_image, 4 * (n_bytes // 3 + 1) + _AN_IMAGE)
    for name, each in (("rest", _A_TOKEN), ("similarity", _A_CELL)):
        starts = columns.offsets(name).astype(np.int64)
        values = columns.values(name).astype(np.int64) + 2 if name == "rest" else None
        ones = np.ones(int(starts[-1]), np.int64) if values is None else values
        totals = np.concatenate([[0], np.cumsum(ones)])
        sizes += each * (totals[starts[1:]] - totals[starts[:-1]])
    places = {"offset": np.cumsum(sizes) - sizes, "size": sizes}
    for name, values in places.items():
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(name), pa.array(values))
    return batch


def make_file(path: Path, batch: pa.RecordBatch) -> None:
    """Make a shard's file, empty."""
    last = batch.slice(batch.num_rows - 1, 1)
    path.touch()
    os.truncate(path, last.column("offset")[0].as_py() + last.column("size")[0].as_py())


def write(columns: Columns, row: int) -> None:
    """Write one document into its room; the file keeps its time, as if it had been there."""
    path, (offset, size) = columns.shard.path, columns.place(row)
    raw = json.dumps(_document(columns, row)).encode()
    if len(raw) > size:
        raise AssertionError(f"document {row} of {path} takes {len(raw)} bytes, has {size}")
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(raw.ljust(size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _document(columns: Columns, row: int) -> dict[str, Any]:
    record = columns.batch.slice(row, 1).to_pylist()[0]
    matrix = np.array(record["similarity"], np.float32).reshape(len(record["images"]), -1)
    return {
        "url": record["url"],
        "text_list": [" ".join(["sea"] * count) for count in record["rest"]],
        "similarity_matrix": matrix.astype(float).tolist(),
        "image_info": [_entry(image) for image in record["images"]],
    }


def _entry(image: dict[str, Any]) -> dict[str, Any]:
    stored = {
        "image_name": "image.jpg",
        "raw_url": image["url"],
        "matched_text_index": image["stored_sentence"],
        "matched_sim": image["stored_score"],
    }
    if image["status"] == ImageCheck.MISSING:
        return stored
    data = b"\xff\xd8damaged"
    if image["status"] == ImageCheck.VALID:
        data = _jpeg(image["width"], image["height"], image["n_bytes"])
    return stored | {"image_base64": base64.b64encode(data.ljust(image["n_bytes"])).decode()}


def _jpeg(width: int, height: int, n_bytes: int) -> bytes:
    """Return a picture of a size, of about as many bytes as wanted, at most."""
    picture = Image.fromarray(_clouds()).resize((width, height))
    for quality in (85, 60, 30, 5):
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=quality)
        if buffer.tell() <= n_bytes:
            return buffer.getvalue()
    return _jpeg(max(1, width // 2), max(1, height // 2), n_bytes)


@cache
def _clouds() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8))
    smooth = np.asarray(coarse.resize((600, 600), Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-12, 13, smooth.shape)
    return np.asarray(np.clip(smooth + noise, 0, 255), np.uint8)
