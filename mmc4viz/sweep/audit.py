"""Counts of silent loader behavior: vectorized for plain documents, one by one for the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Ints, joined
from mmc4viz.data.columns import BAD_PIXELS, Columns, ImageCheck, Kind
from mmc4viz.data.scale import Scale, misfit
from mmc4viz.loader.assignment import stored_score
from mmc4viz.loader.images import SINCE
from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.walk import matrix_of
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.pairs import Pairs, literals, positions_in_document
from mmc4viz.sweep.statistics import CLASS
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import Document, ImageStatus, LoaderConfig, PairStatus


@dataclass(frozen=True)
class Mispaired:
    """Kept sequences and their image tokens, and how many of each are mispaired.

    All are expected values under the single-image keep probability.
    """

    sequences: float
    wrong_sequences: float
    tokens: float
    wrong_tokens: float


def mispaired(found: Verdicts, keep: float) -> Mispaired:
    """Count mispaired sequences and pairs; ``keep`` is the single-image keep probability."""
    odds = found.odds(keep)
    return Mispaired(
        sequences=float(odds.sum()),
        wrong_sequences=float(odds @ (found.mispaired > 0)),
        tokens=float(odds @ found.image_tokens),
        wrong_tokens=float(odds @ found.mispaired),
    )


@dataclass(frozen=True)
class Capped:
    """Pairs dropped at the cap, and what a cap by score would have kept.

    Attributes
    ----------
    documents : ndarray of bool, shape (documents,)
        Documents in which a pair over the cap scores higher than a kept one.
    over_cap : int
        Pairs dropped at the cap.
    outscoring : int
        Of these, pairs that score higher than some kept pair of their document.
    displaced : int
        Of these, pairs that a cap by score would keep, ties to the earlier image.
    lost, instead : ndarray of float64, shape (displaced,)
        Scores of the displaced pairs and of those kept instead, ascending.
    """

    documents: Bools
    over_cap: int
    outscoring: int
    displaced: int
    lost: NDArray[np.float64]
    instead: NDArray[np.float64]


@dataclass(frozen=True)
class Crowded:
    """Pairs of documents with more pairs than the cap, by document and image.

    Attributes
    ----------
    document : ndarray of int64, shape (pairs,)
        Document position, ascending.
    score : ndarray of float64, shape (pairs,)
    by_score : ndarray of int64, shape (pairs,)
        Rank within the document, best first, ties to the earlier image.
    """

    document: Ints
    score: NDArray[np.float64]
    by_score: Ints


def crowded(pairs: Pairs, found: Verdicts, cap: int) -> Crowded:
    """Collect the pairs of documents that can exceed the cap, at any threshold."""
    per_document = np.bincount(pairs.document, minlength=len(found.kind))
    where = np.flatnonzero(per_document[pairs.document] > cap)
    where = where[np.lexsort((pairs.image[where], pairs.document[where]))]
    document, score = pairs.document[where].astype(np.int64), pairs.score[where]
    by_score = np.empty(len(where), np.int64)
    by_score[np.lexsort((-score, document))] = positions_in_document(document)
    return Crowded(document, score, by_score)


def capped(pairs: Crowded, found: Verdicts, config: LoaderConfig) -> Capped:
    """Compare the first pairs of each document with its best ones."""
    cap = profile_of(config).cap_of(config)
    over = found.surviving > cap
    where = np.flatnonzero((pairs.score >= config.lowest_score) & over[pairs.document])
    document, score = pairs.document[where], pairs.score[where]
    first, best = positions_in_document(document) < cap, pairs.by_score[where] < cap
    lowest = np.full(len(over), np.inf)
    np.minimum.at(lowest, document[first], score[first])
    outscoring = ~first & (score > lowest[document])
    flagged = np.zeros(len(over), bool)
    flagged[document[outscoring]] = True
    lost, instead = score[best & ~first], score[first & ~best]
    return Capped(
        flagged,
        over_cap=int((~first).sum()),
        outscoring=int(outscoring.sum()),
        displaced=len(lost),
        lost=np.sort(lost),
        instead=np.sort(instead),
    )


@dataclass(frozen=True)
class Lost:
    """Image tokens beyond the token limit, and unmatched images.

    Attributes
    ----------
    written, truncated : int
        Image tokens of pairs within the cap; those that are truncated.
    surplus : int
        Valid images without a sentence, in readable documents.
    surplus_documents : int
    """

    written: int
    truncated: int
    surplus: int
    surplus_documents: int


def lost(matched: Matched, found: Verdicts, config: LoaderConfig, unmatched: Ints) -> Lost:
    """Count truncated image tokens and unmatched images.

    Parameters
    ----------
    unmatched : ndarray of int64, shape (documents,)
        Unmatched images of plain documents (`image_counts`).
    """
    readable = found.kind != CLASS["unreadable"]
    written = np.minimum(found.surviving, profile_of(config).cap_of(config))
    reaching = found.image_tokens.copy()
    surplus = np.where(readable, unmatched, 0)
    literal = literals(matched, config)
    here, pairs = literal.document, literal.pairs
    reaching[here] = pairs[PairStatus.KEPT]
    written[here] = pairs[PairStatus.KEPT] + pairs[PairStatus.TRUNCATED]
    surplus[here] = np.where(readable[here], literal.images[ImageStatus.UNMATCHED], 0)
    truncated = int((written - reaching).sum())
    return Lost(int(written.sum()), truncated, int(surplus.sum()), int((surplus > 0).sum()))


@dataclass(frozen=True)
class Undecodable:
    """Documents dropped because of undecodable images.

    Attributes
    ----------
    documents : ndarray of bool, shape (documents,)
        The dropped documents.
    single : ndarray of bool, shape (documents,)
        Those with exactly one undecodable image and at least one valid image.
    sound : int
        Valid images in ``documents``.
    newer : counter
        Images by format, for formats that only newer Pillow versions decode (`SINCE`).
    """

    documents: Bools
    single: Bools
    sound: int
    newer: Counter[str] = field(default_factory=Counter)


def undecodable(matched: Matched, config: LoaderConfig) -> Undecodable:
    """Find the documents dropped because of an undecodable image."""
    parts = [_undecodable(part.columns, config.min_kb) for part in matched.parts]
    return Undecodable(
        joined([documents for documents, _, _ in parts], bool),
        joined([single for _, single, _ in parts], bool),
        sum(sound for *_, sound in parts),
        sum((_newer(part.columns) for part in matched.parts), Counter[str]()),
    )


def _newer(columns: Columns) -> Counter[str]:
    first, end = columns.offsets("images")[[0, -1]].tolist()
    formats = columns.batch.column("images").values.field("format").slice(first, end - first)
    counted = {one["values"]: one["counts"] for one in formats.value_counts().to_pylist()}
    return Counter({kind: counted[kind] for kind in SINCE if kind in counted})


def _undecodable(columns: Columns, min_kb: int) -> tuple[Bools, Bools, int]:
    n = len(columns)
    owner = np.repeat(np.arange(n), columns.n_images)
    check, n_bytes = image_values(columns, "status"), image_values(columns, "n_bytes")
    small = (n_bytes >= 0) & (n_bytes // 1000 <= min_kb) & ~_chatgpt(columns)[owner]
    looked_at = (columns.kind != Kind.UNREADABLE)[owner]
    bad = (check == ImageCheck.BAD_ENTRY) | (np.isin(check, BAD_PIXELS) & ~small)
    n_bad = np.bincount(owner[bad & looked_at], minlength=n)
    n_sound = np.bincount(owner[(check == ImageCheck.VALID) & ~small & looked_at], minlength=n)
    hit = n_bad > 0
    return hit, (n_bad == 1) & (n_sound > 0), int(n_sound[hit].sum())


def _chatgpt(columns: Columns) -> Bools:
    """Find the ChatGPT-generated documents, which have no size limit."""
    found = np.zeros(len(columns), bool)
    for row in np.flatnonzero(columns.kind == Kind.LITERAL).tolist():
        found[row] = columns.document(row).is_gpt
    return found


@dataclass(frozen=True)
class SizeRange:
    """Images at or above the nominal size limit that are dropped nevertheless.

    They have ``low`` to ``high`` bytes; ``documents``, shape (documents,), marks their documents.
    """

    low: int
    high: int
    images: int
    documents: Bools


def band(matched: Matched, config: LoaderConfig) -> SizeRange:
    """Find images of min_kb × 1,000 to min_kb × 1,000 + 999 bytes, dropped because of ``<=``."""
    low = 1000 * config.min_kb
    masks, images = [], 0
    for part in matched.parts:
        columns = part.columns
        n_bytes = image_values(columns, "n_bytes")
        inside = (n_bytes >= max(low, 0)) & (n_bytes < low + 1000)
        owner = np.repeat(np.arange(len(columns)), columns.n_images)[inside]
        images += int(inside.sum())
        masks.append(np.bincount(owner, minlength=len(columns)) > 0)
    return SizeRange(low, low + 999, images, joined(masks, bool))


@dataclass(frozen=True)
class ThresholdFit:
    """Whether a threshold fits the scores; if not, ``problem`` says why."""

    scale: Scale
    low: float
    high: float
    problem: str | None


def fit(scores: NDArray[np.float64], threshold: float, scale: Scale) -> ThresholdFit:
    """Check whether a threshold separates matched scores.

    Parameters
    ----------
    scores : ndarray of float64, shape (pairs,)
        Ascending.
    threshold : float
    scale : Scale
        The scores' scale.

    Examples
    --------
    >>> from mmc4viz.data.scale import COSINE
    >>> fit(np.array([0.1, 0.3]), 0.4, COSINE).problem
    'every pair scores below it, so no pair is kept'
    """
    first, last = np.searchsorted(scores, -np.inf, "right"), np.searchsorted(scores, np.inf)
    if first >= last:
        return ThresholdFit(scale, float("nan"), float("nan"), "no pair has a finite score")
    low, high = float(scores[first]), float(scores[last - 1])
    problem = misfit(threshold, scale.name, float(scores[0]), float(scores[-1]))
    return ThresholdFit(scale, low, high, problem)


def image_values(columns: Columns, name: str) -> NDArray[Any]:
    """Return a field of the documents' images, shape (images,)."""
    starts = columns.offsets("images")
    return columns.image(name)[starts[0] : starts[-1]]


