"""Columns of another file, joined to a table row by row through a key.

The other file's keys are held in memory as sorted hashes of 128 bits of their text, so that long
keys cost no more than short ones: two 64-bit hashes of its 8-byte words, each mixed as in
SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014), and
BLAKE2b of long texts. Different keys have the same hash with a probability of about 2⁻¹²⁸, unless
somebody constructs them. The table itself is streamed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.arrays import Ints

_LONG: Final = 256  # bytes of a text that is hashed by itself
_MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_SEEDS: Final = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], np.uint64)


def digests(texts: pa.Array) -> NDArray[np.uint64]:
    """Return 128 bits of each text, shape (rows, 2); zeros for null.

    Examples
    --------
    >>> found = digests(pa.array(["a", "b", "a", None]))
    >>> bool((found[0] == found[2]).all()), bool((found[0] == found[1]).any()), found[3].tolist()
    (True, False, [0, 0])
    """
    texts = texts.cast(pa.large_binary())
    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends or b"", np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts):
        return np.zeros((0, 2), np.uint64)
    octets = np.concatenate([np.frombuffer(data or b"", np.uint8), np.zeros(8, np.uint8)])
    words: NDArray[np.uint64] = np.ndarray((len(octets) - 7,), "<u8", octets, strides=(1,))
    starts, sizes = offsets[:-1], np.diff(offsets)
    found = sizes.astype(np.uint64)[:, None] + _SEEDS
    rows = np.flatnonzero((sizes > 0) & (sizes <= _LONG))
    for at in range(0, _LONG, 8):
        rows = rows[sizes[rows] > at]
        if not len(rows):
            break
        word = words[starts[rows] + at] & _MASKS[np.minimum(sizes[rows] - at, 8)]
        found[rows] = _mixed((found[rows] ^ word[:, None]) + _SEEDS)
    for row in np.flatnonzero(sizes > _LONG).tolist():
        own = hashlib.blake2b(octets[starts[row] : offsets[row + 1]].tobytes(), digest_size=16)
        found[row] = np.frombuffer(own.digest(), np.uint64)
    found[np.asarray(texts.is_null().to_numpy(zero_copy_only=False))] = 0
    return found


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers, one to one."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


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
        order = np.argsort(keys[:, 0])  # several times faster than by both halves
        high = keys[order, 0]
        if (high[1:] == high[:-1]).any():
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
        order = np.argsort(wanted[:, 0])  # sorted ones are found several times faster
        at = np.empty(len(order), np.int64)
        at[order] = np.searchsorted(self.high, wanted[order, 0])
        at = np.minimum(at, len(self.row) - 1)
        found = (self.high[at] == wanted[:, 0]) & (self.low[at] == wanted[:, 1])
        return np.where(found & (wanted != 0).any(axis=1), self.row[at], -1)
