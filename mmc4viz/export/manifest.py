"""Manifests of documents and pairs, and lists of ids.

Built in chunks from matched columns, so that memory does not grow with the corpus; equal to the
reference walk's result for each document. Ids have DataComp's format: a NumPy array of pairs of
unsigned 64-bit integers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.config_file import SLICE_THRESHOLDS
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import Shifts
from mmc4viz.loader.profile import Cap, profile_of
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.distribution import STATUSES, statuses
from mmc4viz.sweep.document_table import Verdicts, verdicts
from mmc4viz.sweep.statistics import CLASS, CLASSES
from mmc4viz.sweep.sweep import Matched, Part
from mmc4viz.text import json_text, storable
from mmc4viz.types import LoaderConfig, Outcome, PairStatus, SliceThresholds

_KEPT: Final = STATUSES.index(PairStatus.KEPT)
_BELOW_THRESHOLD: Final = STATUSES.index(PairStatus.BELOW_THRESHOLD)
_CHUNK: Final = 1 << 16  # documents resolved and written together, at least one shard


@dataclass(frozen=True)
class Chunk:
    """The documents of some shards with their pairs, in the corpus's order.

    Attributes
    ----------
    parts : sequence of Part
    found : Verdicts
    probability : ndarray of float64, shape (documents,)
        The document's keep probability.
    first : ndarray of int64, shape (documents + 1,)
        Offset of each document's first pair.
    image, sentence : ndarray of int64, shape (pairs,)
    score : ndarray of float64, shape (pairs,)
    status : ndarray of int8, shape (pairs,)
        Position in `STATUSES`.
    """

    parts: list[Part]
    found: Verdicts
    probability: NDArray[np.float64]
    first: Ints
    image: Ints
    sentence: Ints
    score: NDArray[np.float64]
    status: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.probability)


def chunks(
    matched: Matched, config: LoaderConfig, size: int = _CHUNK, shifts: Shifts | None = None
) -> Iterator[Chunk]:
    """Yield every document's outcome and every pair's status, some shards at a time.

    Parameters
    ----------
    matched : Matched
        Under the settings' size limit and assignment.
    config : LoaderConfig
        All settings.
    size : int
        Minimum number of documents in a chunk, in whole shards.
    shifts : Shifts, optional
        Of documents that have thresholds of their own.
    """
    waiting: list[Part] = []
    first = n = 0
    for place, part in enumerate(matched.parts, 1):
        waiting.append(part)
        n += len(part.columns)
        if n >= size or place == len(matched.parts):
            own = None if shifts is None else shifts.between(first, first + n).at(config.threshold)
            yield _chunk(waiting, config, own)
            waiting, first, n = [], first + n, 0


def _chunk(parts: list[Part], config: LoaderConfig, own: Floats | None) -> Chunk:
    found = verdicts(Matched(parts, config), config, own)
    document, image, sentence, score = _plain_pairs(parts, found)
    if profile_of(config).cap is Cap.RANDOM:  # any that passes may stay
        passed = score >= (config.lowest_score if own is None else own[document])
        status = np.where(passed, _KEPT, _BELOW_THRESHOLD).astype(np.int8)
    else:
        status = statuses(document, image, sentence, score, found.image_tokens, config, own)
    probability = found.odds(config.single_image_keep)
    walked = _walked(parts, config, own)
    columns = zip((document, image, sentence, score, status), walked, strict=True)
    document, image, sentence, score, status = (np.concatenate(both) for both in columns)
    order = np.lexsort((image, document))
    first = np.concatenate([[0], np.cumsum(np.bincount(document, minlength=len(found.kind)))])
    return Chunk(
        parts,
        found,
        probability,
        first.astype(np.int64),
        image[order].astype(np.int64),
        sentence[order].astype(np.int64),
        score[order],
        status[order].astype(np.int8),
    )


def _starts(parts: list[Part]) -> Ints:
    return np.cumsum([0, *(len(part.columns) for part in parts)])


def _plain_pairs(parts: list[Part], found: Verdicts) -> tuple[NDArray[Any], ...]:
    """Return document, image, sentence and score of fast-path documents' pairs, by image.

    A document that is lost to a broken image has none.
    """
    matches = [part.matches for part in parts]
    starts = _starts(parts)
    document = np.concatenate(
        [np.zeros(0, np.int64), *(m.document + s for m, s in zip(matches, starts, strict=False))]
    )
    others = (
        np.concatenate([np.zeros(0, dtype), *(getattr(m, name) for m in matches)])
        for name, dtype in (("image", np.int32), ("sentence", np.int32), ("score", np.float64))
    )
    image, sentence, score = others
    order = np.lexsort((image, document))
    order = order[found.kind[document[order]] != CLASS["unreadable"]]
    return document[order], image[order], sentence[order], score[order]


def _walked(
    parts: list[Part], config: LoaderConfig, own: Floats | None
) -> tuple[NDArray[Any], ...]:
    """Return document, image, sentence, score and status of the pairs from the reference walk."""
    rows: list[tuple[int, int, int, float, int]] = []
    for part, start in zip(parts, _starts(parts).tolist(), strict=False):
        for row, document in part.literal.items():
            at = config if own is None else config.with_(threshold=float(own[start + row]))
            verdict = walk(document, at, part.columns.tokenizer)
            rows += [
                (start + row, p.image, p.sentence, p.score, STATUSES.index(p.status))
                for p in verdict.pairs
            ]
    whole = [np.array([row[n] for row in rows], np.int64) for n in (0, 1, 2, 4)]
    return (*whole[:3], np.array([row[3] for row in rows], np.float64), whole[3])


_IDS: Final = np.dtype("u8,u8")
_UID: Final = re.compile(r"[0-9a-f]{32}")


def uid(shard: str, key: str, number: int | None = None) -> tuple[int, int]:
    """Return a document's 128-bit id as two halves.

    A key of 32 hexadecimal digits, as written by OpenFlamingo's converter, is the id itself;
    otherwise the id is the first half of the SHA-256 of ``SHARD/KEY`` in UTF-8. If the document's
    number in its shard is given, it is that of ``SHARD/NUMBER/KEY``, whatever the key.

    Examples
    --------
    >>> uid("0.tar", "139e4a9b22a614771f06c700a8ebe150") == (0x139E4A9B22A61477, 0x1F06C700A8EBE150)
    True
    >>> f"{uid('0.tar', 'a')[0]:016x}"
    'cd6ae85d4b97095f'
    """
    digits = key
    if number is not None:
        digits = sha256(f"{shard}/{number}/{key}".encode()).hexdigest()
    elif not _UID.fullmatch(key):
        digits = sha256(f"{shard}/{key}".encode()).hexdigest()
    return int(digits[:16], 16), int(digits[16:32], 16)


def ids_of(columns: Sequence[Columns]) -> NDArray[np.void]:
    """Return the unique ids of a corpus's documents, in its order.

    Documents with the same key are distinguished by their number.
    """
    names = [storable(part.shard.name) for part in columns]
    keys = [part.batch.column("key") for part in columns]
    plain = [
        np.array([uid(name, key) for key in column.to_pylist()], _IDS)
        for name, column in zip(names, keys, strict=True)
    ]
    found = np.concatenate([np.zeros(0, _IDS), *plain])
    _, place, times = np.unique(found, return_inverse=True, return_counts=True)
    starts = np.cumsum([0, *map(len, plain)])
    for at in np.flatnonzero(times[place] > 1).tolist():
        part = int(np.searchsorted(starts, at, side="right")) - 1
        number = at - int(starts[part])
        found[at] = uid(names[part], keys[part][number].as_py(), number)
    return found


class IdList:
    """Ids of kept documents, collected chunk by chunk."""

    def __init__(self) -> None:
        self._columns: list[Columns] = []
        self._kept: list[NDArray[np.bool_]] = []

    def add(self, chunk: Chunk) -> None:
        """Add a chunk's documents."""
        self._columns += [part.columns for part in chunk.parts]
        self._kept.append(chunk.probability > 0)

    def sorted(self) -> NDArray[np.void]:
        """Return the ids of documents with a keep probability above 0, ascending."""
        kept = np.concatenate([np.zeros(0, bool), *self._kept])
        return np.sort(ids_of(self._columns)[kept])


