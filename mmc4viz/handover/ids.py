"""The documents that a setting keeps, as a sorted list of ids of 128 bits.

The form is that of DataComp's tools: a NumPy array of pairs of unsigned 64-bit integers. What is
kept is `manifest`'s answer.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.handover.manifest import Chunk, storable

IDS: Final = np.dtype("u8,u8")
_UID: Final = re.compile(r"[0-9a-f]{32}")


def uid(shard: str, key: str) -> tuple[int, int]:
    """Return a document's id of 128 bits, as two halves.

    A key of 32 hexadecimal digits, as OpenFlamingo's converter makes them, is the id itself; else
    it is the first half of the SHA-256 of ``SHARD/KEY`` in UTF-8, by the shard's base name.

    Examples
    --------
    >>> uid("0.tar", "139e4a9b22a614771f06c700a8ebe150") == (0x139E4A9B22A61477, 0x1F06C700A8EBE150)
    True
    >>> f"{uid('0.tar', 'a')[0]:016x}"
    'cd6ae85d4b97095f'
    """
    digits = key if _UID.fullmatch(key) else sha256(f"{shard}/{key}".encode()).hexdigest()
    return int(digits[:16], 16), int(digits[16:32], 16)


class IdList:
    """Ids of the documents that the model can get, gathered chunk by chunk."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.void]] = []
        self._lost: list[NDArray[np.void]] = []

    def add(self, chunk: Chunk) -> None:
        """Take a chunk's documents."""
        found: list[tuple[int, int]] = []
        for part in chunk.parts:
            name = storable(part.columns.shard.name)
            found += [uid(name, key) for key in part.columns.batch.column("key").to_pylist()]
        ids, kept = np.array(found, IDS), chunk.probability > 0
        self._kept.append(ids[kept])
        self._lost.append(ids[~kept])

    def sorted(self) -> NDArray[np.void]:
        """Return the ids of documents with a probability above 0, ascending, each once."""
        return np.unique(np.concatenate([np.zeros(0, IDS), *self._kept]))

    def ambiguous(self) -> int:
        """Count the lost documents whose id is in the list: another document has their key."""
        return int(np.isin(np.concatenate([np.zeros(0, IDS), *self._lost]), self.sorted()).sum())
