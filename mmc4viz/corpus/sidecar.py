"""Sidecars: Parquet files with a CLIP model's similarity of many documents, a row a document.

========== ================== =====================================================================
column     type               content
========== ================== =====================================================================
shard      string             base name of the document's shard, or its whole path
key        string             the document's key in it
images     integer            rows of the matrix: all images of the document, missing ones too
sentences  integer            its columns: all sentences
values     list of float      the matrix, row by row; NaN in the rows of images without embedding
========== ================== =====================================================================

In the file's metadata ``clip_model`` names the model; ``weights``, ``preprocessing`` and ``scale``
say more, if they are there. Rows of documents that have no matrix (unreadable, ChatGPT-written)
are not needed, and rows of documents that are not asked for are passed over. Of documents with the
same key in one shard, the rows stand in the documents' order. Puts nothing into columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.corpus.storage import file_system, is_remote, remember, scrubbed
from mmc4viz.model import ShardError

if TYPE_CHECKING:
    import pyarrow.dataset as ds

Ints = NDArray[np.int64]

NEEDED = ("shard", "key", "images", "sentences", "values")
_KINDS = {
    "shard": (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary),
    "key": (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary),
    "images": (pa.types.is_integer,),
    "sentences": (pa.types.is_integer,),
    "values": (pa.types.is_list, pa.types.is_large_list),
}


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
    return [Sidecar(model_in(p, p.stem.removeprefix("similarity_")), str(p)) for p in paths]


def model_in(path: Path, otherwise: str) -> str:
    """Name the CLIP model of a file as it says itself, else as it is called otherwise."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        metadata = {}
    name = metadata.get(b"clip_model", b"").decode("utf-8", "replace")
    return name or otherwise


@dataclass(frozen=True)
class OpenSidecar:
    """A sidecar's file, opened once for many shards."""

    path: str
    data: ds.Dataset

    @property
    def facts(self) -> dict[str, str]:
        """What its metadata says in words, by name."""
        metadata = self.data.schema.metadata or {}
        names = ("clip_model", "weights", "preprocessing", "scale")
        return {name: metadata.get(name.encode(), b"").decode("utf-8", "replace") for name in names}

    @property
    def n_documents(self) -> int:
        """Its rows."""
        return int(self.data.count_rows())

    def names(self, shard: str) -> bool:
        """Whether it has documents of a shard by just this name."""
        return bool(self.data.head(1, columns=["key"], filter=pc.field("shard") == shard).num_rows)

    def rows_of(self, shards: Sequence[str]) -> pa.Table:
        """Return the rows of the documents of a shard, by its name and its path."""
        try:
            found = self.data.to_table(
                columns=list(NEEDED), filter=pc.field("shard").isin(list(shards))
            )
        except (OSError, pa.ArrowException, ValueError) as error:
            raise no_sidecar(self.path, error) from None
        return found.combine_chunks()


def no_sidecar(path: str, reason: object) -> ShardError:
    """Say that a file is no sidecar."""
    return ShardError(f"{path}: no similarity file: {' '.join(str(reason).split())[:200]}")


def open_sidecar(path: str) -> OpenSidecar:
    """Open a sidecar, local or on a store.

    Raises
    ------
    ShardError
        When the file is none.
    """
    import pyarrow.dataset as ds  # brings pandas along, which no other room needs to start

    path = remember(path)
    try:
        store, inside = file_system(path) if is_remote(path) else (None, path)
        data = ds.dataset(inside, format="parquet", filesystem=store)
        fields = {field.name: field.type for field in data.schema}
    except Exception as error:  # every store has its own kinds
        raise no_sidecar(path, scrubbed(str(error), path)) from None
    for name, kinds in _KINDS.items():
        if name not in fields:
            raise no_sidecar(path, f"it has no column {name!r}")
        if not any(kind(fields[name]) for kind in kinds):
            raise no_sidecar(path, f"its column {name!r} is of the type {fields[name]}")
    if not pa.types.is_floating(fields["values"].value_type):
        raise no_sidecar(path, f"its column 'values' is of the type {fields['values']}")
    return OpenSidecar(path, data)


@dataclass(frozen=True)
class Matrices:
    """One shard's matrices, as a sidecar has them.

    Attributes
    ----------
    key : list of str
        Of each matrix's document.
    images, sentences : ndarray of int64, shape (matrices,)
    starts : ndarray of int64, shape (matrices + 1,)
        Where each begins among the values.
    values : ndarray of float32 or float64
    """

    key: list[str]
    images: Ints
    sentences: Ints
    starts: Ints
    values: NDArray[Any]

    @classmethod
    def of(cls, table: pa.Table, path: str) -> Self:
        """Read rows; raises a ShardError for one whose values do not make a matrix."""
        lengths = pc.list_value_length(table["values"]).to_numpy()
        images, sentences = (table[name].to_numpy() for name in ("images", "sentences"))
        keys = table["key"].to_pylist()
        wrong = (lengths != images * sentences) | (images < 0) | (sentences < 0)
        for at in np.flatnonzero(wrong | np.isnan(lengths.astype(np.float64))).tolist()[:1]:
            raise no_sidecar(
                path, f"document {keys[at]!r} has other than {images[at]} × {sentences[at]} values"
            )
        values = pc.list_flatten(table["values"]).to_numpy()
        if values.dtype != np.float64:
            values = values.astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(keys, images.astype(np.int64), sentences.astype(np.int64), starts, values)

    def matrix(self, at: int) -> NDArray[np.float64]:
        """Return one matrix."""
        values = self.values[self.starts[at] : self.starts[at + 1]].astype(np.float64)
        return values.reshape(int(self.images[at]), int(self.sentences[at]))

    def gather(self, places: Ints) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return the values of some matrices (none for -1) and where each begins.

        In float32 where that loses nothing.
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
