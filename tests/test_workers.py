"""The runner of jobs: every job is done once, whatever becomes of the workers of others."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from mmc4viz.corpus.workers import processes, run

DEADLY = 5


def square(job: int) -> int:
    if job == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def fail(job: int) -> int:
    raise ValueError(f"job {job} is wrong")


@pytest.mark.parametrize("n_jobs", [12, 2000])
def test_a_job_that_kills_its_worker_costs_itself_only(n_jobs: int) -> None:
    done = dict(run(square, range(n_jobs), partial(processes, 2)))
    assert done == {job: job * job for job in range(n_jobs) if job != DEADLY}


def test_a_job_s_own_error_ends_the_run() -> None:
    with pytest.raises(ValueError, match="job 0 is wrong"):
        list(run(fail, range(3), partial(processes, 1)))


def test_whoever_stops_has_begun_no_more_than_there_are_workers() -> None:
    begun = []
    jobs = run(begun.append, range(100), partial(ThreadPoolExecutor, 2))
    next(jobs)
    jobs.close()
    assert len(begun) <= 2


def test_workers_see_the_environment_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    list(run(square, [1], partial(processes, 1)))  # what workers are copies of is there by now
    monkeypatch.setenv("MMC4VIZ_OF_LATE", "yes")
    assert dict(run(os.getenv, ["MMC4VIZ_OF_LATE"], partial(processes, 1))) == {0: "yes"}
