"""Matched pairs → exact curves of every statistic over thresholds.

Because matching does not depend on the threshold, a document with m pairs has at most m + 1
states, entered one after another as the threshold falls below its pairs' scores. Every state is
resolved once; its difference to the state before is put in the bin of its score, and the bins are
summed up from the right (DESIGN.md, One idea carries everything). Reads nothing, draws nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.bins import Bins
from mmc4viz.corpus.curves import Curves
from mmc4viz.corpus.matched import Matched, Part, Progress, match_corpus
from mmc4viz.corpus.resolve import resolve
from mmc4viz.corpus.scales import Thresholds
from mmc4viz.model import LoaderConfig

__all__ = ["Matched", "Part", "Progress", "match_corpus", "sweep", "sweep_each"]


def sweep(
    matched: Matched,
    config: LoaderConfig,
    thresholds: Thresholds,
    progress: Progress | None = None,
) -> Curves:
    """Sum up every statistic at every threshold.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        Its threshold and its coin do not matter.
    thresholds : ndarray of float64, shape (T,)
        Ascending, without repeats.
    progress : callable, optional
        Called with the number of documents done since its last call, all in all with
        ``matched.n_documents``. Whatever it raises ends the sweep and passes through, so that it
        may abandon one that nobody waits for.

    Returns
    -------
    Curves
        At each threshold the sum of what `walk` says of every document.

    Examples
    --------
    >>> import numpy as np
    >>> matched = match_corpus([], LoaderConfig())
    >>> int(sweep(matched, LoaderConfig(), np.array([0.2])).total("documents")[0])
    0
    """
    bins = Bins(thresholds)
    _fill(bins, matched, config, np.zeros(len(matched.parts), np.int64), progress)
    return bins.curves()[0]


def sweep_each(
    matched: Matched,
    cluster: NDArray[np.int64],
    clusters: int,
    config: LoaderConfig,
    thresholds: Thresholds,
) -> list[Curves]:
    """Sum up every statistic of each cluster of shards, in one go.

    Parameters
    ----------
    matched : Matched
    cluster : ndarray of int64, shape (parts,)
        Of each shard, from 0 on.
    clusters : int
    config, thresholds
        As for `sweep`.
    """
    bins = Bins(thresholds, clusters)
    _fill(bins, matched, config, cluster, None)
    return bins.curves()


def _fill(
    bins: Bins,
    matched: Matched,
    config: LoaderConfig,
    cluster: NDArray[np.int64],
    progress: Progress | None,
) -> None:
    """Put every state of a corpus in its bin."""
    report, n_left = progress or (lambda _: None), matched.n_documents
    for part, here in zip(matched.parts, cluster.tolist(), strict=True):
        bins.add_everywhere(part.constants, here)
        if part.literal:
            bins.add_literal(part.literal.states(config), here)
            report(len(part.literal))
            n_left -= len(part.literal)
    several = len(bins.images) > len(bins.thresholds) + 1
    of_document = np.repeat(cluster, [len(part.columns) for part in matched.parts])
    start = 0
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, place in run.with_places(bins.thresholds):
            for here in group.blocks():
                block = group.part(here)
                states = resolve(block, config, tokenizer)
                dealt = of_document[block.document - run.first + start] if several else None
                bins.add_states(place[:, here], states, config.max_images, dealt)
                report(len(block))
                n_left -= len(block)
        start += run.last - run.first
    report(n_left)
