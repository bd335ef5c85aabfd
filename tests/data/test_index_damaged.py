"""Damaged files give the correct result, or a one-line error that names the file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.clip.parts import metadata_of, write_whole
from mmc4viz.data.build_index import attach
from mmc4viz.data.index import open_index
from mmc4viz.data.similarity_file import open_similarity_file
from mmc4viz.types import ShardError
from tests.data.test_index import index
from tests.data.test_similarity_file import odd_shards
from tests.support.damage import damaged
from tests.support.slowly import slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an index with a score set, and its similarity file."""
    folder = tmp_path_factory.mktemp("damage")
    shards, _, sidecar = odd_shards(folder, 10)
    table = pq.read_table(sidecar)
    write_whole(folder / "b.parquet", [table.replace_schema_metadata()], {}, {"clip_model": "far"})
    sidecar.unlink()
    index(shards, folder / "index")
    attach(str(folder / "index"), "b", str(folder / "b.parquet"), lambda _: None)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "times"), [(0, 240), *slow((1, 2000))])
def test_a_damaged_file_gives_no_wrong_result(corpus: Path, seed: int, times: int) -> None:
    kinds = ".arrow,.json,.parquet"
    command = [
        sys.executable,
        "-m",
        "tests.support.damage",
        str(corpus),
        str(seed),
        str(times),
        kinds,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]
    *wrong, noticed = done.stdout.splitlines()
    assert not wrong, f"{len(wrong)} wrong answers, such as {wrong[:9]}"
    assert int(noticed.split()[0]) > times / 2


def test_a_damaged_score_file_has_no_metadata(tmp_path: Path) -> None:
    """So a damaged part is made again, and an intact one is reused."""
    path, chance = tmp_path / "part.parquet", random.Random(3)
    rows = {
        "shard": ["a.tar"] * 40,
        "key": [str(n) for n in range(40)],
        "images": [1] * 40,
        "sentences": [3] * 40,
        "values": [[n / 7, 0.5, float("nan")] for n in range(40)],
    }
    write_whole(path, [pa.table(rows)], {"made_from": {"a": 1}}, {"clip_model": "m"})
    raw, facts, lost = path.read_bytes(), metadata_of(path), 0
    assert facts["made_from"] == {"a": 1}
    for _ in range(300):
        path.write_bytes(damaged(raw, chance))
        found = metadata_of(path)
        assert found in ({}, facts)
        lost += not found
    assert lost > 150


def test_an_index_that_is_read_into_memory_outlives_its_files(corpus: Path) -> None:
    """A mapped one would crash the process."""
    folder = Path(shutil.copytree(corpus / "index", corpus / "copy"))
    index = open_index(str(folder), similarity="b")
    paths = list(folder.rglob("*.arrow"))
    assert paths
    for path in paths:
        os.truncate(path, 0)
    again = open_index(str(corpus / "index"), similarity="b")
    for one, other in zip(index.columns, again.columns, strict=True):
        assert pa.table({"a": one.batch.column("url")}) == pa.table(
            {"a": other.batch.column("url")}
        )
        assert one.values("similarity").tobytes() == other.values("similarity").tobytes()
    shutil.rmtree(folder)


@pytest.mark.slow
def test_no_bit_of_a_similarity_files_footer_matters_unnoticed(corpus: Path) -> None:
    """One at a time: matrices of each shard and their number are read, or the file is refused."""
    raw = (corpus / "b.parquet").read_bytes()
    path, right = corpus / "flipped.parquet", _matrices(corpus / "b.parquet")
    start = len(raw) - int.from_bytes(raw[-8:-4], "little") - 8
    for bit in range(start * 8, len(raw) * 8, 7):
        flipped = bytes([raw[bit // 8] ^ 1 << bit % 8])
        path.write_bytes(raw[: bit // 8] + flipped + raw[bit // 8 + 1 :])
        try:
            assert _matrices(path) == right, bit
        except ShardError:
            continue


def _matrices(path: Path) -> tuple[int, list[str]]:
    """Return the number of a similarity file's matrices, and those of each shard."""
    file = open_similarity_file(str(path))
    return file.n_documents, [
        repr(file.rows_of([name]).to_pylist()) for name in sorted(file.groups)
    ]
