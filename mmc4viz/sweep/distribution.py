"""What becomes of matched pairs by score, and where on the page they are.

`by_outcome` counts pairs at one threshold, `by_place` whatever the threshold. Of a large corpus,
both are given the pairs of a random sample of documents (`some`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.loader.profile import profile_of
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.pairs import (
    Pairs,
    document_starts,
    literals,
    place_of,
    positions_in_document,
)
from mmc4viz.sweep.statistics import CLASS, CLASSES
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import LoaderConfig, PairStatus

Whole = NDArray[np.signedinteger[Any]]

STATUSES: Final = tuple(str(status) for status in PairStatus)

DROPPED: Final = "dropped_document"
OUTCOMES: Final = (
    str(PairStatus.KEPT),
    str(PairStatus.BELOW_THRESHOLD),
    str(PairStatus.OVER_CAP),
    str(PairStatus.TRUNCATED),
    DROPPED,
)
"""What becomes of a pair; the last: its image token is in the sequence of a dropped document."""

_SINGLE: Final = len(OUTCOMES)  # kept with the single-image keep probability
_NOWHERE: Final = _SINGLE + 1  # in a document that became unreadable by its text: counted nowhere
CODES: Final = (*OUTCOMES, "kept_single_image", "unreadable")
"""What becomes of a pair, before the single-image keep probability decides; the last: its document
became unreadable by its text."""


def statuses(
    document: Whole,
    image: Whole,
    sentence: Whole,
    score: Floats,
    reaching: Ints,
    config: LoaderConfig,
    own: Floats | None = None,
) -> NDArray[np.int8]:
    """Return the status of pairs sorted by document, then image: positions in `STATUSES`.

    Image tokens are in order of sentence, then image; truncation keeps the first of them.

    Parameters
    ----------
    document, image, sentence : ndarray of integers, shape (pairs,)
    score : ndarray of float64, shape (pairs,)
    reaching : ndarray of int64, shape (documents,)
        Image tokens of pairs within the token limit.
    config : LoaderConfig
    own : ndarray of float64, shape (documents,), optional
        Thresholds of the documents instead of the settings'.
    """
    status = np.full(len(document), STATUSES.index(PairStatus.BELOW_THRESHOLD), np.int8)
    surviving = np.flatnonzero(score >= (config.lowest_score if own is None else own[document]))
    within = positions_in_document(document[surviving]) < profile_of(config).cap_of(config)
    status[surviving[~within]] = STATUSES.index(PairStatus.OVER_CAP)
    kept = surviving[within]
    kept = kept[_ordered(document[kept], sentence[kept], image[kept])]
    in_sequence = positions_in_document(document[kept]) < reaching[document[kept]]
    status[kept[in_sequence]] = STATUSES.index(PairStatus.KEPT)
    status[kept[~in_sequence]] = STATUSES.index(PairStatus.TRUNCATED)
    return status


def _ordered(*keys: Whole) -> Ints:
    """Return the order by several keys, the first most important; one sort if they fit a word.

    Examples
    --------
    >>> _ordered(np.array([1, 0, 1]), np.array([5, 6, 4]))
    array([1, 2, 0])
    """
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    widths = [int(key.max()) + 1 for key in keys]
    if np.prod([float(width) for width in widths]) >= 2**62 or min(map(np.min, keys)) < 0:
        return np.asarray(np.lexsort(keys[::-1]), np.int64)
    packed = keys[0].astype(np.int64)
    for key, width in zip(keys[1:], widths[1:], strict=True):
        packed = packed * width + key
    return np.argsort(packed)


MOST_PAIRS: Final = 250_000
"""Pairs counted, about; of more, those of randomly drawn documents."""
_SEED: Final = 0


def some(pairs: Pairs, n_documents: int, most: int = MOST_PAIRS) -> tuple[Pairs, int]:
    """Return the pairs of randomly drawn documents, and how many documents were drawn.

    Parameters
    ----------
    pairs : Pairs
    n_documents : int
        Of the corpus.
    most : int
        If there are no more pairs, all are returned.
    """
    if len(pairs) <= most:
        return pairs, n_documents
    drawn = max(1, int(n_documents * most / len(pairs)))
    among = np.zeros(n_documents, bool)
    among[np.random.default_rng(_SEED).choice(n_documents, drawn, replace=False)] = True
    mine = np.flatnonzero(among[pairs.document])
    return Pairs(*(column[mine] for column in vars(pairs).values())), drawn


@dataclass(frozen=True)
class ScoreDensity:
    """Pairs by score and outcome at one threshold.

    Attributes
    ----------
    edges : ndarray of float64, shape (B + 1,)
        Of the bins; scores beyond them count in the outermost.
    counts : ndarray of float64, shape (len(OUTCOMES), B)
        Expected numbers, given the single-image keep probability.
    """

    edges: Floats
    counts: Floats

    def of(self, outcome: str) -> Floats:
        """Return the counts of one outcome, shape (B,)."""
        return np.asarray(self.counts[OUTCOMES.index(outcome)])


def by_outcome(
    matched: Matched, config: LoaderConfig, pairs: Pairs, found: Verdicts, edges: Floats
) -> ScoreDensity:
    """Count pairs by score and by what becomes of them.

    The sums over the scores are those of the curves: pairs below the threshold, dropped at the
    cap, truncated, and image tokens in kept and in dropped documents.

    Parameters
    ----------
    matched : Matched
    config : LoaderConfig
        All settings.
    pairs : Pairs
        All of its pairs, or all pairs of some documents.
    found : Verdicts
        Its documents' outcomes under these settings.
    edges : ndarray of float64, shape (B + 1,)
        Ascending.
    """
    size, width = len(edges) - 1, _NOWHERE + 1
    code = outcomes_of_pairs(matched, config, pairs, found)
    counted = np.bincount(_bins(pairs.score, edges) * width + code, minlength=size * width)
    counts = counted.reshape(size, width).T.astype(np.float64)
    return ScoreDensity(edges, in_expectation(counts, config.single_image_keep))


def in_expectation(counts: Floats, keep: float) -> Floats:
    """Return numbers of pairs by what becomes of them, given the single-image keep probability.

    Parameters
    ----------
    counts : ndarray of float64, shape (len(CODES), ...)
        Numbers by code of `outcomes_of_pairs`.
    keep : float

    Returns
    -------
    ndarray of float64, shape (len(OUTCOMES), ...)
    """
    found = counts[: len(OUTCOMES)].copy()
    found[OUTCOMES.index(PairStatus.KEPT)] += keep * counts[_SINGLE]
    found[OUTCOMES.index(DROPPED)] += (1 - keep) * counts[_SINGLE]
    return found


def outcomes_of_pairs(
    matched: Matched, config: LoaderConfig, pairs: Pairs, found: Verdicts
) -> NDArray[np.int8]:
    """Return what becomes of every pair: its position in `CODES`, shape (pairs,).

    Parameters
    ----------
    matched : Matched
    config : LoaderConfig
        All settings but the single-image keep probability.
    pairs : Pairs
        All of its pairs, or all pairs of some documents.
    found : Verdicts
        Its documents' outcomes under these settings.
    """
    reaching = found.image_tokens.copy()
    literal = literals(matched, config)
    reaching[literal.document] = literal.pairs[PairStatus.KEPT]
    cut = pairs.cut(config.lowest_score)
    document = pairs.document[cut:]
    code = np.full(len(pairs), OUTCOMES.index(PairStatus.BELOW_THRESHOLD), np.int8)
    code[:cut][_unreadable(pairs.document[:cut], found)] = _NOWHERE
    code[cut:] = _IF_REACHING[found.kind][document]
    losing = np.flatnonzero((found.surviving > reaching)[document])
    losing = losing[_ordered(document[losing], pairs.image[cut:][losing])]
    at = cut + losing
    status = statuses(
        pairs.document[at], pairs.image[at], pairs.sentence[at], pairs.score[at], reaching, config
    )
    lost = status != STATUSES.index(PairStatus.KEPT)
    code[at[lost]] = status[lost]
    return code


def _unreadable(document: NDArray[np.int32], found: Verdicts) -> NDArray[np.bool_]:
    return np.asarray((found.kind == CLASS["unreadable"])[document])


# By the document's class, what becomes of a pair whose token is in the sequence.
_IF_REACHING: Final = np.array(
    [
        {
            "kept_always": OUTCOMES.index(PairStatus.KEPT),
            "kept_single_image": _SINGLE,
            "unreadable": _NOWHERE,
        }.get(name, OUTCOMES.index(DROPPED))
        for name in CLASSES
    ],
    np.int8,
)


def _bins(scores: Floats, edges: Floats) -> Ints:
    """Return the bin of each of ascending scores; those beyond the edges are in the outermost."""
    ends = np.concatenate([[0], np.searchsorted(scores, edges[1:-1], side="left"), [len(scores)]])
    return np.repeat(np.arange(len(edges) - 1), np.diff(ends))


Place = Literal["sentence", "image"]

_STRIPS: Final = 20  # of a page


@dataclass(frozen=True)
class PositionMap:
    """Pairs by score and by their place on the page.

    Attributes
    ----------
    place : str
        ``sentence``: the sentence's relative position on the page, in strips of equal height.
        ``image``: the image's number, from 1; the last includes all further images.
    edges : ndarray of float64, shape (B + 1,)
        Of the bins of scores; scores beyond them count in the outermost.
    counts : ndarray of int64, shape (places, B)
    mean : ndarray of float64, shape (places,)
        Mean score; NaN without pairs.
    """

    place: Place
    edges: Floats
    counts: Ints
    mean: Floats


def by_place(matched: Matched, pairs: Pairs, edges: Floats, place: Place) -> PositionMap:
    """Count pairs by score and by their place on the page.

    Parameters
    ----------
    matched : Matched
    pairs : Pairs
        All of its pairs, or some.
    edges : ndarray of float64, shape (B + 1,)
        Ascending.
    place : str
        ``sentence`` or ``image``.
    """
    score, size, rows = pairs.score, len(edges) - 1, _STRIPS
    if place == "image":
        row = np.minimum(pairs.image, rows - 1).astype(np.int64)
    else:
        length = _lengths(matched, pairs.document)[pairs.document]
        middle = (pairs.sentence + 0.5) / np.maximum(length, 1)
        row = np.clip(middle * rows, 0, rows - 1).astype(np.int64)
    counts = np.bincount(row * size + _bins(score, edges), minlength=rows * size)
    finite = np.isfinite(score)
    each = np.bincount(row[finite], minlength=rows)
    total = np.bincount(row[finite], score[finite], minlength=rows)
    mean = np.divide(total, each, out=np.full(rows, np.nan), where=each > 0)
    return PositionMap(place, edges, counts.reshape(rows, size), mean)


def _lengths(matched: Matched, documents: NDArray[Any]) -> Ints:
    """Return the number of sentences of every document; of literal ones only if asked for."""
    nothing = np.zeros(0, np.int64)
    parts = [part.columns.numbers("n_sentences") for part in matched.parts]
    length = np.concatenate([nothing, *parts]).astype(np.int64)
    starts = document_starts(matched)
    for document in np.unique(documents[length[documents] == 0]).tolist():
        part, row = place_of(starts, document)
        sentences = matched.parts[part].literal[row].sentences
        length[document] = len(sentences) if isinstance(sentences, Sequence) else 0
    return length
