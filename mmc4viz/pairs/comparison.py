"""Two scores of one table: equivalent thresholds, and how far they keep the same rows.

Everything is exact and comes from the joint histogram (`mmc4viz.pairs.curves`), at any threshold of
the grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.pairs.curves import PairCurves, step_of
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.thresholds.compare.agreement import Overlap


@dataclass(frozen=True)
class ComparedScores:
    """A threshold of one score, the other score's with the same yield, and what both keep.

    Attributes
    ----------
    first, second : ScoreColumn
    threshold : float
        Of the first.
    equivalent : float
        Of the second: the step of its grid that keeps as many rows, the highest one if there are
        several; if none does, the closest, and in a tie the one that keeps less.
    kept : tuple of (int, int)
        Rows that each keeps.
    overlap : Overlap
        Of these rows.

    Examples
    --------
    >>> ComparedScores(ScoreColumn("a", ""), ScoreColumn("b", ""), 0.3, 0.2, (5, 6),
    ...                Overlap(4, 1, 2)).exact
    False
    """

    first: ScoreColumn
    second: ScoreColumn
    threshold: float
    equivalent: float
    kept: tuple[int, int]
    overlap: Overlap

    @property
    def exact(self) -> bool:
        """Whether both keep the same number of rows."""
        return self.kept[0] == self.kept[1]

    def row(self) -> dict[str, Any]:
        """Return it as plain values, under the names that ``compare`` has for documents."""
        both = self.overlap
        return {
            "first": self.first.name,
            "second": self.second.name,
            "equal": "pairs",
            "first_threshold": self.threshold,
            "second_threshold": self.equivalent,
            "first_value": self.kept[0],
            "second_value": self.kept[1],
            "exact": self.exact,
            "pairs_both": both.both,
            "pairs_only_first": both.only_first,
            "pairs_only_second": both.only_second,
            "pairs_jaccard": both.jaccard,
        }


def compared(
    curves: PairCurves, first: ScoreColumn, second: ScoreColumn, threshold: float
) -> ComparedScores:
    """Find the threshold of the second score with the yield of the first, and compare what is kept.

    Parameters
    ----------
    curves : PairCurves
        In which both scores were counted together.
    first, second : ScoreColumn
    threshold : float
        Of the first score's grid.

    Raises
    ------
    ConfigError
        If they were not counted together, or the threshold is not of the grid.
    """
    wanted = int(curves.curve([first])[step_of(first, threshold)])
    step = _closest(curves.curve([second]), wanted)
    equivalent = float(second.scale.thresholds()[step])
    return overlapping(curves, first, second, threshold, equivalent)


def _closest(kept: Ints, wanted: int) -> int:
    """Return the last step with the closest yield; ``kept`` falls, so it is the one with less."""
    off = np.abs(kept - wanted)
    return int(np.flatnonzero(off == off.min())[-1])


def overlapping(
    curves: PairCurves,
    first: ScoreColumn,
    second: ScoreColumn,
    threshold: float,
    other: float,
) -> ComparedScores:
    """Compare what two scores keep, each at a threshold of its own.

    Parameters
    ----------
    curves, first, second, threshold
        As for `compared`.
    other : float
        Of the second score's grid.
    """
    kept = curves.kept([first], [threshold]), curves.kept([second], [other])
    both = curves.kept([first, second], [threshold, other], "and")
    overlap = Overlap(both, kept[0] - both, kept[1] - both)
    return ComparedScores(first, second, threshold, other, kept, overlap)


def quantiles(curves: PairCurves, column: ScoreColumn, shares: Sequence[float]) -> list[float]:
    """Return quantiles of a score, each down to a step of the grid; none without scores."""
    kept = curves.curve([column])
    rows = int(kept[0])
    if not rows:
        return []
    wanted = [max(1, int(np.ceil((1 - share) * rows))) for share in shares]
    steps = [int(np.flatnonzero(kept >= n)[-1]) for n in wanted]
    return [float(column.scale.thresholds()[step]) for step in steps]


def rank_correlation(curves: PairCurves) -> tuple[float, int]:
    """Return Spearman's ρ of the two scores that were counted together, and its number of rows.

    Scores of the same step of a grid are tied, and so have their mean rank. NaN if one score is
    the same for all rows.
    """
    joint = curves.tally.joint
    if joint is None:
        raise ValueError("the scores were not counted together")
    joint = joint[1:, 1:]
    ranks = [_centered_ranks(joint.sum(axis)) for axis in (1, 0)]
    weights = [float(joint.sum(axis) @ rank**2) for axis, rank in zip((1, 0), ranks, strict=True)]
    scale = float(np.sqrt(weights[0]) * np.sqrt(weights[1]))
    found = float(ranks[0] @ (joint @ ranks[1])) / scale if scale else np.nan
    return found, int(joint.sum())


def _centered_ranks(counts: Ints) -> Floats:
    """Return the mean rank of each value, less the mean of all ranks."""
    return np.asarray(np.cumsum(counts) - counts / 2 - counts.sum() / 2, np.float64)
