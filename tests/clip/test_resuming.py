"""A run that is killed goes on within a shard; what it keeps besides scores; several workers."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz import ConfigError, expand
from mmc4viz.cli import main, pace
from mmc4viz.clip import document_scores, parts
from mmc4viz.clip.models import ModelChoice, open_encoder
from mmc4viz.clip.onnx_encoder import OnnxEncoder
from mmc4viz.clip.score import Advance, ScoreTask, score_shards
from mmc4viz.data.shards import Shard
from tests.support import nasty

MODEL = Path(__file__).parents[2] / "sample_data" / "encoders" / "sample-b"
CHOICE = ModelChoice(str(MODEL), "cpu")
KILLED = """
import os, signal, sys
from mmc4viz.clip import document_scores, parts, row_groups
from mmc4viz.cli import main

document_scores._BLOCK, parts._EVERY = 8, 0.0
left = int(sys.argv[1])
place = row_groups.put_in_place

def placed(*arguments):
    global left
    place(*arguments)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

row_groups.put_in_place = placed
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    found = open_encoder(CHOICE)
    assert isinstance(found, OnnxEncoder)
    return found


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Shard]:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(2):
        documents = nasty.documents(seed=40 + number, n=40)
        nasty.write_tar(folder / f"n-{number}.tar", documents, random.Random(number))
    return expand([str(folder)])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_scores, "_BLOCK", 8)


def task_in(folder: Path, **how: Any) -> ScoreTask:
    names = {n: str(folder / f"{n}.parquet") for n in ("out", "decoys", "embeddings")}
    return ScoreTask(**{**names, **how})


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(
    shards: list[Shard], encoder: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_scores, "_BLOCK", 8)
        done = score_shards(shards, encoder, task_in(folder))
    assert [part.status for part in done] == ["scored", "scored"]
    return folder


@pytest.mark.slow
def test_a_run_killed_again_and_again_comes_to_an_end(
    shards: list[Shard], whole: Path, tmp_path: Path
) -> None:
    """Every run writes at most six files, of which the last may be half a pair."""
    arguments = ["score", *(shard.path for shard in shards), "--model", str(MODEL)]
    for name in ("out", "decoys", "embeddings"):
        arguments += [f"--{name}", str(tmp_path / f"{name}.parquet")]
    command = [sys.executable, "-c", KILLED, "6", *arguments, "--provider", "cpu"]
    runs = [subprocess.run(command, capture_output=True).returncode]
    while runs[-1] < 0 and len(runs) < 12:
        runs.append(subprocess.run(command, capture_output=True).returncode)
    assert (runs[-1], len(runs) > 3) == (0, True)
    assert bytes_in(tmp_path) == bytes_in(whole)


@pytest.mark.parametrize("damage", ["none", "scores", "embeddings"])
def test_only_what_is_missing_is_scored(
    monkeypatch: pytest.MonkeyPatch,
    shards: list[Shard],
    encoder: OnnxEncoder,
    whole: Path,
    tmp_path: Path,
    damage: str,
) -> None:
    monkeypatch.setattr(parts, "_EVERY", 0.0)
    left = 2

    def stop(step: Advance) -> None:
        nonlocal left
        left -= bool(step.documents)
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_shards(shards, encoder, task_in(tmp_path), stop)
    pieces = sorted((tmp_path / "out.parquet.parts").glob("*.parquet.0*"))
    second = [path for path in pieces if path.name.removesuffix(".embeddings").endswith("00008")]
    if damage != "none":
        [path] = [p for p in second if p.name.endswith(".embeddings") == (damage == "embeddings")]
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 3] ^= 1
        path.write_bytes(raw)
    seen: list[Advance] = []
    done = score_shards(shards, encoder, task_in(tmp_path), seen.append)
    documents = sum(part.documents for part in done)
    before = 24 if damage == "none" else 8
    assert sum(step.documents for step in seen) == documents - before
    assert sum(step.skipped for step in seen) > 0
    sizes = sum(Path(shard.path).stat().st_size for shard in shards)
    assert sum(step.skipped + step.n_bytes for step in seen) == sizes
    assert bytes_in(tmp_path) == bytes_in(whole)


