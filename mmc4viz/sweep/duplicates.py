"""Documents and images that occur more than once, and what is kept if each counts once.

Compared are the URLs of documents, the URLs of images, the bytes of images (by digest), and the
perceptual hashes of images, the last two where the index has them. All positions are those of the
corpus: documents as in `mmc4viz.sweep.document_table.Verdicts`, images in the order of documents.

Near-duplicates: two hashes of 64 bits that differ in at most 4 agree in at least two of any six
parts, so only hashes that share two parts are compared (multi-index hashing: Norouzi, Punjani and
Fleet, CVPR 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from mmc4viz.arrays import Bools, Ints, joined
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.sweep.audit import EQUAL, image_values
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.pairs import Pairs
from mmc4viz.types import LoaderConfig

Keys = NDArray[np.uint64]

NEAR: Final = 4  # bits of 64 in which the hashes of near-duplicates differ at most
EXAMPLES: Final = 3
_ENDS: Final = (0, 11, 22, 33, 44, 54, 64)  # of the six parts of a hash
_PARTS: Final = tuple(
    (np.uint64(low), np.uint64((1 << high - low) - 1)) for low, high in pairwise(_ENDS)
)
_NEIGHBOURS: Final = 200  # hashes that share two parts with one and are compared with it


@dataclass(frozen=True)
class Repeated:
    """What occurs more than once, in one respect.

    Attributes
    ----------
    groups : int
        Different things that do.
    repeats : int
        Their occurrences after the first.
    documents : ndarray of bool, shape (documents,)
        Documents that have one, the first occurrence included.
    examples : tuple of (int, int)
        Two documents of each of the first groups; of one group in a document, that twice.
    """

    groups: int
    repeats: int
    documents: Bools
    examples: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Differing:
    """Duplicates whose scores should be equal.

    Attributes
    ----------
    compared, differing : int
        Repeats compared with the first occurrence; those that differ by more than `EQUAL`.
    documents : ndarray of bool, shape (documents,)
        Documents of the latter, the first occurrence included.
    examples : tuple of (int, int)
    """

    compared: int
    differing: int
    documents: Bools
    examples: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Duplicates:
    """The duplicates of a corpus; they do not depend on the settings.

    Attributes
    ----------
    pages : Repeated
        Documents with one URL.
    urls : Repeated
        Images with one URL, in one document or several.
    bytes : Repeated or None
        Images with the same bytes; None if no digest is recorded.
    near : Repeated or None
        Images of other bytes whose hashes differ in at most `NEAR` bits, directly or by way of
        others; None if no hash is recorded.
    unrecorded : int
        Images of shards without digests.
    crowded : int
        Hashes with so many similar ones that not all were compared.
    matrices : Differing
        Documents with one URL and a matrix of the same size: whether the matrices are equal.
    stored : Differing
        Images that are the same, in documents with one URL, whose stored sentence has the same
        number: whether the stored scores are equal.
    first_page : ndarray of bool, shape (documents,)
        The first document of each URL; all without a URL.
    identity : ndarray of int64, shape (images,)
        The first image that is the same: of the same bytes, or, without bytes, of the same URL.
    starts : ndarray of int64, shape (documents + 1,)
        The first image of each document.
    """

    pages: Repeated
    urls: Repeated
    bytes: Repeated | None
    near: Repeated | None
    unrecorded: int
    crowded: int
    matrices: Differing
    stored: Differing
    first_page: Bools
    identity: Ints
    starts: Ints

    @property
    def any_image(self) -> Bools:
        """Documents with an image that occurs again, by URL or bytes, shape (documents,)."""
        found = self.urls.documents
        return found if self.bytes is None else found | self.bytes.documents


def find(columns: Sequence[Columns]) -> Duplicates:
    """Find the duplicates of a corpus.

    Parameters
    ----------
    columns : sequence of Columns
        One per shard, in the order of the corpus.
    """
    n_documents = sum(map(len, columns))
    counts = np.concatenate([np.zeros(0, np.int64), *(part.n_images for part in columns)])
    owner = np.repeat(np.arange(n_documents), counts)
    page = first_of(page_keys(columns))
    urls, digests = image_keys(columns), _digests(columns)
    url, data = first_of(urls), first_of(digests)
    identity = first_of(np.where(digests > 0, digests, urls))
    recorded = [part.image_digests is not None for part in columns]
    near, crowded = _near(columns, data, owner, n_documents)
    return Duplicates(
        pages=_repeated(page, np.arange(n_documents), n_documents),
        urls=_repeated(url, owner, n_documents),
        bytes=_repeated(data, owner, n_documents) if any(recorded) else None,
        near=near,
        unrecorded=sum(
            int(part.n_images.sum()) for part, has in zip(columns, recorded, strict=True) if not has
        ),
        crowded=crowded,
        matrices=_matrices(columns, page),
        stored=_stored(columns, page, identity, owner),
        first_page=page == np.arange(n_documents),
        identity=identity,
        starts=np.concatenate([[0], np.cumsum(counts)]),
    )


def page_keys(columns: Sequence[Columns]) -> Keys:
    """Return a key of each document's URL, shape (documents,); 0 without one."""
    return _keys(_hashed(part.batch.column("url")) for part in columns)


