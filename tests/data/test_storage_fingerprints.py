"""A file's fingerprint: what changes it, what does not, and a digest taken while it is read."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from pathlib import Path

import fsspec
import pytest
import xxhash

from mmc4viz.data.storage import (
    Digest,
    alike,
    digesting,
    fingerprint,
    open_for_reading,
    unchanged,
    whole_fingerprint,
)

SIZES = [0, 1, 65_536, 1 << 20, (1 << 20) + 1, 3_000_000]


@pytest.fixture(params=SIZES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(random.Random(request.param).randbytes(request.param))
    return tmp_path / "a"


def test_a_digest_is_of_all_bytes_however_they_are_read(path: Path) -> None:
    raw, chance = path.read_bytes(), random.Random(1)
    for _ in range(20):
        with digesting(str(path)) as digest, open_for_reading(str(path)) as file:
            for _ in range(chance.randrange(5)):
                if chance.randrange(2):
                    file.seek(chance.randrange(len(raw) + 10))
                at = file.tell()
                assert (
                    file.read(chance.choice([7, 70_000, 2_000_000])) == raw[at:][: file.tell() - at]
                )
        assert digest.added_to("x") == f"x:{xxhash.xxh3_128_hexdigest(raw)}"


def test_a_compressed_file_is_digested_compressed(tmp_path: Path) -> None:
    raw = random.Random(2).randbytes(200_000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(raw))
    with digesting(str(tmp_path / "a.gz")) as digest, open_for_reading(str(tmp_path / "a.gz")) as f:
        assert gzip.GzipFile(fileobj=f).read() == raw
    assert digest.added_to("") == Digest(str(tmp_path / "a.gz")).added_to("")


def test_another_time_is_no_change_and_another_byte_is_one(path: Path) -> None:
    whole, sample = whole_fingerprint(str(path)), fingerprint(str(path))
    raw = path.read_bytes()
    assert unchanged(str(path), whole)
    assert unchanged(str(path), sample)
    os.utime(path, ns=(1, 1))
    assert unchanged(str(path), whole)
    assert not unchanged(str(path), sample)  # a sample is no proof
    assert alike(fingerprint(str(path)), sample)
    assert alike(fingerprint(str(path)), whole)
    assert not alike(sample, whole.replace(":", "0:", 1))
    for at in {0, len(raw) // 2, len(raw) - 1} if raw else ():
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        assert not unchanged(str(path), whole)
        assert not alike(whole_fingerprint(str(path)), whole)
        if at in (0, len(raw) - 1) or len(raw) <= 1 << 20:
            assert not alike(fingerprint(str(path)), whole)
    path.write_bytes(raw + b"x")
    assert not unchanged(str(path), whole)


def test_fingerprints_of_older_versions_hold(path: Path) -> None:
    old = ":".join(fingerprint(str(path)).split(":")[:2])
    assert unchanged(str(path), old)
    assert alike(fingerprint(str(path)), old)
    os.utime(path, ns=(1, 1))
    assert not unchanged(str(path), old)
    assert not alike(fingerprint(str(path)), old)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("left", [0, 10_240, 2_500_000])
def test_a_remote_file_is_digested_as_it_is_streamed(size: int, left: int) -> None:
    raw = random.Random(size).randbytes(size)
    fsspec.filesystem("memory").pipe("/digested/a.tar", raw)
    url = "memory://digested/a.tar"
    with digesting(url) as digest, open_for_reading(url) as file:
        read = file.read(max(0, size - left))
    digest.finish()
    whole = hashlib.sha256(raw).hexdigest()
    if size - len(read) < 1 << 20:
        assert digest.sha256 == whole
    else:  # more than padding was left unread: no digest rather than one of a part
        assert digest.sha256 in ("", whole)
    assert digest.added_to("x") == "x"  # a remote fingerprint has no digest


def test_what_was_not_asked_for_or_not_read_has_no_sha256(path: Path) -> None:
    assert Digest(str(path)).sha256 == ""
    with digesting(str(path)) as digest:
        pass
    assert digest.sha256 == ""
    digest.finish()
    assert digest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
