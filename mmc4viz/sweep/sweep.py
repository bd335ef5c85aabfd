"""Match a corpus once, then compute the statistics at every threshold exactly.

Matching does not depend on the threshold, so a document with m pairs has at most m + 1 states,
entered one after another as the threshold falls below its pairs' scores. Every state is resolved
once (`resolve`, `literal`); its difference from the previous state is added to the bin of its
score, and the bins are summed from the right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import Scale, Shifts, Thresholds, scale_of
from mmc4viz.loader.profile import profile_of
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
from mmc4viz.sweep.resolve import COUNTED, Group, States, arrange, resolve
from mmc4viz.sweep.statistics import (
    CLASS,
    CLASSES,
    IMAGE_STATUS,
    MOST_IMAGES,
    QUANTITIES,
    QUANTITY,
    SHAPES,
    Curves,
    Tally,
    lengths_of,
)
from mmc4viz.types import ImageStatus, LoaderConfig

Places = NDArray[np.unsignedinteger[Any]]

EVERYTHING: Final = (*COUNTED, "image_tokens", "images", "pairs")
"""What `Bins` can count: besides `mmc4viz.sweep.resolve.COUNTED`, image tokens, sequences by number
of images, and, only with image tokens, pairs by status."""

_SUMMED: Final = tuple(name for name in COUNTED if name != "length")
_EXACT_BITS: Final = 53  # mantissa of a double
_BELOW: Final = CLASS["below_threshold"]  # after the classes of documents with pairs left
_UNREADABLE: Final = CLASS["unreadable"]


def places(thresholds: Thresholds, score: NDArray[np.float64]) -> Places:
    """Return the bin of each score: the number of thresholds it reaches."""
    dtype = np.uint16 if len(thresholds) < 2**16 else np.uint32
    return np.searchsorted(thresholds, score, side="right").astype(dtype)


def own_places(
    score: NDArray[np.float64], grids: Sequence[Thresholds], code: NDArray[np.int64]
) -> Places:
    """Return the bin of each score among its document's own thresholds.

    Parameters
    ----------
    score : ndarray of float64, shape (..., D)
    grids : sequence of ndarray of float64, shape (T,)
        Thresholds of equal number.
    code : ndarray of int64, shape (D,)
        Position of each document's thresholds in ``grids``.
    """
    found = np.empty(score.shape, np.uint16 if len(grids[0]) < 2**16 else np.uint32)
    for own in np.unique(code).tolist():
        here = np.flatnonzero(code == own)
        found[..., here] = places(grids[own], score[..., here])
    return found


class Bins:
    """Differences between states, binned by the score at which a state begins.

    Bin k is for scores that reach threshold k - 1 but not threshold k. Documents may be divided
    into clusters: then there is a bin k of each cluster, side by side, so that scores of a narrow
    range touch few of all bins. Of plain documents, what is not ``counted`` stays 0 but for their
    number. Counts are of type ``dtype``: means are no integers.
    """

    def __init__(
        self,
        thresholds: Thresholds,
        clusters: int = 1,
        counted: Collection[str] = EVERYTHING,
        dtype: type[np.number[Any]] = np.int64,
    ) -> None:
        self.thresholds, self.clusters, self._counted = thresholds, clusters, counted
        n = clusters * (len(thresholds) + 1)
        self.counts = np.zeros((len(QUANTITIES), len(CLASSES), n), dtype)
        self.images = np.zeros((len(ImageStatus), n), np.int64)
        self.shapes = np.zeros((len(SHAPES) + 1, n), np.int64)  # the last: not kept

    def add_everywhere(self, counts: Ints, images: Ints) -> None:
        """Add what does not depend on the threshold: counts of `Tally`, the clusters first."""
        self.counts[..., -self.clusters :] += np.moveaxis(counts, 0, -1)
        self.images[..., -self.clusters :] += images.T

    def add_states(
        self, place: Places, states: States, config: LoaderConfig, cluster: Ints | None = None
    ) -> None:
        """Add the states of plain documents.

        Parameters
        ----------
        place : ndarray of unsigned integers, shape (m, D)
            Bins of the scores at which the states begin.
        states : States
            The documents' states.
        config : LoaderConfig
            Only the cap and the token limit matter.
        cluster : ndarray of int64, shape (D,) or (m, 1), optional
            Each document's cluster, or that of each number of pairs.
        """
        at = place.astype(np.int64)
        if cluster is not None:
            at = at * self.clusters + cluster
        here = slice(int(at.min()), int(at.max()) + 1)  # bins in use
        m, n_bins = len(place), here.stop - here.start
        n_pairs = np.arange(1, m + 1)[:, None]
        values = {"documents": np.ones_like(n_pairs)}
        values |= {name: getattr(states, name) for name in _SUMMED if name in self._counted}
        if "image_tokens" in self._counted:
            values["reaching"] = states.reaching
        if "pairs" in self._counted:
            values |= {
                "pairs": n_pairs,
                "kept": np.minimum(n_pairs, profile_of(config).cap_of(config)),
            }
        lost = states.kind == _UNREADABLE
        kind = np.where(lost, _BELOW, states.kind) if lost.any() else states.kind
        moves = _moves(at - here.start, kind, n_bins)
        sums = _sums(values, *moves, (_BELOW + 1) * n_bins)
        self._add_lost(here, sums["documents"][_BELOW * n_bins :], m)
        if "image_tokens" in self._counted:
            sums["image_tokens"] = sums["reaching"]
        if "pairs" in self._counted:
            sums["rejected_pairs"] = m * sums["documents"] - sums["pairs"]
            sums["over_cap"] = sums["pairs"] - sums["kept"]
            sums["truncated"] = sums.pop("kept") - sums["reaching"]
        for name, found in sums.items():
            self.counts[QUANTITY[name], :_BELOW, here] += found.reshape(-1, n_bins)[:_BELOW]
        alone = np.bincount(at[0] - here.start, minlength=n_bins)
        self.counts[QUANTITY["documents"], _BELOW, here] -= alone
        if "pairs" in self._counted:
            self.counts[QUANTITY["rejected_pairs"], _BELOW, here] -= m * alone
        if "images" in self._counted:
            self._add_shapes(at, _images_of(states.kind, states.reaching))
        if "length" in self._counted:
            self._add_shapes(at, _length_of(states.kind, states.length, config.max_tokens))

    def _add_lost(self, here: slice, documents: Ints, m: int) -> None:
        """Add documents that one of their m images, all matched, has lost."""
        self.counts[QUANTITY["documents"], _UNREADABLE, here] += documents
        if "pairs" in self._counted:
            self.counts[QUANTITY["stranded"], _UNREADABLE, here] += (m - 1) * documents
            self.images[IMAGE_STATUS[ImageStatus.UNDECODABLE], here] += documents
            self.images[IMAGE_STATUS[ImageStatus.UNMATCHED], here] += (m - 1) * documents
            self.images[IMAGE_STATUS[ImageStatus.MATCHED], here] -= m * documents

    def _add_shapes(self, at: Ints, shape: NDArray[Any]) -> None:
        """Add the states of plain documents, shape (m, D), at positions in `SHAPES`."""
        shapes = self.shapes.reshape(-1)  # a view
        entered, left = _moves(at, shape, self.shapes.shape[1])
        np.add.at(shapes, entered, 1)
        np.subtract.at(shapes, left, 1)

    def add_literal(
        self, states: LiteralStates, max_tokens: int, cluster: Ints, place: Places | None = None
    ) -> None:
        """Add the states of literal documents.

        Parameters
        ----------
        states : LiteralStates
        max_tokens : int
        cluster : ndarray of int64, shape (documents,)
            Each document's cluster.
        place : ndarray of unsigned integers, shape (states,), optional
            Bins of the scores at which the states begin, where documents have their own thresholds.
        """
        follows = np.append(False, states.document[1:] == states.document[:-1])
        own = places(self.thresholds, states.score) if place is None else place
        at = own.astype(np.int64) * self.clusters + cluster[states.document]
        left, before = at[follows], np.flatnonzero(follows) - 1
        counts = self.counts.transpose(2, 1, 0)  # a view: bins and classes first
        np.add.at(counts, (at, states.kind), states.counts)
        np.subtract.at(counts, (left, states.kind[before]), states.counts[before])
        unreadable = 1 - states.counts[:, QUANTITY["documents"]]
        if unreadable.any():  # in part
            counts = self.counts[QUANTITY["documents"], CLASS["unreadable"]]
            np.add.at(counts, at, unreadable)
            np.subtract.at(counts, left, unreadable[before])
        np.add.at(self.images.T, at, states.images)
        np.subtract.at(self.images.T, left, states.images[before])
        documents, images = states.counts[:, [QUANTITY["documents"], QUANTITY["image_tokens"]]].T
        for shape in (
            _images_of(states.kind, np.rint(images / documents).astype(np.int64)),
            _length_of(states.kind, states.length, max_tokens),
        ):
            np.add.at(self.shapes, (shape, at), 1)
            np.subtract.at(self.shapes, (shape[before], left), 1)

    def curves(self) -> list[Curves]:
        """Sum the bins from the right, by cluster."""
        values = (self.counts, self.images, self.shapes[:-1])
        return [
            Curves(self.thresholds, *each)
            for each in zip(*(self._from_right(value) for value in values), strict=True)
        ]

    def _from_right(self, values: Ints) -> Ints:
        """Sum each cluster's bins from the right: (..., bins) becomes (clusters, ..., T)."""
        each = np.moveaxis(values.reshape(*values.shape[:-1], -1, self.clusters), -1, 0)
        return np.asarray(each[..., :0:-1].cumsum(axis=-1)[..., ::-1])


