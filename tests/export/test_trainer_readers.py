"""What trainers' own readers yield from an export is exactly what the settings choose.

Each reader runs in an environment of its own, since not all of them can be installed together with
mmc4viz. ``MMC4VIZ_READERS=DIR`` says where these are (``DIR/energon``, ``DIR/hf``, ``DIR/mds``) and
makes them required; without it, the tests are skipped.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmc4viz import LoaderConfig
from mmc4viz.cli import main
from mmc4viz.export.trainers.mds import IMAGES_OF
from mmc4viz.text import storable
from tests.support import real
from tests.support.documents import chatgpt, info, write_tar
from tests.support.training_rows import ExpectedRow, expected_rows

READERS = os.environ.get("MMC4VIZ_READERS")
SCRIPTS = Path(__file__).parents[1] / "support" / "readers"
SETTINGS = [["--threshold", "0.24"], ["--threshold", "0.15", "--assignment", "argmax"]]
CONFIGS = [LoaderConfig(), LoaderConfig(threshold=0.15, assignment="argmax")]

pytestmark = pytest.mark.skipif(READERS is None, reason="MMC4VIZ_READERS is not set")


def read(reader: str, *arguments: str | Path) -> list[list[Any]]:
    """Run a reader; return its lines of JSON, without what its libraries print."""
    python = Path(str(READERS)) / reader / "bin" / "python"
    command = [str(python), str(SCRIPTS / f"read_{reader}.py"), *map(str, arguments)]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    offline = plain | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=offline, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def export(*words: str | Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, words), "--workers", "2"])
    assert not ended.value.code


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return shards: the sample, the real documents, and some odd ones."""
    folder = tmp_path_factory.mktemp("shards")
    paths = [Path(shutil.copy(f"sample_data/sample-000{n}.tar", folder)) for n in range(2)]
    odd = [
        ("a{b,c}", info([[0.9, 0], [0, 0.8]], ["", "\udcff <image> é"])),
        ("two/d", info([[0.9, 0.1], [0.8, 0.1]])),
        ("g", chatgpt("a _!_IMAGE1_!_ b", 1)),
        ("none{", info([[0.01, 0.01]])),
        ("e,f", info([[0.9, 0.7, 0]], ["x", "", "\n"])),
    ]
    return [*paths, real.shard(folder), write_tar(folder / "test-odd.tar", odd)]


def pixels(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def raw(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def aligned(row: ExpectedRow, digest: Any) -> list[Any]:
    images = [digest(p) if isinstance(p, bytes) else None for p in row.sequence]
    texts = [None if isinstance(p, bytes) else storable(p) for p in row.sequence]
    return [row.shard, storable(row.key), images, texts, row.probability]


@pytest.mark.parametrize("number", range(len(SETTINGS)))
@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_datasets(
    tmp_path: Path, shards: list[Path], number: int, streaming: bool
) -> None:
    export(*shards, "--for", "hf", "--out", tmp_path / "out", *SETTINGS[number])
    found = read("hf", tmp_path / "out", *["streaming"] * streaming)
    wanted = [
        aligned(row, pixels) for path in shards for row in expected_rows(path, CONFIGS[number])
    ]
    assert sorted(found) == sorted(wanted) and len(wanted) > 200


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_mosaicml_streaming(tmp_path: Path, shards: list[Path], number: int) -> None:
    export(*shards, "--for", "mds", "--out", tmp_path / "out", *SETTINGS[number])
    (tmp_path / "mds_code.py").write_text(IMAGES_OF)
    found = read("mds", tmp_path / "out", tmp_path)
    wanted = [aligned(row, raw) for path in shards for row in expected_rows(path, CONFIGS[number])]
    assert found == wanted and len(wanted) > 200


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_megatron_energon(tmp_path: Path, shards: list[Path], number: int) -> None:
    for path in shards:
        shutil.copy(path, tmp_path)
    before = {path.name: (tmp_path / path.name).read_bytes() for path in shards}
    export(tmp_path, "--for", "energon", "--out", tmp_path, *SETTINGS[number])
    energon = Path(str(READERS)) / "energon" / "bin" / "energon"
    subprocess.run(
        [energon, "prepare", "--tar-index-only", tmp_path], check=True, capture_output=True
    )
    found = read("energon", tmp_path)
    wanted = [
        [[row.key], [[pixels(p)] if isinstance(p, bytes) else p for p in row.sequence]]
        for path in shards
        for row in expected_rows(path, CONFIGS[number])
    ]
    assert sorted(found, key=str) == sorted(wanted, key=str) and len(wanted) > 200
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_readers_are_where_they_are_said_to_be() -> None:
    assert sys.executable and all(
        (Path(str(READERS)) / n).is_dir() for n in ("energon", "hf", "mds")
    )
