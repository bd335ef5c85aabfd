"""The SQLite file of labels.

Several annotators can use one file at once: it has a write-ahead log, and every change is synced to
disk before the call returns. A write-ahead log needs a local disk, so network file systems use a
rollback journal. Undone answers remain as history.

Pairs are identified by shard content, not by paths, shard order, tokenizer or scores, so labels
remain valid after reindexing, copying or moving a corpus, and when shards are added.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, cached_property
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Columns
from mmc4viz.sweep.pairs import place_of
from mmc4viz.types import Mmc4vizError

APPLICATION: Final = 0x6D6D6334  # "mmc4", in the file's header
VERSION: Final = 2
PATIENCE: Final = 5.0  # seconds to wait for a lock

_TABLES: Final = """
CREATE TABLE judgements (
  id INTEGER PRIMARY KEY, content TEXT NOT NULL DEFAULT '', number INTEGER NOT NULL DEFAULT -1,
  shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL,
  sentence INTEGER NOT NULL, person TEXT NOT NULL, verdict TEXT NOT NULL, time TEXT NOT NULL,
  version TEXT NOT NULL, clip_model TEXT NOT NULL, score REAL, undone TEXT
);
CREATE INDEX judged_pairs ON judgements (content, number, image, sentence);
CREATE TABLE designs (
  id INTEGER PRIMARY KEY, corpus TEXT NOT NULL DEFAULT '', clip_model TEXT NOT NULL,
  min_kb INTEGER NOT NULL, assignment TEXT NOT NULL, edges TEXT NOT NULL, made TEXT NOT NULL,
  UNIQUE (corpus, clip_model, min_kb, assignment)
);
CREATE TABLE stages (
  design INTEGER NOT NULL, stage INTEGER NOT NULL, time TEXT NOT NULL, threshold REAL,
  population TEXT NOT NULL, drawn TEXT NOT NULL, PRIMARY KEY (design, stage)
);
CREATE TABLE queue (
  design INTEGER NOT NULL, position INTEGER NOT NULL, stage INTEGER NOT NULL,
  content TEXT NOT NULL DEFAULT '', number INTEGER NOT NULL DEFAULT -1, shard TEXT NOT NULL,
  key TEXT NOT NULL, image INTEGER NOT NULL, sentence INTEGER NOT NULL, score REAL NOT NULL,
  twice INTEGER NOT NULL, PRIMARY KEY (design, position),
  UNIQUE (design, content, number, image, sentence)
);
CREATE TABLE claims (
  content TEXT NOT NULL DEFAULT '', number INTEGER NOT NULL DEFAULT -1,
  shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL, sentence INTEGER NOT NULL,
  person TEXT NOT NULL, until REAL NOT NULL, PRIMARY KEY (content, number, image, sentence)
);
"""
_COLUMNS: Final = (
    "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
)
_NEW: Final = {"content", "number", "corpus"}  # columns that files of version 1 lack
_MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = re.compile(
    r"(nfs|cifs|smb|9p|afs|ceph|lustre|gpfs|beegfs|gluster|ocfs2|gfs2|fuse\.)"
)
_MIN_FREE: Final = 1 << 16  # a disk with fewer free bytes is full


class LabelsError(Mmc4vizError):
    """Invalid labels or an unusable label file."""


def create(path: str) -> None:
    """Create a label file, or check an existing one.

    Raises
    ------
    LabelsError
        If it cannot be created or used.
    """
    with _errors_in_words(path), closing(_connect(path, "rwc")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        known = _known(connection, path)
        connection.execute("ROLLBACK")
        _choose_journal(connection, path)
        if not known:
            connection.execute("BEGIN IMMEDIATE")
            if not _known(connection, path):
                _fill(connection)
            connection.execute("COMMIT")


def _choose_journal(connection: sqlite3.Connection, path: str) -> None:
    """Choose a write-ahead log on local disks; a rollback journal on network file systems."""
    wanted = "delete" if _is_network_disk(path) else "wal"
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == wanted:
        return
    try:
        connection.execute(f"PRAGMA journal_mode = {wanted}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        with suppress(sqlite3.OperationalError):  # in use by another process: unchanged
            connection.execute("PRAGMA journal_mode = delete")


def _is_network_disk(path: str) -> bool:
    """Whether a file is on a network file system, as far as the mount table says."""
    try:
        mounts = [line.split(" ") for line in _MOUNTS.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return False
    here = os.path.realpath(path)
    kinds = {}
    for _, place, kind, *_ in mounts:
        place = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place)
        if os.path.join(here, "").startswith(os.path.join(place, "")):
            kinds[place] = kind
    return bool(kinds) and _NETWORK.match(kinds[max(kinds, key=len)]) is not None


def _fill(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def check(path: str) -> None:
    """Run SQLite's quick check; raise a LabelsError if the file is damaged."""
    with reading(path) as connection:
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise LabelsError(f"{path} is damaged ({' '.join(found.split())[:100]}); {_RESCUE}")


