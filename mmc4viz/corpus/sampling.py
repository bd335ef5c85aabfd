"""A random sample of shards and documents, and what it says of the whole: rates with intervals.

Documents of one shard resemble each other, so the interval does not come from single documents but
from clusters of them. Where shards were drawn, each shard is a cluster; where every shard was
taken and only documents were drawn, documents are dealt at random into `GROUPS` clusters. A rate is
a ratio of two cluster totals, its standard error the linearised one (Cochran, Sampling Techniques,
3rd ed., section 6.3), its quantile Student's t with one degree of freedom less than clusters.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mmc4viz.corpus.columns import Columns, Verify, build_batch, row_of, with_notes
from mmc4viz.corpus.curves import Curves, Thresholds
from mmc4viz.corpus.image_notes import ImageTally
from mmc4viz.corpus.ingest import document_in
from mmc4viz.corpus.shards import Sample, Shard, image_source, samples
from mmc4viz.corpus.sweep import match_corpus, sweep
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import LoaderConfig, ShardError

GROUPS = 25
CONFIDENCE = 0.95
RATES = ("documents", "pairs", "image_tokens", "text_tokens", "misbound")


@dataclass(frozen=True)
class Drawn:
    """A sample of a corpus.

    Attributes
    ----------
    clusters : sequence of sequence of Columns
        What the interval is computed from.
    sizes : ndarray of float64, shape (clusters,)
        Documents of the corpus that each cluster stands for, up to a common factor.
    fraction : float
        Share of the units drawn, for the finite-population correction; 0 where shards were drawn.
    shards_drawn, shards : int
    """

    clusters: Sequence[Sequence[Columns]]
    sizes: NDArray[np.float64]
    fraction: float
    shards_drawn: int
    shards: int

    @property
    def n_documents(self) -> int:
        """Documents in the sample."""
        return sum(len(part) for cluster in self.clusters for part in cluster)


@dataclass(frozen=True)
class Rate:
    """A quantity per document of the corpus at every threshold, each of shape (T,)."""

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def choose_shards(n_shards: int, n_documents: int, seed: int) -> tuple[list[int], int]:
    """Choose shards at random, and how many documents to take of each.

    About the square root of the documents wanted, so that both stages are well filled.

    Examples
    --------
    >>> choose_shards(2, 100, seed=0)
    ([0, 1], 50)
    """
    count = min(n_shards, max(2, round(n_documents**0.5)))
    chosen = np.random.default_rng(seed).choice(n_shards, count, replace=False)
    return sorted(chosen.tolist()), -(-n_documents // count)


def draw(columns: Sequence[Columns], n_documents: int, seed: int = 0) -> Drawn:
    """Draw documents from columns that are all at hand (an index).

    Parameters
    ----------
    columns : sequence of Columns
        One a shard, all of the corpus.
    n_documents : int
        How many are wanted; at most as many are taken as there are.
    seed : int
    """
    chosen, each = choose_shards(len(columns), n_documents, seed)
    totals = np.array([len(columns[position]) for position in chosen], np.float64)
    generator = np.random.default_rng([seed, 1])
    if len(chosen) < len(columns):
        rows = [
            generator.choice(int(total), min(each, int(total)), replace=False) for total in totals
        ]
    else:  # every shard: then every document is as likely as any other
        starts = np.concatenate([[0], np.cumsum(totals)]).astype(np.int64)
        wanted = min(n_documents, int(starts[-1]))
        flat = np.sort(generator.choice(int(starts[-1]), wanted, replace=False))
        cuts = np.searchsorted(flat, starts)
        rows = [flat[cuts[i] : cuts[i + 1]] - starts[i] for i in range(len(chosen))]
    taken = [columns[at].take(np.sort(here)) for at, here in zip(chosen, rows, strict=True)]
    return cluster(taken, totals, len(columns), seed)


def read_sample(
    shard: Shard,
    tokenizer: Tokenizer,
    n_documents: int,
    seed: Sequence[int],
    image_dir: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[Columns, int]:
    """Read a simple random sample of one shard, streaming it once.

    Every sample gets a random number and the smallest stay, so only these are parsed.

    Returns
    -------
    columns : Columns
        Of the documents drawn, in the shard's order.
    total : int
        Samples in the shard.
    """
    generator = np.random.default_rng(list(seed))
    kept: list[tuple[float, int, Sample]] = []
    total, error, notes = 0, None, list[str]()
    try:
        for total, sample in enumerate(samples(shard, notes), 1):
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
        document = document_in(sample, source, Verify.FULL)
        rows.append(row_of(document, sample, tokenizer))
        tally.add(document)
        if progress is not None:
            progress(1)
    notes += tally.notes(shard, source)
    return Columns(shard, with_notes(build_batch(rows), notes), tokenizer, error), total


def cluster(
    taken: Sequence[Columns], totals: NDArray[np.float64], n_shards: int, seed: int
) -> Drawn:
    """Arrange what was drawn into clusters.

    Parameters
    ----------
    taken : sequence of Columns
        The documents drawn, one a drawn shard.
    totals : ndarray of float64, shape (drawn shards,)
        Documents of each drawn shard.
    n_shards : int
        Shards of the corpus.
    seed : int
        For dealing documents into clusters, where every shard was drawn.
    """
    if len(taken) < n_shards:
        full = [(part, total) for part, total in zip(taken, totals, strict=True) if len(part)]
        sizes = np.array([total for _, total in full])
        return Drawn([[part] for part, _ in full], sizes, 0.0, len(taken), n_shards)
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
    return Drawn(dealt, sizes, fraction, len(taken), n_shards)


def sweep_clusters(drawn: Drawn, config: LoaderConfig, thresholds: Thresholds) -> list[Curves]:
    """Return the curves of each cluster."""
    return [sweep(match_corpus(parts, config), config, thresholds) for parts in drawn.clusters]


def rate(drawn: Drawn, curves: Sequence[Curves], quantity: str, keep: float) -> Rate:
    """Estimate a quantity per document, with its 95 % interval.

    Parameters
    ----------
    drawn : Drawn
    curves : sequence of Curves
        Of its clusters, in their order.
    quantity : str
        One of `RATES`.
    keep : float
        Probability with which a single image's document survives.

    Returns
    -------
    Rate
        With an infinite interval where there is only one cluster.
    """
    sums = np.array([_values(part, quantity, keep) for part in curves])
    sampled = np.array([[sum(len(p) for p in parts)] for parts in drawn.clusters], np.float64)
    sizes = drawn.sizes[:, None]
    totals = sums / np.maximum(sampled, 1) * sizes
    estimate = totals.sum(axis=0) / sizes.sum()
    k = len(sums)
    if k < 2:
        unknown = np.full_like(estimate, np.inf)
        return Rate(estimate, np.zeros_like(estimate), unknown)
    residual = totals - estimate * sizes
    variance = (1 - drawn.fraction) * k / (k - 1) * (residual**2).sum(axis=0)
    half = stdtrit(k - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance) / sizes.sum()
    return Rate(estimate, np.maximum(0, estimate - half), estimate + half)


def _values(curves: Curves, quantity: str, keep: float) -> NDArray[np.float64]:
    if quantity == "pairs":
        return curves.total("pairs").astype(np.float64)
    return curves.expected(quantity, keep)
