"""Running jobs: every job is done once, whatever happens to other workers."""

from __future__ import annotations

import os
import resource
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from mmc4viz import ConfigError
from mmc4viz.cli import main
from mmc4viz.data import jobs as workers
from mmc4viz.data.jobs import processes, run

DEADLY = 5


def square(job: int) -> int:
    if job == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def fail(job: int) -> int:
    raise ValueError(f"job {job} is wrong")


def results(work: Any, jobs: Any, make_executor: Any, on_done: Any = lambda _: None) -> list[Any]:
    return run(work, jobs, make_executor, on_done, lambda job, reason: f"{job}: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [12, 2000])
def test_a_job_that_kills_its_worker_does_not_affect_others(n_jobs: int) -> None:
    told = list[Any]()
    done = results(square, range(n_jobs), partial(processes, 2), told.append)
    died = f"{DEADLY}: its worker died 3 times (out of memory?)"
    assert done == [died if job == DEADLY else job * job for job in range(n_jobs)]
    assert sorted(told, key=str) == sorted(done, key=str)


def test_a_job_s_own_error_ends_the_run() -> None:
    with pytest.raises(ValueError, match="job 0 is wrong"):
        results(fail, range(3), partial(processes, 1))


def test_no_more_jobs_are_started_than_there_are_workers() -> None:
    begun = list[int]()

    def stop(done: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results(begun.append, range(100), partial(ThreadPoolExecutor, 2), stop)
    assert len(begun) <= 2


def test_workers_see_the_environment_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    results(square, [1], partial(processes, 1))  # what workers are copies of is there by now
    monkeypatch.setenv("MMC4VIZ_OF_LATE", "yes")
    assert results(os.getenv, ["MMC4VIZ_OF_LATE"], partial(processes, 1)) == ["yes"]


@pytest.mark.parametrize(
    ("allowed", "words"), [(16, "2 workers need up to 44, but the limit is 16"), (4096, "")]
)
def test_a_low_limit_of_open_files_is_reported(
    monkeypatch: pytest.MonkeyPatch, allowed: int, words: str
) -> None:
    """The limit is raised where permitted."""
    now = [min(allowed, 20), allowed]
    monkeypatch.setattr(resource, "getrlimit", lambda which: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: now.__setitem__(0, limits[0]))
    if not words:
        assert results(square, [3], partial(processes, 2)) == [9]
        assert now == [4096, 4096]
        return
    with pytest.raises(ConfigError, match=words):
        results(square, [3], partial(processes, 2))


def test_too_little_memory_is_reported_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (400_000 << 10, 400_000 << 10))
    with pytest.raises(SystemExit) as end:
        main(["curve", "nowhere.tar"])
    assert (end.value.code, capsys.readouterr().err) == (
        2,
        "mmc4viz: out of memory: the address space is limited to 410 MB (ulimit -v); at least "
        "1,074 MB are needed\n",
    )


class Cluster:
    """A Dask client whose workers come and go on demand; each check takes two seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, workers_: list[dict[str, Any]]) -> None:
        self.looks, self.workers, self.now, self.told = 0, workers_, 0.0, list[str]()
        monkeypatch.setattr(workers, "_CHECK_EVERY", 0.001)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.cluster = workers._Cluster(self, "tcp://there:1", self.told.append)

    def nthreads(self) -> dict[str, Any]:
        there = self.workers[min(self.looks, len(self.workers) - 1)]
        self.looks, self.now = self.looks + 1, self.now + 2
        return there

    def run(self, function: Any, *arguments: Any, workers: list[str], on_error: str) -> Any:
        assert on_error == "return"
        known = self.workers[min(self.looks - 1, len(self.workers) - 1)]
        return {worker: known[worker] for worker in workers}

    def jobs(self) -> None:
        """Give out a job that is done once there are workers."""

        @contextmanager
        def make() -> Any:
            future: Future[Any] = Future()

            def look() -> None:
                self.cluster()
                if self.nthreads():
                    future.set_result(1)

            class Executor:
                look_after = staticmethod(look)
                submit = staticmethod(lambda *_: future)

            yield Executor()

        assert results(square, [1], make) == [1]


def test_a_cluster_without_workers_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, [{}] * 12 + [{"tcp://w:1": None}])
    cluster.jobs()
    assert cluster.told == [
        "tcp://there:1: waiting for workers; start some: dask worker tcp://there:1"
    ]


def test_waiting_for_workers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no workers for 10 minutes; start some: dask worker tcp"):
        Cluster(monkeypatch, [{}]).jobs()


def test_a_worker_without_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = ModuleNotFoundError("No module named 'mmc4viz'")
    cluster = Cluster(monkeypatch, [{"tcp://a:1": None}, {"tcp://a:1": None, "tcp://b:2": lacking}])
    cluster.cluster()
    with pytest.raises(ConfigError, match=r"worker tcp://b:2 cannot import mmc4viz \(No module"):
        cluster.cluster()


def _users(job: int) -> str:
    from mmc4viz.data.storage import whole

    return whole("ftp://host-of-test/a.tar")


def test_workers_know_the_users_of_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmc4viz.data import storage

    monkeypatch.setitem(storage._USERS, "ftp://host-of-test", "me:pw@")
    assert results(_users, [0], partial(processes, 1)) == ["ftp://me:pw@host-of-test/a.tar"]
