"""How a model's matched scores lie on their own scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.choice.lineup import Model
from mmc4viz.corpus.scales import Scale

QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)


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
    scale = model.matched.scale
    low, high = (scores[0], scores[-1]) if len(scores) else (0.0, 0.0)
    first, last = math.floor(low / scale.step + 1e-6), math.floor(high / scale.step + 1e-6) + 1
    width = max(1, math.ceil((last - first) / bars))
    steps = range(first, last + width, width)
    edges = np.array([round(k * scale.step, scale.digits) for k in steps])
    edges[0] = min(edges[0], low)
    counts = np.diff(np.searchsorted(scores, edges, side="left"))
    quantiles = np.quantile(scores, QUANTILES).tolist() if len(scores) else ()
    return Distribution(model.name, scale, len(scores), tuple(quantiles), edges, counts)


def thresholds_of(model: Model, most: int = 60) -> list[float]:
    """Return steps of a model's grid from its lowest score to its highest, at most so many."""
    found = distribution(model, most)
    inside = found.edges[:-1].tolist()
    return [round(edge, found.scale.digits) for edge in inside] if found.pairs else []
