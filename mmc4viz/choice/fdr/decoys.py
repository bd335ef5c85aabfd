"""True decoys: one document's images with another's sentences, in which no pair is right.

Where images and sentences have embeddings, similarity between documents is at hand: so what noise
looks like is seen, not assumed (target-decoy search: Elias and Gygi, Nature Methods 4, 2007). Makes
decoys of the documents' own shapes; what they say of the rate is `by_fdr`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.choice.fdr.stack import Stack, stack_of, stacked
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.sidecar import Sidecar
from mmc4viz.corpus.similarity import with_similarity
from mmc4viz.corpus.sweep import match_corpus
from mmc4viz.model import ConfigError, LoaderConfig


def decoy_matrices(
    images: Sequence[Floats], sentences: Sequence[Floats], seed: int = 0
) -> list[Floats]:
    """Return a matrix for each document: its images against sentences of other documents.

    Parameters
    ----------
    images, sentences : sequence of ndarray of float, shape (n, dimensions) and (m, dimensions)
        Embeddings of each document's images and sentences, normed if the similarity is a cosine.
    seed : int
        Of the order in which documents lend their sentences.

    Returns
    -------
    list of ndarray of float64, shape (n, m)
        Each document takes as many sentences as it has, from the next ones in a random order.

    Raises
    ------
    ConfigError
        When there are too few documents, or embeddings do not go together.

    Examples
    --------
    >>> one, two = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> decoy_matrices([one, two], [one, two])
    [array([[0.]]), array([[0.]])]
    """
    if len(images) != len(sentences):
        raise ConfigError(
            f"decoys take images and sentences of the same documents: {len(images):,} documents "
            f"have images, {len(sentences):,} have sentences"
        )
    dimensions = {part.shape[1] for part in (*images, *sentences)}
    if len(dimensions) > 1:
        named = ", ".join(map(str, sorted(dimensions)))
        raise ConfigError(f"embeddings have different dimensions ({named}): one model's, please")
    order = np.random.default_rng(seed).permutation(len(images)).tolist()
    found: list[Floats] = [np.zeros((0, 0))] * len(images)
    for place, document in enumerate(order):
        lent = _lent(sentences, order, place)
        found[document] = (images[document] @ lent.T).astype(np.float64)
    return found


def _lent(sentences: Sequence[Floats], order: list[int], place: int) -> Floats:
    """Return as many sentences as a document has, of the documents after it in the order."""
    wanted, following = len(sentences[order[place]]), order[place + 1 :] + order[:place]
    sizes = accumulate(len(sentences[other]) for other in following)
    enough = next((k for k, size in enumerate(sizes, 1) if size >= wanted), None)
    if enough is None:
        raise ConfigError("decoys take more documents: the others have too few sentences")
    return np.concatenate([sentences[other] for other in following[:enough]])[:wanted]


def decoy_stack(matrices: Sequence[Floats]) -> Stack:
    """Put decoys end to end; which of their sentences would be assigned plays no part.

    Parameters
    ----------
    matrices : sequence of ndarray of float64, shape (n, m)
    """
    return stacked([(matrix, np.zeros(len(matrix), np.int64)) for matrix in matrices])


def read_decoys(
    path: str, columns: Sequence[Columns], config: LoaderConfig, most: int = 10_000, seed: int = 0
) -> Stack:
    """Read decoys as ``mmc4viz score --decoys FILE`` writes them, matched as the corpus is.

    Parameters
    ----------
    path : str
        A file of similarity with the documents' own shapes.
    columns : sequence of Columns
        The corpus.
    config : LoaderConfig
        Only ``min_kb`` and ``assignment`` matter.
    most, seed : int
        As in `mmc4viz.choice.fdr.stack.stack_of`.

    Raises
    ------
    ShardError
        When the file is none, lacks a document, or has another shape for it.
    """
    others = [with_similarity(part, Sidecar("", path)) for part in columns]
    return stack_of(match_corpus(others, config), most, seed)
