"""What divides a table into slices: the site of the url, or the values of a column.

A first pass over the table counts its values, so that the largest become slices of their own. Its
memory does not grow with the table: beyond `MOST_VALUES` values, the rarest are let go by the rule
of Misra and Gries (Science of Computer Programming 2, 1982; merged as by Agarwal et al., Mergeable
Summaries, PODS 2012), which bounds how many rows any value may have that was let go. Numbers are
summarized likewise, by every other one of the sorted values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmc4viz.arrays import Floats, Ints
from mmc4viz.pairs.layout import ASPECT, PairLayout
from mmc4viz.pairs.table import PairTable, TableBatch, as_text, batches, numbers_of
from mmc4viz.slices.division import MOST, NO_VALUE, OTHER, distinct, shown
from mmc4viz.slices.site import ADDRESS, NOT_A_URL, authority_of, site_of_authority
from mmc4viz.types import ConfigError

SITE: Final = "site"
"""The name of the attribute that divides by the registered domain of the url."""
MOST_VALUES: Final = 1 << 18
"""Values that the first pass remembers."""

_FEW: Final = 12  # distinct numbers that are slices of their own
_BINS: Final = 5
_APART: Final = (ADDRESS, NOT_A_URL)
_SERVER: Final = r"^(?P<server>[^/?#]*//[^/?#]*[/?#]?)"


@dataclass(frozen=True, slots=True)
class PairAttribute:
    """Something by which the rows of a table are divided.

    Attributes
    ----------
    name, label : str
        As named on the command line and on screen.
    column : str
        The column that it is of.
    kind : str
        ``site``, ``text`` or ``number``.
    """

    name: str
    label: str
    column: str
    kind: str

    def texts(self, batch: TableBatch) -> pa.DictionaryArray:
        """Return the value of each row of a batch, which may repeat in the dictionary.

        Null and empty text are no value; their index is null.
        """
        column = batch.columns[self.column]
        if self.kind == SITE:
            return _sites(as_text(column))
        if pa.types.is_boolean(column.type):
            column = pc.if_else(column, "yes", "no")
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.date32(), safe=False)
        text = as_text(column)
        return pc.if_else(pc.equal(text, ""), None, text).dictionary_encode()

    def numbers(self, batch: TableBatch, layout: PairLayout) -> Floats:
        """Return the number of each row of a batch, NaN without one, shape (rows,)."""
        return np.asarray(batch.numbers(self.column, layout).values, np.float64)


def _sites(urls: pa.Array) -> pa.DictionaryArray:
    """Return the site of each url; what is no url has the site `NOT_A_URL`.

    Examples
    --------
    >>> _sites(pa.array(["http://a.co.uk/1", "https://www.a.co.uk?2", "b", "", None])).to_pylist()
    ['a.co.uk', 'a.co.uk', 'not a URL', None, None]
    """
    server = pc.struct_field(pc.extract_regex(urls, _SERVER), "server")
    there = pc.if_else(pc.equal(urls, ""), None, pc.fill_null(server, ""))
    found = pc.if_else(pc.is_valid(urls), there, None).dictionary_encode()
    sites = pa.array(map(_site, found.dictionary.to_pylist()), pa.large_string())
    return pa.DictionaryArray.from_arrays(found.indices, sites)


@lru_cache(1 << 18)
def _site(url: str) -> str:
    authority = authority_of(url)
    return site_of_authority(authority) if authority else NOT_A_URL


def attribute_of(table: PairTable, name: str) -> PairAttribute:
    """Return what divides a table, by name; a column comes before `SITE`.

    Raises
    ------
    ConfigError
        When there is no such column, or its type cannot be divided by.
    """
    columns = table.first.columns
    url = table.layout.column_of("url", columns)
    if name == SITE and name not in columns and url is not None:
        return PairAttribute(SITE, "Site", url, SITE)
    computable = any(one.name == ASPECT for one in table.numbers)
    if name not in columns and not (name == ASPECT and computable):
        without = "" if url is not None else " (and no url, so there is no site)"
        raise ConfigError(
            f"{table.first.path}: no column {name!r} to divide by{without}; there are "
            + ", ".join(columns[:30])
        )
    known = any(one.name == name for one in (*table.scores, *table.numbers))
    return PairAttribute(name, name, name, "number" if known else _kind(table, name))


def _kind(table: PairTable, name: str) -> str:
    """Whether a column holds text or numbers, by its type; of a text file, by its first rows."""
    first = next(batches(table.first, [name]), None)
    if first is None:
        return "text"
    column = first.columns[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if text and table.first.kind == "text":
        found = numbers_of(column)
        return "number" if np.isfinite(found.values).any() and not found.malformed else "text"
    others = (pa.types.is_boolean, pa.types.is_date, pa.types.is_timestamp, pa.types.is_null)
    if text or any(check(kind) for check in others):
        return "text"
    raise ConfigError(
        f"{table.first.path}: column {name!r} has the type {kind}; slices need text, numbers, "
        "dates or yes/no"
    )


# --- the first pass ------------------------------------------------------------------------------


class ValueCounts:
    """Rows by value, exact up to a number of values.

    Parameters
    ----------
    most : int
        Values that are remembered.

    Attributes
    ----------
    counts : dict of str to int
    doubt : int
        At most so many rows are missing from each count, and have each value that was let go; 0 if
        all values are remembered.

    Examples
    --------
    >>> found = ValueCounts(2)
    >>> found.add({"a": 5, "b": 2, "c": 1})
    >>> found.counts, found.doubt
    ({'a': 4, 'b': 1}, 1)
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self.most = most
        self.counts: dict[str, int] = {}
        self.doubt = 0

    def merge(self, other: ValueCounts) -> None:
        """Add what was counted of other rows."""
        self.doubt += other.doubt
        self.add(other.counts)

    def add(self, counts: dict[str, int]) -> None:
        """Add rows by value."""
        for value, count in counts.items():
            self.counts[value] = self.counts.get(value, 0) + count
        if len(self.counts) > self.most:
            each = np.fromiter(self.counts.values(), np.int64, len(self.counts))
            cut = int(np.partition(each, -self.most - 1)[-self.most - 1])
            self.counts = {value: n - cut for value, n in self.counts.items() if n > cut}
            self.doubt += cut


