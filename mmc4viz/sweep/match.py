"""Valid images and matched pairs of a shard, vectorized.

The first half of the reference walk for all plain documents of a shard at once. It depends only on
the size limit and the assignment, not on threshold, cap or token limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Floats, Ints
from mmc4viz.data.columns import BAD_PIXELS, Columns, ImageCheck, Kind
from mmc4viz.loader.assignment import solver
from mmc4viz.loader.profile import by_row_softmax, profile_of, softmax
from mmc4viz.loader.template import Placing, TokenizedUnit
from mmc4viz.sweep.statistics import CLASS, IMAGE_STATUS, QUANTITY, SHAPES, Tally
from mmc4viz.types import ImageStatus, LoaderConfig


@dataclass(frozen=True)
class SimilarityRows:
    """Similarity rows of D documents with R valid images in total, at least one each.

    Attributes
    ----------
    values : ndarray of float32 or float64
        All rows, concatenated.
    starts : ndarray of int64, shape (R + 1,)
        Start of each row in the values.
    first : ndarray of int64, shape (D + 1,)
        Each document's first row.
    stored_sentence : ndarray of int64, shape (R,)
        The corpus's own sentence of each image, -1 for none.
    stored_score : ndarray of float64, shape (R,)
        The corpus's own score, NaN for none.
    """

    values: NDArray[Any]
    starts: Ints
    first: Ints
    stored_sentence: Ints
    stored_score: Floats

    @property
    def owner(self) -> Ints:
        """Document of each row, shape (R,)."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def documents_with(self, row: Bools) -> Bools:
        """Which documents have a marked row, shape (D,)."""
        return np.logical_or.reduceat(row, self.first[:-1])

    def scores(self, sentence: Ints) -> Floats:
        """Return each row's score with a sentence, shape (R,)."""
        return self.values[self.starts[:-1] + np.maximum(sentence, 0)].astype(np.float64)


@dataclass(frozen=True)
class Assigned:
    """Result of an assignment.

    Attributes
    ----------
    sentence : ndarray of int64, shape (R,)
        Each image's sentence, -1 if unmatched.
    score : ndarray of float64, shape (R,)
    failed : ndarray of bool, shape (D,)
        Documents with a loader error; their sentences are undefined.
    """

    sentence: Ints
    score: Floats
    failed: Bools


@dataclass(frozen=True)
class _Best:
    """Each row's best sentence (the first in a tie), and whether it is unique."""

    score: Floats
    sentence: Ints
    alone: Bools


def _best(values: NDArray[Any], starts: Ints) -> _Best:
    """Find each row's maximum; a row with NaN has a NaN score and an undefined sentence.

    Rows are contiguous, from ``starts[i]`` to ``starts[i + 1]``.
    """
    highest = np.maximum.reduceat(values, starts[:-1])
    hits = np.flatnonzero(values == np.repeat(highest, np.diff(starts)))
    if len(hits) == len(highest) and not np.isnan(highest).any():  # no ties: one hit per row
        place, alone = hits, np.ones(len(highest), bool)
    else:
        row = np.searchsorted(starts, hits, side="right") - 1
        alone = np.bincount(row, minlength=len(highest)) == 1
        place = starts[:-1].copy()
        place[row[::-1]] = hits[::-1]
    return _Best(highest.astype(np.float64), place - starts[:-1], alone)


def _refused(rows: SimilarityRows, best: _Best) -> Bools:
    """Which documents contain NaN or +∞, shape (D,)."""
    return rows.documents_with(np.isnan(best.score) | (best.score == np.inf))


def _collide(owner: Ints, sentence: Ints) -> Bools:
    """Which rows claim a sentence that an earlier row of their document claims, shape (R,)."""
    key = owner * (sentence.max(initial=0) + 1) + sentence
    order = np.argsort(key, kind="stable")
    later = np.zeros(len(key), bool)
    later[order[1:]] = key[order[1:]] == key[order[:-1]]
    return later


