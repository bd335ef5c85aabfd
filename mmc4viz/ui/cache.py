"""Cached values, progress and background jobs.

Each value is computed once, whoever asks for it, by a few threads at a time in the order of
asking; the least recently used values are dropped first. A computation that ends in an exception
(a failure, or abandoned by the person's next change) leaves nothing behind.

Streamlit ends a run from within the calls that draw; so work that reports its progress here can be
left at every report, after which `Memo` holds nothing of it. Computes nothing.

Or, where it is to outlive the page, when somebody stops it.
Shared by all sessions: whoever asks for the same gets the same. Knows nothing of what is done.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock, Thread
from typing import Any, Final, Generic, TypeVar

import numpy as np
import pyarrow as pa
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from mmc4viz.types import Mmc4vizError

_PLACE: ContextVar[DeltaGenerator | None] = ContextVar("place", default=None)
_SHOWN: ContextVar[Callable[[int, int], None] | None] = ContextVar("shown", default=None)
_EVERY = 0.1  # seconds between reports
_DELAY = 1.0  # seconds before anything is shown


def make_room() -> None:
    """Reserve the place of the bar, so that its coming and going moves nothing else."""
    _PLACE.set(st.empty())


@contextmanager
def progress(words: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar when a second has passed; the function it gives is told what was done since.

    Parameters
    ----------
    words : str
        What is done, of our own making.
    total : int, optional
        Everything there is to do; without it only the words are shown.
    """
    place: DeltaGenerator | None = None
    began = last = time.monotonic()
    done = 0

    def show(count: int, ahead: int = 0) -> None:
        nonlocal last, done, place
        done += count
        now = time.monotonic()
        if now - last < _EVERY:
            return
        last = now
        if get_script_run_ctx(suppress_warning=True) is None:
            return  # a file that is made for a download: no page runs that could show it
        if place is None:
            place = _PLACE.get() or st.empty()
        if now - began < _DELAY:
            place.empty()
        elif ahead:
            place.progress(0.0, f"{words}: {ahead:,} before you …")
        elif total:
            share = min(1.0, done / total)
            place.progress(share, f"{words}: {done:,} of {total:,} documents")
        else:
            place.progress(0.0, f"{words}: {done:,} documents" if done else f"{words} …")

    token = _SHOWN.set(show)
    try:
        yield show
    except MemoryError as error:
        raise MemoryError(f"{words}: {error}".rstrip(": ")) from error
    finally:
        _SHOWN.reset(token)
    if place is not None:
        place.empty()


def pulse(ahead: int) -> None:
    """Say that the work shown waits, for others ``ahead`` of it; the person may abandon it here."""
    show = _SHOWN.get()
    if show is not None:
        show(0, ahead)


V = TypeVar("V")

_POLL: Final = 0.05  # seconds between looks at what is waited for
_STALE: Final = 10.0  # seconds after which a value that grows while it is used is weighed again
_OWNERS: Final = itertools.count()
_SMALL: Final = 256  # bytes charged for any value, beside its arrays and texts


def weight(value: object) -> int:
    """Return about how many bytes of memory a value holds: its arrays, columns and long texts.

    Views of an index's files count nothing: they are mapped, not held.

    Examples
    --------
    >>> weight([np.zeros(1000), "short"]) // 1000
    8
    """
    total, seen, waiting = _SMALL, set[int](), [value]
    while waiting:
        one: Any = waiting.pop()
        if id(one) in seen or isinstance(one, (type, int, float, threading.Thread)):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            if one.base is not None:
                waiting.append(one.base)
            elif one.flags.owndata:
                total += one.nbytes
        elif isinstance(one, (bytes, str)):
            total += sys.getsizeof(one)
        elif isinstance(one, (pa.RecordBatch, pa.Table)):
            waiting += [chunk for column in one.columns for chunk in _chunks(column)]
        elif isinstance(one, pa.Array):
            waiting += one.buffers()
        elif isinstance(one, pa.Buffer):
            total += one.size if one.parent is None else 0
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one
        elif type(one).__module__.startswith("mmc4viz."):
            slots = getattr(type(one), "__slots__", ())
            waiting += [*vars(one).values()] if hasattr(one, "__dict__") else []
            waiting += [getattr(one, name, None) for name in slots]
    return total


