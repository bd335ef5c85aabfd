"""Matched pairs → exact curves of every statistic over thresholds.

Because matching does not depend on the threshold, a document with m pairs has at most m + 1
states, entered one after another as the threshold falls below its pairs' scores. Every state is
resolved once; its difference to the state before is put in the bin of its score, and the bins are
summed up from the right (DESIGN.md, One idea carries everything). Reads nothing, draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns, Kind
from mmc4viz.corpus.curves import Curves, Thresholds
from mmc4viz.corpus.match import Ints, Matches, Progress, match
from mmc4viz.corpus.resolve import Group, States, groups, resolve
from mmc4viz.corpus.tally import CLASS, CLASSES, IMAGE_FATE, QUANTITIES, QUANTITY, Tally, tally
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.model import Document, DocumentError, ImageFate, LoaderConfig

_BLOCK = 1 << 15  # states in a block: what fits the cache


@dataclass(frozen=True)
class Part:
    """One shard, matched under one size limit and assignment.

    Attributes
    ----------
    columns : Columns
    matches : Matches
        Of its plain documents.
    groups : list of Group
        The same, arranged for resolving.
    literal : dict of int to Document
        By row, the documents whose counts do not add up: the walk answers them.
    """

    columns: Columns
    matches: Matches
    groups: list[Group]
    literal: dict[int, Document]


@dataclass(frozen=True)
class Matched:
    """A corpus matched under one size limit and assignment, ready to be swept.

    Attributes
    ----------
    parts : sequence of Part
        One a shard.
    config : LoaderConfig
        Whose ``min_kb`` and ``assignment`` were used.
    """

    parts: Sequence[Part]
    config: LoaderConfig

    @property
    def n_documents(self) -> int:
        """All documents, readable or not."""
        return sum(len(part.columns) for part in self.parts)

    def scores(self) -> NDArray[np.float64]:
        """Return the scores of all matched pairs of documents that are not lost before."""
        literal = [
            score
            for part in self.parts
            for document in part.literal.values()
            for score in literal_scores(document, self.config)
        ]
        return np.concatenate([np.array(literal, float), *(p.matches.score for p in self.parts)])


def match_part(columns: Columns, config: LoaderConfig) -> Part:
    """Match one shard; of the setting only ``min_kb`` and ``assignment`` matter."""
    matches = match(columns, config)
    rows = np.flatnonzero(columns.kind == Kind.LITERAL).tolist()
    literal = {row: columns.document(row) for row in rows}
    return Part(columns, matches, groups(columns, matches), literal)


def match_corpus(
    corpus: Iterable[Columns], config: LoaderConfig, progress: Progress | None = None
) -> Matched:
    """Match a corpus; ``progress`` gets the number of documents done since its last call."""
    parts = []
    for columns in corpus:
        parts.append(match_part(columns, config))
        if progress is not None:
            progress(len(columns))
    return Matched(parts, config)


def literal_scores(document: Document, config: LoaderConfig) -> list[float]:
    """Return a literal document's matched scores; none where it is lost before the matching."""
    try:
        return [score for _, _, score in matched_pairs(document, config)]
    except DocumentError:
        return []


def sweep(matched: Matched, config: LoaderConfig, thresholds: Thresholds) -> Curves:
    """Sum up every statistic at every threshold.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        Its threshold and its coin do not matter.
    thresholds : ndarray of float64, shape (T,)
        Ascending, without repeats.

    Returns
    -------
    Curves
        At each threshold the sum of what `walk` says of every document.

    Examples
    --------
    >>> matched = match_corpus([], LoaderConfig())
    >>> int(sweep(matched, LoaderConfig(), np.array([0.2])).total("documents")[0])
    0
    """
    bins = _Bins(thresholds)
    for part in matched.parts:
        tokenizer = part.columns.tokenizer
        bins.add(len(thresholds), _constants(part))
        for group in part.groups:
            survivors = np.arange(1, len(group.score) + 1, dtype=np.int32)[:, None]
            for block in _blocks(group):
                bins.add_states(block.score, resolve(block, survivors, config, tokenizer))
        for document in part.literal.values():
            for place, difference in _literal_states(document, config, tokenizer, thresholds):
                bins.add(place, difference)
    return bins.curves()


