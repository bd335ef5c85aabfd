"""The frontier: what is kept against how good it is, for several CLIP models or settings.

Thresholds of models on different scales cannot be compared, but what they buy can: at each
threshold a line has the yield, counted exactly, and the estimated quality of the pairs at or above
it. Quality is precision from labels, or 1 − FDR estimated without labels. Where there is neither,
the overlap at equal yield remains: it says whether two models keep the same, not which is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import Scale, scale_of
from mmc4viz.thresholds.by_yield import Steps
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import thresholds_of
from mmc4viz.thresholds.compare.equivalent import (
    EquivalentThreshold,
    Rates,
    along,
    equal_yield,
    kept_at,
    rates_of,
)
from mmc4viz.thresholds.compare.roc import Evidence, precision_rates
from mmc4viz.thresholds.fdr.estimate import FdrEstimate
from mmc4viz.types import Mmc4vizError

QUALITIES: Final = {"precision": "precision", "fdr": "1 − FDR"}
CAVEATS: Final = {
    "precision": "Precision is that of the pairs at or above the threshold, from labels; cap and "
    "token limit change what is kept, not precision.",
    "fdr": "1 − FDR is an estimate of precision without labels. It assumes one correct sentence "
    "per image and independent noise, which failed on real MMC4 pages.",
}
NO_QUALITY: Final = (
    "This is not how good the pairs are: it shows how much of what one keeps the other keeps too "
    "at the same yield. Quality needs precision, from labels of pairs of both."
)
_POINTS: Final = 100  # most thresholds of a line


@dataclass(frozen=True)
class FrontierPoint:
    """One threshold of a line: what is kept, and its quality with the 95% CI (NaN if unknown)."""

    threshold: float
    kept: float
    quality: float
    low: float
    high: float


@dataclass(frozen=True)
class FrontierLine:
    """What one model, or one set of settings, buys at each threshold; arrays of shape (T,).

    Attributes
    ----------
    name : str
    thresholds : ndarray of float64
        Ascending.
    kept : ndarray of float64
        The yield, expected and exact.
    quality, low, high : ndarray of float64
        Estimated quality with its 95% CI, from 0 to 1; NaN if unknown.
    marked : tuple of float
        The thresholds chosen; each is one of `thresholds`.
    rests_on : str
        The source of the quality, in a few words.
    """

    name: str
    thresholds: Floats
    kept: Floats
    quality: Floats
    low: Floats
    high: Floats
    marked: tuple[float, ...]
    rests_on: str

    def at(self, threshold: float) -> FrontierPoint:
        """Return the point of one of the thresholds."""
        place = int(np.searchsorted(self.thresholds, threshold))
        columns = self.thresholds, self.kept, self.quality, self.low, self.high
        return FrontierPoint(*(float(column[place]) for column in columns))


@dataclass(frozen=True)
class Frontier:
    """What is kept against how good it is.

    Attributes
    ----------
    quantity : str
        What is kept: one of `mmc4viz.thresholds.by_yield.YIELDS`.
    by : str
        The quality: one of `QUALITIES`.
    whole : float
        The denominator of shares: all documents; for other yields, the most that any line keeps.
    lines : tuple of FrontierLine
    missing : tuple of str
        Why other lines are missing, one sentence each.
    """

    quantity: str
    by: str
    whole: float
    lines: tuple[FrontierLine, ...]
    missing: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per line and threshold; None for an unknown quality."""
        return [
            {
                "line": line.name,
                "threshold": point.threshold,
                "of": self.quantity,
                "kept": point.kept,
                "share": point.kept / self.whole if self.whole else None,
                "quality": QUALITIES[self.by],
                "estimate": _known(point.quality),
                "low": _known(point.low),
                "high": _known(point.high),
                "chosen": threshold in line.marked,
            }
            for line in self.lines
            for threshold in line.thresholds.tolist()
            for point in [line.at(threshold)]
        ]

    @property
    def quality_in_words(self) -> str:
        """The quality's name, at the beginning of a title."""
        name = QUALITIES[self.by]
        return f"{name[0].upper()}{name[1:]}"

    def in_words(self) -> list[str]:
        """Return a sentence for each chosen point."""
        return [
            point_in_words(self, line, line.at(threshold))
            for line in self.lines
            for threshold in line.marked
        ]


