"""Fit the mixture model and bootstrap it.

The fit alternates: subtract the expected contribution of true matches from the scores, estimate
image and sentence effects (`effects`), estimate the noise distribution from the residuals, and
estimate from each image's row how far matches exceed it (`mixture`), hence their contribution.

Each bootstrap round over documents resamples the three unknowns: the distribution of matches, the
size of noise, and which pairs are correct. Rounds choose among many precomputed parameter vectors,
so that nothing is refitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.scale import recognise
from mmc4viz.thresholds.fdr.effects import (
    Effects,
    consecutive_correlation,
    heteroscedasticity,
    noise,
    rivals,
)
from mmc4viz.thresholds.fdr.matrices import Stack
from mmc4viz.thresholds.fdr.mixture import (
    Null,
    ResidualRows,
    Signal,
    clipped_to_bounds,
    log_prior,
    log_scale_error,
    most_likely,
    plausible_parameters,
    prior_centers,
)

_PASSES: Final = 8
_CONVERGED: Final = 0.01  # parameter change that counts as convergence
_TINY: Final = 1e-12


@dataclass(frozen=True)
class MixtureFit:
    """The fitted mixture of matches and noise.

    Attributes
    ----------
    rows : ResidualRows
    theta : ndarray of float64, shape (3,)
        The signal's parameters.
    doubt : float
        Standard error of the log noise scale.
    uneven : float
        Relative variation of the noise scale between images, sentences and pages.
    alike : (float, float)
        Result of `effects.consecutive_correlation`.
    added, drawn : ndarray of float64, shape (E,)
        Contribution of matches to each entry, in units of the fit: the mean, and a random draw.
    """

    rows: ResidualRows
    theta: Floats
    doubt: float
    uneven: float
    alike: tuple[float, float]
    added: Floats
    drawn: Floats

    @property
    def signal(self) -> Signal:
        """Distribution of correct sentences' shifts."""
        return Signal.of(self.theta)


def fit(
    stack: Stack, decoys: Stack | None = None, begin: MixtureFit | None = None, larger: float = 1.0
) -> MixtureFit:
    """Fit the mixture.

    Parameters
    ----------
    stack : Stack
    decoys : Stack, optional
        If given, noise and effects are estimated from these.
    begin : MixtureFit, optional
        Starting point.
    larger : float
        Factor by which to inflate the noise scale.
    """
    unit = _Unit.of(stack)
    values, seen = unit.apply(stack), None if decoys is None else _decoy_noise(decoys, unit)
    nothing = np.zeros(len(values))
    added, drawn = (begin.added, begin.drawn) if begin else (nothing, nothing)
    theta = begin.theta if begin else None
    for _ in range(_PASSES):
        effects = Effects.of(stack, values - drawn)
        if seen is not None:
            effects = replace(seen.effects, level=effects.level, page=effects.page)
        rival, reach = rivals(stack, values, added, effects)
        left = noise(stack, values, drawn, effects)
        looks = _noise_of(stack, effects, left, seen)
        rows = ResidualRows.of(stack, rival, reach, looks.null.scaled(larger))
        found, before = most_likely(rows, theta), theta
        theta, judged, size = found, rows.judge(Signal.of(found)), math.sqrt(effects.noise)
        added, drawn = judged.added * size, judged.drawn() * size
        if before is not None and np.abs(found - before).max() < _CONVERGED:
            break
    alike = consecutive_correlation(stack, noise(stack, values - drawn, nothing, effects))
    return MixtureFit(
        rows, found, looks.doubt, heteroscedasticity(stack, left), alike, added, drawn
    )


@dataclass(frozen=True)
class _Noise:
    """Effects, the noise distribution, and the standard error of its log scale."""

    effects: Effects
    null: Null
    doubt: float


def _decoy_noise(decoys: Stack, unit: _Unit) -> _Noise:
    """Estimate noise from decoys, in which no sentence is correct."""
    values = unit.apply(decoys)
    effects = Effects.of(decoys, values)
    left = noise(decoys, values, np.zeros(len(values)), effects)
    null, up = Null.observed(left), left >= 0
    return _Noise(effects, null, log_scale_error(left[up], decoys.owner[up], null.high))


def _noise_of(stack: Stack, effects: Effects, left: Floats, seen: _Noise | None) -> _Noise:
    """Estimate noise from negative residuals, which matches cannot affect, or from decoys.

    With decoys, the standard error includes the variation of both decoys and corpus.
    """
    down = left < 0
    null = seen.null if seen else Null.mirrored(left)
    own = log_scale_error(-left[down], stack.owner[down], null.low)
    return _Noise(effects, null, math.hypot(own, seen.doubt) if seen else own)