def test_embeddings_are_the_model_s_in_half_precision(
    shards: list[Shard], encoder: OnnxEncoder, whole: Path
) -> None:
    """Their products are the scores, and what has no embedding is null."""
    rows = pq.read_table(whole / "embeddings.parquet").to_pylist()
    scores = pq.read_table(whole / "out.parquet").to_pylist()
    at, compared, missing = 0, 0, 0
    for row in scores:
        n = row["images"] + row["sentences"]
        some, at = rows[at : at + n], at + n
        assert all((r["shard"], r["key"]) == (row["shard"], row["key"]) for r in some)
        kinds = [(r["kind"], r["place"]) for r in some]
        assert kinds == [
            *(("image", place) for place in range(row["images"])),
            *(("sentence", place) for place in range(row["sentences"])),
        ]
        lacking = [np.nan] * encoder.dimension
        vectors = np.array([r["embedding"] or lacking for r in some], np.float64).reshape(n, -1)
        images, sentences = vectors[: row["images"]], vectors[row["images"] :]
        matrix = np.array(row["values"], np.float64).reshape(row["images"], row["sentences"])
        if n:
            np.testing.assert_allclose(images @ sentences.T, matrix, rtol=0, atol=2e-3)
        compared += matrix.size
        missing += int(np.isnan(images[:, :1]).sum())
    assert at == len(rows)
    assert (compared > 100, missing > 3) == (True, True)
    schema = pq.read_schema(whole / "embeddings.parquet")
    kind = schema.field("embedding").type
    assert (kind.value_type, kind.list_size) == (pa.float16(), encoder.dimension)
    assert (schema.metadata or {})[b"clip_model"] == b"sample-b"


@pytest.mark.slow
def test_embeddings_in_a_folder_are_those_of_the_file(
    shards: list[Shard], encoder: OnnxEncoder, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "embeddings"
    task = task_in(tmp_path, embeddings=str(folder))
    score_shards(shards, encoder, task)
    files = sorted(folder.iterdir())
    assert [path.name[:8] for path in files] == ["n-0.tar-", "n-1.tar-"]
    found = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert str(found) == str(pq.read_table(whole / "embeddings.parquet").to_pylist())
    assert [p.status for p in score_shards(shards, encoder, task)] == ["skipped"] * 2
    files[0].write_bytes(b"")
    assert [p.status for p in score_shards(shards, encoder, task)] == ["scored"] * 2
    assert pq.read_table(files[0]).num_rows


@pytest.mark.slow
def test_embeddings_can_be_asked_for_later(
    shards: list[Shard], encoder: OnnxEncoder, whole: Path, tmp_path: Path
) -> None:
    score_shards(shards, encoder, task_in(tmp_path, embeddings=None))
    assert [p.status for p in score_shards(shards, encoder, task_in(tmp_path))] == ["scored"] * 2
    assert bytes_in(tmp_path) == bytes_in(whole)


def test_places_of_embeddings_that_cannot_be(
    shards: list[Shard], encoder: OnnxEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="must be different files"):
        score_shards(shards, encoder, ScoreTask("a.parquet", embeddings="./a.parquet"))
    with pytest.raises(ConfigError, match="not a local path"):
        score_shards(shards, encoder, ScoreTask("a.parquet", embeddings="s3://bucket/e"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be created"):
        score_shards(shards, encoder, task_in(tmp_path, embeddings=str(tmp_path / "file")))


@pytest.mark.slow
def test_workers_write_the_same_bytes(
    shards: list[Shard], encoder: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers have blocks of the usual size, as they are other processes."""
    monkeypatch.undo()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    seen: list[Advance] = []
    one = score_shards(shards, encoder, task_in(tmp_path / "one"))
    two = score_shards(shards, encoder, task_in(tmp_path / "two"), seen.append, 2, CHOICE)
    assert one == two
    assert bytes_in(tmp_path / "one") == bytes_in(tmp_path / "two")
    assert sum(step.images for step in seen) == sum(part.images for part in two)


def test_the_pace_is_told(
    shards: list[Shard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pace, "_EVERY", -1.0)
    places = ["--out", str(tmp_path / "b.parquet"), "--embeddings", str(tmp_path / "e")]
    with pytest.raises(SystemExit) as end:
        main(["score", shards[0].path, "--model", str(MODEL), "--provider", "cpu", *places])
    assert end.value.code in (0, None)
    lines = [line for line in capsys.readouterr().err.splitlines() if "images/s" in line]
    assert len(lines) > 2
    assert all(" left" in line for line in lines[:-1])
    assert " in " in lines[-1]
