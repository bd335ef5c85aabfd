"""Every slice of a division at one threshold: what is kept of it, and what the threshold costs it.

Slices add up to the whole. What is kept is an expectation over the single-image keep probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.scale import Thresholds
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.differences import (
    CORRECTION,
    FEWEST,
    Differences,
    Moments,
    differences,
    moments_of_documents,
    moments_of_pairs,
)
from mmc4viz.slices.division import Division, Unit
from mmc4viz.sweep.distribution import CODES, DROPPED, OUTCOMES, in_expectation, outcomes_of_pairs
from mmc4viz.sweep.document_table import Verdicts, verdicts
from mmc4viz.sweep.shape import ratio
from mmc4viz.sweep.statistics import CLASS, SINGLE_IMAGE_DROP, Curves, batches, document_funnel
from mmc4viz.sweep.sweep import Matched, sweep_each
from mmc4viz.thresholds.labels.intervals import interval
from mmc4viz.thresholds.labels.precision import Labelled
from mmc4viz.types import LoaderConfig, PairStatus

ENOUGH_LABELS: Final = 10
"""Labels at or above the threshold that a slice needs for its precision: with ten of ten correct,
the 95% interval begins at three quarters."""
QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the scores of a slice's matched pairs."""


@dataclass(frozen=True)
class SlicePrecision:
    """Labels at or above the threshold in one slice.

    Attributes
    ----------
    labels : int
    estimate, low, high : float or None
        Precision with its 95% interval, which holds for this slice alone; None with too few labels.
    """

    labels: int
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Slice:
    """One slice at one threshold.

    Attributes
    ----------
    name : str
    size : int
        Its documents, or matched pairs.
    documents : int
        Documents that have at least one of them.
    kept : float
        How many are kept, in expectation.
    share, difference : float or None
        Kept share, and how much it exceeds the whole's; None for a slice of which nothing can be
        kept.
    low, high : float or None
        Simultaneous 95% interval of the difference; None with too few documents.
    cost : float
        How many more would be kept if the slice had the whole's kept share; the costs of all
        slices add up to 0.
    pairs, above : int
        Matched pairs, and those at or above the threshold.
    quantiles : tuple of float
        `QUANTILES` of the scores of the matched pairs, each down to a step of the grid; empty
        without pairs.
    lost : dict of str to float
        What is not kept, by reason, in expectation; `SINGLE_IMAGE_DROP` is one of them.
    image_tokens, text_tokens : float or None
        Of its kept documents, in expectation; None for a slice of images.
    images_mean, single_image : float or None
        Images per sequence, and the share of sequences with one image; see
        `mmc4viz.sweep.shape.RATIOS`. None for a slice of images, and where nothing is kept.
    precision : SlicePrecision or None
        None without labels.
    """

    name: str
    size: int
    documents: int
    kept: float
    share: float | None
    difference: float | None
    low: float | None
    high: float | None
    cost: float
    pairs: int
    above: int
    quantiles: tuple[float, ...]
    lost: dict[str, float]
    image_tokens: float | None = None
    text_tokens: float | None = None
    images_mean: float | None = None
    single_image: float | None = None
    precision: SlicePrecision | None = None

    @property
    def median(self) -> float:
        """The median score of its matched pairs; NaN without pairs."""
        return self.quantiles[QUANTILES.index(0.5)] if self.quantiles else np.nan

    @property
    def dropped(self) -> float:
        """How many are not kept, in expectation."""
        return self.size - self.kept

    @property
    def single_image_drop(self) -> float:
        """How many of these the single-image keep probability drops, in expectation."""
        return self.lost[SINGLE_IMAGE_DROP]


@dataclass(frozen=True)
class SliceComparison:
    """All slices of a division at one threshold.

    Attributes
    ----------
    name, label, unit
        As in `Division`.
    threshold : float
    size : int
        Documents, or matched pairs, of the whole.
    kept, share : float
        What is kept of the whole, in expectation; the share is NaN if there is nothing.
    compared : int
        Slices with an interval.
    slices : tuple of Slice
        In the order of the division.
    notes : tuple of str
        What should be known of them, one line each.
    """

    name: str
    label: str
    unit: Unit
    threshold: float
    size: int
    kept: float
    share: float
    compared: int
    slices: tuple[Slice, ...]
    notes: tuple[str, ...]


