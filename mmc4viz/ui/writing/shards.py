"""Filtered shards for OpenFlamingo, written as by ``mmc4viz apply``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from mmc4viz.apply.options import (
    EXPECTED,
    TITLES,
    Options,
    apply_command,
    loader_config,
    refuse_impossible,
)
from mmc4viz.apply.run import (
    Applied,
    apply_shards,
    disk_space_note,
    error_messages,
    replacement_note,
    total,
)
from mmc4viz.apply.tasks import (
    SUFFIX,
    ApplyError,
    RewriteTask,
    check_places,
    names_in,
    tasks_for_index,
    tasks_for_shards,
)
from mmc4viz.data.index import absolute
from mmc4viz.data.jobs import by_status
from mmc4viz.export.trainer import training_command
from mmc4viz.types import ConfigError
from mmc4viz.ui import data, writing
from mmc4viz.ui.writing import CONFIG, Account, Preview, WriteRequest, WriteRun

_UNCHANGED: Final = (
    "No document has to change: with the flags above, the loader itself makes this selection. To "
    "make the shards smaller, turn off Keep dropped images."
)
_CAPTION: Final = "Dry run: nothing was written. Sizes are before compression."


@dataclass(frozen=True)
class ShardsRequest(WriteRequest):
    """A request to write filtered shards.

    Attributes
    ----------
    options : Options
    """

    options: Options

    preview_words: ClassVar[str] = "Dry run"
    write_words: ClassVar[str] = "Write shards"

    @property
    def purpose(self) -> str:
        """Nothing: filtered shards have the format of the corpus."""
        return ""

    def refusal(self) -> str | None:
        """Say why shards cannot do what was chosen."""
        try:
            refuse_impossible(self.config)
        except ConfigError as error:
            return str(error)
        return writing.check_score_source(self)

    def command(self, shards: Callable[[], Sequence[str]]) -> str:
        """Return the ``apply`` command."""
        index = self.index()
        if index is None:
            return apply_command(
                CONFIG, self.out, self.options, shards=shards(), given=self.source.given
            )
        return apply_command(
            CONFIG, self.out, self.options, index=absolute(index[0]), similarity=index[1]
        )

    def starts_training(self) -> tuple[str, str]:
        """Return OpenFlamingo's command on the shards to be written."""
        source = self.source
        if source.index:
            names = [part.shard.base for part in data.index_of(source.index).columns]
        else:
            names = [shard.base for shard in self.shards()]
        folder = self.out.rstrip("/") or "/"
        return training_command(loader_config(self.config), names, folder), "bash"

    def tasks(self, *, dry_run: bool) -> list[RewriteTask]:
        """Return one task per shard of the corpus.

        Raises
        ------
        ApplyError, IndexFileError
            If the index cannot be used, there are no shards, or the folder holds other files.
        """
        out, index = self.out, self.index()
        how = {"dry_run": dry_run, "overwrite": self.overwrite}
        if "\0" in out:
            raise ApplyError("the output directory contains a zero byte: enter another name")
        if index is not None:
            found = tasks_for_index(
                index[0], out, self.config, self.options, similarity=index[1], **how
            )
        else:
            found = tasks_for_shards(self.shards(), out, self.config, self.options, **how)
        if not found:
            raise ApplyError("no shards to rewrite")
        check_places(found)
        names = {name for name in names_in(out) if not name.startswith(".")}
        if names and not any(name.endswith(SUFFIX) for name in names):
            raise ApplyError(
                f"{out}: contains files that apply did not write: choose a new directory"
            )
        return found

    def preview_bytes(self) -> int:
        """Return the number of bytes to read."""
        return writing.size_of_shards(self.tasks(dry_run=True))

    def preview(self, tell: Callable[[int], object]) -> Preview:
        """Run without writing."""
        tasks = self.tasks(dry_run=True)
        room, replaced = disk_space_note(tasks), replacement_note(tasks)
        done = writing.write_shards(apply_shards, tasks, lambda one: tell(one.n_bytes))
        lines = [f"Dry run: {room}.", *([] if replaced is None else [f"{replaced}."])]
        return Preview(tuple(lines), self.account(done), replaced is not None)

    def write(self, run: WriteRun, tell: Callable[[int], object]) -> None:
        """Write the shards."""
        tasks = self.tasks(dry_run=False)
        if (replaced := replacement_note(tasks)) is not None:
            run.notes.append(f"{replaced}.")
        disk_space_note(tasks)
        writing.run_shards(run, apply_shards, tasks, tell)

    def account(self, done: Sequence[Any]) -> Account:
        """Summarize the results of shards."""
        if not done:
            return Account()
        applied: Sequence[Applied] = done
        counts, found = total(applied), total(applied).as_dict()
        lines = [(title, f"{found[name]:,}") for name, title in TITLES.items() if found[name]]
        unchanged = counts.carried_over == counts.documents
        return Account(
            tuple(by_status(applied, "n_bytes", "out_bytes")),
            (*lines, (EXPECTED, f"{counts.expected:,.12g}")),
            _CAPTION if any(one.status == "counted" for one in applied) else "",
            (_UNCHANGED,) if unchanged else (),
            tuple(error_messages(applied)),
        )