def one_to_one(rows: SimilarityRows) -> Assigned:
    """Maximize the total score, with SciPy's routine or a shortcut with the same result.

    If each row has a unique finite maximum and no two are in the same column, that routine
    chooses these maxima. It adds row after row, each by a shortest path from the row to a free
    column, with duals u and v that begin at 0. The first costs that a row meets are
    ``0 + cost - 0 - v``, which is ``cost`` exactly as long as v is 0; so it settles on its own
    lowest cost, whose column is free; the path ends there, and v changes by
    ``lowest - shortest[column]``, which is 0: the next row meets the same. (Such a document has no
    more rows than columns, so the routine does not transpose it.)
    """
    best = _best(rows.values, rows.starts)
    failed = _refused(rows, best)
    sentence = best.sentence.copy()
    doubtful = ~best.alone | ~np.isfinite(best.score) | _collide(rows.owner, sentence)
    unsolved = rows.documents_with(doubtful) & ~failed
    infeasible = _solve(rows, np.flatnonzero(unsolved), sentence)
    failed[infeasible] = True
    return Assigned(sentence, rows.scores(sentence), failed)


def _solve(rows: SimilarityRows, documents: Ints, sentence: Ints) -> list[int]:
    """Run SciPy's routine on documents, filling ``sentence``; return infeasible documents."""
    solve, cost = solver(), -rows.values.astype(np.float64)
    firsts, lasts = rows.first[documents], rows.first[documents + 1]
    begins, ends = rows.starts[firsts].tolist(), rows.starts[lasts].tolist()
    infeasible, taken, found = [], [], []
    for number, first, last, begin, end in zip(
        documents.tolist(), firsts.tolist(), lasts.tolist(), begins, ends, strict=True
    ):
        sentence[first:last] = -1
        try:
            matched, columns = solve(cost[begin:end].reshape(last - first, -1))
        except ValueError:
            infeasible.append(number)
            continue
        taken.append(matched + first)
        found.append(columns)
    if taken:
        sentence[np.concatenate(taken)] = np.concatenate(found)
    return infeasible


def shares(rows: SimilarityRows) -> SimilarityRows:
    """Return each row's softmax in place of its scores, rows of equal length at once."""
    width = np.diff(rows.starts)
    found, order = np.empty(len(rows.values)), np.argsort(width, kind="stable")
    edges = np.flatnonzero(np.diff(width[order])) + 1
    for some in np.split(order, edges):
        at = rows.starts[some, None] + np.arange(width[some[0]])
        found[at] = softmax(rows.values[at].astype(np.float64))
    return replace(rows, values=found)


def argmax(rows: SimilarityRows) -> Assigned:
    """Match each image to its most similar sentence, the first in a tie."""
    best = _best(rows.values, rows.starts)
    return Assigned(best.sentence, best.score, _refused(rows, best))


def stored(rows: SimilarityRows) -> Assigned:
    """Use the corpus's own sentence and score."""
    width = np.diff(rows.starts)
    usable = (rows.stored_sentence >= 0) & (rows.stored_sentence < width)
    usable &= np.isfinite(rows.stored_score)
    nobody = np.zeros(len(rows.first) - 1, bool)
    return Assigned(np.where(usable, rows.stored_sentence, -1), rows.stored_score, nobody)


def greedy(rows: SimilarityRows) -> Assigned:
    """Take the highest remaining score first, one-to-one; never −∞.

    Computed as a stable matching: each image claims its best sentence; the highest claim wins (the
    first image in a tie), and the others move on to their next best. With ties broken by image and
    sentence, the only stable matching is the greedy one.
    """
    values, best = rows.values.copy(), _best(rows.values, rows.starts)
    failed = _refused(rows, best)
    owner, score = rows.owner, best.score.copy()
    sentence = np.where(score > -np.inf, best.sentence, -1)
    here = np.flatnonzero(~failed[owner])  # rows of documents that may still change
    while len(lost := _outbid(owner, sentence, score, here)):
        values[rows.starts[lost] + sentence[lost]] = -np.inf
        again, starts = _gathered(values, rows.starts, lost)
        following = _best(again, starts)
        score[lost] = following.score
        sentence[lost] = np.where(following.score > -np.inf, following.sentence, -1)
        here = here[np.isin(owner[here], owner[lost])]
    return Assigned(sentence, score, failed)


def neighbor(rows: SimilarityRows) -> Assigned:
    """Match each image to the text that follows it on the page."""
    best = _best(rows.values, rows.starts)
    known = (rows.stored_sentence >= 0) & (rows.stored_sentence < np.diff(rows.starts))
    sentence = np.where(known, rows.stored_sentence, -1)
    return Assigned(sentence, rows.scores(sentence), _refused(rows, best))


