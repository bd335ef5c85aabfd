"""Tables on an object store, and tables counted on a Dask cluster, are as local ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mmc4viz.cli import main
from tests.support import pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pairs.write(pairs.datacomp(3000), tmp_path / "table", 3, 500)


@pytest.fixture
def far(folder: Path, tmp_path: Path) -> Iterator[str]:
    """Copy the table to an object store."""
    store, place = fsspec.filesystem("memory"), f"/{tmp_path.name}"
    for path in folder.iterdir():
        store.pipe(f"{place}/table/{path.name}", path.read_bytes())
    yield f"memory://{place}"
    store.rm(place, recursive=True)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command, which must succeed; return what it prints."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    found = capsys.readouterr()
    assert not stopped.value.code, found.err
    return found.out


@pytest.mark.slow
def test_a_table_on_a_store_gives_what_the_local_one_gives(
    capsys: pytest.CaptureFixture[str], folder: Path, far: str, tmp_path: Path
) -> None:
    for words in (
        ["curve", "--thresholds", "0.2,0.2501"],
        ["curve", "--score", "b32", "--and", "l14", "--thresholds", "0.25"],
        ["suggest", "--keep", "pairs=30%", "--fraction", "0.3"],
    ):
        local = run(capsys, words[0], folder, *words[1:])
        for remote in (
            f"{far}/table",
            f"{far}/table/part_{{0..2}}.parquet",
            f"{far}/table/*.parquet",
        ):
            assert run(capsys, words[0], remote, *words[1:]) == local
    explain = ["--score", "b32", "--threshold", "0.25", "--near", "4", "--format", "jsonl"]
    shown: list[list[dict[str, Any]]] = [
        [json.loads(line) for line in run(capsys, "explain", path, *explain).splitlines()]
        for path in (folder, f"{far}/table")
    ]
    assert [row["file"] for row in shown[1]] == [
        row["file"].replace(str(folder), f"{far}/table") for row in shown[0]
    ]
    assert [row | {"file": ""} for row in shown[1]] == [row | {"file": ""} for row in shown[0]]
    for path, name in ((folder, "a"), (f"{far}/table", "b")):
        out = ["--ids", tmp_path / f"{name}.npy", "--manifest", tmp_path / f"{name}.csv"]
        run(capsys, "export", path, "--score", "b32", "--threshold", "0.25", *out)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    rows = [(tmp_path / f"{name}.csv").read_text().splitlines() for name in "ab"]
    assert [row.replace(str(folder), f"{far}/table") for row in rows[0]] == rows[1]


def test_an_index_on_a_store_is_resumed_and_read(
    capsys: pytest.CaptureFixture[str], folder: Path, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmc4viz.cli.pairs.run.processes", ThreadPoolExecutor)  # share the store
    index = ["index", f"{far}/table", "--out", f"{far}/index", "--workers", "1"]
    assert "counted" in run(capsys, *index)
    assert "skipped" in run(capsys, *index)
    local = run(capsys, "curve", folder, "--thresholds", "0.25")
    assert run(capsys, "curve", "--index", f"{far}/index", "--thresholds", "0.25") == local


@pytest.mark.slow
def test_a_cluster_counts_the_same(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        scheduler = ["--scheduler", cluster.scheduler_address]
        run(capsys, "index", folder, "--out", tmp_path / "there", *scheduler)
    run(capsys, "index", folder, "--out", tmp_path / "here")
    told = [
        run(capsys, "curve", "--index", tmp_path / name, "--sum", "l14", "--thresholds", "0.4,0.5")
        for name in ("here", "there")
    ]
    assert told[0] == told[1]
