"""Run one job per shard, in processes on this machine or on a Dask cluster.

Each executor is a context manager that provides a `concurrent.futures.Executor`. Worker processes
end with the process that started them, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.metadata import version
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, Final, TypeVar

from mmc4viz.types import ConfigError

OUT_OF_MEMORY: Final = (
    "out of memory; run the same command again with fewer --workers or more memory to resume"
)

SMALL: Final = 64 << 20
"""Bytes of a table of pairs up to which starting workers takes longer than counting it here."""

_STATUSES: Final = ("read", "scored", "written", "counted", "skipped", "incomplete", "failed")
_ROUNDS: Final = 3  # attempts of a job whose worker dies
_OWN_FILES, _FILES_EACH = 32, 6  # files open at once, in this process and per worker
_CHECK_EVERY: Final = 1.0  # seconds
_REPORT_AFTER: Final = 5.0  # seconds without a worker
_GIVE_UP_AFTER: Final = 600.0

MakeExecutor = Callable[[], AbstractContextManager[Executor]]
Job = TypeVar("Job")
Done = TypeVar("Done")


def run(
    work: Callable[[Job], Done],
    jobs: Sequence[Job],
    make_executor: MakeExecutor,
    on_done: Callable[[Done], object],
    failed: Callable[[Job, str], Done],
) -> list[Done]:
    """Run jobs; those whose worker dies are retried with new workers.

    Parameters
    ----------
    work : callable
        Does one job.
    jobs : sequence
    make_executor : callable
        Returns the workers; called again when one died, which breaks the whole pool.
    on_done : callable
        Called with each result, in order of completion.
    failed : callable
        Returns the result of a job whose workers died `_ROUNDS` times, given the reason.

    Returns
    -------
    list
        The results, in the order of the jobs.
    """
    results: dict[int, Done] = {}
    for place, done in _run(work, jobs, make_executor):
        results[place] = done
        on_done(done)
    for place, job in enumerate(jobs):
        if place not in results:
            results[place] = failed(job, f"its worker died {_ROUNDS} times (out of memory?)")
            on_done(results[place])
    return [results[place] for place in range(len(jobs))]


def _run(
    work: Callable[[Job], Done], jobs: Sequence[Job], make_executor: MakeExecutor
) -> Iterator[tuple[int, Done]]:
    """Yield each job's position and result, in order of completion."""
    waiting, suspects = dict(enumerate(jobs)), dict[int, Job]()
    while waiting:
        suspects |= yield from _round(work, waiting, make_executor)
    for place, job in suspects.items():  # one at a time, since a fatal job also stops the others
        for _ in range(_ROUNDS - 1):
            if not (yield from _round(work, {place: job}, make_executor)):
                break


def _round(
    work: Callable[[Job], Done], waiting: dict[int, Job], make_executor: MakeExecutor
) -> Generator[tuple[int, Done], None, dict[int, Job]]:
    """Submit waiting jobs until a worker dies; return those that were running then.

    At most one job per worker is submitted at a time, so that none is started after an interrupt.
    """
    from mmc4viz.data.storage import users  # imported late to start faster

    known = users()
    lost, futures = dict[int, Job](), dict[Future[Done], tuple[int, Job]]()
    with make_executor() as executor:
        at_once = getattr(executor, "_max_workers", len(waiting))  # Dask schedules by itself
        look_after: Callable[[], object] | None = getattr(executor, "look_after", None)
        if look_after is not None:  # before a job is sent to a worker without the package
            look_after()
        while True:
            while waiting and not lost and len(futures) < at_once:
                place = next(iter(waiting))
                job = waiting.pop(place)
                try:
                    futures[executor.submit(_knowing, known, work, job)] = place, job
                except BrokenProcessPool:
                    lost[place] = job
            if not futures:
                return lost
            every = None if look_after is None else _CHECK_EVERY
            while not (done := wait(futures, every, FIRST_COMPLETED).done):
                assert look_after is not None
                look_after()
            for future in done:
                place, job = futures.pop(future)
                if _died(future):
                    lost[place] = job
                else:
                    yield place, future.result()


def _knowing(known: dict[str, str], work: Callable[[Job], Done], job: Job) -> Done:
    """Do a job in a worker, which needs the user names of URLs."""
    from mmc4viz.data.storage import remember_users

    remember_users(known)
    return work(job)


def by_status(done: Sequence[Any], *names: str) -> list[tuple[Any, ...]]:
    """Return each status that occurs with its number of shards and the sums of attributes."""
    grouped = {status: [one for one in done if one.status == status] for status in _STATUSES}
    return [
        (status, len(some), *(sum(getattr(one, name) for one in some) for name in names))
        for status, some in grouped.items()
        if some
    ]


