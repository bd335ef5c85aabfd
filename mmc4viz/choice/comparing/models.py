"""CLIP models side by side: which threshold of one is which threshold of another, and what changes.

The same number means something else under another model. Two thresholds are matched when they
leave the same (exactly, for nothing is estimated) or when they are estimated to be equally pure
(`rates`): by false-discovery rate (`equal_fdr`), or by the precision of labelled pairs
(`evidence`). How rankings and labels compare is told by `disagreement` and `separation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.equal_yield import EqualYield, equal_yield, left_at
from mmc4viz.choice.comparing.kept import Agreement, agreement


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
