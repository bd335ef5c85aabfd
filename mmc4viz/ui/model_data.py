"""Cached comparisons of two CLIP models under the same settings."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare import disagreement
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import (
    Correlation,
    Disagreement,
    Distribution,
    JointScores,
    distribution,
    joint_scores,
    thresholds_of,
)
from mmc4viz.thresholds.compare.equivalent import (
    EquivalentThreshold,
    NoEquivalent,
    along,
    match_by_yield,
)
from mmc4viz.thresholds.compare.frontier import (
    Frontier,
    SharedYield,
    by_fdr,
    by_precision,
    shared,
)
from mmc4viz.thresholds.compare.roc import (
    Evidence,
    Separation,
    compare_separation,
    evidence,
    match_by_precision,
)
from mmc4viz.thresholds.fdr.estimate import FdrEstimate, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.sampling import Design, designs
from mmc4viz.thresholds.labels.store import Judgement
from mmc4viz.thresholds.model_scores import Model, check_comparable
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.cache import cached, tell

_CURVE = 60  # thresholds of the overlap curve


@dataclass(frozen=True)
class Side:
    """One model: its name, the documents with its scores, and the settings.

    Attributes
    ----------
    name : str
    source : data.CorpusKey
    config : LoaderConfig
        Those that yields depend on.
    """

    name: str
    source: data.CorpusKey
    config: LoaderConfig


@dataclass(frozen=True)
class Labels:
    """A label file with its content at one time."""

    path: str
    judgements: tuple[Judgement, ...]
    designs: tuple[Design, ...]

    @classmethod
    def of(cls, path: str) -> Labels:
        """Read a label file."""
        return cls(path, tuple(store.read(path)), tuple(designs(path)))


def side(name: str, source: data.CorpusKey, config: LoaderConfig) -> Side:
    """Return one model with settings."""
    return Side(name, source, config.for_yields())


@cached("Counting kept documents and pairs")
def candidate(one: Side) -> Candidate:
    """Return a matched model with its yields and kept documents."""
    found = Candidate(Model(one.name, data.matched_of(one.source, one.config)), one.config)
    found.prepare(tell)
    return found


@cached()
def check(one: Side, other: Side) -> None:
    """Raise a ModelsError unless two models can be compared."""
    check_comparable([candidate(one).model, candidate(other).model])


@cached("Sorting the scores")
def distribution_of(one: Side) -> Distribution:
    """Return the distribution of a model's matched scores."""
    return distribution(candidate(one).model)


@cached("Estimating the false-discovery rate")
def _fdr(source: data.CorpusKey, settings: LoaderConfig) -> FdrEstimate:
    return estimate_fdr(stack_of(data.matched_of(source, settings)))


def fdr_of(one: Side) -> FdrEstimate:
    """Return a model's estimated false-discovery rate."""
    return _fdr(one.source, one.config.for_matching())


def has_fdr(one: Side) -> bool:
    """Whether the estimate is cached."""
    return _fdr.knows(one.source, one.config.for_matching())


@cached("Finding equivalent thresholds")
def matches(one: Side, other: Side, threshold: float) -> list[EquivalentThreshold]:
    """Return the equivalent thresholds for every yield."""
    a, b = candidate(one), candidate(other)
    return [match_by_yield(a, b, name, threshold) for name in YIELDS]


def equal_documents(one: Side, other: Side, threshold: float) -> EquivalentThreshold:
    """Return the threshold at which another model keeps as many documents.

    Raises
    ------
    Mmc4vizError
        If the two cannot be compared.
    """
    check(one, other)
    return next(match for match in matches(one, other, threshold) if match.by == "documents")


@cached("Computing overlap by threshold")
def curve(one: Side, other: Side, by: str) -> list[EquivalentThreshold]:
    """Return equivalent thresholds along the scale for one yield."""
    a, b = candidate(one), candidate(other)
    return list(along(a, b, by, thresholds_of(a.model, _CURVE), lambda _: tell(0)))


@cached("Finding disagreements")
def strongest(one: Side, other: Side, n: int) -> list[Disagreement]:
    """Return the pairs that one model ranks much higher than another."""
    return disagreement.strongest(candidate(one).model, candidate(other).model, n)


@cached("Pairing the scores")
def joint(one: Side, other: Side) -> JointScores:
    """Return both models' scores of the same images."""
    return joint_scores(candidate(one).model, candidate(other).model)


@cached("Computing rank correlation")
def correlations(one: Side, other: Side) -> list[Correlation]:
    """Return the rank correlations of two models' scores."""
    a, b = candidate(one).model, candidate(other).model
    return [
        disagreement.correlation_of_pairs(a, b),
        disagreement.correlation_of_entries(a, b, tell=tell),
    ]


@cached("Reading the labels")
def evidence_on(one: Side, other: Side, labels: Labels) -> Evidence:
    """Return labels as evidence on two models."""
    return evidence(labels.path, (candidate(one), candidate(other)))


@cached("Estimating precision")
def equal_precision(
    one: Side, other: Side, labels: Labels, threshold: float
) -> EquivalentThreshold | NoEquivalent:
    """Return the other model's threshold with equal precision, or why there is none."""
    found = evidence_on(one, other, labels)
    return match_by_precision(candidate(one), candidate(other), found, threshold)


def has_labels(path: str) -> bool:
    """Whether there is a label file."""
    return os.path.exists(path)


@cached("Estimating precision")
def frontier_by_precision(
    one: Side, other: Side, labels: Labels, quantity: str, threshold: float
) -> Frontier:
    """Return two models' precision against what they keep."""
    found = evidence_on(one, other, labels)
    return by_precision([candidate(one), candidate(other)], found, quantity, threshold)


def frontier_by_fdr(one: Side, other: Side, quantity: str, threshold: float) -> Frontier:
    """Return two models' 1 − FDR against what they keep."""
    estimates = {side.name: fdr_of(side) for side in (one, other)}
    return by_fdr([candidate(one), candidate(other)], estimates, quantity, threshold)


@cached("Computing overlap by threshold")
def shared_yield(one: Side, other: Side, quantity: str, threshold: float) -> SharedYield:
    """Return what two models, or settings, have in common at equal yield."""
    found = curve(one, other, quantity)
    return shared(candidate(one), candidate(other), quantity, threshold, found)


@cached("Computing ROC curves")
def separation(one: Side, other: Side, labels: Labels) -> Separation:
    """Return how well two models separate correct from incorrect pairs."""
    models = [candidate(one).model, candidate(other).model]
    return compare_separation(models, evidence_on(one, other, labels))
