"""The threshold that meets several targets at once, and which of them bind.

Each target says at every step of a grid whether it is met. Neither yields nor precision need be
monotone, so every step is checked. If no step meets all targets, the nearest is the one whose
worst target is missed by the smallest factor: reached / wanted where at most so much is wanted,
wanted / reached where at least so much is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.shape import ratio
from mmc4viz.sweep.statistics import Curves
from mmc4viz.thresholds.budget import Passes, times
from mmc4viz.thresholds.by_yield import ASSUMPTION, Steps, Target
from mmc4viz.thresholds.fdr.estimate import FEWEST_PAIRS, FdrEstimate
from mmc4viz.thresholds.labels import precision
from mmc4viz.thresholds.labels.intervals import interval
from mmc4viz.thresholds.labels.precision import LabelledSample
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import ConfigError

_BY_ESTIMATE: Final = "Rates and passes are held to the estimate, not to the end of its CI."
_RATES: Final = (Basis.FDR, Basis.DECOYS, Basis.PRECISION)


@dataclass(frozen=True)
class Condition:
    """A target at every threshold of a grid.

    Attributes
    ----------
    kind : str
        ``yield``, ``passes``, ``single_image``, or a `Basis` that is estimated.
    name : str
        In words: ``"documents ≥ 50%"``.
    wanted : float
    at_most : bool
        Whether at most so much is wanted, else at least.
    reached : ndarray of float64, shape (T,)
        NaN where it is unknown.
    met : ndarray of bool, shape (T,)
        Never where it is unknown.
    assumptions : tuple of str
    """

    kind: str
    name: str
    wanted: float
    at_most: bool
    reached: Floats
    met: NDArray[np.bool_]
    assumptions: tuple[str, ...]

    def missed_by(self) -> Floats:
        """Return the factor by which it is missed, shape (T,): 1 if met, infinite if unknown."""
        wanted = np.full(len(self.reached), self.wanted)
        parts = (self.reached, wanted) if self.at_most else (wanted, self.reached)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.divide(*parts)
        factor = np.where(np.isnan(factor), np.inf, np.maximum(factor, np.nextafter(1, 2)))
        return np.asarray(np.where(self.met, 1.0, factor), np.float64)

    def at(self, places: NDArray[np.int64]) -> Condition:
        """Return it at some of its thresholds."""
        return replace(self, reached=self.reached[places], met=self.met[places])

    def written(self, value: float) -> str:
        """Write a value that is reached."""
        if np.isnan(value):
            return "unknown"
        if self.kind == "passes":
            return times(value) if np.isfinite(value) else "never"
        return f"{value:.1%}" if "%" in self.name else f"{value:,.10g}"


def of_yields(
    steps: Steps, targets: Sequence[Target], assumption: str = ASSUMPTION
) -> list[Condition]:
    """Return a condition for each yield target, as `mmc4viz.thresholds.by_yield` tests it."""
    return [
        Condition(
            "yield",
            str(one),
            float(one.amount),
            False,
            steps.kept[one.quantity] / ((steps.whole[one.quantity] or 1.0) if one.share else 1.0),
            steps.kept[one.quantity] >= one.needed(steps),
            (assumption,),
        )
        for one in targets
    ]


def of_passes(found: Passes, most: float) -> Condition:
    """Return the condition of at most so many passes over the data.

    Raises
    ------
    ConfigError
        If the number is not positive.
    """
    if not 0 < most < np.inf:
        raise ConfigError(f"passes ≤ {most:g}: must be a positive number")
    name = f"passes ≤ {most:.10g} in {found.budget}"
    words: tuple[str, ...] = (f"Passes: {found.assumption}",)
    if found.sampled is not None:
        words += (_BY_ESTIMATE,)
    met = np.isfinite(found.estimate) & (found.estimate <= most)
    return Condition("passes", name, most, True, found.estimate, met, words)


def of_single_image(
    curves: Curves, keep: float, most: float, assumption: str = ASSUMPTION
) -> Condition:
    """Return the condition of at most so large a share of single-image sequences.

    Raises
    ------
    ConfigError
        If it is not a share.
    """
    if not 0 < most < 1:
        raise ConfigError(f"single-image sequences ≤ {most:g}: must be between 0 and 1")
    share = ratio(curves, "single_image", keep)
    name = f"single-image sequences ≤ {100 * most:.4g}%"
    return Condition("single_image", name, most, True, share, share <= most, (assumption,))


def of_fdr(estimate: FdrEstimate, grid: Thresholds, wanted: float) -> Condition:
    """Return the condition of a false-discovery rate, as its own suggestion tests it."""
    at = np.searchsorted(estimate.threshold, grid - 1e-9)
    known = at < len(estimate.threshold)
    at = np.minimum(at, len(estimate.threshold) - 1)
    known &= np.abs(estimate.threshold[at] - grid) < 1e-9
    known &= (estimate.pairs[at] >= FEWEST_PAIRS) & (estimate.reason is None)
    rate = np.where(known, estimate.rate[at], np.nan)
    name = f"FDR ≤ {100 * wanted:.4g}%"
    words = (estimate.assumption, _BY_ESTIMATE)
    return Condition(str(estimate.basis), name, wanted, True, rate, rate <= wanted, words)


def of_precision(
    sample: LabelledSample, grid: Thresholds, wanted: float, confidence: float = 0.95
) -> Condition:
    """Return the condition of a precision, as its own suggestion tests it, but at every step.

    What is reached is the lowest of the one-sided lower bounds from the highest threshold with
    enough labels down to the step, since the test ends at the first that fails.
    """
    rank = np.searchsorted(sample.scores, grid)  # of the lowest pair kept
    distinct, at, back = np.unique(rank, return_index=True, return_inverse=True)
    down = grid[at][distinct < len(sample.scores)][::-1]  # one of those that keep the same pairs
    reached, met = np.full(len(distinct), np.nan), np.zeros(len(distinct), bool)
    first, n_passed = precision.passed(sample, down, wanted, confidence)
    if first is not None:
        tested = down[first:]
        pairs, independent = sample.above(tested)[0], sample.independent(tested)
        low = interval(pairs, *independent, 2 * confidence - 1).low
        least = np.minimum.accumulate(low)
        least[:n_passed] = np.maximum(least[:n_passed], wanted)  # the test passed
        end = len(down) - first
        reached[:end], met[end - n_passed : end] = least[::-1], True
    name = f"precision ≥ {100 * wanted:.4g}%"
    return Condition(
        "precision", name, wanted, False, reached[back], met[back], (precision.ASSUMPTION,)
    )


@dataclass(frozen=True)
class ReachedTarget:
    """A target at one threshold.

    Attributes
    ----------
    target, kind : str
    wanted : float
    reached : float or None
        None if it is unknown, or if nothing is kept.
    met : bool
    words : str
        What is reached, in words.
    """

    target: str
    kind: str
    wanted: float
    reached: float | None
    met: bool
    words: str


@dataclass(frozen=True)
class Combined(Proposal):
    """The highest threshold that meets all targets, or how near the nearest comes.

    Attributes
    ----------
    targets : tuple of ReachedTarget
        At the threshold, or at the nearest.
    nearest : float or None
        The threshold whose worst target is missed by the smallest factor, if none meets all.
    lowest, highest : float or None
        The ends of the range around the suggested threshold in which all targets are met.
    binds_above, binds_below : tuple of str
        The targets that are missed one step above this range, and one step below: to move on, they
        would have to be relaxed.
    out_of_reach : tuple of str
        The targets that no threshold meets.
    contradictions : tuple of (str, str)
        Pairs of targets of which each is met somewhere, but never both at once.
    assumptions : tuple of str
        Those of the targets, each once.
    """

    targets: tuple[ReachedTarget, ...] = ()
    nearest: float | None = None
    lowest: float | None = None
    highest: float | None = None
    binds_above: tuple[str, ...] = ()
    binds_below: tuple[str, ...] = ()
    out_of_reach: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, str], ...] = ()
    assumptions: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Say what binds; empty without a threshold."""
        if self.threshold is None:
            return ""
        end = "Lowest" if self.threshold != self.highest else "Highest"
        words = [f"{end} threshold that meets all targets."]
        if self.binds_above:
            at = "it" if self.threshold == self.highest else f"{self.highest:.12g}"
            words.append(f"Above {at}, {_listed(self.binds_above)} {_is(self.binds_above)} missed.")
        if self.binds_below:
            at = "it" if self.threshold == self.lowest else f"{self.lowest:.12g}"
            words.append(f"Below {at}, {_listed(self.binds_below)} {_is(self.binds_below)} missed.")
        else:
            words.append("Every lower threshold meets them too.")
        return " ".join(words)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, as ``mmc4viz suggest --format json`` prints it."""
        plain = super().as_dict()
        del plain["assumptions"]
        lists = ("binds_above", "binds_below", "out_of_reach")
        return plain | {
            **{name: list(getattr(self, name)) for name in lists},
            "contradictions": [list(two) for two in self.contradictions],
            "targets": [asdict(one) for one in self.targets],
        }


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def combine(steps: Steps, conditions: Sequence[Condition]) -> Combined:
    """Suggest the highest threshold that meets all targets.

    If all targets are rates of incorrect pairs, it is the lowest, as of each alone: nothing then
    limits how much is dropped. Thresholds that keep no pair are left out.

    Parameters
    ----------
    steps : Steps
        The thresholds to choose from.
    conditions : sequence of Condition
        At least one, at these thresholds.

    Returns
    -------
    Combined
        Without a threshold if none meets all targets.
    """
    names = [one.name for one in conditions]
    assumptions = tuple(dict.fromkeys(chain(*(one.assumptions for one in conditions))))
    given = Basis.COMBINED, _listed(names), " ".join(assumptions)
    kept = int((steps.kept["pairs"] > 0).sum())  # at the lowest thresholds
    met = np.stack([one.met[:kept] for one in conditions])
    whole = np.logical_and.reduce(met)
    found = np.flatnonzero(whole)
    if not len(found):
        near = _nearest(conditions, kept)
        targets = () if near is None else _at(conditions, near)
        nearest = None if near is None else float(steps.threshold[near])
        alone = [bool(one.any()) for one in met]
        never = tuple(name for name, some in zip(names, alone, strict=True) if not some)
        against = tuple(
            (names[a], names[b])
            for a, b in combinations(range(len(names)), 2)
            if alone[a] and alone[b] and not np.logical_and(met[a], met[b]).any()
        )
        reason = _reason(never, against, targets, nearest)
        return Combined(
            *given, reason=reason, assumptions=assumptions, targets=targets, nearest=nearest,
            out_of_reach=never, contradictions=against,
        )  # fmt: skip
    rates = all(one.kind in _RATES for one in conditions)
    step = int(found[0 if rates else -1])
    missed = np.flatnonzero(~whole)
    low = int(missed[missed < step].max(initial=-1)) + 1
    high = int(missed[missed > step].min(initial=kept)) - 1
    return Combined(
        *given,
        float(steps.threshold[step]),
        kept=steps.at(step),
        assumptions=assumptions,
        targets=_at(conditions, step),
        lowest=float(steps.threshold[low]),
        highest=float(steps.threshold[high]),
        binds_above=_missed(names, met, high + 1),
        binds_below=_missed(names, met, low - 1),
    )


def _missed(names: Sequence[str], met: NDArray[np.bool_], step: int) -> tuple[str, ...]:
    """Return the targets missed at a step; none beyond the grid."""
    if not 0 <= step < met.shape[1]:
        return ()
    return tuple(name for name, fine in zip(names, met[:, step], strict=True) if not fine)


def _at(conditions: Sequence[Condition], step: int) -> tuple[ReachedTarget, ...]:
    values = [float(one.reached[step]) for one in conditions]
    return tuple(
        ReachedTarget(one.name, one.kind, one.wanted, value if np.isfinite(value) else None,
                      bool(one.met[step]), one.written(value))
        for one, value in zip(conditions, values, strict=True)
    )  # fmt: skip


def _nearest(conditions: Sequence[Condition], kept: int) -> int | None:
    """Return the step whose worst target is missed by the smallest factor; the highest of many."""
    worst = np.stack([one.missed_by()[:kept] for one in conditions]).max(axis=0)
    if not np.isfinite(worst).any():
        return None
    return int(np.flatnonzero(worst == worst.min())[-1])


def _reason(
    never: Sequence[str],
    against: Sequence[tuple[str, str]],
    targets: Sequence[ReachedTarget],
    nearest: float | None,
) -> str:
    """Say why no threshold meets all targets, and how near the nearest comes."""
    parts = [f"{name} is met by none" for name in never]
    parts += [f"{one} contradicts {other}" for one, other in against]
    if not parts:
        parts = ["any two of the targets can be met, but not all at once"]
    if nearest is not None:
        words = [f"{one.words} instead of {one.target}" for one in targets if not one.met]
        parts.append(f"nearest is {nearest:.12g}, with {_listed(words)}")
    return "; ".join(parts)
