"""By false-discovery rate, without labels: how many of the pairs left at a threshold are wrong.

Image, sentence and noise are told apart (`effects`), what noise looks like is taken from the
residuals that no match can have raised, or from decoys (`null`), and each matched pair gets a
probability of being right from its whole row (`mixture`). What matches seem to have added is taken
off, and all is done again until it holds still. The rate at a threshold is the mean probability
of being wrong of the pairs that reach it; the interval comes from resampled documents.

It knows when it cannot tell: where right pairs may stand out by less than `SEPARATED` deviations of
the noise, it says so and gives no rate. What it cannot know: the sentences of a page share a topic,
so a wrong one may be more alike than noise is, and no null made of matrices sees that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice.fdr.effects import Effects, residuals
from mmc4viz.choice.fdr.mixture import Rows, Signal, around, beliefs, most_likely
from mmc4viz.choice.fdr.null import Null
from mmc4viz.choice.fdr.stack import Stack
from mmc4viz.choice.lineup import Floats, Ints
from mmc4viz.choice.proposal import Basis, Proposal
from mmc4viz.corpus.curves import Thresholds, scale_of
from mmc4viz.corpus.scales import recognise
from mmc4viz.model import ConfigError

SEPARATED: Final = 2.0
"""Mean shift of right pairs, in noise deviations, that must be sure for an answer."""
FEWEST_DOCUMENTS: Final = 100
WIDEST: Final = 0.2
"""Width of a 95 % interval beyond which a rate is not known."""
FEWEST_PAIRS: Final = 50
"""Pairs at or above a threshold without which none is proposed."""
_PASSES: Final = 8
_FITS: Final = 127
_STILL: Final = 0.01  # change of any parameter that is none
_TINY: Final = 1e-12


@dataclass(frozen=True)
class FdrEstimate:
    """The false-discovery rate against the threshold, as estimated.

    Attributes
    ----------
    basis : Basis
        ``fdr`` from the matrices alone, ``decoys`` with decoys.
    threshold : ndarray of float64, shape (T,)
        Ascending.
    pairs : ndarray of int64, shape (T,)
        Looked at, that reach it.
    rate, low, high : ndarray of float64, shape (T,)
        Share of them that is wrong, with the ends of its 95 % interval; NaN where there is none.
    signal : Signal or None
        How right sentences stand out; None where nothing could be estimated.
    surely : float
        The mean shift, in noise deviations, that 95 of 100 resampled corpora exceed.
    documents : int
        Looked at.
    assumption : str
        What it rests on, in a sentence.
    reason : str or None
        Why it cannot tell; then nobody should use the rates.
    """

    basis: Basis
    threshold: Thresholds
    pairs: Ints
    rate: Floats
    low: Floats
    high: Floats
    signal: Signal | None
    surely: float
    documents: int
    assumption: str
    reason: str | None = None


def estimate_fdr(
    stack: Stack,
    thresholds: Thresholds | None = None,
    decoys: Stack | None = None,
    rounds: int = 200,
    seed: int = 0,
) -> FdrEstimate:
    """Estimate the false-discovery rate against the threshold.

    Parameters
    ----------
    stack : Stack
        Of a matched corpus (`mmc4viz.choice.fdr.stack.stack_of`).
    thresholds : ndarray of float64, optional
        Ascending; the steps of the scale's grid from the lowest score to the highest if not given.
    decoys : Stack, optional
        Images of these documents with sentences of others (`mmc4viz.choice.fdr.decoys`).
    rounds : int
        Of the bootstrap, at least 20.
    seed : int
        Of the bootstrap.

    References
    ----------
    Efron, Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis, JASA 99
    (2004); Efron, Tibshirani, Storey and Tusher, JASA 96 (2001); for decoys, Elias and Gygi,
    Nature Methods 4 (2007); the share of right pairs is fitted, not bounded as by Storey, JRSS B
    64 (2002).
    """
    if rounds < 20:
        raise ConfigError(f"an interval takes at least 20 rounds of the bootstrap, not {rounds}")
    score = stack.score
    asked = _steps(score) if thresholds is None else thresholds
    basis = Basis.FDR if decoys is None else Basis.DECOYS
    assumption = _assumption(stack, basis)
    reach = np.searchsorted(asked, score, side="right")
    pairs = _from_right(np.bincount(reach, minlength=len(asked) + 1))
    if (reason := _hardly_anything(stack)) is not None:
        unknown = np.full(len(asked), np.nan)
        return FdrEstimate(basis, asked, pairs, unknown, unknown, unknown, None,
                           0.0, len(stack), assumption, reason)  # fmt: skip
    rows, theta = fit(stack, decoys)
    boot = _bootstrap(rows, theta, reach, len(asked), rounds, seed)
    rate = _share(reach, 1 - rows.judge(Signal.of(theta)).right, len(asked))
    each = np.where(np.isnan(boot.rate), rate, boot.rate)
    low, high = np.quantile(each, [0.025, 0.975], axis=0)
    surely, signal = float(np.quantile(boot.shift, 0.05)), Signal.of(theta)
    return FdrEstimate(basis, asked, pairs, rate, low, high, signal, surely,
                       len(stack), assumption, _cannot_tell(signal, surely))  # fmt: skip


@dataclass(frozen=True)
class _Bootstrap:
    """What resampled corpora say: rates, shape (rounds, T), and mean shifts, shape (rounds,)."""

    rate: Floats
    shift: Floats


def _bootstrap(
    rows: Rows, theta: Floats, reach: Ints, n_thresholds: int, rounds: int, seed: int
) -> _Bootstrap:
    """Draw documents anew, fit each draw, and draw its pairs' fates: what might have come out.

    The fit of a draw is the best of many that suit the documents as they are.
    """
    rng, stack = np.random.default_rng(seed), rows.stack
    pairs_of = stack.document[stack.matched]
    counts = rng.multinomial(len(stack), np.full(len(stack), 1 / len(stack)), rounds)
    fits = around(theta, rows, _FITS, seed)
    judged = (rows.judge(Signal.of(one)) for one in fits)
    of_documents, right = zip(*((one.by_document, one.right) for one in judged), strict=True)
    best = (beliefs(fits)[:, None] + np.array(of_documents) @ counts.T).argmax(axis=0)
    rate = np.array(
        [
            _share(reach, 1 - right[fit], n_thresholds, count[pairs_of], rng)
            for fit, count in zip(best.tolist(), counts, strict=True)
        ]
    )
    return _Bootstrap(rate, np.array([Signal.of(fits[fit]).mean_shift for fit in best]))


def fit(stack: Stack, decoys: Stack | None = None) -> tuple[Rows, Floats]:
    """Tell matches from noise: the rows by what they are judged, and the signal's parameters.

    Parameters
    ----------
    stack : Stack
    decoys : Stack, optional
        From which noise and effects are then taken.
    """
    unit = _Unit.of(stack)
    values = unit.apply(stack)
    seen = None if decoys is None else _seen(decoys, unit)
    taken = doubt = np.zeros(len(values))
    theta: Floats | None = None
    for _ in range(_PASSES):
        effects = Effects.of(stack, values - taken, doubt)
        if seen is not None:
            effects = replace(seen[0], level=effects.level, page=effects.page)
        bare, rival, reach = residuals(stack, values, taken, effects)
        null = Null.mirrored(bare) if seen is None else seen[1]
        rows = Rows.of(stack, rival, reach, null)
        found = most_likely(rows, theta)
        if theta is not None and np.abs(found - theta).max() < _STILL:
            break
        theta = found
        mean, variance = rows.judge(Signal.of(theta)).signal_of_entries()
        taken, doubt = mean * math.sqrt(effects.noise), variance * effects.noise
    return rows, found


def _seen(decoys: Stack, unit: _Unit) -> tuple[Effects, Null]:
    """Return effects and noise of decoys, in which no sentence is right."""
    values = unit.apply(decoys)
    nothing = np.zeros(len(values))
    effects = Effects.of(decoys, values, nothing)
    return effects, Null.observed(residuals(decoys, values, nothing, effects)[0])


@dataclass(frozen=True)
class _Unit:
    """A scale on which effects add up, centred, without far outliers."""

    sigmoid: bool
    middle: float
    size: float

    @classmethod
    def of(cls, stack: Stack) -> _Unit:
        sigmoid = _scale(stack) == "sigmoid"
        values = _logit(stack.values) if sigmoid else stack.values
        middle = float(np.median(values))
        away = np.abs(values / 2 - middle / 2)  # halves, for numbers near the largest there are
        return cls(sigmoid, middle, 2 * float(np.median(away)) or float(away.max()) or 1.0)

    def apply(self, stack: Stack) -> Floats:
        values = _logit(stack.values) if self.sigmoid else stack.values
        return np.asarray(np.clip(values / self.size - self.middle / self.size, -50, 50))


def _logit(values: Floats) -> Floats:
    inside = np.clip(values, _TINY, 1 - _TINY)
    return np.asarray(np.log(inside / (1 - inside)))


def by_fdr(estimate: FdrEstimate, wanted: float) -> Proposal:
    """Propose the lowest threshold whose estimated false-discovery rate is at most the wanted one.

    Parameters
    ----------
    estimate : FdrEstimate
    wanted : float
        A rate, from 0 to 1.

    Raises
    ------
    ConfigError
        When what is wanted is no share.
    """
    if not 0 < wanted < 1:
        raise ConfigError(f"a wanted false-discovery rate lies between 0 and 1, not {wanted:g}")
    wish = f"FDR ≤ {100 * wanted:.4g} %"
    needed = labels_needed(wanted)
    if estimate.reason is not None:
        words = f"{estimate.reason}; about {needed:,} labels near the threshold would settle it"
        return Proposal(estimate.basis, wish, estimate.assumption, reason=words,
                        labels_needed=needed)  # fmt: skip
    usable = estimate.pairs >= FEWEST_PAIRS
    good = np.flatnonzero(usable & (estimate.rate <= wanted))
    reason = _none(estimate, usable) if not len(good) else _too_wide(estimate, int(good[0]))
    if reason is not None:
        return Proposal(estimate.basis, wish, estimate.assumption, reason=reason,
                        labels_needed=needed)  # fmt: skip
    at = int(good[0])
    return Proposal(
        estimate.basis,
        wish,
        estimate.assumption,
        float(estimate.threshold[at]),
        estimate=float(estimate.rate[at]),
        low=float(estimate.low[at]),
        high=float(estimate.high[at]),
    )


def labels_needed(rate: float, width: float = 0.05) -> int:
    """Return how many labels at random put a rate within a width of the truth, 95 times in 100.

    Examples
    --------
    >>> labels_needed(0.1), labels_needed(0.3)
    (139, 323)
    """
    return math.ceil(1.96**2 * rate * (1 - rate) / width**2)


def _scale(stack: Stack) -> str:
    return recognise(stack.values, stack.width[stack.document])


def _hardly_anything(stack: Stack) -> str | None:
    """Say why there is nothing to estimate from."""
    if len(stack) < FEWEST_DOCUMENTS:
        return f"{len(stack):,} documents with pairs are too few to tell noise from matches"
    if np.ptp(stack.values) == 0:
        return "all similarities are equal: nothing stands out"
    if _scale(stack) == "softmax":
        return "after a softmax every image's similarities depend on each other: take the cosine"
    return None


def _steps(score: Floats) -> Thresholds:
    """Return the steps of the scale's grid that lie between the scores, and one on either side."""
    grid = scale_of(score).thresholds()
    if not len(score):
        return grid[:1]
    first, last = np.searchsorted(grid, [score.min(), score.max()], side="right")
    return grid[max(first - 1, 0) : last + 1]


