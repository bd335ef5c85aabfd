"""A corpus divided into slices: the slice of every document, or of every matched pair's image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Bools, Ints
from mmc4viz.sweep.pairs import Pairs
from mmc4viz.types import ConfigError

Unit = Literal["document", "image"]
Codes = NDArray[np.int32]

NO_VALUE: Final = "no value"
OTHER: Final = "other"
MOST: Final = 30
"""Slices of a division besides those set apart, unless another number is asked for."""
_LONGEST: Final = 80  # characters of a name


@dataclass(frozen=True)
class Values:
    """What an attribute says of every document or pair.

    Attributes
    ----------
    code : ndarray of int32, shape (documents,) or (pairs,)
        Position of each one's value in ``names``; -1 without a value.
    names : sequence of str
        All values, or bins of values.
    ordered : bool
        Whether the names are in an order of their own, as bins are; otherwise the largest slice
        comes first.
    apart : int
        How many names at the end are not values but reasons for having none, each a slice of its
        own whatever its size.
    notes : tuple of str
        What was counted and does not appear, one line each.
    """

    code: Codes
    names: Sequence[str]
    ordered: bool = False
    apart: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Division:
    """A corpus divided into slices that together are the whole.

    Attributes
    ----------
    name, label : str
        The attribute, as named on the command line and on screen.
    unit : str
        Whether documents are divided, or images: these by their matched pairs.
    names : tuple of str
        The slices, each of at least one document or pair: the attribute's values, then ``other``
        (values beyond the most that were asked for), then those without a value.
    code : ndarray of int32, shape (documents,) or (pairs,)
        The slice of every document of the corpus, or of every pair in the order of `Pairs`.
    notes : tuple of str
        What should be known of it, one line each.
    """

    name: str
    label: str
    unit: Unit
    names: tuple[str, ...]
    code: Codes
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> Ints:
        """Documents or pairs of each slice, shape (slices,)."""
        return np.bincount(self.code, minlength=len(self))

    def position(self, name: str) -> int:
        """Return the position of a slice; raises a ConfigError if there is none of this name."""
        if name not in self.names:
            raise ConfigError(f"{self.label} has no slice {name!r}")
        return self.names.index(name)

    def of_pairs(self, pairs: Pairs) -> Codes:
        """Return the slice of every pair: its image's, or its document's; shape (pairs,)."""
        return self.code if self.unit == "image" else self.code[pairs.document]

    def documents_in(self, name: str, pairs: Pairs) -> Ints:
        """Return the positions of a slice's documents, ascending.

        A document is in a slice of images if one of its matched pairs is.
        """
        here = self.code == self.position(name)
        return np.flatnonzero(here) if self.unit == "document" else np.unique(pairs.document[here])


def divide(name: str, label: str, unit: Unit, values: Values, most: int = MOST) -> Division:
    """Make slices of values; of too many, the largest, and one of all others.

    Parameters
    ----------
    name, label, unit
        As in `Division`.
    values : Values
    most : int
        Number of values that are slices of their own.

    Examples
    --------
    >>> colours = Values(np.array([0, 1, 1, 2, -1, 3], np.int32), ["red", "blue", "green", "grey"])
    >>> found = divide("colour", "Colour", "document", colours, most=2)
    >>> found.names, found.code.tolist()
    (('blue', 'green', 'other', 'no value'), [2, 0, 0, 1, 3, 2])
    """
    n, proper = len(values.names), len(values.names) - values.apart
    sizes = np.bincount(values.code + 1, minlength=n + 1)
    lacking, sizes = int(sizes[0]), sizes[1:]
    some = np.flatnonzero(sizes[:proper] > 0)
    largest = some[np.lexsort((_ranks(values.names, some), -sizes[some]))]
    chosen = largest[:most]
    if values.ordered:
        chosen = np.sort(chosen)
    apart = proper + np.flatnonzero(sizes[proper:] > 0)
    rest = largest[most:]
    slice_of = np.full(n + 1, -1, np.int32)
    slice_of[chosen] = np.arange(len(chosen))
    slice_of[rest] = len(chosen)
    after = len(chosen) + (len(rest) > 0)
    slice_of[apart] = after + np.arange(len(apart))
    slice_of[-1] = after + len(apart)
    names = [shown(values.names[i]) for i in chosen.tolist()]
    names += [OTHER] * (len(rest) > 0) + [values.names[i] for i in apart.tolist()]
    names += [NO_VALUE] * (lacking > 0)
    notes = [*values.notes]
    if len(rest):
        notes.append(
            f"{label}: {len(some):,} values; the largest {len(chosen):,} are slices of their own, "
            f"{OTHER!r} is all others"
        )
    if lacking and lacking == len(values.code):
        notes.append(f"{label}: nothing in this corpus has a value")
    return Division(name, label, unit, distinct(names), slice_of[values.code], tuple(notes))


def _ranks(names: Sequence[str], some: Ints) -> Ints:
    """Rank some names in alphabetical order."""
    order = sorted(range(len(some)), key=[names[i] for i in some.tolist()].__getitem__)
    rank = np.empty(len(some), np.int64)
    rank[order] = np.arange(len(some))
    return rank


def shown(value: str) -> str:
    """Return a value as the name of a slice: not too long, and quoted if it could be misread.

    Examples
    --------
    >>> shown("red"), shown(" red"), shown("other"), shown("")
    ('red', '" red"', '"other"', '""')
    """
    if len(value) > _LONGEST:
        value = f"{value[: _LONGEST - 1]}…"
    plainly = value and value == value.strip() and value not in (NO_VALUE, OTHER)
    return value if plainly and not value.startswith('"') else f'"{value}"'


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Tell equal names apart by a number, as long ones can be when they are cut off."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


def binned(
    values: NDArray[Any],
    known: Bools,
    borders: Sequence[float],
    names: Sequence[str],
) -> Values:
    """Put numbers into bins.

    Parameters
    ----------
    values : ndarray of numbers
    known : ndarray of bool
        Which of them are values.
    borders : sequence of float
        Ascending; a bin begins at each, and one more is below the first.
    names : sequence of str
        One per bin.

    Examples
    --------
    >>> found = binned(np.array([0, 5, 12, -1]), np.array([True, True, True, False]), [5, 10],
    ...                ["under 5", "5 to 9", "10 or more"])
    >>> found.code
    array([ 0,  1,  2, -1], dtype=int32)
    """
    code = np.searchsorted(np.asarray(borders), values, side="right").astype(np.int32)
    code[~known] = -1
    return Values(code, names, ordered=True)
