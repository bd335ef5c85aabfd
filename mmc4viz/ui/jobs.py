"""Work that goes on while a page shows something else; it ends when no page asks for it any more.

Or, where it is to outlive the page, when somebody stops it.
Shared by all sessions: whoever asks for the same gets the same. Knows nothing of what is done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from threading import Lock, Thread
from typing import Final

from mmc4viz.model import Mmc4vizError

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
