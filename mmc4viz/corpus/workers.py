"""Executors for jobs of one shard each: processes on this machine, or a Dask cluster.

Each is a context manager that hands out a `concurrent.futures.Executor`; those who give the jobs
do not know which one they got.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, Final, TypeVar

from mmc4viz.model import ConfigError

ROUNDS: Final = 3
"""How often a job is tried when its worker dies."""

_NEEDED: Final = ["mmc4viz.corpus.build", "mmc4viz.handover.apply", "scipy.optimize"]

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
    lost, futures = dict[int, Job](), dict[Future[Done], tuple[int, Job]]()
    with make_executor() as executor:
        at_once = getattr(executor, "_max_workers", len(waiting))  # Dask plans for itself
        while True:
            while waiting and not lost and len(futures) < at_once:
                place = next(iter(waiting))
                job = waiting.pop(place)
                try:
                    futures[executor.submit(work, job)] = place, job
                except BrokenProcessPool:
                    lost[place] = job
            if not futures:
                return lost
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                place, job = futures.pop(future)
                if _died(future):
                    lost[place] = job
                else:
                    yield place, future.result()


def _died(future: Future[Any]) -> bool:
    """Whether a job's worker died; a job's own error is its own."""
    error = None if future.cancelled() else future.exception()
    dead = isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"  # Dask's
    return future.cancelled() or dead


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Hand out worker processes; none is a copy of this one, so no thread's lock is copied."""
    pool = ProcessPoolExecutor(workers, _context(), _take_over, (dict(os.environ),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take_over(environment: dict[str, str]) -> None:
    """Give a worker its parent's environment as it is now; what it is a copy of has an older one.

    What libraries read when they are loaded stays as it was.
    """
    os.environ.clear()
    os.environ.update(environment)


def get_ready() -> None:
    """Load what workers need in a process of its own, while this one is still busy elsewhere."""
    _context()


def _context() -> BaseContext:
    """Say how workers start: as copies of one process that has loaded what they need."""
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
def dask(address: str) -> Iterator[Executor]:
    """Hand out a Dask cluster's workers; a job whose worker dies is tried again elsewhere.

    Raises
    ------
    ConfigError
        When there is no scheduler at the address, or Dask is not installed.
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
        yield client.get_executor(pure=False, retries=3)
    finally:
        client.close()
