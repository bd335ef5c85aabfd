"""Whether noise is of one size all over a corpus: between images, sentences, pages.

The model has noise of one size. Where some images' or sentences' residuals are larger than others',
what stands out from the usual noise need not stand out from theirs. Estimates no rate.
"""

from __future__ import annotations

import numpy as np

from mmc4viz.choice.fdr.stack import Stack
from mmc4viz.choice.lineup import Floats, Ints


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


def _covariance(away: Floats, group: Ints) -> float:
    """Return the mean product of two of one group."""
    pairs = (np.bincount(group) ** 2).sum() - len(group)
    products = (np.bincount(group, away) ** 2).sum() - (away**2).sum()
    return float(products / pairs) if pairs else 0.0
