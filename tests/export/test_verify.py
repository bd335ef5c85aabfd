"""A config is verified wherever the corpus lies; what differs in contents is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mmc4viz.config_file import parse_config
from mmc4viz.data.columns import Columns
from mmc4viz.data.index import open_index
from mmc4viz.data.storage import fingerprint
from mmc4viz.export.contents import Contents
from mmc4viz.export.provenance import ShardFacts, corpus_of_index
from mmc4viz.export.verify import checks, differences
from mmc4viz.loader.profile import OPENFLAMINGO
from mmc4viz.thresholds.labels import store
from tests.cli.test_cli import Run
from tests.export.test_manifest import NOW, some_basics, some_yields
from tests.thresholds.test_compare import SAMPLE, label_file


def copied(folder: Path) -> Path:
    """Copy the sample's shards, written at another time."""
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(SAMPLE.glob("*.tar"))):
        shutil.copyfile(path, folder / path.name)
        os.utime(folder / path.name, (number + 1, number + 1))
    return folder


def flip(shard: Path) -> None:
    """Change one byte within an image, outside of the pieces that a fingerprint samples."""
    with tarfile.open(shard) as tar:
        member = next(one for one in tar if one.offset_data > 100_000)
        file = tar.extractfile(member)
        assert file is not None
        raw = file.read()
    at = member.offset_data + raw.index(b'"image_base64"') + 3000
    with shard.open("r+b") as whole:
        whole.seek(at)
        [old] = whole.read(1)
        whole.seek(at)
        whole.write(b"A" if old != ord("A") else b"B")


def exported(capsys: pytest.CaptureFixture[str], out: Path, *arguments: Any) -> dict[str, Any]:
    run = Run(capsys, "export", *arguments, "--out", out)
    assert (run.code, run.noted) == (0, "")
    return parse_config(out.read_bytes(), out.name).provenance


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [False, True])
def test_a_copy_elsewhere_is_the_same_corpus(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, indexed: bool
) -> None:
    here, there, config = copied(tmp_path / "a" / "b"), copied(tmp_path / "c"), tmp_path / "c.yaml"
    source: list[Any] = [here]
    if indexed:
        Run(capsys, "index", here, "--out", tmp_path / "ix", "--workers", "1")
        source = ["--index", tmp_path / "ix"]
    found = exported(capsys, config, *source)
    shards = found["corpus"]["shards"]
    assert [one["path"] for one in shards] == ["sample-0000.tar", "sample-0001.tar"]
    wanted = [sha256(path.read_bytes()).hexdigest() for path in sorted(here.iterdir())]
    assert [one["sha256"] for one in shards] == wanted
    shutil.rmtree(tmp_path / "a")
    run = Run(capsys, "verify", config, there)
    assert (run.code, run.err) == (0, "")
    assert "shards" in run.out and "same, by SHA-256 of all bytes" in run.out
    assert "differs" not in run.out


@pytest.mark.slow
def test_a_byte_in_an_image_that_changed_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config, there = tmp_path / "c.yaml", copied(tmp_path / "there")
    exported(capsys, config, SAMPLE)
    pieces = fingerprint(str(there / "sample-0001.tar")).split(":")[2]
    flip(there / "sample-0001.tar")
    assert fingerprint(str(there / "sample-0001.tar")).split(":")[2] == pieces  # not in a piece
    run = Run(capsys, "verify", config, there)
    assert run.code == 1
    [line] = [line for line in run.out.splitlines() if line.startswith("shards changed")]
    assert line.split() == ["shards", "changed", "1", "–", "sample-0001.tar"]
    assert "1 same, by SHA-256 of all bytes" in run.out
    assert "shards" in run.err.splitlines()[-1]
    Run(capsys, "index", there, "--out", tmp_path / "ix", "--workers", "1")
    by_index = Run(capsys, "verify", config, "--index", tmp_path / "ix")
    assert by_index.code == 1 and line in by_index.out


def test_missing_and_added_shards_are_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config, there = tmp_path / "c.yaml", copied(tmp_path / "there")
    exported(capsys, config, there)
    (there / "sample-0001.tar").rename(there / "other.tar")
    run = Run(capsys, "verify", config, there)
    lines = [line.split() for line in run.out.splitlines() if line.startswith("shards ")]
    assert run.code == 1
    assert ["shards", "missing", "1", "–", "sample-0001.tar"] in lines
    assert ["shards", "added", "–", "1", "other.tar"] in lines


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [False, True])
def test_no_file_says_where_the_corpus_lies(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, indexed: bool
) -> None:
    here = copied(tmp_path / "private" / "corpus")
    labels = label_file(tmp_path / "private", 100, 0)
    shutil.copy(SAMPLE / "similarity_b.parquet", here)
    (here / "similarity_broken.parquet").write_text("no Parquet")
    source: list[Any] = [here / "sample-0000.tar", here / "sample-0001.tar"]
    if indexed:
        Run(capsys, "index", *source, "--out", tmp_path / "private" / "ix", "--workers", "1")
        source = ["--index", tmp_path / "private" / "ix"]
    report, config = tmp_path / "r.html", tmp_path / "c.json"
    outputs = ["--report", report, "--out", config, "--no-images", "--clip-model", "sample-a"]
    assert Run(capsys, "export", *source, "--labels", labels, *outputs).code == 0
    for path in (report, config):
        text = path.read_text()
        assert "sample-0001.tar" in text
        assert "private" not in text
        assert str(Path.home()) not in text
    assert "broken.parquet" in report.read_text() or indexed


