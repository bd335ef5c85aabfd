"""Whether noise is as the model has it: of one size, and of one sentence as of another.

Where some images' or sentences' residuals are larger than others', what stands out from the usual
noise need not stand out from theirs. Where an image is like several sentences that follow each
other on the page, a right sentence need not be the only one that stands out. Estimates no rate.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.fdr.stack import Stack

_FAR: Final = 3.0  # deviations, beyond which residuals count as this far


def unevenness(stack: Stack, residual: Floats) -> float:
    """Return by how much the size of noise varies: its deviation over its mean.

    Parameters
    ----------
    stack : Stack
    residual : ndarray of float64, shape (E,)
        Of which those below zero are noise.

    Notes
    -----
    Two residuals of an image, or of a sentence, share a size if sizes differ: then the covariance
    of their distances from zero is the sizes' variance (intraclass correlation; Searle, Casella
    and McCulloch, Variance Components, 1992). What two of a page share is in both.
    """
    low = np.flatnonzero(residual < 0)
    size = -residual[low]
    if len(low) < 2:
        return 0.0
    away = size - size.mean()
    groups = (stack.row[low], stack.sentence[low], stack.owner[low])
    image, sentence, page = (_covariance(away, group) for group in groups)
    shared = max(0.0, image) + max(0.0, sentence) - max(0.0, min(image, sentence, page))
    return float(np.sqrt(shared) / size.mean())


def neighbours(stack: Stack, residual: Floats) -> tuple[float, float]:
    """Return how alike an image's residuals are at sentences that follow each other on the page.

    Parameters
    ----------
    stack : Stack
    residual : ndarray of float64, shape (E,)
        Without what matches may have added.

    Returns
    -------
    correlation : float
        Of neighbours, beyond that of any two of the image's residuals.
    surely : float
        The same in its standard errors, as documents vary.

    Notes
    -----
    By permutation: were the order of the sentences nothing to an image, the mean product of its
    neighbouring residuals would be that of all of its pairs of them.
    """
    size = np.clip(residual, -_FAR, _FAR)
    within = stack.row[1:] == stack.row[:-1]
    here, rows = stack.row[1:][within], len(stack.assigned)
    found = np.bincount(here, (size[1:] * size[:-1])[within], rows)
    width = np.bincount(stack.row, minlength=rows)
    sums, squares = np.bincount(stack.row, size, rows), np.bincount(stack.row, size**2, rows)
    beyond = found - (sums**2 - squares) / np.maximum(width, 1)
    by_document = np.bincount(stack.document, beyond, len(stack))
    whole, free = float(by_document.sum()), float((width - 1).sum()) * float((size**2).mean())
    error = float(np.sqrt((by_document**2).sum()))
    return (whole / free if free > 0 else 0.0), (whole / error if error > 0 else 0.0)


def _covariance(away: Floats, group: Ints) -> float:
    """Return the mean product of two of one group."""
    pairs = (np.bincount(group) ** 2).sum() - len(group)
    products = (np.bincount(group, away) ** 2).sum() - (away**2).sum()
    return float(products / pairs) if pairs else 0.0
