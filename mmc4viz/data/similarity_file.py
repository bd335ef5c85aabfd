"""Read similarity files: Parquet files with another CLIP model's similarity matrices.

A similarity file must have the matrix of every document that has one in the shards, in the same
shape; otherwise results would mix two models.

========== ================== =====================================================================
column     type               content
========== ================== =====================================================================
shard      string             the path of the document's shard, or an end of it that is unique in
                              the corpus, usually the base name
key        string             the document's key in the shard
images     integer            number of matrix rows: all images of the document, also missing ones
sentences  integer            number of matrix columns: all sentences
values     list of float      the matrix, row by row; NaN in rows of images without embedding
========== ================== =====================================================================

In the file's metadata, ``clip_model`` names the model; ``weights``, ``preprocessing`` and ``scale``
are optional. Rows of documents without a matrix (unreadable, ChatGPT-generated) are not needed, and
rows of other documents are ignored. Rows of documents with the same key in one shard are in the
documents' order.

Files written by mmc4viz have page checksums and, under the metadata key ``mmc4viz``, a digest of
each shard's rows and of the metadata; other files are accepted without.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh3_64

from mmc4viz.arrays import Ints
from mmc4viz.data import checked
from mmc4viz.data.checked import sealed, unsealed
from mmc4viz.data.columns import INTEGERS, Columns, Kind, read_payload, write_payload
from mmc4viz.data.storage import file_system, is_remote, remember, scrubbed
from mmc4viz.types import ShardError

if TYPE_CHECKING:
    import pyarrow.parquet as pq


NEEDED = ("shard", "key", "images", "sentences", "values")
_KEY: Final = b"mmc4viz"
_FACTS: Final = ("clip_model", "weights", "preprocessing", "scale")
_UNSEALED: Final = {"made_from", "part"}  # keys written by older versions, without a digest
_TEXT: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    lambda kind: pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type),
    lambda kind: pa.types.is_dictionary(kind) and pa.types.is_large_string(kind.value_type),
)
_KINDS: Final = {
    "shard": _TEXT,
    "key": _TEXT,
    "images": (pa.types.is_integer,),
    "sentences": (pa.types.is_integer,),
    "values": (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
    ),
}


@dataclass(frozen=True)
class SimilarityFile:
    """A similarity file.

    Attributes
    ----------
    model : str
        The CLIP model's name.
    path : str
    """

    model: str
    path: str


def similarity_files(folders: Iterable[Path]) -> list[SimilarityFile]:
    """Return the files named ``similarity_*.parquet`` in folders."""
    paths = sorted({p for folder in folders for p in folder.glob("similarity_*.parquet")})
    return [SimilarityFile(model_in(p, p.stem.removeprefix("similarity_")), str(p)) for p in paths]


def model_in(path: Path, otherwise: str) -> str:
    """Return the CLIP model named in a file's metadata, or else the given name."""
    import pyarrow.parquet as pq  # slow to import

    try:
        name = _facts(pq.read_metadata(path).metadata)["clip_model"]
    except (OSError, pa.ArrowException, ValueError):
        name = ""
    return name or otherwise


def seal(
    facts: Mapping[str, Any], about: Mapping[str, str], digests: Mapping[str, str]
) -> dict[str, str]:
    """Return the metadata by which a file written by mmc4viz is verified.

    Parameters
    ----------
    facts : mapping
        What it was made from.
    about : mapping of str to str
        Description of the model, as in the file's metadata.
    digests : mapping of str to str
        Digests of the rows of each shard (`digests_of`).
    """
    return {_KEY.decode(): sealed({**facts, "about": about, "rows": digests})}


def own_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return the ``mmc4viz`` metadata of a file; empty for a file written by other software.

    Raises
    ------
    ValueError
        When it is damaged.
    """
    if _KEY not in (metadata or {}):
        return {}
    found = json.loads((metadata or {})[_KEY])
    older = isinstance(found, dict) and found.keys() <= _UNSEALED
    return found if older else unsealed((metadata or {})[_KEY])


def _facts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Return a file's description of the model; raises a ValueError if it is damaged."""
    found = metadata or {}
    plain = {name: found.get(name.encode(), b"").decode("utf-8", "replace") for name in _FACTS}
    about: dict[str, str] = own_metadata(metadata).get("about", {})
    return plain | about


