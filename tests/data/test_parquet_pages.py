"""What the pages of a Parquet file say of themselves, whatever its metadata says."""

from __future__ import annotations

import io
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.data.containers.parquet import BoundedReading, _ArrowFile, rows
from mmc4viz.data.containers.parquet_pages import pages

WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "dictionary": ({"use_dictionary": True}, True),
    "plain": ({"use_dictionary": False}, False),
    "plain, version 2": ({"use_dictionary": False, "data_page_version": "2.0"}, False),
    "lengths": (
        {"use_dictionary": False, "column_encoding": {"a": "DELTA_LENGTH_BYTE_ARRAY"}}, False,
    ),
    "prefixes": ({"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}, True),
    "checksums": ({"use_dictionary": True, "write_page_checksum": True}, True),
    "an index": ({"use_dictionary": True, "write_page_index": True}, True),
}  # fmt: skip


def chunk_of(raw: bytes, column: int = 0) -> tuple[memoryview, Any]:
    """Return the bytes of the only row group's column, and its metadata."""
    found = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(0).column(column)
    at = found.dictionary_page_offset if found.has_dictionary_page else found.data_page_offset
    return memoryview(raw)[at : at + found.total_compressed_size], found


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("way", WAYS)
def test_pages_are_those_that_were_written(way: str, compression: str) -> None:
    how, repeats = WAYS[way]
    values = [np.random.default_rng(n).bytes(3000) for n in range(90)]
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"a": [*values, None]}), buffer, compression=compression,
        data_page_size=60_000, write_batch_size=10, dictionary_pagesize_limit=30_000, **how,
    )  # fmt: skip
    data, chunk = chunk_of(buffer.getvalue())
    found = list(pages(data))
    assert found[-1].end == len(data)
    assert len(found) > 3
    assert found[0].repeats == repeats
    assert any(page.repeats for page in found[1:]) == (way == "prefixes")
    stored = sum(page.size for page in found)
    assert sum(map(len, values)) <= stored <= chunk.total_uncompressed_size


@given(st.binary(max_size=60), st.integers(0, 200))
def test_anything_else_is_refused_or_has_an_end(noise: bytes, at: int) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": [b"boat", b"lake"]}), buffer)
    raw = bytearray(chunk_of(buffer.getvalue())[0])
    raw[at : at + len(noise)] = noise
    for data in (noise, raw):
        try:
            found = list(pages(memoryview(data)))
        except ValueError:
            continue
        assert all(page.size >= 0 for page in found)
        assert not found or found[-1].end >= len(data)


def images(many: pa.Array, each: int, rows: int) -> pa.Table:
    ends = pa.array(np.arange(0, rows + 1, dtype=np.int32) * each)
    texts = pa.array([["A boat."]] * rows)
    return pa.table({"images": pa.ListArray.from_arrays(ends, many), "texts": texts})


def test_large_values_that_each_stand_once_are_read_together(tmp_path: Path) -> None:
    many = pa.array([np.random.default_rng(n).bytes(40_000) for n in range(120)], pa.binary())
    for name, dictionary in (("a", False), ("b", True)):
        path = tmp_path / name
        pq.write_table(images(many, 2, 60), path, use_dictionary=dictionary, write_batch_size=10)
        with open(path, "rb") as file:
            source = _ArrowFile(file)
            opened = pq.ParquetFile(source)
            how: dict[str, Any] = {"rows": 64, "compact": 2}
            known = BoundedReading.of(opened, 8_000_000, group=0, stored=source.stored, **how)
            assert BoundedReading.of(opened, 8_000_000, **how).rows == 1
            assert known.rows > 1
            assert known.dictionaries == []
            assert [row.fields for row in rows(file, 8_000_000)] == pq.read_table(path).to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize(("each", "n"), [(2, 64), (400, 3)])
def test_a_large_image_stored_once_is_not_copied_for_each_place(
    tmp_path: Path, each: int, n: int
) -> None:
    large = np.random.default_rng(0).bytes(20_000_000)
    places = pa.array(np.zeros(each * n, np.int32))
    once = pa.DictionaryArray.from_arrays(places, pa.array([large], pa.binary()))
    path = tmp_path / "0.parquet"
    pq.write_table(images(once, each, n), path, store_schema=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(path, "rb") as file:
        found = [row.fields and len(row.fields["images"]) for row in rows(file, 50_000_000)]
    assert found == [each if each == 2 else None] * n
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB, of 2.5 GB


def test_a_damaged_page_is_told_by_arrow(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    many = pa.array([np.random.default_rng(n).bytes(40_000) for n in range(120)], pa.binary())
    pq.write_table(images(many, 2, 60), buffer, use_dictionary=False)
    raw = bytearray(buffer.getvalue())
    raw[4:40] = b"\xff" * 36
    with pytest.raises((pa.ArrowException, OSError)):
        list(rows(io.BytesIO(raw), 8_000_000))
