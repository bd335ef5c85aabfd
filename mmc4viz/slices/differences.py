"""How the kept share of each slice differs from the whole's, with simultaneous 95% intervals.

A kept share is a ratio: kept documents to documents, or kept pairs to matched pairs. Documents are
the unit: the pairs of one document rise and fall together. With y kept of x in a document, the
difference of two ratios varies as the sum over documents of

    (y - R x) / X of the slice  -  (y - R x) / X of the whole

so that what slice and whole have in common is taken into account (Cochran, Sampling Techniques,
3rd ed., sections 6.3 and 6.10; Woodruff, JASA 66, 1971). A slice that keeps nothing or everything
shows no variation, so for its interval each slice is given z²/2 kept and z²/2 dropped documents of
its mean size, where z is the normal quantile of the level (Agresti and Coull, American Statistician
52, 1998; it has the center of Wilson's interval). The interval uses Student's t; its degrees
of freedom are one less than the slice's documents, or than those outside of it if fewer.

The intervals of k slices are simultaneous by Šidák's correction: each has the level 0.95**(1/k),
which is enough for estimates with normal errors, however correlated (Šidák, JASA 62, 1967).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mmc4viz.arrays import Bools, Floats, Ints
from mmc4viz.slices.division import Codes

CONFIDENCE: Final = 0.95
CORRECTION: Final = "Šidák"
FEWEST: Final = 10
"""Documents that a slice needs for an interval, and that must be outside of it."""


@dataclass(frozen=True)
class Moments:
    """Sums over documents, by slice; y is what is kept of x.

    Attributes
    ----------
    n : int
        Documents of the corpus.
    documents, others : ndarray of int64, shape (slices,)
        Documents with something in the slice, and with something outside of it.
    x, y : ndarray of float64, shape (slices,)
        Totals of each slice; they add up to those of the whole.
    own : ndarray of float64, shape (3, slices)
        Sums of yy, xy and xx within a slice.
    cross : ndarray of float64, shape (4, slices)
        Sums of yy', yx', xy' and xx', where ' is all of the document in whatever slice.
    whole : ndarray of float64, shape (3,)
        Sums of y'y', x'y' and x'x'.
    """

    n: int
    documents: Ints
    others: Ints
    x: Floats
    y: Floats
    own: Floats
    cross: Floats
    whole: Floats


def moments_of_documents(always: Floats, single: Floats, size: Floats, keep: float) -> Moments:
    """Return the moments of slices of documents.

    Parameters
    ----------
    always, single, size : ndarray of numbers, shape (slices,)
        Documents that are always kept, those kept with the single-image keep probability, and all.
    keep : float
        That probability.
    """
    x = np.asarray(size, np.float64)
    y, yy = always + keep * single, always + keep**2 * single
    own = np.array([yy, y, x], np.float64)
    cross = own[[0, 1, 1, 2]]
    n, documents = int(x.sum()), x.astype(np.int64)
    return Moments(n, documents, n - documents, x, own[1], own, cross, own.sum(axis=1))


def moments_of_pairs(
    document: Codes, code: Codes, kept: Floats, n_documents: int, slices: int
) -> Moments:
    """Return the moments of slices of pairs.

    Parameters
    ----------
    document, code : ndarray of integers, shape (pairs,)
        Document and slice of each pair.
    kept : ndarray of float64, shape (pairs,)
        The probability that it is kept.
    n_documents, slices : int
    """
    all_x = np.bincount(document, minlength=n_documents).astype(np.float64)
    all_y = np.bincount(document, kept, n_documents)
    n_some = int((all_x > 0).sum())
    code = code.astype(np.uint16 if slices < 2**16 else np.int32)  # sorts several times faster
    order = np.argsort(code, kind="stable")
    ends = np.searchsorted(code[order], np.arange(slices + 1))
    x, y = np.zeros(slices), np.zeros(slices)
    documents, others = np.zeros(slices, np.int64), np.zeros(slices, np.int64)
    own, cross = np.zeros((3, slices)), np.zeros((4, slices))
    for number in range(slices):
        here = order[ends[number] : ends[number + 1]]
        some = np.bincount(document[here], minlength=n_documents)
        at = np.flatnonzero(some)
        of = some[at].astype(np.float64)
        of_kept = np.bincount(document[here], kept[here], n_documents)[at]
        x[number], y[number], documents[number] = of.sum(), of_kept.sum(), len(at)
        others[number] = n_some - int((of == all_x[at]).sum())
        own[:, number] = of_kept @ of_kept, of_kept @ of, of @ of
        cross[:, number] = (
            of_kept @ all_y[at], of_kept @ all_x[at], of @ all_y[at], of @ all_x[at]
        )  # fmt: skip
    whole = np.array([all_y @ all_y, all_x @ all_y, all_x @ all_x])
    return Moments(n_documents, documents, others, x, y, own, cross, whole)


@dataclass(frozen=True)
class Differences:
    """Kept shares and their differences from the whole's, every array of shape (slices,).

    Attributes
    ----------
    share, difference : ndarray of float64
        NaN for a slice without anything that could be kept.
    low, high : ndarray of float64
        Limits of the difference; NaN where there are too few documents.
    whole : float
        The whole's kept share.
    compared : int
        Number of slices with an interval, for which the level is corrected.
    """

    share: Floats
    difference: Floats
    low: Floats
    high: Floats
    whole: float
    compared: int


def differences(of: Moments, *, simultaneous: bool = True) -> Differences:
    """Compare the kept share of each slice with the whole's.

    Parameters
    ----------
    of : Moments
    simultaneous : bool
        Whether all intervals hold at once with 95% confidence, or each alone.

    Examples
    --------
    >>> kept, of = np.array([90.0, 10.0]), np.array([100.0, 100.0])
    >>> found = differences(moments_of_documents(kept, 0 * kept, of, 0.5))
    >>> found.difference, found.low.round(2), found.high.round(2), found.compared
    (array([ 0.4, -0.4]), array([ 0.3 , -0.46]), array([ 0.46, -0.3 ]), 2)
    """
    total = of.x.sum()
    whole = float(of.y.sum() / total) if total else np.nan
    share = np.divide(of.y, of.x, out=np.full(len(of.x), np.nan), where=of.x > 0)
    able = np.minimum(of.documents, of.others) >= FEWEST
    k = int(able.sum())
    low, high = np.full(len(of.x), np.nan), np.full(len(of.x), np.nan)
    if k:
        level = CONFIDENCE ** (1 / k) if simultaneous else CONFIDENCE
        low[able], high[able] = _limits(of, able, whole, level)
        seen = share - whole
        low, high = np.minimum(low, seen), np.maximum(high, seen)
    return Differences(share, share - whole, low, high, whole, k)


def _limits(of: Moments, able: Bools, whole: float, level: float) -> tuple[Floats, Floats]:
    from scipy.special import ndtri, stdtrit  # imported late: half of the start-up time

    n, x, y = of.documents[able].astype(np.float64), of.x[able], of.y[able]
    t = stdtrit(np.minimum(n, of.others[able]) - 1, (1 + level) / 2)
    added, mean, total = float(ndtri((1 + level) / 2)) ** 2, x / n, of.x.sum()
    wide = x + added * mean
    share = (y + added / 2 * mean) / wide
    yy, xy, xx = of.own[:, able]
    inside = yy - 2 * share * xy + share**2 * xx
    inside = inside * n / (n - 1) + added / 2 * mean**2 * (share**2 + (1 - share) ** 2)
    y_y, y_x, x_y, x_x = of.cross[:, able]
    both = y_y - whole * y_x - share * x_y + share * whole * x_x
    yy, xy, xx = of.whole
    around = yy - 2 * whole * xy + whole**2 * xx
    variance = inside / wide**2 - 2 * both / (wide * total) + around / total**2
    half = t * np.sqrt(np.maximum(variance * of.n / (of.n - 1), 0.0))
    return np.maximum(share - whole - half, -1.0), np.minimum(share - whole + half, 1.0)