def digests_of(rows: pa.Table) -> dict[str, str]:
    """Return a digest of each shard's rows, independent of their storage types."""
    import pyarrow.compute as pc  # slow to import

    names = pc.unique(rows["shard"]).to_pylist()
    return {name: _digest(rows.filter(pc.equal(rows["shard"], name))) for name in names}


def _digest(rows: pa.Table) -> str:
    import pyarrow.compute as pc  # slow to import

    digest = xxh3_64()
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        values = column.combine_chunks()
        if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
            digest.update(_bytes(pc.list_value_length(values), np.int64))
            values = pc.list_flatten(values)
        if pa.types.is_floating(values.type):
            digest.update(_bytes(values, np.float64))
        elif pa.types.is_integer(values.type):
            digest.update(_bytes(values, np.int64))
        else:
            digest.update("\0".join(values.to_pylist()).encode())
        digest.update(name.encode())
    return str(digest.hexdigest())


def _bytes(values: pa.Array, kind: type[np.generic]) -> memoryview:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), kind).data


def check_rows(rows: pa.Table, digests: Mapping[str, str]) -> None:
    """Verify the rows of complete shards; raises a ValueError if they are damaged."""
    found = digests_of(rows) if digests else {}
    if any(digests.get(name, digest) != digest for name, digest in found.items()):
        raise ValueError("damaged (checksum mismatch); write it again")


@dataclass(frozen=True)
class OpenSimilarityFile:
    """An open similarity file.

    Attributes
    ----------
    path : str
    file : pyarrow.parquet.ParquetFile
    facts : dict of str
        Description of the model from its metadata.
    n_documents : int
        Number of rows.
    groups : mapping of str to mapping of int to int
        How many rows of a shard each row group has, by the shard's name. Read from the rows: a
        filter by statistics would believe wrong ones, and Arrow waits forever if they are damaged.
    digests : mapping of str to str
        Digests of the rows of each shard, if known.
    """

    path: str
    file: pq.ParquetFile
    facts: Mapping[str, str]
    n_documents: int
    groups: Mapping[str, Mapping[int, int]]
    digests: Mapping[str, str]

    def rows_of(self, shards: Sequence[str]) -> pa.Table:
        """Return the rows of a shard, given its possible names, in canonical types.

        Raises
        ------
        ShardError
            When they cannot be read, or are damaged.
        """
        import pyarrow.compute as pc  # slow to import

        with _read_errors(self.path):
            counts = [self.groups.get(name, {}) for name in set(shards)]
            groups = sorted({group for count in counts for group in count})
            wanted = pc.field("shard").isin(list(shards))
            batches = self.file.iter_batches(row_groups=groups, columns=list(NEEDED))
            schema = pa.schema([self.file.schema_arrow.field(name) for name in NEEDED])
            kept = [pa.Table.from_batches([batch]).filter(wanted) for batch in batches]
            found = pa.concat_tables([schema.empty_table(), *kept]).select(NEEDED)
            wide = pa.types.is_float64(found.schema.field("values").type.value_type)
            values = pa.large_list(pa.float64() if wide else pa.float32())
            kinds = [pa.large_string(), pa.large_string(), pa.int64(), pa.int64(), values]
            found = found.cast(pa.schema(list(zip(NEEDED, kinds, strict=True)))).combine_chunks()
            found.validate(full=True)  # also finds invalid text
            check_rows(found, self.digests)
            if len(found) != sum(sum(count.values()) for count in counts):
                raise ValueError("damaged (rows are missing); write it again")
        return found


