"""What rewriting a shard starts from: its columns, of an index or read now. Rewrites nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc

from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.files import map_columns
from mmc4viz.corpus.ingest import read_columns
from mmc4viz.corpus.sets import map_set_file
from mmc4viz.corpus.shards import LIMIT, OVER_LIMIT, Shard
from mmc4viz.corpus.similarity import put_over
from mmc4viz.handover.tars import Unpacked
from mmc4viz.handover.tasks import Task
from mmc4viz.loader.tokens import load_tokenizer
from mmc4viz.model import ShardError


@dataclass(frozen=True)
class ShardColumns:
    """A shard's columns.

    Attributes
    ----------
    own : Columns
        As the shard carries them.
    chosen : Columns
        With the similarity that the setting was chosen on; mostly the same object.
    """

    own: Columns
    chosen: Columns

    @property
    def another(self) -> bool:
        """Whether the setting was chosen on another similarity than the shard's own."""
        return self.own is not self.chosen


def shard_columns(task: Task, plain: Unpacked) -> ShardColumns:
    """Return a shard's columns, from an index or by reading it.

    Parameters
    ----------
    task : Task
    plain : Unpacked
        The shard as a plain tar.

    Raises
    ------
    ShardError
        When nothing of it can be read, or a document was too large to be.
    """
    tokenizer = load_tokenizer(task.config.tokenizer)
    if task.index_file is None:
        read = read_columns(Shard(str(plain.path), task.shard.position), tokenizer)
        error = read.error
        if error is not None:
            error = f"{task.shard.path}: {error.removeprefix(f'{plain.path}: ')}"
            error += f" ({plain.error})" if plain.error else ""
        own = replace(read, shard=task.shard, error=error)
    else:
        batch, origin = map_columns(Path(task.index_file))
        own = Columns(task.shard, batch, tokenizer, origin.error)
    if own.error is not None and not len(own):
        raise ShardError(own.error)
    if pc.any(pc.match_substring(own.batch.column("detail"), OVER_LIMIT)).as_py():
        raise ShardError(
            f"{task.shard.path}: has documents above the limit that were not read, so what the "
            f"loader does with them is not known: raise {LIMIT}"
        )
    if task.set_file is None:
        return ShardColumns(own, own)
    return ShardColumns(own, put_over(own, map_set_file(Path(task.set_file))[0]))
