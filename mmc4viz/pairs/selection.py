"""Which rows of a table are kept: thresholds of one or two scores, and conditions on other columns.

This is the literal rule, row by row; the histograms of `mmc4viz.pairs.histogram` give its counts.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmc4viz.arrays import Bools, Floats
from mmc4viz.data.scale import Scale
from mmc4viz.pairs.histogram import sum_scale
from mmc4viz.pairs.layout import ASPECT, DEFAULT_RULE, KeepRule, PairLayout, ScoreColumn
from mmc4viz.pairs.recognise import TableFile
from mmc4viz.pairs.table import (
    STATUS,
    UNREADABLE,
    ColumnNumbers,
    PairTable,
    TableBatch,
    as_text,
    bools_of,
    needed,
)
from mmc4viz.types import ConfigError

Together = Literal["one", "and", "or", "sum"]
"""How two scores decide: only one is there, both must be kept, either, or their sum."""

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
    "==": operator.eq, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_CONDITION: Final = re.compile(r"\s*(.+?)\s*(>=|<=|==|!=|>|<|=)\s*(.+?)\s*")

KEPT: Final = "kept"
BELOW: Final = "below threshold"
NO_SCORE: Final = "no score"
FILTERED: Final = "filtered out"
NOT_DOWNLOADED: Final = "not downloaded"


@dataclass(frozen=True, slots=True)
class RowCondition:
    """A condition on a column.

    Attributes
    ----------
    column : str
    sign : str
        ``>=``, ``<=``, ``>``, ``<``, ``=`` or ``!=``.
    value : float or str
        Compared with numbers in double precision, or as text with ``=`` and ``!=``.

    Examples
    --------
    >>> print(RowCondition.parse("width >= 200"), RowCondition.parse("NSFW=UNLIKELY"))
    width>=200 NSFW=UNLIKELY
    """

    column: str
    sign: str
    value: float | str

    @classmethod
    def parse(cls, text: str) -> RowCondition:
        """Read ``COLUMN>=NUMBER`` or ``COLUMN=TEXT``.

        Raises
        ------
        ConfigError
            If it is neither.
        """
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"condition {text!r}: expected COLUMN>=NUMBER or COLUMN=TEXT, such as 'width>=200'"
            )
        column, sign, value = found.groups()
        sign = "=" if sign == "==" else sign
        try:
            number = float(value)
            if np.isnan(number):
                raise ValueError
            return cls(column, sign, number)
        except ValueError:
            if sign not in ("=", "!="):
                raise ConfigError(f"condition {text!r}: {value!r} is not a number") from None
            return cls(column, sign, value)

    def met(self, batch: TableBatch, layout: PairLayout) -> Bools:
        """Return which rows of a batch meet it; a row without a value does not."""
        if isinstance(self.value, str):
            equal = _equal(batch.columns[self.column], self.value)
            found = pc.invert(equal) if self.sign == "!=" else equal
            return bools_of(found)
        values = batch.numbers(self.column, layout).values.astype(np.float64, copy=False)
        return np.asarray(_COMPARE[self.sign](values, self.value) & ~np.isnan(values))

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, str) else f"{self.value:.12g}"
        return f"{self.column}{self.sign}{value}"


def _equal(column: pa.Array, text: str) -> pa.Array:
    """Return where a column is equal to a text; nulls if its type has no text."""
    if pa.types.is_dictionary(column.type):
        return _equal(column.dictionary, text).take(column.indices)
    return pc.equal(as_text(column), text)


@dataclass(frozen=True, slots=True)
class PairSelection:
    """Which rows are kept.

    Attributes
    ----------
    scores : tuple of ScoreColumn
        One or two.
    thresholds : tuple of float
        One, or one for each of two scores that are not added.
    together : str
        ``one``, ``and``, ``or`` or ``sum``.
    where : tuple of RowCondition
        All must be met.
    rule : KeepRule

    Examples
    --------
    >>> both = (ScoreColumn("b32", "ViT-B/32"), ScoreColumn("l14", "ViT-L/14"))
    >>> print(PairSelection(both, (0.28, 0.25), "and"))
    b32 ≥ 0.28 and l14 ≥ 0.25
    >>> print(PairSelection(both, (0.6,), "sum", rule=KeepRule(strict=True)))
    b32 + l14 > 0.6
    >>> print(PairSelection(both, (0.28, 0.25), "or", (RowCondition("width", ">=", 200),)))
    (b32 ≥ 0.28 or l14 ≥ 0.25) and width>=200
    """

    scores: tuple[ScoreColumn, ...]
    thresholds: tuple[float, ...]
    together: Together = "one"
    where: tuple[RowCondition, ...] = ()
    rule: KeepRule = DEFAULT_RULE

    def __post_init__(self) -> None:
        if len(self.scores) != (1 if self.together == "one" else 2):
            raise ValueError("one score, or two that decide together")
        if len(self.thresholds) != (2 if self.together in ("and", "or") else 1):
            raise ValueError("a threshold for each score, or one for the sum")

    def __str__(self) -> str:
        names, sign = [one.name for one in self.scores], self.rule.sign
        if self.together == "sum":
            text = f"{' + '.join(names)} {sign} {self.thresholds[0]!r}"
        else:
            each = zip(names, self.thresholds, strict=True)
            text = f" {self.together} ".join(f"{name} {sign} {at!r}" for name, at in each)
        text = f"({text})" if self.together == "or" and self.where else text
        return " and ".join([text, *map(str, self.where)])

    @property
    def name(self) -> str:
        """What the first threshold is of: the first score, or the sum of two."""
        names = [one.name for one in self.scores]
        return " + ".join(names) if self.together == "sum" else names[0]

    @property
    def scale(self) -> Scale:
        """The scale of the first score, or of the sum of two."""
        return sum_scale(*self.scores) if self.together == "sum" else self.scores[0].scale

    def alone(self, column: ScoreColumn, threshold: float = 0.0) -> PairSelection:
        """Return the selection by one score under the same conditions."""
        return replace(self, scores=(column,), thresholds=(threshold,), together="one")

    def at(self, *thresholds: float) -> PairSelection:
        """Return it at other thresholds."""
        return replace(self, thresholds=thresholds)

    def columns(self, file: TableFile, layout: PairLayout) -> list[str]:
        """Return the columns of a file that decide."""
        names = [*(one.name for one in self.scores), *(one.column for one in self.where)]
        return needed([*names, *downloads(file)], layout, file.columns)

    def numbers(self, batch: TableBatch, layout: PairLayout) -> list[ColumnNumbers]:
        """Return a batch's scores."""
        return [batch.numbers(one.name, layout) for one in self.scores]

    def reached(self, numbers: Sequence[ColumnNumbers]) -> Bools:
        """Return which rows reach the thresholds."""
        values = [one.values for one in numbers]
        if self.together == "sum":
            return self.rule.reached(summed(*values), self.thresholds[0], single=False)
        each = zip(numbers, self.thresholds, strict=True)
        found = [self.rule.reached(_double(n.values), at, n.single) for n, at in each]
        if len(found) == 1:
            return found[0]
        join = np.logical_or if self.together == "or" else np.logical_and
        return np.asarray(join(*found), bool)

    def decisive(self, numbers: Sequence[ColumnNumbers]) -> Floats:
        """Return by how much each row is above its thresholds: below 0 if it is dropped."""
        values = [_double(one.values) for one in numbers]
        if self.together == "sum":
            return values[0] + values[1] - self.thresholds[0]
        each = zip(numbers, values, self.thresholds, strict=True)
        margins = [v - self.rule.compared(at, n.single) for n, v, at in each]
        if self.together == "or":
            return np.fmax(margins[0], margins[1])
        return margins[0] if len(margins) == 1 else np.minimum(margins[0], margins[1])

    def statuses(self, batch: TableBatch, layout: PairLayout) -> list[str]:
        """Return what happens to each row of a batch."""
        numbers = self.numbers(batch, layout)
        kept, pool = self.reached(numbers), admitted(batch, self.where, layout)
        here = downloaded(batch)
        scored = ~np.isnan(self.decisive(numbers))
        words = np.where(kept, KEPT, np.where(scored, BELOW, NO_SCORE)).astype(object)
        words[~pool] = FILTERED
        words[~here] = NOT_DOWNLOADED
        words[unreadable(batch)] = UNREADABLE
        return [str(word) for word in words]

    def kept(self, batch: TableBatch, layout: PairLayout) -> Bools:
        """Return which rows of a batch are kept."""
        reached = self.reached(self.numbers(batch, layout))
        return reached & admitted(batch, self.where, layout) & downloaded(batch)


