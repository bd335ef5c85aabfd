"""Where documents come from, shards or an index, behind one face.

Both give documents for the walk and columns for the sweep, with equal answers. What could not be
read, and what an answer rests on, is gathered here for the caller to say; nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from mmc4viz.corpus.columns import Columns, Kind
from mmc4viz.corpus.image_notes import ImageTally
from mmc4viz.corpus.index import OWN, Index
from mmc4viz.corpus.ingest import read_columns
from mmc4viz.corpus.naming import model_of_shards
from mmc4viz.corpus.sampling import Drawn, choose_shards, cluster, draw, read_sample
from mmc4viz.corpus.shards import Shard, downloaded_to, fetch, image_source, samples
from mmc4viz.corpus.storage import unchanged
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import Document, ShardError

Progress = Callable[[int], object]

NOTHING_READABLE: Final = (
    "every document is unreadable: these may not be shards of MMC4, or not whole; mmc4viz explain "
    "says of each what is wrong"
)


class Source(Protocol):
    """A corpus by its documents and by its columns.

    Attributes
    ----------
    tokenizer : Tokenizer
        Counts its sentences.
    errors : list of str
        What could not be read, a line each; grows while the source is read.
    notes : list of str
        What every answer rests on, a line each; likewise.
    model : str
        The CLIP model whose similarity decides, ``unknown`` where neither index nor place says it.
    """

    tokenizer: Tokenizer
    errors: list[str]
    notes: list[str]

    @property
    def model(self) -> str: ...  # noqa: D102 - told above

    def documents(self, with_text: bool) -> Iterator[tuple[str, Document]]:
        """Yield each document with its shard's base name; with its text if asked."""

    def columns(self, progress: Progress) -> Sequence[Columns]:
        """Return all columns; ``progress`` is told of documents read."""

    def sample(self, n_documents: int, seed: int, progress: Progress) -> Drawn:
        """Draw documents at random."""


@dataclass
class Shards:
    """A corpus read from its shards."""

    shards: Sequence[Shard]
    tokenizer: Tokenizer
    image_dir: str | None = None
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The CLIP model whose similarity the shards carry, ``unknown`` but for the sample's."""
        return model_of_shards(shard.path for shard in self.shards)

    def documents(self, with_text: bool) -> Iterator[tuple[str, Document]]:
        """Stream the shards; one that breaks off does not keep the others from being read."""
        found = readable = 0
        for shard in self.shards:
            source, tally = image_source(shard, self.image_dir), ImageTally()
            try:
                for sample in samples(shard, self.notes):
                    document = parse_document(sample.key, sample.raw, source)
                    if sample.raw is None:
                        document = replace(document, error=sample.why)
                    found += 1
                    readable += document.error is None
                    tally.add(document)
                    yield shard.name, document
            except ShardError as error:
                self.errors.append(str(error))
            self.notes += tally.notes(shard, source)
            if source.sizes_unknown:
                self.notes.append(_unknown_sizes(shard))
        self._check(found, readable)

    def columns(self, progress: Progress) -> list[Columns]:
        """Read every shard into columns."""
        parts = [
            read_columns(shard, self.tokenizer, self.image_dir, progress) for shard in self.shards
        ]
        self._heed(parts)
        return parts

    def sample(self, n_documents: int, seed: int, progress: Progress) -> Drawn:
        """Read a sample: shards at random, and of each, documents at random.

        The drawn shards are streamed whole, to know how many documents they have; only the drawn
        documents are parsed.
        """
        chosen, each = choose_shards(len(self.shards), n_documents, seed)
        everything = len(chosen) == len(self.shards)
        parts, totals = [], []
        for position in chosen:
            part, total = read_sample(
                self.shards[position],
                self.tokenizer,
                n_documents if everything else each,
                seed=(seed, position),
                image_dir=self.image_dir,
                progress=progress,
            )
            parts.append(part)
            totals.append(total)
        self._heed(parts)
        sizes = np.array(totals, np.float64)
        if everything:
            parts = _thin(parts, sizes, n_documents, seed)
        return cluster(parts, sizes, len(self.shards), seed)

    def _heed(self, parts: Sequence[Columns]) -> None:
        self.errors += [part.error for part in parts if part.error is not None]
        self.notes += notes_of(parts)
        self._check(sum(map(len, parts)), sum(map(_readable, parts)))

    def _check(self, found: int, readable: int) -> None:
        """Refuse shards of which none could be read; note where no document could be."""
        if self.errors and not found:
            more = len(self.errors) - 1
            likewise = f" ({more:,} more shards cannot be read either)" if more else ""
            raise ShardError(self.errors.pop(0) + likewise)
        if found and not readable:
            self.notes.append(NOTHING_READABLE)