def image_keys(columns: Sequence[Columns]) -> Keys:
    """Return a key of each image's URL, shape (images,); 0 without one."""
    return _keys(_hashed(_image_urls(part)) for part in columns)


def _digests(columns: Sequence[Columns]) -> Keys:
    return _keys(
        np.zeros(int(part.n_images.sum()), np.uint64)
        if part.image_digests is None
        else image_values(part, "digest")
        for part in columns
    )


def _keys(parts: object) -> Keys:
    return np.concatenate([np.zeros(0, np.uint64), *parts])  # type: ignore[misc]


def _image_urls(part: Columns) -> pa.Array:
    first, end = part.offsets("images")[[0, -1]].tolist()
    return part.batch.column("images").values.field("url").slice(first, end - first)


def _hashed(texts: pa.Array) -> Keys:
    """Return XXH3 of each text, shape (texts,); 0 for an empty one."""
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset :][: len(texts) + 1].tolist()
    view = memoryview(content or b"")
    found = [xxh3_64_intdigest(view[a:b]) if a < b else 0 for a, b in pairwise(ends)]
    return np.array(found, np.uint64)


def first_of(keys: Keys) -> Ints:
    """Return the position of the first equal key, shape (keys,); its own for a key of 0.

    Examples
    --------
    >>> first_of(np.array([7, 0, 7, 5, 0], np.uint64))
    array([0, 1, 0, 3, 4])
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = (ranked[1:] != ranked[:-1]) | (ranked[1:] == 0)
    start = np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))
    first = np.empty(len(keys), np.int64)
    first[order] = order[start]
    return first


def _repeated(first: Ints, owner: Ints, n_documents: int) -> Repeated:
    """Count repeats, given the first occurrence and the document of each thing."""
    again = np.flatnonzero(first != np.arange(len(first)))
    groups, place = np.unique(first[again], return_index=True)
    documents = np.zeros(n_documents, bool)
    documents[owner[again]] = documents[owner[groups]] = True
    return Repeated(
        len(groups), len(again), documents, _examples(owner[groups], owner[again[place]])
    )


def _examples(one: Ints, other: Ints) -> tuple[tuple[int, int], ...]:
    """Return the first pairs of documents; those of different documents before others."""
    order = np.argsort(one == other, kind="stable")[:EXAMPLES]
    return tuple(zip(one[order].tolist(), other[order].tolist(), strict=True))


def _near(
    columns: Sequence[Columns], data: Ints, owner: Ints, n_documents: int
) -> tuple[Repeated | None, int]:
    """Count near-duplicates among images of different bytes."""
    if all(part.image_hashes is None for part in columns):
        return None, 0
    hashes = _keys(
        np.zeros(int(part.n_images.sum()), np.uint64)
        if part.image_hashes is None
        else image_values(part, "perceptual_hash")
        for part in columns
    )
    chosen = np.flatnonzero((hashes > 0) & (data == np.arange(len(data))))
    different, place = np.unique(hashes[chosen], return_inverse=True)
    group, crowded = near_groups(different)
    first = first_of((group[place] + 1).astype(np.uint64))
    return _repeated(first, owner[chosen], n_documents), crowded


def near_groups(hashes: Keys) -> tuple[Ints, int]:
    """Group different hashes that differ in at most `NEAR` bits, directly or by way of others.

    Returns
    -------
    group : ndarray of int64, shape (hashes,)
    crowded : int
        Hashes that share two parts with more than 200 others, and were not compared with all.

    Examples
    --------
    >>> near_groups(np.array([0b1111, 0b0000, 0b11111111, 1 << 40 | 0b1111000011110000], np.uint64))
    (array([0, 0, 0, 3]), 0)
    """
    n = len(hashes)
    group, crowded = np.arange(n), np.zeros(n, bool)
    for two in combinations(_PARTS, 2):
        order, shared = _by_parts(hashes, two)
        ranked = hashes[order]
        at, shift, found = np.arange(n - 1), 1, []
        while True:
            at = at[: np.searchsorted(at, n - shift)]
            at = at[shared[at] == shared[at + shift]]
            if not len(at) or shift > _NEIGHBOURS:
                break
            close = at[np.bitwise_count(ranked[at] ^ ranked[at + shift]) <= NEAR]
            one, other = order[close], order[close + shift]
            apart = group[one] != group[other]
            found.append((one[apart], other[apart]))
            shift += 1
        crowded[order[at]] = True
        group = _merged(group, found)
    return group, int(crowded.sum())


def _by_parts(hashes: Keys, parts: Sequence[tuple[np.uint64, np.uint64]]) -> tuple[Ints, Keys]:
    """Sort hashes by some of their parts; return the order and those parts, sorted."""
    key = np.zeros(len(hashes), np.uint64)
    for low, ones in parts:
        key = key << np.uint64(11) | hashes >> low & ones
    both = np.sort(key << np.uint64(32) | np.arange(len(hashes), dtype=np.uint64))
    return (both & np.uint64(2**32 - 1)).astype(np.int64), both >> np.uint64(32)


def _merged(group: Ints, found: Sequence[tuple[Ints, Ints]]) -> Ints:
    """Merge groups that are connected; each is named by its first member."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nothing = np.zeros(0, np.int64)
    one = np.concatenate([nothing, *(one for one, _ in found)])
    other = np.concatenate([nothing, *(other for _, other in found)])
    if not len(one):
        return group
    names, place = np.unique(group[np.concatenate([one, other])], return_inverse=True)
    ends = place.reshape(2, -1)
    graph = coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=(len(names),) * 2)
    count, component = connected_components(graph, directed=False)
    lowest = np.full(count, len(group), np.int64)
    np.minimum.at(lowest, component, names)
    renamed = np.arange(len(group))
    renamed[names] = lowest[component]
    return renamed[group]


