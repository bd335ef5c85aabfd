"""Recognize the scale of similarity matrices, and check thresholds against it.

Scales are cosine, cosine × 100, softmax over each image's sentences, sigmoid, or unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns
from mmc4viz.types import moved

Thresholds = NDArray[np.float64]

MAX_STEPS: Final = 4001
"""Maximum number of thresholds in a grid."""
RANGES: Final[dict[str, tuple[float, float]]] = {
    "cosine": (-1.0, 1.0),
    "×100": (-100.0, 100.0),
    "softmax": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "unknown": (-np.inf, np.inf),
}
_SLACK: Final = 1.0001  # in single precision, the cosine of equal vectors can exceed 1
_MOST_VALUES: Final = 1_000_000  # examined to recognize a scale
_MOST_PARTS: Final = 40


@dataclass(frozen=True, slots=True)
class Scale:
    """A score scale with a grid of thresholds."""

    name: str
    start: float
    stop: float
    step: float
    digits: int

    def thresholds(self) -> Thresholds:
        """Return the grid: at most 4,001 ascending decimals in double precision; read-only."""
        return _grid(self)


@lru_cache(64)
def _grid(scale: Scale) -> Thresholds:
    first, last = round(scale.start / scale.step), round(scale.stop / scale.step)
    grid = np.array([round(k * scale.step, scale.digits) for k in range(first, last + 1)])
    grid.setflags(write=False)
    return grid


COSINE: Final = Scale("cosine", -1.0, 1.0, 0.001, 3)
TIMES_100: Final = Scale("×100", -100.0, 100.0, 0.1, 1)


def decimal_scale(low: float, high: float) -> Scale:
    """Return the finest decimal grid from below the lowest score to above the highest."""
    reach = max(abs(low), abs(high))
    if reach > 1e300:  # avoid overflow
        low, high, reach = min(low, 1e300), min(high, 1e300), 1e300
        low, high = max(low, -1e300), max(high, -1e300)
    span = max(high / 2 - low / 2, reach / 1e6)
    step = 10.0 ** math.ceil(math.log10(2 * span / (MAX_STEPS - 3)))
    digits = max(0, -round(math.log10(step)))
    first, last = math.floor(low / step), math.ceil(high / step)
    return Scale("unknown", first * step, max(last, first + 1) * step, step, digits)


def recognise(values: NDArray[Any], widths: NDArray[Any]) -> str:
    """Recognize the scale of similarity matrices.

    Parameters
    ----------
    values : ndarray of float, shape (Σ widths,)
        Concatenated matrix rows, each an image's similarity to the sentences of its page.
    widths : ndarray of int, shape (rows,)
        Number of sentences in each row.

    Returns
    -------
    str
        One of `RANGES`. The rows of a softmax sum to 1. The values of a sigmoid are not negative
        and span orders of magnitude, nearly all of them close to 0. The outermost hundredth of the
        values is ignored; without finite values the scale is unknown.

    Examples
    --------
    >>> rows = np.array([0.7, 0.2, 0.1, 0.25, 0.25, 0.5])
    >>> recognise(rows, np.array([3, 3]))
    'softmax'
    >>> recognise(rows, np.array([2, 4]))
    'cosine'
    >>> recognise(100 * rows, np.array([2, 4]))
    '×100'
    >>> recognise(np.array([1e-7, 1e-6, 0.9, 1e-6]), np.array([2, 2]))
    'sigmoid'
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return "unknown"
    low, middle, high = (float(x) for x in np.quantile(finite, [0.005, 0.5, 0.995]))
    reach = max(abs(low), abs(high))
    if reach > 100 * _SLACK or middle < -_SLACK:
        return "unknown"  # e.g. logits with a bias, which are mostly negative
    if reach > _SLACK:
        return "×100"
    if low < 0:
        return "cosine"
    if _sums_to_one(values, widths):
        return "softmax"
    return "sigmoid" if middle < 0.01 and high > 100 * middle else "cosine"


def _sums_to_one(values: NDArray[Any], widths: NDArray[Any]) -> bool:
    """Whether nearly all rows with several sentences sum to 1."""
    starts = np.concatenate([[0], np.cumsum(widths)])
    running = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values.astype(np.float64)))])
    sums = running[starts[1:]] - running[starts[:-1]]
    several = (widths > 1) & (sums != 0)
    return bool(several.any() and (np.abs(sums[several] - 1) < 1e-3).mean() >= 0.99)


def scale_of(scores: NDArray[np.float64], parts: Sequence[Columns] = ()) -> Scale:
    """Recognize the scale of scores, and choose a matching grid of thresholds.

    Parameters
    ----------
    scores : ndarray of float64, shape (pairs,)
        Scores of the matched pairs.
    parts : sequence of Columns
        The corpus, whose matrices identify the scale; without it, the scores do.

    Examples
    --------
    >>> scale_of(np.array([0.1, 0.3])).step
    0.001
    >>> scale_of(np.array([10.0, 30.0])).name
    '×100'
    """
    ones = np.ones(len(scores), np.int64)
    values, widths = _some_rows(parts) if parts else (scores, ones)
    name = recognise(values, widths) if np.isfinite(values).any() else recognise(scores, ones)
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return replace(TIMES_100 if name == TIMES_100.name else COSINE, name=name)
    low, high = (float(x) for x in np.quantile(finite, [0.005, 0.995]))
    first, last = (_SLACK * end for end in RANGES[name])
    if not first <= low <= high <= last:
        name = recognise(scores, ones)
    if name == "unknown":
        return decimal_scale(low, high)
    return TIMES_100 if name == TIMES_100.name else replace(COSINE, name=name)


