"""The file of saved settings, accepted suggestions and notes, shared by all who use the server.

It is one JSON file next to the label file. Every change reads it, edits it and replaces it whole
while a lock is held, so two tabs or two servers do not lose each other's records. A record has a
short id, which is all that an address carries. Where the file cannot be written, records last as
long as the session, and the page says so once.
"""

from __future__ import annotations

import copy
import json
import os
import re
from base64 import b32encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from itertools import count
from typing import Any, Final, TypeVar

import streamlit as st
from filelock import FileLock, Timeout

from mmc4viz.data.storage import whole_file
from mmc4viz.types import ConfigError, Mmc4vizError
from mmc4viz.ui import label_data, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import SETTINGS, read_start

T = TypeVar("T")

VERSION: Final = 1
Record = dict[str, Any]


class SavingError(ConfigError):
    """Why the file cannot be written."""


class RecordKind(StrEnum):
    """What a record holds."""

    SETTINGS = "settings"
    ACCEPTED = "accepted"
    NOTE = "notes"


Records = dict[RecordKind, dict[str, Record]]

_MOST: Final = {RecordKind.SETTINGS: 200, RecordKind.ACCEPTED: 1000, RecordKind.NOTE: 1000}
_LONGEST: Final = 16_000  # bytes of a record
_LARGEST: Final = sum(_MOST.values()) * _LONGEST  # bytes of the file
_ID: Final = re.compile(r"[a-z](?=[a-z]*[2-7])[a-z2-7]{9}")  # neither a word nor a number
_WAIT: Final = 5.0  # seconds for the lock
_UNSAVED: Final = "unsaved-records"
_PROBLEM: Final = "saving-problem"
_READ: Memo[Records] = Memo()


def is_id(text: str) -> bool:
    """Whether a text has the form of an id.

    Examples
    --------
    >>> is_id("k5tq2mzrd7"), is_id("0.24"), is_id("../../x")
    (True, False, False)
    """
    return _ID.fullmatch(text) is not None


def records(choice: Choice, kind: RecordKind) -> dict[str, Record]:
    """Return all records of a kind by id, the oldest first."""
    try:
        found = _in_file(_place(choice))[kind]
    except ConfigError:  # told when something is to be saved
        found = {}
    return found | _unsaved()[kind]


def find(choice: Choice, kind: RecordKind, name: str) -> Record | None:
    """Return the record with an id; None without one."""
    return records(choice, kind).get(name) if is_id(name) else None


def keep(
    choice: Choice,
    kind: RecordKind,
    content: Record,
    check: Callable[[dict[str, Record]], None] = lambda _: None,
) -> str:
    """Save a record, unless one with the same content is saved; return its id.

    Raises
    ------
    ConfigError
        If ``check`` raises it for the records there are, or the record has no room.
    """

    def add(there: dict[str, Record]) -> str:
        check(there)
        return add_record(there, kind, content)

    try:
        return edit(choice, kind, add)
    except SavingError as error:
        _tell_once(error)
    here = {other: dict(found) for other, found in _unsaved().items()}
    check(records(choice, kind))
    name = add_record(here[kind], kind, content)
    st.session_state[_UNSAVED] = here
    return name


def edit(choice: Choice, kind: RecordKind, change: Callable[[dict[str, Record]], T]) -> T:
    """Change the records of a kind, by id, while nobody else can.

    Records that could not be saved before are saved, too.

    Raises
    ------
    SavingError
        If the file cannot be written. Errors of ``change`` are raised as they are.
    """

    def all_changes(there: Records) -> T:
        for other, found in _unsaved().items():
            there[other] |= found
        return change(there[kind])

    try:
        path = _writable(choice)
    except ConfigError as error:
        raise SavingError(str(error)) from None
    result = change_file(path, all_changes)
    for key in (_UNSAVED, _PROBLEM):
        st.session_state.pop(key, None)
    return result


def change_file(path: str, change: Callable[[Records], T]) -> T:
    """Read, change and replace the file while it is locked.

    Raises
    ------
    SavingError
        If that is impossible. Errors of ``change`` are raised as they are, and nothing is written.
    """
    lock = FileLock(f"{path}.lock", timeout=_WAIT)
    try:
        lock.acquire()
        before = _in_file(path)
    except Timeout:
        raise SavingError(f"{path}: another program is writing it") from None
    except OSError as error:
        raise SavingError(f"{path}: cannot be written: {error.strerror}") from None
    except Mmc4vizError as error:
        lock.release()
        raise SavingError(str(error)) from None
    try:
        there = copy.deepcopy(before)
        result = change(there)
        if there != before:
            _write(path, there)
        return result
    finally:
        lock.release()


