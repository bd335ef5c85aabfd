"""The queue of pairs to label: who sees which pair next, the same for all who label a file.

Some pairs are shown to a second person as well, for the agreement between people. Pairs come into
the queue by `stages`.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Final

from mmc4viz.choice.labelling import store
from mmc4viz.choice.labelling.design import Design
from mmc4viz.choice.labelling.labels import PAIR, SAME, PairId

LEASE: Final = 120.0  # seconds for which a pair that one person sees is not shown to another


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
        return select(connection, design)


def select(connection: sqlite3.Connection, design: Design) -> list[Drawn]:
    """Do what `drawn` does, of a file that the caller has opened."""
    rows = connection.execute(
        "SELECT * FROM queue WHERE design = ? ORDER BY position", (design.id,)
    )
    return [_row(row) for row in rows]


def _row(row: sqlite3.Row) -> Drawn:
    return Drawn(PairId.of(row), row["position"], row["stage"], row["score"], bool(row["twice"]))


@dataclass(frozen=True)
class Counts:
    """Pairs drawn; of these, those with an answer, and those that one person has answered."""

    drawn: int
    labelled: int
    mine: int


def counts(path: str, design: Design, person: str) -> Counts:
    """Count how far a sample is labelled; a skipped pair has no answer."""
    with store.reading(path) as connection:
        row = connection.execute(_COUNTS, {"design": design.id, "person": person}).fetchone()
    return Counts(*row)


def at(path: str, design: Design, position: int) -> Drawn | None:
    """Return the pair at a position, None where there is none."""
    with store.reading(path) as connection:
        row = connection.execute(
            "SELECT * FROM queue WHERE design = ? AND position = ?", (design.id, position)
        ).fetchone()
    return None if row is None else _row(row)


def waiting(connection: sqlite3.Connection, design: Design, person: str) -> Drawn | None:
    """Return the next pair for a person, of a file that the caller has opened; hold nothing."""
    row = connection.execute(_NEXT, {"design": design.id, "person": person}).fetchone()
    return None if row is None else _row(row)


def next_for(path: str, design: Design, person: str) -> Drawn | None:
    """Return the next pair for a person and hold it for them; None when all drawn are labelled.

    First what somebody else has judged and a second person is to judge, then what nobody has. Pairs
    that this person has judged or skipped do not come again.
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


def drop(path: str, design: Design, gone: Drawn) -> None:
    """Take a pair that is gone out of the queue; labels that it has stay."""
    with store.writing(path) as connection:
        connection.execute(
            "DELETE FROM queue WHERE design = ? AND position = ?", (design.id, gone.position)
        )
