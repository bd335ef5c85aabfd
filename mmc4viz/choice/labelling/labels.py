"""Judgements of pairs: who said when whether a sentence describes an image. Nothing is deleted.

Kept in one SQLite file (`store`), each on the disk at once. What was undone stays as history. Draws
no sample (`queue`) and estimates nothing (`by_precision`).
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from mmc4viz.choice.labelling import store
from mmc4viz.choice.labelling.store import LabelsError

LONGEST_NAME: Final = 100  # characters of a person's name


class Answer(StrEnum):
    """What a person said of a pair. A skipped pair is left to others, and may stay unlabelled."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"
    SKIP = "skip"


RULE: Final = {
    Answer.YES: "the sentence says something about what this very image shows; it need not say all "
    "of it, nor only that.",
    Answer.NO: "it would fit as well beside another image of such a page, or beside none: what is "
    "general, what only names the topic, what the image contradicts.",
    Answer.UNSURE: "you cannot tell, as of a name that may or may not be that of what is shown. "
    "The pair then does not count.",
    Answer.SKIP: "the image cannot be seen. The pair does not come back to you, unless you undo "
    "it; others may see it. Without any answer it does not count: those of like score stand for "
    "it.",
}
"""When a sentence describes an image: what people who label agree on, for all labels of a file."""


@dataclass(frozen=True, order=True, slots=True)
class PairId:
    """A pair by what outlives a new index, and another place of the shards.

    Attributes
    ----------
    shard, key : str
        What the document is called; for people, and no part of what tells pairs apart.
    image, sentence : int
        The document's own indices.
    content : str
        Digest of the shard's content (`mmc4viz.choice.labelling.documents.Documents`).
    number : int
        Of the document in its shard; -1 where only its name is known, which `content` then is.
    """

    shard: str = field(compare=False)
    key: str = field(compare=False)
    image: int
    sentence: int
    content: str = ""
    number: int = -1

    def __post_init__(self) -> None:
        if self.number < 0:
            object.__setattr__(self, "content", f"{self.shard}/{self.key}")

    @classmethod
    def of(cls, row: sqlite3.Row) -> PairId:
        """Read it from a row of a table."""
        return cls(*(row[name] for name in PAIR))

    @property
    def values(self) -> tuple[str | int, ...]:
        """The values of the columns `PAIR`."""
        return tuple(getattr(self, name) for name in PAIR)


PAIR: Final = ("shard", "key", "image", "sentence", "content", "number")
"""The columns of a pair, in every table that has one."""
SAME: Final = "{0}.content = {1}.content AND {0}.number = {1}.number AND " \
    "{0}.image = {1}.image AND {0}.sentence = {1}.sentence"  # fmt: skip
_IS: Final = "content = ? AND number = ? AND image = ? AND sentence = ?"


@dataclass(frozen=True)
class Judgement:
    """One answer of one person.

    Attributes
    ----------
    pair : PairId
    person : str
    answer : Answer
    time : str
        In ISO 8601, in UTC.
    version : str
        Of mmc4viz.
    clip_model : str
    score : float or None
        The pair's similarity then, under that model; the person did not see it.
    undone : str or None
        When it was taken back, if it was.
    """

    pair: PairId
    person: str
    answer: Answer
    time: str
    version: str
    clip_model: str
    score: float | None
    undone: str | None = None


@dataclass(frozen=True)
class Label:
    """What people together say of a pair.

    Attributes
    ----------
    correct : bool or None
        What most say; when as many say yes as no, whoever was first. None when nobody is sure.
    people : int
        How many were sure.
    agreed : bool
        Whether all of them said the same.
    """

    correct: bool | None
    people: int
    agreed: bool


