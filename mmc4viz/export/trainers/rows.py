"""The chosen documents of a shard as rows in OBELICS's shape.

``images`` and ``texts`` are lists of equal length; at each position one of them is None. An image
stands before its sentence, and images in the order of their sentences. What lies between images is
one text, its sentences joined by a blank. Only images whose pair is kept are in a row: one whose
token would be truncated is never seen in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import Shifts
from mmc4viz.data.shards import Shard, fetch_all
from mmc4viz.export import manifest
from mmc4viz.loader.images import Embedded, ImageSource
from mmc4viz.loader.parse import read_json
from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.skim import decoded, image_number, skim
from mmc4viz.sweep.distribution import STATUSES
from mmc4viz.sweep.sweep import Matched, match_corpus
from mmc4viz.text import storable
from mmc4viz.types import LoaderConfig, Mmc4vizError, PairStatus, ShardError

Place = tuple[int | None, str | None]
"""An image, by its position on the page, or a text."""

_KEPT: Final = STATUSES.index(PairStatus.KEPT)


class ExportError(Mmc4vizError):
    """Documents that cannot be exported to a trainer."""


def refuse_random(config: LoaderConfig) -> None:
    """Reject a loader that draws at random.

    Raises
    ------
    ExportError
    """
    if profile_of(config).is_random:
        raise ExportError(
            f"the loader {config.loader} draws images at random, which an export would fix: choose "
            "another loader"
        )


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One document.

    Attributes
    ----------
    key, url : str
    number : int
        Of the document in its shard, from 0.
    probability : float
        The document's keep probability; below 1 only for a document with one image token.
    images : tuple of (bytes or None)
        Files as the loader decodes them.
    texts : tuple of (str or None)
    names : tuple of (str or None)
        The images' ``image_name``, where there is one.
    """

    key: str
    url: str
    number: int
    probability: float
    images: tuple[bytes | None, ...]
    texts: tuple[str | None, ...]
    names: tuple[str | None, ...]

    @property
    def n_images(self) -> int:
        """Number of images."""
        return sum(image is not None for image in self.images)


@dataclass(frozen=True)
class ChosenDocuments:
    """The documents of one or more shards that the settings keep.

    Attributes
    ----------
    row : ndarray of int64, shape (chosen,)
        Their numbers among all documents, ascending.
    probability : ndarray of float64, shape (chosen,)
        Their keep probabilities, all above 0.
    first : ndarray of int64, shape (chosen + 1,)
        Offset of each one's first kept pair.
    image, sentence : ndarray of int64, shape (kept pairs,)
    """

    row: Ints
    probability: Floats
    first: Ints
    image: Ints
    sentence: Ints

    def __len__(self) -> int:
        return len(self.row)

    def pairs(self, at: int) -> list[tuple[int, int]]:
        """Return the kept pairs of a chosen document as (image, sentence)."""
        part = slice(self.first[at], self.first[at + 1])
        return list(zip(self.image[part].tolist(), self.sentence[part].tolist(), strict=True))


def chosen_of(chunk: manifest.Chunk) -> ChosenDocuments:
    """Return the documents of a chunk that are kept always or sometimes, with their kept pairs."""
    owner = np.repeat(np.arange(len(chunk)), np.diff(chunk.first))
    kept = (chunk.status == _KEPT) & (chunk.probability[owner] > 0)
    row = np.flatnonzero(chunk.probability > 0)
    counts = np.bincount(owner[kept], minlength=len(chunk))[row]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ChosenDocuments(
        row, chunk.probability[row], first, chunk.image[kept], chunk.sentence[kept]
    )


def chosen_in(columns: Columns, config: LoaderConfig, shifts: Shifts | None) -> ChosenDocuments:
    """Return the documents of one shard that the settings keep."""
    matched: Matched = match_corpus([columns], config)
    return chosen_of(next(manifest.chunks(matched, config, shifts=shifts)))


def interleaved(
    sentences: Sequence[Any], pairs: Iterable[tuple[int, int]], joint: str = " "
) -> list[Place]:
    """Put images before their sentences and join the sentences between images.

    Parameters
    ----------
    sentences : sequence
        What is not text is written as the loader writes it.
    pairs : iterable of (int, int)
        Image and sentence.
    joint : str
        What is written between two sentences.

    Examples
    --------
    >>> interleaved(["A boat.", "The sea.", "Rain."], [(4, 1)])
    [(None, 'A boat.'), (4, None), (None, 'The sea. Rain.')]
    """
    found: list[Place] = []
    start = 0

    def add_text(end: int) -> None:
        text = joint.join(f"{sentence}" for sentence in sentences[start:end])
        if text:
            found.append((None, storable(text)))

    for image, sentence in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        add_text(sentence)
        found.append((image, None))
        start = sentence
    add_text(len(sentences))
    return found


