"""Files that are not MMC4 shards are described in one line; others are read as usual."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz import ShardError, samples
from mmc4viz.cli import main
from mmc4viz.data.recognise import READ
from mmc4viz.data.shards import Shard
from tests.support.documents import entry, info, jpeg, write_tar

PAIR = {"caption": "A boat.", "url": "http://example.org/a.jpg", "key": "0", "status": "success"}
OBELICS = {"images": [None, "http://example.org/a.jpg"], "texts": ["A boat.", None]}
WEB = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def pairs(with_json: bool = True) -> bytes:
    members = {}
    for n in range(3):
        members[f"{n:09}.jpg"], members[f"{n:09}.txt"] = jpeg(), b"A boat."
        if with_json:
            members[f"{n:09}.json"] = json.dumps(PAIR).encode()
    return tar(members)


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(**columns: list[Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


MMC4 = info([[0.5]], images=[entry()])
CASES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "img2dataset": ("0.tar", pairs, "image–text pairs as written by img2dataset"),
    "pairs without JSON": ("0.tar", lambda: pairs(False), "images, without documents"),
    "packed pairs": ("0.tar.gz", lambda: gzip.compress(pairs()), "img2dataset"),
    "Parquet": ("0.parquet", lambda: parquet(a=["a"], b=["b"]), "a Parquet table with the columns"),
    "Parquet, called a tar": ("0.tar", lambda: parquet(url=["a"]), "a Parquet file"),
    "Parquet, called lines": ("0.jsonl", lambda: parquet(url=["a"]), "a Parquet file"),
    "indented document": ("0.jsonl", lambda: json.dumps(MMC4, indent=1).encode(), "over several"),
    "tar, called lines": ("0.jsonl", pairs, "a tar: its name must end in .tar"),
    "zip, called a tar": ("0.tar", lambda: zipped({"0.jsonl": lines(MMC4)}), "a zip"),
    "zip of images": ("0.zip", lambda: zipped({"0.jpg": jpeg(), "1.jpg": jpeg()}), "an image"),
    "pickle": ("0.pkl", lambda: pickle.dumps([MMC4]), "a Python pickle"),
    "CSV": ("0.csv", lambda: b"url,caption\nhttp://a,b\n", "CSV or TSV"),
    "TSV, called lines": ("0.jsonl", lambda: b"A boat.\thttp://example.org/a.jpg\n", "CSV or TSV"),
    "safetensors": ("0.safetensors", lambda: b"\x20" + bytes(7) + b'{"a": {}}', "safetensors"),
    "web page": ("0.tar", lambda: WEB, "a web page"),
    "web page, called lines": ("0.jsonl", lambda: WEB, "a web page"),
    "LFS pointer": ("0.tar", lambda: POINTER, "a Git LFS pointer"),
    "LFS pointer, called lines": ("0.jsonl", lambda: POINTER, "a Git LFS pointer"),
    "image": ("0.tar", jpeg, "an image"),
    "zstd": ("0.tar.zst", lambda: b"\x28\xb5\x2f\xfd" + bytes(9), "zstd-compressed"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_another_format_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    file, make, words = CASES[name]
    path = tmp_path / file
    path.write_bytes(make())
    with pytest.raises(ShardError) as error:
        list(samples(Shard(str(path))))
    message = str(error.value)
    assert message.startswith(f"{path}: looks like ")
    assert words in message
    assert message.endswith(READ)
    assert "\n" not in message


@pytest.mark.parametrize("name", ["0.jsonl", "0.jsonl.gz", "0.zip", "0.tar", "0.tar.gz"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    empty = gzip.compress(b"") if name.endswith("gz") else zipped({"0.jsonl": b""})
    path.write_bytes(b"" if name.count(".") == 1 and name != "0.zip" else empty)
    with pytest.raises(ShardError, match="the file is empty"):
        list(samples(Shard(str(path))))


@pytest.mark.parametrize(
    "documents",
    [
        [OBELICS, MMC4],
        [{}, {"url": "http://example.org"}],
        [PAIR, {"text_list": []}],
        [OBELICS] * 19 + [MMC4],
        [b"[", b"1, 2", b"{"],
        [PAIR, [1]],
        [b"\0" * 20, b"url"],
        [{"is_gpt": 1, "images": [], "texts": []}],
    ],
)
def test_possible_mmc4_shards_are_read(tmp_path: Path, documents: list[Any]) -> None:
    raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in documents]
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(one + b"\n" for one in raw))
    packed = write_tar(tmp_path / "s.tar", [(f"{n}", one) for n, one in enumerate(raw)])
    assert [sample.raw for sample in samples(Shard(str(path)))] == [one + b"\n" for one in raw]
    assert [sample.raw for sample in samples(Shard(str(packed)))] == raw


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    "command",
    [
        ["explain"],
        ["curve", "--grid", "0.2:0.3:0.1"],
        ["curve", "--sample", "10"],
        ["suggest", "--keep", "documents=50%"],
        ["compare", "--models", "own", "--models", "x"],
        ["export", "--out", "c.yaml"],
    ],
)
def test_commands_refuse_it_in_one_line(
    tmp_path: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(lines({"id": "0", "conversations": []}))
    assert run(command[0], tmp_path / "a.jsonl", tmp_path / "b.jsonl", *command[1:]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    if command[0] != "compare":  # which asks for its models before it reads
        assert "conversations" in found.err
        assert "1 more shard" in found.err
    assert len(found.err.splitlines()) == 1
    assert not (tmp_path / "c.yaml").exists()


def test_a_shard_of_another_kind_does_not_keep_the_others_from_being_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tar").write_bytes(pairs())
    write_tar(tmp_path / "b.tar", [("k", info([[0.9]]))])
    assert run("explain", tmp_path) == 2
    found = capsys.readouterr()
    assert "kept" in found.out
    assert "img2dataset" in found.err


def test_it_is_noted_when_every_document_is_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = write_tar(tmp_path / "a.tar", [("k", b"{}"), ("l", b"junk")])
    for command in (["explain", junk], ["curve", junk, "--grid", "0.2:0.3:0.1"]):
        assert run(*command) == 0
        assert "every document is unreadable" in capsys.readouterr().err
    write_tar(tmp_path / "b.tar", [("k", info([[0.9]]))])
    assert run("explain", tmp_path) == 0
    assert "every document" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["0.jsonl", "0.json", "0.jsonl.gz", "0.csv", "0.tsv.gz"])
def test_utf_16_is_named_with_how_to_convert_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, encoding: str
) -> None:
    row = {"text_list": ["a"], "image_info": [], "similarity_matrix": []}
    text = {
        "0.jsonl": f"{json.dumps(row)}\n" * 2,
        "0.json": json.dumps([row]),
        "0.csv": "URL,TEXT,similarity\nhttp://a,b,0.3\n",
        "0.tsv": "URL\tTEXT\tsimilarity\nhttp://a\tb\t0.3\n",
    }[name.removesuffix(".gz")]
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(text.encode(encoding)))
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(SystemExit):
            main(["curve", str(path), "--thresholds", "0.2"])
        said = capsys.readouterr().err
        assert "looks like UTF-16 text: convert it to UTF-8 (iconv -f UTF-16" in said
        assert len(said.splitlines()) == 1
