"""Files of scores: parts of shards, pieces of a shard in work, and the similarity file.

A shard in work is kept in pieces of whole blocks of documents, so that a stopped run goes on within
the shard. How many blocks are in a piece depends on time, but what is made of them does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mmc4viz.clip.document_scores import Scored
from mmc4viz.clip.embeddings import embedding_table, read_embeddings, write_embeddings
from mmc4viz.clip.row_groups import write_row_groups
from mmc4viz.data.similarity_file import check_rows, digests_of, own_metadata, seal
from mmc4viz.types import ConfigError

_EVERY: Final = 30.0  # seconds from piece to piece

_SCHEMA: Final = pa.schema(
    {
        "shard": pa.string(),
        "key": pa.string(),
        "images": pa.int32(),
        "sentences": pa.int32(),
        "values": pa.list_(pa.float32()),
        "decoys": pa.list_(pa.float32()),
    }
)


def metadata_of(path: Path) -> dict[str, Any]:
    """Read the metadata of one of our files; empty if it is not one or is damaged."""
    try:
        return dict(_facts(path, lambda _: None))
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}


def _facts(path: Path, take: Callable[[pa.Table], object]) -> dict[str, Any]:
    """Read and check one of our files, shard by shard; return its metadata."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        found = own_metadata(file.metadata.metadata)
        for group in range(file.num_row_groups) if found else ():
            rows = file.read_row_group(group)
            check_rows(rows, found.get("rows", {}))
            take(rows)
    return found


def table_of(name: str, rows: Sequence[Scored]) -> pa.Table:
    """Return a shard's documents as a table, under the shard's name in the similarity file."""
    columns = [
        [name] * len(rows),
        [row.key for row in rows],
        [row.similarity.shape[0] for row in rows],
        [row.similarity.shape[1] for row in rows],
        [row.similarity.ravel() for row in rows],
        [row.decoys.ravel() for row in rows],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def merge(
    paths: Sequence[Path], column: str, out: Path, about: dict[str, str], identity: str | None
) -> None:
    """Write the parts' rows as one similarity file, with one column as its values."""
    names = ["shard", "key", "images", "sentences", column]
    tables = (
        table.select(names).rename_columns([*names[:4], "values"])
        for path in paths
        for table in _read_part(path)
    )
    write_whole(out, tables, {"made_from": identity}, about)


def _read_part(path: Path) -> list[pa.Table]:
    """Read a part."""
    found: list[pa.Table] = []
    try:
        _facts(path, found.append)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error!s:.80}); run the same command again to rewrite it"
        ) from None
    return found or [_SCHEMA.empty_table()]


def write_whole(
    path: Path, tables: Iterable[pa.Table], facts: dict[str, Any], about: dict[str, str]
) -> None:
    """Write tables atomically as one Parquet file, each as a row group.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one, each of whole shards.
    facts : dict
        Metadata returned by `metadata_of`.
    about : dict of str
        Further metadata, about the model.

    Raises
    ------
    ConfigError
        If the file cannot be written or the disk is full.
    """
    digests: dict[str, str] = {}

    def digested() -> Iterator[pa.Table]:
        for table in tables:
            digests.update(digests_of(table))
            yield table

    write_row_groups(path, digested(), about, lambda: seal(facts, about, digests))


@dataclass(frozen=True, slots=True)
class ScoredCounts:
    """What has been scored.

    Attributes
    ----------
    documents, images, lacking, sentences : int
        ``lacking`` are images that are missing or undecodable.
    """

    documents: int = 0
    images: int = 0
    lacking: int = 0
    sentences: int = 0

    def __add__(self, other: ScoredCounts) -> ScoredCounts:
        return ScoredCounts(
            self.documents + other.documents,
            self.images + other.images,
            self.lacking + other.lacking,
            self.sentences + other.sentences,
        )


def counts_of(rows: Sequence[Scored]) -> ScoredCounts:
    """Count documents, images and sentences."""
    return ScoredCounts(
        len(rows),
        sum(len(row.of_images) for row in rows),
        sum(row.lacking for row in rows),
        sum(len(row.of_sentences) for row in rows),
    )


class Pieces:
    """What is scored of one shard: in files, except for the last half minute.

    Parameters
    ----------
    path : Path
        Of the shard's part, next to which the pieces are.
    facts : dict
        What the scores are made from; earlier pieces made from anything else are ignored.
    name : str
        The shard's name in the similarity file.
    embeddings : bool
        Whether embeddings are kept.

    Attributes
    ----------
    counts : ScoredCounts
        Of all documents, including those in files of an earlier run.
    """

    def __init__(self, path: Path, facts: dict[str, Any], name: str, embeddings: bool) -> None:
        self._path, self._facts, self._name, self._embeddings = path, facts, name, embeddings
        self._files: list[Path] = []
        self.counts = ScoredCounts()
        while self._is_sound(file := self._next()):
            self.counts += ScoredCounts(**metadata_of(file)["counts"])
            self._files.append(file)
        self._start_anew()

    def _start_anew(self) -> None:
        self._rows: list[pa.Table] = []
        self._vectors: list[pa.Table] = []
        self._unwritten, self._since, self._file = ScoredCounts(), monotonic(), self._next()

    def _next(self) -> Path:
        return self._path.with_name(f"{self._path.name}.{self.counts.documents:08d}")

    def _is_sound(self, file: Path) -> bool:
        if metadata_of(file).get("made_from") != self._facts:
            return False
        try:
            return not self._embeddings or all(True for _ in read_embeddings(beside(file)))
        except ConfigError:
            return False

    def add(self, block: Sequence[Scored]) -> None:
        """Add a block of documents; write a piece now and then."""
        self._rows.append(table_of(self._name, block))
        if self._embeddings:
            self._vectors.append(embedding_table(self._name, block))
        counts = counts_of(block)
        self.counts += counts
        self._unwritten += counts
        if monotonic() - self._since > _EVERY:
            self._write()

    def _write(self) -> None:
        if self._embeddings:
            write_embeddings(beside(self._file), self._vectors, {})
        facts = {"made_from": self._facts, "counts": asdict(self._unwritten)}
        write_whole(self._file, [pa.concat_tables(self._rows)], facts, {})
        self._files.append(self._file)
        self._start_anew()

    def table(self) -> pa.Table:
        """Return all scores."""
        written = [table for file in self._files for table in _read_part(file)]
        return pa.concat_tables([_SCHEMA.empty_table(), *written, *self._rows]).combine_chunks()

    def embeddings(self) -> Iterator[pa.Table]:
        """Return all embeddings, a table for each block of documents."""
        for file in self._files:
            yield from read_embeddings(beside(file))
        yield from self._vectors

    def remove(self) -> None:
        """Remove the files, when the part is written."""
        for file in self._files:
            file.unlink(missing_ok=True)
            beside(file).unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """Return the file of the embeddings of a part or a piece."""
    return path.with_name(f"{path.name}.embeddings")
