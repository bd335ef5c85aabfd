"""Another CLIP model's similarity, from a Parquet file beside the shards, put into the columns.

The file has a row a document: ``shard`` (base name), ``key``, ``images``, ``sentences`` and
``values`` (row by row); its metadata names the model under ``clip_model``. Computes no similarity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns, Kind, build_batch, read_payload, write_payload
from mmc4viz.model import ShardError

NEEDED = ("shard", "key", "images", "sentences", "values")


@dataclass(frozen=True)
class Sidecar:
    """One model's similarity of many documents.

    Attributes
    ----------
    model : str
        The CLIP model's name.
    path : str
    """

    model: str
    path: str


def sidecars(folders: Iterable[Path]) -> list[Sidecar]:
    """Find files named ``similarity_*.parquet`` in folders."""
    paths = sorted({p for folder in folders for p in folder.glob("similarity_*.parquet")})
    return [Sidecar(_model_of(path), str(path)) for path in paths]


def _model_of(path: Path) -> str:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        metadata = {}
    name = metadata.get(b"clip_model", b"").decode("utf-8", "replace")
    return name or path.stem.removeprefix("similarity_")


def with_similarity(columns: Columns, sidecar: Sidecar) -> Columns:
    """Return a shard's columns with another model's similarity.

    Raises
    ------
    ShardError
        When the file is none, lacks a document, or has another shape for it.
    """
    matrices = _matrices(sidecar, columns.shard.name)
    rows: list[dict[str, Any]] = columns.batch.to_pylist()
    for row in rows:
        payload = read_payload(row["payload"])
        if row["kind"] == Kind.UNREADABLE or payload.get("is_gpt"):
            continue
        matrix, where = matrices.get(row["key"]), f"document {row['key']!r} of {columns.shard.name}"
        if matrix is None:
            raise ShardError(f"{sidecar.path}: no similarity for {where}")
        fits = len(row["images"]) == len(matrix)
        if row["kind"] == Kind.LITERAL:
            row["payload"] = write_payload(payload | {"similarity": matrix.tolist()})
        else:
            fits &= 0 < matrix.shape[1] <= len(row["first"])
            row |= {"similarity": matrix.ravel(), "n_sentences": matrix.shape[1]}
        if not fits:
            shape = " × ".join(map(str, matrix.shape))
            raise ShardError(f"{sidecar.path}: {where} is not of the shape {shape} given there")
    return replace(columns, batch=build_batch(rows, columns.verify))


def _matrices(sidecar: Sidecar, shard: str) -> dict[str, NDArray[np.float64]]:
    """Read one shard's matrices by key."""
    try:
        table = pq.read_table(sidecar.path, columns=list(NEEDED), filters=[("shard", "==", shard)])
        return {
            row["key"]: np.array(row["values"], np.float64).reshape(row["images"], row["sentences"])
            for row in table.to_pylist()
        }
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ShardError(f"{sidecar.path}: no similarity file: {reason}") from None