def _chunks(column: Any) -> list[Any]:
    return list(column.chunks) if isinstance(column, pa.ChunkedArray) else [column]


class Budget:
    """Values of all memos together, within ``limit`` bytes; the one used last always stays.

    Parameters
    ----------
    limit : int
        In bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.guard = threading.RLock()
        self._kept: OrderedDict[tuple[int, Hashable], tuple[Any, int, float]] = OrderedDict()
        self.held = 0

    def find(self, place: tuple[int, Hashable]) -> tuple[bool, Any]:
        """Return whether a value is kept, and the value; it counts as used."""
        with self.guard:
            if place not in self._kept:
                return False, None
            self._kept.move_to_end(place)
            value, _, when = self._kept[place]
        if time.monotonic() - when > _STALE:
            self.keep(place, value)
        return True, value

    def keep(self, place: tuple[int, Hashable], value: object) -> None:
        """Keep a value, and drop those used longest ago for which there is no room."""
        n_bytes = weight(value)
        with self.guard:
            self.drop(place)
            self._kept[place] = value, n_bytes, time.monotonic()
            self.held += n_bytes
            while self.held > self.limit and len(self._kept) > 1:
                self.drop(next(iter(self._kept)))

    def __contains__(self, place: tuple[int, Hashable]) -> bool:
        with self.guard:
            return place in self._kept

    def drop(self, place: tuple[int, Hashable]) -> None:
        """Forget a value, if it is kept."""
        with self.guard:
            self.held -= self._kept.pop(place, (None, 0, 0.0))[1]

    def __str__(self) -> str:
        return f"{self.held / 1e6:,.0f} of {self.limit / 1e6:,.0f} MB"

    def places(self, owner: int) -> list[Hashable]:
        """Return the keys of one memo's values, the one used last first."""
        with self.guard:
            return [key for memo, key in reversed(self._kept) if memo == owner]


def _default_limit() -> int:
    """Return an eighth of the machine's memory, a gibibyte at least."""
    return max(1 << 30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8)


BUDGET: Final = Budget(_default_limit())
"""Of the server."""


class Queue:
    """Lets a few threads compute at a time, in the order in which they asked."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[object] = deque()
        self._guard = threading.Lock()
        self._mine = threading.local()

    @property
    def entered(self) -> bool:
        """Whether this thread computes already."""
        return getattr(self._mine, "entered", False)

    @property
    def ahead(self) -> int:
        """How many threads come before this one; 0 for one that does not wait."""
        ticket = getattr(self._mine, "ticket", None)
        with self._guard:
            return self._waiting.index(ticket) + 1 if ticket in self._waiting else 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this thread's turn; what is done within a turn needs no other."""
        if self.entered:
            yield
            return
        ticket = self._mine.ticket = object()
        with self._guard:
            self._waiting.append(ticket)
        try:
            while not self._called(ticket):
                pulse(self.ahead)
                time.sleep(_POLL)
        except BaseException:
            with self._guard:
                self._waiting.remove(ticket)
            raise
        self._mine.entered = True
        try:
            yield
        finally:
            self._mine.entered = False
            with self._guard:
                self._free += 1

    def _called(self, ticket: object) -> bool:
        with self._guard:
            if not self._free or self._waiting[0] is not ticket:
                return False
            self._waiting.popleft()
            self._free -= 1
            return True


QUEUE: Final = Queue((os.cpu_count() or 1) + 1)
"""Of the server."""


