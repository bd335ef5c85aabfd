"""Another CLIP model's similarity, from a sidecar, put into a shard's columns.

Every document that has a matrix must be in the sidecar, in its own shape: a corpus half scored by
one model and half by another would answer for neither. Computes no similarity.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.corpus import checked
from mmc4viz.corpus.columns import Columns, Kind, read_payload, write_payload
from mmc4viz.corpus.sidecar import Matrices, OpenSidecar, Sidecar, open_sidecar, sidecars
from mmc4viz.model import ShardError

__all__ = [
    "Sidecar",
    "put_over",
    "sidecars",
    "similarity_of",
    "similarity_schema",
    "with_similarity",
]


def similarity_schema(similarity: pa.DataType) -> pa.Schema:
    """Return the layout of what takes the place of a shard's own similarity."""
    return pa.schema(
        {
            "n_sentences": pa.int32(),
            "similarity": pa.list_(similarity),
            "payload": pa.large_binary(),
        }
    )


def put_over(columns: Columns, similarity: pa.RecordBatch) -> Columns:
    """Put another similarity in the place of a shard's own; nothing is copied.

    Parameters
    ----------
    columns : Columns
    similarity : pyarrow.RecordBatch
        With the columns of `similarity_schema`, a row a document.
    """
    return replace(columns, batch=checked.put_over(columns.batch, similarity))


def with_similarity(columns: Columns, sidecar: Sidecar) -> Columns:
    """Return a shard's columns with another model's similarity.

    Raises
    ------
    ShardError
        When the file is none, lacks a document, or has another shape for it.
    """
    return put_over(columns, similarity_of(columns, open_sidecar(sidecar.path))[0])


def similarity_of(columns: Columns, sidecar: OpenSidecar) -> tuple[pa.RecordBatch, int]:
    """Gather a sidecar's similarity of a shard's documents.

    Returns
    -------
    (pyarrow.RecordBatch, int)
        With the columns of `similarity_schema`, a row a document of the shard; and how many of the
        documents have similarity.

    Raises
    ------
    ShardError
        Naming how many documents the file lacks or has in another shape, and the first of them.
    """
    shard = columns.shard
    matrices = Matrices.of(sidecar.rows_of(shard.called()), sidecar.path)
    if not matrices.key and shard.name != shard.base and sidecar.names(shard.base):
        raise ShardError(
            f"{sidecar.path}: its column 'shard' has {shard.base}, which is the name of several "
            f"shards here; write {shard.name} for {shard.path}"
        )
    payloads = _payloads(columns)
    needed = columns.kind != Kind.UNREADABLE
    needed[[row for row, payload in payloads.items() if payload.get("is_gpt")]] = False
    places = _places(columns, needed, matrices, sidecar.path)
    _check_shapes(columns, payloads, places, matrices, sidecar.path)
    plain = columns.kind == Kind.PLAIN
    values, offsets = matrices.gather(np.where(plain, places, -1))
    sentences = np.zeros(len(columns), np.int32)
    sentences[plain] = matrices.sentences[places[plain]]
    arrays = [
        pa.array(sentences),
        pa.ListArray.from_arrays(offsets, pa.array(values)),
        pa.array(_written(columns, payloads, places, matrices), pa.large_binary()),
    ]
    layout = similarity_schema(pa.from_numpy_dtype(values.dtype))
    return pa.RecordBatch.from_arrays(arrays, schema=layout), int(needed.sum())


def _payloads(columns: Columns) -> dict[int, dict[str, Any]]:
    """Return the payloads of the documents that the walk answers, by row."""
    stored = columns.batch.column("payload")
    rows = np.flatnonzero(columns.kind == Kind.LITERAL).tolist()
    return {row: read_payload(stored[row].as_py()) for row in rows}


def _places(
    columns: Columns, needed: NDArray[np.bool_], matrices: Matrices, path: str
) -> NDArray[np.int64]:
    """Return which matrix is each document's, -1 where none is needed."""
    rows, found = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    keys = columns.batch.column("key").to_pylist()
    for row in np.flatnonzero(needed).tolist():
        rows[keys[row]].append(row)
    for at, key in enumerate(matrices.key):
        found[key].append(at)
    places = np.full(len(columns), -1, np.int64)
    missing = [key for key, wanted in rows.items() if len(found[key]) != len(wanted)]
    if missing:
        n, key = len(missing), missing[0]
        counts = f"{len(found[key])} matrices for {len(rows[key])} documents {key!r}"
        what = counts if found[key] else f"no similarity for document {key!r}"
        raise ShardError(f"{path}: {what} of {columns.shard.name}{_others(n)}{_ADVICE}")
    for key, wanted in rows.items():
        places[wanted] = found[key]
    return places


_ADVICE = "; take the file that was made from these shards"


def _others(n: int) -> str:
    return f", nor what {n - 1:,} others need" if n > 1 else ""


def _check_shapes(
    columns: Columns,
    payloads: dict[int, dict[str, Any]],
    places: NDArray[np.int64],
    matrices: Matrices,
    path: str,
) -> None:
    """Refuse matrices that are not images by sentences of their documents."""
    rows = np.flatnonzero(places >= 0)
    images, sentences = matrices.images[places[rows]], matrices.sentences[places[rows]]
    own = columns.numbers("n_sentences")[rows]
    texts = np.diff(columns.offsets("first"))[rows]
    fits = (sentences == texts) | ((sentences == own) & (own > 0))
    for at in np.flatnonzero(columns.kind[rows] == Kind.LITERAL).tolist():
        payload = payloads[int(rows[at])]
        fits[at] = int(sentences[at]) in _widths(payload, int(sentences[at]))
    wrong = rows[~(fits & (images == columns.n_images[rows]))]
    if len(wrong):
        row = int(wrong[0])
        key, at = columns.batch.column("key")[row].as_py(), int(places[row])
        shape = f"{matrices.images[at]} × {matrices.sentences[at]}"
        raise ShardError(
            f"{path}: document {key!r} of {columns.shard.name} is not of the shape {shape} given "
            f"there{_others(len(wrong))}{_ADVICE}"
        )


def _widths(payload: dict[str, Any], given: int) -> tuple[int, ...]:
    """Return how many sentences a matrix of a literal document may have."""
    texts, own = payload.get("sentences"), payload.get("similarity")
    width = len(own[0]) if isinstance(own, list) and own and isinstance(own[0], list) else -1
    return (len(texts), width) if isinstance(texts, list) else (given,)


def _written(
    columns: Columns,
    payloads: dict[int, dict[str, Any]],
    places: NDArray[np.int64],
    matrices: Matrices,
) -> list[bytes | None]:
    """Return all payloads, with the matrices in those of literal documents."""
    written: list[bytes | None] = columns.batch.column("payload").to_pylist()
    for row, payload in payloads.items():
        if places[row] >= 0:
            matrix = matrices.matrix(int(places[row])).tolist()
            written[row] = write_payload(payload | {"similarity": matrix})
    return written
