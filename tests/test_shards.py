"""Shards: webdataset's grouping, every container, places, and what breaks off."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mmc4viz import ShardError, expand, load_tokenizer, parse_document, read_columns, samples
from mmc4viz.corpus.shards import Sample, Shard, fetch, image_source
from tests.documents import entry, info, jpeg, write_tar

LINES = b'{"a": 1}\n\n{"b": 2}\nnot json'
PACK = {"": lambda raw: raw, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def read(path: Path) -> list[Sample]:
    return list(samples(Shard(str(path))))


def tar_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"%2d" % number))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.json", "b.json"], [("a", 0), ("b", 1)]),
        (["a.jpg", "a.json", "b.jpg"], [("a", 1), ("b", None)]),
        (["a.JSON"], [("a", 0)]),
        (["a.json", "a.json"], [("a", 0), ("a", 1)]),
        (["a.b.json"], [("a", None)]),
        (["x.y/a.json", "./b.json"], [("x.y/a", 0), ("./b", 1)]),
        (["__meta__/a.json", "__index__", "b.json", "c__d__/e.json"], [("b", 2), ("c__d__/e", 3)]),
        (["no_suffix", "a.json"], [("a", 1)]),
        (["a.json", "b.json", "a.json"], [("a", 0), ("b", 1), ("a", 2)]),
    ],
)
def test_members_are_grouped_as_webdataset_does(
    tmp_path: Path, names: list[str], expected: list[tuple[str, int | None]]
) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(tar_bytes(*names))
    found = [(s.key, None if s.raw is None else int(s.raw)) for s in read(path)]
    assert found == expected


@pytest.mark.parametrize("packing", PACK)
def test_every_container_reads_alike_and_fetches_by_place(tmp_path: Path, packing: str) -> None:
    tar, lines = tmp_path / f"s.tar{packing}", tmp_path / f"s.jsonl{packing}"
    tar.write_bytes(PACK[packing](tar_bytes("a.json", "b.json")))
    lines.write_bytes(PACK[packing](LINES))
    for path in (tar, lines) if packing in ("", ".gz") else (tar,):
        found = read(path)
        assert [fetch(Shard(str(path)), s.offset, s.size) for s in found] == [s.raw for s in found]
    assert [s.raw for s in read(tar)] == [b" 0", b" 1"]
    if packing in ("", ".gz"):
        assert [(s.key, s.raw) for s in read(lines)] == [
            ("0", b'{"a": 1}\n'), ("1", b"\n"), ("2", b'{"b": 2}\n'), ("3", b"not json"),
        ]  # fmt: skip


def test_mmc4s_own_zip_is_read_from_its_first_member(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("docs.jsonl", LINES)
        archive.writestr("other", b"ignored")
    found = read(path)
    assert [s.key for s in found] == ["0", "1", "2", "3"]
    assert fetch(Shard(str(path)), found[2].offset, found[2].size) == b'{"b": 2}\n'


def test_links_and_folders_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("a.json")
            member.type, member.linkname = kind, "b.json"
            tar.addfile(member)
    assert read(path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"this is no tar at all" * 100, "not a tar"), (b"\x1f\x8bxx", "cannot"),
     (b"PK\x03\x04xx", "")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_what_is_no_shard_is_said_in_one_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ShardError) as error:
        read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("packing", ["", ".gz", ".xz"])
def test_a_shard_that_breaks_off_yields_what_came_before(tmp_path: Path, packing: str) -> None:
    whole = tar_bytes("a.json", "b.json", "c.json")
    path = tmp_path / f"s.tar{packing}"
    for keep, expected in ((3 * 512, 1), (3 * 512 + 1, 1), (4 * 512, 2), (512 + 1, 0)):
        path.write_bytes(PACK[packing](whole[:keep]))
        found = []
        with pytest.raises(ShardError):
            found.extend(samples(Shard(str(path))))
        assert len(list_until_break(path)) == expected


def list_until_break(path: Path) -> list[Sample]:
    found: list[Sample] = []
    with pytest.raises(ShardError):
        for sample in samples(Shard(str(path))):
            found.append(sample)  # noqa: PERF402 - what came before the break counts
    return found


def test_a_break_is_carried_with_the_columns(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a", info([[0.9]])), ("b", info([[0.9]]))])
    path.write_bytes(path.read_bytes()[:30_000])
    columns = read_columns(Shard(str(path)), load_tokenizer())
    assert len(columns) == 1
    assert "breaks off after 1 documents" in str(columns.error)


def test_patterns(tmp_path: Path) -> None:
    for name in ("s-0.tar", "s-1.tar", "t.jsonl", "notes.txt", "odd[1].tar"):
        (tmp_path / name).write_bytes(b"")
    names = lambda *patterns: [s.name for s in expand(f"{tmp_path}/{p}" for p in patterns)]  # noqa: E731
    assert names("s-{0..1}.tar") == ["s-0.tar", "s-1.tar"]
    assert names("s-*.tar", "t.jsonl") == ["s-0.tar", "s-1.tar", "t.jsonl"]
    assert names("") == ["odd[1].tar", "s-0.tar", "s-1.tar", "t.jsonl"]
    assert names("odd[1].tar") == ["odd[1].tar"]
    assert [shard.position for shard in expand([str(tmp_path)])] == [0, 1, 2, 3]
    for wrong in ("s-{0..2}.tar", "u-*.tar", "none.tar", "s-{0.tar"):
        with pytest.raises(ShardError):
            names(wrong)


def test_images_from_a_folder_are_reencoded_as_the_converter_does(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "0"
    folder.mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(jpeg())
    picture = Image.effect_noise((200, 200), 90)
    picture.save(folder / "a.png")
    expected = io.BytesIO()
    Image.open(folder / "a.png").convert("RGB").save(expected, format="JPEG")
    (folder / "broken.png").write_bytes(b"no image")
    names = ["a.png", "broken.png", "none.png", "../../secret.png", 5]
    lines = info([[0.9]] * 5, images=[entry(image_name=name) for name in names])
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(lines) + "\n")
    [shard] = expand([str(path)])
    source = image_source(shard, str(tmp_path / "images"))
    document = parse_document("0", path.read_bytes(), source)
    assert [image.n_bytes for image in document.images] == [len(expected.getvalue())] + [None] * 4
    assert [image.present for image in document.images] == [True, False, False, False, False]


def test_without_images_sizes_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(info([[0.9]], images=[entry()])) + "\n")
    columns = read_columns(Shard(str(path)), load_tokenizer())
    assert columns.sizes_unknown
    assert not read_columns(Shard(str(path)), load_tokenizer(), str(tmp_path)).sizes_unknown
