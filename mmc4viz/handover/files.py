"""Files that are there whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mmc4viz.corpus.storage import put_in_place
from mmc4viz.model import ConfigError


def refuse_inputs(outputs: Iterable[str | None], inputs: Iterable[str | None]) -> None:
    """Refuse to write a file over one that is read, whatever the two are called.

    Raises
    ------
    ConfigError
        With the first that would be written over.
    """
    read = {os.path.realpath(path) for path in inputs if path}
    for path in outputs:
        if path and os.path.realpath(path) in read:
            raise ConfigError(f"{path}: is read, and would be written over: choose another name")


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its place when all is written.

    What killed runs have left beside it is removed.

    Raises
    ------
    ConfigError
        When it cannot be written.
    """
    beside = f"{path}.part-{os.getpid()}"
    try:
        _clear(path)
        with open(beside, "wb") as file:
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        put_in_place(Path(beside), path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be written: {reason}") from None
    finally:
        if os.path.lexists(beside):
            os.unlink(beside)


def _clear(path: str) -> None:
    """Remove what nobody writes any more: a lock dies with its process."""
    for left in glob.glob(f"{glob.escape(path)}.part-*"):
        with suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(left)
