"""What stands beside each rewritten shard: what it was made of, with which setting, to what end.

A record is what makes a shard apply's own: it is there before the shard takes its place, and says
whether the shard is whole. Rewrites nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from mmc4viz.corpus.storage import is_remote, listing, open_for_reading, put_in_place, size_of
from mmc4viz.model import Mmc4vizError

FORMAT: Final = "1"
SUFFIX: Final = ".apply.json"


class ApplyError(Mmc4vizError):
    """Rewritten shards that cannot be where they shall be."""


@dataclass(frozen=True)
class Record:
    """What a shard was made of, and what came of it.

    Attributes
    ----------
    shard : str
        The original, absolute or with its protocol.
    fingerprint : str
        Of the original.
    similarity : str
        Of another similarity than the shard's own, its set's name and fingerprint; else empty.
    tokenizer_digest : str
    verify : str
        How far images had been checked before.
    config, options : dict
        The setting, and how it was brought about.
    whole : bool
        Whether the shard beside it is finished.
    size : int
        Its bytes.
    counts : dict
    left_out : list of str
    error : str or None
        Where the original breaks off.
    format, version : str
    """

    shard: str
    fingerprint: str
    similarity: str
    tokenizer_digest: str
    verify: str
    config: dict[str, Any]
    options: dict[str, Any]
    whole: bool = False
    size: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    error: str | None = None
    format: str = FORMAT
    version: str = field(default_factory=lambda: version("mmc4viz"))

    def made_like(self, other: Record) -> bool:
        """Whether both were made from the same bytes in the same way."""
        skip = {"whole", "size", "counts", "left_out", "error", "version"}
        mine, others = asdict(self), asdict(other)
        return all(mine[name] == others[name] for name in mine if name not in skip)


def write_record(record: Record, target: str, scratch: Path) -> None:
    """Write a shard's record: beside its place, then renamed; to a store in one upload."""
    scratch.mkdir(parents=True, exist_ok=True)
    beside = scratch / (os.path.basename(target) + SUFFIX)
    beside.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", "utf-8")
    put_in_place(beside, target + SUFFIX)


def read_record(target: str) -> Record | None:
    """Read a shard's record; None where there is none.

    Raises
    ------
    ApplyError
        For a file of that name that is no record.
    """
    path = target + SUFFIX
    if not _is_there(path):
        return None
    try:
        with open_for_reading(path) as file:
            found = json.loads(file.read())
        record = Record(**found)
        if not all(
            isinstance(part, dict) for part in (record.config, record.options, record.counts)
        ):
            raise TypeError("its parts are none")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ApplyError(f"{path}: no record of apply's ({error!s:.60}): move it away") from None
    return record


def _is_there(path: str) -> bool:
    return bool(listing(path)) if is_remote(path) else os.path.lexists(path)


def size_there(target: str) -> int | None:
    """Return the bytes of a file; None where there is none."""
    return size_of(target) if _is_there(target) else None