def _matrices(columns: Sequence[Columns], page: Ints) -> Differing:
    """Compare the matrices of plain documents with one URL, each with the first of its size."""
    starts = np.cumsum([0, *map(len, columns)])
    plain = joined([part.kind == Kind.PLAIN for part in columns], bool)
    offsets = [part.offsets("similarity") for part in columns]
    values = [part.values("similarity") for part in columns]
    widths = np.concatenate([np.zeros(0, np.int64), *(p.numbers("n_sentences") for p in columns)])
    again = np.bincount(page, minlength=len(page))[page] > 1

    def matrix(document: int) -> NDArray[np.floating]:
        part = int(np.searchsorted(starts, document, side="right")) - 1
        row = document - int(starts[part])
        return values[part][offsets[part][row] : offsets[part][row + 1]]

    seen: dict[tuple[int, int, int], tuple[int, NDArray[np.floating]]] = {}
    compared, differing = 0, list[tuple[int, int]]()
    for document in np.flatnonzero(again & plain).tolist():
        here = matrix(document)
        key = int(page[document]), len(here), int(widths[document])
        if key not in seen:
            seen[key] = document, here
            continue
        compared += 1
        first, there = seen[key]
        if not _alike(here, there):
            differing.append((first, document))
    return _differing(compared, differing, len(page))


def _alike(one: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    if np.array_equal(one, other):
        return True
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return bool(((a == b) | (np.abs(a - b) <= EQUAL) | (np.isnan(a) & np.isnan(b))).all())


def _differing(compared: int, found: Sequence[tuple[int, int]], n_documents: int) -> Differing:
    documents = np.zeros(n_documents, bool)
    documents[[one for two in found for one in two]] = True
    return Differing(compared, len(found), documents, tuple(found[:EXAMPLES]))


def _stored(columns: Sequence[Columns], page: Ints, identity: Ints, owner: Ints) -> Differing:
    """Compare the stored scores of the same image with the same sentence of one URL."""
    nothing = np.zeros(0)
    sentence, score = (
        np.concatenate([nothing, *(image_values(part, name) for part in columns)])
        for name in ("stored_sentence", "stored_score")
    )
    repeats = np.bincount(identity, minlength=len(identity))[identity] > 1
    pages = np.bincount(page, minlength=len(page))[page] > 1
    at = np.flatnonzero(repeats & pages[owner] & (sentence >= 0) & np.isfinite(score))
    order = at[np.lexsort((at, sentence[at], identity[at], page[owner[at]]))]
    keys = np.stack([page[owner[order]], identity[order], sentence[order].astype(np.int64)])
    new = np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(axis=0)])[: len(order)]
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    # Of one document, an image that occurs twice is no duplicate of a document.
    compare = ~new & (owner[first] != owner[order])
    differs = compare & (np.abs(score[order] - score[first]) > EQUAL)
    found = zip(owner[first[differs]].tolist(), owner[order[differs]].tolist(), strict=True)
    return _differing(int(compare.sum()), list(found), len(page))


