"""Damaged files: no answer but the right one, or one line that names the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmc4viz.choice.scoring.score_files import write_whole
from mmc4viz.corpus.attach import attach
from tests.test_index import index
from tests.test_similarity_sets import odd_shards


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an index with a set, and the score file of it as we write them."""
    folder = tmp_path_factory.mktemp("damage")
    shards, _, sidecar = odd_shards(folder, 10)
    table = pq.read_table(sidecar)
    write_whole(folder / "b.parquet", [table.replace_schema_metadata()], {}, {"clip_model": "far"})
    sidecar.unlink()
    index(shards, folder / "index")
    attach(str(folder / "index"), "b", str(folder / "b.parquet"), lambda _: None)
    return folder


@pytest.mark.parametrize(
    ("seed", "times"), [(0, 240), *(pytest.param(n, 3000, marks=pytest.mark.slow) for n in (1, 2))]
)
def test_a_damaged_file_gives_no_other_answer(corpus: Path, seed: int, times: int) -> None:
    kinds = ".arrow,.json,.parquet"
    command = [sys.executable, "-m", "tests.damage", str(corpus), str(seed), str(times), kinds]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]
    *wrong, noticed = done.stdout.splitlines()
    assert not wrong, f"{len(wrong)} wrong answers, such as {wrong[:9]}"
    assert int(noticed.split()[0]) > times / 2
