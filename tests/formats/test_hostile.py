"""Hostile and malformed files: a named outcome for a document, or one line for the file."""

from __future__ import annotations

import io
import json
import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmc4viz.data.containers.json_array import elements
from mmc4viz.data.containers.parquet import rows
from mmc4viz.data.shards import Shard, samples
from mmc4viz.formats.format import LIMIT
from mmc4viz.formats.sentences import TextUnit, cut
from mmc4viz.types import ShardError
from tests.formats import written

ROW: dict[str, Any] = {"texts": ["A boat.", None], "images": [None, "https://example.org/a.jpg"]}


class Repeated(io.RawIOBase):
    """A file of many times the same bytes, between a first and a last part."""

    def __init__(self, first: bytes, middle: bytes, times: int, last: bytes) -> None:
        self._parts = iter([first, *[middle] * times, last])

    def read(self, size: int = -1) -> bytes:
        return next(self._parts, b"")


@pytest.mark.parametrize("end", ["\n[{}]", "garbage", ", {}]"])
def test_what_follows_a_json_array_is_told(tmp_path: Path, end: str) -> None:
    path = tmp_path / "0.json"
    path.write_text(json.dumps([ROW]) + end)
    found = []
    with pytest.raises(ShardError, match="after 1 document: more follows after the end") as error:
        found += list(samples(Shard(str(path))))
    assert "\n" not in str(error.value)


def test_a_brace_too_many_does_not_end_an_array_silently(tmp_path: Path) -> None:
    path = tmp_path / "0.json"
    row = json.dumps(ROW)
    path.write_text(f"[{row}, {{]}}, {row}]")
    with pytest.raises(ShardError, match="a brace too many at byte"):
        list(samples(Shard(str(path))))


@pytest.mark.slow
@pytest.mark.parametrize("letters", [b"\\\\", b'a\\"', b'","', b"[]"])
def test_an_element_above_the_limit_takes_no_more_memory(letters: bytes) -> None:
    inside = letters * (1 << 19)
    file = Repeated(b'[["', inside, 40, b'"], 1]')
    found = list(elements(file, 1 << 20))  # type: ignore[arg-type]
    assert [(one.size, one.raw) for one in found] == [(40 * len(inside) + 4, None), (1, b"1")]


@pytest.mark.parametrize("chunk", range(1, 9))
def test_elements_do_not_depend_on_how_the_file_arrives(chunk: int) -> None:
    whole = [{"a\\": '"]},{["'}, [[], {}], '\\\\"', 1, {"b": ["\\", "{"]}]
    raw = json.dumps(whole).encode()

    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(chunk)

    assert [json.loads(one.raw or b"") for one in elements(Pieces(raw), 100)] == whole


def read(path: Path, notes: list[str] | None = None) -> list[Any]:
    """Return the sentences of each document, or why it has none."""
    return [
        one.why if one.page is None else one.page.info["text_list"]
        for one in samples(Shard(str(path)), notes)
    ]


def test_text_that_is_no_utf8_costs_its_row_only(tmp_path: Path) -> None:
    texts = pa.array([b"A boat.", b"\xff\xfe", b"A lake."]).view(pa.string())
    lists = pa.ListArray.from_arrays([0, 1, 2, 3], texts)
    nothing = pa.array([[None]] * 3, pa.list_(pa.string()))
    pq.write_table(pa.table({"texts": lists, "images": nothing}), tmp_path / "0.parquet")
    first, second, third = read(tmp_path / "0.parquet")
    assert (first, third) == (["A boat."], ["A lake."])
    assert "'utf-8' codec can't decode" in second


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    lists = pa.array([["A boat."]])
    table = pa.Table.from_arrays([lists, lists], names=["texts", "texts"])
    pq.write_table(table, tmp_path / "0.parquet")
    with pytest.raises(ShardError, match="has 2 columns named 'texts'"):
        read(tmp_path / "0.parquet")


def test_a_small_file_of_many_nulls_is_not_unpacked(tmp_path: Path) -> None:
    ends, nulls = pa.array([0, 1 << 25], pa.int32()), pa.nulls(1 << 25)
    many = pa.ListArray.from_arrays(ends, nulls)
    path = tmp_path / "0.parquet"
    pq.write_table(pa.table({"texts": many, "images": many}), path)
    assert path.stat().st_size < 10_000
    with pytest.raises(ShardError, match="its size of 537 MB exceeds the limit of 256 MB"):
        read(path)


def curated(name: str | None, position: Any, text: Any = "A boat.") -> dict[str, Any]:
    return {"sample_id": name, "position": position, "modality": "text", "text_content": text}


