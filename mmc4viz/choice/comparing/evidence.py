"""Labels of a file put onto models that are compared: their precision, and pairs to tell apart.

A label was drawn with a known probability among the matched pairs of some model. Of a model in
whose pairs nothing was drawn, labels say no precision: the pairs that it alone matches have none.
Nor do they say which model separates better: labels drawn among one model's pairs favour the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats, Ints
from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.distribution import thresholds_of
from mmc4viz.choice.comparing.models import Match, NoMatch
from mmc4viz.choice.comparing.rates import Rates, match_by_rate
from mmc4viz.choice.comparing.separation import (
    ROUNDS,
    LabelledPairs,
    Separation,
    separation,
)
from mmc4viz.choice.labelling.labelled import Labelled, labelled_for
from mmc4viz.choice.labelling.population import Population
from mmc4viz.choice.labelling.precision import curve
from mmc4viz.choice.labelling.store import LabelsError
from mmc4viz.choice.lineup import Model, ModelsError

FEWEST: Final = 10
"""Labels above a threshold without which nothing is said of its precision."""
FEWEST_EACH: Final = 50
"""Labels drawn among each model's pairs without which nothing is said of who separates better. With
200 and 50 of them, in all strata, 95 % intervals held the truth in 95 % of rounds on the sample for
the area under ROC, in 90 % for average precision; with 200 and 10 in 92 and 80 %, with 200 and none
never (``tests/bench/separation.py``)."""


@dataclass(frozen=True)
class Evidence:
    """What a file of labels holds for some models.

    Attributes
    ----------
    of : dict of str to Labelled
        By model, where labels were drawn among its pairs.
    without : dict of str to str
        By model, why there are none.
    """

    of: Mapping[str, Labelled]
    without: Mapping[str, str]

    @property
    def words(self) -> str:
        """Among whose pairs labels were drawn."""
        return " and ".join(self.of)


def evidence(path: str, candidates: Sequence[Candidate]) -> Evidence:
    """Read a file of labels for models.

    Parameters
    ----------
    path : str
    candidates : sequence of Candidate

    Raises
    ------
    LabelsError
        When the file cannot be read, or holds labels for none of them.
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
    """Estimate a model's precision along its scale, and at a threshold if one is given."""
    asked = thresholds_of(one.model) + ([] if threshold is None else [threshold])
    found = curve(labelled.sample, np.unique(asked))
    known = found.labels >= FEWEST
    ends = (found.precision.estimate, found.precision.low, found.precision.high)
    value, low, high = (np.where(known, end, np.nan) for end in ends)
    words = f"{len(labelled.sample):,} labels of {one.name}'s pairs"
    return Rates("precision", found.thresholds, value, low, high, words)


def match_by_precision(
    first: Candidate, second: Candidate, found: Evidence, threshold: float
) -> Match | NoMatch:
    """Find the lowest threshold of the second model that is estimated to be as precise."""
    for one in (first, second):
        if one.name not in found.of:
            reason = f"no label was drawn among the pairs of {one.name}: {_ADVICE}"
            return NoMatch("precision", threshold, reason)
    rates = (
        precision_of(first, found.of[first.name], threshold),
        precision_of(second, found.of[second.name]),
    )
    return match_by_rate(first, second, rates, threshold)


def tell_apart(models: Sequence[Model], found: Evidence, rounds: int = ROUNDS) -> Separation:
    """Compare how models separate the labelled pairs of all of them.

    Parameters
    ----------
    models : sequence of Model
    found : Evidence
    rounds : int
        Draws of the bootstrap.

    Raises
    ------
    ModelsError
        When too few labels were drawn among the pairs of some model, so that the comparison would
        favour one; when they are all alike.
    """
    for model in models:
        if (lacking := _lacking(model.name, found)) is not None:
            raise ModelsError(
                f"{lacking}, and labels drawn among one model's pairs favour the other: {_ADVICE}"
            )
    return separation(models, labelled_pairs(models, found), rounds)


def _lacking(name: str, found: Evidence) -> str | None:
    """Say what a model's labels lack for comparing it fairly, None if nothing."""
    if name not in found.of or not len(found.of[name].sample):
        return f"no label was drawn among the pairs of {name}"
    sample = found.of[name].sample
    if len(sample) < FEWEST_EACH:
        return (
            f"only {len(sample):,} labels (of {FEWEST_EACH} that it takes) were drawn among the "
            f"pairs of {name}"
        )
    labels, _ = sample.counts()
    if empty := int(np.count_nonzero((labels == 0) & (sample.population > 0))):
        return f"in {empty} of {len(labels)} ranges of score no pair of {name} is labelled"
    return None


def labelled_pairs(models: Sequence[Model], found: Evidence) -> LabelledPairs:
    """Put together the labels drawn among the pairs of some models.

    A pair's probability to be among them is the largest of those that the samples give it, for
    samples of one file begin with the same pairs (`Population.lots`): what the smaller one drew of
    a pair's like, the larger one has drawn, too.
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


_ADVICE: Final = (
    "choose it and label some of its pairs on the page Label, those labelled before count again"
)
_INDEX: Final = ("document", "image", "sentence")


def _chance(model: Model, labelled: Labelled, index: Ints) -> Floats:
    """Return with which probability a model's sample labels each pair; 0 for pairs not its own."""
    sample = labelled.sample
    of_stratum, _ = sample.counts()
    rate = of_stratum / np.maximum(sample.population, 1)
    document, image, sentence = index.T
    at = model.starts[document] + image
    score = model.by_image.score[at]
    own = model.by_image.sentence[at] == sentence
    stratum = np.searchsorted(sample.edges, np.where(own, score, 0), side="right")
    return np.where(own, rate[stratum], 0.0)
