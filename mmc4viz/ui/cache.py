"""Cached values, progress bars and background jobs, shared by all sessions.

Each value is computed once, by a few threads at a time in the order of requests; the least recently
used values are dropped first. Streamlit ends a superseded run inside the calls that draw, so a
computation that reports its progress can be abandoned at every report; nothing of it is cached.
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
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import update_wrapper
from inspect import signature
from threading import Lock, Thread
from typing import Any, Final, Generic, ParamSpec, TypeVar

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


def reserve_place() -> None:
    """Reserve a place for the progress bar, which lies over the page and moves nothing."""
    with st.container(key="progress"):
        _PLACE.set(st.empty())


@contextmanager
def progress(
    words: str, total: int | None = None, unit: str = "documents"
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar after one second; yield a function that takes the units just done.

    Parameters
    ----------
    words : str
        What is being done; not escaped.
    total : int, optional
        The number of units; without it only ``words`` are shown.
    unit : str
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
            return  # a download: no page to draw on
        if place is None:
            place = _PLACE.get() or st.empty()
        if now - began < _DELAY:
            place.empty()
        elif ahead:
            place.progress(0.0, f"{words}: {ahead:,} ahead in the queue…")
        elif total:
            share = min(1.0, done / total)
            place.progress(share, f"{words}: {done:,} of {total:,} {unit}")
        else:
            place.progress(0.0, f"{words}: {done:,} {unit}" if done else f"{words}…")

    token = _SHOWN.set(show)
    try:
        yield show
    except MemoryError as error:
        raise MemoryError(f"{words}: {error}".rstrip(": ")) from error
    finally:
        _SHOWN.reset(token)
    if place is not None:
        place.empty()


def tell(count: int) -> None:
    """Report units just done to the progress bar shown, if any; the run may be abandoned here."""
    show = _SHOWN.get()
    if show is not None:
        show(count, 0)


def pulse(ahead: int) -> None:
    """Show how many computations are ahead in the queue; the run may be abandoned here."""
    show = _SHOWN.get()
    if show is not None:
        show(0, ahead)


P = ParamSpec("P")
V = TypeVar("V")

_POLL: Final = 0.05  # seconds
_STALE: Final = 10.0  # seconds after which the size of a used value is measured again
_OWNERS: Final = itertools.count()
_SMALL: Final = 256  # bytes charged for a value in addition to its arrays and text


def weight(value: object) -> int:
    """Return the approximate size of a value in bytes: its arrays, columns and text.

    Memory-mapped index files count as zero.

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
    """The values of all memos, within ``limit`` bytes; the most recently used always stays.

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
        """Return whether a value is cached, and the value; this counts as a use."""
        with self.guard:
            if place not in self._kept:
                return False, None
            self._kept.move_to_end(place)
            value, _, when = self._kept[place]
        if time.monotonic() - when > _STALE:
            self.keep(place, value)
        return True, value

    def keep(self, place: tuple[int, Hashable], value: object) -> None:
        """Cache a value, and drop the least recently used ones beyond the limit."""
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
        """Drop a value if it is cached."""
        with self.guard:
            self.held -= self._kept.pop(place, (None, 0, 0.0))[1]

    def __str__(self) -> str:
        return f"{self.held / 1e6:,.0f} of {self.limit / 1e6:,.0f} MB"

    def places(self, owner: int) -> list[Hashable]:
        """Return the keys of one memo's values, most recently used first."""
        with self.guard:
            return [key for memo, key in reversed(self._kept) if memo == owner]


def _default_limit() -> int:
    """Return an eighth of the machine's memory, at least one GiB."""
    return max(1 << 30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8)


BUDGET: Final = Budget(_default_limit())
"""The server's cache budget."""


class Queue:
    """Lets a few threads compute at a time, first come, first served."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[object] = deque()
        self._guard = threading.Lock()
        self._mine = threading.local()

    @property
    def entered(self) -> bool:
        """Whether this thread holds a turn."""
        return getattr(self._mine, "entered", False)

    @property
    def ahead(self) -> int:
        """How many threads are before this one; 0 if it is not waiting."""
        ticket = getattr(self._mine, "ticket", None)
        with self._guard:
            return self._waiting.index(ticket) + 1 if ticket in self._waiting else 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this thread's turn; turns nest."""
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


_QUEUE: Final = Queue((os.cpu_count() or 1) + 1)
"""The server's queue."""