def _outbid(owner: Ints, sentence: Ints, score: Floats, here: Ints) -> Ints:
    """Return the rows outbid by a higher score, or an equal one of an earlier image."""
    here = here[sentence[here] >= 0]
    key = owner[here] * (sentence.max(initial=0) + 1) + sentence[here]
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    contested = order[np.union1d(same, same + 1)]  # few, so only these are compared
    best_first = contested[np.lexsort((here[contested], -score[here[contested]], key[contested]))]
    beaten = key[best_first[1:]] == key[best_first[:-1]]
    return np.asarray(here[best_first[1:][beaten]])


def _gathered(values: NDArray[Any], starts: Ints, rows: Ints) -> tuple[NDArray[Any], Ints]:
    """Return the concatenated values of some rows, and where each begins."""
    width = starts[rows + 1] - starts[rows]
    packed = np.concatenate([[0], np.cumsum(width)])
    where = np.arange(packed[-1]) + np.repeat(starts[rows] - packed[:-1], width)
    return values[where], packed


ASSIGN: dict[str, Callable[[SimilarityRows], Assigned]] = {
    "one_to_one": one_to_one,
    "argmax": argmax,
    "stored": stored,
    "greedy": greedy,
    "neighbor": neighbor,
}


_LOST: Final = IMAGE_STATUS[ImageStatus.LOST_WITH_DOCUMENT]
WAITING: Final = IMAGE_STATUS[ImageStatus.MATCHED]
"""Status of valid images before matching."""

LITERAL: Final = len(ImageStatus)
"""In place of a status, for images of literal documents."""


@dataclass(frozen=True)
class Validity:
    """Status of one shard's I images under a size limit, before matching.

    Attributes
    ----------
    starts : ndarray of int64, shape (documents + 1,)
        Each document's first image.
    status : ndarray of uint8, shape (I,)
        Positions in `ImageStatus`, or LITERAL.
    lost : ndarray of bool, shape (documents,)
        Plain documents that an image makes unreadable.
    """

    starts: Ints
    status: NDArray[np.uint8]
    lost: Bools

    def having(self, status: int) -> Ints:
        """Return each document's number of images with a status, shape (documents,)."""
        running = np.concatenate([[0], np.cumsum(self.status == status)])
        return np.diff(running[self.starts])

    def by_cluster(self, cluster: Ints, clusters: int) -> Ints:
        """Count images by their document's cluster and status, without literal documents.

        Parameters
        ----------
        cluster : ndarray of int64, shape (documents,)
        clusters : int

        Returns
        -------
        ndarray of int64, shape (clusters, len(ImageStatus))
        """
        width = LITERAL + 1
        of_image = np.repeat(cluster * width, np.diff(self.starts)) + self.status
        found = np.bincount(of_image, minlength=clusters * width)
        return found.reshape(clusters, width)[:, :LITERAL]


def validity(columns: Columns, config: LoaderConfig) -> Validity:
    """Determine the status of one shard's images, in the order of the walk.

    Only ``loader`` and ``min_kb`` of the settings matter.
    """
    starts = columns.offsets("images")
    inside = slice(starts[0], starts[-1])
    starts = starts - starts[0]
    check, n_bytes = columns.image("status")[inside], columns.image("n_bytes")[inside]
    small = _small(n_bytes, config.min_kb)
    kind = np.repeat(columns.kind_under(config.loader), np.diff(starts))
    status = np.full(len(check), WAITING, np.uint8)
    status[small] = IMAGE_STATUS[ImageStatus.TOO_SMALL]
    status[check == ImageCheck.MISSING] = IMAGE_STATUS[ImageStatus.MISSING]
    profile = profile_of(config)
    bad = np.zeros(len(check), bool)
    if profile.decodes_all:
        bad = np.isin(check, [ImageCheck.BAD_PIXELS] if profile.fills_truncated else BAD_PIXELS)
    fatal = (check == ImageCheck.BAD_ENTRY) | (bad & ~small)
    if not profile.broken_is_fatal:
        status[fatal] = IMAGE_STATUS[ImageStatus.UNDECODABLE]
        fatal[:] = False
    if profile.missing_is_fatal:
        fatal |= check == ImageCheck.MISSING
    lost = _lose(status, np.flatnonzero(fatal & (kind == Kind.PLAIN)), starts)
    status[kind == Kind.UNREADABLE] = _LOST
    status[kind == Kind.LITERAL] = LITERAL
    return Validity(starts, status, lost)


