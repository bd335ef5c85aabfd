"""A file of labels as SQLite: opened, checked, its errors said in words. Knows no judgement.

One file serves several people at once: a write-ahead log, a wait for each other's turn, and each
change on the disk before it is called done. The log wants a disk of this machine (SQLite's own
documentation): on a network's, and where it fails, changes go through a rollback journal.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mmc4viz.model import Mmc4vizError

APPLICATION: Final = 0x6D6D6334  # "mmc4", in the file's header
VERSION: Final = 2
PATIENCE: Final = 5.0  # seconds to wait for another one's turn

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
_FAR: Final = re.compile(r"(nfs|cifs|smb|9p|afs|ceph|lustre|gpfs|beegfs|gluster|ocfs2|gfs2|fuse\.)")
_ROOM: Final = 1 << 16  # bytes; with less, a disk is full


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
        known = _known(connection, path)
        connection.execute("ROLLBACK")
        _choose_journal(connection, path)
        if not known:
            connection.execute("BEGIN IMMEDIATE")
            if not _known(connection, path):
                _fill(connection)
            connection.execute("COMMIT")


def _choose_journal(connection: sqlite3.Connection, path: str) -> None:
    """Write ahead on a disk of this machine; roll back on a network's, or where that fails."""
    wanted = "delete" if _far(path) else "wal"
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == wanted:
        return
    try:
        connection.execute(f"PRAGMA journal_mode = {wanted}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        with suppress(sqlite3.OperationalError):  # another one has it open: it stays as it is
            connection.execute("PRAGMA journal_mode = delete")


def _far(path: str) -> bool:
    """Whether a file lies on another machine's disk, as far as this system tells."""
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
    return bool(kinds) and _FAR.match(kinds[max(kinds, key=len)]) is not None


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
        if _version(connection) < VERSION:
            _bring_up_to_date(connection)
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
    found = _columns(connection)
    if not found:
        return False
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise LabelsError(f"{path}: is an SQLite file of another kind; name another file")
    if _version(connection) > VERSION:
        raise LabelsError(f"{path}: was made by a newer mmc4viz; bring this one up to date")
    new = _NEW if _version(connection) < VERSION else set[str]()
    for table, wanted in _layout().items():
        if table not in found:
            raise LabelsError(f"{path}: is damaged (a table is missing); {_RESCUE}")
        if lacking := min(wanted - new - found[table], default=None):
            raise LabelsError(f"{path}: is damaged (no column {lacking} in {table}); {_RESCUE}")
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
    """Return the columns of each table of a file of labels."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _fill(connection)
        return _columns(connection)


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Give a file of version 1 its new columns; documents are known by their names still."""
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


_RESCUE: Final = "go back to a copy, or to an export as CSV"


@contextmanager
def _said(path: str) -> Iterator[None]:
    """Say SQLite's errors in words."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LabelsError(f"{path}: {_words(error, path)}") from None
    except UnicodeDecodeError:
        raise LabelsError(f"{path}: is damaged; {_RESCUE}") from None
    except (OSError, ValueError) as error:
        raise LabelsError(f"{path}: cannot be opened: {error}") from None


def _words(error: sqlite3.DatabaseError, path: str) -> str:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if extended == sqlite3.SQLITE_IOERR_SHORT_READ:  # the file is cut short
        code = sqlite3.SQLITE_CORRUPT
    elif code == sqlite3.SQLITE_IOERR and _full(path):  # as it says of its shared memory
        code = sqlite3.SQLITE_FULL
    return {
        sqlite3.SQLITE_BUSY: "is locked by another program; close it there and try again",
        sqlite3.SQLITE_LOCKED: "is locked by another program; close it there and try again",
        sqlite3.SQLITE_READONLY: "is read-only: nothing can be written to it; copy it elsewhere",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: is the folder there, and can it be written to?",
        sqlite3.SQLITE_NOTADB: "is no file of labels; name another one",
        sqlite3.SQLITE_CORRUPT: f"is damaged; {_RESCUE}",
        sqlite3.SQLITE_FULL: "cannot be written: no room on the disk; free some and try again",
        sqlite3.SQLITE_IOERR: "cannot be read or written: the disk does not answer",
    }.get(code, f"cannot be used: {' '.join(str(error).split())}")


def _full(path: str) -> bool:
    try:
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free < _ROOM
    except OSError:
        return False
