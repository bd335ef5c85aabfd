"""Match a corpus once, then compute the statistics at every threshold exactly.

Matching does not depend on the threshold, so a document with m pairs has at most m + 1 states,
entered one after another as the threshold falls below its pairs' scores. Every state is resolved
once (`resolve`, `literal`); its difference from the previous state is added to the bin of its
score, and the bins are summed from the right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import Scale, Thresholds, scale_of
from mmc4viz.sweep.literal import Literal, LiteralStates
from mmc4viz.sweep.match import (
    WAITING,
    Known,
    Matches,
    ShardMatch,
    Validity,
    changed,
    constants,
    match,
    validity,
)
from mmc4viz.sweep.resolve import Group, States, arrange, resolve
from mmc4viz.sweep.statistics import (
    CLASS,
    CLASSES,
    IMAGE_STATUS,
    QUANTITIES,
    Curves,
    Tally,
)
from mmc4viz.types import ImageStatus, LoaderConfig

Places = NDArray[np.unsignedinteger[Any]]

_EXACT_BITS: Final = 53  # mantissa of a double
_CLASSES: Final = len(CLASSES)


def places(thresholds: Thresholds, score: NDArray[np.float64]) -> Places:
    """Return the bin of each score: the number of thresholds it reaches."""
    dtype = np.uint16 if len(thresholds) < 2**16 else np.uint32
    return np.searchsorted(thresholds, score, side="right").astype(dtype)


class Bins:
    """Differences between states, binned by the score at which a state begins.

    Bin k is for scores that reach threshold k - 1 but not threshold k. Documents may be divided
    into clusters: then there is a bin k of each cluster, side by side, so that scores of a narrow
    range touch few of all bins.
    """

    def __init__(self, thresholds: Thresholds, clusters: int = 1) -> None:
        self.thresholds, self.clusters = thresholds, clusters
        n = clusters * (len(thresholds) + 1)
        self.counts = np.zeros((len(QUANTITIES), n, len(CLASSES)), np.int64)
        self.images = np.zeros((n, len(ImageStatus)), np.int64)

    def add_everywhere(self, counts: Ints, images: Ints) -> None:
        """Add what does not depend on the threshold: counts of `Tally`, the clusters first."""
        self.counts[:, -self.clusters :] += counts.swapaxes(0, 1)
        self.images[-self.clusters :] += images

    def add_states(
        self, place: Places, states: States, max_images: int, cluster: Ints | None = None
    ) -> None:
        """Add the states of plain documents.

        Parameters
        ----------
        place : ndarray of unsigned integers, shape (m, D)
            Bins of the scores at which the states begin.
        states : States
            The documents' states.
        max_images : int
            The cap.
        cluster : ndarray of int64, shape (D,), optional
            Each document's cluster.
        """
        low, high = int(place.min()), int(place.max()) + 1
        first, last = low * self.clusters, high * self.clusters
        at = (place - place.dtype.type(low)).astype(np.int64)
        if cluster is not None:
            at *= self.clusters
            at += cluster
        m, n_pairs = len(place), np.arange(1, len(place) + 1)[:, None]
        n_kept = np.minimum(n_pairs, max_images)
        entered = at * _CLASSES + states.kind
        left = entered[1:] - states.kind[1:] + states.kind[:-1]
        sums = _sums(
            {
                "documents": np.ones_like(n_pairs),
                "pairs": n_pairs,
                "kept": n_kept,
                "reaching": states.reaching,
                "mispaired": states.mispaired,
                "text_tokens": states.text_tokens,
            },
            entered.ravel(),
            left.ravel(),
            (last - first) * _CLASSES,
        )
        alone = np.bincount(at[0], minlength=last - first)
        sums["documents"][CLASS["below_threshold"] :: _CLASSES] -= alone
        sums["rejected_pairs"] = m * sums["documents"] - sums["pairs"]
        sums["over_cap"] = sums["pairs"] - sums["kept"]
        sums["truncated"] = sums.pop("kept") - sums["reaching"]
        sums["image_tokens"] = sums["reaching"]
        sums["stranded"] = np.zeros_like(sums["reaching"])
        for number, name in enumerate(QUANTITIES):
            self.counts[number, first:last] += sums[name].reshape(-1, _CLASSES)

    def add_literal(self, states: LiteralStates, cluster: Ints) -> None:
        """Add the states of literal documents, given each document's cluster."""
        follows = np.append(False, states.document[1:] == states.document[:-1])
        place = np.searchsorted(self.thresholds, states.score, side="right")
        place = place * self.clusters + cluster[states.document]
        left, before = place[follows], np.flatnonzero(follows) - 1
        counts = self.counts.transpose(1, 2, 0)  # a view: bins and classes first
        np.add.at(counts, (place, states.kind), states.counts)
        np.subtract.at(counts, (left, states.kind[before]), states.counts[before])
        np.add.at(self.images, place, states.images)
        np.subtract.at(self.images, left, states.images[before])

    def curves(self) -> list[Curves]:
        """Sum the bins from the right, by cluster."""
        counts = self.counts.reshape(len(QUANTITIES), -1, self.clusters, len(CLASSES))
        images = self.images.reshape(-1, self.clusters, len(ImageStatus))
        counts = counts[:, :0:-1].transpose(2, 0, 3, 1).cumsum(axis=-1)[..., ::-1]
        images = images[:0:-1].transpose(1, 2, 0).cumsum(axis=-1)[..., ::-1]
        each = zip(counts, images, strict=True)
        return [Curves(self.thresholds, one, of_images) for one, of_images in each]