def _lose(status: NDArray[np.uint8], fatal: Ints, starts: Ints) -> Bools:
    """Drop the documents of fatal images; images after a document's first are not examined."""
    owners, which = np.unique(np.searchsorted(starts, fatal, side="right") - 1, return_index=True)
    for document, image in zip(owners.tolist(), fatal[which].tolist(), strict=True):
        if status[image] != IMAGE_STATUS[ImageStatus.MISSING]:
            status[image] = IMAGE_STATUS[ImageStatus.UNDECODABLE]
        status[image + 1 : starts[document + 1]] = _LOST
    lost = np.zeros(len(starts) - 1, bool)
    lost[owners] = True
    return lost


def changed(columns: Columns, min_kb: int, other: int) -> Bools:
    """Which documents have an image that only one of two size limits drops, shape (documents,)."""
    starts = columns.offsets("images")
    n_bytes = columns.image("n_bytes")[starts[0] : starts[-1]]
    crossing = np.flatnonzero(_small(n_bytes, min_kb) != _small(n_bytes, other))
    documents = np.zeros(len(columns), bool)
    documents[np.searchsorted(starts - starts[0], crossing, side="right") - 1] = True
    return documents


def _small(n_bytes: Ints, min_kb: int) -> Bools:
    return (n_bytes >= 0) & (n_bytes // 1000 <= min_kb)


Array = NDArray[np.int32]


@dataclass(frozen=True)
class Matches:
    """Matched pairs, in any order; every array of shape (pairs,).

    Attributes
    ----------
    document : ndarray of int32
        Document number.
    image, sentence : ndarray of int32
        Indices within the document.
    before : ndarray of int32
        Text tokens before the image if no pair precedes it: up to its sentence, or with it.
    extra : ndarray of int32
        Tokens that following the image adds to the sentence after it.
    wordless : ndarray of bool
        Whether that sentence may have no tokens of its own after an image token.
    total : ndarray of int32
        Text tokens of the document without any pair.
    score : ndarray of float64
    broken : ndarray of bool
        Whether the image is found broken when its score has passed, which loses the document.
    beyond : ndarray of int32, shape (3, pairs) or (0, pairs)
        Where the image may also come after its sentence: the sentence's own tokens, what following
        the image adds to the next sentence, and 1 if there is no next one; otherwise nothing.
    """

    document: Array
    image: Array
    sentence: Array
    before: Array
    extra: Array
    wordless: Bools
    total: Array
    score: NDArray[np.float64]
    broken: Bools
    beyond: Array

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Concatenate pairs."""
        none, never = np.zeros(0, np.int32), np.zeros(0, bool)
        nothing = parts[0].beyond[:, :0] if parts else np.zeros((0, 0), np.int32)
        empty = cls(none, none, none, none, none, never, none, np.zeros(0), never, nothing)
        names, all_parts = cls.__dataclass_fields__, (empty, *parts)
        return cls(
            **{n: np.concatenate([getattr(one, n) for one in all_parts], axis=-1) for n in names}
        )

    def shifted(self, documents: int) -> Matches:
        """Return the pairs with shifted document numbers."""
        return replace(self, document=self.document + np.int32(documents))


@dataclass(frozen=True)
class Known:
    """Results of an earlier matching that still hold.

    Attributes
    ----------
    documents : ndarray of bool, shape (documents,)
        Documents that need no matching.
    failed : ndarray of bool, shape (documents,)
        Of these, documents with a loader error.
    pairs : Matches
        Their pairs.
    """

    documents: Bools
    failed: Bools
    pairs: Matches


@dataclass(frozen=True)
class ShardMatch:
    """One shard, matched.

    Attributes
    ----------
    pairs : Matches
    kind : ndarray of uint8, shape (documents,)
        Class of each document with all pairs below the threshold; undefined for literal ones.
    constants : Tally
        Of plain and unreadable documents, with all pairs below the threshold.
    """

    pairs: Matches
    kind: NDArray[np.uint8]
    constants: Tally


def match(columns: Columns, config: LoaderConfig, known: Known | None = None) -> ShardMatch:
    """Match one shard's plain documents.

    Parameters
    ----------
    columns : Columns
        The shard.
    config : LoaderConfig
        Only ``loader``, ``min_kb`` and ``assignment`` matter.
    known : Known, optional
        Results to reuse.
    """
    images, how = validity(columns, config), columns.kind_under(config.loader)
    plain = how == Kind.PLAIN
    waiting = images.having(WAITING)
    ready = plain & ~images.lost & (waiting > 0)
    todo = ready if known is None else ready & ~known.documents
    pairs, failed = _match_documents(columns, images, config, todo)
    if known is not None:
        pairs = Matches.joined([known.pairs, pairs])
        failed |= ready & known.failed
    lost = images.lost | failed | (how == Kind.UNREADABLE)
    kind = np.full(len(columns), CLASS["below_threshold"], np.uint8)
    kind[plain & (waiting == 0)] = CLASS["no_valid_image"]
    kind[lost] = CLASS["unreadable"]
    n_pairs = np.bincount(pairs.document, minlength=len(columns))
    together = np.zeros(len(columns), np.int64)
    counts, status = constants(how, images, kind, n_pairs, together, 1)
    return ShardMatch(pairs, kind, Tally(counts[0], status[0], np.zeros(len(SHAPES), np.int64)))


def constants(
    how: NDArray[np.uint8],
    images: Validity,
    kind: NDArray[np.uint8],
    n_pairs: Ints,
    cluster: Ints,
    clusters: int,
) -> tuple[Ints, Ints]:
    """Tally a shard's plain and unreadable documents with all pairs below the threshold.

    Parameters
    ----------
    how : ndarray of uint8, shape (documents,)
        How each document's outcome is computed (`mmc4viz.data.columns.Kind`).
    images : Validity
        Of its images.
    kind : ndarray of uint8, shape (documents,)
        Class of each document; of literal ones, anything.
    n_pairs, cluster : ndarray of int64, shape (documents,)
        Each document's matched pairs, and its cluster.
    clusters : int

    Returns
    -------
    counts : ndarray of int64, shape (clusters, len(QUANTITIES), len(CLASSES))
    images : ndarray of int64, shape (clusters, len(ImageStatus))
        As in `mmc4viz.sweep.statistics.Tally`.
    """
    here, size = how != Kind.LITERAL, len(CLASS)
    lost = here & (kind == CLASS["unreadable"])
    documents = np.bincount(cluster[here] * size + kind[here], minlength=clusters * size)
    pairs = _sums(cluster[here], n_pairs[here], clusters)
    counts = np.zeros((clusters, len(QUANTITY), size), np.int64)
    counts[:, QUANTITY["documents"]] = documents.reshape(clusters, size)
    counts[:, QUANTITY["rejected_pairs"], CLASS["below_threshold"]] = pairs
    counts[:, QUANTITY["stranded"], CLASS["unreadable"]] = _sums(
        cluster[lost], images.having(WAITING)[lost], clusters
    )
    status = images.by_cluster(cluster, clusters)
    status[:, IMAGE_STATUS[ImageStatus.UNMATCHED]] = status[:, WAITING] - pairs
    status[:, WAITING] = pairs
    return counts, status


def _sums(cluster: Ints, values: Ints, clusters: int) -> Ints:
    """Sum integers below 2**53 by cluster, shape (clusters,)."""
    return np.bincount(cluster, values, clusters).astype(np.int64)


def _match_documents(
    columns: Columns, images: Validity, config: LoaderConfig, documents: Bools
) -> tuple[Matches, Bools]:
    """Run an assignment on documents; return the pairs and which documents failed."""
    failed = np.zeros(len(columns), bool)
    n_sentences = columns.numbers("n_sentences").astype(np.int64)
    n_rows = np.diff(columns.offsets("similarity")) // np.maximum(n_sentences, 1)
    owner = np.repeat(np.arange(len(columns)), np.diff(images.starts))
    index = np.arange(len(owner)) - images.starts[owner]
    wanted = (images.status == WAITING) & documents[owner]
    failed[owner[wanted & (index >= n_rows[owner])]] = True  # a row is missing
    wanted &= ~failed[owner]
    owner, index = owner[wanted], index[wanted]
    if not len(owner):
        return _pairs(columns, config, owner, index, index, np.zeros(0)), failed
    rows = _rows(columns, n_sentences, n_rows, owner, index, np.flatnonzero(wanted))
    if profile_of(config).matcher is by_row_softmax:
        rows = shares(rows)
    assigned = ASSIGN[config.assignment](rows)
    failed[owner[rows.first[:-1]][assigned.failed]] = True
    found = (assigned.sentence >= 0) & ~failed[owner]
    kept = owner[found], index[found], assigned.sentence[found], assigned.score[found]
    return _pairs(columns, config, *kept), failed


def _rows(
    columns: Columns, n_sentences: Ints, n_rows: Ints, owner: Ints, index: Ints, image: Ints
) -> SimilarityRows:
    """Gather the rows of valid images, given by document, index in it and index in the shard."""
    first_row = np.concatenate([[0], np.cumsum(n_rows)])
    keep = np.zeros(first_row[-1], bool)
    keep[first_row[owner] + index] = True
    values = _list_values(columns, "similarity")
    if not keep.all():
        # A mask reads the values in order, which is faster than indexing.
        values = values[np.repeat(keep, np.repeat(n_sentences, n_rows))]
    inside = image + columns.offsets("images")[0]
    return SimilarityRows(
        values,
        starts=np.concatenate([[0], np.cumsum(n_sentences[owner])]),
        first=np.concatenate([[0], np.flatnonzero(np.diff(owner)) + 1, [len(owner)]]),
        stored_sentence=columns.image("stored_sentence")[inside],
        stored_score=columns.image("stored_score")[inside],
    )


def _list_values(columns: Columns, name: str) -> NDArray[Any]:
    """Return a list column's values of these documents only (a slice shares the buffer)."""
    starts = columns.offsets(name)
    return columns.values(name)[starts[0] : starts[-1]]


def _pairs(
    columns: Columns,
    config: LoaderConfig,
    owner: Ints,
    image: Ints,
    sentence: Ints,
    score: NDArray[np.float64],
) -> Matches:
    """Add token counts before each pair's image, and what it adds to the sentence that follows."""
    profile, template = profile_of(config), profile_of(config).template
    broken = np.zeros(len(owner), bool)
    if not profile.decodes_all:
        check = columns.image("status")[columns.offsets("images")[owner] + image]
        broken = np.isin(check, BAD_PIXELS)
    starts = columns.offsets("rest")
    alone = _list_values(columns, "rest").copy()
    first = _list_values(columns, "first")
    starts = starts - starts[0]
    has_text = starts[1:] > starts[:-1]
    alone[starts[:-1][has_text]] = columns.numbers("head")[has_text]
    running = np.concatenate([[0], np.cumsum(alone, dtype=np.int64)])
    begin, end = starts[owner], starts[owner + 1]
    at = begin + sentence + (template.placing is Placing.AFTER)
    follows = at < end  # a sentence follows the image
    near = np.where(follows, at, begin)
    opened, rest = first[near] * follows, alone[near] * follows
    beyond = np.zeros((0, len(owner)), np.int32)
    if template.placing is Placing.EITHER:
        has_next = at + 1 < end
        following = np.where(has_next, at + 1, begin)
        extra = (first[following] - alone[following]) * has_next
        beyond = np.stack([alone[at], extra, ~has_next]).astype(np.int32)
    # A loader that tokenizes chunks drops the first token of each for begin-of-text.
    lost = 0
    if template.unit is TokenizedUnit.CHUNKS:
        lost = int(profile.tokenizer(columns.tokenizer).n_before == 0)
    return Matches(
        owner.astype(np.int32),
        image.astype(np.int32),
        sentence.astype(np.int32),
        before=(running[at] - running[begin] - lost).astype(np.int32),
        extra=(opened - rest - lost * follows).astype(np.int32),
        wordless=follows & (opened <= lost),
        total=(running[end] - running[begin] - lost).astype(np.int32),
        score=score,
        broken=broken,
        beyond=beyond,
    )
