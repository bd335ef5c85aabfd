"""How a Parquet column stores its values, from its pages: a file's metadata may say anything.

Source: parquet.thrift of the Apache Parquet format (``PageHeader``), in Thrift's compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_DICTIONARY: Final = 2  # a kind of page
_INCREMENTAL: Final = 7  # an encoding: a value begins as the one before it (DELTA_BYTE_ARRAY)
_NESTED: Final = 16  # structures within each other, at most


class ParquetPage(NamedTuple):
    """A page of a column.

    Attributes
    ----------
    size : int
        Its bytes, decompressed.
    repeats : bool
        Whether a value that it stores once can be the value of several rows.
    end : int
        The next page's offset.
    """

    size: int
    repeats: bool
    end: int


def pages(data: memoryview) -> Iterator[ParquetPage]:
    """Yield the pages of a column chunk.

    Parameters
    ----------
    data : memoryview
        Of unsigned bytes.

    Raises
    ------
    ValueError
        If it holds anything else.

    Examples
    --------
    >>> list(pages(memoryview(bytes([0x15, 4, 0x15, 20, 0x15, 0, 0x00]))))
    [ParquetPage(size=10, repeats=True, end=7)]
    """
    at = 0
    while at < len(data):
        try:
            head, begin = _structure(data, at, 0)
            kind, size, stored = head[1], head[2], head[3]
            values = head.get(5, {}).get(2, head.get(8, {}).get(4))
            if min(size, stored) < 0:
                raise ValueError("a page of negative size")
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("not the header of a page") from error
        at = begin + stored
        yield ParquetPage(size, kind == _DICTIONARY or values == _INCREMENTAL, at)


def _structure(data: memoryview, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return a structure's values by field, and where it ends."""
    if depth > _NESTED:
        raise ValueError("structures within structures")
    found: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        step, kind = head >> 4, head & 15
        at += 1
        if step:
            field += step
        else:
            field, at = _number(data, at)
        found[field], at = _value(data, at, kind, depth)
    return found, at + 1


def _value(data: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return a value of a structure, None for what no use is made of, and where it ends."""
    match kind:
        case 1 | 2:  # true and false have no more bytes
            return kind == 1, at
        case 3:
            return None, at + 1
        case 4 | 5 | 6:
            return _number(data, at)
        case 7:
            return None, at + 8
        case 8:
            size, at = _unsigned(data, at)
            return None, at + size
        case 12:
            return _structure(data, at, depth + 1)
    raise ValueError("a value of an unknown type")


def _number(data: memoryview, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


def _unsigned(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of too many bytes")