def problem() -> str:
    """Return why nothing is remembered in this session; empty if nothing is wrong."""
    found: str = st.session_state.get(_PROBLEM, "")
    return found


def _tell_once(error: SavingError) -> None:
    if _PROBLEM not in st.session_state:
        st.session_state[_PROBLEM] = (
            "Nothing will be remembered: saved settings, accepted suggestions and notes last until "
            f"this tab is closed or reloaded ({error})."
        )
        state.tell(problem())


def add_record(there: dict[str, Record], kind: RecordKind, content: Record) -> str:
    """Add a record under the first id that is free or has the same content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    if len(text.encode()) > _LONGEST:
        raise ConfigError(f"too long to be saved: at most {_LONGEST:,} bytes")
    for name in _ids(text):
        known = there.get(name)
        if known is None:
            _make_room(there, kind)
            there[name] = json.loads(text) | {"saved": datetime.now(UTC).isoformat("T", "seconds")}
            return name
        if {key: value for key, value in known.items() if key != "saved"} == json.loads(text):
            return name
    raise AssertionError


def _plain(number: Any) -> Any:
    """Return a NumPy number as Python's."""
    return number.item()


def _ids(text: str) -> Iterator[str]:
    """Yield ids of ten characters from digests of a text, the first one for nearly all."""
    for salt in count():
        digest = blake2b(text.encode(), digest_size=10, salt=salt.to_bytes(4)).digest()
        name = b32encode(digest).decode().lower()[:10]
        if is_id(name):
            yield name


def _make_room(there: dict[str, Record], kind: RecordKind) -> None:
    """Drop the oldest records beyond the limit, but never saved settings."""
    while len(there) >= _MOST[kind]:
        if kind is RecordKind.SETTINGS:
            raise ConfigError(f"{_MOST[kind]} settings are saved: delete some first")
        del there[next(iter(there))]


def _place(choice: Choice) -> str:
    return os.path.join(os.path.dirname(label_data.path_of(choice)), SETTINGS)


def _writable(choice: Choice) -> str:
    start = read_start()
    if start.read_only:
        raise ConfigError("the app was started with --read-only")
    return start.roots.path(_place(choice), writing=True)


def _unsaved() -> Records:
    found: Records = st.session_state.get(_UNSAVED) or {kind: {} for kind in RecordKind}
    return found


def _in_file(path: str) -> Records:
    """Read the file; empty without one.

    Raises
    ------
    ConfigError
        If it is not such a file. It is then neither used nor replaced.
    """
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return {kind: {} for kind in RecordKind}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    key = path, facts.st_ino, facts.st_size, facts.st_mtime_ns
    return _READ.get(key, lambda: _parsed(path))


def _parsed(path: str) -> Records:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
        found = json.loads(content) if len(content) <= _LARGEST else None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and "version" not in found:
        found = _of_first_version(found)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ConfigError(
            f"{path}: not a file of settings saved by this version of mmc4viz; move it away"
        )
    return {kind: _valid(found.get(kind)) for kind in RecordKind}


def _of_first_version(texts: dict[str, Any]) -> dict[str, Any] | None:
    """Return saved settings, once JSON texts by name, as records; None for anything else."""
    there: dict[str, Record] = {}
    try:
        for name, text in texts.items():
            values = json.loads(text)
            model = values.pop("model")
            content = {"name": name, "clip_model": model, "settings": values}
            add_record(there, RecordKind.SETTINGS, content)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, ConfigError):
        return None
    return {"version": VERSION, RecordKind.SETTINGS: there}


def _valid(found: Any) -> dict[str, Record]:
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: one for name, one in pairs if is_id(name) and isinstance(one, dict)}


def _write(path: str, there: Records) -> None:
    try:
        with whole_file(path) as file:
            file.write(json.dumps({"version": VERSION} | there, indent=1).encode())
    except Mmc4vizError as error:
        raise SavingError(str(error)) from None
