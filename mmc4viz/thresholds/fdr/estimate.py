"""The false-discovery rate (FDR) at every threshold, and the threshold suggested from it.

Each matched pair has a probability of being correct (`fit`, `mixture`). The FDR at a threshold is
the mean probability of being incorrect of the pairs that reach it; its interval comes from a
bootstrap. Imprecise rates are withheld. No rate is given if the separation of correct pairs may be
too small (more is required if noise is heteroscedastic), or if images fit several consecutive
sentences, as on real pages, which violates the assumption of one correct sentence per image.

Sentences of a page share a topic, so incorrect ones may score higher than noise; no null
distribution derived from the matrices can account for that.
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
"""Lower bound that the mean shift of correct pairs must reach, in σ of the largest noise."""
WITHIN: Final = {Basis.FDR: 0.05, Basis.DECOYS: 0.03}
"""Largest half-width of the 95% CI for which a rate is reported."""
ALIKE: Final = 0.05
"""Largest tolerated correlation of an image's residuals at consecutive sentences."""
_MIN_ERRORS: Final = 3.0  # standard errors above zero
FEWEST_DOCUMENTS: Final = 100
FDR_CAVEAT: Final = (
    "Assumes one correct sentence per image and independent noise. Accurate on simulated corpora, "
    "but it failed on real MMC4 pages, where several sentences fit an image: prefer labels."
)
FEWEST_PAIRS: Final = 50
"""Least number of pairs at or above a suggested threshold."""


@dataclass(frozen=True)
class FdrEstimate:
    """Estimated false-discovery rate by threshold.

    Attributes
    ----------
    basis : Basis
        ``fdr`` from the matrices alone, ``decoys`` with decoys.
    threshold : ndarray of float64, shape (T,)
        Ascending.
    pairs : ndarray of int64, shape (T,)
        Examined pairs at or above the threshold.
    rate, low, high : ndarray of float64, shape (T,)
        Share of incorrect pairs among them with its 95% CI; NaN if less precise than `WITHIN`.
    signal : Signal or None
        Distribution of correct pairs' shifts; None if nothing could be estimated.
    surely : float
        Lower bound of the mean shift, in noise standard deviations: exceeded by 95% of the
        resampled corpora.
    documents : int
        Number of documents examined.
    assumption : str
        What the estimate assumes, in a few sentences.
    reason : str or None
        Why there is no estimate; the rates should then not be used.
    error : ndarray of float64, shape (T,), optional
        Largest distance of the CI's ends from the rate, reported or not.
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
    """Estimate the false-discovery rate by threshold.

    Parameters
    ----------
    stack : Stack
        Of a matched corpus (`mmc4viz.thresholds.fdr.matrices.stack_of`).
    thresholds : ndarray of float64, optional
        Ascending; by default the scale's grid from the lowest score to the highest.
    decoys : Stack, optional
        Images of these documents with sentences of others (`mmc4viz.thresholds.fdr.matrices`).
    rounds : int
        Bootstrap rounds, at least 20.
    seed : int
        Bootstrap seed.

    Raises
    ------
    ConfigError
        If there are too few rounds.

    References
    ----------
    Efron, Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis, JASA 99
    (2004); Efron, Tibshirani, Storey and Tusher, JASA 96 (2001); for decoys, Elias and Gygi,
    Nature Methods 4 (2007); the share of correct pairs is fitted, not bounded as by Storey, JRSS
    B 64 (2002).
    """
    if rounds < 20:
        raise ConfigError(f"at least 20 bootstrap rounds are needed, got {rounds}")
    asked = _steps(stack.score) if thresholds is None else thresholds
    basis = Basis.FDR if decoys is None else Basis.DECOYS
    assumption, reach = _assumption(stack, basis), Reach.of(stack, asked)
    pairs = reach.sums().astype(np.int64)
    if (reason := _insufficient(stack)) is not None:
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
                       assumption, _unreliable(fitted, surely), error)  # fmt: skip


def _insufficient(stack: Stack) -> str | None:
    """Explain why the data are insufficient; None if they are not."""
    if len(stack) < FEWEST_DOCUMENTS:
        return f"needs {FEWEST_DOCUMENTS} documents with pairs, found {len(stack):,}"
    if np.ptp(stack.values) == 0:
        return "all scores are equal"
    if kind_of(stack) == "softmax":
        return "softmax scores of an image depend on each other; use cosine scores"
    return None


def _steps(score: Floats) -> Thresholds:
    """Return the grid steps between the scores, and one on either side."""
    grid = scale_of(score).thresholds()
    if not len(score):
        return grid[:1]
    first, last = np.searchsorted(grid, [score.min(), score.max()], side="right")
    return grid[max(first - 1, 0) : last + 1]


def _unreliable(fitted: MixtureFit, surely: float) -> str | None:
    """Explain why the fitted model gives no reliable rates; None if it does."""
    correlation, errors = fitted.alike
    if correlation > ALIKE and errors > _MIN_ERRORS:
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
    """Suggest the lowest threshold whose estimated FDR is at most the target.

    Parameters
    ----------
    estimate : FdrEstimate
    wanted : float
        The target, from 0 to 1.

    Returns
    -------
    Proposal
        Among thresholds with a known rate; otherwise with the reason and the number of labels
        needed.

    Raises
    ------
    ConfigError
        If the target is not between 0 and 1.
    """
    if not 0 < wanted < 1:
        raise ConfigError(f"the target FDR must be between 0 and 1, got {wanted:g}")
    target, needed = f"FDR ≤ {100 * wanted:.4g}%", labels_needed(wanted)
    usable = estimate.pairs >= FEWEST_PAIRS
    good = np.flatnonzero(usable & (estimate.rate <= wanted))
    reason = estimate.reason or (None if len(good) else _unreached(estimate, usable))
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
    """Return how many random labels give a 95% CI of ± ``width`` around a rate.

    Examples
    --------
    >>> labels_needed(0.1), labels_needed(0.3)
    (139, 323)
    """
    return math.ceil(1.96**2 * rate * (1 - rate) / width**2)


def _unreached(estimate: FdrEstimate, usable: NDArray[np.bool_]) -> str:
    """Explain why no threshold reaches the target."""
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
