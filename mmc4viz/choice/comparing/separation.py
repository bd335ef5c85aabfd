"""Which model separates labelled pairs better: ROC and precision–recall, with a paired test.

Labels are a sample of pairs with known inclusion probabilities; each counts as one over its own
(Horvitz–Thompson). Intervals and the test come from a bootstrap over documents, whose pairs are
not independent, with the same draws for every model. Knows nothing of how labels were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.comparing.roc import NAMES, Curves, Ranked
from mmc4viz.choice.entries import entries
from mmc4viz.choice.lineup import Model, ModelsError

ROUNDS: Final = 1000
_LEVELS: Final = (0.025, 0.975)


@dataclass(frozen=True)
class LabelledPairs:
    """Labelled pairs, every array of shape (n,).

    Attributes
    ----------
    document, image, sentence : ndarray of int64
        The document's position among all; its own indices.
    correct : ndarray of bool
    weight : ndarray of float64
        One over the probability with which the pair came to be labelled.
    """

    document: Ints
    image: Ints
    sentence: Ints
    correct: NDArray[np.bool_]
    weight: Floats

    def __len__(self) -> int:
        return len(self.correct)

    def take(self, chosen: NDArray[np.bool_]) -> LabelledPairs:
        """Return some of them."""
        return LabelledPairs(**{name: value[chosen] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Measure:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """A curve over `roc.STEPS` with pointwise 95 % intervals, shape (101,) each."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Separated:
    """How one model separates right pairs from wrong ones.

    Attributes
    ----------
    model : str
    auc : Measure
        Area under the ROC curve: how often a right pair scores above a wrong one, ties halved.
    average_precision : Measure
        Precision averaged over the right pairs, each at its own score.
    roc : Band
        True-positive rate against false-positive rate.
    precision : Band
        Precision against recall.
    """

    model: str
    auc: Measure
    average_precision: Measure
    roc: Band
    precision: Band


@dataclass(frozen=True)
class Paired:
    """The first model against another one, by the same draws of the same documents.

    Attributes
    ----------
    first, second : str
    auc, average_precision : Measure
        The second's less the first's.
    p_auc, p_average_precision : float
        Two-sided, that there is no difference.
    """

    first: str
    second: str
    auc: Measure
    average_precision: Measure
    p_auc: float
    p_average_precision: float


@dataclass(frozen=True)
class Separation:
    """What labels say of the models.

    Attributes
    ----------
    models : tuple of Separated
    against_first : tuple of Paired
        One for each model but the first.
    labels, documents : int
        Used.
    unusable : int
        Labels of pairs that some model has no score for, left out.
    rounds : int
        Draws that had right and wrong pairs in them.
    """

    models: tuple[Separated, ...]
    against_first: tuple[Paired, ...]
    labels: int
    documents: int
    unusable: int
    rounds: int


def separation(
    models: Sequence[Model], labelled: LabelledPairs, rounds: int = ROUNDS, seed: int = 0
) -> Separation:
    """Compare how models separate labelled pairs.

    Parameters
    ----------
    models : sequence of Model
        Of the same documents.
    labelled : LabelledPairs
    rounds : int
        Draws of the bootstrap.
    seed : int

    Raises
    ------
    ModelsError
        When labels cannot tell right from wrong pairs: none, or all alike.
    """
    scores = np.array(
        [entries(m, labelled.document, labelled.image, labelled.sentence) for m in models]
    ).reshape(len(models), -1)
    usable = np.isfinite(scores).all(axis=0)
    kept = labelled.take(usable)
    _check(kept)
    documents, owner = np.unique(kept.document, return_inverse=True)
    draws = _draws(len(documents), rounds, seed)
    separated = [Ranked(row, kept.correct, kept.weight, owner) for row in scores[:, usable]]
    found = [one.curves(kept.weight[None]) for one in separated]
    drawn = [Curves.joined(list(one.resampled(draws))) for one in separated]
    sound = np.logical_and.reduce([np.isfinite(one.auc) for one in drawn])
    drawn = [one.take(sound) for one in drawn]
    names = [model.name for model in models]
    results = zip(names, found, drawn, strict=True)
    return Separation(
        tuple(_separated(name, one, many) for name, one, many in results),
        tuple(_paired((names[0], names[i]), found, drawn, i) for i in range(1, len(models))),
        labels=len(kept),
        documents=len(documents),
        unusable=len(labelled) - len(kept),
        rounds=int(np.count_nonzero(sound)),
    )


def _check(labelled: LabelledPairs) -> None:
    """Refuse labels from which nothing follows."""
    right = int(np.count_nonzero(labelled.correct))
    if not len(labelled):
        raise ModelsError("no label is of a pair that every model scores; label pairs first")
    if right in (0, len(labelled)):
        alike = "right" if right else "wrong"
        raise ModelsError(
            f"all {len(labelled):,} labels say {alike}: nothing can be told apart; label pairs "
            f"that score {'lower' if right else 'higher'}"
        )


def _draws(n_documents: int, rounds: int, seed: int) -> NDArray[np.int16]:
    """Draw documents with replacement; return how often each comes, shape (rounds, documents)."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((rounds, n_documents), np.int16)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, n_documents, n_documents), minlength=n_documents)
    return counts


def _separated(name: str, found: Curves, drawn: Curves) -> Separated:
    return Separated(
        name,
        _measure(found.auc, drawn.auc),
        _measure(found.average_precision, drawn.average_precision),
        _band(found.roc, drawn.roc),
        _band(found.precision, drawn.precision),
    )


def _measure(found: Floats, drawn: Floats) -> Measure:
    return Measure(float(found[0]), *(float(end) for end in _ends(drawn)))


def _band(found: Floats, drawn: Floats) -> Band:
    return Band(found[0], *_ends(drawn))


def _ends(drawn: Floats) -> Floats:
    if not len(drawn):
        return np.full((2, *drawn.shape[1:]), np.nan)
    return np.asarray(np.quantile(drawn, _LEVELS, axis=0))


def _paired(
    names: tuple[str, str], found: Sequence[Curves], drawn: Sequence[Curves], i: int
) -> Paired:
    auc, average = (
        (
            getattr(found[i], name) - getattr(found[0], name),
            getattr(drawn[i], name) - getattr(drawn[0], name),
        )
        for name in NAMES[:2]
    )
    p_values = (_p_value(auc[1]), _p_value(average[1]))
    return Paired(*names, _measure(*auc), _measure(*average), *p_values)


def _p_value(differences: Floats) -> float:
    """Return the two-sided chance of a difference this far from 0, from draws around it."""
    n = len(differences) + 1
    below, above = ((np.count_nonzero(d >= 0) + 1) / n for d in (-differences, differences))
    return float(min(1.0, 2 * min(below, above)))
