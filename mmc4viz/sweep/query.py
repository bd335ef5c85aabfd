"""Filter, sort, paginate and search documents.

Everything but text is in arrays of the whole corpus; `search` reads texts from the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Floats, Ints, joined
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.data.shards import fetch, is_packed, samples
from mmc4viz.data.storage import is_remote
from mmc4viz.loader.parse import read_json
from mmc4viz.loader.profile import profile_of
from mmc4viz.sweep.audit import band, capped, crowded, stored, undecodable
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.duplicates import Duplicates, find
from mmc4viz.sweep.pairs import Pairs, document_starts, image_counts, literals
from mmc4viz.sweep.statistics import CLASS, CLASSES
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import ImageStatus, LoaderConfig, Outcome, PairStatus

# What documents can be filtered by: statuses of pairs and images, and audit findings.
PAIR_STATUSES: Final = {f"pair_{status}": status for status in PairStatus}
IMAGE_STATUSES: Final = {f"image_{status}": status for status in ImageStatus}
DUPLICATES: Final = ("same_url", "same_image", "near_image", "duplicate_differs")
FINDINGS: Final = (
    "mispaired", "outscored", "one_bad_image", "size_band", "stored_differs", *DUPLICATES,
)  # fmt: skip
CONTENTS: Final = (*PAIR_STATUSES, *IMAGE_STATUSES, *FINDINGS)


# Sortable columns, and whether the largest values come first.
SORTS: Final = {
    "nearest": False,
    "best": True,
    "images": True,
    "matched": True,
    "surviving": True,
    "image_tokens": True,
    "text_tokens": True,
    "mispaired": True,
    "kind": False,
    "place": False,
    "key": False,
    "url": False,
}


@dataclass(frozen=True)
class InSlice:
    """One slice of a corpus, by name.

    Attributes
    ----------
    attribute, name : str
        What divides, and the slice.
    table : hashable
        The identity of the user's table, if it is divided by a column of one.
    """

    attribute: str
    name: str
    table: Hashable = None


@dataclass(frozen=True)
class Query:
    """A filter of documents; None and empty fields are ignored.

    Attributes
    ----------
    outcome : str
        An `Outcome`, or ``kept_always`` or ``kept_single_image``.
    contains : str
        One of `CONTENTS`.
    best_from, best_to : float or None
        Range of the top score, ends included; excludes documents without a pair.
    images_from, images_to, tokens_from, tokens_to : int or None
        Ranges of ``image_info`` entries and of text tokens.
    shard, url : str
        Substrings of shard name and URL, case-insensitive.
    slice : InSlice or None
        Whose documents are selected; `chosen` is given them.
    """

    outcome: str = ""
    contains: str = ""
    best_from: float | None = None
    best_to: float | None = None
    images_from: int | None = None
    images_to: int | None = None
    tokens_from: int | None = None
    tokens_to: int | None = None
    shard: str = ""
    url: str = ""
    slice: InSlice | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it selects all documents."""
        return all(getattr(self, field.name) == field.default for field in fields(self))


@dataclass(frozen=True)
class Corpus:
    """The inputs of a document list, for one set of settings.

    Attributes
    ----------
    matched, config, found, pairs
    known : callable, optional
        Returns its duplicates, where they are kept: they do not depend on the settings.
    """

    matched: Matched
    config: LoaderConfig
    found: Verdicts
    pairs: Pairs
    known: Callable[[], Duplicates] | None = None

    @property
    def duplicates(self) -> Duplicates:
        """Its duplicates."""
        if self.known is not None:
            return self.known()
        return find([part.columns for part in self.matched.parts])


def chosen(corpus: Corpus, query: Query, in_slice: Ints | None = None) -> Ints:
    """Return the positions of the documents that a query selects, ascending.

    Parameters
    ----------
    corpus : Corpus
    query : Query
    in_slice : ndarray of int64, optional
        Positions of the documents in the query's slice; needed if it has one.
    """
    found = corpus.found
    mask = np.ones(len(found.kind), bool)
    if query.slice is not None:
        mask[:] = False
        mask[in_slice] = True
    if query.outcome:
        mask &= _with_outcome(found, query.outcome)
    for values, low, high in (
        (found.best, query.best_from, query.best_to),
        (found.images, query.images_from, query.images_to),
        (found.text_tokens, query.tokens_from, query.tokens_to),
    ):
        if low is not None:
            mask &= values >= low
        if high is not None:
            mask &= values <= high
    if query.shard:
        parts = corpus.matched.parts
        named = [query.shard.lower() in part.columns.shard.name.lower() for part in parts]
        mask &= np.isin(found.part, np.flatnonzero(named))
    if query.contains:
        mask &= containing(corpus, query.contains)
    if query.url:
        mask &= _with_url(corpus.matched, query.url)
    return np.flatnonzero(mask)


