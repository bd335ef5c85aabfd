"""Damaged and malicious shards: a one-line error after the intact samples, in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mmc4viz import ShardError, samples
from mmc4viz.apply.tar import members
from mmc4viz.cli import main
from mmc4viz.data.shards import Shard, fetch
from mmc4viz.formats.format import LIMIT, Sample
from tests.support.documents import entry, info, write_tar

SIZE = slice(124, 136)
TYPE = slice(156, 157)


def documents(count: int = 3) -> list[tuple[str, bytes]]:
    return [
        (f"{n}.json", json.dumps(info([[0.5]], [f"Page {n}."], [entry()])).encode())
        for n in range(count)
    ]


def header(
    name: str = "x.json", size: bytes = b"%011o\0" % 0, kind: bytes = b"0", more: bytes = b"\0"
) -> bytes:
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[482:483] = more  # of a sparse file: whether its map goes on
    block[SIZE], block[TYPE] = size.ljust(12, b"\0")[:12], kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def number(value: int) -> bytes:
    """Write a header's number as GNU does where octal digits do not reach."""
    return (b"\x80" if value >= 0 else b"\xff") + value.to_bytes(11, "big", signed=True)


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    padded = records + bytes(-len(records) % 512)
    return header("pax", b"%011o\0" % len(records), kind) + padded


def record(name: bytes, value: bytes) -> bytes:
    body = b" " + name + b"=" + value + b"\n"
    length = len(body)
    while length != len(b"%d" % length) + len(body):
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def sparse(*numbers: object) -> bytes:
    written = b"".join(b"%s\n" % str(n).encode() for n in numbers)
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.realsize", b"1000000000000") + record(
        b"GNU.sparse.name", b"x.json"
    )
    return pax(records) + header(size=b"%011o\0" % 512) + written.ljust(512, b"\0")


