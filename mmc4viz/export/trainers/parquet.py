"""Rows as Parquet with Hugging Face's ``Image`` feature, for Hugging Face datasets and torchtitan.

Images are stored as the bytes of their files; ``datasets`` decodes them when it reads the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.export.trainers.rows import TrainingRow

_GROUP_BYTES: Final = 32 << 20  # image bytes of a row group, which a reader holds in memory
_GROUP_ROWS: Final = 1000
_IMAGE: Final = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_FEATURES: Final[dict[str, Any]] = {
    "images": {"feature": {"_type": "Image"}, "_type": "Sequence"},
    "texts": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
    "key": {"dtype": "string", "_type": "Value"},
    "shard": {"dtype": "string", "_type": "Value"},
    "number": {"dtype": "int64", "_type": "Value"},
    "url": {"dtype": "string", "_type": "Value"},
    "probability": {"dtype": "float64", "_type": "Value"},
}
SCHEMA: Final = pa.schema(
    {
        "images": pa.list_(_IMAGE),
        "texts": pa.list_(pa.string()),
        "key": pa.string(),
        "shard": pa.string(),
        "number": pa.int64(),  # of the document in its shard, from 0
        "url": pa.string(),
        "probability": pa.float64(),
    },
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
_TEXTS: Final = ["texts.list.element", "key", "shard", "url"]


def write_parquet(path: Path, shard: str, rows: Iterable[TrainingRow]) -> None:
    """Write rows to a Parquet file.

    Parameters
    ----------
    path : Path
    shard : str
        The shard's name, for the column ``shard``.
    rows : iterable of TrainingRow
        At most one row group is in memory.
    """
    waiting: list[TrainingRow] = []
    size = 0
    with pq.ParquetWriter(
        path,
        SCHEMA,
        compression=dict.fromkeys(_TEXTS, "ZSTD"),  # images are compressed already
        use_dictionary=["shard"],
        write_statistics=["key", "number"],
        store_schema=True,
    ) as writer:

        def flush() -> None:
            if waiting:
                writer.write_batch(_batch(waiting, shard))
                waiting.clear()

        for row in rows:
            n_bytes = sum(len(image) for image in row.images if image is not None)
            if waiting and (size + n_bytes > _GROUP_BYTES or len(waiting) == _GROUP_ROWS):
                flush()
                size = 0
            waiting.append(row)
            size += n_bytes
        flush()


def _batch(rows: list[TrainingRow], shard: str) -> pa.RecordBatch:
    images = [
        [
            None if data is None else {"bytes": data, "path": name}
            for data, name in zip(row.images, row.names, strict=True)
        ]
        for row in rows
    ]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(images, SCHEMA.field("images").type),
            pa.array([row.texts for row in rows], SCHEMA.field("texts").type),
            pa.array([row.key for row in rows]),
            pa.array([shard] * len(rows)),
            pa.array([row.number for row in rows], pa.int64()),
            pa.array([row.url for row in rows]),
            pa.array([row.probability for row in rows], pa.float64()),
        ],
        schema=SCHEMA,
    )
