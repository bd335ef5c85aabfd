"""A corpus's documents as labels know them: by their shard's content, and their number in it.

Neither paths nor the order of shards play a part, nor do tokenizer and similarity. So labels
outlive a new index, a corpus that was copied or moved, and one to which shards were added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.util import hash_array

from mmc4viz.arrays import Ints
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.pairs import place_of


@dataclass(frozen=True)
class Documents:
    """All documents of a corpus.

    Attributes
    ----------
    columns : sequence of Columns
        One a shard; whole shards, not a sample of them.
    """

    columns: Sequence[Columns]

    @cached_property
    def starts(self) -> Ints:
        """Where each shard's documents begin among all, shape (shards + 1,)."""
        return np.cumsum([0, *map(len, self.columns)]).astype(np.int64)

    @cached_property
    def contents(self) -> list[str]:
        """A digest of each shard's content; of two of the same content, the second is numbered."""
        seen, found = Counter[str](), list[str]()
        for part in self.columns:
            digest = _content(part)
            found.append(f"{digest}+{seen[digest]}" if seen[digest] else digest)
            seen[digest] += 1
        return found

    @cached_property
    def digest(self) -> str:
        """What tells this corpus from every other one."""
        return blake2b("\n".join(sorted(self.contents)).encode(), digest_size=16).hexdigest()

    @cached_property
    def _parts(self) -> dict[str, int]:
        return {content: part for part, content in enumerate(self.contents)}

    def holds(self, content: str) -> bool:
        """Whether a shard of this content is among them."""
        return content in self._parts

    def find(self, content: str, number: int) -> int | None:
        """Return a document's position among all; None where it is not among them."""
        part = self._parts.get(content)
        if part is None or not 0 <= number < len(self.columns[part]):
            return None
        return int(self.starts[part]) + number

    def place(self, document: int) -> tuple[int, int]:
        """Return a document's shard and its number there."""
        return place_of(self.starts, document)

    def named(self, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, int]]:
        """Find documents by a shard's name, or base name, and a key.

        Returns
        -------
        dict of (str, str) to (str, int)
            Content and number of those that one document alone is called.
        """
        keys: dict[str, set[str]] = {}
        for shard, key in names:
            keys.setdefault(shard, set()).add(key)
        found: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for part, content in zip(self.columns, self.contents, strict=True):
            for shard in {part.shard.name, part.shard.base} & keys.keys():
                column = part.batch.column("key")
                hits = pc.is_in(column, value_set=pa.array(sorted(keys[shard]), pa.string()))
                for row in np.flatnonzero(hits.to_numpy(zero_copy_only=False)).tolist():
                    found.setdefault((shard, column[row].as_py()), []).append((content, row))
        return {name: places[0] for name, places in found.items() if len(places) == 1}


def hashed(texts: pa.Array) -> NDArray[np.uint64]:
    """Return a number of 64 bits for each text, the same ones at any time."""
    return hash_array(texts.to_numpy(zero_copy_only=False), categorize=False)


def _content(part: Columns) -> str:
    """Return a digest of a shard's documents: their keys, places and sizes, and their images.

    Of the images, how many there are and the corpus's own matches: what neither another model, nor
    another tokenizer, nor a quicker check of images changes.
    """
    digest = blake2b(hashed(part.batch.column("key")).tobytes(), digest_size=12)
    numbers = [part.numbers("offset"), part.numbers("size"), part.n_images]
    for values in (*numbers, part.image("stored_sentence")):
        digest.update(np.ascontiguousarray(values, np.int64).tobytes())
    score = part.image("stored_score")
    digest.update(np.where(np.isnan(score), np.nan, score).tobytes())
    return digest.hexdigest()