def training_rows(
    shard: Shard,
    columns: Columns,
    chosen: ChosenDocuments,
    source: ImageSource,
    left_out: Callable[[str], object],
    *,
    chatgpt: bool = True,
) -> Iterator[TrainingRow]:
    """Read the chosen documents of a shard.

    Parameters
    ----------
    shard : Shard
    columns : Columns
        The shard's.
    chosen : ChosenDocuments
        As `chosen_in` found them in these columns.
    source : ImageSource
        Where images come from.
    left_out : callable
        Called with the key of each ChatGPT-generated document, whose images belong to no pairs.
    chatgpt : bool
        Whether the loader reads these as such, and not as pages.

    Raises
    ------
    ShardError
        If the shard cannot be read or does not match its columns.
    ExportError
        If an image's bytes are missing.
    """
    keys, urls = columns.batch.column("key"), columns.batch.column("url")
    rows = chosen.row.tolist()
    found = fetch_all(shard, _places(columns, rows))
    for at, (row, raw) in enumerate(zip(rows, found, strict=True)):
        key = keys[row].as_py()
        info, images = _opened(raw, source)
        if not isinstance(info, dict):
            raise _changed(shard)
        if chatgpt and "is_gpt" in info:
            left_out(key)
            continue
        yield _row(
            (shard, key, urls[row].as_py() or "", columns.number(row)),
            float(chosen.probability[at]),
            info,
            chosen.pairs(at),
            lambda entry, images=images: _bytes_of(entry, images, source),  # type: ignore[misc]
        )


def _places(columns: Columns, rows: list[int]) -> list[tuple[int, int]]:
    offset, size = columns.numbers("offset")[rows], columns.numbers("size")[rows]
    return list(zip(offset.tolist(), size.tolist(), strict=True))


def _row(
    where: tuple[Shard, str, str, int],
    probability: float,
    info: dict[str, Any],
    pairs: list[tuple[int, int]],
    data: Callable[[Any], bytes | None],
) -> TrainingRow:
    shard, key, url, number = where
    try:
        sentences, entries = list(info["text_list"]), info["image_info"]
        found = interleaved(sentences, pairs)
        entry_of = [None if image is None else entries[image] for image, _ in found]
        images = tuple(None if entry is None else data(entry) for entry in entry_of)
    except (LookupError, TypeError, ValueError):
        raise _changed(shard) from None
    missing = any(e is not None and i is None for e, i in zip(entry_of, images, strict=True))
    if missing:
        raise ExportError(
            f"{shard.path}: document {key!r} has no image bytes, so there is nothing to train on; "
            "give --image-dir, or shards with images"
        )
    names = (None if e is None else e.get("image_name") for e in entry_of)
    return TrainingRow(
        key,
        url,
        number,
        probability,
        images,
        tuple(text for _, text in found),
        tuple(storable(name) if isinstance(name, str) else None for name in names),
    )


def _changed(shard: Shard) -> ShardError:
    return ShardError(f"{shard.path}: has changed since it was indexed; run mmc4viz index again")


def _opened(raw: bytes, source: ImageSource) -> tuple[Any, list[memoryview]]:
    """Read JSON with plain base64 cut out, which is decoded for chosen images only."""
    if isinstance(source, Embedded) and (skimmed := skim(raw, _plain)) is not None:
        return skimmed
    try:
        return read_json(raw), []
    except ValueError:
        return None, []


def _plain(base64: memoryview) -> memoryview | None:
    return None if b"\\" in bytes(base64) else base64


def _bytes_of(entry: Any, images: list[memoryview], source: ImageSource) -> bytes | None:
    """Return the bytes that the loader would decode."""
    number = image_number(entry) if images else None
    if number is None:
        return source.data(entry)
    found = decoded(images[number])
    if found is None:  # base64 with characters that Python's decoder passes over
        found = source.data({"image_base64": str(images[number], "ascii", "replace")})
    return found
