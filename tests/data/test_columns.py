"""Arrays made without pandas are those that pyarrow makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.data.columns import IMAGE, arrow_array, arrow_lists, arrow_numbers

TEXT = st.none() | st.text(st.characters(codec="utf-8"))
OF_KIND = {
    pa.uint8(): st.integers(0, 255),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(),
    pa.string(): TEXT,
}
ROWS = st.lists(st.lists(st.fixed_dictionaries({f.name: OF_KIND[f.type] for f in IMAGE})))


def same(made: pa.Array, values: list[Any], kind: pa.DataType) -> None:
    made.validate(full=True)
    expected = pa.array(values, kind)
    assert made.type == expected.type
    assert repr(made.to_pylist()) == repr(expected.to_pylist())
    assert made.null_count == expected.null_count


@given(ROWS)
def test_images(rows: list[Any]) -> None:
    same(arrow_array(rows, pa.list_(IMAGE)), rows, pa.list_(IMAGE))


@given(st.lists(st.none() | st.binary()))
def test_bytes(values: list[Any]) -> None:
    same(arrow_array(values, pa.large_binary()), values, pa.large_binary())


@given(st.lists(st.lists(OF_KIND[pa.int32()])))
def test_lists(rows: list[Any]) -> None:
    same(arrow_array(rows, pa.list_(pa.int32())), rows, pa.list_(pa.int32()))
    flat = np.array([value for row in rows for value in row], np.int32)
    assert arrow_lists(map(len, rows), arrow_numbers(flat)).to_pylist() == rows


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        arrow_array([2**31], pa.int32())
    with pytest.raises(OverflowError):
        arrow_lists([2**31], arrow_numbers(np.zeros(0)))