def test_rows_of_a_sample_that_are_apart_are_told(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    rows = [curated("a", 1, "One."), curated("a", 0, "Zero."), curated("b", 0), curated("a", 2)]
    path.write_bytes(written.parquet(rows))
    notes: list[str] = []
    assert read(path, notes) == [["Zero.", "One."], ["A boat."], ["A boat."]]
    assert notes == [
        "0.parquet: rows with the same sample_id that are not neighbors are documents of their "
        "own: sort the rows by sample_id"
    ]


def test_rows_without_a_sample_id_are_no_document(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    rows = [curated("a", 0), curated(None, 0), curated(None, 1), curated("b", None)]
    path.write_bytes(written.parquet(rows))
    missing = "a row has no sample_id"
    assert read(path) == [["A boat."], missing, missing, "a row's position is not a whole number"]


def test_a_sample_of_too_many_rows_is_not_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "1")
    path = tmp_path / "0.parquet"
    rows = [curated("a", 0)] + [curated("b", n, "x" * 300_000) for n in range(4)]
    path.write_bytes(written.parquet(rows))
    first, second = read(path)
    assert first == ["A boat."]
    assert second.startswith("its size of 1 MB exceeds the limit of 1 MB")


def moscar(order: list[str] | None, texts: tuple[int, ...] = (0, 2)) -> dict[str, Any]:
    return {
        "text": [{"text": f"Number {n}.", "text_idx": n} for n in texts],
        "images": [{"img_idx": 1, "sha512": "a", "url": "https://example.org/a.jpg"}],
        "metadata": [{"node_order": order}],
    }


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (moscar(["text_2", "img_1", "text_0"]), ["Number 2.", "Number 0."]),
        (moscar(["text_0", "text_0", "img_1", "text_2"]), "node_order names a node twice"),
        (moscar(["text_0"]), "node_order leaves out 2 of the nodes"),
        (moscar(["text_0", "text_7"]), "node_order names 'text_7', which is no node"),
        (moscar(None, (0, 0)), "two nodes of a kind have the same number"),
    ],
)
def test_no_node_is_lost(tmp_path: Path, row: Any, found: Any) -> None:
    path = tmp_path / "0.jsonl"
    path.write_bytes(written.lines([moscar(None), row]))
    assert read(path) == [["Number 0.", "Number 2."], found]


@pytest.mark.parametrize(
    "unit", ['"', "?!", ".)", "a?!", "(?)", "?'", "a.b,", "…", "x", ". ", "? ", ".\u2028"]
)
def test_no_text_takes_long_to_cut(unit: str) -> None:
    text = unit * (200_000 // len(unit)) + ".b"
    found = cut(text, TextUnit.SENTENCE)  # minutes if it were quadratic
    assert "".join("".join(found).split()) == "".join(text.split())


def test_the_end_after_a_long_word_is_found() -> None:
    address = "https://example.org/?" + "a?b=" * 2000
    text = f"See {address}. It is red. Then {address} it ends."
    assert [len(one) for one in cut(text, TextUnit.SENTENCE)] == [
        len(address) + 5, len("It is red."), len(address) + 14,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "unit", ["![", "![](", "![](a", "![]( ", "![a ", "<img ", '<img src="a" ', 'src="a" ']
)
def test_no_markdown_takes_long_to_cut(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "0.jsonl"
    text = "![](a.png) <img " + unit * (200_000 // len(unit)) + "\n\n![](b.png) and on"
    path.write_bytes(written.lines([{"md": text, "content_image": []}]))
    [sample] = samples(Shard(str(path)))
    assert sample.page is not None
    names = [one["image_name"] for one in sample.page.info["image_info"]]
    assert (names[0], names[-1]) == ("a.png", "b.png")


def tiff(frames: int, side: int) -> bytes:
    """Return a TIFF whose frames are all the same compressed zeros."""
    strip = zlib.compress(bytes(side * side))
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip)
    for left in reversed(range(frames)):
        values = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: side,
                  279: len(strip)}  # fmt: skip
        data += struct.pack("<H", len(values))
        for tag, value in values.items():
            data += struct.pack("<HHII", tag, 4, 1, value)
        data += struct.pack("<I", len(data) + 4 if left else 0)
    return bytes(data)


def mint(path: Path, images: list[bytes], places: int) -> None:
    row = {"texts": ["A boat."] + [None] * places, "images": [None] + ["a"] * places}
    members = [(f"{n}.{end}", data) for n, image in enumerate(images)
               for end, data in (("json", json.dumps(row).encode()), ("tiff", image))]  # fmt: skip
    path.write_bytes(written.tar(members))


def test_frames_of_a_tiff_are_not_unpacked_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "1")
    path = tmp_path / "0.tar"
    mint(path, [tiff(1000, 500), tiff(2, 500)], 1000)
    first, second = samples(Shard(str(path)))
    assert first.why == f"its frames exceed the limit of 1 MB when unpacked: raise {LIMIT}"
    assert second.page is not None
    assert len(second.page.images) == 2


def test_frames_stay_as_they_were(tmp_path: Path) -> None:
    path, buffer = tmp_path / "0.tar", io.BytesIO()
    frame = Image.effect_noise((40, 30), 60).convert("RGB")
    frame.save(buffer, "TIFF", compression="jpeg")
    mint(path, [buffer.getvalue()], 1)
    [sample] = samples(Shard(str(path)))
    assert sample.page is not None
    with Image.open(buffer) as before, Image.open(io.BytesIO(sample.page.images[0])) as after:
        assert before.tobytes() == after.tobytes()


def test_an_image_above_the_limit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "1")
    path = tmp_path / "0.tar"
    mint(path, [bytes(2_000_000), tiff(1, 2)], 1)
    notes: list[str] = []
    found = list(samples(Shard(str(path)), notes))
    assert [len(one.page.images) for one in found if one.page is not None] == [0, 1]
    assert any("images by which a document exceeds the limit of 1 MB" in note for note in notes)


@pytest.mark.slow
def test_a_long_text_stored_once_is_not_copied_for_each_row(tmp_path: Path) -> None:
    n, long = 64, "x" * 20_000_000
    once = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2 * n, np.int32)), pa.array([long]))
    texts = pa.ListArray.from_arrays(pa.array(np.arange(0, 2 * n + 1, 2, dtype=np.int32)), once)
    path = tmp_path / "0.parquet"
    columns = {"texts": texts, "images": [["u", None]] * n}
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(path, "rb") as file:
        found = [
            row.fields is None or len(row.fields["texts"][1]) for row in rows(file, 50_000_000)
        ]
    assert found == [20_000_000] * n
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB, of 2.5 GB