class NumberCounts:
    """Rows by number, exact up to a number of distinct ones, then a summary for quantiles.

    Parameters
    ----------
    most : int
        Distinct numbers that are remembered; of more, every other one stands for the next as well.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        Ascending.
    counts : ndarray of int64, shape (n,)
    exact : bool

    Examples
    --------
    >>> found = NumberCounts(3)
    >>> found.add(np.array([1.0, 2.0, 2.0, np.nan]))
    >>> found.values, found.counts
    (array([1., 2.]), array([1, 2]))
    >>> found.add(np.array([3.0, 4.0]))
    >>> found.values, found.counts, found.exact
    (array([1., 3.]), array([3, 2]), False)
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self.most = most
        self.values, self.counts = np.zeros(0), np.zeros(0, np.int64)
        self.exact = True

    def add(self, numbers: Floats) -> None:
        """Add numbers; NaN is none."""
        self._add(*np.unique(numbers[~np.isnan(numbers)], return_counts=True))

    def merge(self, other: NumberCounts) -> None:
        """Add what was counted of other rows."""
        self.exact &= other.exact
        self._add(other.values, other.counts)

    def _add(self, values: Floats, counts: Ints) -> None:
        both = np.concatenate([self.values, values])
        weights = np.concatenate([self.counts, counts])
        self.values, place = np.unique(both, return_inverse=True)
        self.counts = np.bincount(place, weights, len(self.values)).astype(np.int64)
        while len(self.values) > self.most:
            self.counts = np.add.reduceat(self.counts, np.arange(0, len(self.counts), 2))
            self.values, self.exact = self.values[::2], False

    def borders(self) -> Floats:
        """Return where bins begin: at every number if there are few, else at quantiles."""
        if len(self.values) <= _FEW and self.exact:
            return self.values[1:]
        below = np.cumsum(self.counts)
        wanted = np.ceil(np.arange(1, _BINS) / _BINS * below[-1])
        found = np.unique(self.values[np.searchsorted(below, wanted)])
        found = found[found > self.values[0]]
        return found if len(found) else self.values[1:2]


# --- the slices ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairDivision:
    """Which rows of a table are in which slice.

    Attributes
    ----------
    attribute : PairAttribute
    names : tuple of str
        The slices: values or bins, ``other``, those set apart, ``no value``.
    values : tuple of str
        Of text: the values that are slices of their own, in the order of ``names``.
    borders : tuple of float
        Of numbers: where a bin begins; one more is below the first.
    notes : tuple of str
        What should be known of it, one line each.
    """

    attribute: PairAttribute
    names: tuple[str, ...]
    values: tuple[str, ...] = ()
    borders: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ordered(self) -> bool:
        """Whether the slices are bins, which are in an order of their own."""
        return self.attribute.kind == "number"

    def codes(self, batch: TableBatch, layout: PairLayout) -> Ints:
        """Return the slice of each row of a batch, shape (rows,)."""
        lacking = len(self) - 1
        if self.ordered:
            numbers = self.attribute.numbers(batch, layout)
            found = np.searchsorted(np.asarray(self.borders), numbers, side="right")
            return np.where(np.isnan(numbers), lacking, found)
        texts = self.attribute.texts(batch)
        place = {value: n for n, value in enumerate(self.values)}
        other = len(self.values)
        if self.attribute.kind == SITE:
            place |= {value: other + 1 + n for n, value in enumerate(_APART)}
        codes = [place.get(word, other) for word in texts.dictionary.to_pylist()]
        return np.array([*codes, lacking], np.int64)[_indices(texts)]


def _indices(texts: pa.DictionaryArray) -> Ints:
    """Return the position of each text in its dictionary; -1 for null."""
    found = pc.fill_null(texts.indices.cast(pa.int64()), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def counted_texts(texts: pa.DictionaryArray) -> dict[str, int]:
    """Return the rows of each text; several entries of the dictionary can be the same."""
    words = texts.dictionary.to_pylist()
    at = _indices(texts)
    counts = np.bincount(at[at >= 0], minlength=len(words)).tolist()
    found: dict[str, int] = {}
    for word, count in zip(words, counts, strict=True):
        if count and word is not None:
            found[word] = found.get(word, 0) + count
    return found


def divided(
    attribute: PairAttribute, counted: ValueCounts | NumberCounts, most: int = MOST
) -> PairDivision:
    """Make slices of the values of a table; of too many, the largest, and one of all others.

    Parameters
    ----------
    attribute : PairAttribute
    counted : ValueCounts or NumberCounts
        Of all rows.
    most : int
        Number of values that are slices of their own.
    """
    if isinstance(counted, NumberCounts):
        borders = counted.borders()
        names = (*(_bins(counted, borders) if len(counted.values) else ()), NO_VALUE)
        return PairDivision(attribute, names, borders=tuple(borders.tolist()))
    apart = _APART if attribute.kind == SITE else ()
    each = sorted((-n, value) for value, n in counted.counts.items() if value not in apart)
    values = tuple(value for _, value in each[:most])
    names = (*distinct([shown(value) for value in values]), OTHER, *apart, NO_VALUE)
    notes = _notes(attribute.label, counted, [-n for n, _ in each], most)
    return PairDivision(attribute, names, values, notes=tuple(notes))


def _notes(label: str, counted: ValueCounts, counts: Sequence[int], most: int) -> Iterator[str]:
    """Say how many values there are, and whether the slices are surely the largest.

    Parameters
    ----------
    label : str
    counted : ValueCounts
    counts : sequence of int
        Of all values that were not let go or set apart, descending.
    most : int
    """
    doubt = counted.doubt
    if len(counts) <= most and not doubt:
        return
    many = f"{label}: more than {counted.most:,}" if doubt else f"{label}: {len(counts):,}"
    if not counts:
        yield f"{many} values, none more often than {doubt:,} times; {OTHER!r} is all of them"
        return
    yield (
        f"{many} values; the largest {min(most, len(counts)):,} are slices of their own, {OTHER!r} "
        "is all others"
    )
    lowest = counts[most - 1] if len(counts) >= most else 0
    highest = (counts[most] if len(counts) > most else 0) + doubt
    if doubt and highest > lowest:
        yield (
            f"{label}: a value with up to {highest:,} rows may be in {OTHER!r}, because there are "
            "too many values to count all; the counts of the slices are exact"
        )


def _bins(counted: NumberCounts, borders: Floats) -> tuple[str, ...]:
    """Return the names of bins."""
    if len(borders) == len(counted.values) - 1:
        return distinct(map(_shown, counted.values.tolist()))
    ends = [_shown(border) for border in borders.tolist()]
    between = [f"{a} to under {b}" for a, b in pairwise(ends)]
    return distinct([f"under {ends[0]}", *between, f"{ends[-1]} or more"])


def _shown(number: float) -> str:
    return f"{int(number)}" if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"