@contextmanager
def writing(path: str) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction, on disk once the block ends without an error."""
    with _errors_in_words(path), closing(_connect(path, "rw")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if not _known(connection, path):
            raise LabelsError(f"{path} is empty; use another file")
        if _version(connection) < VERSION:
            _upgrade(connection)
        yield connection
        connection.execute("COMMIT")


@contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """Open the file to read one consistent state; also works on read-only disks."""
    with _errors_in_words(path):
        connection = _readable(path)
        with closing(connection):
            if not _known(connection, path):
                raise LabelsError(f"{path} is empty; use a file with labels")
            if _version(connection) < VERSION:
                with writing(path):  # brings it up to date
                    pass
            connection.execute("BEGIN")
            yield connection


def _readable(path: str) -> sqlite3.Connection:
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        return _connect(path, "ro&immutable=1")
    return connection


def _connect(path: str, mode: str) -> sqlite3.Connection:
    """Open a file with synchronous writes."""
    if not mode.startswith("rwc") and not os.path.isfile(path):
        raise LabelsError(f"{path}: no such label file")
    name = f"file:{quote(os.path.abspath(path))}?mode={mode}"
    connection = sqlite3.connect(name, timeout=PATIENCE, isolation_level=None, uri=True)
    connection.execute("PRAGMA synchronous = FULL")
    connection.row_factory = sqlite3.Row
    return connection


def _known(connection: sqlite3.Connection, path: str) -> bool:
    """Whether it is a label file: False if empty, an error if anything else."""
    found = _columns(connection)
    if not found:
        return False
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise LabelsError(f"{path} is an SQLite file but not a label file; use another file")
    if _version(connection) > VERSION:
        raise LabelsError(f"{path} was written by a newer mmc4viz; upgrade mmc4viz")
    new = _NEW if _version(connection) < VERSION else set[str]()
    for table, wanted in _layout().items():
        if table not in found:
            raise LabelsError(f"{path} is damaged (missing table); {_RESCUE}")
        if lacking := min(wanted - new - found[table], default=None):
            raise LabelsError(f"{path} is damaged (no column {lacking} in {table}); {_RESCUE}")
    return True


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(_COLUMNS):
        found.setdefault(table, set()).add(column)
    return found


@cache
def _layout() -> dict[str, set[str]]:
    """Return the columns of each table of a label file."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _fill(connection)
        return _columns(connection)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Add the columns that version 1 lacks; its documents remain identified by name."""
    connection.execute("DROP INDEX IF EXISTS judged_pairs")
    for table in _layout():
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    _fill(connection)
    for table, wanted in _layout().items():
        names = ", ".join(sorted(wanted - _NEW))
        more = ", content" if "content" in wanted else ""
        name = ", shard || '/' || key" if more else ""
        connection.execute(
            f"INSERT INTO {table} ({names}{more}) SELECT {names}{name} FROM old_{table}"
        )
        connection.execute(f"DROP TABLE old_{table}")


_RESCUE: Final = "restore a backup or import a CSV export"


@contextmanager
def _errors_in_words(path: str) -> Iterator[None]:
    """Turn SQLite's errors into LabelsErrors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LabelsError(f"{path} {_words(error, path)}") from None
    except UnicodeDecodeError:
        raise LabelsError(f"{path} is damaged; {_RESCUE}") from None
    except (OSError, ValueError) as error:
        raise LabelsError(f"{path} cannot be opened: {error}") from None


