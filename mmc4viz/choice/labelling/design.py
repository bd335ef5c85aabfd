"""The strata of one setting, fixed in a file of labels before its first label. Draws nothing."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.choice.labelling import labels, store, strata
from mmc4viz.choice.labelling.documents import Documents
from mmc4viz.choice.labelling.population import Population
from mmc4viz.choice.labelling.store import LabelsError
from mmc4viz.corpus.scales import Scale
from mmc4viz.model import LoaderConfig


@dataclass(frozen=True)
class Design:
    """The strata of one corpus and setting, as they stand in a file of labels.

    Attributes
    ----------
    id : int
    corpus : str
        Its digest (`mmc4viz.choice.labelling.documents.Documents`).
    clip_model, min_kb, assignment
        What of the setting matched pairs depend on.
    edges : tuple of float
        The strata's borders, ascending: the thresholds in question.
    """

    id: int
    corpus: str
    clip_model: str
    min_kb: int
    assignment: str
    edges: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What it is the sample of."""
        return self.corpus, self.clip_model, self.min_kb, self.assignment

    @property
    def borders(self) -> Floats:
        """The same as an array, shape (B,)."""
        return np.array(self.edges, np.float64)

    def __str__(self) -> str:
        return f"{self.clip_model} (min_kb {self.min_kb}, {self.assignment})"


def designs(path: str) -> list[Design]:
    """Return the samples that a file holds, of every corpus."""
    with store.reading(path) as connection:
        rows = connection.execute("SELECT * FROM designs ORDER BY id").fetchall()
    return [_design(path, row) for row in rows]


def _design(path: str, row: sqlite3.Row) -> Design:
    try:
        edges = tuple(float(edge) for edge in json.loads(row["edges"]))
    except (ValueError, TypeError):
        edges = (1.0, 0.0)
    if not strata.whole_borders(edges):
        raise LabelsError(f"{path}: is damaged: the strata of sample {row['id']} make no sense")
    return Design(
        row["id"], row["corpus"], row["clip_model"], row["min_kb"], row["assignment"], edges
    )


def design_for(path: str, config: LoaderConfig, documents: Documents) -> Design | None:
    """Return the sample of a corpus and setting, None where none was begun."""
    _adopt(path, documents)
    key = documents.digest, config.clip_model, config.min_kb, config.assignment
    return next((one for one in designs(path) if one.key == key), None)


def _adopt(path: str, documents: Documents) -> None:
    """Take labels that are known by their documents' names alone for this corpus's.

    Those of files of mmc4viz's first versions, and of CSV without more. Only if this corpus has
    more than half of these documents, each by a name that no other of its documents has.
    """
    names = "SELECT shard, key FROM {} WHERE number < 0"
    with store.reading(path) as connection:
        both = " UNION ".join(map(names.format, ("judgements", "queue")))
        wanted = {(row["shard"], row["key"]) for row in connection.execute(both)}
    found = documents.named(wanted) if wanted else {}
    if 2 * len(found) <= len(wanted):
        return
    with store.writing(path) as connection:
        for table in ("judgements", "queue"):
            connection.executemany(
                f"UPDATE OR IGNORE {table} SET content = ?, number = ? "
                "WHERE number < 0 AND shard = ? AND key = ?",
                [(*place, *name) for name, place in found.items()],
            )
        connection.execute(
            "UPDATE OR IGNORE designs SET corpus = ? WHERE corpus = ''", (documents.digest,)
        )


def begin(
    path: str,
    config: LoaderConfig,
    population: Population,
    scale: Scale,
    between: tuple[float, float] | None = None,
) -> Design:
    """Begin the sample of a corpus and setting, or return the one that was begun.

    Parameters
    ----------
    path : str
    config : LoaderConfig
        Its CLIP model, size limit and assignment name the sample.
    population : Population
        Its matched pairs, of the whole corpus.
    scale : Scale
        On whose grid thresholds lie.
    between : (float, float), optional
        The range of thresholds in question; that which leaves 5 to 95 % of the pairs, if not given.

    Raises
    ------
    LabelsError
        When there are too few pairs, or the file cannot be written.
    """
    scores = population.pairs.score
    low, high = between or strata.usual_range(scores)
    edges = strata.borders(scores, low, high, scale.step, scale.digits)
    if not len(edges):
        raise LabelsError(
            f"{len(scores):,} matched pairs are too few to draw labels from between {low:g} and "
            f"{high:g}: {strata.FEWEST} at least must reach the range's top"
        )
    corpus = population.documents.digest
    names = corpus, config.clip_model, config.min_kb, config.assignment
    with store.writing(path) as connection:
        connection.execute(
            "INSERT OR IGNORE INTO designs (corpus, clip_model, min_kb, assignment, edges, made) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*names, json.dumps(edges.tolist()), labels.now()),
        )
        row = connection.execute(
            "SELECT * FROM designs WHERE corpus = ? AND clip_model = ? AND min_kb = ? "
            "AND assignment = ?",
            names,
        ).fetchone()
    return _design(path, row)