def _share(
    reach: Ints,
    wrong: Floats,
    n_thresholds: int,
    each: Ints | None = None,
    rng: np.random.Generator | None = None,
) -> Floats:
    """Return the share of wrong pairs at each threshold, NaN where there is no pair.

    Parameters
    ----------
    reach : ndarray of int64, shape (pairs,)
        How many thresholds each pair reaches.
    wrong : ndarray of float64, shape (pairs,)
        Its probability of being wrong.
    n_thresholds : int
    each : ndarray of int64, shape (pairs,), optional
        How often each pair counts.
    rng : numpy.random.Generator, optional
        To draw what is wrong, by its probability; else the expectation.
    """
    weight = np.ones(len(wrong)) if each is None else each.astype(np.float64)
    sums = np.asarray(np.bincount(reach, weight * wrong, n_thresholds + 1), np.float64)
    if rng is not None:
        variance = np.bincount(reach, weight * wrong * (1 - wrong), n_thresholds + 1)
        sums = np.add(sums, rng.standard_normal(len(variance)) * np.sqrt(variance))
    pairs = _from_right(np.bincount(reach, weight, n_thresholds + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(np.where(pairs > 0, _from_right(sums) / pairs, np.nan), 0, 1)


def _from_right(bins: NDArray[Any]) -> NDArray[Any]:
    """Sum up bins from the right: what reaches each threshold."""
    return np.asarray(bins[:0:-1].cumsum()[::-1])


def _cannot_tell(signal: Signal, surely: float) -> str | None:
    if surely >= SEPARATED:
        return None
    return (
        f"right pairs may stand out by less than {SEPARATED:g} deviations of the noise (estimated "
        f"{signal.mean_shift:.1f}, surely no more than {surely:.1f}): without labels it cannot be "
        "told"
    )


def _too_wide(estimate: FdrEstimate, at: int) -> str | None:
    """Say that a rate is not known well enough to act upon."""
    low, high = estimate.low[at], estimate.high[at]
    if high - low <= WIDEST:
        return None
    return (
        f"at {estimate.threshold[at]:g} the rate may be anything from {low:.1%} to {high:.1%}: too "
        "few pairs or documents to tell"
    )


def _none(estimate: FdrEstimate, usable: NDArray[np.bool_]) -> str:
    if not usable.any():
        return f"there are fewer than {FEWEST_PAIRS} pairs"
    at = int(np.argmin(np.where(usable, estimate.rate, np.inf)))
    return (
        f"no threshold that leaves {FEWEST_PAIRS} pairs has it: the least is "
        f"{estimate.rate[at]:.1%} ({estimate.low[at]:.1%} to {estimate.high[at]:.1%}) at "
        f"{estimate.threshold[at]:g}"
    )


def _assumption(stack: Stack, basis: Basis) -> str:
    noise = (
        "noise is as large above as below what image and sentence explain, and a match only "
        "raises similarity"
        if basis is Basis.FDR
        else "noise is as in decoys, one document's images with another's sentences"
    )
    drawn = "drawn at random " if stack.sampled else ""
    left_out = f", {stack.left_out:,} left out for similarities that are no number" * bool(
        stack.left_out
    )
    return (
        f"Estimated without labels from {len(stack):,} documents {drawn}with pairs{left_out}: "
        f"{noise}; sentences of one page share a topic, which this cannot see: more may be "
        "wrong."
    )