def _words(error: sqlite3.DatabaseError, path: str) -> str:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if extended == sqlite3.SQLITE_IOERR_SHORT_READ:  # the file is truncated
        code = sqlite3.SQLITE_CORRUPT
    elif code == sqlite3.SQLITE_IOERR and _is_full(path):  # as SQLite reports for its shared memory
        code = sqlite3.SQLITE_FULL
    return {
        sqlite3.SQLITE_BUSY: "is locked by another program; close it there and retry",
        sqlite3.SQLITE_LOCKED: "is locked by another program; close it there and retry",
        sqlite3.SQLITE_READONLY: "is read-only; copy it to a writable folder",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that the folder exists and is writable",
        sqlite3.SQLITE_NOTADB: "is not a label file; use another file",
        sqlite3.SQLITE_CORRUPT: f"is damaged; {_RESCUE}",
        sqlite3.SQLITE_FULL: "cannot be written: the disk is full; free some space and retry",
        sqlite3.SQLITE_IOERR: "cannot be read or written: disk I/O error",
    }.get(code, f"cannot be used: {' '.join(str(error).split())}")


def _is_full(path: str) -> bool:
    try:
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free < _MIN_FREE
    except OSError:
        return False


LONGEST_NAME: Final = 100  # characters of an annotator's name


class Answer(StrEnum):
    """An annotator's answer. A skipped pair is left to others and may remain unlabeled."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"
    SKIP = "skip"


RULE: Final = {
    Answer.YES: "the sentence says something about what this image shows. It may omit details or "
    "mention other things.",
    Answer.NO: "the sentence would fit any image on the page, only names the topic, or contradicts "
    "this image.",
    Answer.UNSURE: "you can't tell (e.g. an unfamiliar name). Not counted.",
    Answer.SKIP: "the image is not visible. You will not see the pair again unless you undo; "
    "others may. Without any answer it is not counted: similar-scoring pairs are used instead.",
}
"""Annotation guidelines, by answer."""


@dataclass(frozen=True, order=True, slots=True)
class PairId:
    """A pair's identity, stable under reindexing and moving shards.

    Attributes
    ----------
    shard, key : str
        The document's name, for display only: not compared.
    image, sentence : int
        Indices within the document.
    content : str
        Digest of the shard's content (`mmc4viz.thresholds.labels.store.Documents`).
    number : int
        The document's position in its shard; -1 if only its name is known, which is then
        `content`.
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
        """Read the identity from a table row."""
        return cls(*(row[name] for name in PAIR))

    @property
    def values(self) -> tuple[str | int, ...]:
        """Values of the columns `PAIR`."""
        return tuple(getattr(self, name) for name in PAIR)


PAIR: Final = ("shard", "key", "image", "sentence", "content", "number")
"""Columns of a pair in every table that has one."""
SAME: Final = "{0}.content = {1}.content AND {0}.number = {1}.number AND " \
    "{0}.image = {1}.image AND {0}.sentence = {1}.sentence"  # fmt: skip
_IS: Final = "content = ? AND number = ? AND image = ? AND sentence = ?"