def _sums(
    values: dict[str, NDArray[Any]], entered: Ints, left: Ints, n_bins: int
) -> dict[str, Ints]:
    """Sum values in the bins entered, minus those of the previous state in the bins left.

    Parameters
    ----------
    values : dict of str to ndarray of integers, shape (m, D) or (m, 1)
        Non-negative.
    entered : ndarray of int64, shape (m * D,)
    left : ndarray of int64, shape ((m - 1) * D,)
        Of all states but the first.
    n_bins : int

    Returns
    -------
    dict of str to ndarray of int64, shape (n_bins,)
    """
    sums = {}
    for word in _words(values, len(entered)):
        weights = sum(values[name] * float(1 << shift) for name, shift, _ in word)
        flat = np.broadcast_to(weights, values["reaching"].shape).ravel()
        came = np.bincount(entered, flat, n_bins).astype(np.int64)
        went = np.bincount(left, flat[: len(left)], n_bins).astype(np.int64)
        for name, shift, bits in word:
            mask = (1 << bits) - 1
            sums[name] = ((came >> shift) & mask) - ((went >> shift) & mask)
    return sums


def _words(values: dict[str, NDArray[Any]], n: int) -> Iterator[list[tuple[str, int, int]]]:
    """Pack quantities into doubles to sum several at once, exactly.

    Yields
    ------
    list of (name, shift, bits)
        Quantities of one double; no sum of n values overflows its bits.
    """
    word: list[tuple[str, int, int]] = []
    used = 0
    for name, value in values.items():
        bits = (n * max(1, int(value.max()))).bit_length()
        if word and used + bits > _EXACT_BITS:
            yield word
            word, used = [], 0
        word.append((name, used, bits))
        used += bits
    yield word


Progress = Callable[[int], object]

_BLOCK: Final = 1 << 18  # documents per block: large groups, limited memory


@dataclass
class Block:
    """Neighbouring shards, arranged together.

    Attributes
    ----------
    groups : list of Group
        Their plain documents with pairs, numbered consecutively.
    """

    groups: list[Group]
    _places: tuple[bytes, list[Places]] = field(default=(b"", []), repr=False)

    def places(self, thresholds: Thresholds) -> list[Places]:
        """Return the bins of each group's scores, shape (m, D) each; the last result is cached."""
        grid, found = self._places
        if grid != thresholds.tobytes():
            found = [places(thresholds, group.score) for group in self.groups]
            self._places = (thresholds.tobytes(), found)
        return found


