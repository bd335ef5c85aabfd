"""How well each model separates correct from incorrect pairs, from labels.

Labels are a sample of pairs with known inclusion probabilities, by whose inverse they are weighted
(Horvitz–Thompson). Intervals and tests come from a bootstrap over documents, because pairs of a
document are dependent, with the same draws for every model. Documents with one URL, or with a
labeled image in common, are drawn together.

Labels are sampled from the matched pairs of some models. A model without labels has no precision
estimate, since pairs that only it matches have no labels; and it cannot be compared with others
fairly, since labels of one model's pairs favor the other model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.sweep.duplicates import clusters
from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import thresholds_of
from mmc4viz.thresholds.compare.equivalent import (
    EquivalentThreshold,
    NoEquivalent,
    Rates,
    match_by_fdr,
    match_by_rate,
    match_by_yield,
)
from mmc4viz.thresholds.fdr.estimate import FdrEstimate
from mmc4viz.thresholds.labels.precision import Labelled, curve, labelled_for
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.labels.store import LabelsError
from mmc4viz.thresholds.model_scores import Model, ModelsError, entries

STEPS: Final = np.linspace(0, 1, 101)
NAMES: Final = ("auc", "average_precision", "roc", "precision")
_AT_ONCE: Final = 1 << 21  # resampled weights per block


@dataclass(frozen=True)
class RocCurves:
    """For R weightings: areas, shape (R,), and curves over `STEPS`, shape (R, 101)."""

    auc: Floats
    average_precision: Floats
    roc: Floats
    precision: Floats

    @classmethod
    def joined(cls, parts: list[RocCurves]) -> RocCurves:
        """Concatenate the curves of several blocks of weightings."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in NAMES))

    def take(self, chosen: NDArray[np.bool_]) -> RocCurves:
        """Select some weightings."""
        return RocCurves(*(getattr(self, name)[chosen] for name in NAMES))


