"""Which pair to label next.

Pairs are drawn in rounds. Each round is recorded with the sizes of the strata and the number drawn
from each so far, which give every pair's inclusion probability. Within a round the order is random,
so that it reveals nothing about scores. Some pairs are shown to a second annotator to measure
inter-annotator agreement.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmc4viz.arrays import Ints
from mmc4viz.thresholds.labels import sampling, store
from mmc4viz.thresholds.labels.sampling import Design, DrawablePairs, DrawCandidate, scrambled
from mmc4viz.thresholds.labels.store import PAIR, SAME, Label, PairId

LEASE: Final = 120.0  # seconds for which a pair shown to one annotator is not shown to others


@dataclass(frozen=True)
class DrawnPair:
    """A sampled pair: its position in the queue, its round, and its score when drawn."""

    pair: PairId
    position: int
    stage: int
    score: float
    twice: bool


def drawn(path: str, design: Design) -> list[DrawnPair]:
    """Return the pairs drawn so far, in queue order."""
    with store.reading(path) as connection:
        return select(connection, design)


def select(connection: sqlite3.Connection, design: Design) -> list[DrawnPair]:
    """Do what `drawn` does on an open connection."""
    rows = connection.execute(
        "SELECT * FROM queue WHERE design = ? ORDER BY position", (design.id,)
    )
    return [_row(row) for row in rows]


def _row(row: sqlite3.Row) -> DrawnPair:
    return DrawnPair(
        PairId.of(row), row["position"], row["stage"], row["score"], bool(row["twice"])
    )


@dataclass(frozen=True)
class QueueCounts:
    """Number of pairs drawn, labeled by anyone, and labeled by one annotator."""

    drawn: int
    labelled: int
    mine: int


def counts(path: str, design: Design, person: str) -> QueueCounts:
    """Count drawn and labeled pairs; skipped ones are not labeled."""
    with store.reading(path) as connection:
        row = connection.execute(_COUNTS, {"design": design.id, "person": person}).fetchone()
    return QueueCounts(*row)


def at(path: str, design: Design, position: int) -> DrawnPair | None:
    """Return the pair at a position, or None."""
    with store.reading(path) as connection:
        row = connection.execute(
            "SELECT * FROM queue WHERE design = ? AND position = ?", (design.id, position)
        ).fetchone()
    return None if row is None else _row(row)


def waiting(connection: sqlite3.Connection, design: Design, person: str) -> DrawnPair | None:
    """Return an annotator's next pair on an open connection, without reserving it."""
    row = connection.execute(_NEXT, {"design": design.id, "person": person}).fetchone()
    return None if row is None else _row(row)


def next_for(path: str, design: Design, person: str) -> DrawnPair | None:
    """Return and reserve an annotator's next pair; None if all drawn pairs are labeled.

    Pairs that the annotator labeled or skipped are not returned again.
    """
    moment = time.time()
    with store.writing(path) as connection:
        connection.execute("DELETE FROM claims WHERE until < ?", (moment,))
        found = waiting(connection, design, person)
        if found is None:
            return None
        connection.execute("DELETE FROM claims WHERE person = ?", (person,))
        connection.execute(
            f"INSERT OR REPLACE INTO claims ({', '.join(PAIR)}, person, until) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*found.pair.values, person, moment + LEASE),
        )
    return found


_NEXT: Final = f"""
SELECT q.* FROM queue q WHERE q.design = :design
AND NOT EXISTS (SELECT 1 FROM judgements j WHERE {SAME.format("j", "q")} AND j.undone IS NULL
                AND j.person = :person)
AND NOT EXISTS (SELECT 1 FROM claims c WHERE {SAME.format("c", "q")} AND c.person <> :person)
AND (SELECT count(DISTINCT j.person) FROM judgements j WHERE {SAME.format("j", "q")}
     AND j.undone IS NULL AND j.verdict <> 'skip') < 1 + q.twice
ORDER BY q.position LIMIT 1
"""


_COUNTS: Final = f"""
SELECT count(*), coalesce(sum(labelled), 0), coalesce(sum(mine), 0) FROM (
  SELECT EXISTS (SELECT 1 FROM judgements j WHERE {SAME.format("j", "q")} AND j.undone IS NULL
                 AND j.verdict <> 'skip') AS labelled,
         EXISTS (SELECT 1 FROM judgements j WHERE {SAME.format("j", "q")} AND j.undone IS NULL
                 AND j.verdict <> 'skip' AND j.person = :person) AS mine
  FROM queue q WHERE q.design = :design)
"""


def drop(path: str, design: Design, gone: DrawnPair) -> None:
    """Remove a pair that no longer exists from the queue; its labels remain in the file."""
    with store.writing(path) as connection:
        connection.execute(
            "DELETE FROM queue WHERE design = ? AND position = ?", (design.id, gone.position)
        )


