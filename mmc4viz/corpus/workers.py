"""Executors for the build: processes on this machine, or a Dask cluster.

Each is a context manager that hands out a `concurrent.futures.Executor`; the build does not know
which one it got.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from mmc4viz.model import ConfigError


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Hand out worker processes; they start fresh, so that no thread's lock is copied."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