EQUAL: Final = 1e-6  # tolerance for equal scores


@dataclass(frozen=True)
class Stored:
    """The corpus's ``matched_sim`` compared with its matrices.

    Attributes
    ----------
    compared, equal : int
        Images with both; those that differ by at most `EQUAL`.
    largest : float
        Largest finite difference.
    nowhere : int
        Images without a valid stored sentence or score.
    documents : ndarray of bool, shape (documents,)
        Documents with an image that differs.
    """

    compared: int
    equal: int
    largest: float
    nowhere: int
    documents: Bools


def stored(matched: Matched) -> Stored:
    """Compare every image's stored score with the matrix; settings do not matter."""
    parts = [_stored(part.columns) for part in matched.parts]
    return Stored(
        compared=sum(part.compared for part in parts),
        equal=sum(part.equal for part in parts),
        largest=max((part.largest for part in parts), default=0.0),
        nowhere=sum(part.nowhere for part in parts),
        documents=joined([part.documents for part in parts], bool),
    )


def _stored(columns: Columns) -> Stored:
    """Compare one shard's plain documents at once, the others one by one."""
    n, width = len(columns), columns.numbers("n_sentences").astype(np.int64)
    owner = np.repeat(np.arange(n), columns.n_images)
    first = columns.offsets("images")
    rank = np.arange(len(owner)) - (first[:-1] - first[0])[owner]
    sentence = image_values(columns, "stored_sentence")
    score = image_values(columns, "stored_score")
    plain = (columns.kind == Kind.PLAIN)[owner]
    starts, values = columns.offsets("similarity"), columns.values("similarity")
    at = starts[:-1][owner] + rank * width[owner] + sentence
    fits = plain & (sentence >= 0) & (sentence < width[owner]) & np.isfinite(score)
    fits &= at < starts[1:][owner]
    difference = np.abs(values[at[fits]].astype(np.float64) - score[fits])
    literal_owner, literal, nowhere = _stored_literal(columns)
    difference = np.concatenate([difference, literal])
    whose = np.concatenate([owner[fits], literal_owner])
    equal = difference <= EQUAL
    finite = difference[np.isfinite(difference)]
    return Stored(
        compared=len(difference),
        equal=int(equal.sum()),
        largest=float(finite.max(initial=0.0)),
        nowhere=int((plain & ~fits).sum()) + nowhere,
        documents=np.bincount(whose[~equal], minlength=n) > 0,
    )


def _stored_literal(columns: Columns) -> tuple[Ints, NDArray[np.float64], int]:
    """Return rows and differences of literal documents' images, and the number without one."""
    rows: list[int] = []
    differences: list[float] = []
    nowhere = 0
    for row in np.flatnonzero(columns.kind == Kind.LITERAL).tolist():
        document = columns.document(row)
        found = [] if document.is_gpt else _differences(document)
        rows += [row] * len(found)
        differences += found
        nowhere += 0 if document.is_gpt else len(document.images) - len(found)
    return np.array(rows, np.int64), np.array(differences, np.float64), nowhere


def _differences(document: Document) -> list[float]:
    matrix = matrix_of(document)
    if matrix is None:
        return []
    found = []
    for image, row in zip(document.images, matrix, strict=False):
        sentence, score = image.stored_sentence, stored_score(image.stored_score)
        if type(sentence) is int and 0 <= sentence < len(row) and score is not None:
            found.append(abs(float(row[sentence]) - score))
    return found
