"""Shards: webdataset's grouping, every container, fetching by place, and truncated files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from itertools import accumulate
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from braceexpand import braceexpand
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmc4viz import (
    ConfigError,
    ShardError,
    expand,
    load_tokenizer,
    parse_document,
    read_columns,
    samples,
)
from mmc4viz.cli import main
from mmc4viz.data.columns import Kind
from mmc4viz.data.shards import (
    LIMIT,
    OVER_LIMIT,
    Container,
    Sample,
    Shard,
    _names_in_braces,
    fetch,
    image_source,
)
from tests.support.documents import entry, info, jpeg, write_tar

LINES = b'{"a": 1}\n\n{"b": 2}\nnot json\n'
PACK = {"": lambda raw: raw, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def read(path: Path) -> list[Sample]:
    return list(samples(Shard(str(path))))


@pytest.mark.parametrize("pattern", ["", "*"])
def test_documents_that_are_left_out_are_noted(tmp_path: Path, pattern: str) -> None:
    write_tar(tmp_path / "0.tar", [("a", info([[0.3]]))])
    (tmp_path / "similarity_b.parquet").write_bytes(b"")
    (tmp_path / "0_stats.json").write_text('{"count": 3}\n')
    for expected in (0, 1):
        notes: list[str] = []
        found = expand([str(tmp_path / pattern)], notes=notes)
        assert [shard.name for shard in found] == ["0.tar"]
        assert len(notes) == expected
        for n in range(2):
            row = {"images": ["http://a/b.jpg", None], "texts": [None, "A boat."]}
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{n}.parquet")
            (tmp_path / f"docs_{n}.json").write_text(json.dumps([info([[0.3]])]))
    assert "6 files are not read, although docs_0.json and 0.parquet hold documents" in notes[0]
    notes.clear()
    expand([str(tmp_path / "0.tar"), str(tmp_path / "0.parquet")], notes=notes)
    assert not notes


def test_commands_note_documents_that_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(tmp_path / "0.tar", [("a", info([[0.3]]))])
    (tmp_path / "1.json").write_text(json.dumps([info([[0.3]])]))
    for words in (["curve", "--threshold", "0.2"], ["index", "--out", str(tmp_path / "index")]):
        with pytest.raises(SystemExit):
            main([*words, str(tmp_path)])
        assert (
            capsys.readouterr().err.count("1 file is not read, although 1.json holds documents")
            == 1
        )


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
            ("0", b'{"a": 1}\n'), ("1", b"\n"), ("2", b'{"b": 2}\n'), ("3", b"not json\n"),
        ]  # fmt: skip


def test_mmc4s_own_zip_is_read_from_its_first_member(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("docs.jsonl", LINES)
        archive.writestr("other", b"ignored")
    found = read(path)
    assert [s.key for s in found] == ["0", "1", "2", "3"]
    assert fetch(Shard(str(path)), found[2].offset, found[2].size) == b'{"b": 2}\n'


def test_links_and_folders_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("a.json")
            member.type, member.linkname = kind, "b.json"
            tar.addfile(member)
    assert read(path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"this is no tar at all" * 100, "looks like text"),
     (b"\1" * 999, "not a tar"), (b"\x1f\x8bxx", "cannot"), (b"PK\x03\x04xx", "")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_invalid_shards_are_reported_in_one_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ShardError) as error:
        read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("packing", ["", ".gz", ".xz"])
def test_a_truncated_shard_yields_what_precedes_the_damage(tmp_path: Path, packing: str) -> None:
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


def test_the_error_of_a_truncated_shard_is_kept_with_the_columns(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a", info([[0.9]])), ("b", info([[0.9]]))])
    path.write_bytes(path.read_bytes()[:30_000])
    columns = read_columns(Shard(str(path)), load_tokenizer())
    assert len(columns) == 1
    assert "reading failed after 1 document:" in str(columns.error)


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


def test_names_are_in_natural_order_and_hidden_files_are_none(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11, 100):
        (tmp_path / f"docs_shard_{number}_v3.jsonl.zip").write_bytes(b"")
    for hidden in (".tmp-00002.tar", "._00000.tar", ".00000.tar.swp", ".0.jsonl"):
        (tmp_path / hidden).write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    (tmp_path / "folder.tar").mkdir()
    for pattern in (f"{tmp_path}", f"{tmp_path}/*", f"{tmp_path}/*.zip", f"{tmp_path}/[!x]*"):
        found = [shard.name.split("_")[2] for shard in expand([pattern])]
        assert found == ["0", "1", "2", "10", "11", "100"]
    assert [shard.name for shard in expand([f"{tmp_path}/.tmp*"])] == [".tmp-00002.tar"]
    assert [shard.name for shard in expand([f"{tmp_path}/notes*"])] == ["notes.txt"]


def test_remote_names_are_in_natural_order_and_hidden_files_are_none() -> None:
    store = fsspec.filesystem("memory")
    for name in ("10.tar", "2.tar", "1.tar", ".tmp-3.tar", "notes.txt"):
        store.pipe(f"/natural/{name}", b"")
    for pattern in ("memory://natural", "memory://natural/*"):
        assert [shard.name for shard in expand([pattern])] == ["1.tar", "2.tar", "10.tar"]


@given(
    st.lists(st.sampled_from([*"{},.ab12-\\", "..", "{1..3}", "{a,b}", "{07..10..2}"]), max_size=12)
)
def test_braces_are_counted_as_they_expand(pieces: list[str]) -> None:
    pattern = "".join(pieces)
    try:
        expected = len(list(braceexpand(pattern)))
    except ValueError:
        return
    counted = _names_in_braces(pattern)
    depths = accumulate({"{": 1, "}": -1}.get(character, 0) for character in pattern)
    # Closed before it is opened, a brace is a plain character, and so may be what comes after it.
    assert counted == expected if min(depths, default=0) >= 0 else counted >= expected


@pytest.mark.parametrize(
    "pattern",
    ["{1..99999999999}.tar", "{0..9}" * 7, "{a,b}" * 20, "{1..9" + "9" * 6000 + "}", "{a..z}" * 5,
     "{1..2{3,{1..1000001}}}"],
)  # fmt: skip
def test_braces_for_more_than_a_million_names_are_refused_unexpanded(pattern: str) -> None:
    with pytest.raises(ShardError, match="more than a million") as error:
        expand([pattern])
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("pattern", ["{" * 5000 + "}" * 5000, "a{b", "\0.tar", "http://[::1", "}{"])
def test_invalid_patterns_are_one_line_errors(pattern: str) -> None:
    try:
        assert [shard.name for shard in expand([pattern])]
    except ShardError as error:
        assert "\n" not in str(error)


def test_a_web_address_is_known_by_its_name_without_the_query() -> None:
    [lines] = expand(["https://example.org/d/docs_shard_0_v3.jsonl.zip?download=true"])
    assert (lines.name, lines.layout) == ("docs_shard_0_v3.jsonl.zip", Container.LINES)
    [tar] = expand(["https://example.org/00000.tar?X-Signature=a/b.jsonl#x"])
    assert (tar.name, tar.layout) == ("00000.tar", Container.TAR)
    assert Shard("/data/odd?.jsonl").layout is Container.LINES


def read_with_notes(path: Path) -> tuple[list[Sample], list[str]]:
    notes: list[str] = []
    return list(samples(Shard(str(path)), notes)), notes


def mmc4(number: int = 0) -> bytes:
    return json.dumps(info([[0.5]], [f"Page {number}."])).encode()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_data_after_the_end_is_noted(tmp_path: Path, packing: str) -> None:
    one, two = (write_tar(tmp_path / f"{n}.tar", [(f"{n}", mmc4(n))]) for n in range(2))
    path = tmp_path / f"both.tar{packing}"
    path.write_bytes(PACK[packing](one.read_bytes() + two.read_bytes()))
    found, notes = read_with_notes(path)
    assert [sample.key for sample in found] == ["0"]
    [note] = notes
    assert note.startswith(f"{path.name}: data after the end of the tar is ignored")
    assert read_with_notes(one)[1] == []


@pytest.mark.parametrize("names", [["www.a.json", "www.b.json"], ["0.json.gz"], ["a.b.jsonl"]])
def test_documents_that_webdataset_ignores_are_noted(tmp_path: Path, names: list[str]) -> None:
    found, notes = read_with_notes(write_tar(tmp_path / "s.tar", [(n, mmc4()) for n in names]))
    assert all(sample.raw is None for sample in found)
    assert [names[0] in note and "first dot" in note for note in notes] == [True]
    beside = [("a.json", mmc4()), ("a.meta.json", b"{}")]
    assert read_with_notes(write_tar(tmp_path / "t.tar", beside))[1] == []


def test_images_as_members_are_noted(tmp_path: Path) -> None:
    missing = json.dumps(info([[0.5]], images=[entry()])).encode()
    path = write_tar(tmp_path / "s.tar", [("a.json", missing), ("a.0.jpg", b""), ("a.jpg", jpeg())])
    [note] = read_with_notes(path)[1]
    assert "images stored as members" in note
    both = write_tar(tmp_path / "t.tar", [("a.json", mmc4()), ("a.jpg", jpeg())])
    assert read_with_notes(both)[1] == []


def test_ignored_files_of_a_zip_are_noted(tmp_path: Path) -> None:
    line = mmc4() + b"\n"
    two = zipped(tmp_path / "two.jsonl.zip", {"a.jsonl": line, "b.jsonl": line * 2})
    found, notes = read_with_notes(two)
    assert (len(found), ["only 'a.jsonl' of the zip's 2" in note for note in notes]) == (1, [True])
    members = {"docs/": b"", "docs/.DS_Store": b"x", "docs/a.jsonl": line}
    first = zipped(tmp_path / "folder.jsonl.zip", members)
    found, notes = read_with_notes(first)
    assert [sample.raw for sample in found] == [line]
    assert ["converter would read nothing" in note for note in notes] == [True]
    assert fetch(Shard(str(first)), found[0].offset, found[0].size) == line
    with pytest.raises(ShardError, match="the zip contains no file"):
        read(zipped(tmp_path / "none.zip", {}))


def test_notes_are_kept_with_the_columns_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_tar(tmp_path / "s.tar", [("0", mmc4())])
    path.write_bytes(path.read_bytes() * 2)
    out = str(tmp_path / "index")
    for arguments in (
        ["explain", str(path)],
        ["curve", str(path), "--grid", "0.2:0.3:0.1"],
        ["curve", str(path), "--grid", "0.2:0.3:0.1", "--sample", "5"],
        ["index", str(path), "--out", out, "--workers", "1"],
        ["curve", "--index", out, "--grid", "0.2:0.3:0.1"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert not stop.value.code
        assert capsys.readouterr().err.count("s.tar: data after the end of the tar") == 1


def test_a_truncated_last_line_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.jsonl"
    whole = mmc4() + b"\n" + mmc4()
    path.write_bytes(whole)
    assert len(read(path)) == 2
    path.write_bytes(whole[:-20])
    assert len(list_until_break(path)) == 2
    with pytest.raises(SystemExit) as stop:
        main(["explain", str(path)])
    assert stop.value.code == 2
    assert (
        "the last line is not complete JSON, so the file may be truncated"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["s.tar", "s.tar.xz", "s.jsonl", "s.jsonl.gz", "s.jsonl.zip"])
def test_a_document_above_the_limit_is_unreadable(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, large = tmp_path / name, b" " * 1_000_000 + mmc4(1)
    documents = [mmc4(0), large, mmc4(2)]
    if name.startswith("s.tar"):
        write_tar(path, [(f"{n}", raw) for n, raw in enumerate(documents)], f"w:{name[6:]}")
    else:
        raw = b"\n".join(documents)
        path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
        if name.endswith("zip"):
            zipped(path, {"s.jsonl": raw})
    monkeypatch.setenv(LIMIT, "1")
    columns = read_columns(Shard(str(path)), load_tokenizer())
    assert columns.error is None
    assert columns.kind.tolist() == [Kind.PLAIN, Kind.UNREADABLE, Kind.PLAIN]
    assert OVER_LIMIT in str(columns.document(1).error)
    assert ["raise MMC4VIZ_MAX_DOCUMENT_MB" in note for note in columns.notes] == [True]
    assert fetch(columns.shard, *columns.place(2)).strip() == mmc4(2)
    monkeypatch.setenv(LIMIT, "2")
    found = read(path)
    assert found[1].raw is not None
    assert found[1].raw.strip() == large.strip()
    monkeypatch.setenv(LIMIT, "1")
    with pytest.raises(ShardError, match=LIMIT):
        fetch(Shard(str(path)), found[1].offset, found[1].size)
    for wrong in ("0", "-1", "many", "1.5", "9" * 5000):
        monkeypatch.setenv(LIMIT, wrong)
        with pytest.raises(ConfigError, match=LIMIT):
            read(path)


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
