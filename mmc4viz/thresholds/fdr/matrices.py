"""Concatenated similarity matrices, and decoys.

The input of label-free estimates. Unmatched images are included: without them, matched images would
look more similar to their sentences than chance explains.

With embeddings, images can be scored against sentences of other documents. Such decoys show the
noise distribution instead of assuming it (target-decoy search: Elias and Gygi, Nature Methods 4,
2007). Decoy matrices have the shapes of the documents' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns
from mmc4viz.data.similarity_file import with_similarity
from mmc4viz.loader.walk import matched_pairs
from mmc4viz.sweep.match import WAITING, validity
from mmc4viz.sweep.pairs import document_starts
from mmc4viz.sweep.sweep import Matched, Part, match_corpus
from mmc4viz.thresholds.model_scores import ScoreMatrices
from mmc4viz.types import ConfigError, DocumentError, LoaderConfig

Page = tuple[Floats, Ints]
"""A document's matrix, images × sentences, and each image's matched sentence, -1 for none."""


@dataclass(frozen=True)
class Stack:
    """The matrices of D documents with pairs: R images and E entries in total.

    Attributes
    ----------
    values : ndarray of float64, shape (E,)
        Row by row; all finite.
    images : ndarray of int64, shape (D,)
        Images of each document, at least 1.
    width : ndarray of int64, shape (D,)
        Sentences of each document, at least 1.
    assigned : ndarray of int64, shape (R,)
        Each image's sentence, -1 for none.
    sampled : bool
        Whether these are a random sample of the corpus.
    left_out : int
        Documents left out because of non-finite scores.
    """

    values: Floats
    images: Ints
    width: Ints
    assigned: Ints
    sampled: bool = False
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def document(self) -> Ints:
        """Document of each image, shape (R,)."""
        return np.repeat(np.arange(len(self)), self.images)

    @cached_property
    def start(self) -> Ints:
        """Start of each image's row, shape (R + 1,)."""
        return np.append(0, np.cumsum(self.width[self.document]))

    @cached_property
    def row(self) -> Ints:
        """Image of each entry, shape (E,)."""
        return np.repeat(np.arange(len(self.assigned)), np.diff(self.start))

    @cached_property
    def owner(self) -> Ints:
        """Document of each entry, shape (E,)."""
        return self.document[self.row]

    @cached_property
    def first(self) -> Ints:
        """Position of each document's first sentence among all sentences, shape (D + 1,)."""
        return np.append(0, np.cumsum(self.width))

    @cached_property
    def sentence(self) -> Ints:
        """Sentence of each entry, numbered across documents, shape (E,)."""
        return np.arange(len(self.row)) - (self.start[:-1] - self.first[self.document])[self.row]

    @cached_property
    def room(self) -> Floats:
        """Share of the page's images that can get a sentence, shape (R,)."""
        return np.minimum(self.width / self.images, 1.0)[self.document]

    @cached_property
    def matched(self) -> Ints:
        """Indices of matched images, shape (pairs,)."""
        return np.flatnonzero(self.assigned >= 0)

    @cached_property
    def place(self) -> Ints:
        """Indices of the matched entries, shape (pairs,)."""
        return self.start[self.matched] + self.assigned[self.matched]

    @property
    def score(self) -> Floats:
        """Score of each matched pair, shape (pairs,)."""
        return self.values[self.place]


def stack_of(matched: Matched, most: int = 10_000, seed: int = 0) -> Stack:
    """Collect the matrices of a corpus's documents with pairs.

    Parameters
    ----------
    matched : Matched
        The matched corpus.
    most : int
        Larger corpora are sampled down to this many documents.
    seed : int
        Sampling seed.
    """
    total, starts = matched.n_documents, document_starts(matched)
    drawn = np.arange(total)
    if total > most:
        drawn = np.sort(np.random.default_rng(seed).choice(total, most, replace=False))
    cuts = np.searchsorted(drawn, starts)
    pages: list[Stack] = []
    for n, part in enumerate(matched.parts):
        rows = drawn[cuts[n] : cuts[n + 1]] - starts[n]
        if len(rows):
            chosen = np.zeros(len(part.columns), bool)
            chosen[rows] = True
            pages += [_plain(part, chosen), _literal(part, matched, chosen)]
    return _finite(pages, total > most)


def stacked(pages: Sequence[Page]) -> Stack:
    """Concatenate documents' matrices.

    Examples
    --------
    >>> stacked([(np.array([[0.1, 0.3], [0.2, 0.1]]), np.array([1, 0]))]).score
    array([0.3, 0.2])
    """
    kept = [(matrix, assigned) for matrix, assigned in pages if len(assigned)]
    return Stack(
        np.concatenate([np.zeros(0), *(matrix.ravel() for matrix, _ in kept)]).astype(np.float64),
        np.array([len(assigned) for _, assigned in kept], np.int64),
        np.array([matrix.shape[1] for matrix, _ in kept], np.int64),
        np.concatenate([np.zeros(0, np.int64), *(one for _, one in kept)]).astype(np.int64),
    )


