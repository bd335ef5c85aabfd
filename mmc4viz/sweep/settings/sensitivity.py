"""Sensitivity to settings at every threshold, from a sample or the whole corpus.

Each setting is varied alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.columns import Columns, core_schema
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.estimate import Rate, interval, steps_among
from mmc4viz.sweep.resolve import resolve
from mmc4viz.sweep.statistics import CLASS, CLASSES, QUANTITY
from mmc4viz.sweep.sweep import Matched, Part, sweep
from mmc4viz.types import ASSIGNMENT_NAMES, LoaderConfig

SETTING_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "max_images": (1, 2, 3, 4, 6, 8, 12, 20),
    "max_tokens": (64, 128, 256, 512, 1024, 2048),
    "min_kb": (-1, 5, 10, 15, 20, 30),
    "assignment": ASSIGNMENT_NAMES,
}
YIELDS: Final = ("documents", "image_tokens")


@dataclass(frozen=True)
class Pool:
    """A sample, concatenated.

    Attributes
    ----------
    columns : Columns
        All documents of the sample.
    cluster : ndarray of int64, shape (documents,)
        Each document's cluster.
    drawn : DrawnSample
    """

    columns: Columns
    cluster: NDArray[np.int64]
    drawn: DrawnSample


@dataclass(frozen=True)
class Effect:
    """One setting with one value to try.

    Attributes
    ----------
    setting : str
    value : int or str
    config : LoaderConfig
        The settings with this value.
    """

    setting: str
    value: Any
    config: LoaderConfig


def pool(drawn: DrawnSample) -> Pool:
    """Concatenate a sample, so that it is matched at once."""
    parts = [(part, at) for at, parts in enumerate(drawn.clusters) for part in parts]
    layout = core_schema(pa.float64(), parts[0][0].verify)
    batch = pa.concat_batches([part.batch.select(layout.names).cast(layout) for part, _ in parts])
    cluster = np.repeat([at for _, at in parts], [len(part) for part, _ in parts])
    return Pool(
        replace(parts[0][0], batch=batch, error=None, drawn=None), cluster.astype(np.int64), drawn
    )


def variations(config: LoaderConfig) -> list[Effect]:
    """Return every setting with every value to try, including the current one."""
    found = []
    for setting, values in SETTING_VALUES.items():
        values = config.assignments if setting == "assignment" else values
        present = getattr(config, setting)
        tried = values if present in values else sorted((*values, present))
        found += [Effect(setting, value, config.with_(**{setting: value})) for value in tried]
    return found


def estimated(
    sample: Pool, matched: Matched, config: LoaderConfig, thresholds: Thresholds
) -> dict[str, Rate]:
    """Return the yields per document, with 95% CIs, by name.

    Parameters
    ----------
    sample : Pool
    matched : Matched
        The sample, matched with the size limit and assignment of ``config``.
    config : LoaderConfig
        The threshold is ignored.
    thresholds : ndarray of float64, shape (T,)
        Strictly ascending.
    """
    sampled = np.maximum(1, np.bincount(sample.cluster, minlength=len(sample.drawn.clusters)))
    sizes = sample.drawn.sizes[:, None]
    some, every = steps_among(matched.scores(), thresholds)
    rates = {}
    for name, sums in _by_cluster(sample, matched, config, some).items():
        found = interval(sums / sampled[:, None] * sizes, sizes, sample.drawn.fraction)
        rates[name] = Rate(*(v[every] for v in (found.estimate, found.low, found.high)))
    return rates


def exact(matched: Matched, config: LoaderConfig, thresholds: Thresholds) -> dict[str, Rate]:
    """Return the same for a whole corpus, with zero-width intervals."""
    curves = sweep(matched, config, thresholds)
    n = max(1, matched.n_documents)
    values = {name: curves.expected(name, config.single_image_keep) / n for name in YIELDS}
    return {name: Rate(value, value, value) for name, value in values.items()}


def _by_cluster(
    sample: Pool, matched: Matched, config: LoaderConfig, thresholds: Thresholds
) -> dict[str, Floats]:
    """Sum each yield by cluster at every threshold, shape (clusters, T)."""
    shape = len(sample.drawn.clusters), len(thresholds) + 1
    bins = {name: np.zeros(shape[0] * shape[1]) for name in YIELDS}
    for document, place, change in _changes(matched, config, thresholds):
        at = (sample.cluster[document] * shape[1] + place).ravel()
        for name, values in change.items():
            bins[name] += np.bincount(at, values.ravel(), len(bins[name]))
    return {
        name: values.reshape(shape)[:, :0:-1].cumsum(axis=1)[:, ::-1]
        for name, values in bins.items()
    }


def _changes(
    matched: Matched, config: LoaderConfig, thresholds: Thresholds
) -> Iterator[tuple[Ints, NDArray[Any], dict[str, Floats]]]:
    """Yield documents, the bins in which their states begin, and what each state adds."""
    odds, start = _odds(config), 0
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, place in run.with_places(thresholds):
            states = resolve(group, config, tokenizer)
            weight = odds[states.kind]
            values = {"documents": weight, "image_tokens": weight * states.reaching}
            here = group.document.astype(np.int64) + (start - run.first)
            yield here, place, {n: np.diff(v, axis=0, prepend=0.0) for n, v in values.items()}
        start += run.last - run.first
    start = 0
    for part in matched.parts:
        if part.literal:
            yield _changes_of_literal(part, start, config, thresholds)
        start += len(part.columns)


def _changes_of_literal(
    part: Part, start: int, config: LoaderConfig, thresholds: Thresholds
) -> tuple[Ints, NDArray[Any], dict[str, Floats]]:
    states = part.literal.states(config)
    weight = _odds(config)[states.kind]
    follows = np.append(False, states.document[1:] == states.document[:-1])
    change = {}
    for name in YIELDS:
        value = weight * states.counts[:, QUANTITY[name]]
        change[name] = value - np.where(follows, np.roll(value, 1), 0.0)
    place = np.searchsorted(thresholds, states.score, side="right")
    return part.literal.rows[states.document] + start, place, change


def _odds(config: LoaderConfig) -> Floats:
    """Return the keep probability of each class."""
    odds = np.zeros(len(CLASSES))
    odds[CLASS["kept_always"]], odds[CLASS["kept_single_image"]] = 1.0, config.single_image_keep
    return odds
