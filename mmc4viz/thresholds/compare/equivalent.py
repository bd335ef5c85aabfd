"""Equivalent thresholds of two models.

The same threshold means different things for different models. Two thresholds are equivalent if
they have the same yield (exact), or the same estimated FDR or precision.

A yield is a step function of the threshold that changes only at scores. So thresholds form levels,
intervals with the same yield, and an exhaustive search finds a level with exactly the target yield
if there is one. If ties or large steps leave none, the closest levels on either side are returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import scale_of
from mmc4viz.thresholds.by_yield import Steps
from mmc4viz.thresholds.compare.agreement import Agreement, Candidate, agreement
from mmc4viz.thresholds.fdr.estimate import FEWEST_PAIRS, FdrEstimate

_MOST_DIGITS: Final = 17  # enough to distinguish any two doubles below 1
_SLACK: Final = 1e-12  # relative rounding error of expected values


@dataclass(frozen=True, slots=True)
class Level:
    """Thresholds with the same yield: above ``low``, up to and including ``high``.

    Attributes
    ----------
    low, high : float
        Scores; infinite at the ends.
    kept : float
        Their yield.
    threshold : float
        The one with the fewest decimals; if the level has no upper end, one that drops all pairs.
    """

    low: float
    high: float
    kept: float
    threshold: float


@dataclass(frozen=True, slots=True)
class EqualYield:
    """The level of a model with a target yield, or the two closest levels.

    Attributes
    ----------
    wanted : float
    exact : Level or None
        With exactly that yield; the highest one if there are several.
    less, more : Level or None
        Without an exact level, those with the closest lower and higher yield, if any.
    """

    wanted: float
    exact: Level | None
    less: Level | None = None
    more: Level | None = None

    @property
    def best(self) -> Level:
        """The exact level, else the closer of the two; ``less`` in a tie."""
        if self.exact is not None:
            return self.exact
        near = [level for level in (self.less, self.more) if level is not None]
        return min(near, key=lambda level: abs(level.kept - self.wanted))


def kept_at(steps: Steps, name: str, threshold: float) -> float:
    """Return the yield of a threshold, on a step or between two.

    Parameters
    ----------
    steps : Steps
        At all scores (`mmc4viz.thresholds.by_yield.steps_of_scores`).
    name : str
        One of `mmc4viz.thresholds.by_yield.YIELDS`.
    threshold : float
    """
    at = int(np.searchsorted(steps.threshold, threshold, side="left"))
    return float(_yields(steps, name)[at])


def equal_yield(steps: Steps, name: str, wanted: float) -> EqualYield:
    """Find the thresholds with exactly a target yield.

    Parameters
    ----------
    steps : Steps
        At all of the model's scores.
    name : str
        One of `mmc4viz.thresholds.by_yield.YIELDS`.
    wanted : float
        The target, as returned by `kept_at`: an expected value for documents and tokens.

    Examples
    --------
    >>> two = {name: np.array([3.0, 1.0]) for name in ("pairs",)}
    >>> steps = Steps(np.array([0.2, 0.3]), two, {"pairs": 0.0}, {"pairs": 3.0}, every=True)
    >>> equal_yield(steps, "pairs", 1).exact
    Level(low=0.2, high=0.3, kept=1.0, threshold=0.3)
    >>> found = equal_yield(steps, "pairs", 2)
    >>> found.exact, found.less.kept, found.more.kept, found.best.threshold
    (None, 1.0, 3.0, 0.3)
    """
    left = _yields(steps, name)
    slack = _SLACK * max(1.0, abs(wanted))
    same = np.flatnonzero(np.abs(left - wanted) <= slack)
    if len(same):
        return EqualYield(wanted, _level(steps, left, int(same[-1]), slack))
    less, more = np.where(left < wanted, left, -np.inf), np.where(left > wanted, left, np.inf)
    ends = [
        _level(steps, left, int(np.flatnonzero(values == best)[-1]), slack)
        if math.isfinite(best)
        else None
        for values, best in ((less, float(less.max())), (more, float(more.min())))
    ]
    return EqualYield(wanted, None, *ends)


def _yields(steps: Steps, name: str) -> Floats:
    """Return the yield at each score and above all scores, shape (T + 1,)."""
    if not steps.every or steps.beyond is None:
        raise ValueError("exact yields need the steps at all scores")
    return np.append(steps.kept[name], steps.beyond[name])


def _level(steps: Steps, left: Floats, place: int, slack: float) -> Level:
    """Return the level of adjacent steps with the same yield."""
    first = place - _run(left[place::-1], slack)
    last = place + _run(left[place:], slack)
    low = float(steps.threshold[first - 1]) if first else -math.inf
    high = float(steps.threshold[last]) if last < len(steps.threshold) else math.inf
    digits = scale_of(steps.threshold).digits
    drops = max(low, float(steps.threshold[-1])) if last == len(steps.threshold) > 0 else low
    return Level(low, high, float(left[place]), shortest(drops, high, digits))


def _run(left: Floats, slack: float) -> int:
    """Return how many further steps have the first one's yield."""
    width = 16
    while True:
        other = np.abs(left[:width] - left[0]) > slack
        if other.any():
            return int(other.argmax()) - 1
        if width >= len(left):
            return len(left) - 1
        width *= 2