@dataclass(frozen=True)
class Judgement:
    """One answer by one annotator.

    Attributes
    ----------
    pair : PairId
    person : str
    answer : Answer
    time : str
        ISO 8601, UTC.
    version : str
        The version of mmc4viz.
    clip_model : str
    score : float or None
        The pair's score under that model at the time, hidden from the annotator.
    undone : str or None
        When the answer was undone, if it was.
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
    """The label of a pair, from the answers of all annotators.

    Attributes
    ----------
    correct : bool or None
        The majority answer; the first answer in a tie; None if all were unsure.
    people : int
        Number of annotators who were sure.
    agreed : bool
        Whether they all gave the same answer.
    """

    correct: bool | None
    people: int
    agreed: bool


def now() -> str:
    """Return the current time as stored, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def own_version() -> str:
    """Return the installed version of mmc4viz."""
    try:
        return version("mmc4viz")
    except PackageNotFoundError:
        return "unknown"


def checked_name(person: str) -> str:
    """Normalize an annotator's name; raise a LabelsError if it is invalid."""
    name = " ".join(person.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise LabelsError(f"enter a name of at most {LONGEST_NAME} printable characters")
    return name


def add(path: str, judgement: Judgement) -> None:
    """Write an answer to disk; the annotator's earlier answer to the pair becomes history.

    Raises
    ------
    LabelsError
        If the file cannot be written.
    """
    with writing(path) as connection:
        pair = judgement.pair
        which = (judgement.person, pair.content, pair.number, pair.image, pair.sentence)
        _mark_undone(connection, f"person = ? AND {_IS}", which, judgement.time)
        insert(connection, [judgement])
        connection.execute(f"DELETE FROM claims WHERE person = ? AND {_IS}", which)


def insert(connection: sqlite3.Connection, judgements: Iterable[Judgement]) -> None:
    """Insert judgements unchanged, within the caller's transaction."""
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
    """Undo an annotator's last answer, which remains in the file as history.

    Parameters
    ----------
    path : str
    person : str
    design : int, optional
        Only consider pairs of this sample.

    Returns
    -------
    PairId or None
        The pair; None if there was no answer to undo.
    """
    with writing(path) as connection:
        last = connection.execute(
            "SELECT * FROM judgements j WHERE person = :person AND undone IS NULL AND "
            "(:design IS NULL OR EXISTS (SELECT 1 FROM queue q WHERE q.design = :design AND "
            f"{SAME.format('q', 'j')})) ORDER BY id DESC LIMIT 1",
            {"person": person, "design": design},
        ).fetchone()
        if last is None:
            return None
        _mark_undone(connection, "id = ?", (last["id"],), now())
        return PairId.of(last)


def _mark_undone(
    connection: sqlite3.Connection, which: str, values: Sequence[object], time: str
) -> None:
    connection.execute(
        f"UPDATE judgements SET undone = ? WHERE undone IS NULL AND {which}", (time, *values)
    )


def read(path: str, *, history: bool = False) -> list[Judgement]:
    """Return the judgements in chronological order, without undone ones.

    Parameters
    ----------
    path : str
    history : bool
        Whether to include undone ones.

    Raises
    ------
    LabelsError
        If the file cannot be read.
    """
    with reading(path) as connection:
        return select(connection, path, history=history)


def select(connection: sqlite3.Connection, path: str, *, history: bool = False) -> list[Judgement]:
    """Do what `read` does on an open connection."""
    which = "" if history else "WHERE undone IS NULL"
    rows = connection.execute(f"SELECT * FROM judgements {which} ORDER BY id")
    return [_judgement(path, row) for row in rows]


def _judgement(path: str, row: sqlite3.Row) -> Judgement:
    try:
        answer = Answer(row["verdict"])
    except ValueError:
        raise LabelsError(
            f"{path} is damaged: invalid answer in row {row['id']}; {_RESCUE}"
        ) from None
    return Judgement(
        PairId.of(row), row["person"], answer, row["time"], row["version"], row["clip_model"],
        row["score"], row["undone"],
    )  # fmt: skip


def labels_of(judgements: Iterable[Judgement]) -> dict[PairId, Label]:
    """Return the label of every pair with an answer other than skip.

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
    return {pair: _combined(list(answers.values())) for pair, answers in said.items()}


def _combined(answers: Sequence[Answer]) -> Label:
    sure = [answer is Answer.YES for answer in answers if answer is not Answer.UNSURE]
    if not sure:
        return Label(None, 0, True)
    right = sum(sure)
    correct = sure[0] if 2 * right == len(sure) else 2 * right > len(sure)
    return Label(correct, len(sure), right in (0, len(sure)))


@dataclass(frozen=True)
class Documents:
    """All documents of a corpus.

    Attributes
    ----------
    columns : sequence of Columns
        One per shard; whole shards, not samples.
    """

    columns: Sequence[Columns]

    @cached_property
    def starts(self) -> Ints:
        """Position of each shard's first document in the corpus, shape (shards + 1,)."""
        return np.cumsum([0, *map(len, self.columns)]).astype(np.int64)

    @cached_property
    def contents(self) -> list[str]:
        """A digest of each shard's content; repeats get a number appended."""
        seen, found = Counter[str](), list[str]()
        for part in self.columns:
            digest = _content(part)
            found.append(f"{digest}+{seen[digest]}" if seen[digest] else digest)
            seen[digest] += 1
        return found

    @cached_property
    def digest(self) -> str:
        """A digest that identifies this corpus."""
        return blake2b("\n".join(sorted(self.contents)).encode(), digest_size=16).hexdigest()

    @cached_property
    def _parts(self) -> dict[str, int]:
        return {content: part for part, content in enumerate(self.contents)}

    def holds(self, content: str) -> bool:
        """Whether a shard has this content."""
        return content in self._parts

    def find(self, content: str, number: int) -> int | None:
        """Return a document's position in the corpus; None if it is not in it."""
        part = self._parts.get(content)
        if part is None or not 0 <= number < len(self.columns[part]):
            return None
        return int(self.starts[part]) + number

    def place(self, document: int) -> tuple[int, int]:
        """Return a document's shard and its row there."""
        return place_of(self.starts, document)

    def named(self, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, int]]:
        """Find documents by key and by shard name or base name.

        Returns
        -------
        dict of (str, str) to (str, int)
            Content and number, for unambiguous names.
        """
        keys: dict[str, set[str]] = {}
        for shard, key in names:
            keys.setdefault(shard, set()).add(key)
        found: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for part, content in zip(self.columns, self.contents, strict=True):
            for shard in {part.shard.name, part.shard.base} & keys.keys():
                column = part.batch.column("key")
                hits = pc.is_in(column, value_set=pa.array(sorted(keys[shard]), pa.string()))
                for row in np.flatnonzero(hits.to_numpy(zero_copy_only=False)).tolist():
                    found.setdefault((shard, column[row].as_py()), []).append((content, row))
        return {name: places[0] for name, places in found.items() if len(places) == 1}


def hashed(texts: pa.Array) -> NDArray[np.uint64]:
    """Return a deterministic 64-bit hash of each text."""
    from pandas.util import hash_array

    return hash_array(texts.to_numpy(zero_copy_only=False), categorize=False)


def _content(part: Columns) -> str:
    """Return a digest of a shard's documents: keys, offsets, sizes, image counts, stored matches.

    None of these depends on the CLIP model, the tokenizer or the image check.
    """
    digest = blake2b(hashed(part.batch.column("key")).tobytes(), digest_size=12)
    numbers = [part.numbers("offset"), part.numbers("size"), part.n_images]
    for values in (*numbers, part.image("stored_sentence")):
        digest.update(np.ascontiguousarray(values, np.int64).tobytes())
    score = part.image("stored_score")
    digest.update(np.where(np.isnan(score), np.nan, score).tobytes())
    return digest.hexdigest()
