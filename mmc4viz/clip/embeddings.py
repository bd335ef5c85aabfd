"""Files of embeddings: every image and every sentence, in half precision.

Parquet, one row per vector, in the order of the documents, a document's images first.

========= ================== ===================================================================
column    type               content
========= ================== ===================================================================
shard     string             the shard, as in the similarity file
key       string             the document's key
kind      string             ``image`` or ``sentence``
place     int32              which of the document's images or sentences, from 0
embedding list of float16    a unit vector; null for an image that is missing or undecodable
========= ================== ===================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.clip.document_scores import Scored
from mmc4viz.clip.row_groups import write_row_groups
from mmc4viz.types import ConfigError

_NAMES: Final = ["shard", "key", "kind"]  # which repeat, and are stored once each


def embedding_table(name: str, block: Sequence[Scored]) -> pa.Table:
    """Return the embeddings of documents as a table.

    Parameters
    ----------
    name : str
        The shard's name.
    block : sequence of Scored
        At least one.
    """
    keys: list[str] = []
    kinds: list[str] = []
    places: list[int] = []
    for row in block:
        for kind, vectors in (("image", row.of_images), ("sentence", row.of_sentences)):
            keys += [row.key] * len(vectors)
            kinds += [kind] * len(vectors)
            places += range(len(vectors))
    vectors = np.concatenate([part for row in block for part in (row.of_images, row.of_sentences)])
    return pa.table(
        {
            "shard": pa.array([name] * len(keys), pa.string()),
            "key": pa.array(keys, pa.string()),
            "kind": pa.array(kinds, pa.string()),
            "place": pa.array(places, pa.int32()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.astype(np.float16).ravel()),
                vectors.shape[1],
                mask=pa.array(np.isnan(vectors).any(axis=1)),
            ),
        }
    )


def write_embeddings(path: Path, tables: Iterable[pa.Table], about: Mapping[str, str]) -> None:
    """Write tables atomically as one file of embeddings, each as a row group.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one (`embedding_table`).
    about : mapping of str to str
        The file's metadata.

    Raises
    ------
    ConfigError
        If the file cannot be written or the disk is full.
    """
    write_row_groups(path, tables, about, use_dictionary=_NAMES)


def read_embeddings(path: Path) -> Iterator[pa.Table]:
    """Yield a file's tables, as they were written.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            f"{path} is damaged ({error!s:.80}); remove it and run the same command again"
        ) from None


def made_from(path: Path) -> str | None:
    """Return what a file of embeddings was made from; None if it is not one, or not whole."""
    try:
        found = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return (found.get(b"made_from") or b"").decode() or None
