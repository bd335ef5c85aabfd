"""Rows as shards of MosaicML Streaming (MDS), written without that package.

Its releases to date refuse the NumPy that mmc4viz needs, so both cannot be installed together. The
format is small: a shard is the number of samples, the offset of each (both uint32), the columns as
JSON, then the samples, each with the sizes of its variable columns in front. A shard of MMC4 gives
one folder of them with an ``index.json``; the one above it lists them all, as ``merge_index`` of
MosaicML Streaming would.

The lists of a row are stored as JSON with null, and its images one after the other in ``images``,
with their sizes in ``sizes``: see `IMAGES_OF`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from xxhash import xxh3_128_hexdigest

from mmc4viz.export.trainers.rows import ExportError, TrainingRow

INDEX: Final = "index.json"
SHARD_BYTES: Final = 1 << 26  # of a file, MosaicML's own default
_LARGEST: Final = 2**32 - 1  # offsets are uint32
_HASH: Final = "xxh3_128"
_COLUMNS: Final = {  # MosaicML's encodings, in the order in which it writes columns
    "images": "bytes",
    "key": "str",
    "number": "int",
    "probability": "float64",
    "shard": "str",
    "sizes": "json",
    "texts": "json",
    "url": "str",
}
_SIZES: Final = {"int": 8, "float64": 8}
_LAYOUT: Final[dict[str, Any]] = {
    "column_encodings": list(_COLUMNS.values()),
    "column_names": list(_COLUMNS),
    "column_sizes": [_SIZES.get(encoding) for encoding in _COLUMNS.values()],
    "compression": None,
    "format": "mds",
    "hashes": [_HASH],
    "size_limit": SHARD_BYTES,
    "version": 2,
}
_HEAD: Final = json.dumps(_LAYOUT, sort_keys=True).encode()

IMAGES_OF: Final = '''\
def images_of(sample):
    """Return a sample's images: the bytes of each file, None where a text is."""
    found, at = [], 0
    for size in sample["sizes"]:
        found.append(None if size is None else sample["images"][at : at + size])
        at += size or 0
    return found
'''
"""Code for users: a sample's images, aligned with its texts."""


@dataclass(frozen=True, slots=True)
class MdsFile:
    """A written file.

    Attributes
    ----------
    name : str
    samples, size : int
    digest : str
    """

    name: str
    samples: int
    size: int
    digest: str


def write_mds(
    folder: Path, prefix: str, shard: str, rows: Iterable[TrainingRow], most: int = SHARD_BYTES
) -> list[MdsFile]:
    """Write rows to files of about 64 MiB.

    Parameters
    ----------
    folder : Path
    prefix : str
        Start of the files' names.
    shard : str
        The shard's name, for the column ``shard``.
    rows : iterable of TrainingRow
    most : int
        Size of a file in bytes; only a larger sample makes it larger.

    Raises
    ------
    ExportError
        If a sample is larger than MDS can hold.
    """
    files = []
    for number, samples in enumerate(_grouped(shard, rows, most)):
        ends = np.cumsum([0, *map(len, samples)], dtype=np.uint64)
        ends += np.uint64(4 * (1 + len(ends)) + len(_HEAD))
        head = struct.pack("<I", len(samples)) + ends.astype("<u4").tobytes() + _HEAD
        content = b"".join([head, *samples])
        name = f"{prefix}{number:05d}.mds"
        (folder / name).write_bytes(content)
        files.append(MdsFile(name, len(samples), len(content), xxh3_128_hexdigest(content)))
    return files


def _grouped(shard: str, rows: Iterable[TrainingRow], most: int) -> Iterator[list[bytes]]:
    waiting: list[bytes] = []
    size = 4 + 4 + len(_HEAD)
    for row in rows:
        sample = encoded(row, shard)
        if waiting and size + len(sample) + 4 > most:
            yield waiting
            waiting, size = [], 4 + 4 + len(_HEAD)
        waiting.append(sample)
        size += len(sample) + 4
    if waiting:
        yield waiting


def encoded(row: TrainingRow, shard: str) -> bytes:
    """Return a row as an MDS sample.

    Raises
    ------
    ExportError
        If it is larger than MDS can hold.
    """
    images = [image for image in row.images if image is not None]
    if sum(map(len, images)) > _LARGEST - SHARD_BYTES:
        raise ExportError(
            f"{shard}: document {row.key!r} has {sum(map(len, images)) / 1e9:.1f} GB of images, "
            "more than the 4 GB of an MDS shard; use --for hf, or a lower --max-images"
        )
    sizes = [None if image is None else len(image) for image in row.images]
    values: dict[str, bytes] = {
        "images": b"".join(images),
        "key": row.key.encode(),
        "number": struct.pack("<q", row.number),
        "probability": struct.pack("<d", row.probability),
        "shard": shard.encode(),
        "sizes": json.dumps(sizes).encode(),
        "texts": json.dumps(row.texts, ensure_ascii=False).encode(),
        "url": row.url.encode(),
    }
    variable = [len(values[name]) for name, kind in _COLUMNS.items() if kind not in _SIZES]
    return b"".join([struct.pack(f"<{len(variable)}I", *variable), *values.values()])


def index_text(files: Sequence[MdsFile]) -> str:
    """Return the ``index.json`` of a folder of files."""
    shards = [
        {
            **_LAYOUT,
            "raw_data": {
                "basename": file.name,
                "bytes": file.size,
                "hashes": {_HASH: file.digest},
            },
            "samples": file.samples,
            "zip_data": None,
        }
        for file in files
    ]
    return json.dumps({"shards": shards, "version": 2}, sort_keys=True)


def files_in(index: Any) -> list[MdsFile]:
    """Return the files that a parsed ``index.json`` lists.

    Raises
    ------
    LookupError, TypeError
        If it is malformed.
    """
    return [
        MdsFile(
            str(one["raw_data"]["basename"]),
            int(one["samples"]),
            int(one["raw_data"]["bytes"]),
            str(one["raw_data"]["hashes"][_HASH]),
        )
        for one in index["shards"]
    ]