def _images_of(kind: NDArray[Any], image_tokens: NDArray[Any]) -> NDArray[Any]:
    """Return positions in `SHAPES` by image tokens; the last is for dropped documents."""
    kept = kind <= CLASS["kept_single_image"]
    return np.where(kept, np.minimum(image_tokens, MOST_IMAGES), len(SHAPES))


def _length_of(kind: NDArray[Any], length: NDArray[Any], max_tokens: int) -> NDArray[Any]:
    """Return positions in `SHAPES` by length; the last is for dropped documents."""
    return MOST_IMAGES + 1 + lengths_of(kind, length, max_tokens)


def _moves(at: Ints, kind: NDArray[Any], n_bins: int) -> tuple[Ints, Ints]:
    """Return where states begin and where the states before them end, bins within each kind.

    Parameters
    ----------
    at : ndarray of int64, shape (m, D)
        Bins of the scores.
    kind : ndarray of integers, shape (m, D)
    n_bins : int
    """
    first = kind * np.int64(n_bins)
    return (first + at).ravel(), (first[:-1] + at[1:]).ravel()


def _sums(
    values: dict[str, NDArray[Any]], entered: Ints, left: Ints, n_bins: int
) -> dict[str, Ints]:
    """Sum values in the bins entered, minus those of the previous state in the bins left.

    Parameters
    ----------
    values : dict of str to ndarray of integers or floats, shape (m, D) or (m, 1)
        Non-negative. Sums of integers are exact.
    entered : ndarray of int64, shape (m * D,)
    left : ndarray of int64, shape ((m - 1) * D,)
        Of all states but the first.
    n_bins : int

    Returns
    -------
    dict of str to ndarray of int64 or float64, shape (n_bins,)
    """
    sums: dict[str, NDArray[Any]] = {}
    for name in [name for name, value in values.items() if value.dtype.kind == "f"]:
        flat = values[name].ravel()
        came, went = (np.bincount(at, flat[: len(at)], n_bins) for at in (entered, left))
        sums[name] = came - went
    exact = {name: value for name, value in values.items() if name not in sums}
    for word in _words(exact, len(entered)):
        weights = np.asarray(sum(values[name] * float(1 << shift) for name, shift, _ in word))
        m = len(weights)
        flat = np.broadcast_to(weights, (m, len(entered) // m)).ravel()
        came = np.bincount(entered, flat, n_bins).astype(np.int64)
        went = np.bincount(left, flat[: len(left)], n_bins).astype(np.int64)
        for name, shift, bits in word:
            mask = (1 << bits) - 1
            sums[name] = ((came >> shift) & mask) - ((went >> shift) & mask)
    return sums


def _words(values: dict[str, NDArray[Any]], n: int) -> list[list[tuple[str, int, int]]]:
    """Pack quantities into doubles to sum several at once, exactly.

    Returns
    -------
    list of list of (name, shift, bits)
        Quantities of each double; no sum of n values overflows its bits.
    """
    sizes = {name: (n * max(1, int(value.max()))).bit_length() for name, value in values.items()}
    words: list[list[tuple[str, int, int]]] = []
    for name in sorted(sizes, key=lambda name: -sizes[name]):  # large ones first: fewer doubles
        bits = sizes[name]
        for word in words:
            _, shift, last = word[-1]
            if shift + last + bits <= _EXACT_BITS:
                word.append((name, shift + last, bits))
                break
        else:
            words.append([(name, 0, bits)])
    return words


Progress = Callable[[int], object]

_BLOCK: Final = 1 << 18  # documents per block: large groups, limited memory


@dataclass
class Block:
    """Neighbouring shards, arranged together.

    Attributes
    ----------
    groups : list of Group
        Their plain documents with pairs, numbered consecutively.
    has_threshold : bool
        Whether the loader has a threshold; otherwise all pairs are there at any.
    """

    groups: list[Group]
    has_threshold: bool
    _places: tuple[bytes, list[Places]] = field(default=(b"", []), repr=False)

    def places(self, thresholds: Thresholds) -> list[Places]:
        """Return the bins of each group's scores, shape (m, D) each; the last result is cached."""
        grid, found = self._places
        if grid != thresholds.tobytes():
            scores = (group.score for group in self.groups)
            if not self.has_threshold:
                scores = (np.full(score.shape, np.inf) for score in scores)
            found = [places(thresholds, score) for score in scores]
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
    config : LoaderConfig
        Whose loader, size limit and assignment were used.
    """

    columns: Columns
    literal: Literal
    kind: NDArray[np.uint8]
    constants: Tally
    block: Block
    first: int
    config: LoaderConfig

    @property
    def how(self) -> NDArray[np.uint8]:
        """How each document's outcome is computed (`mmc4viz.data.columns.Kind`)."""
        return self.columns.kind_under(self.config.loader)

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
        return validity(self.columns, self.config)

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
    """A corpus matched under one loader, with one size limit and assignment.

    Attributes
    ----------
    parts : sequence of Part
        One per shard; any subset is a matched corpus too.
    config : LoaderConfig
        Whose ``loader``, ``min_kb`` and ``assignment`` were used.
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
        scores = self.scores()
        return scale_of(
            scores[np.isfinite(scores)], () if stored else [part.columns for part in self.parts]
        )

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
        Only ``loader``, ``min_kb`` and ``assignment`` matter.
    progress : callable, optional
        Called with the number of documents done since the last call; may raise to cancel.
    previous : Matched, optional
        The same corpus with another size limit: only documents whose valid images change are
        matched again. Ignored if the loader or the assignment differs.
    """
    same = previous is not None and previous.config.loader == config.loader
    earlier = {id(part.columns.batch): part for part in previous.parts} if previous and same else {}
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
            parts += _arranged(waiting, config)
            waiting, n_waiting = [], 0
        if progress is not None:
            progress(len(columns))
    return Matched(parts + _arranged(waiting, config), config)


def _known(part: Part, before: LoaderConfig, now: LoaderConfig) -> Known | None:
    """Return a shard's earlier results that hold under the new size limit."""
    if before.with_(min_kb=now.min_kb).for_matching() != now.for_matching():
        return None
    documents = ~changed(part.columns, before.min_kb, now.min_kb)
    failed = documents & (part.kind == CLASS["unreadable"])
    return Known(documents, failed, part.matches_of(documents))


def _arranged(
    shards: list[tuple[Columns, Literal, ShardMatch]], config: LoaderConfig
) -> list[Part]:
    """Arrange matched shards in a block."""
    if not shards:
        return []
    starts = np.cumsum([0, *(len(columns) for columns, _, _ in shards)]).tolist()
    each = zip(shards, starts, strict=False)
    pairs = Matches.joined([found.pairs.shifted(first) for (_, _, found), first in each])
    block = Block(arrange(pairs, starts[-1], config), config.has_threshold)
    return [
        Part(columns, literal, found.kind, found.constants, block, first, config)
        for (columns, literal, found), first in zip(shards, starts, strict=False)
    ]


__all__ = ["Matched", "Part", "Progress", "match_corpus", "sweep", "sweep_each"]


def sweep(
    matched: Matched,
    config: LoaderConfig,
    thresholds: Thresholds,
    progress: Progress | None = None,
    shifts: Shifts | None = None,
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
    shifts : Shifts, optional
        Of documents that have thresholds of their own, which move with the settings'.

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
    bins = Bins(thresholds, dtype=type_of_counts(config))
    _fill(bins, matched, config, np.zeros(matched.n_documents, np.int64), progress, shifts)
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
    bins = Bins(thresholds, clusters, dtype=type_of_counts(config))
    _fill(bins, matched, config, cluster, None)
    return bins.curves()


def type_of_counts(config: LoaderConfig) -> type[np.number[Any]]:
    """Return the type of counts: means, where a loader draws at random."""
    return np.float64 if profile_of(config).is_random else np.int64


def _fill(
    bins: Bins,
    matched: Matched,
    config: LoaderConfig,
    cluster: NDArray[np.int64],
    progress: Progress | None,
    shifts: Shifts | None = None,
) -> None:
    """Add every state of a corpus to its bin, given each document's cluster."""
    shifts = shifts if config.has_threshold else None
    grids = [] if shifts is None else shifts.grids(bins.thresholds)
    report, n_left = progress or (lambda _: None), matched.n_documents
    several, start = bins.clusters > 1, 0
    n_pairs = np.zeros(matched.n_documents, np.int64)
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, shared in run.with_places(bins.thresholds):
            numbers = group.document.astype(np.int64) + (start - run.first)
            n_pairs[numbers] = len(group.score)
            place = shared
            if shifts is not None:
                place = own_places(group.score, grids, shifts.code[numbers])
            for here in group.blocks():
                states = resolve(group.part(here), config, tokenizer)
                own = cluster[numbers[here]] if several else None
                bins.add_states(place[:, here], states, config, own)
                report(states.kind.shape[1])
                n_left -= states.kind.shape[1]
        start += run.last - run.first
    start = 0
    for part in matched.parts:
        rows = slice(start, start + len(part.columns))
        start = rows.stop
        bins.add_everywhere(*_constants(part, n_pairs[rows], cluster[rows], bins.clusters))
        if part.literal:
            literal = part.literal.states(config)
            places_of_states = None
            if shifts is not None:
                code = shifts.code[rows][part.literal.rows]
                places_of_states = own_places(literal.score, grids, code[literal.document])
            clusters = cluster[rows][part.literal.rows]
            bins.add_literal(literal, config.max_tokens, clusters, places_of_states)
            report(len(part.literal))
            n_left -= len(part.literal)
    report(n_left)


def _constants(part: Part, n_pairs: Ints, cluster: Ints, clusters: int) -> tuple[Ints, Ints]:
    """Return what does not depend on the threshold by cluster, as `constants` does."""
    if clusters == 1:
        return part.constants.counts[None], part.constants.images[None]
    return constants(part.how, part.images, part.kind, n_pairs, cluster, clusters)
