"""Which pairs to label next: samples drawn in stages, the same for everybody who labels a file.

Stages are drawn by
`strata.allocate` and by lot (`Population`), and stand in the file, so that whoever goes on, goes on
with the same pairs. Some pairs are shown to a second person as well, for the agreement between
people. Within a stage the order is by lot: it says nothing of the score.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice import labels, store, strata
from mmc4viz.choice.design import Design
from mmc4viz.choice.labels import Label, PairId
from mmc4viz.choice.population import Population, mixed

FIRST: Final = 60  # pairs of the first stage
STAGE: Final = 20  # of each later one
TWICE: Final = 5  # one pair in so many is for two people
LEASE: Final = 120.0  # seconds for which a pair that one person sees is not shown to another

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """A pair of a sample: its place in the queue, its stage, and its score when it was drawn."""

    pair: PairId
    position: int
    stage: int
    score: float
    twice: bool


def drawn(path: str, design: Design) -> list[Drawn]:
    """Return a sample as far as it is drawn, in its order."""
    with store.reading(path) as connection:
        return _drawn(connection, design)


def _drawn(connection: sqlite3.Connection, design: Design) -> list[Drawn]:
    rows = connection.execute(
        "SELECT * FROM queue WHERE design = ? ORDER BY position", (design.id,)
    )
    return [_row(row) for row in rows]


def _row(row: sqlite3.Row) -> Drawn:
    pair = PairId(row["shard"], row["key"], row["image"], row["sentence"])
    return Drawn(pair, row["position"], row["stage"], row["score"], bool(row["twice"]))


def next_for(path: str, design: Design, person: str) -> Drawn | None:
    """Return the next pair for a person and hold it for them; None when all drawn are labelled.

    First what somebody else has judged and a second person is to judge, then what nobody has. Pairs
    that this person has judged or skipped do not come again.
    """
    moment = time.time()
    with store.writing(path) as connection:
        connection.execute("DELETE FROM claims WHERE until < ?", (moment,))
        row = connection.execute(_NEXT, {"design": design.id, "person": person}).fetchone()
        if row is None:
            return None
        found = _row(row)
        connection.execute("DELETE FROM claims WHERE person = ?", (person,))
        connection.execute(
            "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?)",
            (*found.pair, person, moment + LEASE),
        )
    return found


_SAME: Final = (
    "{0}.shard = q.shard AND {0}.key = q.key AND {0}.image = q.image AND {0}.sentence = q.sentence"
)
_NEXT: Final = f"""
SELECT q.* FROM queue q WHERE q.design = :design
AND NOT EXISTS (SELECT 1 FROM judgements j WHERE {_SAME.format("j")} AND j.undone IS NULL
                AND j.person = :person)
AND NOT EXISTS (SELECT 1 FROM claims c WHERE {_SAME.format("c")} AND c.person <> :person)
AND (SELECT count(DISTINCT j.person) FROM judgements j WHERE {_SAME.format("j")}
     AND j.undone IS NULL AND j.verdict <> 'skip') < 1 + q.twice
ORDER BY q.position LIMIT 1
"""


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
            if connection.execute(_NEXT, {"design": design.id, "person": person}).fetchone():
                return taken
            before = _drawn(connection, design)
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
    value = strata.importance(sizes, over) * strata.spread_of(yes + no, yes)
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
            "INSERT OR IGNORE INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (design.id, position, stage, *population.name(rank),
             float(population.pairs.score[rank]), int(lot % TWICE == 0)),
        )  # fmt: skip
        position += 1