Rows = Literal["documents", "pairs"]

_OUTCOMES: Final = tuple(str(outcome) for outcome in Outcome)
# The outcome of each class of documents.
_OUTCOME_OF: Final = np.array(
    [_OUTCOMES.index("kept" if name.startswith("kept") else name) for name in CLASSES], np.int8
)
_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_WORD: Final = pa.dictionary(pa.int8(), pa.string())
_PAIR: Final = [("image", pa.int32()), ("sentence", pa.int32()), ("score", pa.float64())]
_DOCUMENT: Final = [
    ("shard", _NAME),  # shortest unique end of its path, as printed by explain
    ("path", _NAME),
    ("number", pa.int64()),  # of the document in its shard, from 0
    ("key", pa.string()),
    ("offset", pa.int64()),  # of its JSON in the decompressed shard; -1 without JSON
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
            ("mispaired", pa.int64()),
            ("pairs", pa.list_(pa.struct([*_PAIR, ("status", _WORD)]))),
        ]
    ),
    "pairs": pa.schema([*_DOCUMENT, *_PAIR, ("status", _WORD)]),
}


def table(chunk: Chunk, rows: Rows) -> pa.RecordBatch:
    """Return a chunk as a record batch, one row per document or pair (`SCHEMAS`)."""
    columns = _document_columns(chunk)
    status = pa.DictionaryArray.from_arrays(chunk.status, pa.array(STATUSES))
    pairs = [
        pa.array(chunk.image, pa.int32()),
        pa.array(chunk.sentence, pa.int32()),
        pa.array(chunk.score),
        status,
    ]
    if rows == "pairs":
        owner = pa.array(np.repeat(np.arange(len(chunk)), np.diff(chunk.first)))
        columns = [column.take(owner) for column in columns]
        return pa.RecordBatch.from_arrays([*columns, *pairs], schema=SCHEMAS[rows])
    found, names = chunk.found, ("image_tokens", "text_tokens", "mispaired")
    counts = [pa.array(getattr(found, name).astype(np.int64)) for name in names]
    structs = pa.StructArray.from_arrays(pairs, names=["image", "sentence", "score", "status"])
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
def parquet(
    sink: Any, rows: Rows, config: LoaderConfig, slices: SliceThresholds | None = None
) -> Iterator[Write]:
    """Write chunks as Parquet row groups; the metadata holds the settings under ``mmc4viz``.

    Parameters
    ----------
    sink : str or binary file
    rows : str
        ``documents`` or ``pairs``.
    config : LoaderConfig
    slices : SliceThresholds, optional
    """
    settings = config.as_dict()
    settings |= {} if slices is None else {SLICE_THRESHOLDS: slices.as_dict()}
    metadata = {"mmc4viz": json.dumps(settings)}
    layout = SCHEMAS[rows].with_metadata(metadata)
    with pq.ParquetWriter(sink, layout, compression="zstd") as writer:
        yield lambda chunk: writer.write_batch(table(chunk, rows).replace_schema_metadata(metadata))


@contextmanager
def json_lines(
    file: IO[bytes], rows: Rows, config: LoaderConfig, slices: SliceThresholds | None = None
) -> Iterator[Write]:
    """Write chunks as JSON lines with the same names and values as Parquet, without metadata."""
    yield lambda chunk: file.write("".join(lines(chunk, rows)).encode())


def lines(chunk: Chunk, rows: Rows) -> Iterator[str]:
    """Return a chunk as JSON lines, one per document or pair."""
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
        f'{{"image": {i}, "sentence": {s}, "score": {score}, "status": "{STATUSES[status]}"}}'
        for i, s, score, status in zip(*columns, chunk.status.tolist(), strict=True)
    ]


def _cells(column: pa.Array) -> list[str]:
    """Return a column's values as JSON."""
    if pa.types.is_dictionary(column.type):
        words = [json.dumps(word) for word in column.dictionary.to_pylist()]
        return [words[i] for i in column.indices.to_pylist()]
    values = column.to_pylist()
    if pa.types.is_floating(column.type) and np.isfinite(column.to_numpy()).all():
        return list(map(float.__repr__, values))
    return list(map(json_text, values))