ASSUMPTION: Final = (
    "Difference: a slice's kept share minus the whole's, in percentage points. Cost: how many more "
    "would be kept at the whole's share. Single-image drop: its part of all that is not kept, in "
    "expectation. The 95% CIs of all slices of a table hold together "
    f"({CORRECTION} correction); the unit is the document, and there is none under {FEWEST}. They "
    "take these documents for a random sample of many more; if there are no others, the "
    "differences are exact."
)
SORTS: Final = ("cost", "size", "share", "difference", "order")


def ordered(slices: Sequence[Slice], by: str) -> list[Slice]:
    """Sort slices: by ``cost`` or ``size``, the largest first; by kept ``share`` or ``difference``,
    the lowest first; or in the division's own ``order``.
    """  # noqa: D205
    if by == "order":
        return list(slices)
    if by in ("cost", "size"):
        return sorted(slices, key=lambda one: -getattr(one, by))
    return sorted(slices, key=lambda one: np.inf if one.share is None else one.share)


def document_curves(
    matched: Matched, division: Division, config: LoaderConfig, thresholds: Thresholds
) -> list[Curves]:
    """Compute every statistic at every threshold for each slice of documents, in one sweep.

    With very many slices or thresholds, in several, to limit memory.

    Parameters
    ----------
    matched : Matched
    division : Division
        Of documents.
    config, thresholds
        As for `mmc4viz.sweep.sweep.sweep`.

    Returns
    -------
    list of Curves
        They add up to those of the whole.
    """
    if division.unit != "document":
        raise ValueError(f"{division.name} divides images, which have no curves of documents")
    code, n = division.code.astype(np.int64), len(division)
    found: list[Curves] = []
    for some in batches(n, thresholds):
        here = len(some)
        mine = (code >= some.start) & (code < some.stop)
        dealt = np.where(mine, code - some.start, here)
        others = int(here < n)  # the last one is all others
        found += sweep_each(matched, dealt, here + others, config, thresholds)[:here]
    return found


def pair_curves(
    corpus: SlicedCorpus, division: Division, config: LoaderConfig, thresholds: Thresholds
) -> Ints:
    """Count the pairs at or above every threshold in each slice, shape (slices, T).

    They add up to the whole's curve of pairs: where a document becomes unreadable by the text of
    its pairs, they are not counted.
    """
    bins, code = _bins(corpus, division, thresholds), division.of_pairs(corpus.pairs)
    for at, place, sign in _unreadable_pairs(corpus, config, thresholds):
        np.add.at(bins[:, place], code[at], sign)
    lost, lost_in = _pairs_lost(corpus, thresholds)
    np.subtract.at(bins, (code[lost], lost_in), 1)
    return _running(bins)


def _bins(corpus: SlicedCorpus, division: Division, thresholds: Thresholds) -> Ints:
    """Count the pairs of each slice by the number of thresholds they reach, (slices, T + 1)."""
    n, each = len(division), len(thresholds) + 1
    place = np.searchsorted(thresholds, corpus.pairs.score, side="right")
    place += division.of_pairs(corpus.pairs).astype(np.int64) * each
    return np.bincount(place, minlength=n * each).reshape(n, each)


def _running(bins: Ints) -> Ints:
    """Sum bins from the right, without the one below all thresholds."""
    return np.asarray(bins[:, :0:-1].cumsum(axis=1)[:, ::-1], np.int64)


def _unreadable_pairs(
    corpus: SlicedCorpus, config: LoaderConfig, thresholds: Thresholds
) -> list[tuple[Ints, int, int]]:
    """Return pairs to take out where their document's text becomes unreadable, and to put back.

    Each entry has pairs, the bin from which downward they change, and -1 or 1.
    """
    found: list[tuple[Ints, int, int]] = []
    start = 0
    for part in corpus.matched.parts:
        if part.literal:
            states = part.literal.states(config)
            failed = (states.kind == CLASS["unreadable"]) & np.isfinite(states.score)
            for number in np.unique(states.document[failed]).tolist():
                row = start + int(part.literal.rows[number])
                mine = np.flatnonzero(corpus.pairs.document == row)
                score = corpus.pairs.score[mine]
                out = np.zeros(0, np.int64)
                for state in np.flatnonzero(states.document == number).tolist():
                    begins = states.score[state]
                    now = mine[score >= begins] if failed[state] else np.zeros(0, np.int64)
                    bin_there = int(np.searchsorted(thresholds, begins, side="right"))
                    found += [(out, bin_there, 1), (now, bin_there, -1)]
                    out = now
        start += len(part.columns)
    return [one for one in found if len(one[0])]


