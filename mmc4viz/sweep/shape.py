"""The shape of training sequences at every threshold: images per sequence, length, and text.

All numbers are exact expected values, given the single-image keep probability, and ratios of sums
that `mmc4viz.sweep.statistics.Curves` holds; from a sample, they come with intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.sample import DrawnSample
from mmc4viz.sweep.estimate import interval, totals
from mmc4viz.sweep.statistics import LENGTHS, MOST_IMAGES, Curves

RATIOS: Final = {
    "single_image_before": "share of sequences with one image, before the single-image drop",
    "single_image": "share of sequences with one image",
    "images_mean": "images per sequence",
    "text_before_mean": "text tokens before a sequence's first image",
    "text_between_mean": "text tokens between two images",
    "followed": "share of images with text before the next image, or the end",
    "truncated_sequences": "share of sequences that are truncated",
}
"""Ratios of two sums, and what they mean."""

SHARES: Final = ("single_image_before", "single_image", "followed", "truncated_sequences")
"""Those of `RATIOS` that are from 0 to 1."""

MEDIAN: Final = "images_median"


def by_images(curves: Curves, keep: float) -> Floats:
    """Return expected sequences by number of images, shape (MOST_IMAGES + 1, T).

    Parameters
    ----------
    curves : Curves
    keep : float
        Single-image keep probability.

    Returns
    -------
    ndarray of float64
        Row n: sequences with n images; the last: with that many or more.
    """
    found = curves.shapes[: MOST_IMAGES + 1].astype(np.float64)
    found[1] -= (1 - keep) * curves.in_class("documents", "kept_single_image")
    return found


def by_length(curves: Curves, keep: float) -> Floats:
    """Return expected sequences by length, shape (LENGTHS + 1, T).

    Row n counts those of more than n, and up to n + 1, eighths of the token limit; the last counts
    those that are truncated.
    """
    always, single_image = curves.shapes[MOST_IMAGES + 1 :].reshape(2, LENGTHS + 1, -1)
    return np.asarray(always + keep * single_image)


def length_names(max_tokens: int) -> list[str]:
    """Return the names of the lengths of `by_length` but the last.

    Examples
    --------
    >>> length_names(256)[:2]
    ['1–32 tokens', '33–64 tokens']
    """
    ends = [n * max_tokens // LENGTHS for n in range(LENGTHS + 1)]
    return [f"{low + 1:,}–{high:,} tokens" for low, high in pairwise(ends)]


def _ratio(curves: Curves, name: str, keep: float) -> tuple[Floats, Floats]:
    """Return numerator and denominator of one of `RATIOS`, shape (T,) each."""
    sequences = curves.expected("documents", keep)
    with_images = sequences - curves.shapes[0]
    images = curves.expected("image_tokens", keep)
    if name == "single_image_before":
        kept = curves.in_class("documents", "kept_always", "kept_single_image")
        return curves.shapes[1].astype(np.float64), kept.astype(np.float64)
    if name == "single_image":
        return by_images(curves, keep)[1], sequences
    if name == "images_mean":
        return images, sequences
    if name == "text_before_mean":
        return curves.expected("text_before", keep), with_images
    if name == "text_between_mean":
        return curves.expected("text_between", keep), images - with_images
    if name == "followed":
        return curves.expected("followed", keep), images
    return by_length(curves, keep)[LENGTHS], sequences


def ratio(curves: Curves, name: str, keep: float) -> Floats:
    """Return one of `RATIOS`, shape (T,); NaN where nothing is kept.

    Examples
    --------
    >>> float(ratio(Curves.none(np.array([0.2])), "images_mean", 0.5)[0])
    nan
    """
    top, bottom = _ratio(curves, name, keep)
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))


def median_images(curves: Curves, keep: float) -> Floats:
    """Return the median number of images of a sequence, shape (T,); NaN where nothing is kept.

    It is the least number that at least half of the sequences do not exceed.
    """
    reached = by_images(curves, keep).cumsum(axis=0)
    return _median(reached, reached[-1] / 2)


def _median(reached: Floats, half: Floats) -> Floats:
    """Return the first row that reaches a half, NaN where there is nothing to halve."""
    return np.asarray(np.where(half > 0, (reached >= half).argmax(axis=0), np.nan))


def shape_rows(curves: Curves, keep: float, max_images: int) -> list[dict[str, Any]]:
    """Return the columns that ``mmc4viz curve --shape`` adds; None where nothing is kept.

    Parameters
    ----------
    curves : Curves
    keep : float
        Single-image keep probability.
    max_images : int
        The cap: there is a column for each number of images up to it.
    """
    columns = {name: ratio(curves, name, keep) for name in RATIOS}
    columns[MEDIAN] = median_images(curves, keep)
    columns |= _counted(curves, keep, max_images)
    return _as_rows(columns)


def estimated_shape_rows(
    drawn: DrawnSample, swept: Sequence[Curves], keep: float, max_images: int
) -> list[dict[str, Any]]:
    """Return the same columns, estimated from a sample, with ``NAME_low`` and ``NAME_high``.

    Sequences by images and by length are rates per document of the corpus.

    Parameters
    ----------
    drawn : DrawnSample
    swept : sequence of Curves
        One per cluster, in order.
    keep : float
    max_images : int
    """
    found: dict[str, tuple[Floats, Floats]] = {}
    for name in RATIOS:
        sides = zip(*(_ratio(one, name, keep) for one in swept), strict=True)
        top, bottom = (totals(drawn, side) for side in sides)
        found[name] = top, bottom
    counted = [_counted(one, keep, max_images) for one in swept]
    for name in counted[0]:
        found[name] = totals(drawn, [one[name] for one in counted]), drawn.sizes[:, None]
    columns: dict[str, Floats] = {}
    for name, (top, bottom) in found.items():
        rate = interval(top, bottom, drawn.fraction)
        known = np.broadcast_to(bottom.sum(axis=0) > 0, rate.estimate.shape)
        high = np.minimum(rate.high, 1.0) if name in SHARES else rate.high
        for end, values in (("", rate.estimate), ("_low", rate.low), ("_high", high)):
            columns[name + end] = np.where(known, values, np.nan)
        if name == "truncated_sequences":
            columns |= _estimated_median(drawn, swept, keep)
    return _as_rows(columns)


def _estimated_median(
    drawn: DrawnSample, swept: Sequence[Curves], keep: float
) -> dict[str, Floats]:
    """Estimate the median; its interval inverts that of the share of sequences below it."""
    reached = [by_images(one, keep).cumsum(axis=0) for one in swept]
    whole = totals(drawn, [one[-1] for one in reached])
    rates = [
        interval(totals(drawn, [one[n] for one in reached]), whole, drawn.fraction)
        for n in range(MOST_IMAGES + 1)
    ]
    half = np.where(whole.sum(axis=0) > 0, 0.5, 0.0)
    ends = {"": "estimate", "_low": "high", "_high": "low"}  # a high share means a low median
    found = {}
    for end, side in ends.items():
        shares = np.array([getattr(rate, side) for rate in rates])
        shares[-1] = 1.0
        found[MEDIAN + end] = _median(shares, half)
    return found


def _counted(curves: Curves, keep: float, max_images: int) -> dict[str, Floats]:
    """Return sequences by images, up to the cap and beyond it, and by length."""
    images, most = by_images(curves, keep), min(max_images, MOST_IMAGES - 1)
    found = {f"sequences_{n}": images[n] for n in range(1, most + 1)}
    found["sequences_0"], found["sequences_more"] = images[0], images[most + 1 :].sum(axis=0)
    for n, values in enumerate(by_length(curves, keep)[:LENGTHS], 1):
        found[f"length_{n}"] = values
    return found


def _as_rows(columns: dict[str, Floats]) -> list[dict[str, Any]]:
    lists = [[x if isfinite(x) else None for x in values.tolist()] for values in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