class Ranked:
    """One model's scores of labeled pairs, descending; equal scores form one step.

    Parameters
    ----------
    score, weight : ndarray of float64, shape (n,)
    correct : ndarray of bool, shape (n,)
    owner : ndarray of int64, shape (n,)
        Index of each pair's document, or of the documents drawn with it.
    """

    def __init__(
        self, score: Floats, correct: NDArray[np.bool_], weight: Floats, owner: Ints
    ) -> None:
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        self._right = correct[self._order]
        self._weight, self._owner = weight, owner

    def resampled(self, draws: NDArray[np.int16]) -> Iterator[RocCurves]:
        """Yield the curves of all draws, block by block."""
        width = max(1, _AT_ONCE // len(self._weight))
        for start in range(0, len(draws), width):
            yield self.curves(draws[start : start + width, self._owner] * self._weight)

    def curves(self, weight: Floats) -> RocCurves:
        """Return the curves of R weightings, shape (R, n); NaN if all pairs have the same label.

        The ROC curve is linear within a step, so its area is the probability that a correct pair
        scores above an incorrect one, ties counted half. Precision at a recall is taken at the
        highest score that reaches it.
        """
        ranked = weight[:, self._order]
        rights = np.add.reduceat(ranked * self._right, self._first, axis=1)
        wrongs = np.add.reduceat(ranked * ~self._right, self._first, axis=1)
        true, false = rights.cumsum(axis=1), wrongs.cumsum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            tpr, fpr = true / true[:, -1:], false / false[:, -1:]
            precision = true / (true + false)
            auc = (wrongs * (true - rights / 2)).sum(axis=1) / (true[:, -1] * false[:, -1])
            steps = np.where(rights > 0, precision * rights, 0).sum(axis=1)
            average = np.where(np.isfinite(auc), steps / true[:, -1], np.nan)
        return RocCurves(auc, average, _roc(tpr, fpr), _precision(tpr, precision))


def _roc(tpr: Floats, fpr: Floats) -> Floats:
    """Interpolate the true-positive rate at every step of the false-positive rate."""
    zero = np.zeros(1)
    return np.array(
        [
            np.interp(STEPS, np.append(zero, f), np.append(zero, t))
            for t, f in zip(tpr, fpr, strict=True)
        ]
    )


def _precision(recall: Floats, precision: Floats) -> Floats:
    """Look up the precision at every step of recall."""
    last = recall.shape[1] - 1
    places = (np.searchsorted(row, np.maximum(STEPS, 1e-12) - 1e-12) for row in recall)
    return np.array(
        [row[np.minimum(place, last)] for row, place in zip(precision, places, strict=True)]
    )


ROUNDS: Final = 1000
_LEVELS: Final = (0.025, 0.975)


@dataclass(frozen=True)
class LabelledPairs:
    """Labeled pairs, every array of shape (n,).

    Attributes
    ----------
    document, image, sentence : ndarray of int64
        Document position in the corpus; indices within the document.
    correct : ndarray of bool
    weight : ndarray of float64
        Inverse inclusion probability.
    """

    document: Ints
    image: Ints
    sentence: Ints
    correct: NDArray[np.bool_]
    weight: Floats

    def __len__(self) -> int:
        return len(self.correct)

    def take(self, chosen: NDArray[np.bool_]) -> LabelledPairs:
        """Select some pairs."""
        return LabelledPairs(**{name: value[chosen] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Measure:
    """A number with its 95% CI."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ConfidenceBand:
    """A curve over `STEPS` with pointwise 95% CIs, shape (101,) each."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class ModelSeparation:
    """How well one model separates correct from incorrect pairs.

    Attributes
    ----------
    model : str
    auc : Measure
        Area under the ROC curve: the probability that a correct pair scores above an incorrect one.
    average_precision : Measure
        Area under the precision–recall curve.
    roc : ConfidenceBand
        True-positive rate against false-positive rate.
    precision : ConfidenceBand
        Precision against recall.
    """

    model: str
    auc: Measure
    average_precision: Measure
    roc: ConfidenceBand
    precision: ConfidenceBand


@dataclass(frozen=True)
class Paired:
    """Paired comparison of another model with the first.

    Attributes
    ----------
    first, second : str
    auc, average_precision : Measure
        Difference, second minus first.
    p_auc, p_average_precision : float
        Two-sided p-values of no difference.
    """

    first: str
    second: str
    auc: Measure
    average_precision: Measure
    p_auc: float
    p_average_precision: float


@dataclass(frozen=True)
class Separation:
    """Label-based comparison of models.

    Attributes
    ----------
    models : tuple of ModelSeparation
    against_first : tuple of Paired
        One for each model but the first.
    labels, documents : int
        Numbers used.
    unusable : int
        Labels left out because some model has no score for the pair.
    rounds : int
        Bootstrap draws with both correct and incorrect pairs.
    """

    models: tuple[ModelSeparation, ...]
    against_first: tuple[Paired, ...]
    labels: int
    documents: int
    unusable: int
    rounds: int


def separation(
    models: Sequence[Model], labelled: LabelledPairs, rounds: int = ROUNDS, seed: int = 0
) -> Separation:
    """Compare how well models separate labeled pairs.

    Documents are resampled, and those with one URL or with a labeled image in common together.

    Parameters
    ----------
    models : sequence of Model
        Models of the same documents.
    labelled : LabelledPairs
    rounds : int
        Bootstrap draws.
    seed : int

    Raises
    ------
    ModelsError
        If there are no labels, or all are the same.
    """
    scores = np.array(
        [entries(m, labelled.document, labelled.image, labelled.sentence) for m in models]
    ).reshape(len(models), -1)
    usable = np.isfinite(scores).all(axis=0)
    kept = labelled.take(usable)
    _check(kept)
    columns = [part.columns for part in models[0].matched.parts]
    owner = clusters(columns, kept.document, kept.image)
    draws = _draws(int(owner.max()) + 1, rounds, seed)
    separated = [Ranked(row, kept.correct, kept.weight, owner) for row in scores[:, usable]]
    found = [one.curves(kept.weight[None]) for one in separated]
    drawn = [RocCurves.joined(list(one.resampled(draws))) for one in separated]
    sound = np.logical_and.reduce([np.isfinite(one.auc) for one in drawn])
    drawn = [one.take(sound) for one in drawn]
    names = [model.name for model in models]
    results = zip(names, found, drawn, strict=True)
    return Separation(
        tuple(_separated(name, one, many) for name, one, many in results),
        tuple(_paired((names[0], names[i]), found, drawn, i) for i in range(1, len(models))),
        labels=len(kept),
        documents=len(np.unique(kept.document)),
        unusable=len(labelled) - len(kept),
        rounds=int(np.count_nonzero(sound)),
    )


def _check(labelled: LabelledPairs) -> None:
    """Refuse labels without both correct and incorrect pairs."""
    right = int(np.count_nonzero(labelled.correct))
    if not len(labelled):
        raise ModelsError("no labeled pair is scored by every model; label pairs first")
    if right in (0, len(labelled)):
        alike, other = ("correct", "lower") if right else ("incorrect", "higher")
        raise ModelsError(
            f"all labels ({len(labelled):,}) are {alike}, so separation cannot be measured; label "
            f"{other}-scoring pairs"
        )


def _draws(n_clusters: int, rounds: int, seed: int) -> NDArray[np.int16]:
    """Resample clusters; return their multiplicities, shape (rounds, clusters)."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((rounds, n_clusters), np.int16)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, n_clusters, n_clusters), minlength=n_clusters)
    return counts


def _separated(name: str, found: RocCurves, drawn: RocCurves) -> ModelSeparation:
    return ModelSeparation(
        name,
        _measure(found.auc, drawn.auc),
        _measure(found.average_precision, drawn.average_precision),
        _band(found.roc, drawn.roc),
        _band(found.precision, drawn.precision),
    )


def _measure(found: Floats, drawn: Floats) -> Measure:
    return Measure(float(found[0]), *(float(end) for end in _ends(drawn)))


def _band(found: Floats, drawn: Floats) -> ConfidenceBand:
    return ConfidenceBand(found[0], *_ends(drawn))


def _ends(drawn: Floats) -> Floats:
    if not len(drawn):
        return np.full((2, *drawn.shape[1:]), np.nan)
    return np.asarray(np.quantile(drawn, _LEVELS, axis=0))


def _paired(
    names: tuple[str, str], found: Sequence[RocCurves], drawn: Sequence[RocCurves], i: int
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
    """Return the two-sided bootstrap p-value of a difference."""
    n = len(differences) + 1
    below, above = ((np.count_nonzero(d >= 0) + 1) / n for d in (-differences, differences))
    return float(min(1.0, 2 * min(below, above)))


FEWEST: Final = 10
"""Least number of labels at or above a threshold for a precision estimate."""
FEWEST_EACH: Final = 50
"""Least number of labels of each model's pairs for a comparison. On the sample, with 200 and 50
labels in all strata, 95% CIs covered the truth in 95% of rounds for ROC AUC and in 90% for average
precision; with 200 and 10, in 92% and 80%; with 200 and 0, never (``benchmarks/separation.py``)."""


@dataclass(frozen=True)
class Evidence:
    """The labels of some models in a label file.

    Attributes
    ----------
    of : dict of str to Labelled
        By model, for models with labels.
    without : dict of str to str
        By model, why there are none.
    """

    of: Mapping[str, Labelled]
    without: Mapping[str, str]

    @property
    def words(self) -> str:
        """Names of the models with labels."""
        return " and ".join(self.of)


def evidence(path: str, candidates: Sequence[Candidate]) -> Evidence:
    """Read a label file for some models.

    Parameters
    ----------
    path : str
    candidates : sequence of Candidate

    Raises
    ------
    LabelsError
        If the file cannot be read, or has labels for none of them.
    """
    found, without = dict[str, Labelled](), dict[str, str]()
    for one in candidates:
        columns = [part.columns for part in one.model.matched.parts]
        population = Population(columns, one.model.pairs)
        config = one.config.with_(clip_model=one.name)
        try:
            found[one.name] = labelled_for(path, config, population)
        except LabelsError as error:
            without[one.name] = str(error)
    if not found:
        raise LabelsError(next(iter(without.values())))
    return Evidence(found, without)


def precision_of(one: Candidate, labelled: Labelled, threshold: float | None = None) -> Rates:
    """Estimate a model's precision by threshold, also at the given one."""
    asked = thresholds_of(one.model) + ([] if threshold is None else [threshold])
    return precision_rates(one.name, labelled, np.array(asked))


def precision_rates(name: str, labelled: Labelled, thresholds: Floats) -> Rates:
    """Estimate precision at thresholds, in any order; NaN where there are too few labels."""
    found = curve(labelled.sample, np.unique(thresholds))
    known = found.labels >= FEWEST
    ends = (found.precision.estimate, found.precision.low, found.precision.high)
    value, low, high = (np.where(known, end, np.nan) for end in ends)
    words = f"{len(labelled.sample):,} labels of {name} pairs"
    return Rates("precision", found.thresholds, value, low, high, words)


def match_by_precision(
    first: Candidate, second: Candidate, found: Evidence, threshold: float
) -> EquivalentThreshold | NoEquivalent:
    """Find the lowest threshold of the second model with at least the same precision."""
    for one in (first, second):
        if one.name not in found.of:
            reason = f"no labels for {one.name}; {_ADVICE.format(one.name)}"
            return NoEquivalent("precision", threshold, reason)
    rates = (
        precision_of(first, found.of[first.name], threshold),
        precision_of(second, found.of[second.name]),
    )
    return match_by_rate(first, second, rates, threshold)


def compare_separation(
    models: Sequence[Model], found: Evidence, rounds: int = ROUNDS
) -> Separation:
    """Compare how well models separate the labeled pairs of all of them.

    Parameters
    ----------
    models : sequence of Model
    found : Evidence
    rounds : int
        Bootstrap draws.

    Raises
    ------
    ModelsError
        If a model has too few labels, so that the comparison would be biased, or if all labels are
        the same.
    """
    for model in models:
        if (lacking := _missing_labels(model.name, found)) is not None:
            raise ModelsError(
                f"{lacking}, and labels of one model's pairs favor the other model; "
                f"{_ADVICE.format(model.name)}"
            )
    return separation(models, labelled_pairs(models, found), rounds)


def _missing_labels(name: str, found: Evidence) -> str | None:
    """Explain why a model's labels do not allow a fair comparison; None if they do."""
    if name not in found.of or not len(found.of[name].sample):
        return f"no labels for {name}"
    sample = found.of[name].sample
    if len(sample) < FEWEST_EACH:
        return f"too few labels for {name} ({len(sample):,} of {FEWEST_EACH} needed)"
    labels, _ = sample.counts()
    if empty := int(np.count_nonzero((labels == 0) & (sample.population > 0))):
        return f"{empty} of {len(labels)} score ranges have no labels for {name}"
    return None


def labelled_pairs(models: Sequence[Model], found: Evidence) -> LabelledPairs:
    """Combine the labels of several models' pairs.

    A pair's inclusion probability is the largest among the models' samples, because samples of one
    file are nested: they begin with the same pairs (`Population.lots`).
    """
    drawn = [(model, found.of[model.name]) for model in models if model.name in found.of]
    rows, correct = dict[tuple[int, int, int], int](), list[bool]()
    for model, labelled in drawn:
        index = (getattr(model.pairs, name)[labelled.ranks].tolist() for name in _INDEX)
        for pair, right in zip(
            zip(*index, strict=True), labelled.sample.correct.tolist(), strict=True
        ):
            if pair not in rows:
                rows[pair] = len(rows)
                correct.append(right)
    index_ = np.array(list(rows), np.int64).reshape(-1, 3)
    chance = np.zeros(len(rows))
    for model, labelled in drawn:
        chance = np.maximum(chance, _chance(model, labelled, index_))
    document, image, sentence = index_.T
    return LabelledPairs(document, image, sentence, np.array(correct, bool), 1 / chance)


_ADVICE: Final = "select {}, then label some of its pairs (existing labels are reused)"
_INDEX: Final = ("document", "image", "sentence")


def _chance(model: Model, labelled: Labelled, index: Ints) -> Floats:
    """Return each pair's inclusion probability in a model's sample; 0 if it does not match it."""
    sample = labelled.sample
    of_stratum, _ = sample.counts()
    rate = of_stratum / np.maximum(sample.population, 1)
    document, image, sentence = index.T
    at = model.starts[document] + image
    score = model.by_image.score[at]
    own = model.by_image.sentence[at] == sentence
    stratum = np.searchsorted(sample.edges, np.where(own, score, 0), side="right")
    return np.where(own, rate[stratum], 0.0)


def equivalent_thresholds(
    first: Candidate,
    second: Candidate,
    threshold: float,
    rates: Mapping[str, FdrEstimate],
    labels: Evidence | None,
) -> list[EquivalentThreshold | NoEquivalent]:
    """Find equivalents of the first model's threshold by every yield, FDR and precision.

    Parameters
    ----------
    first, second : Candidate
    threshold : float
        The first model's.
    rates : mapping of str to FdrEstimate
        By model; FDR is skipped unless both are given.
    labels : Evidence or None
        Precision is skipped without labels.
    """
    found: list[EquivalentThreshold | NoEquivalent] = [
        match_by_yield(first, second, name, threshold) for name in YIELDS
    ]
    if first.name in rates and second.name in rates:
        both = rates[first.name], rates[second.name]
        found.append(match_by_fdr(first, second, both, threshold))
    if labels is not None:
        found.append(match_by_precision(first, second, labels, threshold))
    return found