def _pairs_lost(corpus: SlicedCorpus, thresholds: Thresholds) -> tuple[Ints, Ints]:
    """Return the pairs of plain documents lost to a broken image, and from which bin downward."""
    lost_at, start = np.full(corpus.matched.n_documents, np.nan), 0
    for run in corpus.matched.runs():
        for group in run.groups():
            if group.lost_from is not None:
                begins = group.score[group.lost_from, np.arange(len(group))]
                lost_at[group.document + (start - run.first)] = begins
        start += run.last - run.first
    at = np.flatnonzero(~np.isnan(lost_at[corpus.pairs.document]))
    score = np.minimum(corpus.pairs.score[at], lost_at[corpus.pairs.document[at]])
    return at, np.searchsorted(thresholds, score, side="right")


def compare(
    corpus: SlicedCorpus,
    division: Division,
    config: LoaderConfig,
    thresholds: Thresholds,
    labelled: Labelled | None = None,
    found: Verdicts | None = None,
    curves: Sequence[Curves] | None = None,
) -> SliceComparison:
    """Compare the slices of a division with the whole at the threshold of ``config``.

    Parameters
    ----------
    corpus : SlicedCorpus
        Matched with the size limit and assignment of ``config``.
    division : Division
        Of this corpus.
    config : LoaderConfig
    thresholds : ndarray of float64, shape (T,)
        A grid over the scores, for their quantiles.
    labelled : Labelled, optional
        Labels of this corpus under these settings.
    found : Verdicts, optional
        The documents' outcomes under these settings, where they are at hand; used for images.
    curves : sequence of Curves, optional
        What `document_curves` returned for these settings and any threshold among its own, so that
        nothing is swept again.
    """
    config.require_threshold()
    grid = np.union1d(thresholds, [config.threshold])
    if division.unit == "document":
        if curves is None:
            curves = document_curves(corpus.matched, division, config, grid)
        slices, whole = of_curves(division, curves, config)
    else:
        slices, whole = _of_images(corpus, division, config, grid, found)
    if labelled is not None:
        reached = _precisions(corpus, division, config.threshold, labelled)
        slices = [replace(one, precision=at) for one, at in zip(slices, reached, strict=True)]
    kept, size = sum(one.kept for one in slices), sum(one.size for one in slices)
    return SliceComparison(
        division.name, division.label, division.unit, config.threshold, size, kept, whole.whole,
        whole.compared, tuple(slices), division.notes,
    )  # fmt: skip


def of_curves(
    division: Division, curves: Sequence[Curves], config: LoaderConfig
) -> tuple[list[Slice], Differences]:
    """Look up slices of documents at the threshold of ``config`` in their curves."""
    keep, n = config.single_image_keep, len(curves)
    step = curves[0].step(config.threshold) if curves else 0
    always, single, size = (
        np.array([one.in_class("documents", *names)[step] for one in curves], np.float64)
        for names in (("kept_always",), ("kept_single_image",), tuple(CLASS))
    )
    moments = moments_of_documents(always, single, size, keep)
    whole = differences(moments)
    made = []
    for number in range(n):
        one = curves[number]
        above = one.total("pairs")
        pairs = above + one.total("rejected_pairs")
        made.append(
            Slice(
                **_compared(number, division.names[number], moments, whole),
                pairs=int(pairs[step]),
                above=int(above[step]),
                quantiles=_quantiles(one.thresholds, above, int(pairs[0])),
                lost={loss.name: loss.lost for loss in document_funnel(one, step, keep)},
                image_tokens=float(one.expected("image_tokens", keep)[step]),
                text_tokens=float(one.expected("text_tokens", keep)[step]),
                images_mean=_or_none(ratio(one, "images_mean", keep)[step]),
                single_image=_or_none(ratio(one, "single_image", keep)[step]),
            )
        )
    return made, whole


