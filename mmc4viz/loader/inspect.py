"""One document looked at from all sides: its states, its assignments, each image's runner-up.

Asks the literal walk again with other settings; judges nothing itself and draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.model import (
    ASSIGNMENT_NAMES,
    Document,
    DocumentError,
    LoaderConfig,
    Pair,
    Verdict,
)

MOST_STATES: Final = 100


@dataclass(frozen=True, slots=True)
class State:
    """What becomes of a document at every threshold above ``low`` and up to ``high``.

    ``low`` is minus infinity in the last state, ``high`` infinity in the first. A threshold equal
    to a pair's score keeps the pair.
    """

    low: float
    high: float
    verdict: Verdict

    def holds(self, threshold: float) -> bool:
        """Whether the document is in this state at a threshold."""
        return self.low < threshold <= self.high


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The best sentence an image did not get; ``sentence`` is None where there is no other."""

    sentence: int | None
    score: float
    margin: float


def states(
    document: Document, config: LoaderConfig, tokenizer: Tokenizer, most: int = MOST_STATES
) -> list[State]:
    """Walk a document once in each of its states, from the highest threshold down.

    At most ``most`` of them; a document of m pairs has up to m + 1.
    """
    try:
        pairs = matched_pairs(document, config)
    except DocumentError:
        pairs = []
    scores = sorted({score for *_, score in pairs if math.isfinite(score)}, reverse=True)
    above = float(np.nextafter(scores[0], np.inf)) if scores else config.threshold
    above = min(above, float(np.finfo(np.float64).max))
    at = [above, *scores][:most]
    ends = [math.inf, *scores, -math.inf]
    return [
        State(low, high, walk(document, config.with_(threshold=threshold), tokenizer))
        for threshold, high, low in zip(at, ends, ends[1:], strict=False)
    ]


def assigned(document: Document, config: LoaderConfig, tokenizer: Tokenizer) -> dict[str, Verdict]:
    """Walk a document under each of the assignments."""
    return {
        name: walk(document, config.with_(assignment=name), tokenizer) for name in ASSIGNMENT_NAMES
    }


def matrix_of(document: Document) -> NDArray[np.float64] | None:
    """Return the similarity as images × sentences; None where it is no such matrix."""
    try:
        matrix = np.array(document.similarity)
    except Exception:  # whatever stands there, the walk says what is wrong with it
        return None
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf" or not matrix.size:
        return None
    return matrix.astype(np.float64)


def runner_ups(matrix: NDArray[Any] | None, pairs: Iterable[Pair]) -> list[RunnerUp]:
    """Return for each pair the highest score of its image on another sentence.

    The margin is the pair's score less that: below zero where the image gave up a better
    sentence.

    Examples
    --------
    >>> from mmc4viz.model import Fate
    >>> runner_ups(np.array([[0.3, 0.5, 0.1]]), [Pair(0, 0, 0.25, Fate.KEPT)])
    [RunnerUp(sentence=1, score=0.5, margin=-0.25)]
    """
    return [_runner_up(matrix, pair) for pair in pairs]


def _runner_up(matrix: NDArray[Any] | None, pair: Pair) -> RunnerUp:
    if matrix is None or pair.image >= len(matrix) or matrix.shape[1] < 2:
        return RunnerUp(None, math.nan, math.nan)
    others = np.where(np.isnan(matrix[pair.image]), -np.inf, matrix[pair.image])
    if pair.sentence < len(others):
        others[pair.sentence] = -np.inf
    best = int(others.argmax())
    score = float(others[best])
    return RunnerUp(best, score, pair.score - score)
