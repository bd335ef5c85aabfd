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

from mmc4viz.corpus.storage import (
    alike,
    is_remote,
    listing,
    open_for_reading,
    put_in_place,
    size_of,
)
from mmc4viz.handover.counts import Counts
from mmc4viz.handover.tars import digest_of
from mmc4viz.model import Mmc4vizError

FORMAT: Final = "1"
SUFFIX: Final = ".apply.json"


class ApplyError(Mmc4vizError):
    """Rewritten shards that cannot be where they shall be."""


class ReplacingError(ApplyError):
    """Shards made with another setting, which nobody asked to replace."""


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
    digest : str
        Of these, by which a later run believes that they are what was written.
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
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    error: str | None = None
    format: str = FORMAT
    version: str = field(default_factory=lambda: version("mmc4viz"))

    def made_like(self, other: Record) -> bool:
        """Whether both were made from the same bytes in the same way."""
        skip = {"whole", "size", "digest", "counts", "left_out", "error", "version"}
        mine, others = asdict(self), asdict(other)
        return all(mine[name] == others[name] for name in mine if name not in skip)

    @property
    def documents(self) -> int:
        """Documents that it is about."""
        return self.counts.get("documents", 0)

    def unlike(self, other: Record) -> list[str]:
        """Say in words how another record differs in what a person chooses, a setting each."""
        then, now = self.config | self.options, other.config | other.options
        found = [f"{n} {then.get(n)}, now {now[n]}" for n in now if then.get(n) != now[n]]
        if self.similarity != other.similarity:
            found.append("another similarity")
        elif self.tokenizer_digest != other.tokenizer_digest and not found:
            found.append("another tokenizer of the same name")
        if self.shard != other.shard and not alike(self.fingerprint, other.fingerprint):
            found.append(f"made from {self.shard}")
        return found


def write_record(record: Record, target: str, scratch: Path) -> None:
    """Write a shard's record: beside its place, then renamed; to a store in one upload."""
    scratch.mkdir(parents=True, exist_ok=True)
    beside = scratch / (os.path.basename(target) + SUFFIX)
    beside.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", "utf-8")
    put_in_place(beside, target + SUFFIX)


def read_record(target: str) -> Record | None:
    """Read a shard's record; None where there is none, or none that can be read."""
    try:
        if not exists(target + SUFFIX):
            return None
        with open_for_reading(target + SUFFIX) as file:
            record = Record(**json.loads(file.read()))
        Counts.of(record.counts)
        parts = (record.config, record.options, record.left_out, record.digest, record.shard)
        kinds = (dict, dict, list, str, str)
        return record if all(map(isinstance, parts, kinds)) else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def exists(path: str) -> bool:
    """Whether a file is there."""
    return bool(listing(path)) if is_remote(path) else os.path.lexists(path)


def is_intact(target: str, record: Record) -> bool:
    """Whether the shard beside a record is what was written: by its digest, on a store its size."""
    if not exists(target) or size_of(target) != record.size:
        return False
    return is_remote(target) or digest_of(target) == record.digest
