"""Cached comparisons of two CLIP models under the same settings."""

from __future__ import annotations

from collections.abc import Sequence
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
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold, along, match_by_yield
from mmc4viz.thresholds.fdr.estimate import FdrEstimate, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.thresholds.model_scores import Model, check_comparable
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.cache import Memo, progress

_CURVE = 60  # thresholds of the overlap curve

_CANDIDATES: Memo[Candidate] = Memo()
_LINED_UP: Memo[bool] = Memo()
_DISTRIBUTIONS: Memo[Distribution] = Memo()
_MATCHES: Memo[list[EquivalentThreshold]] = Memo()
_FDR: Memo[FdrEstimate] = Memo()
_CURVES: Memo[list[EquivalentThreshold]] = Memo()
_STRONGEST: Memo[list[Disagreement]] = Memo()
_JOINT: Memo[JointScores] = Memo()
_CORRELATIONS: Memo[list[Correlation]] = Memo()


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


def side(name: str, source: data.CorpusKey, config: LoaderConfig) -> Side:
    """Return one model with settings."""
    return Side(name, source, config.for_yields())


def candidate(one: Side) -> Candidate:
    """Return a matched model with its yields and kept documents."""
    matched = data.matched_of(one.source, one.config)
    with progress("Counting kept documents and pairs") as tell:

        def make() -> Candidate:
            found = Candidate(Model(one.name, matched), one.config)
            found.prepare(tell)
            return found

        return _CANDIDATES.get(one, make)


def check(one: Side, other: Side) -> None:
    """Raise a ModelsError unless two models can be compared."""

    def make() -> bool:
        check_comparable([candidate(one).model, candidate(other).model])
        return True

    _LINED_UP.get((one, other), make)


def distribution_of(one: Side) -> Distribution:
    """Return the distribution of a model's matched scores."""
    with progress("Sorting the scores"):
        return _DISTRIBUTIONS.get(one, lambda: distribution(candidate(one).model))


def fdr_of(one: Side) -> FdrEstimate:
    """Return a model's estimated false-discovery rate."""
    matched = data.matched_of(one.source, one.config)
    with progress("Estimating the false-discovery rate"):
        return _FDR.get(_fdr_key(one), lambda: estimate_fdr(stack_of(matched)))


def has_fdr(one: Side) -> bool:
    """Whether the estimate is cached."""
    return _fdr_key(one) in _FDR


def _fdr_key(one: Side) -> tuple[data.CorpusKey, LoaderConfig]:
    return one.source, one.config.for_matching()


def matches(one: Side, other: Side, threshold: float) -> list[EquivalentThreshold]:
    """Return the equivalent thresholds for every yield."""

    def make() -> list[EquivalentThreshold]:
        a, b = candidate(one), candidate(other)
        return [match_by_yield(a, b, name, threshold) for name in YIELDS]

    with progress("Finding equivalent thresholds"):
        return _MATCHES.get((one, other, threshold), make)


def curve(one: Side, other: Side, by: str) -> list[EquivalentThreshold]:
    """Return equivalent thresholds along the scale for one yield."""
    with progress("Computing overlap by threshold") as tell:

        def make() -> list[EquivalentThreshold]:
            a, b = candidate(one), candidate(other)
            return list(along(a, b, by, thresholds_of(a.model, _CURVE), lambda _: tell(0)))

        return _CURVES.get((one, other, by), make)


def strongest(one: Side, other: Side, n: int) -> list[Disagreement]:
    """Return the pairs that one model ranks much higher than another."""

    def make() -> list[Disagreement]:
        return disagreement.strongest(candidate(one).model, candidate(other).model, n)

    with progress("Finding disagreements"):
        return _STRONGEST.get((one, other, n), make)


def joint(one: Side, other: Side) -> JointScores:
    """Return both models' scores of the same images."""
    with progress("Pairing the scores"):
        return _JOINT.get(
            (one, other), lambda: joint_scores(candidate(one).model, candidate(other).model)
        )


def correlations(one: Side, other: Side) -> Sequence[Correlation]:
    """Return the rank correlations of two models' scores."""
    with progress("Computing rank correlation") as tell:

        def make() -> list[Correlation]:
            a, b = candidate(one).model, candidate(other).model
            return [
                disagreement.correlation_of_pairs(a, b),
                disagreement.correlation_of_entries(a, b, tell=tell),
            ]

        return _CORRELATIONS.get((one, other), make)
