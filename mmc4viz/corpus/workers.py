"""Executors for jobs of one shard each: processes on this machine, or a Dask cluster.

Each is a context manager that hands out a `concurrent.futures.Executor`; those who give the jobs
do not know which one they got.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, Final, TypeVar

from mmc4viz.model import ConfigError

ROUNDS: Final = 3
"""How often a job is tried when its worker dies."""

_FORKS: Final = "forkserver" in multiprocessing.get_all_start_methods()
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
    left = list(range(len(jobs)))
    for _ in range(ROUNDS):
        for place, done in _round(work, {place: jobs[place] for place in left}, make_executor):
            left.remove(place)
            yield place, done
        if not left:
            return


def _round(
    work: Callable[[Job], Done], jobs: dict[int, Job], make_executor: MakeExecutor
) -> Iterator[tuple[int, Done]]:
    with make_executor() as executor:
        futures: dict[Future[Done], int] = {
            executor.submit(work, job): place for place, job in jobs.items()
        }
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except (BrokenProcessPool, CancelledError):
                    continue
                except Exception as error:
                    if type(error).__name__ != "KilledWorker":  # Dask's word for a dead worker
                        raise
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Hand out worker processes; none is a copy of this one, so no thread's lock is copied."""
    pool = ProcessPoolExecutor(workers, _context(), _take_over, (dict(os.environ),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take_over(environment: dict[str, str]) -> None:
    """Give a worker the environment as it is now; what it is a copy of has an older one."""
    os.environ.clear()
    os.environ.update(environment)


def get_ready() -> None:
    """Load what workers need in a process of its own, while this one is still busy elsewhere."""
    if _FORKS:
        _context()
        forkserver.ensure_running()


def _context() -> BaseContext:
    """Say how workers start: as copies of one process that has loaded what they need."""
    if not _FORKS:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_NEEDED)
    return context


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
