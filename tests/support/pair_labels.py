"""Labels of generated tables of pairs by a person who is never wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mmc4viz.pairs.count import count, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.labels.estimate import LabelledRows, labelled_rows
from mmc4viz.pairs.labels.population import RowPopulation, TableFiles, labeled_selection
from mmc4viz.pairs.selection import PairSelection, RowCondition
from mmc4viz.pairs.table import open_table
from mmc4viz.thresholds.labels import queue, store
from mmc4viz.thresholds.labels.store import Answer, Judgement
from tests.support import pairs

B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


def population_of(
    paths: Sequence[str], score: int = 0, where: tuple[RowCondition, ...] = (), *, add: bool = False
) -> RowPopulation:
    table = open_table(list(paths))
    table = replace(table, paths=tuple(paths)) if len(paths) > 1 else table
    plan = plan_of(table, table.scores, where, False)
    curves = PairCurves(plan, count(table, plan))
    columns = table.scores[score:] + table.scores[:score]
    selection = PairSelection(columns[: 1 + add], (0.3,), "sum" if add else "one", where, plan.rule)
    return RowPopulation(table, curves, labeled_selection(selection), TableFiles(table.paths))


def truth_of(seed: int, rows: int, kind: str = "float32") -> tuple[pa.Table, np.ndarray]:
    """Return a table, and which rows are right: the more likely, the higher both scores are."""
    table = pairs.datacomp(rows, seed, kind)
    rng = np.random.default_rng(seed + 1)
    score = table[B32].to_numpy().astype(float) + 0.5 * table[L14].to_numpy().astype(float)
    return table, rng.random(rows) < 1 / (1 + np.exp(-(score - 0.3) * 20))


def label(path: str, population: RowPopulation, right: dict[str, bool], n: int) -> LabelledRows:
    """Label rows as a person would who is never wrong."""
    store.create(path)
    design = population.begin(path)
    for _ in range(n):
        found = queue.next_existing(path, design, population, "Ada")
        assert found is not None
        answer = Answer.YES if right[found[0].pair.key] else Answer.NO
        store.add(path, Judgement(found[0].pair, "Ada", answer, store.now(), "", B32, None))
    return labelled_rows(path, design, population)
