"""Columns of a user's own table as attributes: Parquet, one row per document, or per image.

========== ============= ==========================================================================
column     type          content
========== ============= ==========================================================================
shard      text          the path of the document's shard, or an end of it that is unique in the
                         corpus, usually the base name; may be left out if keys are unique
key        text          the document's key in the shard
image      whole number  only in a table of images: the image's position on the page, from 0
any other  text, number, what to divide by
           date, yes/no
========== ============= ==========================================================================

Text and yes/no are taken as they are; numbers and dates too if there are few of them, otherwise in
bins of about as many documents (or images) each.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.arrays import Ints, joined
from mmc4viz.data.columns import Columns
from mmc4viz.data.storage import file_system, is_remote, natural, remember, scrubbed
from mmc4viz.slices.attributes import ATTRIBUTES, Attribute, SlicedCorpus, coded
from mmc4viz.slices.division import Unit, Values, binned, shown
from mmc4viz.types import ConfigError

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_FEW: Final = 12  # distinct numbers that are slices of their own
_BINS: Final = 5
_NAMED: Final = 20  # columns listed in a message
_TEXT: Final = (pa.types.is_string, pa.types.is_large_string)
_NUMBER: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_DATE: Final = (pa.types.is_date, pa.types.is_timestamp)


@dataclass(frozen=True)
class SliceTable:
    """A user's table; its columns are read when asked for.

    Attributes
    ----------
    path : str
        As it was named; a glob can stand for several files.
    data : pyarrow.dataset.Dataset
    unit : str
        Whether its rows are documents or images.
    columns : tuple of str
        By which a corpus can be divided.
    """

    path: str
    data: ds.Dataset
    unit: Unit
    columns: tuple[str, ...]

    def attribute(self, name: str) -> Attribute:
        """Return a column as an attribute.

        Raises
        ------
        ConfigError
            When there is no such column, or it cannot be divided by.
        """
        if name not in self.columns:
            more = ", …" * (len(self.columns) > _NAMED)
            held = ", ".join(self.columns[:_NAMED]) + more
            raise ConfigError(f"{self.path}: no column {name!r}; it has: {held}")
        kind = plain_type(self.data.schema.field(name).type)
        known = (*_TEXT, *_NUMBER, *_DATE, pa.types.is_boolean, pa.types.is_null)
        if not any(check(kind) for check in known):
            raise ConfigError(
                f"{self.path}: column {name!r} has the type {kind}; slices need text, numbers, "
                "dates or yes/no"
            )
        return Attribute(name, name, self.unit, lambda corpus: self._values(corpus, name))

    def _values(self, corpus: SlicedCorpus, name: str) -> Values:
        by_image = self.unit == "image"
        keys = [key for key in _KEYS if key in self.data.schema.names]
        rows = self._read([*keys, name])
        row, unknown = _rows_of(corpus.columns, rows, by_image, self.path)
        found = _as_values(rows[name], row)
        code = found.code
        if by_image:
            code = code[corpus.images]
        notes = _lacking(self.path, row, self.unit, name) + _unused(self.path, unknown, rows)
        return Values(code, found.names, found.ordered, notes=tuple(notes))

    def _read(self, names: list[str]) -> pa.Table:
        try:
            found = self.data.to_table(columns=names).combine_chunks()
            plain = [pa.field(f.name, plain_type(f.type)) for f in found.schema]
            found = found.cast(pa.schema(plain))
            found.validate(full=True)  # also finds invalid text
        except (OSError, pa.ArrowException) as error:
            raise _invalid(self.path, error) from None
        return found


_KEYS: Final = ("shard", "key", "image")


def open_slice_table(path: str) -> SliceTable:
    """Open a user's table, local or remote.

    Raises
    ------
    ConfigError
        When it is not a Parquet file, or lacks the columns that name documents.
    """
    import pyarrow.dataset as ds  # imported late, because it imports pandas

    path = remember(path)
    try:
        store, inside = file_system(path) if is_remote(path) else (None, _files(path))
        data = ds.dataset(inside, format="parquet", filesystem=store)
        kinds = {field.name: plain_type(field.type) for field in data.schema}
    except Exception as error:  # every store has its own exceptions
        raise _invalid(path, scrubbed(str(error), path)) from None
    needed = "it needs 'key', which names the document (and 'shard' if keys are not unique, and "
    needed += "'image', its position on the page from 0, in a table of images)"
    if len(kinds) < len(data.schema):
        raise ConfigError(f"{path}: two columns have the same name; rename one")
    for name, checks in zip(_KEYS, (_TEXT, _TEXT, (pa.types.is_integer,)), strict=True):
        if name not in kinds and name == "key":
            raise ConfigError(f"{path}: no column {name!r}; {needed}")
        if name in kinds and not any(check(kinds[name]) for check in checks):
            wanted = "whole numbers" if name == "image" else "text, as in the shards"
            raise ConfigError(f"{path}: column {name!r} has the type {kinds[name]}, not {wanted}")
    columns = tuple(name for name in kinds if name not in _KEYS)
    if not columns:
        raise ConfigError(f"{path}: no column to divide by besides those that name documents")
    return SliceTable(path, data, "image" if "image" in kinds else "document", columns)


def _files(path: str) -> str | list[str]:
    """Return a local path, or the files that a glob stands for."""
    if os.path.exists(path) or not glob.has_magic(path):
        return path
    return sorted(glob.glob(path), key=natural) or path


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values: categories are text."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _invalid(path: str, reason: object) -> ConfigError:
    reason = " ".join(str(reason).split())[:200]
    return ConfigError(f"{path}: cannot be read as a Parquet table: {reason}")


# ------------------------------------------------------------------------- rows to documents


def _rows_of(
    columns: Sequence[Columns], rows: pa.Table, by_image: bool, path: str
) -> tuple[Ints, Ints]:
    """Find the row of every document or image, -1 for none, and the rows that are nobody's."""
    if "shard" not in rows.column_names:
        return _rows_by_key(columns, rows, by_image, path)
    shards = _rows_by_shard(rows)
    _check_ambiguous(columns, shards, path)
    used = np.zeros(len(rows), bool)
    nothing = np.zeros(0, np.int64)
    found = []
    for one in columns:
        mine = np.concatenate(
            [nothing, *(shards[name] for name in one.shard.called() if name in shards)]
        )
        here = _Lookup(rows, mine, by_image, path).of(_keys(one), one.n_images)
        used[here[here >= 0]] = True
        found.append(here)
    return joined(found), np.flatnonzero(~used)


