"""A corpus, read from shards or from an index, through one interface.

Both provide documents for the walk and columns for the sweep, with equal results. Errors and notes
are collected for the caller to report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from mmc4viz.data.columns import Columns, Kind
from mmc4viz.data.index import OWN, Index, model_of_shards
from mmc4viz.data.ingest import ImageTally, document_in, read_digested
from mmc4viz.data.sample import DrawnSample, choose_shards, cluster, draw, quotas, read_sample
from mmc4viz.data.shards import Shard, downloaded_to, fetch, format_of, image_source, samples
from mmc4viz.data.storage import is_remote, size_of, unchanged
from mmc4viz.formats.format import Format
from mmc4viz.formats.registry import format_named
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.types import ConfigError, Document, ShardError

Progress = Callable[[int], object]

NO_SCORES: Final = (
    "no scores yet, so there is nothing that a threshold could drop; score the images with "
    "mmc4viz score, and add the scores to an index (mmc4viz index --similarity)"
)
NOTHING_READABLE: Final = (
    "every document is unreadable: these may not be MMC4 shards, or they are damaged; mmc4viz "
    "explain shows the reason for each document"
)


class Source(Protocol):
    """A corpus.

    Attributes
    ----------
    tokenizer : Tokenizer
        Counts the sentences' tokens.
    errors : list of str
        What could not be read, one line each; grows while the corpus is read.
    notes : list of str
        Caveats that apply to every result, one line each; grows likewise.
    model : str
        The CLIP model whose scores are used, ``unknown`` if it was never named.
    needs_scores : bool
        Whether reading raises a ConfigError if no image has a score.
    """

    tokenizer: Tokenizer
    errors: list[str]
    notes: list[str]
    needs_scores: bool

    @property
    def model(self) -> str: ...  # noqa: D102 - documented above

    def formats(self) -> list[Format | None]:
        """Return the formats of the shards, as far as they are known without reading; each once."""

    def documents(self, with_text: bool) -> Iterator[tuple[str, Document]]:
        """Yield each document with its shard's name; with its text if requested."""

    def columns(self, progress: Progress) -> Sequence[Columns]:
        """Return all columns; ``progress`` is called with the number of documents read."""

    def sample(self, n_documents: int, seed: int, progress: Progress) -> DrawnSample:
        """Draw documents at random."""