def _double(values: Any) -> Floats:
    return np.asarray(values, np.float64)


def summed(one: Any, other: Any) -> Floats:
    """Return the sums of two scores in double precision; NaN if one is missing."""
    return _double(one) + _double(other)


def admitted(batch: TableBatch, where: Sequence[RowCondition], layout: PairLayout) -> Bools:
    """Return which rows of a batch meet all conditions."""
    found = np.ones(batch.rows, bool)
    for one in where:
        found &= one.met(batch, layout)
    return found


def downloads(file: TableFile) -> list[str]:
    """Return the column that says whether an image was downloaded, if the file is img2dataset's."""
    return [STATUS] if {STATUS, "key", "caption"} <= set(file.columns) else []


def downloaded(batch: TableBatch) -> Bools:
    """Return which rows have their image, according to img2dataset; all if it did not write it."""
    return _has_status(batch, "success", default=True)


def unreadable(batch: TableBatch) -> Bools:
    """Return which rows are samples whose metadata could not be read."""
    return _has_status(batch, UNREADABLE, default=False)


def _has_status(batch: TableBatch, status: str, *, default: bool) -> Bools:
    if STATUS not in batch.columns:
        return np.full(batch.rows, default)
    return bools_of(_equal(batch.columns[STATUS], status))


def conditions_on(texts: Sequence[str], table: PairTable) -> list[RowCondition]:
    """Return conditions on columns that the table has.

    Raises
    ------
    ConfigError
    """
    found = []
    for one in map(RowCondition.parse, texts):
        computable = any(column.name == ASPECT for column in table.numbers)
        if one.column not in table.first.columns and not (one.column == ASPECT and computable):
            names = ", ".join(table.first.columns[:30])
            raise ConfigError(f"condition {one}: no column {one.column!r}; there are {names}")
        found.append(one)
    return found