def _with_outcome(found: Verdicts, outcome: str) -> Bools:
    """Find the documents with an outcome or class; none for an unknown name."""
    names = [outcome] if outcome in CLASSES else []
    if outcome == Outcome.KEPT:
        names = ["kept_always", "kept_single_image"]
    return np.isin(found.kind, [CLASS[name] for name in names])


def _with_url(matched: Matched, part_of_url: str) -> Bools:
    masks = [
        pc.match_substring(part.columns.batch.column("url"), part_of_url, ignore_case=True)
        for part in matched.parts
    ]
    return joined((np.asarray(mask.to_numpy(zero_copy_only=False), bool) for mask in masks), bool)


def containing(corpus: Corpus, name: str) -> Bools:
    """Find the documents that match one of `CONTENTS`; none for an unknown name."""
    matched, config, found = corpus.matched, corpus.config, corpus.found
    if name in FINDINGS:
        if name == "mispaired":
            return found.mispaired > 0
        if name == "outscored":
            pairs = crowded(corpus.pairs, found, profile_of(config).cap_of(config))
            return capped(pairs, found, config).documents
        if name == "one_bad_image":
            return undecodable(matched, config).single
        if name in DUPLICATES:
            return _duplicate(corpus.duplicates, name, matched.n_documents)
        return band(matched, config).documents if name == "size_band" else stored(matched).documents
    literal = literals(matched, config)
    if name in PAIR_STATUSES:
        status = PAIR_STATUSES[name]
        mask, of_literal = (
            _plain_with_pair(found, status, profile_of(config).cap_of(config)),
            literal.pairs[status],
        )
    elif name in IMAGE_STATUSES:
        mask = _plain_with_image(matched, found, IMAGE_STATUSES[name])
        of_literal = literal.images[IMAGE_STATUSES[name]]
    else:
        return np.zeros(len(found.kind), bool)
    mask[literal.document] = of_literal > 0
    return mask


def _duplicate(seen: Duplicates, name: str, n_documents: int) -> Bools:
    """Return the documents of one of `DUPLICATES`."""
    if name == "same_url":
        return seen.pages.documents
    if name == "same_image":
        return seen.any_image
    if name == "duplicate_differs":
        return seen.matrices.documents | seen.stored.documents
    near = seen.near
    return np.zeros(n_documents, bool) if near is None else near.documents


def _plain_with_pair(found: Verdicts, status: PairStatus, cap: int) -> Bools:
    """Find plain documents with a pair of a status, from their counts."""
    if status is PairStatus.KEPT:
        return found.image_tokens > 0
    if status is PairStatus.BELOW_THRESHOLD:
        return found.matched > found.surviving
    if status is PairStatus.OVER_CAP:
        return found.surviving > cap
    return np.minimum(found.surviving, cap) > found.image_tokens


def _plain_with_image(matched: Matched, found: Verdicts, status: ImageStatus) -> Bools:
    """Find plain documents with an image of a status.

    If one of its matched images is found broken when it is read, a document is lost, and its other
    images are unmatched.
    """
    mask, n_matched = image_counts(matched, status) > 0, image_counts(matched, ImageStatus.MATCHED)
    lost = (found.kind == CLASS["unreadable"]) & (n_matched > 0)
    if status is ImageStatus.UNDECODABLE:
        return np.asarray(mask | lost)
    if status is ImageStatus.UNMATCHED:
        return np.asarray(mask | (lost & (n_matched > 1)))
    return np.asarray(mask & ~lost) if status is ImageStatus.MATCHED else mask


def sort_values(corpus: Corpus, name: str) -> NDArray[Any]:
    """Return the numbers to sort by; for strings use `ranks`."""
    if name == "place" or name not in SORTS:
        return np.arange(len(corpus.found.kind))
    values: NDArray[Any] = getattr(corpus.found, name)
    return values


def ranks(columns: list[Columns], name: str) -> Ints:
    """Rank documents by key or URL in Unicode order; equal ones get equal ranks."""
    values = [str(value) for part in columns for value in part.batch.column(name).to_pylist()]
    _, rank = np.unique(np.array(values, object), return_inverse=True) if values else (0, [])
    return np.asarray(rank, np.int64)


