"""What every threshold of a table's scores keeps: the exact counts, by look-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.scale import Thresholds
from mmc4viz.pairs.count import CountPlan
from mmc4viz.pairs.histogram import ColumnTally, PairTally, range_of, sum_scale
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.selection import Together
from mmc4viz.types import ConfigError


@dataclass(frozen=True, eq=False)
class PairCurves:
    """The exact yields of a table at every threshold of the grid of each score.

    Attributes
    ----------
    plan : CountPlan
        What was counted, by which rule and under which conditions.
    tally : PairTally

    Examples
    --------
    >>> from mmc4viz.pairs.histogram import TallyCounter
    >>> from mmc4viz.pairs.layout import KeepRule
    >>> both = ScoreColumn("b32", "ViT-B/32"), ScoreColumn("l14", "ViT-L/14")
    >>> plan = CountPlan("table", both, True, (), KeepRule())
    >>> counter = plan.counter()
    >>> counter.add([np.array([0.2, 0.3]), np.array([0.3, 0.1])], [False, False], [0, 0])
    >>> curves = PairCurves(plan, counter.tally())
    >>> curves.kept([both[0]], [0.3]), curves.kept(both, [0.2, 0.3], "and")
    (1, 1)
    >>> curves.kept(both, [0.3, 0.3], "or"), curves.kept(both, [0.4], "sum")
    (2, 2)
    """

    plan: CountPlan
    tally: PairTally

    def __post_init__(self) -> None:
        if len(self.plan.columns) != len(self.tally.columns):
            raise ValueError("a tally of another plan")

    @property
    def scores(self) -> tuple[ScoreColumn, ...]:
        """The columns that are CLIP scores."""
        return tuple(one for one in self.plan.columns if one.is_score)

    def place(self, column: ScoreColumn) -> int:
        """Return the position of a column in what was counted.

        Raises
        ------
        ConfigError
            If it was not counted.
        """
        return place_in(self.plan, column)

    def of(self, column: ScoreColumn) -> ColumnTally:
        """Return what was counted of a column."""
        return self.tally.columns[self.place(column)]

    def thresholds(self, columns: Sequence[ScoreColumn], together: Together = "one") -> Thresholds:
        """Return the grid of a score, or of the sum of two."""
        if together == "sum":
            return sum_scale(columns[0], columns[1]).thresholds()
        return columns[0].scale.thresholds()

    def curve(
        self,
        columns: Sequence[ScoreColumn],
        together: Together = "one",
        second: float | None = None,
    ) -> Ints:
        """Return the rows kept at every threshold of the first score or of the sum, shape (K,).

        Parameters
        ----------
        columns : sequence of ScoreColumn
            One, or the two that were counted together.
        together : str
        second : float, optional
            Threshold of the second score, for ``and`` and ``or``; must be of its grid.

        Raises
        ------
        ConfigError
            If the two were not counted together, or the threshold is not of the grid.
        """
        if together == "one":
            return self.of(columns[0]).kept
        self._check(columns)
        if together == "sum":
            assert self.tally.sums is not None
            sum_scale(columns[0], columns[1])
            return np.cumsum(self.tally.sums[::-1])[::-1][1:]
        assert second is not None
        both = self._both(columns)[:, step_of(columns[1], second)]
        if together == "and":
            return both
        other = int(self.of(columns[1]).kept[step_of(columns[1], second)])
        return self.of(columns[0]).kept + other - both

    def kept(
        self,
        columns: Sequence[ScoreColumn],
        thresholds: Sequence[float],
        together: Together = "one",
    ) -> int:
        """Return the rows kept at thresholds of the grid."""
        if together == "sum":
            scale = sum_scale(columns[0], columns[1])
            step = step_of(ScoreColumn("the sum", "", scale), thresholds[0])
            return int(self.curve(columns, "sum")[step])
        second = thresholds[1] if together != "one" else None
        found = self.curve(columns, together, second)
        return int(found[step_of(columns[0], thresholds[0])])

    def surface(self, columns: Sequence[ScoreColumn], together: Together) -> Ints:
        """Return the rows kept at all pairs of thresholds, shape (K₁, K₂), by ``and`` or ``or``."""
        self._check(columns)
        both = self._both(columns)
        if together == "and":
            return both
        one, other = (self.of(column).kept for column in columns)
        return one[:, None] + other[None, :] - both

    def histogram_of_both(self, columns: Sequence[ScoreColumn]) -> Ints:
        """Return rows by the number of thresholds that each score reaches, shape (K₁+1, K₂+1)."""
        self._check(columns)
        assert self.tally.joint is not None
        swapped = columns[0].name != self.plan.columns[0].name
        return self.tally.joint.T if swapped else self.tally.joint

    def _check(self, columns: Sequence[ScoreColumn]) -> None:
        pair = {one.name for one in self.plan.columns[:2]}
        if self.tally.joint is None or {one.name for one in columns} != pair or len(columns) != 2:
            named = " and ".join(one.name for one in columns)
            raise ConfigError(
                f"{named} were not counted together: give the TABLE itself, or make the index with "
                + " ".join(f"--score {one.name}" for one in columns)
            )

    def _both(self, columns: Sequence[ScoreColumn]) -> Ints:
        swapped = columns[0].name != self.plan.columns[0].name
        return self._quadrants.T if swapped else self._quadrants

    @cached_property
    def _quadrants(self) -> Ints:
        """Rows that reach both thresholds, shape (K₁, K₂)."""
        assert self.tally.joint is not None
        found = np.cumsum(self.tally.joint[::-1, ::-1], axis=0)
        np.cumsum(found, axis=1, out=found)
        return found[::-1, ::-1][1:, 1:]

    def notes(self) -> list[str]:
        """Return what is odd about the table's values, one line each."""
        found = []
        for column, one in zip(self.plan.columns, self.tally.columns, strict=True):
            if one.outside:
                _, high = range_of(column.scale)
                far = one.highest if one.highest > high else one.lowest
                where = f"{column.scale.start:g} to {column.scale.stop:g}"
                found.append(
                    f"{column.name}: {_rows(one.outside)} outside {where} (the {column.scale.name} "
                    f"scale; up to {far:g}), counted at the end of the scale"
                )
            if one.missing or one.malformed:
                odd = [
                    (one.missing, "without a value"),
                    (one.malformed, "with text that is no number"),
                ]
                words = " and ".join(f"{_rows(n)} {what}" for n, what in odd if n)
                found.append(f"{column.name}: {words}; never kept by it")
        if self.tally.not_downloaded:
            found.append(
                f"{_rows(self.tally.not_downloaded)} not downloaded, according to img2dataset"
            )
        if self.tally.unreadable:
            found.append(f"{_rows(self.tally.unreadable)} with unreadable metadata (invalid JSON)")
        return found


def place_in(plan: CountPlan, column: ScoreColumn) -> int:
    """Return the position of a column in what was counted.

    Raises
    ------
    ConfigError
        If it was not counted.
    """
    names = [one.name for one in plan.columns]
    if column.name not in names:
        raise ConfigError(
            f"{column.name} was not counted ({', '.join(names)} were): give the TABLE itself"
        )
    return names.index(column.name)


def step_of(column: ScoreColumn, threshold: float) -> int:
    """Return the position of a threshold in a column's grid.

    Raises
    ------
    ConfigError
        If it is between two steps, where a histogram cannot tell.
    """
    grid = column.scale.thresholds()
    step = int(np.searchsorted(grid, threshold))
    if step == len(grid) or grid[step] != threshold:
        raise ConfigError(
            f"{threshold!r} is not a step of the grid of {column.name} ({grid[0]:g} to "
            f"{grid[-1]:g} by {column.scale.step:g})"
        )
    return step


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def shares(kept: Ints, rows: int) -> Floats:
    """Return counts as shares of the rows; NaN without any."""
    return np.asarray(kept / rows if rows else np.full(len(kept), np.nan), np.float64)
