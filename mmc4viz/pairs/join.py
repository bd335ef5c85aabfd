"""Columns of another file, joined to a table row by row through a key.

The other file's keys are held in memory as sorted numbers of 128 bits: digests (BLAKE2b) of the
keys' text, so that long keys cost no more than short ones, and two keys are taken for the same with
a probability of 10⁻²⁰ even among 10⁹. The table itself is streamed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.arrays import Ints


def digests(texts: pa.Array) -> NDArray[np.uint64]:
    """Return 128 bits of each text, shape (rows, 2); zeros for null.

    Examples
    --------
    >>> found = digests(pa.array(["a", "b", "a", None]))
    >>> (found[0] == found[2]).all(), (found[0] == found[1]).all(), found[3].tolist()
    (np.True_, np.False_, [0, 0])
    """
    octets = (
        b"" if one is None else hashlib.blake2b(one, digest_size=16).digest()
        for one in texts.cast(pa.large_binary()).to_pylist()
    )
    data = b"".join(one or bytes(16) for one in octets)
    return np.frombuffer(data, np.uint64).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class KeyedRows:
    """The keys of a file, sorted.

    Attributes
    ----------
    high, low : ndarray of uint64, shape (rows,)
        Halves of the digests, ascending.
    row : ndarray of int64, shape (rows,)
        Position of each in the file.
    """

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    row: Ints

    @classmethod
    def of(cls, keys: NDArray[np.uint64]) -> KeyedRows:
        """Sort the digests of a file's keys, shape (rows, 2)."""
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        return cls(keys[order, 0], keys[order, 1], order)

    @property
    def n_bytes(self) -> int:
        """Memory that they take."""
        return self.high.nbytes + self.low.nbytes + self.row.nbytes

    def doubled(self) -> Ints:
        """Return the rows whose key an earlier one has, ascending; null keys do not count."""
        same = (self.high[1:] == self.high[:-1]) & (self.low[1:] == self.low[:-1])
        same &= (self.high[1:] | self.low[1:]) != 0
        return np.sort(self.row[1:][same])

    def rows_of(self, texts: pa.Array) -> Ints:
        """Return the row of each text, -1 if there is none; shape (texts,)."""
        if not len(self.row):
            return np.full(len(texts), -1, np.int64)
        wanted = digests(texts)
        at = np.minimum(np.searchsorted(self.high, wanted[:, 0]), len(self.row) - 1)
        found = (self.high[at] == wanted[:, 0]) & (self.low[at] == wanted[:, 1])
        return np.where(found & (wanted != 0).any(axis=1), self.row[at], -1)
