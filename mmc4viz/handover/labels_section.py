"""A file of labels → the report's section on them: how many, how alike, how precise the setting is.

Every number is `mmc4viz.choice.labelling`'s, as on the page Label and in ``mmc4viz suggest``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice.labelling import labels
from mmc4viz.choice.labelling.agreement import Agreement, agreements
from mmc4viz.choice.labelling.labelled import Labelled, labelled_for, remarks
from mmc4viz.choice.labelling.labels import Judgement
from mmc4viz.choice.labelling.population import Population
from mmc4viz.choice.labelling.precision import Curve, curve
from mmc4viz.choice.labelling.stratified import Interval
from mmc4viz.corpus.scales import Scale, scale_of
from mmc4viz.handover.drawing import band
from mmc4viz.handover.section import Folded, Heading, Part, Pictures, Section, Table, Words
from mmc4viz.model import LoaderConfig

TITLE: Final = "What labels say"
_POINTS: Final = 48  # thresholds of a drawn curve
_NONE: Final = "No pair was labelled, so how many of the pairs are right is not known from labels."
_ASSUMPTION: Final = (
    "The pairs were drawn at random within strata of score that were fixed before the first label, "
    "each label stands for the pairs of its stratum, and the labels are taken to be right. "
    "Intervals are of 95 %, each for its own threshold."
)
_AGREEMENT: Final = (
    "On pairs of which both were sure. Cohen’s κ: 1 is full agreement, 0 what chance gives; none "
    "(–) where both said one thing only."
)


def without_labels() -> Section:
    """Say that there are no labels."""
    return Section(TITLE, [Words(_NONE)])


def labels_section(path: str, config: LoaderConfig, population: Population) -> Section:
    """Say what a file of labels says of a setting.

    Parameters
    ----------
    path : str
        The file.
    config : LoaderConfig
        Its CLIP model, size limit and assignment name the sample; its threshold is looked at.
    population : Population
        The matched pairs of the setting.

    Raises
    ------
    LabelsError
        When the file cannot be read, or holds no sample of this setting.
    """
    found, holds = labelled_for(path, config, population), population.documents.holds
    said = [one for one in labels.read(path) if holds(one.pair.content)]
    parts: list[Part] = [Words(_judged(os.path.basename(path), said)), Words(_counted(found))]
    if len(found.sample):
        scale = scale_of(population.pairs.score, population.columns)
        parts += _estimated(found, config.threshold, scale)
    return Section(TITLE, [*parts, *_unused(found), *_agreed(agreements(said)), _rule()])


def _rule() -> Part:
    """Cite the rule that the page Label gives to those who label."""
    lines = " ".join(f"{answer}: {words}" for answer, words in labels.RULE.items())
    return Folded("When a sentence describes an image, as the page Label has it", lines)


def _judged(name: str, said: Sequence[Judgement]) -> str:
    """Say how many judged how many pairs."""
    people = len({one.person for one in said})
    each = Counter(str(one.answer) for one in said)
    answers = ", ".join(f"{n:,} {answer}" for answer, n in each.most_common())
    by = f"by {people:,} {'person' if people == 1 else 'people'}"
    return f"{name} holds {len(said):,} judgements {by}" + (f": {answers}." if said else ".")


def _counted(found: Labelled) -> str:
    """Say how many labels count, and what became of the other pairs that were drawn."""
    n, right = len(found.sample), int(found.sample.correct.sum())
    words = f"Of {found.drawn:,} pairs drawn for {found.design}, {n:,} have a label that counts"
    words += f": {right:,} right, {n - right:,} wrong." if n else "."
    return f"{words} {found.waiting:,} have no answer." if found.waiting else words


def _unused(found: Labelled) -> list[Part]:
    """Say which labels do not count, and why; those whose pair is gone by name when asked."""
    lines = remarks(found)
    if not found.gone:
        return [Words(line, small=True) for line in lines]
    which = "of pairs that are not matched here (another model's, or no more)"
    words = f"{len(found.gone):,} labels are {which}"
    return [*(Words(line, small=True) for line in lines[1:]), Folded(words, lines[0])]


def _estimated(found: Labelled, threshold: float, scale: Scale) -> list[Part]:
    """Say, and draw, what share is right, and what share of the right ones is kept."""
    here = curve(found.sample, np.array([threshold]))
    drawn = curve(found.sample, _thresholds(found, threshold, scale))
    rows = [
        (words, *_cells(one, bool(here.labels[0])))
        for words, one in (
            ("of the pairs at or above are right (precision)", here.precision),
            ("of all right pairs are at or above", here.kept),
        )
    ]
    n, wrong = int(here.labels[0]), int(here.wrong[0])
    return [
        Heading(f"At the threshold {threshold:.12g}"),
        Table(("share", "of what", "95 % interval"), [(c[1], c[0], c[2]) for c in rows]),
        Words(f"From {n:,} labels at or above it, {wrong:,} of them wrong. {_ASSUMPTION}"),
        Pictures(_pictures(drawn, here)),
    ]


def _thresholds(found: Labelled, threshold: float, scale: Scale) -> NDArray[np.float64]:
    """Return the strata's borders, steps of the grid between them, and the threshold if near."""
    edges = found.design.borders
    between = np.linspace(edges[0], edges[-1], _POINTS)
    on_grid = np.round(np.round(between / scale.step) * scale.step, scale.digits)
    reach = 0.5 * (edges[-1] - edges[0])
    near = [threshold] if edges[0] - reach <= threshold <= edges[-1] + reach else []
    return np.unique(np.concatenate([edges, on_grid, near]))


def _cells(found: Interval, any_label: bool) -> tuple[str, str]:
    if not any_label or np.isnan(found.estimate[0]):
        return "–", "not known: no label there"
    return f"{found.estimate[0]:.1%}", f"{found.low[0]:.1%} to {found.high[0]:.1%}"


def _pictures(drawn: Curve, here: Curve) -> list[str]:
    titles = {"precision": "pairs that are right", "kept": "right pairs kept"}
    return [_picture(drawn, here, name, title) for name, title in titles.items()]


def _picture(drawn: Curve, here: Curve, name: str, title: str) -> str:
    """Draw one share; where no label lies at or above a threshold it is not known."""
    along, now = getattr(drawn, name), getattr(here, name)
    estimate = np.where(drawn.labels > 0, along.estimate, np.nan)
    found = (float(end[0]) for end in (now.estimate, now.low, now.high))
    point = found if here.labels[0] else (np.nan, np.nan, np.nan)
    estimated, low, high = point
    chosen = float(here.thresholds[0]), estimated, low, high
    return band(drawn.thresholds, (estimate, along.low, along.high), chosen, title)


def _agreed(found: Sequence[Agreement]) -> list[Part]:
    """Write Cohen's κ of every two people."""
    if not found:
        return []
    rows = [
        (
            f"{a.people[0]} and {a.people[1]}",
            f"{a.pairs:,}",
            f"{a.agreed / a.pairs:.0%}",
            "–" if a.kappa is None else f"{a.kappa:.2f}",
        )
        for a in found
    ]
    head = ("people", "pairs", "agree", "κ")
    return [Heading("Agreement between people"), Table(head, rows), Words(_AGREEMENT, small=True)]