@dataclass(frozen=True)
class Part:
    """One shard, matched.

    Attributes
    ----------
    columns : Columns
    literal : Literal
        Documents that need the reference walk, by row.
    kind : ndarray of uint8, shape (documents,)
        Class of each plain or unreadable document with all pairs below the threshold.
    constants : Tally
        Of these documents, with all pairs below the threshold.
    block : Block
        The block with its pairs.
    first : int
        Number of its first document in the block.
    min_kb : int
        The size limit.
    """

    columns: Columns
    literal: Literal
    kind: NDArray[np.uint8]
    constants: Tally
    block: Block
    first: int
    min_kb: int

    @property
    def run(self) -> Run:
        """The shard's documents in the block."""
        return Run(self.block, self.first, self.first + len(self.columns))

    def groups(self) -> list[Group]:
        """Return its plain documents with pairs, numbered by row."""
        return [group.shifted(-self.first) for group in self.run.groups() if len(group)]

    @property
    def matches(self) -> Matches:
        """The pairs of its plain documents, numbered by row, in any order."""
        return self.matches_of(np.ones(len(self.columns), bool))

    def matches_of(self, documents: NDArray[np.bool_]) -> Matches:
        """Return the pairs of some of its plain documents."""
        return Matches.joined([group.pairs(documents[group.document]) for group in self.groups()])

    @cached_property
    def images(self) -> Validity:
        """The status of the shard's images before matching."""
        return validity(self.columns, self.min_kb)

    def images_with(self, status: ImageStatus) -> NDArray[np.int64]:
        """Return each document's number of images with a status, 0 for literal ones."""
        images = self.images
        if status not in (ImageStatus.MATCHED, ImageStatus.UNMATCHED):
            return images.having(IMAGE_STATUS[status])
        matched = np.bincount(self.matches.document, minlength=len(self.columns))
        return matched if status is ImageStatus.MATCHED else images.having(WAITING) - matched


@dataclass(frozen=True)
class Run:
    """Consecutive documents of a block.

    Attributes
    ----------
    block : Block
    first, last : int
        Half-open range of document numbers.
    """

    block: Block
    first: int
    last: int

    def groups(self) -> Iterator[Group]:
        """Yield the documents with pairs, group by group."""
        return (group.between(self.first, self.last) for group in self.block.groups)

    def with_places(self, thresholds: Thresholds) -> Iterator[tuple[Group, Places]]:
        """Yield the groups with the bins of their scores."""
        for group, place in zip(self.block.groups, self.block.places(thresholds), strict=True):
            here = group.positions(self.first, self.last)
            yield group.part(here), place[:, here]


@dataclass(frozen=True)
class Matched:
    """A corpus matched with one size limit and assignment.

    Attributes
    ----------
    parts : sequence of Part
        One per shard; any subset is a matched corpus too.
    config : LoaderConfig
        Whose ``min_kb`` and ``assignment`` were used.
    """

    parts: Sequence[Part]
    config: LoaderConfig

    @property
    def n_documents(self) -> int:
        """Number of documents, readable or not."""
        return sum(len(part.columns) for part in self.parts)

    def scores(self) -> NDArray[np.float64]:
        """Return the scores of all matched pairs."""
        plain = [group.score.ravel() for run in self.runs() for group in run.groups()]
        return np.concatenate([np.zeros(0), *(p.literal.scores() for p in self.parts), *plain])

    @cached_property
    def scale(self) -> Scale:
        """The scale of the scores, with a suitable grid of thresholds."""
        stored = self.config.assignment == "stored"  # then scores are not from the matrices
        return scale_of(self.scores(), () if stored else [part.columns for part in self.parts])

    def runs(self) -> list[Run]:
        """Return all documents as runs, merging adjacent parts of a block."""
        found: list[Run] = []
        for run in (part.run for part in self.parts):
            if found and found[-1].block is run.block and found[-1].last == run.first:
                found[-1] = replace(found[-1], last=run.last)
            else:
                found.append(run)
        return found


def match_corpus(
    corpus: Iterable[Columns],
    config: LoaderConfig,
    progress: Progress | None = None,
    previous: Matched | None = None,
) -> Matched:
    """Match a corpus.

    Parameters
    ----------
    corpus : iterable of Columns
        One per shard.
    config : LoaderConfig
        Only ``min_kb`` and ``assignment`` matter.
    progress : callable, optional
        Called with the number of documents done since the last call; may raise to cancel.
    previous : Matched, optional
        The same corpus with another size limit: only documents whose valid images change are
        matched again. Ignored if the assignment differs.
    """
    earlier = {} if previous is None else {id(part.columns.batch): part for part in previous.parts}
    parts: list[Part] = []
    waiting: list[tuple[Columns, Literal, ShardMatch]] = []
    n_waiting = 0
    for columns in corpus:
        part = earlier.get(id(columns.batch))
        known = None
        if part is not None and previous is not None:
            known = _known(part, previous.config, config)
        literal = Literal(columns, config, None if part is None else part.literal)
        waiting.append((columns, literal, match(columns, config, known)))
        n_waiting += len(columns)
        if n_waiting >= _BLOCK:
            parts += _arranged(waiting, config.min_kb)
            waiting, n_waiting = [], 0
        if progress is not None:
            progress(len(columns))
    return Matched(parts + _arranged(waiting, config.min_kb), config)


