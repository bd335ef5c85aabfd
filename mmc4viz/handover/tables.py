"""Chunks of a manifest → Parquet or JSON lines, a row a document or a pair.

What becomes of documents and pairs is `manifest`'s answer; here it is only written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.corpus.tally import CLASSES
from mmc4viz.handover.manifest import FATES, Chunk, storable
from mmc4viz.model import LoaderConfig, Outcome

Rows = Literal["documents", "pairs"]

_OUTCOMES: Final = tuple(str(outcome) for outcome in Outcome)
# Of each class of document, its outcome.
_OUTCOME_OF: Final = np.array(
    [_OUTCOMES.index("kept" if name.startswith("kept") else name) for name in CLASSES], np.int8
)
_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_WORD: Final = pa.dictionary(pa.int8(), pa.string())
_PAIR: Final = [("image", pa.int32()), ("sentence", pa.int32()), ("score", pa.float64())]
_DOCUMENT: Final = [
    ("shard", _NAME),  # the end of its path that no other shard has, as explain prints it
    ("path", _NAME),
    ("number", pa.int64()),  # of the document in its shard, from 0
    ("key", pa.string()),
    ("offset", pa.int64()),  # of its JSON in the decompressed shard; -1 without any
    ("size", pa.int64()),
    ("outcome", _WORD),
    ("probability", pa.float64()),
]
SCHEMAS: Final[dict[str, pa.Schema]] = {
    "documents": pa.schema(
        [
            *_DOCUMENT,
            ("image_tokens", pa.int64()),
            ("text_tokens", pa.int64()),
            ("misbound", pa.int64()),
            ("pairs", pa.list_(pa.struct([*_PAIR, ("fate", _WORD)]))),
        ]
    ),
    "pairs": pa.schema([*_DOCUMENT, *_PAIR, ("fate", _WORD)]),
}


def table(chunk: Chunk, rows: Rows) -> pa.RecordBatch:
    """Return a chunk as a record batch, a row a document or a pair (`SCHEMAS`)."""
    columns = _document_columns(chunk)
    fate = pa.DictionaryArray.from_arrays(chunk.fate, pa.array(FATES))
    pairs = [
        pa.array(chunk.image, pa.int32()),
        pa.array(chunk.sentence, pa.int32()),
        pa.array(chunk.score),
        fate,
    ]
    if rows == "pairs":
        owner = pa.array(np.repeat(np.arange(len(chunk)), np.diff(chunk.first)))
        columns = [column.take(owner) for column in columns]
        return pa.RecordBatch.from_arrays([*columns, *pairs], schema=SCHEMAS[rows])
    found, names = chunk.found, ("image_tokens", "text_tokens", "misbound")
    counts = [pa.array(getattr(found, name).astype(np.int64)) for name in names]
    structs = pa.StructArray.from_arrays(pairs, names=["image", "sentence", "score", "fate"])
    lists = pa.ListArray.from_arrays(pa.array(chunk.first, pa.int32()), structs)
    return pa.RecordBatch.from_arrays([*columns, *counts, lists], schema=SCHEMAS[rows])


def _document_columns(chunk: Chunk) -> list[pa.Array]:
    batches = [part.columns.batch for part in chunk.parts]
    shards = [part.columns.shard for part in chunk.parts]
    sizes = [len(part.columns) for part in chunk.parts]
    owner = pa.array(np.repeat(np.arange(len(shards)), sizes)).cast(pa.int32())
    return [
        pa.DictionaryArray.from_arrays(owner, pa.array([storable(s.name) for s in shards])),
        pa.DictionaryArray.from_arrays(owner, pa.array([storable(s.path) for s in shards])),
        pa.array(np.concatenate([np.arange(size) for size in sizes])),
        *(
            pa.concat_arrays([b.column(name) for b in batches])
            for name in ("key", "offset", "size")
        ),
        pa.DictionaryArray.from_arrays(_OUTCOME_OF[chunk.found.kind], pa.array(_OUTCOMES)),
        pa.array(chunk.probability),
    ]


Write = Callable[[Chunk], object]


@contextmanager
def parquet(sink: Any, rows: Rows, config: LoaderConfig) -> Iterator[Write]:
    """Write chunks as Parquet, a row group each; its metadata has the setting under ``mmc4viz``.

    Parameters
    ----------
    sink : str or binary file
    rows : str
        ``documents`` or ``pairs``.
    config : LoaderConfig
    """
    metadata = {"mmc4viz": json.dumps(config.as_dict())}
    layout = SCHEMAS[rows].with_metadata(metadata)
    with pq.ParquetWriter(sink, layout, compression="zstd") as writer:
        yield lambda chunk: writer.write_batch(table(chunk, rows).replace_schema_metadata(metadata))


@contextmanager
def json_lines(file: IO[bytes], rows: Rows, config: LoaderConfig) -> Iterator[Write]:
    """Write chunks as lines of JSON with Parquet's names and values, and no metadata."""
    yield lambda chunk: file.write("".join(lines(chunk, rows)).encode())


def lines(chunk: Chunk, rows: Rows) -> Iterator[str]:
    """Return a chunk as lines of JSON, a row a document or a pair."""
    batch = table(chunk, rows).drop_columns([*(("pairs",) if rows == "documents" else ())])
    names = [f"{json.dumps(name)}: " for name in batch.schema.names]
    cells = [_cells(column) for column in batch.columns]
    heads = [", ".join(map(str.__add__, names, row)) for row in zip(*cells, strict=True)]
    if rows == "pairs":
        return (f"{{{head}}}\n" for head in heads)
    pairs, first = _pair_texts(chunk), chunk.first.tolist()
    return (
        f'{{{head}, "pairs": [{", ".join(pairs[a:b])}]}}\n'
        for head, a, b in zip(heads, first, first[1:], strict=False)
    )


def _pair_texts(chunk: Chunk) -> list[str]:
    columns = (chunk.image.tolist(), chunk.sentence.tolist(), _cells(pa.array(chunk.score)))
    return [
        f'{{"image": {i}, "sentence": {s}, "score": {score}, "fate": "{FATES[fate]}"}}'
        for i, s, score, fate in zip(*columns, chunk.fate.tolist(), strict=True)
    ]


def _cells(column: pa.Array) -> list[str]:
    """Return a column's values as JSON."""
    if pa.types.is_dictionary(column.type):
        words = [json.dumps(word) for word in column.dictionary.to_pylist()]
        return [words[i] for i in column.indices.to_pylist()]
    values = column.to_pylist()
    if pa.types.is_floating(column.type) and np.isfinite(column.to_numpy()).all():
        return list(map(float.__repr__, values))
    return list(map(json.dumps, values))