def shortest(low: float, high: float, digits: int) -> float:
    """Return the number above ``low``, up to ``high``, with the fewest decimals.

    In a tie the closest to ``high``. If one end is infinite, the first number beyond the other end
    on a grid with ``digits`` decimals.

    Examples
    --------
    >>> shortest(0.2389, 0.2413, 3), shortest(0.23991, 0.23997, 3)
    (0.24, 0.23997)
    >>> shortest(0.4123, math.inf, 3), shortest(-math.inf, 0.1057, 3)
    (0.413, 0.105)
    """
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(high):
        return max(-_down(-low, digits), math.nextafter(low, high))
    if math.isinf(low):
        return min(_down(high, digits), high)
    for decimals in range(_MOST_DIGITS + 1):
        found = _down(high, decimals)
        if low < found <= high:
            return found
    return high


def _down(number: float, digits: int) -> float:
    """Round down to a number of decimals."""
    near = round(number, digits)
    return near if near <= number else round(near - 10.0**-digits, digits)


@dataclass(frozen=True)
class EquivalentThreshold:
    """A threshold of one model, the equivalent threshold of another, and what changes.

    Attributes
    ----------
    by : str
        In what they are equal: one of `mmc4viz.thresholds.by_yield.YIELDS`, ``"fdr"`` or
        ``"precision"``.
    first, second : float
        The thresholds.
    wanted, found : float
        The yield or rate at the first and at the second threshold.
    exact : bool
        Whether they are exactly equal, without estimation.
    rests_on : str
        The source of the numbers, in a few words.
    agreement : Agreement
        Of what the models keep at these thresholds.
    intervals : tuple
        95% CIs of estimated rates, (low, high) of the first and of the second; empty for yields.
    between : EqualYield or None
        For yields, the levels found.
    """

    by: str
    first: float
    second: float
    wanted: float
    found: float
    exact: bool
    rests_on: str
    agreement: Agreement
    intervals: tuple[tuple[float, float], ...] = ()
    between: EqualYield | None = None

    def row(self) -> dict[str, Any]:
        """Return it as plain values by name, for a table."""
        level = self.between.best if self.between is not None else None
        (low, high), (other_low, other_high) = self.intervals or ((None, None), (None, None))
        kept = {"documents": self.agreement.documents, "pairs": self.agreement.pairs}
        return {
            "equal": self.by,
            "first_threshold": self.first,
            "second_threshold": self.second,
            "second_above": None if level is None else _finite(level.low),
            "second_up_to": None if level is None else _finite(level.high),
            "first_value": self.wanted,
            "first_low": low,
            "first_high": high,
            "second_value": self.found,
            "second_low": other_low,
            "second_high": other_high,
            "exact": self.exact,
            **{
                f"{name}_{part}": value
                for name, overlap in kept.items()
                for part, value in (*vars(overlap).items(), ("jaccard", overlap.jaccard))
            },
            "images_other_sentence": self.agreement.changes.other_sentence,
            "images_only_first": self.agreement.changes.only_first,
            "images_only_second": self.agreement.changes.only_second,
            "rests_on": self.rests_on,
        }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class NoEquivalent:
    """Why there is no equivalent threshold."""

    by: str
    first: float
    reason: str


def agreement_at(first: Candidate, second: Candidate, one: float, other: float) -> Agreement:
    """Compare what two models keep, each at its own threshold."""
    keeping = first.keeping, second.keeping
    return agreement(first.model, second.model, keeping, (one, other))


def match_by_yield(
    first: Candidate, second: Candidate, name: str, threshold: float
) -> EquivalentThreshold:
    """Find the threshold of the second model with the same yield as the first's.

    Parameters
    ----------
    first, second : Candidate
        Models of the same documents with the same settings.
    name : str
        One of `mmc4viz.thresholds.by_yield.YIELDS`.
    threshold : float
        The first model's.

    Returns
    -------
    EquivalentThreshold
        Exact; if no threshold has the same yield, the closest.
    """
    wanted = kept_at(first.steps, name, threshold)
    found = equal_yield(second.steps, name, wanted)
    best, exact = found.best, found.exact is not None
    words = "exact counts" if exact else "exact counts; no threshold keeps the same number"
    return EquivalentThreshold(
        name,
        threshold,
        best.threshold,
        wanted,
        best.kept,
        exact,
        words,
        agreement_at(first, second, threshold, best.threshold),
        between=found,
    )