def now() -> str:
    """Return the time as it is stored, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def own_version() -> str:
    """Return the installed version of mmc4viz."""
    try:
        return version("mmc4viz")
    except PackageNotFoundError:
        return "unknown"


def checked_name(person: str) -> str:
    """Return a person's name as it is stored; raises a LabelsError for one that is none."""
    name = " ".join(person.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise LabelsError(f"a name has 1 to {LONGEST_NAME} printable characters")
    return name


def add(path: str, judgement: Judgement) -> None:
    """Write a judgement; it is on the disk when this returns.

    A person's earlier answer about the pair becomes history.

    Raises
    ------
    LabelsError
        When the file cannot be written.
    """
    with store.writing(path) as connection:
        pair = judgement.pair
        which = (judgement.person, pair.content, pair.number, pair.image, pair.sentence)
        _take_back(connection, f"person = ? AND {_IS}", which, judgement.time)
        insert(connection, [judgement])
        connection.execute(f"DELETE FROM claims WHERE person = ? AND {_IS}", which)


def insert(connection: sqlite3.Connection, judgements: Iterable[Judgement]) -> None:
    """Write judgements as they are, within a change that the caller has begun."""
    connection.executemany(
        f"INSERT INTO judgements ({', '.join(PAIR)}, person, verdict, time, version, clip_model, "
        "score, undone) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                *j.pair.values,
                j.person,
                str(j.answer),
                j.time,
                j.version,
                j.clip_model,
                j.score,
                j.undone,
            )
            for j in judgements
        ),
    )


def undo(path: str, person: str, design: int | None = None) -> PairId | None:
    """Take back a person's last answer that stands.

    It stays in the file as history.

    Parameters
    ----------
    path : str
    person : str
    design : int, optional
        Of the sample whose pairs alone are meant.

    Returns
    -------
    PairId or None
        Its pair; None without any.
    """
    with store.writing(path) as connection:
        last = connection.execute(
            "SELECT * FROM judgements j WHERE person = :person AND undone IS NULL AND "
            "(:design IS NULL OR EXISTS (SELECT 1 FROM queue q WHERE q.design = :design AND "
            f"{SAME.format('q', 'j')})) ORDER BY id DESC LIMIT 1",
            {"person": person, "design": design},
        ).fetchone()
        if last is None:
            return None
        _take_back(connection, "id = ?", (last["id"],), now())
        return PairId.of(last)


def _take_back(
    connection: sqlite3.Connection, which: str, values: Sequence[object], time: str
) -> None:
    connection.execute(
        f"UPDATE judgements SET undone = ? WHERE undone IS NULL AND {which}", (time, *values)
    )


def read(path: str, *, history: bool = False) -> list[Judgement]:
    """Return the judgements that stand, in the order in which they came.

    Parameters
    ----------
    path : str
    history : bool
        Whether to return those that were taken back, too.

    Raises
    ------
    LabelsError
        When the file cannot be read.
    """
    with store.reading(path) as connection:
        return select(connection, path, history=history)


def select(connection: sqlite3.Connection, path: str, *, history: bool = False) -> list[Judgement]:
    """Do what `read` does, of a file that the caller has opened."""
    which = "" if history else "WHERE undone IS NULL"
    rows = connection.execute(f"SELECT * FROM judgements {which} ORDER BY id")
    return [_judgement(path, row) for row in rows]


def _judgement(path: str, row: sqlite3.Row) -> Judgement:
    try:
        answer = Answer(row["verdict"])
    except ValueError:
        raise LabelsError(f"{path}: is damaged: judgement {row['id']} is no answer") from None
    return Judgement(
        PairId.of(row), row["person"], answer, row["time"], row["version"], row["clip_model"],
        row["score"], row["undone"],
    )  # fmt: skip


def labels_of(judgements: Iterable[Judgement]) -> dict[PairId, Label]:
    """Return what people together say of each pair that somebody has answered, skipping aside.

    Examples
    --------
    >>> pair = PairId("0.tar", "a", 0, 3)
    >>> said = [Judgement(pair, who, Answer(a), "", "", "", None) for who, a in
    ...         (("Ada", "no"), ("Bo", "yes"), ("Cy", "unsure"))]
    >>> labels_of(said)[pair]
    Label(correct=False, people=2, agreed=False)
    """
    said: dict[PairId, dict[str, Answer]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.answer is not Answer.SKIP and judgement.undone is None:
            said[judgement.pair][judgement.person] = judgement.answer
    return {pair: _together(list(answers.values())) for pair, answers in said.items()}


def _together(answers: Sequence[Answer]) -> Label:
    sure = [answer is Answer.YES for answer in answers if answer is not Answer.UNSURE]
    if not sure:
        return Label(None, 0, True)
    right = sum(sure)
    correct = sure[0] if 2 * right == len(sure) else 2 * right > len(sure)
    return Label(correct, len(sure), right in (0, len(sure)))