@dataclass(frozen=True)
class Ordered:
    """Documents sorted by a number, ties by position, NaN last.

    Attributes
    ----------
    documents : ndarray of int64, shape (chosen,)
        Positions, ascending.
    keys : ndarray of float64, shape (chosen,)
        Sort keys; the smallest comes first.
    """

    documents: Ints
    keys: Floats

    def __len__(self) -> int:
        return len(self.documents)

    def page(self, start: int, stop: int) -> Ints:
        """Return the documents in a range of the order, sorting only these.

        Examples
        --------
        >>> ordered(np.array([0, 1, 2]), np.array([5.0, np.nan, 5.0]), False).page(0, 3)
        array([0, 2, 1])
        """
        stop = min(stop, len(self))
        if start >= stop:
            return np.zeros(0, np.int64)
        last = np.partition(self.keys, stop - 1)[stop - 1]
        before = np.flatnonzero(self.keys < last)
        before = before[np.argsort(self.keys[before], kind="stable")]
        ties = np.flatnonzero(self.keys == last)[: stop - len(before)]
        wanted = np.concatenate([before, ties])[start:stop]
        return np.asarray(self.documents[wanted], np.int64)

    def rank(self, document: int) -> int | None:
        """Return a document's rank in the order, or None."""
        at = int(np.searchsorted(self.documents, document))
        if at == len(self) or self.documents[at] != document:
            return None
        key = self.keys[at]
        ties = np.count_nonzero(self.keys[:at] == key)
        return int(np.count_nonzero(self.keys < key)) + int(ties)

    def beside(self, document: int) -> tuple[int | None, int | None]:
        """Return the documents before and after one; if not listed, the first as the next one."""
        rank = self.rank(document)
        if rank is None:
            first: list[int] = self.page(0, 1).tolist()
            return None, (first[0] if first else None)
        around: list[int | None] = self.page(max(0, rank - 1), rank + 2).tolist()
        before, _, after = ([None] * (rank == 0) + around + [None])[:3]
        return before, after


def ordered(documents: Ints, values: NDArray[Any], largest_first: bool) -> Ordered:
    """Sort documents by ``values``, which has one number per document of the corpus."""
    keys = np.asarray(values)[documents].astype(np.float64)
    keys = -keys if largest_first else keys
    return Ordered(documents, np.where(np.isnan(keys), np.inf, keys))


def search(matched: Matched, documents: Ints, words: str) -> Iterator[tuple[int, bool]]:
    """Search documents' keys, and their text in their shards, case-insensitively.

    Yields
    ------
    (int, bool)
        A document's position, and whether its key or text contains the words; shard by shard.

    Raises
    ------
    ShardError
        If a shard is missing or has changed.
    """
    wanted = words.casefold()
    starts = document_starts(matched)
    for number, part in enumerate(matched.parts):
        low, high = np.searchsorted(documents, starts[number : number + 2])
        rows = documents[low:high] - starts[number]
        for row, raw in _raw(part.columns, rows.tolist()):
            key = str(part.columns.batch.column("key")[row])
            hit = wanted in key.casefold() or wanted in _text(raw).casefold()
            yield int(starts[number]) + row, hit


def _raw(columns: Columns, rows: list[int]) -> Iterator[tuple[int, bytes]]:
    """Read documents' JSON by offset, or by streaming the shard if that is cheaper."""
    at = {columns.place(row)[0]: row for row in rows if columns.kind[row] != Kind.UNREADABLE}
    for row in rows:
        if columns.kind[row] == Kind.UNREADABLE:
            yield row, b""
    packed = is_packed(columns.shard.path)
    dense = is_remote(columns.shard.path) and 20 * len(at) > len(columns)
    if not (dense or (packed and len(at) > 1)):
        for row in at.values():
            yield row, fetch(columns.shard, *columns.place(row))
        return
    for sample in samples(columns.shard):
        row = at.pop(sample.offset, -1)
        if row >= 0:
            yield row, sample.as_json()
        if not at:
            return


def _text(raw: bytes) -> str:
    """Return a document's text, empty if it has none."""
    try:
        info = read_json(raw)
    except ValueError:
        return ""
    if not isinstance(info, dict):
        return ""
    sentences = info.get("text_list")
    texts = [info.get("example"), *(sentences if isinstance(sentences, list) else [sentences])]
    return "\n".join(text for text in texts if isinstance(text, str))