def _rows_by_key(
    columns: Sequence[Columns], rows: pa.Table, by_image: bool, path: str
) -> tuple[Ints, Ints]:
    """Find rows by the documents' keys alone, which must then be unique."""
    key = pa.concat_arrays([pa.nulls(0, pa.large_string()), *map(_keys, columns)])
    n_images = joined([np.zeros(0, np.int64), *(one.n_images for one in columns)])
    found = _Lookup(rows, np.arange(len(rows)), by_image, path).of(key, n_images)
    times = np.bincount(found[found >= 0], minlength=len(rows))
    if len(twice := np.flatnonzero(times > 1)):
        raise ConfigError(
            f"{path}: {rows['key'][int(twice[0])].as_py()!r} is the key of several documents; add "
            "a column 'shard' with the name of each document's shard"
        )
    return found, np.flatnonzero(times == 0)


def _keys(columns: Columns) -> pa.Array:
    return columns.batch.column("key").cast(pa.large_string())


def _rows_by_shard(rows: pa.Table) -> dict[str, Ints]:
    """Return the rows of each shard that is named."""
    code, names = coded(rows["shard"].chunks)
    order = np.argsort(code, kind="stable")
    ends = np.searchsorted(code[order], np.arange(len(names) + 1))
    return {name: order[a:b] for name, a, b in zip(names, ends, ends[1:], strict=False)}


def _check_ambiguous(columns: Sequence[Columns], shards: dict[str, Ints], path: str) -> None:
    for shard in (one.shard for one in columns):
        if shard.name != shard.base and shard.base in shards:
            raise ConfigError(
                f"{path}: {shard.base} in column 'shard' is ambiguous, because several shards have "
                f"this name; write {shard.name} for {shard.path}"
            )


class _Lookup:
    """Some rows, found by key, and by image if rows are images."""

    def __init__(self, rows: pa.Table, mine: Ints, by_image: bool, path: str) -> None:
        import pyarrow.compute as pc  # slow to import

        self._by_image = by_image
        key = rows["key"].combine_chunks().take(pa.array(mine)).cast(pa.large_string())
        self._keys = pc.unique(key)
        image = np.zeros(len(mine), np.int64)
        if by_image:
            image = _integers(rows["image"].take(pa.array(mine)))
        self._width = int(image.max(initial=0)) + 1
        proper = image >= 0  # nobody's otherwise
        place = _codes(key, self._keys)[proper] * self._width + image[proper]
        order = np.argsort(place, kind="stable")
        self._place, self._rows = place[order], mine[proper][order]
        twice = np.flatnonzero(self._place[1:] == self._place[:-1])
        if len(twice):
            at = int(self._rows[twice[0]])
            which = f"image {rows['image'][at].as_py()} of " if by_image else ""
            more = f" (and {len(twice) - 1:,} more rows)" if len(twice) > 1 else ""
            known = "shard" in rows.column_names
            of = f" of {rows['shard'][at].as_py()}" if known else ""
            also = "" if known else ", or add a column 'shard' with the name of its shard"
            raise ConfigError(
                f"{path}: {which}document {rows['key'][at].as_py()!r}{of} has two rows{more}; keep "
                f"one row for each {'image' if by_image else 'document'}{also}"
            )

    def of(self, key: pa.Array, n_images: Ints) -> Ints:
        """Return the row of each of some documents, or of their images; -1 for none."""
        own = _codes(key, self._keys)
        place = own * self._width
        if self._by_image:
            n = n_images
            image = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
            place = np.where(image < self._width, np.repeat(place, n) + image, -1)
            place[np.repeat(own, n) < 0] = -1
        if not len(self._place):
            return np.full(len(place), -1, np.int64)
        at = np.minimum(np.searchsorted(self._place, place), len(self._place) - 1)
        return np.where(self._place[at] == place, self._rows[at], -1)


