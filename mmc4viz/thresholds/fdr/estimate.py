"""The false-discovery rate at every threshold, and the proposal from it.

Each matched pair has a probability of being right (`fitting`, `mixture`); the rate at a threshold
is the mean probability of being wrong of the pairs that reach it, its interval comes from rounds
of a bootstrap (`resampling`). A rate that is not known well enough is not given; and none is where
right pairs may stand out too little, the less so where noise is uneven, nor where images are like
several sentences in a row, as on real pages: there, the model of one right sentence an image fails.
What it cannot know: the sentences of a page share a topic, so a wrong one may be more alike than
noise is, and no null made of matrices sees that.

Proposes from an estimate (`estimate`), and says why it does not. Estimates nothing itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.scale import Thresholds, scale_of
from mmc4viz.thresholds.fdr.fit import MixtureFit, Reach, fit, kind_of, resample
from mmc4viz.thresholds.fdr.matrices import Stack
from mmc4viz.thresholds.fdr.mixture import Signal
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import ConfigError

SEPARATED: Final = 1.5
"""Mean shift of right pairs that must be sure for an answer, in deviations of the largest noise."""
WITHIN: Final = {Basis.FDR: 0.05, Basis.DECOYS: 0.03}
"""How near the truth a rate is when it is given, 95 times in 100: else it is not known."""
ALIKE: Final = 0.05
"""Correlation of an image's residuals at neighbouring sentences that the model bears."""
_SURELY: Final = 3.0  # standard errors above zero
FEWEST_DOCUMENTS: Final = 100
FDR_CAVEAT: Final = (
    "Assumes one correct sentence per image and independent noise. Accurate on simulated corpora, "
    "but it failed on real MMC4 pages, where several sentences fit an image: prefer labels."
)
FEWEST_PAIRS: Final = 50
"""Pairs at or above a threshold without which none is proposed."""


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
        Share of them that is wrong, with the ends of its 95 % interval; NaN where it is not known
        to `WITHIN`.
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
    error : ndarray of float64, shape (T,), optional
        Distance of the interval's farther end from the rate, known well enough or not.
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
    error: Floats | None = None


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
        Of a matched corpus (`mmc4viz.thresholds.fdr.matrices.stack_of`).
    thresholds : ndarray of float64, optional
        Ascending; the steps of the scale's grid from the lowest score to the highest if not given.
    decoys : Stack, optional
        Images of these documents with sentences of others (`mmc4viz.thresholds.fdr.matrices`).
    rounds : int
        Of the bootstrap, at least 20.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ConfigError
        When there are too few rounds.

    References
    ----------
    Efron, Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis, JASA 99
    (2004); Efron, Tibshirani, Storey and Tusher, JASA 96 (2001); for decoys, Elias and Gygi,
    Nature Methods 4 (2007); the share of right pairs is fitted, not bounded as by Storey, JRSS B
    64 (2002).
    """
    if rounds < 20:
        raise ConfigError(f"at least 20 bootstrap rounds are needed, got {rounds}")
    asked = _steps(stack.score) if thresholds is None else thresholds
    basis = Basis.FDR if decoys is None else Basis.DECOYS
    assumption, reach = _assumption(stack, basis), Reach.of(stack, asked)
    pairs = reach.sums().astype(np.int64)
    if (reason := _hardly_anything(stack)) is not None:
        unknown = np.full(len(asked), np.nan)
        return FdrEstimate(basis, asked, pairs, unknown, unknown, unknown, None,
                           0.0, len(stack), assumption, reason)  # fmt: skip
    fitted = fit(stack, decoys)
    smaller = fit(stack, decoys, fitted, math.exp(-fitted.doubt))
    found = resample(fitted, smaller, reach, rounds, seed)
    rate = reach.share(1 - fitted.rows.judge(fitted.signal).right)
    low, high = np.quantile(found.rate, [0.025, 0.975], axis=0)
    low, high = np.minimum(low, rate), np.maximum(high, rate)
    error = np.maximum(rate - low, high - rate)
    known = error <= WITHIN[basis]
    rate, low, high = (np.where(known, one, np.nan) for one in (rate, low, high))
    surely = float(np.quantile(found.shift, 0.05))
    return FdrEstimate(basis, asked, pairs, rate, low, high, fitted.signal, surely, len(stack),
                       assumption, _cannot_tell(fitted, surely), error)  # fmt: skip


def _hardly_anything(stack: Stack) -> str | None:
    """Say why there is nothing to estimate from."""
    if len(stack) < FEWEST_DOCUMENTS:
        return f"needs {FEWEST_DOCUMENTS} documents with pairs, found {len(stack):,}"
    if np.ptp(stack.values) == 0:
        return "all scores are equal"
    if kind_of(stack) == "softmax":
        return "softmax scores of an image depend on each other; use cosine scores"
    return None


def _steps(score: Floats) -> Thresholds:
    """Return the steps of the scale's grid that lie between the scores, and one on either side."""
    grid = scale_of(score).thresholds()
    if not len(score):
        return grid[:1]
    first, last = np.searchsorted(grid, [score.min(), score.max()], side="right")
    return grid[max(first - 1, 0) : last + 1]


