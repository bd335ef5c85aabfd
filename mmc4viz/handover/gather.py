"""A matched corpus → all that a report of one setting says. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmc4viz.corpus.curves import Curves
from mmc4viz.corpus.pairs import pairs_of
from mmc4viz.corpus.sweep import Matched, sweep
from mmc4viz.corpus.verdicts import verdicts
from mmc4viz.handover.examples import Folder, examples
from mmc4viz.handover.findings import findings
from mmc4viz.handover.report import Content, Section
from mmc4viz.model import LoaderConfig


def gather(
    matched: Matched,
    config: LoaderConfig,
    provenance: Mapping[str, Any],
    folder: Folder,
    *,
    images: bool = True,
    n_examples: int = 8,
    curves: Curves | None = None,
    sections: Sequence[Section] = (),
) -> Content:
    """Gather a report's content.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        The whole setting.
    provenance : mapping
        As the config has it.
    folder : callable
        Returns where a part's images are, None for in the shard itself.
    images : bool
        Whether examples have pictures.
    n_examples : int
        On each side of the threshold.
    curves : Curves, optional
        Those to draw, with the threshold among them; those of ``matched`` when left out.
    sections : sequence of Section
        What other ways of choosing add.
    """
    pairs = pairs_of(matched)
    if curves is None:
        grid = np.union1d(matched.scale.thresholds(), [config.threshold])
        curves = sweep(matched, config, grid)
    above, below = examples(matched, config, pairs, n_examples, folder, images)
    return Content(
        config,
        provenance,
        curves,
        curves.step(config.threshold),
        pairs.score,
        findings(matched, config, verdicts(matched, config), pairs),
        above,
        below,
        sections,
    )