def along(
    first: Candidate,
    second: Candidate,
    name: str,
    thresholds: Sequence[float],
    tell: Callable[[int], object] = lambda _: None,
) -> Iterator[EquivalentThreshold]:
    """Find the equivalents of several thresholds by a yield; ``tell`` is called after each."""
    for threshold in thresholds:
        yield match_by_yield(first, second, name, threshold)
        tell(1)


@dataclass(frozen=True)
class Rates:
    """A model's estimated FDR or precision by threshold.

    Attributes
    ----------
    by : str
        ``"fdr"`` or ``"precision"``.
    threshold : ndarray of float64, shape (T,)
        Ascending.
    value, low, high : ndarray of float64, shape (T,)
        The estimate and its 95% CI; NaN if unknown.
    rests_on : str
        The source of the estimate, in a few words.
    """

    by: str
    threshold: Floats
    value: Floats
    low: Floats
    high: Floats
    rests_on: str

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Return estimate and CI at the closest threshold not above; NaN if there is none."""
        place = int(np.searchsorted(self.threshold, threshold + 1e-12, side="right")) - 1
        if place < 0:
            return math.nan, math.nan, math.nan
        return float(self.value[place]), float(self.low[place]), float(self.high[place])


def match_by_rate(
    first: Candidate, second: Candidate, rates: tuple[Rates, Rates], threshold: float
) -> EquivalentThreshold | NoEquivalent:
    """Find the lowest threshold of the second model whose estimated rate is at least as good.

    Parameters
    ----------
    first, second : Candidate
    rates : (Rates, Rates)
        Theirs.
    threshold : float
        The first model's.

    Returns
    -------
    EquivalentThreshold or NoEquivalent
        The latter if there is no estimate at the threshold, or the second model never reaches it.

    Notes
    -----
    The lowest threshold with at most a given FDR is the one with that q-value (Storey, The positive
    false discovery rate, 2003).
    """
    one, other = rates
    wanted, *interval = one.at(threshold)
    if math.isnan(wanted):
        reason = f"no estimate for {first.name} at {threshold:g}"
        return NoEquivalent(one.by, threshold, reason)
    with np.errstate(invalid="ignore"):
        good = other.value <= wanted if one.by == "fdr" else other.value >= wanted
    if not good.any():
        return NoEquivalent(one.by, threshold, _unreached(second.name, other, wanted))
    place = int(good.argmax())
    second_threshold = float(other.threshold[place])
    words = one.rests_on if one.rests_on == other.rests_on else f"{one.rests_on}; {other.rests_on}"
    return EquivalentThreshold(
        one.by,
        threshold,
        second_threshold,
        wanted,
        float(other.value[place]),
        False,
        words,
        agreement_at(first, second, threshold, second_threshold),
        ((interval[0], interval[1]), (float(other.low[place]), float(other.high[place]))),
    )


def _unreached(name: str, rates: Rates, wanted: float) -> str:
    reason = f"no threshold of {name} reaches {wanted:.1%}"
    if np.isnan(rates.value).all():
        return reason
    worth = rates.value if rates.by == "fdr" else -rates.value
    best = int(np.nanargmin(worth))
    return f"{reason}; its best is {rates.value[best]:.1%} at {rates.threshold[best]:g}"


def rates_of(name: str, found: FdrEstimate) -> Rates:
    """Return an FDR estimate as rates, NaN where too few pairs remain."""
    enough = found.pairs >= FEWEST_PAIRS
    value, low, high = (
        np.where(enough, end, np.nan) for end in (found.rate, found.low, found.high)
    )
    words = f"{found.documents:,} documents with {name} scores, without labels"
    return Rates("fdr", found.threshold, value, low, high, words)


def match_by_fdr(
    first: Candidate,
    second: Candidate,
    found: tuple[FdrEstimate, FdrEstimate],
    threshold: float,
) -> EquivalentThreshold | NoEquivalent:
    """Find the lowest threshold of the second model with at most the first's FDR.

    Parameters
    ----------
    first, second : Candidate
    found : (FdrEstimate, FdrEstimate)
        Theirs (`mmc4viz.thresholds.fdr.estimate.estimate_fdr`).
    threshold : float
        The first model's; its rate is read at the grid step at or below it.
    """
    for one, estimate in zip((first, second), found, strict=True):
        if estimate.reason is not None:
            return NoEquivalent("fdr", threshold, f"{one.name}: {estimate.reason}")
    rates = rates_of(first.name, found[0]), rates_of(second.name, found[1])
    return match_by_rate(first, second, rates, threshold)