@contextmanager
def _read_errors(path: str) -> Iterator[None]:
    """Turn errors when reading a file into a ShardError."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError) as error:
        raise no_similarity_file(path, error) from None


def no_similarity_file(path: str, reason: object) -> ShardError:
    """Return the error for an invalid similarity file."""
    reason = " ".join(str(reason).split())[:200]
    return ShardError(f"{path}: not a valid similarity file: {reason}")


def open_similarity_file(path: str) -> OpenSimilarityFile:
    """Open a similarity file, local or remote.

    Raises
    ------
    ShardError
        When the file is invalid.
    """
    import pyarrow.parquet as pq  # slow to import

    path = remember(path)
    try:
        store, inside = file_system(path) if is_remote(path) else (None, path)
        file = pq.ParquetFile(inside, filesystem=store, page_checksum_verification=True)
        fields = {field.name: field.type for field in file.schema_arrow}
        metadata = file.metadata.metadata
        facts, digests = _facts(metadata), own_metadata(metadata).get("rows", {})
    except Exception as error:  # every store has its own exceptions
        raise no_similarity_file(path, scrubbed(str(error), path)) from None
    for name, kinds in _KINDS.items():
        if name not in fields:
            raise no_similarity_file(path, f"no column {name!r}")
        if not any(kind(fields[name]) for kind in kinds):
            raise no_similarity_file(path, f"column {name!r} has the wrong type {fields[name]}")
    if not pa.types.is_floating(fields["values"].value_type):
        raise no_similarity_file(path, f"column 'values' has the wrong type {fields['values']}")
    with _read_errors(path):
        n_documents, groups = _groups(file)
    return OpenSimilarityFile(path, file, facts, n_documents, groups, digests)


def _groups(file: pq.ParquetFile) -> tuple[int, dict[str, dict[int, int]]]:
    """Return the number of rows, and of those of each shard in each row group."""
    import pyarrow.compute as pc  # slow to import

    shards, start = file.read(columns=["shard"])["shard"], 0
    groups: dict[str, dict[int, int]] = defaultdict(dict)
    for group in range(file.num_row_groups):
        n_rows = file.metadata.row_group(group).num_rows
        counted = pc.value_counts(shards.slice(start, n_rows))
        for name, count in zip(*(part.to_pylist() for part in counted.flatten()), strict=True):
            groups[name][group] = count
        start += n_rows
    if start != len(shards):
        raise ValueError("damaged (number of rows); write it again")
    return start, groups


@dataclass(frozen=True)
class ShardMatrices:
    """One shard's matrices in a similarity file.

    Attributes
    ----------
    key : list of str
        Key of each matrix's document.
    images, sentences : ndarray of int64, shape (matrices,)
        Shape of each matrix.
    starts : ndarray of int64, shape (matrices + 1,)
        Offset of each matrix in the values.
    values : ndarray of float32 or float64
    """

    key: list[str]
    images: Ints
    sentences: Ints
    starts: Ints
    values: NDArray[Any]

    @classmethod
    def of(cls, table: pa.Table, path: str) -> Self:
        """Read rows; raises a ShardError if values do not have the shape of the matrix."""
        import pyarrow.compute as pc  # slow to import

        lengths = pc.fill_null(pc.list_value_length(table["values"]), -1).to_numpy()
        images, sentences = (
            pc.fill_null(table[name], -1).to_numpy() for name in ("images", "sentences")
        )
        keys = table["key"].to_pylist()
        some = np.minimum(images, sentences) < 0, np.maximum(images, sentences) >= 2**31
        wrong = (lengths != images * sentences) | some[0] | some[1]
        for at in np.flatnonzero(wrong).tolist()[:1]:
            raise no_similarity_file(
                path, f"document {keys[at]!r} does not have {images[at]} × {sentences[at]} values"
            )
        values = pc.list_flatten(table["values"]).to_numpy()
        if values.dtype != np.float64:
            values = values.astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(keys, images, sentences, starts, values)

    def matrix(self, at: int) -> NDArray[np.float64]:
        """Return one matrix."""
        values = self.values[self.starts[at] : self.starts[at + 1]].astype(np.float64)
        return values.reshape(int(self.images[at]), int(self.sentences[at]))

    def gather(self, places: Ints) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return the values of some matrices (none for -1) and the offset of each.

        Values are in float32 if that is lossless.
        """
        there = np.maximum(places, 0)
        lengths = np.diff(self.starts)[there] if len(self.key) else np.zeros(len(places), np.int64)
        lengths = np.where(places >= 0, lengths, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ahead = np.repeat(self.starts[there] - offsets[:-1], lengths)
        values = self.values[ahead + np.arange(offsets[-1])]
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        lossless = np.array_equal(narrow.astype(np.float64), values, equal_nan=True)
        return narrow if lossless else values, offsets.astype(np.int32)


__all__ = [
    "SimilarityFile",
    "put_over",
    "similarity_files",
    "similarity_of",
    "similarity_schema",
    "with_similarity",
]


def similarity_schema(similarity: pa.DataType) -> pa.Schema:
    """Return the schema of the columns that replace a shard's own similarity."""
    return pa.schema(
        {
            "n_sentences": pa.int32(),
            "similarity": pa.list_(similarity),
            "payload": pa.large_binary(),
        }
    )


def put_over(columns: Columns, similarity: pa.RecordBatch) -> Columns:
    """Return a shard's columns with its similarity replaced, without copying.

    Parameters
    ----------
    columns : Columns
    similarity : pyarrow.RecordBatch
        With the columns of `similarity_schema`, one row per document.
    """
    return replace(columns, batch=checked.put_over(columns.batch, similarity))


def with_similarity(parts: Iterable[Columns], path: str) -> Iterator[Columns]:
    """Yield the shards' columns with another model's similarity, from its similarity file.

    Raises
    ------
    ShardError
        When the file is invalid, lacks a document, or has a matrix of another shape.
    """
    sidecar = open_similarity_file(path)
    for columns in parts:
        yield put_over(columns, similarity_of(columns, sidecar)[0])


def similarity_of(columns: Columns, sidecar: OpenSimilarityFile) -> tuple[pa.RecordBatch, int]:
    """Collect the similarity of a shard's documents from a similarity file.

    Returns
    -------
    (pyarrow.RecordBatch, int)
        Columns of `similarity_schema` with one row per document of the shard, and the number of
        documents with similarity.

    Raises
    ------
    ShardError
        When the file lacks documents or has matrices of another shape; names the first one.
    """
    shard = columns.shard
    matrices = ShardMatrices.of(sidecar.rows_of(shard.called()), sidecar.path)
    if not matrices.key and shard.name != shard.base and shard.base in sidecar.groups:
        raise ShardError(
            f"{sidecar.path}: {shard.base} in column 'shard' is ambiguous, because several shards "
            f"have this name; write {shard.name} for {shard.path}"
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
    """Return the payloads of the documents that need the reference walk, by row."""
    stored = columns.batch.column("payload")
    rows = np.flatnonzero(columns.kind == Kind.LITERAL).tolist()
    return {row: read_payload(stored[row].as_py()) for row in rows}


def _places(
    columns: Columns, needed: NDArray[np.bool_], matrices: ShardMatrices, path: str
) -> NDArray[np.int64]:
    """Return the position of each document's matrix, -1 if none is needed."""
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


_ADVICE = "; use a similarity file made from these shards"


def _others(n: int) -> str:
    return f" (and likewise for {n - 1:,} more)" if n > 1 else ""


def _check_shapes(
    columns: Columns,
    payloads: dict[int, dict[str, Any]],
    places: NDArray[np.int64],
    matrices: ShardMatrices,
    path: str,
) -> None:
    """Refuse matrices whose shape is not images × sentences of their document."""
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
            f"{path}: document {key!r} of {columns.shard.name} does not have the shape {shape} of "
            f"its matrix{_others(len(wrong))}{_ADVICE}"
        )


def _widths(payload: dict[str, Any], given: int) -> tuple[int, ...]:
    """Return the possible widths of the matrix of a document that needs the reference walk."""
    texts, own = payload.get("sentences"), payload.get("similarity")
    width = len(own[0]) if isinstance(own, list) and own and isinstance(own[0], list) else -1
    return (len(texts), width) if isinstance(texts, list) else (given,)


def _written(
    columns: Columns,
    payloads: dict[int, dict[str, Any]],
    places: NDArray[np.int64],
    matrices: ShardMatrices,
) -> list[bytes | None]:
    """Return all payloads, with the matrices of documents that need the reference walk.

    Those of plain documents no longer say that their matrices hold integers.
    """
    written: list[bytes | None] = columns.batch.column("payload").to_pylist()
    for row in np.flatnonzero(columns.kind == Kind.PLAIN).tolist():
        if written[row] is not None:
            fields = read_payload(written[row])
            fields.pop(INTEGERS, None)
            written[row] = write_payload(fields) if fields else None
    for row, payload in payloads.items():
        if places[row] >= 0:
            matrix = matrices.matrix(int(places[row])).tolist()
            written[row] = write_payload(payload | {"similarity": matrix})
    return written
