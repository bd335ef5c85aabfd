"""The label file and cached estimates from labels."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.data.scale import Scale
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.exchange import AnnotatorAgreement, agreements
from mmc4viz.thresholds.labels.precision import (
    Curve,
    Isotonic,
    Labelled,
    curve,
    labelled,
    probability,
)
from mmc4viz.thresholds.labels.sampling import Design, Population, design_for, designs
from mmc4viz.thresholds.labels.store import Documents, Judgement, PairId
from mmc4viz.ui import data
from mmc4viz.ui.cache import Memo, progress
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import label_file, read_start

_POINTS: Final = 48  # thresholds of a drawn curve

_DOCUMENTS: Memo[Documents] = Memo()
_POPULATIONS: Memo[Population] = Memo()
_LABELLED: Memo[Labelled] = Memo()
_FINDINGS: Memo[Findings] = Memo()


@dataclass(frozen=True)
class LabelResults:
    """Results computed from labels."""

    curve: Curve
    isotonic: Isotonic
    agreements: list[AnnotatorAgreement]

    def rows(self) -> list[Sequence[Any]]:
        """Return precision and recall at every threshold, as rows of `COLUMNS`."""
        c = self.curve
        columns = (c.thresholds, c.labels, c.wrong, *vars(c.precision).values(),
                   *vars(c.kept).values())  # fmt: skip
        return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@dataclass(frozen=True)
class Findings(LabelResults):
    """Results computed from the labels of documents."""

    labelled: Labelled


COLUMNS: Final = (
    "threshold", "labels", "wrong", "precision", "low", "high", "kept", "kept_low", "kept_high",
)  # fmt: skip


def path_of(choice: Choice) -> str:
    """Return the label file (`label_file`)."""
    return label_file(read_start(), choice.source.index[0].path if choice.source.index else "")


def population_for(choice: Choice) -> Population:
    """Return the matched pairs from which labels are sampled."""
    source, config = choice.source, choice.config
    pairs = data.pairs_for(source, config)
    columns = data.columns_of(source)
    key = source, config.for_matching()
    return _POPULATIONS.get(key, lambda: Population(columns, pairs))


def documents_for(choice: Choice) -> Documents:
    """Return the corpus's documents, which identify it in a label file."""
    return documents_of(choice.source)


def documents_of(source: data.CorpusKey) -> Documents:
    """Return the documents of a source, whatever the CLIP model."""
    key = replace(source, sidecar=None, similarity=None)
    return _DOCUMENTS.get(key, lambda: Documents(data.columns_of(key)))


def count_other_samples(path: str, choice: Choice) -> int:
    """Count the samples of other corpora in a label file."""
    found = designs(path) if os.path.exists(path) else []
    return sum(one.corpus != documents_for(choice).digest for one in found)


def labels_of(path: str, choice: Choice) -> list[Judgement]:
    """Return the labels of this corpus's pairs."""
    holds = documents_for(choice).holds
    return [one for one in store.read(path) if holds(one.pair.content)]


def pair_of(choice: Choice, place: tuple[int, int], image: int, sentence: int) -> PairId:
    """Return the identity of a pair in a document given by its part and row."""
    part, row = place
    columns = data.columns_of(choice.source)[part]
    key = str(columns.batch.column("key")[row])
    content = documents_for(choice).contents[part]
    return PairId(columns.shard.name, key, image, sentence, content, row)


def score_of(choice: Choice, place: tuple[int, int], image: int, sentence: int) -> float | None:
    """Return a pair's score; None if the image and the sentence are not matched."""
    pairs = data.pairs_for(choice.source, choice.config)
    document = data.position_of(choice.source, choice.config, place)
    here = (pairs.document == document) & (pairs.image == image) & (pairs.sentence == sentence)
    found = pairs.score[here]
    return float(found[0]) if len(found) else None


def design_of(path: str, choice: Choice) -> Design | None:
    """Return the label sample of this corpus and settings; None if there is none.

    There is none for a sample of documents either: labels are sampled from all documents.
    """
    if choice.source.sample is not None:
        return None
    return design_for(path, choice.config, documents_for(choice)) if os.path.exists(path) else None


def key_of(path: str, design: Design, choice: Choice) -> tuple[Hashable, ...]:
    """Return everything that estimates from labels depend on, including the labels."""
    return choice.source, choice.config.for_matching(), path, design, tuple(store.read(path))


def labelled_of(path: str, design: Design, choice: Choice) -> Labelled:
    """Return the labels joined with the corpus's pairs."""
    population = population_for(choice)
    key = key_of(path, design, choice)
    return _LABELLED.get(key, lambda: labelled(path, design, population))


def findings_for(path: str, design: Design, choice: Choice) -> Findings:
    """Return the results of the current labels."""
    found, key = labelled_of(path, design, choice), key_of(path, design, choice)

    def make() -> Findings:
        with progress("Estimating precision"):
            return Findings(
                curve(found.sample, curve_thresholds(design, choice.scale)),
                probability(found.sample),
                agreements(labels_of(path, choice)),
                found,
            )

    return _FINDINGS.get(key, make)


def curve_thresholds(design: Design, scale: Scale) -> NDArray[np.float64]:
    """Return the thresholds of the curves: strata edges and grid values between them."""
    edges = design.borders
    between = np.linspace(edges[0], edges[-1], _POINTS)
    on_grid = np.round(np.round(between / scale.step) * scale.step, scale.digits)
    return np.union1d(edges, on_grid)
