"""The effect of every other setting at one threshold, from a sample or from the whole corpus.

A setting is varied alone, the others stay as chosen. Draws no sample and no picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.corpus.columns import Columns, schema
from mmc4viz.corpus.estimate import interval
from mmc4viz.corpus.matched import Matched
from mmc4viz.corpus.sampling import Drawn, Rate
from mmc4viz.corpus.sweep import sweep
from mmc4viz.corpus.tally import CLASS
from mmc4viz.corpus.verdicts import Verdicts, verdicts
from mmc4viz.model import ASSIGNMENT_NAMES, LoaderConfig

KNOBS: Final[dict[str, tuple[Any, ...]]] = {
    "max_images": (1, 2, 3, 4, 6, 8, 12, 20),
    "max_tokens": (64, 128, 256, 512, 1024, 2048),
    "min_kb": (-1, 5, 10, 15, 20, 30),
    "assignment": ASSIGNMENT_NAMES,
}
YIELDS: Final = ("documents", "image_tokens")


@dataclass(frozen=True)
class Pool:
    """A sample in one piece.

    Attributes
    ----------
    columns : Columns
        All documents of the sample.
    cluster : ndarray of int64, shape (documents,)
        Which cluster each belongs to.
    drawn : Drawn
    """

    columns: Columns
    cluster: NDArray[np.int64]
    drawn: Drawn


@dataclass(frozen=True)
class Effect:
    """What one value of one setting yields, per document of the corpus.

    Attributes
    ----------
    knob : str
    value : int or str
    config : LoaderConfig
        The whole setting.
    """

    knob: str
    value: Any
    config: LoaderConfig


def pool(drawn: Drawn) -> Pool:
    """Put a sample in one piece, so that it is matched in one go."""
    parts = [(part, at) for at, parts in enumerate(drawn.clusters) for part in parts]
    layout = schema(pa.float64(), parts[0][0].verify)
    batch = pa.concat_batches([part.batch.cast(layout) for part, _ in parts])
    cluster = np.repeat([at for _, at in parts], [len(part) for part, _ in parts])
    return Pool(replace(parts[0][0], batch=batch, error=None), cluster.astype(np.int64), drawn)


def variations(config: LoaderConfig) -> list[Effect]:
    """Return every setting with every value to try, the present one among them."""
    found = []
    for knob, values in KNOBS.items():
        present = getattr(config, knob)
        tried = values if present in values else sorted((*values, present))
        found += [Effect(knob, value, config.with_(**{knob: value})) for value in tried]
    return found


def estimated(sample: Pool, matched: Matched, config: LoaderConfig) -> dict[str, Rate]:
    """Return what a setting yields per document, with intervals, by name of the yield.

    Parameters
    ----------
    sample : Pool
    matched : Matched
        The sample under the setting's size limit and assignment.
    config : LoaderConfig
    """
    found = verdicts(matched, config)
    weight = _weight(found, config.single_image_keep)
    n = len(sample.drawn.clusters)
    sampled = np.maximum(1, np.bincount(sample.cluster, minlength=n))
    sizes = sample.drawn.sizes[:, None]
    rates = {}
    for name, values in (("documents", weight), ("image_tokens", weight * found.image_tokens)):
        sums = np.bincount(sample.cluster, weights=values, minlength=n)
        top = (sums / sampled)[:, None] * sizes
        rates[name] = interval(top, sizes, sample.drawn.fraction)
    return rates


def exact(matched: Matched, config: LoaderConfig) -> dict[str, Rate]:
    """Return the same of a whole corpus, without intervals."""
    curves = sweep(matched, config, np.array([config.threshold]))
    n = max(1, matched.n_documents)
    values = {name: curves.expected(name, config.single_image_keep) / n for name in YIELDS}
    return {name: Rate(value, value, value) for name, value in values.items()}


def _weight(found: Verdicts, keep: float) -> NDArray[np.float64]:
    """Return the probability with which each document reaches the model."""
    surely = found.kind == CLASS["kept_surely"]
    by_coin = found.kind == CLASS["kept_by_coin"]
    return np.asarray(surely + keep * by_coin, np.float64)
