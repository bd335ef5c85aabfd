"""What was computed, kept for all sessions: each value once, the least recently used dropped first.

A computation that ends in an exception (a failure, or abandoned by the person's next change)
leaves nothing behind, and whoever waits for it begins anew. Knows nothing of what it keeps.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class Memo(Generic[V]):
    """Values by key, at most ``limit`` of them.

    Examples
    --------
    >>> memo = Memo[int](limit=2)
    >>> memo.get("a", lambda: 1), memo.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, V] = OrderedDict()
        self._busy: set[Hashable] = set()
        self._guard = Lock()

    def get(
        self, key: Hashable, make: Callable[[], V], waiting: Callable[[], object] = lambda: None
    ) -> V:
        """Return the value of a key; ``waiting`` is called while another session computes it."""
        while True:
            with self._guard:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                if key not in self._busy:
                    self._busy.add(key)
                    break
            waiting()
            time.sleep(0.05)
        try:
            value = make()
            self._keep(key, value)
        finally:
            with self._guard:
                self._busy.discard(key)
        return value

    def __contains__(self, key: Hashable) -> bool:
        with self._guard:
            return key in self._kept

    def kept(self, wanted: Callable[[Hashable], bool]) -> V | None:
        """Return the value used last of those kept whose key is wanted, None without any."""
        with self._guard:
            return next((self._kept[key] for key in reversed(self._kept) if wanted(key)), None)

    def _keep(self, key: Hashable, value: V) -> None:
        with self._guard:
            self._kept[key] = value
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