def _died(future: Future[Any]) -> bool:
    """Whether a job's worker died, as opposed to an error in the job."""
    error = None if future.cancelled() else future.exception()
    dead = isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"  # Dask's
    return future.cancelled() or dead


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Provide worker processes, which are not forked from this one, so no locks are copied.

    Raises
    ------
    ConfigError
        When the limit of open files is too low for the number of workers.
    """
    needed, (allowed, _) = _OWN_FILES + _FILES_EACH * workers, _more_files()
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise ConfigError(
            f"too many open files: {workers} workers need up to {needed:,}, but the limit is "
            f"{allowed:,}: raise it (ulimit -n) or use fewer --workers"
        )
    pool = ProcessPoolExecutor(workers, _context(), _take_over, (dict(os.environ),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _more_files() -> tuple[int, int]:
    """Raise the limit of open files for this process and its workers, if permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted, hard


def stop_now() -> None:
    """Terminate this process's workers; incomplete output files never take their place."""
    for process in multiprocessing.active_children():
        process.terminate()


def _take_over(environment: dict[str, str]) -> None:
    """Set a worker's environment to its parent's current one; the fork server's may be older.

    Libraries that read the environment when imported do not see the change.
    """
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the process that submits jobs ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def get_ready(module: str) -> None:
    """Start the fork server early, so that it imports what workers run in the background."""
    _context([module])


def _context(preload: Sequence[str] = ()) -> BaseContext:
    """Return how workers start: forked from a server process with everything imported."""
    _more_files()
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        if preload:
            context.set_forkserver_preload(list(preload))
        with suppress(OSError), _interrupts_ignored():  # fails if the socket's path is too long
            forkserver.ensure_running()
            return context
    return multiprocessing.get_context("spawn")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that start now ignore interrupts, so that they finish their job."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


@contextmanager
def dask(address: str, tell: Callable[[str], object] = lambda _: None) -> Iterator[Executor]:
    """Provide the workers of a Dask cluster; a job whose worker dies is retried on another.

    Parameters
    ----------
    address : str
        Address of the scheduler.
    tell : callable, optional
        Receives messages about waiting for workers.

    Raises
    ------
    ConfigError
        When there is no scheduler at the address, or Dask is not installed; while jobs run, when
        there are no workers, or one cannot do the jobs.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--scheduler needs Dask: pip install 'mmc4viz[dask]'") from None
    try:
        client: Any = Client(address, timeout="5s")  # type: ignore[no-untyped-call]
    except Exception as error:  # wrong address, no server, another version, …
        reason = " ".join(str(error).split())[:150]
        raise ConfigError(f"no Dask scheduler at {address}: {reason}") from None
    try:
        executor = client.get_executor(pure=False, retries=3)
        executor.look_after = _Cluster(client, address, tell)
        yield executor
    finally:
        client.close()


class _Cluster:
    """Checks a Dask cluster while jobs wait: reports missing and unusable workers."""

    def __init__(self, client: Any, address: str, tell: Callable[[str], object]) -> None:
        self._client, self._address, self._tell = client, address, tell
        self._known: set[str] = set()
        self._alone_since, self._told = time.monotonic(), False

    def __call__(self) -> None:
        """Check the workers; raise a ConfigError if waiting is futile."""
        workers = set(self._client.nthreads())
        if workers:
            self._alone_since, self._told = time.monotonic(), False
            self._check(workers - self._known)
            return
        alone = time.monotonic() - self._alone_since
        start = f"dask worker {self._address}"
        if alone > _GIVE_UP_AFTER:
            minutes = f"{_GIVE_UP_AFTER / 60:.0f} minutes"
            raise ConfigError(f"{self._address}: no workers for {minutes}; start some: {start}")
        if alone > _REPORT_AFTER and not self._told:
            self._tell(f"{self._address}: waiting for workers; start some: {start}")
            self._told = True

    def _check(self, new: set[str]) -> None:
        """Check that new workers can do jobs, because one that cannot would not report it."""

        def load(module: str) -> None:  # serialized by value, as it refers to nothing in mmc4viz
            __import__(module)

        if not new:
            return
        found = self._client.run(
            load, "mmc4viz.data.build_index", workers=list(new), on_error="return"
        )
        for worker, answer in sorted(found.items()):
            if isinstance(answer, BaseException):
                reason = " ".join(str(answer).split())[:150]
                raise ConfigError(
                    f"the Dask worker {worker} cannot import mmc4viz ({reason}): install mmc4viz "
                    f"{version('mmc4viz')} where the workers run"
                )
        self._known |= new
