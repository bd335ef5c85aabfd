"""The dashboard's cache: shared by sessions, bounded, computed a few values at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmc4viz.cli import main
from mmc4viz.data.index import open_index
from mmc4viz.sweep.sweep import match_corpus
from mmc4viz.types import LoaderConfig
from mmc4viz.ui.cache import Budget, Memo, Queue, weight
from tests.ui.test_app import SAMPLE

KB = 1_000


def array(n_bytes: int) -> np.ndarray:
    return np.zeros(n_bytes, np.uint8)


def in_threads(n: int, work: Callable[[int], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(n)]
    for thread in threads:
        thread.start()
    return threads


def test_all_memos_share_one_budget_and_the_oldest_values_go_first() -> None:
    budget = Budget(100 * KB)
    one, other = Memo[np.ndarray](budget), Memo[np.ndarray](budget)
    one.get("a", lambda: array(40 * KB))
    other.get("b", lambda: array(40 * KB))
    one.get("a", lambda: array(1))  # used again
    other.get("c", lambda: array(40 * KB))
    assert "a" in one
    assert "b" not in other
    assert "c" in other
    assert 80 * KB < budget.held <= budget.limit
    other.get("huge", lambda: array(200 * KB))
    assert "huge" in other  # else whoever asked for it would compute it at every turn
    assert "a" not in one


def test_a_value_that_grows_while_it_is_used_is_weighed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("mmc4viz.ui.cache.time.monotonic", lambda: now[0])
    budget, grows = Budget(100 * KB), list[np.ndarray]()
    memo = Memo[list[np.ndarray]](budget)
    memo.get("a", lambda: grows)
    before = budget.held
    grows.append(array(30 * KB))
    now[0] = 60.0
    memo.get("a", lambda: [])
    assert budget.held - before == pytest.approx(30 * KB, rel=0.05)


def test_views_weigh_what_they_hold_and_mapped_columns_nothing(tmp_path: Path) -> None:
    whole = array(50 * KB)
    assert weight([whole[:10], whole[10:], {"again": whole}]) < 52 * KB
    with pytest.raises(SystemExit):
        main(["index", SAMPLE, "--out", str(tmp_path / "i")])
    index = open_index(str(tmp_path / "i"))
    assert weight(index.columns) < 10 * KB * len(index.columns)
    matched = match_corpus(index.columns, LoaderConfig())
    held = sum(group.score.nbytes for part in matched.parts for group in part.block.groups)
    assert weight(matched) > held > 0


def test_equal_work_is_done_once_and_unequal_work_a_few_at_a_time() -> None:
    memo = Memo[int](Budget(100 * KB), Queue(2))
    begun, go = threading.Semaphore(0), threading.Event()
    made, values = list[int](), list[int]()
    most, now, guard = [0], [0], threading.Lock()

    def make(key: int) -> int:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
            made.append(key)
        begun.release()
        assert go.wait(20)
        with guard:
            now[0] -= 1
        return key

    threads = in_threads(12, lambda i: values.append(memo.get(i % 4, lambda: make(i % 4))))
    for _ in range(2):
        assert begun.acquire(timeout=20)
    assert not begun.acquire(blocking=False)  # there is room for two only
    go.set()
    for thread in threads:
        thread.join(20)
    assert sorted(made) == [0, 1, 2, 3]
    assert sorted(values) == sorted([0, 1, 2, 3] * 3)
    assert most == [2]


def test_who_waits_knows_how_many_come_first_and_may_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LeftError(Exception):
        """The person did something else."""

    told, queue = list[int](), Queue(1)

    def pulse(ahead: int) -> None:
        told.append(ahead)
        raise LeftError

    monkeypatch.setattr("mmc4viz.ui.cache.pulse", pulse)
    memo = Memo[int](Budget(100 * KB), queue)

    def inner() -> int:
        waits = threading.Thread(target=leave)
        waits.start()
        waits.join(20)
        return memo.get("b", lambda: 1)  # within a turn nothing is waited for

    def leave() -> None:
        with pytest.raises(LeftError):
            memo.get("c", lambda: 2)

    assert memo.get("a", inner) == 1
    assert told == [1]
    assert memo.get("c", lambda: 3) == 3  # an abandoned computation blocks nobody


def test_a_failure_leaves_nothing_behind() -> None:
    memo = Memo[int](Budget(100 * KB), Queue(1))
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: 1 // 0)
    assert memo.get("a", lambda: 2) == 2
