"""A corpus's matched pairs as a population to draw labels from: by rank, by name, by lot.

Each pair has a permanent random number that follows from its name alone. Those with the lowest ones
of a stratum are drawn first: whatever the setting, the CLIP model or the strata, the same pairs
come first, so that labels serve again. Source: Ohlsson, "Coordination of samples using permanent
random numbers", in Cox et al., Business Survey Methods (1995). Holds no label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.choice.labelling.documents import Documents, hashed
from mmc4viz.choice.labelling.labels import PairId
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.pairs import Pairs

Lots = NDArray[np.uint64]


@dataclass(frozen=True)
class Population:
    """The matched pairs of a corpus under one setting.

    Attributes
    ----------
    columns : sequence of Columns
        One a shard, in the order in which the pairs number their documents.
    pairs : Pairs
        Ascending by score. Ranks are places in them.
    """

    columns: Sequence[Columns]
    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def documents(self) -> Documents:
        """The documents, by their content."""
        return Documents(self.columns)

    @cached_property
    def lots(self) -> Lots:
        """The permanent random number of each pair, shape (pairs,)."""
        documents, pairs = _document_lots(self.documents), self.pairs
        return pair_lots(documents[pairs.document], pairs.image, pairs.sentence)

    def name(self, rank: int) -> PairId:
        """Return a pair's name."""
        part, row = self.place(rank)
        columns, pairs = self.columns[part], self.pairs
        key = columns.batch.column("key")[row].as_py()
        indices = int(pairs.image[rank]), int(pairs.sentence[rank])
        return PairId(columns.shard.name, key, *indices, self.documents.contents[part], row)

    def place(self, rank: int) -> tuple[int, int]:
        """Return the shard and the row of a pair's document."""
        return self.documents.place(int(self.pairs.document[rank]))

    def find(self, names: Iterable[PairId]) -> dict[PairId, int]:
        """Return the ranks of pairs; those that are no matched pairs here are left out."""
        wanted = set(names)
        here = ((name, self.documents.find(name.content, name.number)) for name in wanted)
        documents = {name: at for name, at in here if at is not None}
        rows = np.flatnonzero(np.isin(self.pairs.document, list(set(documents.values()))))
        columns = (getattr(self.pairs, name)[rows].tolist() for name in ("document", "image",
                                                                         "sentence"))  # fmt: skip
        rank = dict(zip(zip(*columns, strict=True), rows.tolist(), strict=True))
        found = {}
        for name, document in documents.items():
            if (at := rank.get((document, name.image, name.sentence))) is not None:
                found[name] = at
        return found

    def lowest(self, first: int, last: int, n: int) -> list[int]:
        """Return the ranks from first to before last with the n lowest lots, lowest first."""
        lots = self.lots[first:last]
        n = min(n, len(lots))
        if not n:
            return []
        chosen = np.argpartition(lots, n - 1)[:n] if n < len(lots) else np.arange(n)
        ranks: list[int] = (first + chosen[np.argsort(lots[chosen], kind="stable")]).tolist()
        return ranks


def _document_lots(documents: Documents) -> Lots:
    """Return numbers that look random and follow from the shard's base name and the key.

    Where these are another document's, too, from content and number as well.
    """
    lots = [np.zeros(0, np.uint64)]
    for part in documents.columns:
        shard = hashed(pa.array([part.shard.base]))
        lots.append(mixed(hashed(part.batch.column("key")) ^ mixed(shard)))
    found = np.concatenate(lots)
    _, place, times = np.unique(found, return_inverse=True, return_counts=True)
    again = np.flatnonzero(times[place] > 1)
    if len(again):
        shards = np.searchsorted(documents.starts, again, side="right") - 1
        number = (again - documents.starts[shards]).astype(np.uint64)
        content = mixed(hashed(pa.array(documents.contents)))[shards]
        found[again] = mixed(found[again] ^ mixed(content + number))
    return found


def pair_lots(documents: Lots, image: NDArray[np.int32], sentence: NDArray[np.int32]) -> Lots:
    """Return the numbers of pairs, from those of their documents."""
    return mixed(mixed(documents + image.astype(np.uint64)) + sentence.astype(np.uint64))


def mixed(numbers: Lots) -> Lots:
    """Scatter 64-bit numbers, one to one.

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

    Examples
    --------
    >>> mixed(np.array([0, 1], np.uint64))
    array([16294208416658607535, 10451216379200822465], dtype=uint64)
    """
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)
