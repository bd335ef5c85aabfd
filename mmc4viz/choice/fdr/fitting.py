"""Matches told from noise: the fit of effects, noise and signal to each other, till it holds still.

What matches may have added to similarity is taken off, image, sentence and noise are told apart
(`effects`), what is left says what noise looks like (`null`), and given that, rows say how matches
stand out (`mixture`, `likelihood`), and so what they may have added. Gives no rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.choice.fdr.effects import Effects, noise, rivals
from mmc4viz.choice.fdr.evenness import neighbours, unevenness
from mmc4viz.choice.fdr.likelihood import most_likely
from mmc4viz.choice.fdr.mixture import Rows, Signal
from mmc4viz.choice.fdr.null import Null, doubt
from mmc4viz.choice.fdr.stack import Stack
from mmc4viz.corpus.scales import recognise

_PASSES: Final = 8
_STILL: Final = 0.01  # change of any parameter that is none
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Fit:
    """Matches told from noise.

    Attributes
    ----------
    rows : Rows
    theta : ndarray of float64, shape (3,)
        The signal's parameters.
    doubt : float
        Standard error of the logarithm of noise's size.
    uneven : float
        By how much that size varies between images, sentences, pages, as a share of it.
    alike : (float, float)
        How alike an image's residuals are at neighbouring sentences (`evenness.neighbours`).
    added, drawn : ndarray of float64, shape (E,)
        What matches added to each entry, in the unit of the fit: the mean, and a draw.
    """

    rows: Rows
    theta: Floats
    doubt: float
    uneven: float
    alike: tuple[float, float]
    added: Floats
    drawn: Floats

    @property
    def signal(self) -> Signal:
        """How right sentences stand out."""
        return Signal.of(self.theta)


def fit(
    stack: Stack, decoys: Stack | None = None, begin: Fit | None = None, larger: float = 1.0
) -> Fit:
    """Tell matches from noise.

    Parameters
    ----------
    stack : Stack
    decoys : Stack, optional
        From which noise and effects are then taken.
    begin : Fit, optional
        Where to begin.
    larger : float
        Factor by which noise is to be larger than it looks: what its doubt does to a fit.
    """
    unit = _Unit.of(stack)
    values, seen = unit.apply(stack), None if decoys is None else _seen(decoys, unit)
    nothing = np.zeros(len(values))
    added, drawn = (begin.added, begin.drawn) if begin else (nothing, nothing)
    theta = begin.theta if begin else None
    for _ in range(_PASSES):
        effects = Effects.of(stack, values - drawn)
        if seen is not None:
            effects = replace(seen.effects, level=effects.level, page=effects.page)
        rival, reach = rivals(stack, values, added, effects)
        left = noise(stack, values, drawn, effects)
        looks = _known(stack, effects, left, seen)
        rows = Rows.of(stack, rival, reach, looks.null.scaled(larger))
        found, before = most_likely(rows, theta), theta
        theta, judged, size = found, rows.judge(Signal.of(found)), math.sqrt(effects.noise)
        added, drawn = judged.added * size, judged.drawn() * size
        if before is not None and np.abs(found - before).max() < _STILL:
            break
    alike = neighbours(stack, noise(stack, values - drawn, nothing, effects))
    return Fit(rows, found, looks.doubt, unevenness(stack, left), alike, added, drawn)


@dataclass(frozen=True)
class _Noise:
    """Effects, what noise looks like, and the standard error of its log size."""

    effects: Effects
    null: Null
    doubt: float


def _seen(decoys: Stack, unit: _Unit) -> _Noise:
    """Take noise from decoys, in which no sentence is right."""
    values = unit.apply(decoys)
    effects = Effects.of(decoys, values)
    left = noise(decoys, values, np.zeros(len(values)), effects)
    null, up = Null.observed(left), left >= 0
    return _Noise(effects, null, doubt(left[up], decoys.owner[up], null.high))


def _known(stack: Stack, effects: Effects, left: Floats, seen: _Noise | None) -> _Noise:
    """Take noise from what no match can have raised, unless decoys show it.

    Decoys vary, and so does the corpus that they stand for.
    """
    down = left < 0
    null = seen.null if seen else Null.mirrored(left)
    own = doubt(-left[down], stack.owner[down], null.low)
    return _Noise(effects, null, math.hypot(own, seen.doubt) if seen else own)


@dataclass(frozen=True)
class _Unit:
    """A scale on which effects add up, centred, without far outliers."""

    sigmoid: bool
    middle: float
    size: float

    @classmethod
    def of(cls, stack: Stack) -> _Unit:
        sigmoid = kind_of(stack) == "sigmoid"
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


def kind_of(stack: Stack) -> str:
    """Return what the similarities are: a cosine, a sigmoid of one, after a softmax, unknown."""
    return recognise(stack.values, stack.width[stack.document])
