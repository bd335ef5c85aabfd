"""The sample: where it is, and the command that writes it to a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmc4viz.data import index as naming
from mmc4viz.data.index import SAMPLE_MODEL, UNKNOWN, model_of_shards, sample_folder
from tests.cli.test_cli import Run

SAMPLE = Path(__file__).parents[2] / "sample_data"


def test_a_checkout_has_it_beside_the_package() -> None:
    assert sample_folder() == SAMPLE


@pytest.mark.parametrize("place", ["site/mmc4viz/sample_data", "site/sample_data"])
def test_a_wheel_has_it_in_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    here = tmp_path / "site" / "mmc4viz" / "data" / "index.py"
    monkeypatch.setattr(naming, "__file__", str(here))
    assert sample_folder() is None
    (folder / "sample-0000.tar").touch()
    assert naming.sample_folder() == folder


def test_it_is_written_whole_and_known_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "sample"
    run = Run(capsys, "sample", out)
    assert (run.code, run.err) == (0, "")
    written = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert run.out == f"{out}: {len(written)} files written, 12.7 MB\n"
    for path in written:
        assert (out / path).read_bytes() == (SAMPLE / path).read_bytes()
    assert {path.suffix for path in written} == {".json", ".md", ".onnx", ".parquet", ".tar"}
    shards = [str(path) for path in sorted(out.glob("*.tar"))]
    assert model_of_shards(shards) == SAMPLE_MODEL
    with open(shards[0], "ab") as file:
        file.write(b"\0")
    assert model_of_shards(shards) == UNKNOWN


def test_files_that_are_there_stay_unless_they_are_to_be_replaced(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own, other = tmp_path / "README.md", tmp_path / "notes.txt"
    own.write_text("mine")
    other.write_text("mine")
    refused = Run(capsys, "sample", tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"mmc4viz: {own}: exists; replace it with --overwrite\n"
    assert sorted(tmp_path.iterdir()) == [own, other]
    assert Run(capsys, "sample", tmp_path, "--overwrite").code == 0
    assert own.read_bytes() == (SAMPLE / "README.md").read_bytes()
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        (str(SAMPLE), "is the sample itself; choose another folder"),
        ("s3://bucket/sample", "the sample is written to local folders only"),
        (str(SAMPLE / "README.md" / "x"), "Not a directory"),
    ],
)
def test_a_folder_that_it_cannot_go_to_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: str, reason: str
) -> None:
    run = Run(capsys, "sample", folder)
    assert (run.code, run.out) == (2, "")
    assert run.err.endswith(f"{reason}\n")
    assert run.err.startswith(f"mmc4viz: {folder}: ") and run.err.count("\n") == 1
