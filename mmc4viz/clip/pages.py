"""Reads the documents to score from shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mmc4viz.data.ingest import ImageTally, document_from, images_in
from mmc4viz.data.shards import Shard, image_source, is_packed, samples
from mmc4viz.formats.format import Container
from mmc4viz.loader.images import ImageSource, skip_check
from mmc4viz.text import storable
from mmc4viz.types import Document


@dataclass(frozen=True, slots=True)
class Page:
    """One document.

    Attributes
    ----------
    key : str
        As written in the index.
    images : list of (bytes or None)
        None for missing images.
    sentences : list of str
        Values that are not strings are formatted as Python would; empty if there is no list.
    n_bytes : int
        Its part of the shard's file; 0 if the shard is compressed.
    """

    key: str
    images: list[bytes | None]
    sentences: list[str]
    n_bytes: int = 0


@dataclass(slots=True)
class _Keeping:
    """An image source that records what it returns; each entry is requested once, in order."""

    source: ImageSource
    kept: list[bytes | None] = field(default_factory=list)

    @property
    def sizes_unknown(self) -> bool:
        return self.source.sizes_unknown

    def data(self, entry: Any) -> bytes | None:
        self.kept.append(None)
        self.kept[-1] = self.source.data(entry)
        return self.kept[-1]


def pages(
    shard: Shard, image_dir: str | None = None, notes: list[str] | None = None
) -> Iterator[Page]:
    """Stream a shard's documents; unread content is noted in ``notes``, one line each.

    Raises
    ------
    ShardError
        If the shard cannot be read or is truncated, after yielding what precedes the damage.
    """
    source, tally = image_source(shard, image_dir), ImageTally()
    packed = is_packed(shard.path) or shard.layout is Container.PARQUET
    for sample in samples(shard, notes):
        keeping = _Keeping(images_in(sample, source))
        document = document_from(sample, keeping, skip_check)
        if document.error is None and not document.is_gpt:
            tally.add(document)
            n_bytes = 0 if packed else sample.size
            yield Page(storable(document.key), keeping.kept, _sentences(document), n_bytes)
    if notes is not None:
        notes += tally.notes(shard, source)


def _sentences(document: Document) -> list[str]:
    texts = document.sentences
    return [str(text) for text in texts] if isinstance(texts, list) else []
