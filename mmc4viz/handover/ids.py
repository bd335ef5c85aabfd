"""The documents that a setting keeps, as a sorted list of ids of 128 bits.

The form is that of DataComp's tools: a NumPy array of pairs of unsigned 64-bit integers. What is
kept is `manifest`'s answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns
from mmc4viz.handover.manifest import Chunk, storable

IDS: Final = np.dtype("u8,u8")
_UID: Final = re.compile(r"[0-9a-f]{32}")


def uid(shard: str, key: str, number: int | None = None) -> tuple[int, int]:
    """Return a document's id of 128 bits, as two halves.

    A key of 32 hexadecimal digits, as OpenFlamingo's converter makes them, is the id itself; else
    it is the first half of the SHA-256 of ``SHARD/KEY`` in UTF-8, by the shard's name. With the
    document's number in its shard, it is that of ``SHARD/NUMBER/KEY``, whatever the key.

    Examples
    --------
    >>> uid("0.tar", "139e4a9b22a614771f06c700a8ebe150") == (0x139E4A9B22A61477, 0x1F06C700A8EBE150)
    True
    >>> f"{uid('0.tar', 'a')[0]:016x}"
    'cd6ae85d4b97095f'
    """
    digits = key
    if number is not None:
        digits = sha256(f"{shard}/{number}/{key}".encode()).hexdigest()
    elif not _UID.fullmatch(key):
        digits = sha256(f"{shard}/{key}".encode()).hexdigest()
    return int(digits[:16], 16), int(digits[16:32], 16)


def ids_of(columns: Sequence[Columns]) -> NDArray[np.void]:
    """Return the ids of a corpus's documents, in its order; no two are equal.

    Documents whose key does not tell them apart are told apart by their number.
    """
    names = [storable(part.shard.name) for part in columns]
    keys = [part.batch.column("key") for part in columns]
    plain = [
        np.array([uid(name, key) for key in column.to_pylist()], IDS)
        for name, column in zip(names, keys, strict=True)
    ]
    found = np.concatenate([np.zeros(0, IDS), *plain])
    _, place, times = np.unique(found, return_inverse=True, return_counts=True)
    starts = np.cumsum([0, *map(len, plain)])
    for at in np.flatnonzero(times[place] > 1).tolist():
        part = int(np.searchsorted(starts, at, side="right")) - 1
        number = at - int(starts[part])
        found[at] = uid(names[part], keys[part][number].as_py(), number)
    return found


class IdList:
    """Ids of the documents that the model can get, gathered chunk by chunk."""

    def __init__(self) -> None:
        self._columns: list[Columns] = []
        self._kept: list[NDArray[np.bool_]] = []

    def add(self, chunk: Chunk) -> None:
        """Take a chunk's documents."""
        self._columns += [part.columns for part in chunk.parts]
        self._kept.append(chunk.probability > 0)

    def sorted(self) -> NDArray[np.void]:
        """Return the ids of documents with a probability above 0, ascending."""
        kept = np.concatenate([np.zeros(0, bool), *self._kept])
        return np.sort(ids_of(self._columns)[kept])
