"""Additive model of similarity matrices, its residuals, and checks of their distribution.

The model is a two-way layout with random effects (Searle, Casella and McCulloch, Variance
Components, 1992): similarity = level + page + image + sentence + noise. A residual is an entry
minus its best linear prediction from all other entries of its page, divided by the standard
deviation of the prediction error, so that pages of all shapes are comparable.

`heteroscedasticity` measures how much the noise varies between images or sentences: where it is
larger, a large residual is weaker evidence. `consecutive_correlation` measures whether images fit
several consecutive sentences.
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
        """Estimate the variances by the method of moments (analysis of variance).

        Parameters
        ----------
        stack : Stack
        values : ndarray of float64, shape (E,)
            Similarity without the contribution of matches.
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
        else:  # one image per page: sentence effects and noise are confounded
            noise = float(columns.sum()) / max(1.0, float((m - 1).sum()))
        of_means = float((image / n + sentence / m + noise / (n * m)).mean())
        page = max(0.0, float(grand.var()) - of_means)
        return cls(max(noise, 1e-12), image, sentence, page, level)


def _excess(squares: float, noise: float, free: Floats, each: Floats) -> float:
    """Return the variance of an effect from the sum of squares of its means."""
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
    """The inverse covariance of each page, which predicts every entry from the others.

    The covariance of a page has four eigenspaces (overall mean, image differences, sentence
    differences, the rest), so the inverse needs only means.

    Attributes
    ----------
    one, row, column, page, grand : ndarray of float64, shape (D,) or float
        Coefficients of an entry, of its image's, sentence's and page's mean, and of the distance
        of the page's mean from the level.
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
        """Multiply the contribution removed from an entry's own row by the inverse, shape (E,)."""
        mean = np.add.reduceat(taken, stack.start[:-1]) / stack.width[stack.document]
        alone = self.one + self.column / stack.images
        shared = self.row + (self.page + self.grand) / stack.images
        return taken * alone[stack.owner] + (mean * shared[stack.document])[stack.row]


def noise(stack: Stack, values: Floats, taken: Floats, effects: Effects) -> Floats:
    """Return standardized residuals, with the contribution of matches removed from other entries.

    Parameters
    ----------
    stack : Stack
    values : ndarray of float64, shape (E,)
        Similarity.
    taken : ndarray of float64, shape (E,)
        Contribution of matches (a random draw).
    effects : Effects

    Returns
    -------
    ndarray of float64, shape (E,)
        Distributed as noise, except at matches.
    """
    precision = Precision.of(stack, effects)
    scale = np.sqrt(precision.diagonal)[stack.owner]
    return precision.apply(stack, values - taken, effects.level) / scale + taken * scale


def rivals(stack: Stack, values: Floats, taken: Floats, effects: Effects) -> tuple[Floats, Floats]:
    """Return standardized residuals, with the contribution of matches removed from other images.

    If an entry is the only correct one of its image, its residual is raised by its shift.

    Parameters
    ----------
    stack, values, effects
        As of `noise`.
    taken : ndarray of float64, shape (E,)
        Expected contribution of matches.

    Returns
    -------
    residual : ndarray of float64, shape (E,)
    reach : ndarray of float64, shape (D,)
        How far a shift of one noise standard deviation moves a residual.
    """
    precision = Precision.of(stack, effects)
    scale = np.sqrt(precision.diagonal)
    found = precision.apply(stack, values - taken, effects.level)
    own = found + precision.of_own_row(stack, taken)
    return own / scale[stack.owner], scale * math.sqrt(effects.noise)


_FAR: Final = 3.0  # standard deviations at which residuals are clipped


def heteroscedasticity(stack: Stack, residual: Floats) -> float:
    """Return the coefficient of variation of the noise scale (heteroscedasticity).

    Parameters
    ----------
    stack : Stack
    residual : ndarray of float64, shape (E,)
        Those below zero are noise.

    Notes
    -----
    If scales differ, residuals of one image, or of one sentence, share a scale, and the covariance
    of their absolute values is the variance of scales (intraclass correlation; Searle, Casella and
    McCulloch, Variance Components, 1992). The page's share is in both, so it is subtracted once.
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


def consecutive_correlation(stack: Stack, residual: Floats) -> tuple[float, float]:
    """Return the correlation of an image's residuals at consecutive sentences.

    Parameters
    ----------
    stack : Stack
    residual : ndarray of float64, shape (E,)
        Without the contribution of matches.

    Returns
    -------
    correlation : float
        Of consecutive residuals, beyond that of any two residuals of the image.
    surely : float
        The same in standard errors, clustered by document.

    Notes
    -----
    By permutation: if sentence order did not matter, the expected product of consecutive residuals
    would equal that of all pairs of the image's residuals.
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
    """Return the mean product of two members of a group."""
    pairs = (np.bincount(group) ** 2).sum() - len(group)
    products = (np.bincount(group, away) ** 2).sum() - (away**2).sum()
    return float(products / pairs) if pairs else 0.0
