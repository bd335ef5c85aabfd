"""Files that are there whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmc4viz.corpus.storage import put_in_place
from mmc4viz.model import ConfigError


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its place when all is written.

    Raises
    ------
    ConfigError
        When it cannot be written.
    """
    beside = f"{path}.part-{os.getpid()}"
    try:
        with open(beside, "wb") as file:
            yield file
        put_in_place(Path(beside), path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be written: {reason}") from None
    finally:
        if os.path.lexists(beside):
            os.unlink(beside)
