"""Hostile and malformed files: a named outcome for a document, or one line for the file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from mmc4viz.data.containers.json_array import elements
from mmc4viz.data.shards import Shard, samples
from mmc4viz.types import ShardError

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
