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
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.util import hash_array

from mmc4viz.choice.labelling.labels import PairId
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.pairs import Pairs, place_of

Lots = NDArray[np.uint64]
Ints = NDArray[np.int64]


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
    def starts(self) -> Ints:
        """Where each shard's documents begin among all, shape (shards + 1,)."""
        return np.cumsum([0, *map(len, self.columns)]).astype(np.int64)

    @cached_property
    def lots(self) -> Lots:
        """The permanent random number of each pair, shape (pairs,)."""
        of_documents = [_document_lots(part) for part in self.columns]
        documents = np.concatenate([np.zeros(0, np.uint64), *of_documents])
        pairs = self.pairs
        return pair_lots(documents[pairs.document], pairs.image, pairs.sentence)

    def name(self, rank: int) -> PairId:
        """Return a pair's name."""
        part, row = self.place(rank)
        columns, pairs = self.columns[part], self.pairs
        key = columns.batch.column("key")[row].as_py()
        return PairId(columns.shard.name, key, int(pairs.image[rank]), int(pairs.sentence[rank]))

    def place(self, rank: int) -> tuple[int, int]:
        """Return the shard and the row of a pair's document."""
        return place_of(self.starts, int(self.pairs.document[rank]))

    def find(self, names: Iterable[PairId]) -> dict[PairId, int]:
        """Return the ranks of pairs; those that are no matched pairs here are left out.

        Of documents that share shard name and key, the first counts.
        """
        wanted = set(names)
        documents = self.find_documents((name.shard, name.key) for name in wanted)
        rows = np.flatnonzero(np.isin(self.pairs.document, list(set(documents.values()))))
        columns = (getattr(self.pairs, name)[rows].tolist() for name in ("document", "image",
                                                                         "sentence"))  # fmt: skip
        rank = dict(zip(zip(*columns, strict=True), rows.tolist(), strict=True))
        found = {}
        for name in wanted:
            document = documents.get((name.shard, name.key))
            if (at := rank.get((document, name.image, name.sentence))) is not None:
                found[name] = at
        return found

    def find_documents(self, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Return documents by shard name and key, as places among all."""
        keys: dict[str, set[str]] = {}
        for shard, key in names:
            keys.setdefault(shard, set()).add(key)
        found: dict[tuple[str, str], int] = {}
        for part, start in zip(self.columns, self.starts.tolist(), strict=False):
            wanted = keys.get(part.shard.name)
            if wanted:
                column = part.batch.column("key")
                hits = pc.is_in(column, value_set=pa.array(sorted(wanted), pa.string()))
                for row in np.flatnonzero(hits.to_numpy(zero_copy_only=False)).tolist():
                    found.setdefault((part.shard.name, column[row].as_py()), start + row)
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


def _document_lots(part: Columns) -> Lots:
    """Return numbers that look random and follow from shard name and key."""
    keys = part.batch.column("key").to_numpy(zero_copy_only=False)
    shard = hash_array(np.array([part.shard.name], object), categorize=False)
    return mixed(hash_array(keys, categorize=False) ^ mixed(shard))


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
