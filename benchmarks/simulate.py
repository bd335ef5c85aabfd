"""Corpora of similarity matrices with known truth, from easily told apart to hopeless.

Similarity = level + image effect + sentence effect + noise, and a shift where the sentence is the
image's own. Shapes are those of web pages: 1 to 12 images, 5 to 50 sentences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mmc4viz.arrays import Floats
from mmc4viz.thresholds.fdr.matrices import Stack, stacked


@dataclass(frozen=True)
class Recipe:
    """What a corpus is like; deviations in those of the noise.

    Attributes
    ----------
    shift : float
        By how much right pairs stand out.
    share : float
        Of the images, those with a right sentence.
    documents : int
    spread : float
        Deviation of the shift.
    image, sentence : float
        Deviations of the effects.
    tail : float or None
        Degrees of freedom of noise with heavy tails; None for normal noise.
    alike : float
        Correlation of an image's noise between sentences of one topic, of three a page.
    sentences : float
        Median number of sentences.
    second : float
        Share of the images with a right sentence that have a second one.
    around : float
        Share of the shift that the sentences around an image's place on the page have as well,
        less and less: as on real pages, where several sentences in a row fit it.
    """

    shift: float = 3.0
    share: float = 0.6
    documents: int = 1000
    spread: float = 0.0
    image: float = 1.0
    sentence: float = 1.0
    tail: float | None = None
    alike: float = 0.0
    sentences: float = 18.0
    second: float = 0.0
    around: float = 0.0


@dataclass(frozen=True)
class Simulated:
    """A corpus with its truth.

    Attributes
    ----------
    stack : Stack
    right : ndarray of bool, shape (pairs,)
        Of each matched pair.
    decoys : Stack
        The same images with sentences of other pages.
    """

    stack: Stack
    right: NDArray[np.bool_]
    decoys: Stack


def simulate(recipe: Recipe, seed: int | list[int]) -> Simulated:
    """Draw a corpus, matched one-to-one."""
    rng = np.random.default_rng(seed)
    images = np.minimum(rng.geometric(0.22, recipe.documents), 12)
    sentences = np.clip(
        np.round(recipe.sentences * np.exp(rng.normal(0, 0.6, recipe.documents))), 5, 50
    ).astype(int)
    pages, decoys, right = [], [], []
    for n, m in zip(images.tolist(), sentences.tolist(), strict=True):
        image = recipe.image * rng.standard_normal((n, 1))
        true = _truth(rng, recipe, n, m)
        matrix = image + _sentences(rng, recipe, m) + _noise(rng, recipe, n, m)
        shift = recipe.shift + recipe.spread * rng.standard_normal(true.shape)
        matrix += np.where(true, np.maximum(0, shift), 0)
        if recipe.around:
            away = np.abs(np.arange(m) - rng.integers(0, m, (n, 1)))
            matrix += recipe.around * recipe.shift * 0.6**away
        rows, columns = linear_sum_assignment(-matrix)
        assigned = np.full(n, -1)
        assigned[rows] = columns
        pages.append((_scaled(matrix), assigned))
        right.append(true[rows, columns])
        decoy = image + _sentences(rng, recipe, m) + _noise(rng, recipe, n, m)
        decoys.append((_scaled(decoy), assigned))
    return Simulated(stacked(pages), np.concatenate(right), stacked(decoys))


def _truth(rng: np.random.Generator, recipe: Recipe, n: int, m: int) -> NDArray[np.bool_]:
    """Draw which sentences are right; no two images share one."""
    true = np.zeros((n, m), bool)
    order = rng.permutation(m)
    has = rng.random(min(n, m)) < recipe.share
    own = np.flatnonzero(has)
    true[own, order[own]] = True
    for image in own[rng.random(len(own)) < recipe.second].tolist():
        true[image, rng.integers(m)] = True
    return true


def _sentences(rng: np.random.Generator, recipe: Recipe, m: int) -> Floats:
    return recipe.sentence * rng.standard_normal((1, m))


def _noise(rng: np.random.Generator, recipe: Recipe, n: int, m: int) -> Floats:
    if recipe.tail is not None:
        unit = np.sqrt(recipe.tail / (recipe.tail - 2))
        return np.asarray(rng.standard_t(recipe.tail, (n, m)) / unit)
    noise = rng.standard_normal((n, m))
    if recipe.alike:
        topic = rng.integers(0, 3, m)
        shared = rng.standard_normal((n, 3))[:, topic]
        noise = np.sqrt(1 - recipe.alike) * noise + np.sqrt(recipe.alike) * shared
    return noise


def _scaled(matrix: Floats) -> Floats:
    """Put a matrix where CLIP has its cosines, in single precision."""
    return np.asarray((0.2 + 0.03 * matrix).astype(np.float32), np.float64)
