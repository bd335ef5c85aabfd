"""Draw a random sample of shards and documents, arranged in clusters.

Documents of one shard resemble each other, so confidence intervals are computed from clusters of
documents. If shards were sampled, each shard is a cluster; if documents were sampled from every
shard, they are dealt at random into `GROUPS` clusters. A rate is the ratio of two cluster totals,
with the linearized standard error (Cochran, Sampling Techniques, 3rd ed., section 6.3), and its
interval uses Student's t with one degree of freedom less than there are clusters.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Columns, Verify, build_batch, row_of, with_notes
from mmc4viz.data.ingest import ImageTally, document_in
from mmc4viz.data.shards import Shard, image_source, samples, with_page
from mmc4viz.formats.format import Sample
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.types import ShardError

GROUPS = 25


@dataclass(frozen=True)
class DrawnSample:
    """A sample of a corpus.

    Attributes
    ----------
    clusters : sequence of sequence of Columns
        The sampled documents, by cluster.
    sizes : ndarray of float64, shape (clusters,)
        Number of documents of the corpus that each cluster represents, up to a common factor.
    fraction : float
        Sampled share of the corpus, for the finite-population correction; 0 if shards were sampled.
    shards : int
        Number of shards of the corpus.
    """

    clusters: Sequence[Sequence[Columns]]
    sizes: NDArray[np.float64]
    fraction: float
    shards: int

    @property
    def n_documents(self) -> int:
        """Number of documents in the sample."""
        return sum(len(part) for cluster in self.clusters for part in cluster)


def choose_shards(
    sizes: Sequence[float], n_documents: int, seed: int, count: Callable[[int], int]
) -> list[int]:
    """Choose shards at random that together have enough documents, if the corpus does.

    The number of shards is about the square root of the sample size, so that both sampling stages
    are well filled. It is higher if shard sizes differ, because then few shards dominate, or if
    the chosen shards have too few documents.

    Parameters
    ----------
    sizes : sequence of float
        Sizes of all shards, in any unit.
    n_documents, seed : int
    count : callable
        Returns the number of documents of a shard; called only for the chosen shards.

    Returns
    -------
    list of int
        Positions of the chosen shards, in the order in which they were drawn.

    Examples
    --------
    >>> sorted(choose_shards([1, 1], 100, 0, lambda _: 80))
    [0, 1]
    >>> len(choose_shards([1] * 900, 100, 0, lambda _: 5))
    20
    """
    order: list[int] = np.random.default_rng(seed).permutation(len(sizes)).tolist()
    weight = np.array(sizes, np.float64)
    uneven = len(sizes) * float((weight**2).sum()) / max(float(weight.sum()) ** 2, 1e-300)
    wanted = min(len(sizes), math.ceil(max(2, round(n_documents**0.5)) * max(uneven, 1.0) - 1e-9))
    known, there = 0, 0
    while known < wanted:
        there += sum(map(count, order[known:wanted]))
        known = wanted
        if there < n_documents:  # as many more as needed if the others are similar
            lacking = (n_documents - there) * known / max(there, known / 2)
            wanted = min(len(sizes), known + math.ceil(lacking))
    return order[:known]


def quotas(totals: Ints, n_documents: int, seed: int, *, every: bool) -> Ints:
    """Return how many documents to draw from each chosen shard.

    Parameters
    ----------
    totals : ndarray of int64, shape (chosen,)
        Number of documents of each shard.
    n_documents, seed : int
    every : bool
        Whether these are all shards of the corpus. If so, every document is equally likely;
        otherwise every shard contributes equally, as far as it has enough documents.

    Examples
    --------
    >>> quotas(np.array([1, 100, 30, 0]), 50, 0, every=False)
    array([ 1, 25, 24,  0])
    """
    wanted = min(n_documents, int(totals.sum()))
    if every:
        generator = np.random.default_rng([seed, 1])
        return generator.multivariate_hypergeometric(totals, wanted, method="marginals")
    found, left = np.zeros(len(totals), np.int64), wanted
    while left:
        able = np.flatnonzero(found < totals)
        each = max(1, left // len(able))
        able = able[:left]
        more = np.minimum(each, totals[able] - found[able])
        found[able] += more
        left -= int(more.sum())
    return found


def draw(columns: Sequence[Columns], n_documents: int, seed: int = 0) -> DrawnSample:
    """Draw documents from an index.

    Parameters
    ----------
    columns : sequence of Columns
        One per shard of the corpus.
    n_documents : int
        Sample size; limited by the number of documents.
    seed : int
    """
    sizes = [len(part) for part in columns]
    chosen = choose_shards(sizes, n_documents, seed, sizes.__getitem__)
    totals = np.array([sizes[at] for at in chosen], np.int64)
    taken = quotas(totals, n_documents, seed, every=len(chosen) == len(columns))
    generator = np.random.default_rng([seed, 4])
    order = np.argsort(chosen).tolist()
    parts = [
        columns[chosen[n]].take(
            np.sort(generator.choice(int(totals[n]), int(taken[n]), replace=False))
        )
        for n in order
    ]
    return cluster(parts, totals[order].astype(np.float64), len(columns), seed)


def read_sample(
    shard: Shard,
    tokenizer: Tokenizer,
    n_documents: int,
    seed: Sequence[int],
    image_dir: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[Columns, int]:
    """Read a simple random sample of one shard, streaming it once.

    Every document is assigned a random number and those with the smallest are parsed.

    Returns
    -------
    columns : Columns
        The sampled documents, in shard order.
    total : int
        Number of documents in the shard.
    """
    generator = np.random.default_rng(list(seed))
    kept: list[tuple[float, int, Sample]] = []
    total, error, notes = 0, None, list[str]()
    try:
        for total, sample in enumerate(samples(shard, notes, paged=False), 1):
            entry = (-float(generator.random()), total, sample)
            if len(kept) < n_documents:
                heapq.heappush(kept, entry)
            else:
                heapq.heappushpop(kept, entry)
    except ShardError as broken:
        error = str(broken)
    source = image_source(shard, image_dir)
    rows, tally = [], ImageTally()
    for _, _, sample in sorted(kept, key=lambda entry: entry[1]):
        sample = with_page(sample, shard)
        document = document_in(sample, source, Verify.FULL)
        rows.append(row_of(document, sample, tokenizer))
        tally.add(document)
        if progress is not None:
            progress(1)
    notes += tally.notes(shard, source)
    drawn = np.array([number - 1 for _, number, _ in kept], np.int64)
    shard = replace(shard, format=next((s.format for _, _, s in kept if s.format), shard.format))
    return Columns(shard, with_notes(build_batch(rows), notes), tokenizer, error, drawn), total


def cluster(
    taken: Sequence[Columns], totals: NDArray[np.float64], n_shards: int, seed: int
) -> DrawnSample:
    """Arrange sampled documents into clusters.

    Parameters
    ----------
    taken : sequence of Columns
        The sampled documents, one part per sampled shard.
    totals : ndarray of float64, shape (sampled shards,)
        Number of documents of each sampled shard.
    n_shards : int
        Number of shards of the corpus.
    seed : int
        For dealing documents into clusters if every shard was sampled.
    """
    if len(taken) < n_shards:
        full = [(part, total) for part, total in zip(taken, totals, strict=True) if len(part)]
        sizes = np.array([total for _, total in full])
        return DrawnSample([[part] for part, _ in full], sizes, 0.0, n_shards)
    n_documents = sum(len(part) for part in taken)
    groups = max(1, min(GROUPS, n_documents // 2))
    generator = np.random.default_rng([seed, 2])
    dealt: list[list[Columns]] = [[] for _ in range(groups)]
    for part in taken:
        labels = generator.permutation(len(part)) % groups
        for group in range(groups):
            dealt[group].append(part.take(np.flatnonzero(labels == group)))
    sizes = np.array([sum(len(part) for part in group) for group in dealt], np.float64)
    fraction = n_documents / max(1.0, totals.sum())
    return DrawnSample(dealt, sizes, fraction, n_shards)
