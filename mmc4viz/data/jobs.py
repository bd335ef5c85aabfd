"""Executors for jobs of one shard each: processes on this machine, or a Dask cluster.

Each is a context manager that hands out a `concurrent.futures.Executor`; those who give the jobs
do not know which one they got. Processes end with the one that started them, however it ends.
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

ROUNDS: Final = 3
"""How often a job is tried when its worker dies."""

_OWN_FILES, _FILES_EACH = 32, 6  # that may have to be open at once
_LOOK_EVERY: Final = 1.0  # seconds
_A_MOMENT: Final = 5.0  # seconds without a worker before that is said
_PATIENCE: Final = 600.0  # and before it is given up
_NEEDED: Final = ["mmc4viz.data.build_index", "mmc4viz.apply.run"]

MakeExecutor = Callable[[], AbstractContextManager[Executor]]
Job = TypeVar("Job")
Done = TypeVar("Done")


def run(
    work: Callable[[Job], Done], jobs: Sequence[Job], make_executor: MakeExecutor
) -> Iterator[tuple[int, Done]]:
    """Run jobs; those whose worker dies are tried again with new ones.

    Parameters
    ----------
    work : callable
        Does one job.
    jobs : sequence
    make_executor : callable
        Returns the workers; called again when one has died and taken them all along.

    Yields
    ------
    (int, Done)
        A job's place and what came of it, as they are finished; nothing for jobs whose workers
        died `ROUNDS` times.
    """
    waiting, suspects = dict(enumerate(jobs)), dict[int, Job]()
    while waiting:
        suspects |= yield from _round(work, waiting, make_executor)
    for place, job in suspects.items():  # each alone, for one that kills takes others along
        for _ in range(ROUNDS - 1):
            if not (yield from _round(work, {place: job}, make_executor)):
                break


def _round(
    work: Callable[[Job], Done], waiting: dict[int, Job], make_executor: MakeExecutor
) -> Generator[tuple[int, Done], None, dict[int, Job]]:
    """Give out waiting jobs until a worker dies; return those that were being done then.

    No more are given out than there are workers, so that whoever stops has not begun others.
    """
    from mmc4viz.data.storage import users  # brings much along that starting need not wait for

    known = users()
    lost, futures = dict[int, Job](), dict[Future[Done], tuple[int, Job]]()
    with make_executor() as executor:
        at_once = getattr(executor, "_max_workers", len(waiting))  # Dask plans for itself
        look_after: Callable[[], object] | None = getattr(executor, "look_after", None)
        if look_after is not None:  # before a worker that lacks the package is given a job
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
            every = None if look_after is None else _LOOK_EVERY
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
    """Do a job by a worker that does not know the users of urls yet."""
    from mmc4viz.data.storage import remember_users

    remember_users(known)
    return work(job)


def _died(future: Future[Any]) -> bool:
    """Whether a job's worker died; a job's own error is its own."""
    error = None if future.cancelled() else future.exception()
    dead = isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"  # Dask's
    return future.cancelled() or dead


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Hand out worker processes; none is a copy of this one, so no thread's lock is copied.

    Raises
    ------
    ConfigError
        When fewer files may be open than so many need.
    """
    needed, (allowed, _) = _OWN_FILES + _FILES_EACH * workers, _more_files()
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise ConfigError(
            f"too many open files: {workers} workers need up to {needed:,} and {allowed:,} are "
            "allowed (ulimit -n): raise the limit, or give fewer --workers"
        )
    pool = ProcessPoolExecutor(workers, _context(), _take_over, (dict(os.environ),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _more_files() -> tuple[int, int]:
    """Let this process and its workers open as many files as they ever need, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted, hard


def stop_now() -> None:
    """End the worker processes of this one, whatever they are at: what is not whole is no file."""
    for process in multiprocessing.active_children():
        process.terminate()


def _take_over(environment: dict[str, str]) -> None:
    """Give a worker its parent's environment as it is now; what it is a copy of has an older one.

    What libraries read when they are loaded stays as it was.
    """
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the process is gone that gives the jobs; a worker's own parent is another one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def get_ready() -> None:
    """Load what workers need in a process of its own, while this one is still busy elsewhere."""
    _context()


def _context() -> BaseContext:
    """Say how workers start: as copies of one process that has loaded what they need."""
    _more_files()
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_NEEDED)
        with suppress(OSError), _interrupts_ignored():  # no socket where folders' names are long
            forkserver.ensure_running()
            return context
    return multiprocessing.get_context("spawn")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that begin now ignore interrupts: what they are at, they finish."""
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
    """Hand out a Dask cluster's workers; a job whose worker dies is tried again elsewhere.

    Parameters
    ----------
    address : str
        Of the scheduler.
    tell : callable, optional
        Told in words of what is waited for.

    Raises
    ------
    ConfigError
        When there is no scheduler at the address, or Dask is not installed; while jobs are done,
        when no worker comes, or one cannot do them.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--scheduler needs Dask: pip install 'mmc4viz[dask]'") from None
    try:
        client: Any = Client(address, timeout="5s")  # type: ignore[no-untyped-call]
    except Exception as error:  # wrong address, nobody there, another version: many kinds
        reason = " ".join(str(error).split())[:150]
        raise ConfigError(f"no Dask scheduler at {address}: {reason}") from None
    try:
        executor = client.get_executor(pure=False, retries=3)
        executor.look_after = _Cluster(client, address, tell)
        yield executor
    finally:
        client.close()


class _Cluster:
    """A Dask cluster while jobs wait: says that it has no workers, or which one is of no use."""

    def __init__(self, client: Any, address: str, tell: Callable[[str], object]) -> None:
        self._client, self._address, self._tell = client, address, tell
        self._known: set[str] = set()
        self._alone_since, self._told = time.monotonic(), False

    def __call__(self) -> None:
        """Look at the workers; raise a ConfigError when there is nothing to wait for."""
        workers = set(self._client.nthreads())
        if workers:
            self._alone_since, self._told = time.monotonic(), False
            self._check(workers - self._known)
            return
        alone = time.monotonic() - self._alone_since
        start = f"dask worker {self._address}"
        if alone > _PATIENCE:
            raise ConfigError(
                f"{self._address}: 0 workers for {_PATIENCE / 60:.0f} minutes; start some: {start}"
            )
        if alone > _A_MOMENT and not self._told:
            self._tell(f"{self._address}: 0 workers, waiting; start some: {start}")
            self._told = True

    def _check(self, new: set[str]) -> None:
        """See whether new workers can do jobs: one that cannot never says so."""

        def load(module: str) -> None:  # is sent by its code, for it names nothing of this package
            __import__(module)

        if not new:
            return
        found = self._client.run(load, _NEEDED[0], workers=list(new), on_error="return")
        for worker, answer in sorted(found.items()):
            if isinstance(answer, BaseException):
                reason = " ".join(str(answer).split())[:150]
                raise ConfigError(
                    f"the Dask worker {worker} cannot load mmc4viz ({reason}): install mmc4viz "
                    f"{version('mmc4viz')} where the workers run"
                )
        self._known |= new