FIRST: Final = 60  # pairs in the first round
STAGE: Final = 20  # pairs in each later round
TWICE: Final = 5  # every fifth pair is shown to two annotators


def next_existing(
    path: str,
    design: Design,
    population: DrawablePairs,
    person: str,
    threshold: float | None = None,
) -> tuple[DrawnPair, tuple[int, int]] | None:
    """Return an annotator's next pair and its place, drawing more pairs if needed.

    Drawn pairs that no longer exist after reindexing are removed from the queue.

    Returns
    -------
    (DrawnPair, (int, int)) or None
        The pair, and its shard or file and its row there; None if there is nothing left to label.
    """
    while True:
        found = next_for(path, design, person)
        if found is None:
            if not extend(path, design, population, person, threshold):
                return None
            continue
        place = population.locate(found.pair)
        if place is not None:
            return found, place
        drop(path, design, found)


def extend(
    path: str,
    design: Design,
    population: DrawablePairs,
    person: str,
    threshold: float | None = None,
) -> int:
    """Draw the next round, unless there is a pair for this annotator.

    Parameters
    ----------
    path : str
    design : Design
    population : DrawablePairs
        Matched with the design's settings.
    person : str
    threshold : float, optional
        The threshold whose precision interval is to be narrowed; all strata borders by default.

    Returns
    -------
    int
        How many pairs were drawn. Existing labels of these pairs count at once; drawing goes on
        until there is a pair to label or none is left.
    """
    taken = 0
    while True:
        with store.writing(path) as connection:
            if waiting(connection, design, person) is not None:
                return taken
            before = select(connection, design)
            said = store.labels_of(store.select(connection, path))
            chosen, counts = _choose(design, population, before, said, threshold)
            if not chosen:
                return taken
            _append(connection, design, population, before, chosen, threshold, counts)
            taken += len(chosen)


def _choose(
    design: Design,
    population: DrawablePairs,
    before: Sequence[DrawnPair],
    said: Mapping[PairId, Label],
    threshold: float | None,
) -> tuple[list[DrawCandidate], Ints]:
    """Return the pairs of the next round and how many pairs of each stratum are then drawn."""
    edges = design.borders
    sizes = population.strata(edges)
    scores = population.scores_of({one.pair: one.score for one in before})
    stratum = {p: int(np.searchsorted(edges, s, side="right")) for p, s in scores.items()}
    counts = np.bincount(list(stratum.values()), minlength=len(sizes)).astype(np.int64)
    answers = {p: said[p].correct for p in stratum if p in said}
    yes, no = (
        np.bincount([stratum[p] for p, answer in answers.items() if answer is wanted],
                    minlength=len(sizes)).astype(np.int64)
        for wanted in (True, False)
    )  # fmt: skip
    over = population.above(edges, sampling.thresholds_of(edges, threshold))
    value = sampling.importance(sizes, over)
    if threshold is not None:
        value *= sampling.spread_of(yes + no, yes)
    more = sampling.allocate(sizes, counts, value, STAGE if len(before) else FIRST)
    if threshold is None and not len(before):  # from below the range, to estimate recall
        more[0] += min(sampling.FLOOR, int(sizes[0]))
    chosen = list[DrawCandidate]()
    for h, n in enumerate(more.tolist()):
        lowest = population.candidates(edges, h, int(counts[h]) + n) if n else []
        chosen += [one for one in lowest if one.pair not in stratum][:n]
    return chosen, counts + more


def _append(
    connection: sqlite3.Connection,
    design: Design,
    population: DrawablePairs,
    before: Sequence[DrawnPair],
    chosen: Sequence[DrawCandidate],
    threshold: float | None,
    counts: Ints,
) -> None:
    """Write a round, its pairs in random order."""
    stage = 1 + max((one.stage for one in before), default=-1)
    position = 1 + max((one.position for one in before), default=-1)
    order = scrambled(~np.array([one.lot for one in chosen], np.uint64))
    sizes = population.strata(design.borders)
    connection.execute(
        "INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?)",
        (design.id, stage, store.now(), threshold, json.dumps(sizes.tolist()),
         json.dumps(counts.tolist())),
    )  # fmt: skip
    for place in np.argsort(order, kind="stable").tolist():
        one, lot = chosen[place], int(order[place])
        connection.execute(
            f"INSERT OR IGNORE INTO queue (design, position, stage, {', '.join(PAIR)}, score, "
            "twice) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (design.id, position, stage, *one.pair.values, one.score, int(lot % TWICE == 0)),
        )  # fmt: skip
        position += 1