def _known(part: Part, before: LoaderConfig, now: LoaderConfig) -> Known | None:
    """Return a shard's earlier results that hold under the new size limit."""
    if before.assignment != now.assignment:
        return None
    documents = ~changed(part.columns, before.min_kb, now.min_kb)
    failed = documents & (part.kind == CLASS["unreadable"])
    return Known(documents, failed, part.matches_of(documents))


def _arranged(shards: list[tuple[Columns, Literal, ShardMatch]], min_kb: int) -> list[Part]:
    """Arrange matched shards in a block."""
    if not shards:
        return []
    starts = np.cumsum([0, *(len(columns) for columns, _, _ in shards)]).tolist()
    each = zip(shards, starts, strict=False)
    pairs = Matches.joined([found.pairs.shifted(first) for (_, _, found), first in each])
    block = Block(arrange(pairs, starts[-1]))
    return [
        Part(columns, literal, found.kind, found.constants, block, first, min_kb)
        for (columns, literal, found), first in zip(shards, starts, strict=False)
    ]


__all__ = ["Matched", "Part", "Progress", "match_corpus", "sweep", "sweep_each"]


def sweep(
    matched: Matched,
    config: LoaderConfig,
    thresholds: Thresholds,
    progress: Progress | None = None,
) -> Curves:
    """Compute every statistic at every threshold.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
        The threshold and the single-image keep probability are ignored.
    thresholds : ndarray of float64, shape (T,)
        Strictly ascending.
    progress : callable, optional
        Called with the number of documents done since the last call, ``matched.n_documents`` in
        total; may raise to cancel.

    Returns
    -------
    Curves
        At each threshold, the sum over all documents of what `walk` returns.

    Examples
    --------
    >>> import numpy as np
    >>> matched = match_corpus([], LoaderConfig())
    >>> int(sweep(matched, LoaderConfig(), np.array([0.2])).total("documents")[0])
    0
    """
    bins = Bins(thresholds)
    _fill(bins, matched, config, np.zeros(matched.n_documents, np.int64), progress)
    return bins.curves()[0]


def sweep_each(
    matched: Matched,
    cluster: NDArray[np.int64],
    clusters: int,
    config: LoaderConfig,
    thresholds: Thresholds,
) -> list[Curves]:
    """Compute every statistic for each cluster of documents at once.

    Parameters
    ----------
    matched : Matched
    cluster : ndarray of int64, shape (documents,)
        Cluster of each document, from 0.
    clusters : int
    config, thresholds
        As for `sweep`.

    Returns
    -------
    list of Curves
        One per cluster; their sum is what `sweep` returns.
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
    """Add every state of a corpus to its bin, given each document's cluster."""
    report, n_left = progress or (lambda _: None), matched.n_documents
    several, start = bins.clusters > 1, 0
    n_pairs = np.zeros(matched.n_documents, np.int64)
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, place in run.with_places(bins.thresholds):
            numbers = group.document.astype(np.int64) + (start - run.first)
            n_pairs[numbers] = len(group.score)
            for here in group.blocks():
                states = resolve(group.part(here), config, tokenizer)
                own = cluster[numbers[here]] if several else None
                bins.add_states(place[:, here], states, config.max_images, own)
                report(states.kind.shape[1])
                n_left -= states.kind.shape[1]
        start += run.last - run.first
    start = 0
    for part in matched.parts:
        rows = slice(start, start + len(part.columns))
        start = rows.stop
        bins.add_everywhere(*_constants(part, n_pairs[rows], cluster[rows], bins.clusters))
        if part.literal:
            bins.add_literal(part.literal.states(config), cluster[rows][part.literal.rows])
            report(len(part.literal))
            n_left -= len(part.literal)
    report(n_left)


def _constants(part: Part, n_pairs: Ints, cluster: Ints, clusters: int) -> tuple[Ints, Ints]:
    """Return what does not depend on the threshold by cluster, as `constants` does."""
    if clusters == 1:
        return part.constants.counts[None], part.constants.images[None]
    return constants(part.columns, part.images, part.kind, n_pairs, cluster, clusters)
