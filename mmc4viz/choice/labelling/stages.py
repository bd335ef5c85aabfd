"""Drawing pairs to label, in stages: how many by `strata.allocate`, which by lot (`Population`).

Each stage stands in the file with the sizes of the strata and how many of each were drawn by then:
one over the other is each pair's probability. Within a stage the order is by lot: it says nothing
of the score.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from mmc4viz.arrays import Ints
from mmc4viz.choice.labelling import labels, queue, store, strata
from mmc4viz.choice.labelling.design import Design
from mmc4viz.choice.labelling.labels import PAIR, Label, PairId
from mmc4viz.choice.labelling.population import Population, mixed
from mmc4viz.choice.labelling.queue import Drawn

FIRST: Final = 60  # pairs of the first stage
STAGE: Final = 20  # of each later one
TWICE: Final = 5  # one pair in so many is for two people


def next_existing(
    path: str,
    design: Design,
    population: Population,
    person: str,
    threshold: float | None = None,
) -> tuple[Drawn, tuple[int, int]] | None:
    """Return the next pair that a person can see, drawing more if need be, and its document.

    Pairs that were drawn, and are gone since the corpus was indexed anew, leave the queue; they
    have no label yet.

    Returns
    -------
    (Drawn, (int, int)) or None
        With the document's shard and row; None when there is nothing left to label.
    """
    while True:
        found = queue.next_for(path, design, person)
        if found is None:
            if not extend(path, design, population, person, threshold):
                return None
            continue
        rank = population.find([found.pair]).get(found.pair)
        if rank is not None:
            return found, population.place(rank)
        queue.drop(path, design, found)


def extend(
    path: str,
    design: Design,
    population: Population,
    person: str,
    threshold: float | None = None,
) -> int:
    """Draw the next stage, unless there is a pair for this person.

    Parameters
    ----------
    path : str
    design : Design
    population : Population
        Of the design's setting.
    person : str
    threshold : float, optional
        The one whose precision is to be narrowed down; all borders of strata if not given.

    Returns
    -------
    int
        How many pairs were drawn. Those that were judged before, under another setting, count at
        once; drawing goes on until there is a pair to judge or none is left.
    """
    taken = 0
    while True:
        with store.writing(path) as connection:
            if queue.waiting(connection, design, person) is not None:
                return taken
            before = queue.select(connection, design)
            said = labels.labels_of(labels.select(connection, path))
            chosen, counts = _choose(design, population, before, said, threshold)
            if not chosen:
                return taken
            _append(connection, design, population, before, chosen, threshold, counts)
            taken += len(chosen)


def _choose(
    design: Design,
    population: Population,
    before: Sequence[Drawn],
    said: Mapping[PairId, Label],
    threshold: float | None,
) -> tuple[list[int], Ints]:
    """Return the ranks of the next stage and how many pairs of each stratum are drawn by then."""
    edges, scores = design.borders, population.pairs.score
    sizes = strata.populations(scores, edges)
    ranks = population.find(one.pair for one in before)
    stratum = {p: int(np.searchsorted(edges, scores[r], side="right")) for p, r in ranks.items()}
    counts = np.bincount(list(stratum.values()), minlength=len(sizes)).astype(np.int64)
    answers = {p: said[p].correct for p in stratum if p in said}
    yes, no = (
        np.bincount([stratum[p] for p, answer in answers.items() if answer is wanted],
                    minlength=len(sizes)).astype(np.int64)
        for wanted in (True, False)
    )  # fmt: skip
    over = strata.above(scores, edges, strata.thresholds_of(edges, threshold))
    value = strata.importance(sizes, over)
    if threshold is not None:
        value *= strata.spread_of(yes + no, yes)
    more = strata.allocate(sizes, counts, value, STAGE if len(before) else FIRST)
    if threshold is None and not len(before):  # of what lies below, for the share that is kept
        more[0] += min(strata.FLOOR, int(sizes[0]))
    ends = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    have, chosen = set(ranks.values()), list[int]()
    for h, n in enumerate(more.tolist()):
        lowest = population.lowest(ends[h], ends[h + 1], int(counts[h]) + n)
        chosen += [rank for rank in lowest if rank not in have][:n]
    return chosen, counts + more


def _append(
    connection: sqlite3.Connection,
    design: Design,
    population: Population,
    before: Sequence[Drawn],
    chosen: Sequence[int],
    threshold: float | None,
    counts: Ints,
) -> None:
    """Write a stage: its pairs in an order that says nothing of their scores."""
    stage = 1 + max((one.stage for one in before), default=-1)
    position = 1 + max((one.position for one in before), default=-1)
    order = mixed(~population.lots[list(chosen)])
    sizes = strata.populations(population.pairs.score, design.borders)
    connection.execute(
        "INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?)",
        (design.id, stage, labels.now(), threshold, json.dumps(sizes.tolist()),
         json.dumps(counts.tolist())),
    )  # fmt: skip
    for place in np.argsort(order, kind="stable").tolist():
        rank, lot = chosen[place], int(order[place])
        connection.execute(
            f"INSERT OR IGNORE INTO queue (design, position, stage, {', '.join(PAIR)}, score, "
            "twice) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (design.id, position, stage, *population.name(rank).values,
             float(population.pairs.score[rank]), int(lot % TWICE == 0)),
        )  # fmt: skip
        position += 1
