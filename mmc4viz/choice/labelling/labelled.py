"""Labels of a file put onto a corpus as it is now: a sample to estimate from, and what is not.

Nothing is lost uncounted: labels whose pair no longer exists, doubts, skipped and waiting pairs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmc4viz.arrays import Ints
from mmc4viz.choice.labelling import design as designs
from mmc4viz.choice.labelling import labels, queue
from mmc4viz.choice.labelling.design import Design
from mmc4viz.choice.labelling.labels import Label, PairId
from mmc4viz.choice.labelling.population import Population
from mmc4viz.choice.labelling.precision import LabelledSample
from mmc4viz.choice.labelling.store import LabelsError
from mmc4viz.model import LoaderConfig

_NAMED: Final = 20  # pairs that are gone


@dataclass(frozen=True)
class Labelled:
    """A labelled sample with an account of every label and every drawn pair.

    Attributes
    ----------
    design : Design
    sample : LabelledSample
        The drawn pairs of which somebody was sure.
    ranks : ndarray of int64, shape (n,)
        Their places among the matched pairs, in the sample's order.
    drawn : int
        Pairs drawn so far.
    waiting, unsure : int
        Of these, without any answer (or skipped by all who saw them), and with doubts only.
    disagreed : int
        Pairs on which people were sure of different things.
    gone : tuple of PairId
        Labelled pairs of this corpus that are no matched pairs here.
    elsewhere : int
        Labelled pairs that this sample did not draw: of other settings, or imported.
    foreign : int
        Labelled pairs of documents that this corpus does not have.
    """

    design: Design
    sample: LabelledSample
    ranks: Ints
    drawn: int
    waiting: int
    unsure: int
    disagreed: int
    gone: tuple[PairId, ...]
    elsewhere: int
    foreign: int = 0


def labelled(path: str, design: Design, population: Population) -> Labelled:
    """Put a file's labels onto a corpus.

    Parameters
    ----------
    path : str
    design : Design
        The sample that is meant.
    population : Population
        Of the design's setting.

    Raises
    ------
    LabelsError
        When the file cannot be read.
    """
    said = labels.labels_of(labels.read(path))
    queued = {one.pair for one in queue.drawn(path, design)}
    ranks = population.find(queued | said.keys())
    here = {pair: label for pair, label in said.items() if pair in queued and pair in ranks}
    holds = population.documents.holds
    gone = [pair for pair in said.keys() - ranks.keys() if holds(pair.content)]
    return Labelled(
        design,
        *_sample(design, population, here, ranks),
        drawn=len(queued),
        waiting=len(queued - said.keys()),
        unsure=sum(label.correct is None for label in here.values()),
        disagreed=sum(not label.agreed for label in here.values()),
        gone=tuple(sorted(gone, key=lambda pair: (pair.shard, pair.key, pair))),
        elsewhere=len((said.keys() & ranks.keys()) - queued),
        foreign=len(said.keys() - ranks.keys()) - len(gone),
    )


def _sample(
    design: Design,
    population: Population,
    here: Mapping[PairId, Label],
    ranks: Mapping[PairId, int],
) -> tuple[LabelledSample, Ints]:
    sure = sorted(
        (ranks[p], label.correct) for p, label in here.items() if label.correct is not None
    )
    at = np.array([rank for rank, _ in sure], np.int64)
    scores = population.pairs.score
    correct = np.array([yes for _, yes in sure], bool)
    return LabelledSample(scores, design.borders, scores[at], correct), at


def remarks(found: Labelled) -> list[str]:
    """Say which labels do not count, and why, a line each; those that are gone by name."""
    lines = []
    if found.gone:
        names = [f"{p.shard} {p.key} image {p.image + 1} sentence {p.sentence + 1}"
                 for p in found.gone[:_NAMED]]  # fmt: skip
        if len(found.gone) > _NAMED:
            names.append(f"and {len(found.gone) - _NAMED:,} more")
        lines.append(
            f"{len(found.gone):,} labels are of pairs that are not matched here (another model's, "
            f"or no more); they stay in the file and do not count: {', '.join(names)}"
        )
    if found.foreign:
        lines.append(
            f"{found.foreign:,} labels are of documents that are not in this corpus; they stay in "
            "the file and do not count"
        )
    if found.unsure:
        lines.append(f"{found.unsure:,} labelled pairs do not count, because nobody was sure")
    if found.disagreed:
        lines.append(
            f"people differ on {found.disagreed:,} pairs: what most say counts, else who was first"
        )
    if found.elsewhere:
        lines.append(
            f"{found.elsewhere:,} labels are of pairs that this sample did not draw, and do not "
            "count yet"
        )
    return lines


def labelled_for(path: str, config: LoaderConfig, population: Population) -> Labelled:
    """Find the sample of a setting in a file and put its labels onto a corpus.

    Raises
    ------
    LabelsError
        When the file holds no sample of this corpus and setting; the error names those that it
        holds.
    """
    found = designs.design_for(path, config, population.documents)
    if found is None:
        mine = f"{config.clip_model} (min_kb {config.min_kb}, {config.assignment})"
        held = _held(designs.designs(path), config, population.documents.digest)
        raise LabelsError(f"{path}: holds no sample for {mine}; {held}")
    return labelled(path, found, population)


def _held(all_of_them: Sequence[Design], config: LoaderConfig, corpus: str) -> str:
    """Say which samples there are, and what would make one of them this setting's."""
    found = [one for one in all_of_them if one.corpus == corpus]
    if not found:
        others = f"those that it holds are of another corpus ({', '.join(map(str, all_of_them))}); "
        return f"{others * bool(all_of_them)}begin one on the page Label"
    like = [
        one for one in found if (one.min_kb, one.assignment) == (config.min_kb, config.assignment)
    ]
    held = f"it holds: {', '.join(map(str, found))}"
    if not like:
        return held
    name = like[0].clip_model
    return f"{held}; if that is this corpus's model, add --clip-model {shlex.quote(name)}"
