"""Type aliases for NumPy arrays, and arrays of shards as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def joined(parts: Iterable[NDArray[Any]], empty: DTypeLike = np.int64) -> NDArray[Any]:
    """Return arrays of all shards as one; without any shard, an empty one of type ``empty``.

    Examples
    --------
    >>> joined([np.array([True]), np.array([False])]), joined([], bool)
    (array([ True, False]), array([], dtype=bool))
    """
    found = list(parts)
    return np.concatenate(found) if found else np.zeros(0, empty)