class Memo(Generic[V]):
    """A cache of values by key, within the server's budget.

    Examples
    --------
    >>> memo = Memo[int]()
    >>> memo.get("a", lambda: 1), memo.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, budget: Budget = BUDGET, queue: Queue = _QUEUE) -> None:
        self._budget, self._queue, self._owner = budget, queue, next(_OWNERS)
        self._busy: set[Hashable] = set()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of a key, from the cache, another session's computation or ``make``."""
        while True:
            known, value = self._budget.find((self._owner, key))
            if known:
                return value  # type: ignore[no-any-return]
            with self._queue.turn():
                if self._begin(key):
                    return self._make(key, make)
            # Wait outside the turn, so that other computations can proceed.
            pulse(0)
            time.sleep(_POLL)

    def _begin(self, key: Hashable) -> bool:
        """Whether this thread is to compute the value."""
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

    def drop(self, key: Hashable) -> None:
        """Drop a key's value if it is cached."""
        self._budget.drop((self._owner, key))

    def kept(self, wanted: Callable[[Hashable], bool]) -> V | None:
        """Return the most recently used value whose key is wanted; None without any."""
        for key in self._budget.places(self._owner):
            known, value = self._budget.find((self._owner, key)) if wanted(key) else (False, None)
            if known:
                return value
        return None


class Cached(Generic[P, V]):
    """A function whose values are cached by its arguments, made by `cached`."""

    def __init__(self, make: Callable[P, V], words: str) -> None:
        self._make, self._words, self._memo = make, words, Memo[V]()
        self._signature = signature(make)
        update_wrapper(self, make)

    def __call__(self, *args: P.args, **options: P.kwargs) -> V:
        """Look up or compute a value."""
        with progress(self._words) if self._words else nullcontext():
            key = self._key(*args, **options)
            return self._memo.get(key, lambda: self._make(*args, **options))

    def knows(self, *args: P.args, **options: P.kwargs) -> bool:
        """Whether a value is cached."""
        return self._key(*args, **options) in self._memo

    def _key(self, *args: P.args, **options: P.kwargs) -> Hashable:
        bound = self._signature.bind(*args, **options)
        bound.apply_defaults()
        return tuple(bound.arguments.values())


def cached(words: str = "") -> Callable[[Callable[P, V]], Cached[P, V]]:
    """Cache a function's values by its arguments.

    Parameters
    ----------
    words : str
        Shown while it works, with the units that it reports (`tell`); by default nothing is.

    Examples
    --------
    >>> @cached()
    ... def double(number):
    ...     print("computed")
    ...     return 2 * number
    >>> double(3), double(3)
    computed
    (6, 6)
    """
    return lambda make: Cached(make, words)


_PATIENCE: Final = 10.0  # seconds
FOR_GOOD: Final = math.inf
"""The patience of work that continues without being polled."""


class AbandonedError(Exception):
    """Raised in a job that was stopped or is no longer polled."""


class Job:
    """Background work in its own thread.

    Parameters
    ----------
    work : callable
        Called with a function to report the units done.
    patience : float
        Seconds without being polled after which it is abandoned.

    Attributes
    ----------
    done : int
        Units done so far.
    error : Mmc4vizError or None
        The error that ended it.
    stopped : bool
        Whether it was stopped.
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
        """Whether it is still running; polling keeps it alive."""
        self._asked = time.monotonic()
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop it at its next report."""
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
            return  # restarted by the next request
        except Exception as error:  # a thread cannot raise to a caller
            self.error = Mmc4vizError(f"{type(error).__name__}: {error}")

    @property
    def forgotten(self) -> bool:
        """Whether it has ended and is no longer polled."""
        waited = time.monotonic() - self._asked
        return not self._thread.is_alive() and waited > _PATIENCE


_JOBS: dict[Hashable, Job] = {}
_GUARD = Lock()


def ask(key: Hashable, work: Callable[[Callable[[int], None]], object]) -> Job:
    """Return the job of a key, starting it if needed; finished jobs are dropped in time."""
    with _GUARD:
        for other in [k for k, job in _JOBS.items() if job.forgotten and k != key]:
            del _JOBS[other]
        if key not in _JOBS:
            _JOBS[key] = Job(work)
        return _JOBS[key]


def is_known(key: Hashable) -> bool:
    """Whether a job was started and not dropped."""
    with _GUARD:
        return key in _JOBS


def forget(key: Hashable) -> None:
    """Drop a finished job."""
    with _GUARD:
        _JOBS.pop(key, None)
