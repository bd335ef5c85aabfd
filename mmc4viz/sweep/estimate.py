"""Estimate a corpus's curves from a sample of document clusters, with 95% CIs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.statistics import Curves, batches
from mmc4viz.sweep.sweep import Matched, match_corpus, sweep, sweep_each
from mmc4viz.types import LoaderConfig

CONFIDENCE = 0.95
RATES = ("documents", "pairs", "image_tokens", "text_tokens", "mispaired")


@dataclass(frozen=True)
class Rate:
    """A quantity per document of the corpus at every threshold, each of shape (T,)."""

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Curves estimated from a sample.

    Attributes
    ----------
    curves : Curves
        Every statistic, scaled to ``whole`` documents, so not integers.
    whole : float
        Documents in the corpus; 1,000 if unknown.
    documents : int
        Documents in the sample.
    fraction : float
        Share of the corpus in the sample; 0 if shards were sampled.
    sizes : ndarray of float64, shape (clusters,)
        Number of documents each cluster represents, scaled to ``whole``.
    always, single_image : ndarray of float64, shape (clusters, len(RATES), T)
        Scaled totals of each cluster: of documents always kept, and of single-image documents.
    alone : ndarray of float64, shape (clusters, T)
        Scaled numbers of documents that are always kept and have one image token.
    """

    curves: Curves
    whole: float
    documents: int
    fraction: float
    sizes: Floats
    always: Floats
    single_image: Floats
    alone: Floats

    def band(self, quantity: str, keep: float) -> Rate:
        """Return one of `RATES` for ``whole`` documents, with its 95% CI."""
        found = interval(self._totals(quantity, keep), self.sizes[:, None], self.fraction)
        return Rate(*(self.whole * values for values in (found.estimate, found.low, found.high)))

    def ratio(self, quantity: str, of: str, keep: float) -> Rate:
        """Return one quantity as a share of another, with its 95% CI."""
        return interval(self._totals(quantity, keep), self._totals(of, keep), self.fraction)

    def single_images(self, keep: float) -> Rate:
        """Return the share of sequences with one image, with its 95% CI."""
        documents = self._totals("documents", keep)
        singles = self.alone + keep * self.single_image[:, RATES.index("documents")]
        return interval(singles, documents, self.fraction)

    def more_to_halve(self) -> int:
        """Return how many more documents would halve every interval, about three times as many.

        Examples
        --------
        >>> nothing = np.zeros((2, 5, 0))
        >>> curves = Curves.none(np.zeros(0))
        >>> sizes = np.ones(2)
        >>> known = Estimate(curves, 9e9, 400, 0.0, sizes, nothing, nothing, nothing[0])
        >>> known.more_to_halve()
        1200
        """
        n, corpus = self.documents, self.documents / self.fraction if self.fraction else np.inf
        wanted = 1 / (1 / corpus + (1 / n - 1 / corpus) / 4)
        return max(0, round(wanted) - n)

    def _totals(self, quantity: str, keep: float) -> Floats:
        at = RATES.index(quantity)
        return np.asarray(self.always[:, at] + keep * self.single_image[:, at])


def interval(top: Floats, bottom: Floats, fraction: float) -> Rate:
    """Return a ratio of cluster totals with its linearized 95% CI.

    Parameters
    ----------
    top, bottom : ndarray of float64, shape (clusters, T) or (clusters, 1)
        Totals of each cluster.
    fraction : float
        Sampled fraction, for the finite-population correction.
    """
    whole = bottom.sum(axis=0)
    known = np.where(whole > 0, whole, 1.0)
    estimate = top.sum(axis=0) / known
    k = len(top)
    if k < 2:
        unknown = np.full_like(estimate, np.inf)
        return Rate(estimate, np.zeros_like(estimate), unknown)
    residual = top - estimate * bottom
    variance = (1 - fraction) * k / (k - 1) * (residual**2).sum(axis=0)
    from scipy.special import stdtrit  # imported late: half of the start-up time

    half = stdtrit(k - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance) / known
    return Rate(estimate, np.maximum(0, estimate - half), estimate + half)