@pytest.mark.slow
def test_labels_are_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels, config = label_file(tmp_path, 100, 0), tmp_path / "c.yaml"
    own = ["--clip-model", "sample-a", "--labels", labels]
    found = exported(capsys, config, SAMPLE, *own)["labels"]
    csv = tmp_path / "l.csv"
    Run(capsys, "labels", "export", labels, csv)
    said = subprocess.run(["sha256sum", csv], capture_output=True, text=True, check=True).stdout
    assert found["sha256"] == said.split()[0]
    assert found["file"] == Path(labels).name
    assert 0 < found["precision"]["low"] < found["precision"]["value"] < 1
    assert Run(capsys, "verify", config, SAMPLE, "--labels", labels).code == 0
    without = Run(capsys, "verify", config, SAMPLE)
    assert without.code == 0 and "not compared: add --labels FILE" in without.out
    with store.writing(labels) as connection:
        store.insert(connection, [replace(store.read(labels)[0], person="Bo")])
    run = Run(capsys, "verify", config, SAMPLE, "--labels", labels)
    assert run.code == 1 and run.err.endswith("not the same on this corpus: labels (SHA-256)\n")


@pytest.mark.slow
def test_an_old_config_and_an_old_index_are_compared_as_far_as_possible(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    here, there, config = copied(tmp_path / "a"), copied(tmp_path / "b"), tmp_path / "c.json"
    exported(capsys, config, here)
    old = json.loads(config.read_text())
    made = old["provenance"]
    made["format"] = 1
    del made["loader"]
    shards = sorted(here.glob("*.tar"))
    made["corpus"]["shards"] = [
        {"path": str(path), "fingerprint": f"{path.stat().st_size}:{path.stat().st_mtime_ns}"}
        for path in shards
    ]
    config.write_text(json.dumps(old))
    run = Run(capsys, "verify", config, here)
    assert run.code == 0 and "same, by size and time" in run.out
    for path in there.iterdir():
        os.utime(path, (9, 9))
    run = Run(capsys, "verify", config, there)
    assert run.code == 0
    assert "sample-0000.tar and 1 more: same size, but no digest to compare" in run.out
    [loader] = [line for line in run.out.splitlines() if line.startswith("loader commit")]
    assert loader.endswith("not recorded")
    made["corpus"]["shards"] = [
        {"path": str(path), "fingerprint": fingerprint(str(path))} for path in shards
    ]
    config.write_text(json.dumps(old))
    assert "same, by size and XXH3 of 16 pieces" in Run(capsys, "verify", config, there).out


@pytest.mark.slow
def test_contents_of_an_index_without_sha256(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Columns, "sha256", "")  # as in one of an older version
    Run(capsys, "index", SAMPLE, "--out", tmp_path / "ix", "--workers", "1")
    facts = corpus_of_index(open_index(str(tmp_path / "ix")))
    assert all(one.contents.xxh3_128 and not one.contents.sha256 for one in facts.shards)
    assert all("xxh3_128" in one.contents.record() for one in facts.shards)
    found = exported(capsys, tmp_path / "c.yaml", "--index", tmp_path / "ix")
    assert "xxh3_128" in found["corpus"]["shards"][0]
    monkeypatch.undo()
    Run(capsys, "index", SAMPLE, "--out", tmp_path / "new", "--workers", "1")
    run = Run(capsys, "verify", tmp_path / "c.yaml", "--index", tmp_path / "new")
    assert run.code == 0 and "by XXH3 of all bytes, as the index recorded them" in run.out


def test_a_score_set_keeps_the_digest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Run(capsys, "index", SAMPLE, "--out", tmp_path / "ix", "--workers", "1")
    named = f"b={SAMPLE / 'similarity_b.parquet'}"
    Run(capsys, "index", "--out", tmp_path / "ix", "--similarity", named)
    for name in (None, "b"):
        index = open_index(str(tmp_path / "ix"), similarity=name)
        assert all(len(one.contents.sha256) == 64 for one in corpus_of_index(index).shards)


def test_shards_of_one_name_are_told_apart_by_their_folders() -> None:
    def corpus(*shards: tuple[str, str]) -> tuple[ShardFacts, ...]:
        return tuple(
            ShardFacts("/".join(place.split("/")[-2:]), Contents(1, sha256=its), place=place)
            for place, its in shards
        )

    basics = some_basics()
    before = replace(basics.corpus, shards=corpus(("/x/a/0.tar", "A"), ("/x/b/0.tar", "B")))
    from mmc4viz.export.provenance import provenance

    found = provenance(replace(basics, corpus=before), some_yields(), now=NOW)
    now = replace(basics.corpus, shards=corpus(("/y/b/0.tar", "B"), ("/y/a/0.tar", "A")))
    settings = {"clip_model": "ViT-L/14"}
    assert differences(settings, found, replace(basics, corpus=now)) == []
    swapped = replace(basics.corpus, shards=corpus(("/y/b/0.tar", "A"), ("/y/a/0.tar", "B")))
    [line] = differences(settings, found, replace(basics, corpus=swapped))
    assert "2 shards changed" in line


def test_commit_and_version_inform_only() -> None:
    from mmc4viz.export.provenance import provenance

    basics = some_basics()
    found = provenance(basics, some_yields(), now=NOW)
    found |= {"version": "0.0.1", "loader": {**asdict(OPENFLAMINGO.source), "commit": "f" * 40}}
    said = {one.name: one for one in checks({"clip_model": "ViT-L/14"}, found, basics)}
    assert said["loader commit"].said == said["mmc4viz version"].said == "another one"
    assert said["loader commit"].agrees is said["mmc4viz version"].agrees is None
    assert said["shards"].agrees and said["scores"].agrees and said["tokenizer"].agrees