def _of_images(
    corpus: SlicedCorpus,
    division: Division,
    config: LoaderConfig,
    grid: Thresholds,
    found: Verdicts | None,
) -> tuple[list[Slice], Differences]:
    """Return slices of images at the threshold of ``config``."""
    pairs, matched, keep = corpus.pairs, corpus.matched, config.single_image_keep
    found = verdicts(matched, config) if found is None else found
    outcome = outcomes_of_pairs(matched, config, pairs, found)
    n, width = len(division), len(CODES)
    counts = np.bincount(division.code.astype(np.int64) * width + outcome, minlength=n * width)
    expected = in_expectation(counts.reshape(n, width).T.astype(np.float64), keep)
    kept = np.zeros(width)
    single = CODES.index("kept_single_image")
    kept[CODES.index(PairStatus.KEPT)], kept[single] = 1.0, keep
    moments = moments_of_pairs(pairs.document, division.code, kept[outcome], matched.n_documents, n)
    whole = differences(moments)
    curves = pair_curves(corpus, division, config, grid)
    reaching = _running(_bins(corpus, division, grid))
    step = int(np.searchsorted(grid, config.threshold))
    made = []
    for number in range(n):
        lost = dict(zip(OUTCOMES[1:], expected[1:, number].tolist(), strict=True))
        lost[SINGLE_IMAGE_DROP] = (1 - keep) * float(counts[number * width + single])
        lost[DROPPED] -= lost[SINGLE_IMAGE_DROP]
        lost["unreadable"] = float(counts[number * width + CODES.index("unreadable")])
        made.append(
            Slice(
                **_compared(number, division.names[number], moments, whole),
                pairs=int(moments.x[number]),
                above=int(curves[number, step]),
                quantiles=_quantiles(grid, reaching[number], int(moments.x[number])),
                lost=lost,
            )
        )
    return made, whole


def _compared(number: int, name: str, moments: Moments, whole: Differences) -> dict[str, Any]:
    """Return the fields of a slice that compare what is kept of it with the whole."""
    numbers = (whole.share, whole.difference, whole.low, whole.high)
    share, difference, low, high = (_or_none(values[number]) for values in numbers)
    size, kept = float(moments.x[number]), float(moments.y[number])
    return {
        "name": name,
        "size": int(size),
        "documents": int(moments.documents[number]),
        "kept": kept,
        "share": share,
        "difference": difference,
        "low": low,
        "high": high,
        "cost": size * whole.whole - kept if size else 0.0,
    }


def _or_none(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _quantiles(grid: Thresholds, above: NDArray[Any], pairs: int) -> tuple[float, ...]:
    """Return the highest thresholds that leave the wanted shares of pairs."""
    if not pairs:
        return ()
    wanted = [max(1, int(np.ceil((1 - q) * pairs))) for q in QUANTILES]
    at = [int(np.searchsorted(-above, -n, side="right")) - 1 for n in wanted]
    return tuple(float(grid[max(0, i)]) for i in at)


def _precisions(
    corpus: SlicedCorpus, division: Division, threshold: float, labelled: Labelled
) -> list[SlicePrecision]:
    """Estimate the precision of each slice: within a stratum, its labels are drawn at random."""
    code, sample = division.of_pairs(corpus.pairs), labelled.sample
    scores, shape = corpus.pairs.score, (len(division), len(sample.edges) + 1)
    at, of_label = np.array([threshold]), code[labelled.ranks]
    population, labels = np.zeros(shape, np.int64), np.zeros(len(division), np.int64)
    counts, right = np.zeros(shape), np.zeros(shape)  # as so many independent labels
    for number in range(len(division)):
        part = sample.part(scores[code == number], of_label == number)
        above, labelled_here, _ = part.above(at)
        population[number], labels[number] = above[0], labelled_here.sum()
        independent = part.independent(at)
        counts[number], right[number] = independent[0][0], independent[1][0]
    enough = labels >= ENOUGH_LABELS
    found = [SlicePrecision(int(n)) for n in labels]
    if enough.any():
        seen = interval(population[enough], counts[enough], right[enough])
        for number, *ends in zip(
            np.flatnonzero(enough).tolist(), seen.estimate, seen.low, seen.high, strict=True
        ):
            found[number] = SlicePrecision(int(labels[number]), *map(float, ends))
    return found