def _codes(texts: pa.Array, among: pa.Array) -> Ints:
    """Return the position of each text among others, -1 for none."""
    import pyarrow.compute as pc  # slow to import

    found = pc.fill_null(pc.index_in(texts, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def _integers(column: pa.ChunkedArray) -> Ints:
    """Return whole numbers below 2**31; what is larger, negative or null as -1."""
    import pyarrow.compute as pc  # slow to import

    values = pc.fill_null(column.cast(pa.float64(), safe=False), -1.0).to_numpy()
    return np.where((values >= 0) & (values < 2**31), values, -1).astype(np.int64)


def _lacking(path: str, row: Ints, unit: Unit, name: str) -> list[str]:
    n = int((row < 0).sum())
    if not n:
        return []
    return [
        f"{path} has no row for {n:,} of {len(row):,} {unit}s: by {name}, they are in the slice "
        "'no value'"
    ]


def _unused(path: str, unknown: Ints, rows: pa.Table) -> list[str]:
    if not len(unknown):
        return []
    first = int(unknown[0])
    named = [shown(str(rows[name][first].as_py())) for name in rows.column_names[:-1]]
    count = "1 row names" if len(unknown) == 1 else f"{len(unknown):,} rows name"
    return [f"{path}: {count} nothing in this corpus and is not used: {' '.join(named)}"]


# ---------------------------------------------------------------------------- values to slices


def _as_values(column: pa.ChunkedArray, row: Ints) -> Values:
    """Return the values at some rows; none at -1."""
    kind = column.type
    there = row >= 0
    code = np.full(len(row), -1, np.int32)
    if pa.types.is_null(kind) or not len(column):
        return Values(code, [])
    if any(check(kind) for check in _TEXT):
        of_row, names = coded(column.chunks)
        code[there] = of_row[row[there]]
        return Values(code, names)
    if pa.types.is_boolean(kind):
        numbers, show = column.cast(pa.int8()), {0: "no", 1: "yes"}.__getitem__
    elif any(check(kind) for check in _DATE):
        numbers, show = column.cast(pa.date32(), safe=False).cast(pa.int32()), _day
    elif pa.types.is_decimal(kind):
        numbers, show = column.cast(pa.float64()), _number
    else:
        numbers, show = column, _number
    known = np.zeros(len(row), bool)
    known[there] = ~np.asarray(numbers.is_null().to_numpy())[row[there]]
    values = np.asarray(numbers.fill_null(0).to_numpy())
    values = np.where(there, values[np.maximum(row, 0)], values[0])
    if values.dtype.kind == "f":
        known &= ~np.isnan(values)
    return _numbers(values, known, show)


def _numbers(values: NDArray[Any], known: NDArray[np.bool_], show: Callable[[Any], str]) -> Values:
    """Take few numbers as they are, many in bins of about equal size."""
    distinct = np.unique(values[known])
    if len(distinct) <= _FEW:
        names = [show(value) for value in distinct.tolist()]
        return binned(values, known, distinct[1:].tolist(), names)
    shares = np.arange(1, _BINS) / _BINS
    borders = np.unique(np.quantile(values[known], shares, method="inverted_cdf"))
    borders = borders[borders > distinct[0]]
    borders = borders if len(borders) else distinct[1:2]
    ends = [show(value) for value in borders.tolist()]
    between = [f"{a} to under {b}" for a, b in pairwise(ends)]
    return binned(
        values, known, borders.tolist(), [f"under {ends[0]}", *between, f"{ends[-1]} or more"]
    )


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _day(value: float) -> str:
    return str(np.datetime64(int(value), "D"))


def attribute_named(name: str, table: SliceTable | None = None) -> Attribute:
    """Return an attribute by name; a column of the user's own table comes before the others.

    Raises
    ------
    ConfigError
        When there is none of this name.
    """
    if table is not None and (name in table.columns or name not in ATTRIBUTES):
        return table.attribute(name)
    if name not in ATTRIBUTES:
        raise ConfigError(
            f"{name!r} is not something to divide by; use one of {', '.join(ATTRIBUTES)}, or a "
            "column of your own table (--slices FILE)"
        )
    return ATTRIBUTES[name]


_MOST_COLUMNS: Final = 20  # of a table, when none is named


def attributes_asked(
    names: Sequence[str], table_file: str | None
) -> tuple[list[str], SliceTable | None]:
    """Return what to divide by, by default every column of the user's table, and the table.

    Raises
    ------
    ConfigError
        If there is no such attribute, or no such table.
    """
    own = None if table_file is None else open_slice_table(table_file)
    if own is not None and not names:
        names = own.columns
        if len(names) > _MOST_COLUMNS:
            raise ConfigError(
                f"{own.path}: has {len(names):,} columns; name those to divide by with --by"
            )
    asked = list(dict.fromkeys(names))
    for name in asked:
        attribute_named(name, own)  # before anything is read
    return asked, own
