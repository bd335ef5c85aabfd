"""All matched pairs by score, and examples around a threshold.

The status of a pair that is shown comes from the reference walk of its document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Kind
from mmc4viz.data.shards import image_source
from mmc4viz.data.thumbnails import Thumbnail, read_thumbnail
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.statistics import CLASS, QUANTITIES
from mmc4viz.sweep.sweep import Matched, Part
from mmc4viz.types import (
    DocumentError,
    ImageStatus,
    LoaderConfig,
    Outcome,
    PairStatus,
    ShardError,
    Verdict,
)

_KEPT = (CLASS["kept_always"], CLASS["kept_single_image"])


@dataclass(frozen=True)
class Pairs:
    """All matched pairs of a corpus, ascending by score; every array of shape (pairs,).

    Attributes
    ----------
    document : ndarray of int32
        Document position in the corpus, as in `Verdicts`.
    image, sentence : ndarray of int32
        Indices within the document.
    score : ndarray of float64
    """

    document: NDArray[np.int32]
    image: NDArray[np.int32]
    sentence: NDArray[np.int32]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    def cut(self, threshold: float) -> int:
        """Return the number of pairs below a threshold, i.e. the index of the first kept pair."""
        return int(np.searchsorted(self.score, threshold, side="left"))

    def sides(
        self, threshold: float, low: float | None, high: float | None
    ) -> tuple[int, int, int]:
        """Return the first pair from ``low`` on, the first kept one, and the first past ``high``.

        An end that is None is open.

        Examples
        --------
        >>> three = np.zeros(3, np.int32)
        >>> pairs = Pairs(three, three, three, np.array([0.1, 0.2, 0.3]))
        >>> pairs.sides(0.2, None, 0.3), pairs.sides(0.2, 0.25, None)
        ((0, 1, 2), (2, 2, 3))
        """
        first = 0 if low is None else self.cut(low)
        last = max(first, len(self) if high is None else self.cut(high))
        return first, min(max(self.cut(threshold), first), last), last


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """A pair with its status and its document's outcome."""

    document: int
    image: int
    sentence: int
    score: float
    status: PairStatus
    outcome: Outcome

    @property
    def reaches(self) -> bool:
        """Whether the pair is used for training (possibly with the single-image probability)."""
        return self.status is PairStatus.KEPT and self.outcome is Outcome.KEPT


@dataclass(frozen=True, slots=True)
class Difference:
    """A pair kept by one assignment, and the other assignment's sentence for its image.

    ``other_sentence`` is None if the other assignment leaves the image unmatched.
    """

    document: int
    image: int
    sentence: int
    score: float
    other_sentence: int | None
    other_score: float


def document_starts(matched: Matched) -> Ints:
    """Return the position of each shard's first document, shape (shards + 1,)."""
    return np.concatenate([[0], np.cumsum([len(part.columns) for part in matched.parts])]).astype(
        np.int64
    )


def place_of(starts: Ints, document: int) -> tuple[int, int]:
    """Return a document's shard and its row there.

    Examples
    --------
    >>> place_of(np.array([0, 3, 3, 5]), 3)
    (2, 0)
    """
    part = int(np.searchsorted(starts, document, side="right")) - 1
    return part, document - int(starts[part])


def pairs_of(matched: Matched) -> Pairs:
    """Collect all matched pairs, ascending by score.

    Parameters
    ----------
    matched : Matched
    """
    starts = document_starts(matched)
    found = [
        (document + start, image, sentence, score)
        for part, start in zip(matched.parts, starts.tolist(), strict=False)
        for document, image, sentence, score in (_plain(part), _literal(part, matched.config))
    ]
    document, image, sentence = (
        np.concatenate([np.zeros(0, np.int32), *(pairs[n] for pairs in found)]).astype(np.int32)
        for n in range(3)
    )
    score = np.concatenate([np.zeros(0), *(pairs[3] for pairs in found)])
    order = np.lexsort((image, document, score)) if len(score) < 1e5 else _by(score)
    return Pairs(document[order], image[order], sentence[order], score[order])


def _by(score: NDArray[np.float64]) -> Ints:
    return np.argsort(score, kind="stable")


def _plain(part: Part) -> tuple[NDArray[Any], ...]:
    """Return document, image, sentence and score of the plain documents' pairs."""
    matches = part.matches
    return matches.document, matches.image, matches.sentence, matches.score


def _literal(part: Part, config: LoaderConfig) -> tuple[NDArray[Any], ...]:
    """Return the same for literal documents."""
    rows: list[tuple[int, int, int, float]] = []
    for row, document in part.literal.items():
        try:
            rows += [(row, *pair) for pair in matched_pairs(document, config)]
        except DocumentError:
            continue
    numbers = [np.array([pair[n] for pair in rows], np.int64) for n in range(3)]
    return (*numbers, np.array([pair[3] for pair in rows], np.float64))


