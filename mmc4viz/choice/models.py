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
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice.equal_yield import EqualYield, equal_yield, left_at
from mmc4viz.choice.kept import Agreement, Keeping, agreement
from mmc4viz.choice.lineup import Floats, Model
from mmc4viz.choice.steps import Steps, steps_of_scores
from mmc4viz.corpus.curves import Scale, scale_of
from mmc4viz.model import LoaderConfig

QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)


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


@dataclass(frozen=True)
class Distribution:
    """How a model's matched scores lie on their own scale.

    Attributes
    ----------
    model : str
    scale : Scale
    pairs : int
    quantiles : tuple of float
        At `QUANTILES`; empty without pairs.
    edges : ndarray of float64, shape (B + 1,)
        Of bars, on steps of the scale's grid; the lowest and the highest score lie within.
    counts : ndarray of int64, shape (B,)
        Pairs from each edge to below the next.
    """

    model: str
    scale: Scale
    pairs: int
    quantiles: tuple[float, ...]
    edges: Floats
    counts: NDArray[np.int64]


def distribution(model: Model, bars: int = 60) -> Distribution:
    """Count a model's matched scores in bars on its own scale; ``bars`` is the most of them."""
    scores = model.pairs.score
    scores = scores[np.isfinite(scores)]
    scale = scale_of(scores)
    low, high = (scores[0], scores[-1]) if len(scores) else (0.0, 0.0)
    first, last = math.floor(low / scale.step + 1e-6), math.floor(high / scale.step + 1e-6) + 1
    width = max(1, math.ceil((last - first) / bars))
    steps = range(first, last + width, width)
    edges = np.array([round(k * scale.step, scale.digits) for k in steps])
    edges[0] = min(edges[0], low)
    counts = np.diff(np.searchsorted(scores, edges, side="left"))
    quantiles = np.quantile(scores, QUANTILES).tolist() if len(scores) else ()
    return Distribution(model.name, scale, len(scores), tuple(quantiles), edges, counts)


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
) -> Match | None:
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
    Match or None
        None where there is no estimate at the threshold, or none of the second model is as good.

    Notes
    -----
    The lowest threshold whose false-discovery rate is at most some rate is what a q-value stands
    for (Storey, The positive false discovery rate, 2003).
    """
    one, other = rates
    wanted, *interval = one.at(threshold)
    with np.errstate(invalid="ignore"):
        good = other.value <= wanted if one.by == "fdr" else other.value >= wanted
    if math.isnan(wanted) or not good.any():
        return None
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


def thresholds_of(model: Model, most: int = 60) -> list[float]:
    """Return steps of a model's grid from its lowest score to its highest, at most so many."""
    found = distribution(model, most)
    inside = found.edges[:-1].tolist()
    return [round(edge, found.scale.digits) for edge in inside] if found.pairs else []