def _blocks(group: Group) -> Iterator[Group]:
    """Cut a group into blocks whose states fit the cache."""
    width = max(1, _BLOCK // len(group.score))
    for start in range(0, len(group.document), width):
        yield group.documents(slice(start, start + width))


def _constants(part: Part) -> Tally:
    """Tally plain and unreadable documents with every matched pair below the threshold."""
    kind, matches = part.columns.kind, part.matches
    lost = matches.unreadable | (kind == Kind.UNREADABLE)
    waiting = (kind == Kind.PLAIN) & ~lost & ~matches.no_valid_image
    total = Tally.empty()
    documents = total.counts[QUANTITY["documents"]]
    documents[CLASS["unreadable"]] = lost.sum()
    documents[CLASS["no_valid_image"]] = matches.no_valid_image.sum()
    documents[CLASS["below_threshold"]] = waiting.sum()
    total.counts[QUANTITY["rejected_pairs"], CLASS["below_threshold"]] = len(matches.score)
    stranded = matches.images[ImageFate.UNMATCHED][matches.unreadable].sum()
    total.counts[QUANTITY["stranded"], CLASS["unreadable"]] = stranded
    for fate in ImageFate:
        total.images[IMAGE_FATE[fate]] = matches.images[fate].sum()
    return total


def _literal_states(
    document: Document, config: LoaderConfig, tokenizer: Tokenizer, thresholds: Thresholds
) -> Iterator[tuple[int, Tally]]:
    """Walk a document once in each of its states; yield bins and differences between states."""
    scores = sorted({s for s in literal_scores(document, config) if s > -np.inf}, reverse=True)
    above = float(np.nextafter(scores[0], np.inf)) if scores else 0.0
    above = min(above, float(np.finfo(np.float64).max))
    state = tally(walk(document, config.with_(threshold=above), tokenizer))
    yield len(thresholds), state
    for score in scores:
        entered = tally(walk(document, config.with_(threshold=score), tokenizer))
        yield int(np.searchsorted(thresholds, score, side="right")), entered - state
        state = entered


class _Bins:
    """Differences between states, in the bin of the score at which a state is entered.

    Bin k belongs to scores that reach threshold k - 1 but not threshold k.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        n = len(thresholds) + 1
        self.counts = np.zeros((len(QUANTITIES), n, len(CLASSES)), np.int64)
        self.images = np.zeros((n, len(ImageFate)), np.int64)

    def add(self, place: int, difference: Tally) -> None:
        """Add one difference to a bin."""
        self.counts[:, place] += difference.counts
        self.images[place] += difference.images

    def add_states(self, score: NDArray[np.float64], states: States) -> None:
        """Add states 1 … m (axis 0) of documents whose state 0 stands in the constants."""
        m = len(score)
        place = np.searchsorted(self.thresholds, score, side="right") * len(CLASSES)
        before = np.full_like(states.kind, CLASS["below_threshold"])
        before[1:] = states.kind[:-1]
        entered, left = (place + states.kind).ravel(), (place + before).ravel()
        pairs = np.broadcast_to(np.arange(1, m + 1)[:, None], score.shape)
        for name, values, at_first in (
            ("documents", np.ones_like(pairs), 1),
            ("pairs", pairs, 0),
            ("rejected_pairs", m - pairs, m),
            ("over_cap", states.over_cap, 0),
            ("truncated", states.truncated, 0),
            ("reaching", states.reaching, 0),
            ("image_tokens", states.reaching, 0),
            ("text_tokens", states.text_tokens, 0),
            ("misbound", states.misbound, 0),
        ):
            previous = np.full_like(values, at_first)
            previous[1:] = values[:-1]
            self._add_weighted(name, entered, values)
            self._add_weighted(name, left, -previous)

    def _add_weighted(self, name: str, place: Ints, values: NDArray[np.integer]) -> None:
        bins = self.counts[QUANTITY[name]]
        sums = np.bincount(place, weights=values.ravel(), minlength=bins.size)
        bins += sums.astype(np.int64).reshape(bins.shape)

    def curves(self) -> Curves:
        """Sum up the bins from the right."""
        counts = self.counts[:, :0:-1].cumsum(axis=1)[:, ::-1]
        images = self.images[:0:-1].cumsum(axis=0)[::-1]
        return Curves(self.thresholds, np.ascontiguousarray(counts.transpose(0, 2, 1)), images.T)