def point_in_words(found: Frontier, line: FrontierLine, point: FrontierPoint) -> str:
    """Describe a point: ``sample-a at 0.24: 104 documents (43.3%), precision 92.1% (95% CI …)``."""
    share = f" ({point.kept / found.whole:.1%})" if found.whole else ""
    quality = f"{QUALITIES[found.by]} unknown"
    if math.isfinite(point.quality):
        ends = f"{100 * point.low:.1f}–{point.high:.1%}"
        quality = f"{QUALITIES[found.by]} {point.quality:.1%} (95% CI {ends})"
    kept = f"{point.kept:,.10g} {found.quantity.replace('_', ' ')}{share}"
    return f"{line.name} at {point.threshold:.6g}: {kept}, {quality}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def trace(
    name: str, steps: Steps, quantity: str, rates: Rates, marked: Sequence[float] = ()
) -> FrontierLine:
    """Put together what is kept and how good it is, at the thresholds of an estimate.

    Parameters
    ----------
    name : str
    steps : Steps
        What is kept; if not at all scores, only thresholds that are steps are in the line.
    quantity : str
    rates : Rates
        Precision, or an FDR, which becomes 1 − FDR.
    marked : sequence of float
        The thresholds chosen, which are added.

    Raises
    ------
    ValueError
        If a chosen threshold is not a step.
    """
    asked = np.unique([*rates.threshold, *marked])
    if not steps.every:
        there = np.isin(asked, steps.threshold)
        if not set(marked) <= set(asked[there].tolist()):
            raise ValueError("a chosen threshold is not a step")
        asked = asked[there]
    value, low, high = np.array([rates.at(at) for at in asked.tolist()]).reshape(-1, 3).T
    if rates.by == "fdr":
        value, low, high = 1 - value, 1 - high, 1 - low
    kept = _kept(steps, quantity, asked)
    return FrontierLine(name, asked, kept, value, low, high, tuple(marked), rates.rests_on)


def _kept(steps: Steps, quantity: str, thresholds: Floats) -> Floats:
    """Return what is kept at thresholds, shape (T,)."""
    if steps.every:
        return np.array([kept_at(steps, quantity, at) for at in thresholds.tolist()])
    return steps.kept[quantity][np.searchsorted(steps.threshold, thresholds)]


def round_thresholds(scores: Floats, scale: Scale, most: int = _POINTS) -> Floats:
    """Return round thresholds of a scale's grid, from below the lowest score to the highest.

    Examples
    --------
    >>> from mmc4viz.data.scale import COSINE
    >>> round_thresholds(np.array([0.1234, 0.1518]), COSINE, 10)
    array([0.12 , 0.125, 0.13 , 0.135, 0.14 , 0.145, 0.15 ])
    """
    if not len(scores):
        return np.zeros(0)
    low, high = float(scores.min()), float(scores.max())
    sizes = (m * 10**power for power in range(12) for m in (1, 2, 5))
    size = next(n for n in sizes if (high - low) / (n * scale.step) <= most - 1)
    width = size * scale.step
    first, last = math.floor(low / width + 1e-9), math.floor(high / width + 1e-9)
    return np.array([round(k * width, scale.digits) for k in range(first, last + 1)])


def whole_of(quantity: str, steps: Sequence[Steps]) -> float:
    """Return the denominator of shares of several lines."""
    return max((one.whole[quantity] for one in steps), default=0.0)


def chosen_thresholds(
    candidates: Sequence[Candidate], quantity: str, threshold: float
) -> list[float]:
    """Return the first model's threshold, and the others' thresholds with the same yield."""
    first, *others = candidates
    wanted = kept_at(first.steps, quantity, threshold)
    return [threshold, *(equal_yield(o.steps, quantity, wanted).best.threshold for o in others)]


def by_precision(
    candidates: Sequence[Candidate], labels: Evidence, quantity: str, threshold: float
) -> Frontier:
    """Return the frontier of models by their precision from labels.

    Parameters
    ----------
    candidates : sequence of Candidate
        Models of the same documents, or one model with several settings.
    labels : Evidence
        Models without labels are missing, with the reason.
    quantity : str
    threshold : float
        The first model's; of the others, the threshold that keeps as much is marked.
    """
    rates, missing = dict[str, Rates](), []
    chosen = chosen_thresholds(candidates, quantity, threshold)
    for one, at in zip(candidates, chosen, strict=True):
        if one.name in labels.of:
            scores = one.model.pairs.score
            asked = np.append(round_thresholds(scores, scale_of(scores)), at)
            rates[one.name] = precision_rates(one.name, labels.of[one.name], asked)
        else:
            missing.append(f"{one.name} is not drawn: {labels.without[one.name]}.")
    return _frontier(candidates, chosen, rates, "precision", quantity, missing)


def by_fdr(
    candidates: Sequence[Candidate],
    estimates: Mapping[str, FdrEstimate],
    quantity: str,
    threshold: float,
) -> Frontier:
    """Return the frontier of models by 1 − FDR, estimated without labels.

    Parameters
    ----------
    candidates, quantity, threshold
        As for `by_precision`.
    estimates : mapping of str to FdrEstimate
        By model; models without a reliable estimate are missing, with the reason.
    """
    rates, missing = dict[str, Rates](), []
    for one in candidates:
        found = estimates[one.name]
        if found.reason is None:
            rates[one.name] = rates_of(one.name, found)
        else:
            missing.append(f"{one.name} is not drawn: {found.reason}.")
    chosen = chosen_thresholds(candidates, quantity, threshold)
    return _frontier(candidates, chosen, rates, "fdr", quantity, missing)


