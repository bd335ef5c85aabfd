"""CLIP models side by side: which threshold of one is which threshold of another, and what changes.

The same number means something else under another model. Two thresholds are matched when they
leave the same (exactly, for nothing is estimated) or when they are estimated to be equally pure:
by false-discovery rate, or by the precision of labelled pairs. Where the estimates come from,
their own rooms know; how kept sets, rankings and labels compare is told by `kept`, `disagreement`
and `separation`. Draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from mmc4viz.choice.equal_yield import EqualYield, equal_yield, left_at
from mmc4viz.choice.kept import Agreement, Keeping, agreement
from mmc4viz.choice.lineup import Floats, Model
from mmc4viz.choice.steps import Steps, steps_of_scores
from mmc4viz.model import LoaderConfig


@dataclass(frozen=True)
class Candidate:
    """One model under a setting of the loader.

    Attributes
    ----------
    model : Model
    config : LoaderConfig
        The model was matched under its size limit and assignment; its threshold does not matter.
    """

    model: Model
    config: LoaderConfig

    @property
    def name(self) -> str:
        """The CLIP model's name."""
        return self.model.name

    @cached_property
    def steps(self) -> Steps:
        """What is left at every score."""
        return steps_of_scores(self.model.matched, self.config)

    @cached_property
    def keeping(self) -> Keeping:
        """Which documents survive."""
        return Keeping(self.model.matched, self.config)

    def prepare(self, tell: Callable[[int], object]) -> None:
        """Compute all that answers need; ``tell`` is called in between, and may end it."""
        for part in ("model.by_image", "steps", "keeping"):
            attrgetter(part)(self)
            tell(0)


@dataclass(frozen=True)
class Rates:
    """A model's estimated false-discovery rate or precision against the threshold.

    Attributes
    ----------
    by : str
        ``"fdr"`` or ``"precision"``.
    threshold : ndarray of float64, shape (T,)
        Ascending.
    value, low, high : ndarray of float64, shape (T,)
        The estimate and its 95 % interval; NaN where there is none.
    rests_on : str
        What it was made from, in a few words.
    """

    by: str
    threshold: Floats
    value: Floats
    low: Floats
    high: Floats
    rests_on: str

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Return estimate and interval at the nearest threshold that is no higher; NaN before."""
        place = int(np.searchsorted(self.threshold, threshold + 1e-12, side="right")) - 1
        if place < 0:
            return math.nan, math.nan, math.nan
        return float(self.value[place]), float(self.low[place]), float(self.high[place])


@dataclass(frozen=True)
class Match:
    """A threshold of one model, the threshold of another that goes with it, and what changes.

    Attributes
    ----------
    by : str
        What is equal: a yield (`mmc4viz.choice.steps.YIELDS`), ``"fdr"`` or ``"precision"``.
    first, second : float
        The thresholds.
    wanted, found : float
        That yield, or rate, at the first model's threshold, and at the second one's.
    exact : bool
        Whether they are equal, with nothing estimated.
    rests_on : str
        In a few words.
    agreement : Agreement
        Of what the models keep at these thresholds.
    intervals : tuple
        Of estimated rates, 95 %: (low, high) of the first and of the second; else empty.
    between : EqualYield or None
        Of a yield: the levels found.
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
class NoMatch:
    """Why no threshold of one model goes with another's."""

    by: str
    first: float
    reason: str


def agreement_at(first: Candidate, second: Candidate, one: float, other: float) -> Agreement:
    """Compare what two models keep, each at a threshold of its own."""
    keeping = first.keeping, second.keeping
    return agreement(first.model, second.model, keeping, (one, other))


def match_by_yield(first: Candidate, second: Candidate, name: str, threshold: float) -> Match:
    """Find the threshold of the second model that leaves just what the first one's leaves.

    Parameters
    ----------
    first, second : Candidate
        Of the same documents, under the same setting.
    name : str
        One of `mmc4viz.choice.steps.YIELDS`.
    threshold : float
        The first model's.

    Returns
    -------
    Match
        Exact; where no threshold leaves the same, with the one that comes nearest.
    """
    wanted = left_at(first.steps, name, threshold)
    found = equal_yield(second.steps, name, wanted)
    best, exact = found.best, found.exact is not None
    words = "counted exactly" if exact else "counted exactly; no threshold leaves the same number"
    return Match(
        name,
        threshold,
        best.threshold,
        wanted,
        best.left,
        exact,
        words,
        agreement_at(first, second, threshold, best.threshold),
        between=found,
    )


def match_by_rate(
    first: Candidate, second: Candidate, rates: tuple[Rates, Rates], threshold: float
) -> Match | NoMatch:
    """Find the lowest threshold of the second model that is estimated to be as pure.

    Parameters
    ----------
    first, second : Candidate
    rates : (Rates, Rates)
        Of these.
    threshold : float
        The first model's.

    Returns
    -------
    Match or NoMatch
        The latter where there is no estimate at the threshold, or none of the second model is as
        good.

    Notes
    -----
    The lowest threshold whose false-discovery rate is at most some rate is what a q-value stands
    for (Storey, The positive false discovery rate, 2003).
    """
    one, other = rates
    wanted, *interval = one.at(threshold)
    if math.isnan(wanted):
        reason = f"nothing is estimated at {threshold:g} of {first.name}"
        return NoMatch(one.by, threshold, reason)
    with np.errstate(invalid="ignore"):
        good = other.value <= wanted if one.by == "fdr" else other.value >= wanted
    if not good.any():
        reason = f"no threshold of {second.name} is estimated to be as good as {wanted:.1%}"
        return NoMatch(one.by, threshold, reason)
    place = int(good.argmax())
    second_threshold = float(other.threshold[place])
    words = one.rests_on if one.rests_on == other.rests_on else f"{one.rests_on}; {other.rests_on}"
    return Match(
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


def along(
    first: Candidate,
    second: Candidate,
    name: str,
    thresholds: Sequence[float],
    tell: Callable[[int], object] = lambda _: None,
) -> Iterator[Match]:
    """Match thresholds by a yield, one after another; ``tell`` is told of each."""
    for threshold in thresholds:
        yield match_by_yield(first, second, name, threshold)
        tell(1)
