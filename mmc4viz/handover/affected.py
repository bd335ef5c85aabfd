"""Which of a shard's documents rewriting may change, told from its columns without reading them.

Careful rather than sharp: a document that is not named here needs no change for certain; of one
that is, `plan` says. The twin of `plan.plan_document` for whole shards.
"""

from __future__ import annotations

import numpy as np

from mmc4viz.arrays import Bools, Ints
from mmc4viz.corpus.columns import Columns, Kind, Status
from mmc4viz.corpus.match import match
from mmc4viz.corpus.matched import match_corpus
from mmc4viz.corpus.tally import CLASS
from mmc4viz.corpus.verdicts import verdicts
from mmc4viz.handover.options import Options, loader_config
from mmc4viz.model import LoaderConfig


def affected(columns: Columns, config: LoaderConfig, options: Options) -> Bools:
    """Return which documents may need a change, shape (documents,).

    Parameters
    ----------
    columns : Columns
        One shard's, with the shard's own similarity.
    config : LoaderConfig
        The chosen setting.
    options : Options
    """
    starts = columns.offsets("images")
    owner = np.repeat(np.arange(len(columns)), np.diff(starts))
    chosen = _surviving(columns, config)
    found: Bools = columns.kind == Kind.LITERAL
    loader = loader_config(config)
    if (loader.assignment, loader.min_kb) != (config.assignment, config.min_kb):
        found[owner[chosen != _surviving(columns, loader)]] = True
    if options.cap == "best" or options.order == "sentence":
        survives = chosen >= 0
        each = np.bincount(owner[survives], minlength=len(columns))
        found |= each > config.max_images
        if options.order == "sentence":
            document, sentence = owner[survives], chosen[survives]
            falls = (document[1:] == document[:-1]) & (sentence[1:] < sentence[:-1])
            found[document[1:][falls]] = True
    status = columns.image("status")[starts[0] : starts[-1]]
    if options.drop_undecodable:
        found[owner[(status == Status.BAD_ENTRY) | (status == Status.BAD_PIXELS)]] = True
    if not options.keep_rejected_images:
        found[owner[status != Status.MISSING]] = True
    return np.asarray(found & (columns.kind != Kind.UNREADABLE))


def _surviving(columns: Columns, config: LoaderConfig) -> Ints:
    """Return the sentence of each image whose pair reaches the threshold, else -1."""
    starts = columns.offsets("images")
    pairs = match(columns, config).pairs
    sentence = np.full(starts[-1] - starts[0], -1, np.int64)
    above = pairs.score >= config.threshold
    at = starts[pairs.document[above]] - starts[0] + pairs.image[above]
    sentence[at] = pairs.sentence[above]
    return sentence


def yielded(columns: Columns, config: LoaderConfig, rows: Ints) -> tuple[int, int]:
    """Return how many of some documents the unmodified loader yields: surely, and by its coin."""
    if not len(rows):
        return 0, 0
    loader = loader_config(config)
    kind = verdicts(match_corpus([columns.take(rows)], loader), loader).kind
    surely, by_coin = (kind == CLASS[name] for name in ("kept_surely", "kept_by_coin"))
    return int(surely.sum()), int(by_coin.sum())
