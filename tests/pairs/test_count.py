"""Counting in parts, in workers and into an index gives what counting at once gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmc4viz.data.checked import IndexFileError
from mmc4viz.data.jobs import processes
from mmc4viz.pairs.count import (
    CountPlan,
    PairIndexTask,
    build_pair_index,
    count,
    open_pair_index,
    plan_of,
)
from mmc4viz.pairs.recognise import is_pair_index
from mmc4viz.pairs.selection import RowCondition
from mmc4viz.pairs.table import open_table
from mmc4viz.types import ShardError
from tests.support import pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pairs.write(pairs.datacomp(6000), tmp_path / "table", 3, 500)


def one_thread() -> Any:
    return ThreadPoolExecutor(1)


def same(one: Any, other: Any) -> None:
    np.testing.assert_equal(one.packed(), other.packed())


def planned(folder: Path) -> tuple[Any, CountPlan]:
    table = open_table([str(folder)])
    return table, plan_of(table, table.scores, [RowCondition.parse("original_width>=200")])


def test_workers_count_what_this_process_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, plan = planned(folder)
    expected = count(table, plan)
    monkeypatch.setattr("mmc4viz.data.jobs.SMALL", 0)
    seen: list[int] = []
    same(count(table, plan, lambda: processes(2), 2, seen.append), expected)
    assert sum(seen) == expected.rows == 6000 and len(seen) > 3  # row groups, not only files


def test_an_index_is_resumed_and_says_the_same(folder: Path, tmp_path: Path) -> None:
    table, plan = planned(folder)
    out = str(tmp_path / "index")
    tasks = [PairIndexTask(path, out, plan) for path in table.paths]

    def killed(done: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_pair_index(tasks, one_thread, killed)
    assert not is_pair_index(out)
    statuses = [one.status for one in build_pair_index(tasks, one_thread, lambda _: None)]
    assert "skipped" in statuses and "counted" in statuses
    found = open_pair_index(out)
    same(found.tally, count(table, plan))
    assert found.plan == plan and len(found.paths) == 3
    again = build_pair_index(tasks, one_thread, lambda _: None)
    assert {one.status for one in again} == {"skipped"}


@pytest.mark.slow
def test_a_changed_file_or_plan_is_counted_again(folder: Path, tmp_path: Path) -> None:
    table, plan = planned(folder)
    out = str(tmp_path / "index")
    tasks = [PairIndexTask(path, out, plan) for path in table.paths]
    build_pair_index(tasks, one_thread, lambda _: None)
    pairs.pq.write_table(pairs.datacomp(10, seed=9), folder / "part_1.parquet")
    done = build_pair_index(tasks, one_thread, lambda _: None)
    assert [one.status for one in done] == ["skipped", "counted", "skipped"]
    assert open_pair_index(out).tally.rows == 4010
    other = plan_of(table, table.scores)
    tasks = [PairIndexTask(path, out, other) for path in table.paths]
    done = build_pair_index(tasks, one_thread, lambda _: None)
    assert {one.status for one in done} == {"counted"}


def test_a_file_that_cannot_be_read_is_named_by_the_index(folder: Path, tmp_path: Path) -> None:
    table, plan = planned(folder)
    out = str(tmp_path / "index")
    (folder / "part_2.parquet").write_bytes(b"PAR1")
    done = build_pair_index([PairIndexTask(p, out, plan) for p in table.paths], one_thread, print)
    assert [one.status for one in done] == ["counted", "counted", "failed"]
    (error,) = open_pair_index(out).tally.errors
    assert "part_2.parquet: damaged" in error


def test_a_damaged_index_is_refused(folder: Path, tmp_path: Path) -> None:
    table, plan = planned(folder)
    out = tmp_path / "index"
    build_pair_index([PairIndexTask(table.paths[0], str(out), plan)], one_thread, print)
    (out / "total.npz").write_bytes(b"PK\3\4")
    with pytest.raises(ShardError, match="damaged; run mmc4viz index again"):
        open_pair_index(str(out))


def test_an_index_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    table, plan = planned(folder)
    (tmp_path / "file").write_text("")
    tasks = [PairIndexTask(table.paths[0], str(tmp_path / "file"), plan)]
    with pytest.raises(IndexFileError, match="cannot be created"):
        build_pair_index(tasks, one_thread, print)