def around(pairs: Pairs, threshold: float, n: int) -> tuple[Ints, Ints]:
    """Return the n pairs just below a threshold and the n at or above it, each closest first.

    Examples
    --------
    >>> three = np.zeros(3, np.int32)
    >>> pairs = Pairs(three, three, three, np.array([0.1, 0.2, 0.3]))
    >>> around(pairs, 0.2, 5)
    (array([0]), array([1, 2]))
    """
    cut = pairs.cut(threshold)
    return np.arange(max(cut - n, 0), cut)[::-1], np.arange(cut, min(cut + n, len(pairs)))


def judged(
    matched: Matched, config: LoaderConfig, pairs: Pairs, chosen: Iterable[int] | Ints
) -> Iterator[PairOutcome]:
    """Yield status and outcome of chosen pairs; each document is walked once."""
    starts, known = document_starts(matched), dict[int, Verdict]()
    for number in chosen:
        document, image = int(pairs.document[number]), int(pairs.image[number])
        if document not in known:
            known[document] = _walked(matched, config, *place_of(starts, document))
        verdict = known[document]
        status = next((p.status for p in verdict.pairs if p.image == image), None)
        score = float(pairs.score[number])
        if (
            status is None
        ):  # the document became unreadable after matching, by the text of its pairs
            status = PairStatus.BELOW_THRESHOLD if score < config.lowest_score else PairStatus.KEPT
        sentence = int(pairs.sentence[number])
        yield PairOutcome(document, image, sentence, score, status, verdict.outcome)


def _walked(matched: Matched, config: LoaderConfig, part: int, row: int) -> Verdict:
    here = matched.parts[part]
    document = here.literal.get(row) or here.columns.document(row)
    return walk(document, config, here.columns.tokenizer)


@dataclass(frozen=True)
class Literals:
    """Pair and image counts of literal documents at one threshold.

    Attributes
    ----------
    document : ndarray of int64, shape (literal,)
        Positions in the corpus.
    pairs : dict of PairStatus to ndarray of int64, shape (literal,)
        Pairs by status; 0 for ChatGPT-generated documents.
    images : dict of ImageStatus to ndarray of int64, shape (literal,)
    """

    document: Ints
    pairs: dict[PairStatus, Ints]
    images: dict[ImageStatus, Ints]


def literals(matched: Matched, config: LoaderConfig) -> Literals:
    """Look up the states of literal documents at the threshold."""
    starts = document_starts(matched).tolist()
    found = [
        (part.literal.rows + start, *_state(part, config))
        for start, part in zip(starts, matched.parts, strict=False)
        if part.literal
    ]
    none = np.zeros((0, len(QUANTITIES)), np.int64), np.zeros((0, len(ImageStatus)), np.int64)
    counts = np.concatenate([none[0], *(one[1] for one in found)]).T
    images = np.concatenate([none[1], *(one[2] for one in found)]).T
    of = dict(zip(QUANTITIES, counts, strict=True))
    has_pairs = of["pairs"] + of["rejected_pairs"] > 0
    names = (
        (PairStatus.KEPT, "reaching"),
        (PairStatus.BELOW_THRESHOLD, "rejected_pairs"),
        (PairStatus.OVER_CAP, "over_cap"),
        (PairStatus.TRUNCATED, "truncated"),
    )
    return Literals(
        np.concatenate([np.zeros(0, np.int64), *(one[0] for one in found)]),
        {status: np.where(has_pairs, of[name], 0) for status, name in names},
        dict(zip(ImageStatus, images, strict=True)),
    )


def _state(part: Part, config: LoaderConfig) -> tuple[Ints, Ints]:
    """Return counts and images of one shard's literal documents at the threshold."""
    states = part.literal.states(config)
    entered = np.flatnonzero(states.score >= config.threshold)
    now = np.zeros(len(part.literal), np.int64)
    now[states.document[entered]] = entered  # the last of each
    return states.counts[now], states.images[now]


def image_counts(matched: Matched, status: ImageStatus) -> Ints:
    """Count each plain document's images with a status; 0 for literal documents."""
    counts = [part.images_with(status) for part in matched.parts]
    return np.concatenate([np.zeros(0, np.int64), *counts])


def highest_dropped(
    matched: Matched, config: LoaderConfig, pairs: Pairs, found: Verdicts, n: int
) -> list[PairOutcome]:
    """Return the n highest-scoring pairs that are not used for training, best first.

    Above the threshold, these are pairs dropped at the cap, truncated, or in a dropped document.
    """
    cut = pairs.cut(config.lowest_score)
    losing = ~np.isin(found.kind, _KEPT) | (found.image_tokens < found.surviving)
    losing |= _literal_documents(matched)
    above = cut + np.flatnonzero(losing[pairs.document[cut:]])
    candidates = (above[::-1], np.arange(max(cut - n, 0), cut)[::-1])
    each = (j for some in candidates for j in judged(matched, config, pairs, some))
    return list(islice((pair for pair in each if not pair.reaches), n))


