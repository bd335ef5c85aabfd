"""Matched pairs → exact curves of every statistic over thresholds.

Because matching does not depend on the threshold, a document with m pairs has at most m + 1
states, entered one after another as the threshold falls below its pairs' scores. Every state is
resolved once; its difference to the state before is put in the bin of its score, and the bins are
summed up from the right (DESIGN.md, One idea carries everything). Reads nothing, draws nothing.
"""

from __future__ import annotations

from mmc4viz.corpus.bins import Bins
from mmc4viz.corpus.curves import Curves, Thresholds
from mmc4viz.corpus.matched import Matched, Part, Progress, match_corpus
from mmc4viz.corpus.resolve import resolve
from mmc4viz.model import LoaderConfig

__all__ = ["Matched", "Part", "Progress", "match_corpus", "sweep"]


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
    bins, report = Bins(thresholds), progress or (lambda _: None)
    n_left = matched.n_documents
    for part in matched.parts:
        bins.add_everywhere(part.constants)
        if part.literal:
            bins.add_literal(part.literal.states(config))
            report(len(part.literal))
            n_left -= len(part.literal)
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, place in run.with_places(thresholds):
            for here in group.blocks():
                block = group.part(here)
                states = resolve(block, config, tokenizer)
                bins.add_states(place[:, here], states, config.max_images)
                report(len(block))
                n_left -= len(block)
    report(n_left)
    return bins.curves()