CHAIN = header(kind=b"S", more=b"\1")
EXTENDED = b"7" * 504 + b"\1" + bytes(7)
HOSTILE: dict[str, bytes] = {
    "size beyond the file": header(size=number(2**41)),
    "size beyond any file": header(size=number(2**80)),
    "size beyond a file system": header(size=number(2**61)),
    "size beyond a file system, no document": header("x.jpg", number(2**61)),
    "size beyond the file, no document": header("x.jpg", number(2**80)),
    "negative size": header(size=number(-1)),
    "size that leads back": header("x.jpg", number(-1024)) + header("y.jpg", number(-1024)),
    "pax header of any size": header("x", number(2**62), b"x"),
    "pax header of negative size": header("x", number(-5), b"x"),
    "long name of any size": header("x", number(2**62), b"L"),
    "long name of negative size": header("x", number(-600), b"L"),
    "size in pax": pax(record(b"size", b"9" * 300)) + header(),
    "negative size in pax": pax(record(b"size", b"-5")) + header(),
    "size in pax beyond digits": pax(record(b"size", b"9" * 900)) + header(),
    "pax record that lies": pax(b"999999 a=b\n") + header(),
    "pax records in each other": pax(b"3 \n" * 30_000 + b"=") + header(),
    "pax digits": pax(b"1" * 200_000) + header(),
    "pax value of digits": pax(record(b"comment", b"1" * 200_000)) + header(),
    "pax header without a member": pax(record(b"path", b"x.json")),
    "pax headers for all": b"".join(
        pax(record(b"k%d" % n, b"v" * 200_000), b"g") + header("x.jpg") for n in range(4)
    ),
    "pax headers in a row": pax(record(b"a", b"b"), b"g") * 2000 + header(),
    "endless name": pax(record(b"path", b"/" * 9000 + b"a.b" + b"/" * 9000)) + header(),
    "sparse map of words": pax(record(b"GNU.sparse.map", b"a,b")) + header(),
    "sparse version": pax(record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0"))
    + header(size=b"%011o\0" % 512) + b"\0" * 512,
    "sparse map without end": sparse(10**15, *range(30)),
    "sparse chain": CHAIN + EXTENDED * 900,
    "no end mark": header("x.jpg"),
    "no header": b"\xff" * 512,
}  # fmt: skip


def until_break(shard: Shard, most: int = 100) -> tuple[list[Sample], str]:
    """Read until the error, which must come, in one line that names the shard."""
    found: list[Sample] = []
    with pytest.raises(ShardError) as error:
        for sample in samples(shard):
            found.append(sample)
            assert len(found) < most
    assert str(error.value).startswith(f"{shard.path}: ")
    assert "\n" not in str(error.value)
    return found, str(error.value)


@pytest.mark.parametrize("packing", ["", "gz"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_malicious_header_ends_the_shard_with_a_reason(
    tmp_path: Path, name: str, packing: str
) -> None:
    path = write_tar(tmp_path / "s.tar", documents())
    whole = path.read_bytes().rstrip(b"\0")
    whole += bytes(-len(whole) % 512) + HOSTILE[name] + bytes(0 if name == "no end mark" else 1024)
    path.write_bytes(gzip.compress(whole) if packing else whole)
    found, message = until_break(Shard(str(path)))
    assert [sample.raw for sample in found[:3]] == [raw for _, raw in documents()]
    assert "reading failed after" in message
    for word in ("unpack", "int", "Errno", "argument", "Error", "literal"):
        assert word not in message.split(": ", 1)[1]
    if not packing:
        with open(path, "rb") as file, pytest.raises(tarfile.TarError):
            for place, _ in enumerate(members(file)):
                assert place < 100


def test_a_sparse_file_is_as_large_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(sparse(1, 0, 1) + bytes(1024))
    [sample] = samples(Shard(str(path)))
    assert sample.raw is None
    assert "its size of 1,000,000 MB exceeds the limit" in sample.why
    for numbers in ((2, 100, 10, 0, 10), (1, 0, -5), (3, 0, 1, 5, -900, 4, 4)):
        path.write_bytes(sparse(*numbers).replace(b"1000000000000", b"0000000009000") + bytes(1024))
        read_damaged(path)


def test_the_other_shards_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0.tar").write_bytes(HOSTILE["size beyond the file"])
    with zipfile.ZipFile(tmp_path / "1.zip", "w"):
        pass
    write_tar(tmp_path / "2.tar", documents())
    with pytest.raises(SystemExit) as stop:
        main(["explain", str(tmp_path)])
    assert stop.value.code == 2
    found = capsys.readouterr()
    assert found.out.count("no_valid_image") == 3
    complaints = [line for line in found.err.splitlines() if "note:" not in line]
    assert [line.split(": ", 2)[1] for line in complaints] == [
        str(tmp_path / name) for name in ("0.tar", "1.zip")
    ]


def test_lack_of_memory_names_the_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "s.tar", documents())

    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("mmc4viz.data.shards._contents", fail)
    assert until_break(Shard(str(path)))[1] == f"{path}: cannot be read: not enough memory"


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "s.tar": lambda raw: raw,
    "s.tar.gz": gzip.compress,
    "s.tar.bz2": bz2.compress,
    "s.tar.xz": lzma.compress,
    "s.jsonl": lambda raw: raw,
    "s.jsonl.gz": gzip.compress,
    "s.jsonl.zip": lambda raw: zipped(raw),
}


def zipped(raw: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s.jsonl", raw)
    return buffer.getvalue()


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """Flip bits, cut, repeat, overwrite or exchange a few stretches of bytes."""
    data = bytearray(raw)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        length = rng.choice([1, 1, 8, 100, 512, 1024])
        piece = data[at : at + length]
        kind = rng.randrange(6)
        if kind == 0 and piece:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = piece
        elif kind == 3:
            data[at : at + length] = bytes(rng.choice([0, 255, 48, 57, 128]) for _ in piece)
        elif kind == 4:
            data[at:] = b""
        else:
            to = rng.randrange(len(data) + 1)
            data[to : to + length] = piece
        if not data:
            break
    return bytes(data)


def read_damaged(path: Path) -> None:
    """Read a shard and fetch its documents again: all errors must have one line."""
    shard, found = Shard(str(path)), list[Sample]()
    try:
        for sample in samples(shard, []):
            found.append(sample)
            assert len(found) < 10_000
    except ShardError as error:
        assert str(error).startswith(f"{path}: ")
        assert str(error).isprintable()
    for sample in found:
        if sample.raw is not None:
            try:
                assert fetch(shard, sample.offset, sample.size) == sample.raw
            except ShardError as error:
                assert str(error).isprintable()


def fuzz(path: Path, seeds: range) -> None:
    rng = random.Random(0)
    sound = write_tar(path.parent / "sound.tar", documents(5)).read_bytes()
    if ".jsonl" in path.name:
        sound = b"\n".join(raw for _, raw in documents(5)) + b"\n"
    pack = PACKINGS[path.name]
    packed = pack(sound)
    for seed in seeds:
        rng.seed(seed)
        inside = seed % 2 and packed is not sound
        path.write_bytes(pack(mutated(sound, rng)) if inside else mutated(packed, rng))
        read_damaged(path)


@pytest.mark.parametrize("name", PACKINGS)
def test_damaged_bytes_give_one_line_errors(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path / name, range(80))


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKINGS)
def test_many_damaged_bytes_give_one_line_errors(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path / name, range(80, 2000))


BOUNDED = """
import os, resource, sys
os.environ["{limit}"] = "4"
from mmc4viz.data.shards import Shard, fetch, samples
from mmc4viz.types import ShardError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    notes = []
    try:
        for sample in samples(Shard(path), notes):
            print(os.path.basename(path), sample.key, sample.raw is None, sample.why[-30:])
            if sample.raw is not None:
                assert fetch(Shard(path), sample.offset, sample.size) == sample.raw
    except ShardError as error:
        print(error)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
print(grown)
assert grown < 45, f"{{grown}} MB"
"""


def test_bombs_are_read_in_bounded_memory(tmp_path: Path) -> None:
    zeros, after = bytes(1 << 24), b"\n" + documents(1)[0][1] + b"\n"
    many = 4  # 67 MB
    files: dict[str, bytes] = {
        "a.jsonl.gz": gzip.compress(zeros, 1) * many + gzip.compress(after),
        "b.jsonl.xz": lzma.compress(zeros, preset=0) * many + lzma.compress(after),
        "c.jsonl.bz2": bz2.compress(zeros) * many + bz2.compress(after),
    }
    size = len(zeros) * many
    end = (header("y.json", b"%011o\0" % len(after)) + after).ljust(1024, b"\0") + bytes(1024)
    for name, start in {
        "d.tar.gz": header(size=number(size)),
        "e.tar.gz": header("x", number(size), b"x"),
        "f.tar.gz": header("x", number(size), b"L"),
    }.items():
        packed = gzip.compress(start) + gzip.compress(zeros, 1) * many + gzip.compress(end)
        files[name] = packed
    files["g.tar.gz"] = gzip.compress(CHAIN) + gzip.compress(EXTENDED * 20_000, 1) * many
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    with (
        zipfile.ZipFile(tmp_path / "h.jsonl.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z,
        z.open("h.jsonl", "w", force_zip64=True) as out,
    ):
        for _ in range(many):
            out.write(zeros)
        out.write(after)
    paths = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED.format(limit=LIMIT), *paths],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not done.returncode, done.stderr
    for name in ("a.jsonl.gz", "b.jsonl.xz", "c.jsonl.bz2", "h.jsonl.zip"):
        assert f"{name} 0 True" in done.stdout
        assert f"{name} 1 False" in done.stdout
    assert "d.tar.gz x True" in done.stdout
    assert "d.tar.gz y False" in done.stdout
    assert done.stdout.count("damaged tar header") == 3
