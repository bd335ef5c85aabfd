"""Labels of pairs that people chose by looking at them.

Such pairs are neither drawn at random nor labeled blind: whoever chose one saw its score. Their
labels are stored in a table of their own in the label file, which no estimate reads, so they never
count in precision, recall or agreement, not even if a pair is drawn later: it is then labeled
again.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.store import PAIR, Answer, Judgement, LabelsError, PairId

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS chosen (
  shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL, sentence INTEGER NOT NULL,
  content TEXT NOT NULL, number INTEGER NOT NULL, person TEXT NOT NULL, verdict TEXT NOT NULL,
  time TEXT NOT NULL, version TEXT NOT NULL, clip_model TEXT NOT NULL, score REAL,
  UNIQUE (person, content, number, image, sentence)
)
"""


def add(path: str, judgement: Judgement) -> None:
    """Store an answer to a chosen pair instead of the annotator's earlier answer to it.

    Raises
    ------
    LabelsError
        If the file cannot be written.
    """
    j = judgement
    values = (
        *j.pair.values, j.person, str(j.answer), j.time, j.version, j.clip_model, j.score,
    )  # fmt: skip
    with store.writing(path) as connection:
        connection.execute(_TABLE)
        connection.execute(
            f"INSERT OR REPLACE INTO chosen ({', '.join(PAIR)}, person, verdict, time, version, "
            f"clip_model, score) VALUES ({', '.join('?' * len(values))})",
            values,
        )


def read(path: str) -> list[Judgement]:
    """Return the answers in chronological order; none from a file without any.

    Raises
    ------
    LabelsError
        If the file cannot be read.
    """
    with store.reading(path) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'chosen'").fetchone()
        rows = connection.execute("SELECT * FROM chosen ORDER BY time") if known else ()
        return [_judgement(path, row) for row in rows]


def _judgement(path: str, row: sqlite3.Row) -> Judgement:
    try:
        answer = Answer(row["verdict"])
    except ValueError:
        raise LabelsError(f"{path} is damaged: invalid answer to a chosen pair") from None
    return Judgement(
        PairId.of(row), row["person"], answer, row["time"], row["version"], row["clip_model"],
        row["score"],
    )  # fmt: skip
