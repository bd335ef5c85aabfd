"""Additive model of a similarity matrix, and its residuals.

The additive model: similarity = level + page + image + sentence + noise, each a draw with mean 0
and a variance of its own (a two-way layout with random effects; Searle, Casella and McCulloch,
Variance Components, 1992). A residual is an entry less its best linear prediction from all other
entries of its page, over that prediction's own deviation, so that pages of every shape are alike.
Nothing is said here of which pairs are right.

Where some images' or sentences' residuals are larger than others', what stands out from the usual
noise need not stand out from theirs. Where an image is like several sentences that follow each
other on the page, a right sentence need not be the only one that stands out. Estimates no rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.thresholds.fdr.matrices import Stack


@dataclass(frozen=True)
class Effects:
    """Variances of the additive model.

    Attributes
    ----------
    noise, image, sentence, page : float
        Variances.
    level : float
        The mean.
    """

    noise: float
    image: float
    sentence: float
    page: float
    level: float

    @classmethod
    def of(cls, stack: Stack, values: Floats) -> Self:
        """Estimate them by the moments of the means (analysis of variance).

        Parameters
        ----------
        stack : Stack
        values : ndarray of float64, shape (E,)
            Similarity without what matches may have added to it.
        """
        n, m = stack.images.astype(np.float64), stack.width.astype(np.float64)
        row, column, grand = means(stack, values)
        rows = np.bincount(stack.document, (row - grand[stack.document]) ** 2, len(stack)) * m
        columns = (
            np.add.reduceat((column - np.repeat(grand, stack.width)) ** 2, stack.first[:-1]) * n
        )
        total = np.bincount(stack.owner, (values - grand[stack.owner]) ** 2, len(stack))
        both = total - rows - columns
        level, free = float(grand.mean()), float(((n - 1) * (m - 1)).sum())
        image = sentence = 0.0
        if free:
            noise = float(both.sum()) / free
            image = _excess(float(rows.sum()), noise, n - 1.0, m)
            sentence = _excess(float(columns.sum()), noise, m - 1.0, n)
        else:  # one image a page: its sentences' effects and noise are one
            noise = float(columns.sum()) / max(1.0, float((m - 1).sum()))
        of_means = float((image / n + sentence / m + noise / (n * m)).mean())
        page = max(0.0, float(grand.var()) - of_means)
        return cls(max(noise, 1e-12), image, sentence, page, level)


def _excess(squares: float, noise: float, free: Floats, each: Floats) -> float:
    """Return the variance of an effect from the squares of its means."""
    weight = float((free * each).sum())
    return max(0.0, (squares - float(free.sum()) * noise) / weight) if weight else 0.0


def means(stack: Stack, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the means of images, shape (R,), of sentences, shape (Σ width,), of pages, (D,)."""
    sums = np.add.reduceat(values, stack.start[:-1])
    column = np.bincount(stack.sentence, values, stack.first[-1]) / np.repeat(
        stack.images, stack.width
    )
    grand = np.bincount(stack.document, sums, len(stack)) / (stack.images * stack.width)
    return sums / stack.width[stack.document], column, grand


@dataclass(frozen=True)
class Precision:
    """The inverse of each page's covariance, by which every entry is predicted from the others.

    The covariance of a page has four eigenspaces (all entries alike; differences of images, of
    sentences; the rest), so that its inverse takes means only.

    Attributes
    ----------
    one, row, column, page, grand : ndarray of float64, shape (D,) or float
        By what an entry, its image's, its sentence's, its page's mean and that mean's distance
        from the level enter.
    diagonal : ndarray of float64, shape (D,)
        One over the variance of an entry given all others.
    """

    one: float
    row: Floats
    column: Floats
    page: Floats
    grand: Floats
    diagonal: Floats

    @classmethod
    def of(cls, stack: Stack, effects: Effects) -> Self:
        """Invert the covariances."""
        n, m = stack.images.astype(np.float64), stack.width.astype(np.float64)
        one = 1 / effects.noise
        row = 1 / (effects.noise + m * effects.image)
        column = 1 / (effects.noise + n * effects.sentence)
        grand = 1 / (
            effects.noise + m * effects.image + n * effects.sentence + n * m * effects.page
        )
        diagonal = (
            one * (1 - 1 / n) * (1 - 1 / m)
            + row * (1 / m) * (1 - 1 / n)
            + column * (1 / n) * (1 - 1 / m)
            + grand / (n * m)
        )
        return cls(one, row - one, column - one, one - row - column, grand, diagonal)

    def apply(self, stack: Stack, values: Floats, level: float) -> Floats:
        """Multiply the distances from the level by the inverse, shape (E,)."""
        row, column, grand = means(stack, values)
        page = grand * self.page + (grand - level) * self.grand
        of_row = row * self.row[stack.document] + page[stack.document]
        of_column = column * np.repeat(self.column, stack.width)
        return values * self.one + of_row[stack.row] + of_column[stack.sentence]

    def of_own_row(self, stack: Stack, taken: Floats) -> Floats:
        """Multiply what was taken off an entry's own row by the inverse, shape (E,)."""
        mean = np.add.reduceat(taken, stack.start[:-1]) / stack.width[stack.document]
        alone = self.one + self.column / stack.images
        shared = self.row + (self.page + self.grand) / stack.images
        return taken * alone[stack.owner] + (mean * shared[stack.document])[stack.row]


def noise(stack: Stack, values: Floats, taken: Floats, effects: Effects) -> Floats:
    """Return standardised residuals with what matches added taken off everywhere else.

    Parameters
    ----------
    stack : Stack
    values : ndarray of float64, shape (E,)
        Similarity.
    taken : ndarray of float64, shape (E,)
        What matches may have added to it.
    effects : Effects

    Returns
    -------
    ndarray of float64, shape (E,)
        What noise looks like, but for matches.
    """
    precision = Precision.of(stack, effects)
    scale = np.sqrt(precision.diagonal)[stack.owner]
    return precision.apply(stack, values - taken, effects.level) / scale + taken * scale


def rivals(stack: Stack, values: Floats, taken: Floats, effects: Effects) -> tuple[Floats, Floats]:
    """Return standardised residuals with what matches added taken off other images only.

    If an entry is the only right one of its image, it stands out by its shift, and what it says
    against all others is the likelihood ratio.

    Parameters
    ----------
    stack, values, effects
        As of `noise`.
    taken : ndarray of float64, shape (E,)
        What matches are believed to have added.

    Returns
    -------
    residual : ndarray of float64, shape (E,)
    reach : ndarray of float64, shape (D,)
        By how much a shift of one noise deviation moves a residual.
    """
    precision = Precision.of(stack, effects)
    scale = np.sqrt(precision.diagonal)
    found = precision.apply(stack, values - taken, effects.level)
    own = found + precision.of_own_row(stack, taken)
    return own / scale[stack.owner], scale * math.sqrt(effects.noise)


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
