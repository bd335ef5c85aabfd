"""A corpus matched under one size limit and assignment, shard by shard, ready to be swept.

Shards are matched one by one and arranged in blocks of many. Knows nothing of cap and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.bins import Places, places
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.groups import Group, arrange
from mmc4viz.corpus.literal import Literal
from mmc4viz.corpus.match import Known, Matches, ShardMatch, match
from mmc4viz.corpus.scales import Scale, Thresholds, scale_of
from mmc4viz.corpus.tally import CLASS, IMAGE_FATE, Tally
from mmc4viz.corpus.validity import WAITING, changed, validity
from mmc4viz.model import ImageFate, LoaderConfig

Progress = Callable[[int], object]

_BLOCK: Final = 1 << 18  # documents in a block: many a group, and little memory in the making


@dataclass
class Block:
    """Neighbouring shards, arranged together.

    Attributes
    ----------
    groups : list of Group
        Of their plain documents with pairs, numbered through.
    """

    groups: list[Group]
    _places: tuple[bytes, list[Places]] = field(default=(b"", []), repr=False)

    def places(self, thresholds: Thresholds) -> list[Places]:
        """Return the bins of each group's scores, shape (m, D) each; those last asked for stay."""
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
        By row, the documents whose counts do not add up: the walk answers them.
    kind : ndarray of uint8, shape (documents,)
        Class of each plain or unreadable document while none of its pairs survives.
    constants : Tally
        Of these, with every pair below the threshold.
    block : Block
        Holds its pairs.
    first : int
        Number of its first document there.
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
        """Its documents in the block."""
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

    def images_with(self, fate: ImageFate) -> NDArray[np.int64]:
        """Return how many images of a fate each document has, 0 for literal ones."""
        images = validity(self.columns, self.min_kb)
        if fate not in (ImageFate.MATCHED, ImageFate.UNMATCHED):
            return images.having(IMAGE_FATE[fate])
        matched = np.bincount(self.matches.document, minlength=len(self.columns))
        return matched if fate is ImageFate.MATCHED else images.having(WAITING) - matched


@dataclass(frozen=True)
class Run:
    """Documents that follow each other in a block.

    Attributes
    ----------
    block : Block
    first, last : int
        Numbers of the first one, and after the last one.
    """

    block: Block
    first: int
    last: int

    def groups(self) -> Iterator[Group]:
        """Return those with pairs, group by group."""
        return (group.between(self.first, self.last) for group in self.block.groups)

    def with_places(self, thresholds: Thresholds) -> Iterator[tuple[Group, Places]]:
        """Return them with the bins of their scores."""
        for group, place in zip(self.block.groups, self.block.places(thresholds), strict=True):
            here = group.positions(self.first, self.last)
            yield group.part(here), place[:, here]


@dataclass(frozen=True)
class Matched:
    """A corpus matched under one size limit and assignment, ready to be swept.

    Attributes
    ----------
    parts : sequence of Part
        One a shard; any choice of them is a matched corpus as well.
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
        plain = [group.score.ravel() for run in self.runs() for group in run.groups()]
        return np.concatenate([np.zeros(0), *(p.literal.scores() for p in self.parts), *plain])

    @cached_property
    def scale(self) -> Scale:
        """The scale of its scores, with a grid of thresholds that suits it."""
        stored = self.config.assignment == "stored"  # scores are then not the matrices'
        return scale_of(self.scores(), () if stored else [part.columns for part in self.parts])

    def runs(self) -> list[Run]:
        """Return all documents, neighbouring parts of a block in one run."""
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
        One a shard.
    config : LoaderConfig
        Only ``min_kb`` and ``assignment`` matter.
    progress : callable, optional
        Called with the number of documents done since its last call; whatever it raises ends the
        matching and passes through, so that it may abandon one that nobody waits for.
    previous : Matched, optional
        The same corpus under another size limit: only documents in which that changes a valid
        image are matched again. One under another assignment is of no use and not looked at.
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
    """Return what was found in a shard under another size limit and still holds."""
    if before.assignment != now.assignment:
        return None
    documents = ~changed(part.columns, before.min_kb, now.min_kb)
    failed = documents & (part.kind == CLASS["unreadable"])
    return Known(documents, failed, part.matches_of(documents))


def _arranged(shards: list[tuple[Columns, Literal, ShardMatch]], min_kb: int) -> list[Part]:
    """Make a block of shards."""
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