@dataclass(frozen=True)
class _Unit:
    """A centered scale on which effects are additive, without far outliers."""

    sigmoid: bool
    middle: float
    size: float

    @classmethod
    def of(cls, stack: Stack) -> _Unit:
        sigmoid = kind_of(stack) == "sigmoid"
        values = _logit(stack.values) if sigmoid else stack.values
        middle = float(np.median(values))
        away = np.abs(values / 2 - middle / 2)  # halved to avoid overflow
        return cls(sigmoid, middle, 2 * float(np.median(away)) or float(away.max()) or 1.0)

    def apply(self, stack: Stack) -> Floats:
        values = _logit(stack.values) if self.sigmoid else stack.values
        return np.asarray(np.clip(values / self.size - self.middle / self.size, -50, 50))


def _logit(values: Floats) -> Floats:
    inside = np.clip(values, _TINY, 1 - _TINY)
    return np.asarray(np.log(inside / (1 - inside)))


def kind_of(stack: Stack) -> str:
    """Return the scale of the scores: cosine, sigmoid, softmax or unknown."""
    return recognise(stack.values, stack.width[stack.document])


_FITS: Final = 127


@dataclass(frozen=True)
class Reach:
    """How many of T thresholds each pair reaches, shape (pairs,)."""

    thresholds: int
    of_pair: Ints

    @classmethod
    def of(cls, stack: Stack, thresholds: Floats) -> Reach:
        """Count for a stack's matched pairs; thresholds ascend."""
        return cls(len(thresholds), np.searchsorted(thresholds, stack.score, side="right"))

    def sums(self, weight: Floats | Ints | None = None) -> Floats:
        """Return the total weight that reaches each threshold, shape (T,)."""
        return _from_right(np.bincount(self.of_pair, weight, self.thresholds + 1))

    def share(self, wrong: Floats) -> Floats:
        """Return the share of incorrect pairs at each threshold, NaN without pairs.

        Parameters
        ----------
        wrong : ndarray of float64, shape (pairs,)
            Probability of being incorrect.
        """
        return _ratio(self.sums(wrong), self.sums())

    def drawn(self, wrong: Floats, rng: np.random.Generator, each: Ints) -> Floats:
        """Return the share of incorrect pairs with correctness drawn at random, shape (T,).

        Parameters
        ----------
        wrong : ndarray of float64, shape (pairs,)
        rng : numpy.random.Generator
        each : ndarray of int64, shape (pairs,)
            Multiplicity of each pair.
        """
        variance = np.bincount(self.of_pair, each * wrong * (1 - wrong), self.thresholds + 1)
        by_chance = _from_right(rng.standard_normal(len(variance)) * np.sqrt(variance))
        return _ratio(self.sums(each * wrong) + by_chance, self.sums(each))


@dataclass(frozen=True)
class Rounds:
    """Bootstrap results: rates, shape (rounds, T), and mean shifts, shape (rounds,)."""

    rate: Floats
    shift: Floats


def resample(
    fitted: MixtureFit, smaller: MixtureFit, reach: Reach, rounds: int, seed: int
) -> Rounds:
    """Resample documents, parameters, noise scale and the correctness of pairs.

    Parameters
    ----------
    fitted : MixtureFit
    smaller : MixtureFit
        The same with noise smaller by its standard error.
    reach : Reach
    rounds, seed : int

    Notes
    -----
    If the whole corpus was examined, its pairs are fixed and only their correctness is drawn; a
    sample's documents are resampled with their pairs. Prior centers are drawn as well, or
    parameters that only the prior determines would look certain (randomized maximum a posteriori:
    Bardsley, Solonen, Haario and Laine, SIAM Journal on Scientific Computing 36, 2014).
    """
    rng, stack = np.random.default_rng(seed), fitted.rows.stack
    counts = rng.multinomial(len(stack), np.full(len(stack), 1 / len(stack)), rounds)
    fits = plausible_parameters(fitted.theta, fitted.rows, _FITS, seed)
    judged = (fitted.rows.judge(Signal.of(one)) for one in fits)
    fit_of, right = zip(*((one.by_document, one.right) for one in judged), strict=True)
    best = (log_prior(fits, prior_centers(rounds, rng)).T + np.array(fit_of) @ counts.T).argmax(
        axis=0
    )
    size = rng.standard_normal((rounds, 1))
    pairs_of = stack.document[stack.matched]
    times = counts if stack.sampled else np.ones_like(counts)
    draws = zip(best.tolist(), times, strict=True)
    rate = np.array([reach.drawn(1 - right[fit], rng, each[pairs_of]) for fit, each in draws])
    rate = np.clip(rate + size * (_rate(smaller, reach) - _rate(fitted, reach)), 0, 1)
    theta = clipped_to_bounds(fits[best] + size * (smaller.theta - fitted.theta))
    return Rounds(rate, np.array([Signal.of(one).mean_shift for one in theta]))


def _rate(fitted: MixtureFit, reach: Reach) -> Floats:
    return reach.share(1 - fitted.rows.judge(fitted.signal).right)


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(np.where(whole > 0, part / whole, np.nan), 0, 1))


def _from_right(bins: NDArray[Any]) -> NDArray[Any]:
    """Sum up bins from the right, giving the total at or above each threshold."""
    return np.asarray(bins[:0:-1].cumsum()[::-1])