def lowest_kept(
    matched: Matched, config: LoaderConfig, pairs: Pairs, found: Verdicts, n: int
) -> list[PairOutcome]:
    """Return the n lowest-scoring pairs that are used for training, lowest first."""
    cut = pairs.cut(config.lowest_score)
    kept = np.isin(found.kind, _KEPT)
    candidates = cut + np.flatnonzero(kept[pairs.document[cut:]])
    each = judged(matched, config, pairs, candidates)
    return list(islice((pair for pair in each if pair.reaches), n))


def _literal_documents(matched: Matched) -> NDArray[np.bool_]:
    parts = [np.asarray(part.how == Kind.LITERAL) for part in matched.parts]
    return np.concatenate([np.zeros(0, bool), *parts])


def image_starts(matched: Matched) -> Ints:
    """Return the position of each document's first image, shape (documents + 1,)."""
    counts = [part.columns.n_images for part in matched.parts]
    return np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *counts]))])


def differing(
    one: Pairs, other: Pairs, starts: Ints, threshold: float, n: int
) -> tuple[int, list[Difference]]:
    """Find the pairs at or above a threshold that another assignment does not keep.

    Parameters
    ----------
    one, other : Pairs
        Pairs of the same documents under two assignments.
    starts : ndarray of int64
        `image_starts` of the corpus.
    threshold : float
    n : int
        How many to return.

    Returns
    -------
    (int, list of Difference)
        Their number, and the n highest-scoring ones, best first.
    """
    sentence = np.full(int(starts[-1]), -1, np.int32)
    score = np.full(int(starts[-1]), np.nan)
    at = starts[other.document] + other.image
    sentence[at], score[at] = other.sentence, other.score
    cut = one.cut(threshold)
    mine = starts[one.document[cut:]] + one.image[cut:]
    same = (sentence[mine] == one.sentence[cut:]) & (score[mine] >= threshold)
    where = cut + np.flatnonzero(~same)
    shown = where[::-1][:n].tolist()
    return len(where), [_difference(one, i, starts, sentence, score) for i in shown]


def _difference(
    one: Pairs, i: int, starts: Ints, sentence: NDArray[np.int32], score: NDArray[np.float64]
) -> Difference:
    document, image = int(one.document[i]), int(one.image[i])
    at = starts[document] + image
    theirs = int(sentence[at])
    return Difference(
        document,
        image,
        int(one.sentence[i]),
        float(one.score[i]),
        None if theirs < 0 else theirs,
        float(score[at]),
    )


Folder = Callable[[int], str | None]


@dataclass(frozen=True)
class Example:
    """One pair to show.

    Attributes
    ----------
    shard, key : str
    pair : PairOutcome
    picture : str or None
        A small JPEG as a data URI.
    words : str
        The sentence, or why it cannot be shown.
    """

    shard: str
    key: str
    pair: PairOutcome
    picture: str | None
    words: str


def examples(
    matched: Matched,
    config: LoaderConfig,
    pairs: Pairs,
    n: int,
    folder: Folder,
    images: bool = True,
) -> tuple[list[Example], list[Example]]:
    """Return the n pairs at or above the threshold and the n below it, each closest first.

    Parameters
    ----------
    matched : Matched
    config : LoaderConfig
    pairs : Pairs
        All of its pairs.
    n : int
    folder : callable
        Returns a part's image folder, None if images are in the shard; may raise a `ShardError`.
    images : bool
        Whether to include thumbnails.
    """
    below, above = around(pairs, config.threshold, n)
    starts = document_starts(matched)

    def example(pair: PairOutcome) -> Example:
        part, row = place_of(starts, pair.document)
        columns = matched.parts[part].columns
        seen, problem = Thumbnail(None, None), "(no text)"
        try:
            source = image_source(columns.shard, folder(part))
            shown = source if images else None
            seen = read_thumbnail(
                columns.shard, columns.place(row), shown, pair.image, pair.sentence
            )
        except ShardError as error:
            problem = str(error)
        key = str(columns.batch.column("key")[row])
        words = problem if seen.sentence is None else seen.sentence
        return Example(columns.shard.name, key, pair, seen.picture, words)

    found = [
        [example(pair) for pair in judged(matched, config, pairs, some.tolist())]
        for some in (above, below)
    ]
    return found[0], found[1]


def positions_in_document(document: NDArray[np.signedinteger[Any]]) -> Ints:
    """Return each entry's position in its document; a document's entries are adjacent.

    Examples
    --------
    >>> positions_in_document(np.array([3, 3, 5, 5, 5]))
    array([0, 1, 0, 1, 2])
    """
    here = np.arange(len(document))
    begins = np.concatenate([[True], document[1:] != document[:-1]])[: len(document)]
    return here - np.maximum.accumulate(np.where(begins, here, 0))