@dataclass
class Shards:
    """A corpus read from its shards."""

    shards: Sequence[Shard]
    tokenizer: Tokenizer
    image_dir: str | None = None
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    needs_scores: bool = False

    @property
    def model(self) -> str:
        """The CLIP model of the shards' own scores, known only for the sample data."""
        return model_of_shards(shard.path for shard in self.shards)

    def formats(self) -> list[Format | None]:
        """Return the format of the first shard."""
        return [format_of(shard) for shard in self.shards[:1]]

    def documents(self, with_text: bool) -> Iterator[tuple[str, Document]]:
        """Stream the shards; an error in one does not affect the others."""
        found = readable = 0
        formats = set[str]()
        for shard in self.shards:
            source, tally = image_source(shard, self.image_dir), ImageTally()
            try:
                for sample in samples(shard, self.notes):
                    document = document_in(sample, source)
                    formats.add(sample.format)
                    found += 1
                    readable += document.error is None
                    tally.add(document)
                    yield shard.name, document
            except ShardError as error:
                self.errors.append(str(error))
            self.notes += tally.notes(shard, source)
            if source.sizes_unknown:
                self.notes.append(_unknown_sizes(shard))
        if formats and not any(not name or format_named(name).has_scores for name in formats):
            self.notes.append(NO_SCORES)
        self._check(found, readable)

    def columns(self, progress: Progress) -> list[Columns]:
        """Read every shard into columns."""
        parts = [
            read_digested(shard, self.tokenizer, self.image_dir, progress)[0]
            for shard in self.shards
        ]
        self._collect(parts)
        return parts

    def sample(self, n_documents: int, seed: int, progress: Progress) -> DrawnSample:
        """Read a random sample of shards, and a random sample of documents from each.

        The chosen shards are streamed in full to count their documents; only sampled documents are
        parsed. A shard is streamed again if more of its documents are needed than expected, because
        other shards have few.
        """
        each = -(-n_documents // min(len(self.shards), max(2, round(n_documents**0.5))))
        if len(self.shards) ** 2 <= n_documents:  # all shards: the number from each is random
            each += math.ceil(4 * each**0.5)
        weights = [_bytes_of(shard.path) for shard in self.shards]
        read: dict[int, tuple[Columns, int]] = {}

        def look(position: int, n: int) -> int:
            shard, its_seed = self.shards[position], (seed, position)
            read[position] = read_sample(
                shard, self.tokenizer, n, its_seed, self.image_dir, progress
            )
            return read[position][1]

        chosen = choose_shards(weights, n_documents, seed, lambda at: look(at, each))
        totals = np.array([read[at][1] for at in chosen], np.int64)
        every = len(chosen) == len(self.shards)
        wanted = dict(
            zip(chosen, quotas(totals, n_documents, seed, every=every).tolist(), strict=True)
        )
        generator, parts, sizes = np.random.default_rng([seed, 3]), [], []
        for position in sorted(chosen):
            if wanted[position] > len(read[position][0]):
                look(position, wanted[position])
            part, total = read[position]
            parts.append(part.take(np.sort(generator.permutation(len(part))[: wanted[position]])))
            sizes.append(float(total))
        self._collect(parts)
        return cluster(parts, np.array(sizes), len(self.shards), seed)

    def _collect(self, parts: Sequence[Columns]) -> None:
        """Collect errors and notes."""
        if self.needs_scores:
            check_scores(parts)
        self.errors += [part.error for part in parts if part.error is not None]
        self.notes += notes_of(parts)
        self._check(sum(map(len, parts)), sum(map(_readable, parts)))

    def _check(self, found: int, readable: int) -> None:
        """Raise an error if no shard could be read; add a note if no document could be."""
        if self.errors and not found:
            more = len(self.errors) - 1
            others = f" (and {more:,} more {'shard' if more == 1 else 'shards'})" if more else ""
            raise ShardError(self.errors.pop(0) + others)
        if found and not readable:
            self.notes.append(NOTHING_READABLE)


@dataclass
class Indexed:
    """A corpus read from its index."""

    index: Index
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    needs_scores: bool = False

    def __post_init__(self) -> None:
        self.tokenizer = self.index.tokenizer
        for part in self.index.columns:
            self.errors += [part.error] if part.error is not None else []
        self.notes += notes_of(self.index.columns)
        if self.index.n_documents and not any(map(_readable, self.index.columns)):
            self.notes.append(NOTHING_READABLE)
        if self.index.verify != "full":
            self.notes.append(
                f"{self.index.folder}: indexed with --verify {self.index.verify}; undecodable "
                "images may count as valid"
            )

    @property
    def model(self) -> str:
        """The CLIP model whose scores are used, as recorded in the index."""
        return self.index.model

    def formats(self) -> list[Format | None]:
        """Return the formats of the shards."""
        return formats_of(self.index.columns)

    def documents(self, with_text: bool) -> Iterator[tuple[str, Document]]:
        """Yield documents from the columns; text, if requested, is read from the shards."""
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
        if self.needs_scores and self.index.similarity == OWN:
            check_scores(self.index.columns)
        return self.index.columns

    def sample(self, n_documents: int, seed: int, progress: Progress) -> DrawnSample:
        """Draw documents from the mapped columns."""
        return draw(self.columns(progress), n_documents, seed)


def formats_of(parts: Iterable[Columns]) -> list[Format | None]:
    """Return the formats of shards, each once; None is MMC4's own."""
    names = sorted({part.shard.format for part in parts})
    return [format_named(name) if name else None for name in names]


def check_page_order(formats: Iterable[Format | None]) -> None:
    """Raise a ConfigError unless every format records where images stand among the texts."""
    lacking = [one for one in formats if one is None or not one.in_page_order]
    if lacking:
        words = "MMC4" if lacking[0] is None else lacking[0].words
        raise ConfigError(
            f"the assignment neighbor needs to know where images stand on the page, which {words} "
            "does not record; use another assignment"
        )


def check_scores(parts: Sequence[Columns]) -> None:
    """Raise a ConfigError if no shard has scores of its own."""
    formats = formats_of(parts)
    if formats and not any(one is None or one.has_scores for one in formats):
        raise ConfigError(f"{parts[0].shard.path}: {NO_SCORES}")


def _bytes_of(path: str) -> int:
    """Return a shard's size, or 1 if that would take a network request."""
    try:
        return 1 if is_remote(path) else size_of(path)
    except OSError:  # reading it will report the error
        return 1


def notes_of(parts: Sequence[Columns]) -> list[str]:
    """Return notes on what was not read, and on shards with unknown image sizes."""
    notes = []
    for part in parts:
        notes += part.notes
        notes += [_unknown_sizes(part.shard)] if part.sizes_unknown else []
    return notes


def _readable(part: Columns) -> int:
    return int((part.kind != Kind.UNREADABLE).sum())


def _unknown_sizes(shard: Shard) -> str:
    return (
        f"{shard.name}: no images, so image sizes are unknown and the size filter is off; give "
        f"--image-dir, or put the images into {downloaded_to(shard)}/ next to the shard"
    )