@dataclass(frozen=True)
class YieldOnce:
    """What is kept at a threshold, with all documents and with each document URL once.

    Documents and image tokens are expected values under the single-image keep probability.

    Attributes
    ----------
    documents, documents_once : float
        Kept documents.
    tokens, tokens_once : float
        Their image tokens.
    pairs, images : int
        Pairs at or above the threshold, and different images among them (`Duplicates.identity`).
    """

    documents: float
    documents_once: float
    tokens: float
    tokens_once: float
    pairs: int
    images: int


def yields(seen: Duplicates, found: Verdicts, pairs: Pairs, config: LoaderConfig) -> YieldOnce:
    """Count what is kept with and without duplicates, at the threshold of ``config``.

    Of the documents with one URL, the first of the corpus counts, whether it is kept or not;
    documents without a URL all count.
    """
    odds = found.odds(config.single_image_keep)
    first = pairs.cut(config.lowest_score)
    image = seen.starts[pairs.document[first:]] + pairs.image[first:]
    return YieldOnce(
        documents=float(odds.sum()),
        documents_once=float(odds @ seen.first_page),
        tokens=float(odds @ found.image_tokens),
        tokens_once=float((odds * seen.first_page) @ found.image_tokens),
        pairs=len(pairs) - first,
        images=len(np.unique(seen.identity[image])),
    )


def clusters(
    columns: Sequence[Columns], document: Ints, image: Ints, sentence: Ints | None = None
) -> Ints:
    """Cluster pairs that show the same thing, so that they are not taken for independent.

    Pairs are joined if they have the same image: the same bytes, or, without bytes, the same URL.
    With sentences, pairs of documents with one URL are joined if image and sentence have the same
    numbers; without, all pairs of a document, and of documents with one URL.

    Parameters
    ----------
    columns : sequence of Columns
        One per shard.
    document : ndarray of int64, shape (n,)
        Document positions in the corpus.
    image, sentence : ndarray of int64, shape (n,)
        Indices within the document.

    Returns
    -------
    ndarray of int64, shape (n,)
        The cluster of each pair, numbered from 0 by their first document.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = np.cumsum([0, *map(len, columns)])
    of_shard = np.searchsorted(starts, document, side="right") - 1
    names: dict[tuple[object, ...], int] = {}
    ends = list[tuple[int, int]]()
    within: Sequence[tuple[int, ...]] = [()] * len(document)
    if sentence is not None:
        within = list(zip(image.tolist(), sentence.tolist(), strict=True))
    places = zip(document.tolist(), of_shard.tolist(), image.tolist(), within, strict=True)
    for pair, (at, shard, number, numbers) in enumerate(places):
        part = columns[shard]
        page, picture = _named(part, at - int(starts[shard]), number)
        keys: list[tuple[object, ...]] = [("document", at, *numbers)]
        keys += [("page", page, *numbers)] * bool(page) + [picture] * bool(picture)
        ends += [(pair, names.setdefault(key, len(names))) for key in keys]
    if not ends:
        return np.zeros(0, np.int64)
    one, other = np.array(ends, np.int64).T
    size = len(document) + len(names)
    graph = coo_array((np.ones(len(one), bool), (one, other + len(document))), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, first, place = np.unique(component[: len(document)], return_index=True, return_inverse=True)
    lowest = np.full(len(first), starts[-1])
    np.minimum.at(lowest, place, document)
    rank = np.empty(len(first), np.int64)
    rank[np.lexsort((first, lowest))] = np.arange(len(first))
    return rank[place]


def _named(part: Columns, row: int, image: int) -> tuple[str, tuple[object, ...]]:
    """Return a document's URL and what identifies one of its images; both may be empty."""
    page = str(part.batch.column("url")[row].as_py())
    at = int(part.offsets("images")[row]) + image
    digest = 0 if part.image_digests is None else int(part.image_digests[at])
    url = part.batch.column("images").values.field("url")[at].as_py()
    return page, ("bytes", digest) if digest else ("url", url) if url else ()