@dataclass
class Indexed:
    """A corpus read from its index."""

    index: Index
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokenizer = self.index.tokenizer
        for part in self.index.columns:
            self.errors += [part.error] if part.error is not None else []
        self.notes += notes_of(self.index.columns)
        if self.index.n_documents and not any(map(_readable, self.index.columns)):
            self.notes.append(NOTHING_READABLE)
        if self.index.verify != "full":
            self.notes.append(
                f"{self.index.folder}: images were checked by --verify {self.index.verify} only; "
                "images that fail to decode may count as sound"
            )

    @property
    def model(self) -> str:
        """The CLIP model whose similarity decides, as the index has recorded it."""
        return self.index.model

    def documents(self, with_text: bool) -> Iterator[tuple[str, Document]]:
        """Yield documents from the columns; their text, if asked, comes from the shards."""
        own = self.index.similarity == OWN
        for part, origin in zip(self.index.columns, self.index.origins, strict=True):
            path = part.shard.path
            if with_text and not unchanged(path, origin.fingerprint):
                raise ShardError(f"{path}: has changed since it was indexed; index it again")
            source = image_source(part.shard, origin.image_dir)
            for row in range(len(part)):
                document = part.document(row)
                if with_text and document.counts is not None:
                    raw = fetch(part.shard, *part.place(row))
                    read = parse_document(document.key, raw, source)
                    document = read if own else replace(read, similarity=document.similarity)
                yield part.shard.name, document

    def columns(self, progress: Progress) -> Sequence[Columns]:
        """Return the mapped columns."""
        return self.index.columns

    def sample(self, n_documents: int, seed: int, progress: Progress) -> Drawn:
        """Draw documents from the mapped columns."""
        return draw(self.index.columns, n_documents, seed)


def _thin(
    parts: Sequence[Columns], totals: np.ndarray, n_documents: int, seed: int
) -> list[Columns]:
    """Of simple random samples of every shard, leave one simple random sample of them all."""
    generator = np.random.default_rng([seed, 3])
    owner = np.repeat(np.arange(len(parts)), totals.astype(np.int64))
    wanted = min(n_documents, len(owner))
    drawn = np.bincount(generator.permutation(owner)[:wanted], minlength=len(parts))
    return [
        part.take(np.sort(generator.permutation(len(part))[:count]))
        for part, count in zip(parts, drawn.tolist(), strict=True)
    ]


def notes_of(parts: Sequence[Columns]) -> list[str]:
    """Say what of the shards was not read, and where images' sizes are not known."""
    notes = []
    for part in parts:
        notes += part.notes
        notes += [_unknown_sizes(part.shard)] if part.sizes_unknown else []
    return notes


def _readable(part: Columns) -> int:
    return int((part.kind != Kind.UNREADABLE).sum())


def _unknown_sizes(shard: Shard) -> str:
    return (
        f"{shard.name}: no images, so sizes are unknown and the size filter is off; name their "
        f"folder by --image-dir, or put them into {downloaded_to(shard)}/ beside it"
    )