def estimate(
    drawn: DrawnSample,
    config: LoaderConfig,
    thresholds: Thresholds,
    n_documents: int | None,
    progress: Callable[[int], object] | None = None,
) -> Estimate:
    """Sweep a sample by cluster and scale it to the corpus.

    Parameters
    ----------
    drawn : DrawnSample
    config : LoaderConfig
        The threshold and the single-image keep probability are ignored.
    thresholds : ndarray of float64, shape (T,)
        Strictly ascending.
    n_documents : int or None
        Documents in the corpus; None if unknown.
    progress : callable, optional
        Called with the number of documents done since the last call.
    """
    sampled = np.array([sum(len(part) for part in parts) for parts in drawn.clusters], np.float64)
    whole = float(1000 if n_documents is None else n_documents)
    sizes = drawn.sizes * (whole / max(1.0, drawn.sizes.sum()))
    weights = sizes / np.maximum(1, sampled)
    matched = match_corpus((part for parts in drawn.clusters for part in parts), config, progress)
    some, every = steps_among(matched.scores(), thresholds)
    swept = _swept(drawn, matched, config, some)
    counts = sum(weight * one.counts for weight, one in zip(weights, swept, strict=True))
    images = sum(weight * one.images for weight, one in zip(weights, swept, strict=True))
    shapes = sum(weight * one.shapes for weight, one in zip(weights, swept, strict=True))
    rates = [_rates(one) for one in swept]
    always, single_image = (
        np.array([w * rate[k] for w, rate in zip(weights, rates, strict=True)])[..., every]
        for k in (0, 1)
    )
    scaled = Curves(some, counts, images, shapes).at(every, thresholds)
    singles = [one.shapes[1] - one.in_class("documents", "kept_single_image") for one in swept]
    alone = (np.array(singles) * weights[:, None])[:, every]
    found = sizes, always, single_image, alone
    return Estimate(scaled, whole, int(sampled.sum()), drawn.fraction, *found)


def _swept(
    drawn: DrawnSample, matched: Matched, config: LoaderConfig, thresholds: Thresholds
) -> list[Curves]:
    """Sweep each cluster, in batches that limit memory."""
    cluster = np.repeat(np.arange(len(drawn.clusters)), [len(parts) for parts in drawn.clusters])
    found: list[Curves] = []
    for some in batches(len(drawn.clusters), thresholds):
        low, high = np.searchsorted(cluster, [some.start, some.stop]).tolist()
        here = Matched(matched.parts[low:high], config)
        sizes = [len(part.columns) for part in here.parts]
        dealt = np.repeat(cluster[low:high] - some.start, sizes)
        found += sweep_each(here, dealt, len(some), config, thresholds)
    return found


def steps_among(scores: Floats, thresholds: Thresholds) -> tuple[Thresholds, NDArray[np.int64]]:
    """Return the thresholds within the range of scores, and for every threshold its equivalent.

    Below the lowest score and above the highest, nothing changes.
    """
    finite = scores[np.isfinite(scores)]
    ends = (finite.min(), finite.max()) if len(finite) else (thresholds[0], thresholds[0])
    first, last = np.searchsorted(thresholds, ends, side="right") - (1, 0)
    first, last = max(0, int(first)), min(len(thresholds) - 1, int(last))
    every = np.clip(np.arange(len(thresholds)), first, last) - first
    return thresholds[first : last + 1], every


def _rates(curves: Curves) -> tuple[Floats, Floats]:
    """Return the totals of always-kept documents, and of single-image documents."""
    always = [curves.in_class(name, "kept_always") for name in RATES]
    single_image = [curves.in_class(name, "kept_single_image") for name in RATES]
    pairs = RATES.index("pairs")  # counted whatever happens to the document
    always[pairs], single_image[pairs] = curves.total("pairs"), 0 * curves.total("pairs")
    return np.array(always, np.float64), np.array(single_image, np.float64)


def sweep_clusters(
    drawn: DrawnSample, config: LoaderConfig, thresholds: Thresholds
) -> list[Curves]:
    """Return the curves of each cluster."""
    return [sweep(match_corpus(parts, config), config, thresholds) for parts in drawn.clusters]


def rate(drawn: DrawnSample, curves: Sequence[Curves], quantity: str, keep: float) -> Rate:
    """Estimate a quantity per document, with its 95% CI.

    Parameters
    ----------
    drawn : DrawnSample
    curves : sequence of Curves
        One per cluster, in order.
    quantity : str
        One of `RATES`.
    keep : float
        Single-image keep probability.

    Returns
    -------
    Rate
        With an infinite interval if there is only one cluster.
    """
    values = totals(drawn, [_values(part, quantity, keep) for part in curves])
    return interval(values, drawn.sizes[:, None], drawn.fraction)


def totals(drawn: DrawnSample, values: Sequence[Floats]) -> Floats:
    """Scale each cluster's values to the documents it stands for, shape (clusters, T)."""
    sampled = np.array([[sum(len(p) for p in parts)] for parts in drawn.clusters], np.float64)
    return np.asarray(np.array(values) / np.maximum(sampled, 1) * drawn.sizes[:, None])


def _values(curves: Curves, quantity: str, keep: float) -> NDArray[np.float64]:
    if quantity == "pairs":
        return curves.total("pairs").astype(np.float64)
    return curves.expected(quantity, keep)
