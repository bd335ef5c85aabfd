"""Documents as an encoder takes them: their images' bytes and their sentences.

Every document that the loader would match is here, with all of its images and sentences, in order;
none that is unreadable or ChatGPT-written. Decodes no pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mmc4viz.corpus.image_notes import ImageTally
from mmc4viz.corpus.shards import Shard, image_source, samples
from mmc4viz.loader.images import ImageSource, look_away
from mmc4viz.loader.parse import parse_document
from mmc4viz.model import Document


@dataclass(frozen=True, slots=True)
class Page:
    """One document.

    Attributes
    ----------
    key : str
        As the index writes it.
    images : list of (bytes or None)
        None for one that is missing.
    sentences : list of str
        What is no text in the document is written as Python does; none where there is no list.
    """

    key: str
    images: list[bytes | None]
    sentences: list[str]


@dataclass(slots=True)
class _Keeping:
    """An image source that keeps what it hands out: each entry is asked for once, in order."""

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
    """Stream a shard's documents; ``notes`` gets a line for what of it is not read.

    Raises
    ------
    ShardError
        When the shard cannot be read, or breaks off; after what came before the break.
    """
    source, tally = image_source(shard, image_dir), ImageTally()
    for sample in samples(shard, notes):
        keeping = _Keeping(source)
        document = parse_document(sample.key, sample.raw, keeping, look_away)
        if document.error is None and not document.is_gpt:
            tally.add(document)
            yield Page(_storable(document.key), keeping.kept, _sentences(document))
    if notes is not None:
        notes += tally.notes(shard, source)


def _sentences(document: Document) -> list[str]:
    texts = document.sentences
    return [str(text) for text in texts] if isinstance(texts, list) else []


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
