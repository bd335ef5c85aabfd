"""Other ways to a false-discovery rate without labels, to measure the product's against.

Two nulls for the score of a wrong match, each with the share of wrong matches from the lower half
of the scores: the runner-up (assigned entries forbidden, each document solved again, images
weighted by how surely their first match is right) and the mirrored residual (image and sentence
effects kept, noise drawn anew from the residuals below zero and mirrored, assigned many times).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, linear_sum_assignment

from mmc4viz.arrays import Floats
from mmc4viz.thresholds.fdr.matrices import Stack

_BINS = 60
_DRAWS = 20
_ROUNDS = 30


def matrices(stack: Stack) -> list[tuple[Floats, NDArray[np.int64]]]:
    """Return the rows of each document's matched images, and their sentences."""
    first = np.append(0, np.cumsum(stack.images))
    found = []
    for a, b in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        matrix = stack.values[stack.start[a] : stack.start[b]].reshape(b - a, -1)
        matched = stack.assigned[a:b] >= 0
        found.append((matrix[matched], stack.assigned[a:b][matched]))
    return found


def runner_up(stack: Stack, thresholds: Floats) -> Floats:
    """Estimate the rate by second assignments."""
    second = np.concatenate([_again(matrix, assigned) for matrix, assigned in matrices(stack)])
    score, known = stack.score, np.isfinite(second)
    weight = known.astype(float)
    for _ in range(_ROUNDS):
        wrong, local = _rates(score, np.where(known, second, score.min()), weight, thresholds)
        new = known * (1 - local)
        if np.abs(new - weight).max() < 1e-4 or not new.sum():
            break
        weight = new
    return wrong


def _again(matrix: Floats, assigned: NDArray[np.int64]) -> Floats:
    """Solve a document again without its assigned entries; NaN where there is no second."""
    left = matrix.copy()
    rows = np.arange(len(matrix))
    left[rows, assigned] = -1e6
    at, column = linear_sum_assignment(-left)
    found = np.full(len(matrix), np.nan)
    found[at] = np.where(left[at, column] > -1e5, left[at, column], np.nan)
    return found


def mirrored(stack: Stack, thresholds: Floats, seed: int = 0) -> Floats:
    """Estimate the rate by noise drawn anew around image and sentence effects."""
    rng, documents = np.random.default_rng(seed), matrices(stack)
    within = [m - np.median(m, axis=1, keepdims=True) for m, _ in documents]
    noise, sentence = _variances(within)
    effects, residuals = [], []
    for (matrix, _), centred in zip(documents, within, strict=True):
        n = len(matrix)
        shrunk = centred.mean(axis=0) * sentence / (sentence + noise / n) if n > 1 else 0.0
        effect = np.median(matrix, axis=1, keepdims=True) + shrunk
        effects.append(np.broadcast_to(effect, matrix.shape))
        residuals.append((matrix - effect).ravel())
    pool = np.concatenate(residuals)
    pool = pool[pool < 0]
    null = []
    for _ in range(_DRAWS):
        for effect in effects:
            drawn = effect + rng.choice(pool, effect.shape) * rng.choice([-1, 1], effect.shape)
            rows, columns = linear_sum_assignment(-drawn)
            null.append(drawn[rows, columns])
    scores = np.concatenate(null)
    return _rates(stack.score, scores, np.ones(len(scores)), thresholds)[0]


def _variances(within: list[Floats]) -> tuple[float, float]:
    """Return the variances of noise and of sentence effects, from robust deviations of columns."""
    several = [m for m in within if len(m) > 1]
    if not several:
        return 1.0, 0.0
    inside = np.concatenate([(m - np.median(m, axis=0)).ravel() for m in several])
    columns = np.concatenate([m.mean(axis=0) for m in several])
    noise = (1.4826 * float(np.median(np.abs(inside)))) ** 2
    rows = np.concatenate([np.full(m.shape[1], len(m)) for m in several])
    total = (1.4826 * float(np.median(np.abs(columns - np.median(columns))))) ** 2
    return noise, max(0.0, total - noise * float((1 / rows).mean()))


def _rates(
    score: Floats, null: Floats, weight: Floats, thresholds: Floats
) -> tuple[Floats, Floats]:
    """Return the rate at each threshold, and the local rate of each pair."""
    middle = np.median(score)
    below = max(float(weight[null < middle].sum() / weight.sum()), 1e-6)
    share = min(1.0, float((score < middle).mean()) / below)
    order = np.argsort(null)
    tail = np.append(np.cumsum(weight[order][::-1])[::-1], 0) / weight.sum()
    of_null = tail[np.searchsorted(null[order], thresholds)]
    of_all = 1 - np.searchsorted(np.sort(score), thresholds) / len(score)
    rate = np.clip(share * of_null / np.maximum(of_all, 1 / len(score)), 0, 1)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, _BINS + 1)))
    seen, _ = np.histogram(score, edges)
    noise, _ = np.histogram(null, edges, weights=weight / weight.sum() * len(score))
    local = np.clip(share * noise / np.maximum(seen, 1), 0, 1)
    falling = isotonic_regression(local, weights=np.maximum(seen, 1), increasing=False).x
    place = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, len(falling) - 1)
    return rate, np.asarray(falling)[place]
