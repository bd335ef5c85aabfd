"""Resume: how a shard would be written now, and whether it was written so before.

Rewriting and exporting to trainers share this: an output with a record that holds is not written
again, and one made with other settings is only replaced if that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from mmc4viz.apply.tasks import Record, ReplacingError, exists, is_intact
from mmc4viz.data.build_index import scratch_of
from mmc4viz.data.columns import Verify
from mmc4viz.data.index import absolute, digest, map_columns, map_set_file
from mmc4viz.data.shards import Shard
from mmc4viz.data.storage import fingerprint, locked, unchanged
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.types import LoaderConfig, Mmc4vizError, ShardError, SliceThresholds


class ShardOptions(Protocol):
    """What is done besides the settings."""

    def as_dict(self) -> dict[str, Any]:
        """Return the options by name."""


class ShardTask(Protocol):
    """One shard to be written elsewhere (see `mmc4viz.apply.tasks.RewriteTask`)."""

    @property
    def shard(self) -> Shard: ...  # noqa: D102 - documented there
    @property
    def target(self) -> str: ...  # noqa: D102
    @property
    def config(self) -> LoaderConfig: ...  # noqa: D102
    @property
    def options(self) -> ShardOptions: ...  # noqa: D102
    @property
    def index_file(self) -> str | None: ...  # noqa: D102
    @property
    def set_file(self) -> str | None: ...  # noqa: D102
    @property
    def overwrite(self) -> bool: ...  # noqa: D102
    @property
    def slices(self) -> SliceThresholds | None: ...  # noqa: D102
    def settings(self) -> dict[str, Any]: ...  # noqa: D102


@contextmanager
def writing_alone(target: str, out: str, name: str, error: type[Mmc4vizError]) -> Iterator[Path]:
    """Lock a shard's output against other runs; yields the folder for what is written meanwhile.

    Raises
    ------
    Mmc4vizError
        Of the given type, if another run is writing it.
    """
    scratch = scratch_of(out)
    busy = f"{target}: another run is writing this shard; wait until it has finished"
    with locked(scratch / f"{name}.lock", error(busy)):
        yield scratch


def record_of(task: ShardTask) -> Record:
    """Return the record of a shard to be written.

    Raises
    ------
    ShardError
        If the shard has changed since it was indexed.
    """
    similarity, verify = "", str(Verify.FULL)
    if task.index_file is None:
        now = fingerprint(task.shard.path)
    else:
        _, origin = map_columns(Path(task.index_file))
        verify, now = origin.verify, origin.fingerprint
        if not unchanged(task.shard.path, now):
            raise ShardError(
                f"{task.shard.path}: has changed since it was indexed; run mmc4viz index again"
            )
    if task.set_file is not None:
        _, made = map_set_file(Path(task.set_file))
        similarity = f"{made.set}:{made.sidecar}"
    return Record(
        absolute(task.shard.path),
        now,
        similarity,
        digest(load_tokenizer(task.config.tokenizer)),
        verify,
        task.settings(),
        task.options.as_dict(),
    )


def still_valid(before: Record | None, record: Record, task: ShardTask) -> Record | None:
    """Return the record of the present output if it was made in the same way and is intact.

    Raises
    ------
    ReplacingError
        If it was made with different settings, and may not be replaced.
    """
    if before is None:
        return None
    unlike = [] if task.overwrite else before.unlike(record)
    if unlike and exists(task.target):
        raise ReplacingError(
            f"{task.target}: was written with different settings ({'; '.join(unlike)}); choose "
            "another --out, or add --overwrite"
        )
    same_way = replace(before, fingerprint=record.fingerprint).made_like(record)
    if not (same_way and unchanged(task.shard.path, before.fingerprint)):
        return None
    return before if is_intact(task.target, before) else None