def _frontier(
    candidates: Sequence[Candidate],
    chosen: Sequence[float],
    rates: Mapping[str, Rates],
    by: str,
    quantity: str,
    missing: Sequence[str],
) -> Frontier:
    lines = [
        trace(one.name, one.steps, quantity, rates[one.name], [at])
        for one, at in zip(candidates, chosen, strict=True)
        if one.name in rates
    ]
    whole = whole_of(quantity, [one.steps for one in candidates])
    return Frontier(quantity, by, whole, tuple(lines), tuple(missing))


@dataclass(frozen=True)
class SharedYield:
    """What two models, or two settings, have in common at equal yield; arrays of shape (T,).

    Attributes
    ----------
    quantity : str
        The yield in which they are equal: one of `mmc4viz.thresholds.by_yield.YIELDS`.
    names : (str, str)
    first, second : ndarray of float64
        Thresholds with the same yield, by ascending first.
    kept : ndarray of float64
        The yield of the first.
    whole : float
        The denominator of shares: all documents, or the most that the first keeps.
    documents, pairs : ndarray of float64
        Share of the documents and pairs kept by the first that the second keeps too; NaN if the
        first keeps none.
    by_chance : ndarray of float64
        The share of documents expected if the second chose as many documents at random.
    marked : float
        The first's threshold chosen; one of `first`.
    """

    quantity: str
    names: tuple[str, str]
    first: Floats
    second: Floats
    kept: Floats
    whole: float
    documents: Floats
    pairs: Floats
    by_chance: Floats
    marked: float

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per pair of thresholds; None for the share of nothing."""
        return [
            {
                "first": self.names[0],
                "second": self.names[1],
                "equal": self.quantity,
                "first_threshold": float(self.first[at]),
                "second_threshold": float(self.second[at]),
                "kept": float(self.kept[at]),
                "share": float(self.kept[at]) / self.whole if self.whole else None,
                "documents_shared": _known(float(self.documents[at])),
                "pairs_shared": _known(float(self.pairs[at])),
                "by_chance": _known(float(self.by_chance[at])),
                "chosen": float(self.first[at]) == self.marked,
            }
            for at in range(len(self.first))
        ]

    def in_words(self) -> str:
        """Return the shares at the chosen threshold in a sentence."""
        at = int(np.searchsorted(self.first, self.marked))
        if not self.kept[at]:
            return f"{self.names[0]} at {self.marked:.6g} keeps nothing."
        kept = f"{self.kept[at]:,.10g} {self.quantity.replace('_', ' ')}"
        shares = [
            f"{share:.1%} of the same {words}"
            for share, words in (
                (self.documents[at], f"documents ({self.by_chance[at]:.1%} by chance)"),
                (self.pairs[at], "pairs"),
            )
            if np.isfinite(share)
        ]
        return (
            f"{self.names[0]} at {self.marked:.6g} keeps {kept}; {self.names[1]} keeps as much at "
            f"{self.second[at]:.6g}, with {' and '.join(shares) or 'no document'}."
        )


def shared(
    first: Candidate,
    second: Candidate,
    quantity: str,
    threshold: float,
    matches: Sequence[EquivalentThreshold] | None = None,
) -> SharedYield:
    """Return what two models, or two settings of one, have in common at equal yield.

    Parameters
    ----------
    first, second : Candidate
        Of the same documents.
    quantity : str
    threshold : float
        The first's threshold chosen.
    matches : sequence of EquivalentThreshold, optional
        By this yield, at `thresholds_of` the first; computed if left out.

    Raises
    ------
    Mmc4vizError
        If the first has no pairs.
    """
    if not len(first.model.pairs):
        raise Mmc4vizError(f"{first.name} has no pairs, so nothing is kept in common")
    if matches is None:
        matches = list(along(first, second, quantity, thresholds_of(first.model)))
    by_threshold = {one.first: one for one in matches}
    if threshold not in by_threshold:
        (by_threshold[threshold],) = along(first, second, quantity, [threshold])
    every = [by_threshold[at] for at in sorted(by_threshold)]
    documents = [one.agreement.documents for one in every]
    pairs = [one.agreement.pairs for one in every]
    others = np.array([one.both + one.only_second for one in documents], np.float64)
    return SharedYield(
        quantity,
        (first.name, second.name),
        np.array([one.first for one in every]),
        np.array([one.second for one in every]),
        np.array([one.wanted for one in every]),
        whole_of(quantity, [first.steps]),
        _shares(documents),
        _shares(pairs),
        others / max(first.model.matched.n_documents, 1),
        threshold,
    )


def _shares(overlaps: Sequence[Any]) -> Floats:
    both = np.array([one.both for one in overlaps], np.float64)
    first = both + np.array([one.only_first for one in overlaps], np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(both / first, np.float64)