class Memo(Generic[V]):
    """Values by key, in the server's budget.

    Examples
    --------
    >>> memo = Memo[int]()
    >>> memo.get("a", lambda: 1), memo.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, budget: Budget = BUDGET, queue: Queue = QUEUE) -> None:
        self._budget, self._queue, self._owner = budget, queue, next(_OWNERS)
        self._busy: set[Hashable] = set()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of a key, computed unless it is kept or another session computes it."""
        while True:
            known, value = self._budget.find((self._owner, key))
            if known:
                return value  # type: ignore[no-any-return]
            with self._queue.turn():
                if self._begin(key):
                    return self._make(key, make)
            # Outside the turn, so that whoever waits keeps nobody from computing.
            pulse(0)
            time.sleep(_POLL)

    def _begin(self, key: Hashable) -> bool:
        """Whether this thread is the one that computes a value now."""
        with self._budget.guard:
            if key in self._busy or key in self:
                return False
            self._busy.add(key)
            return True

    def _make(self, key: Hashable, make: Callable[[], V]) -> V:
        try:
            value = make()
            self._budget.keep((self._owner, key), value)
        finally:
            with self._budget.guard:
                self._busy.discard(key)
        return value

    def __contains__(self, key: Hashable) -> bool:
        return (self._owner, key) in self._budget

    def kept(self, wanted: Callable[[Hashable], bool]) -> V | None:
        """Return the value used last of those kept whose key is wanted, None without any."""
        for key in self._budget.places(self._owner):
            known, value = self._budget.find((self._owner, key)) if wanted(key) else (False, None)
            if known:
                return value
        return None


_PATIENCE: Final = 10.0  # seconds without being asked for
FOR_GOOD: Final = math.inf
"""The patience of work that goes on without anybody asking."""


class AbandonedError(Exception):
    """Raised within work that nobody waits for."""


class Job:
    """One piece of work, in a thread of its own.

    Parameters
    ----------
    work : callable
        Given a function that it tells of units done.
    patience : float
        Seconds without being asked for after which it is abandoned.

    Attributes
    ----------
    done : int
        Units done so far.
    error : Mmc4vizError or None
        What ended it.
    stopped : bool
        Whether somebody said so.
    """

    def __init__(
        self, work: Callable[[Callable[[int], None]], object], patience: float = _PATIENCE
    ) -> None:
        self.done = 0
        self.stopped = False
        self.error: Mmc4vizError | None = None
        self._patience = patience
        self._asked = time.monotonic()
        self._thread = Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still goes on; asking keeps it alive."""
        self._asked = time.monotonic()
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it when it next tells of units done."""
        self.stopped = True

    def _tell(self, count: int) -> None:
        self.done += count
        if self.stopped or time.monotonic() - self._asked > self._patience:
            raise AbandonedError

    def _run(self, work: Callable[[Callable[[int], None]], object]) -> None:
        try:
            work(self._tell)
        except Mmc4vizError as error:
            self.error = error
        except AbandonedError:
            return  # whoever asks next begins anew
        except Exception as error:  # a thread has nobody else to tell
            self.error = Mmc4vizError(f"{type(error).__name__}: {error}")

    @property
    def forgotten(self) -> bool:
        """Whether it has ended and nobody has asked for it since."""
        waited = time.monotonic() - self._asked
        return not self._thread.is_alive() and waited > _PATIENCE


_JOBS: dict[Hashable, Job] = {}
_GUARD = Lock()


def ask(key: Hashable, work: Callable[[Callable[[int], None]], object]) -> Job:
    """Return the job of a key, begun if it is not there; ended ones are forgotten in time."""
    with _GUARD:
        for other in [k for k, job in _JOBS.items() if job.forgotten and k != key]:
            del _JOBS[other]
        if key not in _JOBS:
            _JOBS[key] = Job(work)
        return _JOBS[key]


def is_known(key: Hashable) -> bool:
    """Whether a job was begun and not forgotten."""
    with _GUARD:
        return key in _JOBS


def forget(key: Hashable) -> None:
    """Forget a job that has ended."""
    with _GUARD:
        _JOBS.pop(key, None)