def _cannot_tell(fitted: MixtureFit, surely: float) -> str | None:
    """Say that several sentences fit an image, or that right ones may not stand out from noise."""
    correlation, errors = fitted.alike
    if correlation > ALIKE and errors > _SURELY:
        return (
            f"consecutive sentences fit an image similarly (correlation {correlation:.2f}, assumed "
            "0), so an image may have several correct sentences"
        )
    needed = SEPARATED * (1 + 2 * fitted.uneven)
    if surely >= needed:
        return None
    uneven = f"; noise varies by {fitted.uneven:.0%} between images or sentences"
    return (
        "separation between correct pairs and noise is too uncertain (estimated "
        f"{fitted.signal.mean_shift:.1f}σ, lower bound {surely:.1f}σ, need {needed:.1f}σ"
        f"{uneven * (fitted.uneven >= 0.05)})"
    )


def _assumption(stack: Stack, basis: Basis) -> str:
    noise = (
        "noise is symmetric once image and sentence effects are removed; true matches only raise "
        "scores"
        if basis is Basis.FDR
        else "noise looks like decoys (one document's images with another document's sentences)"
    )
    drawn = "randomly sampled " if stack.sampled else ""
    left_out = f" ({stack.left_out:,} left out: non-finite scores)" * bool(stack.left_out)
    return (
        f"Estimated without labels from {len(stack):,} {drawn}documents with pairs{left_out}. "
        f"Assumptions: {noise}; at most one correct sentence per image; independent noise. "
        "Sentences on a page share a topic, which is not modeled, so the true FDR may be higher. "
        "Accurate on simulated corpora, but it failed on real MMC4 pages: check it with labels."
    )


def by_fdr(estimate: FdrEstimate, wanted: float) -> Proposal:
    """Propose the lowest threshold whose estimated false-discovery rate is at most the wanted one.

    Parameters
    ----------
    estimate : FdrEstimate
    wanted : float
        A rate, from 0 to 1.

    Returns
    -------
    Proposal
        Of the thresholds at which the rate is known; without one, why, and how many labels would
        settle it.

    Raises
    ------
    ConfigError
        When what is wanted is no share.
    """
    if not 0 < wanted < 1:
        raise ConfigError(f"the target FDR must be between 0 and 1, got {wanted:g}")
    target, needed = f"FDR ≤ {100 * wanted:.4g}%", labels_needed(wanted)
    usable = estimate.pairs >= FEWEST_PAIRS
    good = np.flatnonzero(usable & (estimate.rate <= wanted))
    reason = estimate.reason or (None if len(good) else _none(estimate, usable))
    if reason is not None:
        words = f"{reason}; label about {needed:,} pairs near the threshold instead"
        return Proposal(estimate.basis, target, estimate.assumption, reason=words,
                        labels_needed=needed)  # fmt: skip
    at = int(good[0])
    return Proposal(
        estimate.basis,
        target,
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


def _none(estimate: FdrEstimate, usable: NDArray[np.bool_]) -> str:
    """Say why no threshold is good enough: none is, or it is not known of any."""
    if not usable.any():
        return f"fewer than {FEWEST_PAIRS} pairs"
    known = usable & ~np.isnan(estimate.rate)
    promise = f"to within ±{WITHIN[estimate.basis]:.0%}"
    if not known.any():
        return f"the FDR is not known {promise} at any threshold: too few pairs or documents"
    at = int(np.argmin(np.where(known, estimate.rate, np.inf)))
    higher = usable & ~known & (np.arange(len(known)) > at)
    beyond = f"; not known {promise} at higher thresholds" * bool(higher.any())
    return (
        f"not reached at any threshold that keeps {FEWEST_PAIRS} pairs: the lowest FDR is "
        f"{estimate.rate[at]:.1%} (95% CI {100 * estimate.low[at]:.1f}–{estimate.high[at]:.1%}) "
        f"at {estimate.threshold[at]:g}{beyond}"
    )
