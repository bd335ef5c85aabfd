"""A file of labels as SQLite: opened, checked, its errors said in words. Knows no judgement.

One file serves several people at once: a write-ahead log, a wait for each other's turn, and each
change on the disk before it is called done. SQLite's own documentation: WAL wants a local disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import quote

from mmc4viz.model import Mmc4vizError

APPLICATION: Final = 0x6D6D6334  # "mmc4", in the file's header
VERSION: Final = 1
PATIENCE: Final = 5.0  # seconds to wait for another one's turn

_TABLES: Final = """
CREATE TABLE judgements (
  id INTEGER PRIMARY KEY, shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL,
  sentence INTEGER NOT NULL, person TEXT NOT NULL, verdict TEXT NOT NULL, time TEXT NOT NULL,
  version TEXT NOT NULL, clip_model TEXT NOT NULL, score REAL, undone TEXT
);
CREATE INDEX judged_pairs ON judgements (shard, key, image, sentence);
CREATE TABLE designs (
  id INTEGER PRIMARY KEY, clip_model TEXT NOT NULL, min_kb INTEGER NOT NULL,
  assignment TEXT NOT NULL, edges TEXT NOT NULL, made TEXT NOT NULL,
  UNIQUE (clip_model, min_kb, assignment)
);
CREATE TABLE stages (
  design INTEGER NOT NULL, stage INTEGER NOT NULL, time TEXT NOT NULL, threshold REAL,
  population TEXT NOT NULL, drawn TEXT NOT NULL, PRIMARY KEY (design, stage)
);
CREATE TABLE queue (
  design INTEGER NOT NULL, position INTEGER NOT NULL, stage INTEGER NOT NULL, shard TEXT NOT NULL,
  key TEXT NOT NULL, image INTEGER NOT NULL, sentence INTEGER NOT NULL, score REAL NOT NULL,
  twice INTEGER NOT NULL, PRIMARY KEY (design, position),
  UNIQUE (design, shard, key, image, sentence)
);
CREATE TABLE claims (
  shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL, sentence INTEGER NOT NULL,
  person TEXT NOT NULL, until REAL NOT NULL, PRIMARY KEY (shard, key, image, sentence)
);
"""
_NAMES: Final = {"judgements", "designs", "stages", "queue", "claims"}


class LabelsError(Mmc4vizError):
    """A file of labels, or labels, that cannot be used."""


def create(path: str) -> None:
    """Make a file of labels, unless it is there; check it if it is.

    Raises
    ------
    LabelsError
        When it cannot be made or used.
    """
    with _said(path), closing(_connect(path, "rwc")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if not _known(connection, path):
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            if not _known(connection, path):
                _fill(connection)
        connection.execute("COMMIT")


def _fill(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def check(path: str) -> None:
    """Look the whole file over, as far as SQLite does so quickly; raises a LabelsError."""
    with reading(path) as connection:
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise LabelsError(f"{path}: is damaged ({' '.join(found.split())[:100]}); {_RESCUE}")


@contextmanager
def writing(path: str) -> Iterator[sqlite3.Connection]:
    """Open the file for one change, which is on the disk when the block ends without an error."""
    with _said(path), closing(_connect(path, "rw")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if not _known(connection, path):
            raise LabelsError(f"{path}: is empty; start anew with another file")
        yield connection
        connection.execute("COMMIT")


@contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """Open the file to read one state of it; also from a disk that nothing can be written on."""
    with _said(path):
        connection = _readable(path)
        with closing(connection):
            if not _known(connection, path):
                raise LabelsError(f"{path}: is empty; it holds no labels")
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
    """Open a file; changes wait for the disk."""
    if not mode.startswith("rwc") and not os.path.isfile(path):
        raise LabelsError(f"{path}: no such file of labels")
    name = f"file:{quote(os.path.abspath(path))}?mode={mode}"
    connection = sqlite3.connect(name, timeout=PATIENCE, isolation_level=None, uri=True)
    connection.execute("PRAGMA synchronous = FULL")
    connection.row_factory = sqlite3.Row
    return connection


def _known(connection: sqlite3.Connection, path: str) -> bool:
    """Whether it is a file of labels; False for an empty one, an error for any other."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return False
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise LabelsError(f"{path}: is an SQLite file of another kind; name another file")
    if connection.execute("PRAGMA user_version").fetchone()[0] > VERSION:
        raise LabelsError(f"{path}: was made by a newer mmc4viz; bring this one up to date")
    if not tables >= _NAMES:
        raise LabelsError(f"{path}: is damaged (a table is missing); {_RESCUE}")
    return True


_RESCUE: Final = "go back to a copy, or to an export as CSV"


@contextmanager
def _said(path: str) -> Iterator[None]:
    """Say SQLite's errors in words."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LabelsError(f"{path}: {_words(error)}") from None
    except (OSError, ValueError) as error:
        raise LabelsError(f"{path}: cannot be opened: {error}") from None


def _words(error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {
        sqlite3.SQLITE_BUSY: "is locked by another program; close it there and try again",
        sqlite3.SQLITE_LOCKED: "is locked by another program; close it there and try again",
        sqlite3.SQLITE_READONLY: "is read-only: nothing can be written to it; copy it elsewhere",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: is the folder there, and can it be written to?",
        sqlite3.SQLITE_NOTADB: "is no file of labels; name another one",
        sqlite3.SQLITE_CORRUPT: f"is damaged; {_RESCUE}",
        sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
        sqlite3.SQLITE_IOERR: "cannot be read or written: the disk does not answer",
    }.get(code, f"cannot be used: {' '.join(str(error).split())}")