def scale_in(parts: Sequence[Columns]) -> str:
    """Recognize the scale of a corpus's matrices."""
    return recognise(*_some_rows(parts))


def _some_rows(parts: Sequence[Columns]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return values and widths of a corpus's matrix rows, from a subset of many shards."""
    chosen = np.unique(np.linspace(0, len(parts) - 1, min(len(parts), _MOST_PARTS)).astype(int))
    each = _MOST_VALUES // max(len(chosen), 1)
    found = [_rows(parts[at], each) for at in chosen.tolist()]
    values = np.concatenate([np.zeros(0), *(values for values, _ in found)])
    widths = np.concatenate([np.zeros(0, np.int64), *(widths for _, widths in found)])
    return values, widths


def misfit(threshold: float, scale: str, low: float, high: float) -> str | None:
    """Return why a threshold keeps all or no pairs; None if it separates them.

    Parameters
    ----------
    threshold : float
    scale : str
        One of `RANGES`.
    low, high : float
        The lowest and the highest score of a matched pair; NaN if there is none.

    Examples
    --------
    >>> misfit(0.24, "cosine", 0.1, 0.4)
    >>> misfit(0.1, "cosine", 0.1, 0.4)
    'every pair reaches it, so no pair is dropped'
    >>> for reason in misfit(30, "cosine", 0.1, 0.4).split("; "):
    ...     print(reason)
    every pair scores below it, so no pair is kept
    it is outside the cosine scale (-1 to 1)
    did you mean 0.3?
    """
    if np.isnan(low) or np.isnan(high):
        return "there are no scored pairs"
    if low < threshold <= high:
        return None
    below = "every pair scores below it, so no pair is kept"
    reasons = [below if threshold > high else "every pair reaches it, so no pair is dropped"]
    first, last = RANGES.get(scale, RANGES["unknown"])
    if not first <= threshold <= last:
        reasons.append(f"it is outside the {scale} scale ({first:g} to {last:g})")
    elif threshold < low:
        reasons.append("it is outside the range of scores")
    meant = threshold * {"cosine": 0.01, "×100": 100.0}.get(scale, np.nan)
    if low < meant <= high and abs(meant) > 0:
        reasons.append(f"did you mean {meant:g}?")
    return "; ".join(reasons)


def misfits(thresholds: NDArray[np.float64], scale: str, scores: NDArray[np.float64]) -> list[str]:
    """Return at most two lines about thresholds that keep all or no pairs.

    Parameters
    ----------
    thresholds : ndarray of float64
        As given by the user.
    scale : str
        One of `RANGES`.
    scores : ndarray of float64, shape (pairs,)
        Scores of the matched pairs, in any order.
    """
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (np.nan, np.nan)
    below, above = thresholds[~(thresholds > low)], thresholds[~(thresholds <= high)]
    groups = [group for group in (below, above) if len(group)][: 2 if len(scores) else 1]
    if not groups:
        return []
    about = f" (scale: {scale}; scores {low:.4g} to {high:.4g})" if len(scores) else ""
    return [
        f"threshold {_some(group)}: {misfit(float(group[0]), scale, low, high)}{about}"
        for group in groups
    ]


def _some(numbers: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{number:.12g}" for number in numbers[:3])
    return shown + (f" and {len(numbers) - 3:,} more" if len(numbers) > 3 else "")


def _rows(part: Columns, most: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return values and widths of the matrix rows of a shard's first documents."""
    starts = part.offsets("similarity")
    last = int(np.searchsorted(starts - starts[0], most, side="right")) - 1
    widths = part.numbers("n_sentences")[: max(last, 0)].astype(np.int64)
    rows = np.diff(starts[: max(last, 0) + 1]) // np.maximum(widths, 1)
    values = part.values("similarity")[starts[0] : starts[max(last, 0)]]
    return values, np.repeat(widths, rows)


@dataclass(frozen=True)
class Shifts:
    """By how much each document's own threshold exceeds the settings', in decimals.

    Attributes
    ----------
    code : ndarray of int64, shape (documents,)
        Position of each document's shift in ``by``.
    by : tuple of Decimal
    """

    code: Ints
    by: tuple[Decimal, ...]

    def at(self, threshold: float) -> Floats:
        """Return every document's threshold where the settings have this one.

        Examples
        --------
        >>> Shifts(np.array([1, 0]), (Decimal(0), Decimal("0.2"))).at(0.1)
        array([0.3, 0.1])
        """
        each = np.array([float(moved(threshold, by)) for by in self.by], np.float64)
        return np.asarray(each[self.code], np.float64)

    def grids(self, thresholds: Thresholds) -> list[Thresholds]:
        """Return the thresholds of each shift where the settings have these, ascending."""
        values = thresholds.tolist()
        return [
            thresholds if not by else np.array([float(moved(value, by)) for value in values])
            for by in self.by
        ]

    def between(self, first: int, last: int) -> Shifts:
        """Return those of consecutive documents."""
        return Shifts(self.code[first:last], self.by)