def _plain(part: Part, chosen: NDArray[np.bool_]) -> Stack:
    """Gather the rows of the valid images of the plain documents that have pairs."""
    pairs = part.matches_of(chosen)
    valid, matrices = validity(part.columns, part.config), ScoreMatrices(part.columns)
    sentence = np.full(len(valid.status), -1, np.int64)
    sentence[valid.starts[pairs.document] + pairs.image] = pairs.sentence
    here = np.zeros(len(part.columns), bool)
    here[pairs.document] = True
    owner = np.repeat(np.arange(len(here)), np.diff(valid.starts))
    rows = np.flatnonzero(here[owner] & (valid.status == WAITING))
    document, image = owner[rows], rows - valid.starts[owner[rows]]
    each, images = np.unique(document, return_counts=True)
    width = matrices.width[document]
    end = np.cumsum(width)
    offset = matrices.starts[document] + image * width - (end - width)
    where = np.arange(end[-1] if len(end) else 0) + np.repeat(offset, width)
    values = np.asarray(matrices.values)[where].astype(np.float64)
    return Stack(values, images, matrices.width[each], sentence[rows])


def _literal(part: Part, matched: Matched, chosen: NDArray[np.bool_]) -> Stack:
    """Gather the rows of literal documents."""
    return stacked(list(_pages(part, matched, chosen)))


def _pages(part: Part, matched: Matched, chosen: NDArray[np.bool_]) -> Iterator[Page]:
    matrices = ScoreMatrices(part.columns)
    for row in part.literal.rows[chosen[part.literal.rows]].tolist():
        try:
            pairs = matched_pairs(part.literal[row], matched.config)
        except DocumentError:
            continue
        matrix, image = matrices[row], [pair[0] for pair in pairs]  # matched images only
        assigned = np.array([pair[1] for pair in pairs], np.int64)
        if len(pairs) and max(image) < len(matrix) and assigned.max() < matrix.shape[1]:
            yield matrix[image], assigned


def _finite(stacks: Sequence[Stack], sampled: bool) -> Stack:
    """Concatenate stacks, without documents that have non-finite scores."""
    each = [stacked([]), *stacks]
    whole = Stack(
        np.concatenate([one.values for one in each]),
        np.concatenate([one.images for one in each]),
        np.concatenate([one.width for one in each]),
        np.concatenate([one.assigned for one in each]),
    )
    bad = np.bincount(whole.owner, ~np.isfinite(whole.values), len(whole)) > 0
    return Stack(
        whole.values[~bad[whole.owner]],
        whole.images[~bad],
        whole.width[~bad],
        whole.assigned[~bad[whole.document]],
        sampled,
        int(bad.sum()),
    )


def decoy_matrices(
    images: Sequence[Floats], sentences: Sequence[Floats], seed: int = 0
) -> list[Floats]:
    """Score each document's images against sentences of other documents.

    Parameters
    ----------
    images, sentences : sequence of ndarray of float, shape (n, dimensions) and (m, dimensions)
        Embeddings of each document's images and sentences, normalized if scores are cosines.
    seed : int
        Seed of the order of documents.

    Returns
    -------
    list of ndarray of float64, shape (n, m)
        One matrix per document, with as many sentences as it has, from the next documents in a
        random order.

    Raises
    ------
    ConfigError
        If there are too few documents, or embeddings have different dimensions.

    Examples
    --------
    >>> one, two = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> decoy_matrices([one, two], [one, two])
    [array([[0.]]), array([[0.]])]
    """
    if len(images) != len(sentences):
        raise ConfigError(
            f"decoys need images and sentences of the same documents, got {len(images):,} and "
            f"{len(sentences):,} documents"
        )
    dimensions = {part.shape[1] for part in (*images, *sentences)}
    if len(dimensions) > 1:
        named = ", ".join(map(str, sorted(dimensions)))
        raise ConfigError(f"embeddings of different dimensions ({named}); use one model")
    order = np.random.default_rng(seed).permutation(len(images)).tolist()
    found: list[Floats] = [np.zeros((0, 0))] * len(images)
    for place, document in enumerate(order):
        lent = _lent(sentences, order, place)
        found[document] = (images[document] @ lent.T).astype(np.float64)
    return found


def _lent(sentences: Sequence[Floats], order: list[int], place: int) -> Floats:
    """Return as many sentences as a document has, from the documents that follow it."""
    wanted, following = len(sentences[order[place]]), order[place + 1 :] + order[:place]
    sizes = accumulate(len(sentences[other]) for other in following)
    enough = next((k for k, size in enumerate(sizes, 1) if size >= wanted), None)
    if enough is None:
        raise ConfigError("too few sentences in other documents for decoys; add documents")
    return np.concatenate([sentences[other] for other in following[:enough]])[:wanted]


def decoy_stack(matrices: Sequence[Floats]) -> Stack:
    """Concatenate decoy matrices; their assignment does not matter.

    Parameters
    ----------
    matrices : sequence of ndarray of float64, shape (n, m)
    """
    return stacked([(matrix, np.zeros(len(matrix), np.int64)) for matrix in matrices])


def read_decoys(
    path: str, columns: Sequence[Columns], config: LoaderConfig, most: int = 10_000, seed: int = 0
) -> Stack:
    """Read a decoy file of ``mmc4viz score --decoys FILE`` and match it like the corpus.

    Parameters
    ----------
    path : str
        A similarity file with matrices of the documents' own shapes.
    columns : sequence of Columns
        The corpus.
    config : LoaderConfig
        Only ``min_kb`` and ``assignment`` matter.
    most, seed : int
        As in `mmc4viz.thresholds.fdr.matrices.stack_of`.

    Raises
    ------
    ShardError
        If the file is invalid, lacks a document, or has a matrix of another shape.
    """
    return stack_of(match_corpus(with_similarity(columns, path), config), most, seed)
