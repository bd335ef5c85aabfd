"""The chosen documents for trainers, written as by ``mmc4viz export --for``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from mmc4viz.apply.tasks import exists, names_in
from mmc4viz.data.index import absolute
from mmc4viz.data.jobs import by_status
from mmc4viz.export.trainers.energon import EnergonSummary, write_energon
from mmc4viz.export.trainers.launch import export_command, start_training
from mmc4viz.export.trainers.rows import ExportError, refuse_random
from mmc4viz.export.trainers.run import (
    ROW_FORMATS,
    Exported,
    ExportTask,
    RowOptions,
    export_shards,
    export_tasks,
    size_note,
)
from mmc4viz.export.trainers.summary import count_lines, error_messages, result_notes
from mmc4viz.ui import data, writing
from mmc4viz.ui.writing import CONFIG, Account, Preview, WriteRequest, WriteRun

NAMES: Final = {
    "openflamingo": "OpenFlamingo",
    "energon": "Megatron-Energon",
    "hf": "Hugging Face",
    "torchtitan": "torchtitan",
    "mds": "MosaicML Streaming",
    "webdataset": "WebDataset",
}
"""The trainers' names on screen, by those on the command line."""


@dataclass(frozen=True)
class TrainerRequest(WriteRequest):
    """A request to export to a trainer that is not OpenFlamingo.

    Attributes
    ----------
    trainer : str
        As on the command line.
    """

    trainer: str

    @property
    def purpose(self) -> str:
        """Name the trainer."""
        return f", for {NAMES[self.trainer]}"

    def refusal(self) -> str | None:
        """Say why nothing can be exported."""
        try:
            refuse_random(self.config)
        except ExportError as error:
            return str(error)
        return writing.check_score_source(self)

    def command(self, shards: Callable[[], Sequence[str]]) -> str:
        """Return the ``export`` command."""
        index = self.index()
        if index is None:
            return export_command(
                self.trainer, CONFIG, self.out, shards=shards(), image_dir=self.image_dir(),
                given=self.source.given,
            )  # fmt: skip
        return export_command(
            self.trainer, CONFIG, self.out, index=absolute(index[0]), similarity=index[1]
        )

    def image_dir(self) -> str | None:
        """Return the folder of images, as the command records it."""
        found = self.source.image_dir
        return None if found is None else str(Path(found.path).resolve())

    def starts_training(self) -> tuple[str, str]:
        """Return code for the trainer."""
        return start_training(self.trainer, self.out), "python"

    @abstractmethod
    def write(self, run: WriteRun, tell: Callable[[int], object]) -> None:
        """Write; called in a run's own thread."""


@dataclass(frozen=True)
class RowsRequest(TrainerRequest):
    """A request to write rows: Parquet or MDS."""

    preview_words: ClassVar[str] = "Estimate size"
    write_words: ClassVar[str] = "Write rows"

    def tasks(self) -> list[ExportTask]:
        """Return one task per shard of the corpus.

        Raises
        ------
        ExportError, IndexFileError
            If nothing can be written, or the folder holds other files.
        ReplacingError
            If rows of different settings are there, and may not be replaced.
        """
        out, index = self.out, self.index()
        if "\0" in out:
            raise ExportError("the output directory contains a zero byte: enter another name")
        found = export_tasks(
            self.shards() if index is None else [],
            index,
            out,
            self.config,
            RowOptions(ROW_FORMATS[self.trainer], self.image_dir()),
            overwrite=self.overwrite,
        )
        if not found:
            raise ExportError("no shards to export")
        names = {name for name in names_in(out) if not name.startswith(".")}
        if names and not any(exists(task.record) for task in found):
            raise ExportError(
                f"{out}: contains files that export did not write: choose a new directory"
            )
        return found

    def preview(self, tell: Callable[[int], object]) -> Preview:
        """Estimate the size."""
        return Preview((_sentence(size_note(self.tasks())),))

    def write(self, run: WriteRun, tell: Callable[[int], object]) -> None:
        """Write the rows."""
        tasks = self.tasks()
        run.notes.append(_sentence(size_note(tasks)))
        writing.run_shards(run, export_shards, tasks, tell)

    def account(self, done: Sequence[Any]) -> Account:
        """Summarize the results of shards."""
        if not done:
            return Account()
        exported: Sequence[Exported] = done
        return Account(
            tuple(by_status(exported, "n_bytes", "out_bytes")),
            tuple(count_lines(exported)),
            notes=tuple(map(_sentence, result_notes(exported, self.config))),
            problems=tuple(error_messages(exported)),
        )


@dataclass(frozen=True)
class EnergonRequest(TrainerRequest):
    """A request to write Energon's files next to the shards."""

    preview_words: ClassVar[str] = ""
    write_words: ClassVar[str] = "Write Energon's files"
    overwrite_words: ClassVar[str] = "Replace the Energon files that are there"
    writes_at_end: ClassVar[bool] = True

    def write(self, run: WriteRun, tell: Callable[[int], object]) -> None:
        """Write the files, all at once."""
        if "\0" in self.out:
            raise ExportError("the dataset folder contains a zero byte: enter another name")
        run.n_parts, run.unit = 1, "documents"
        parts = data.columns_of(self.source)
        run.size = sum(map(len, parts))
        run.done.append(
            write_energon(parts, self.config, self.out, overwrite=self.overwrite, advance=tell)
        )

    def account(self, done: Sequence[Any]) -> Account:
        """Say what was written."""
        summaries: Sequence[EnergonSummary] = done
        notes = (_sentence(line) for one in summaries for line in one.notes())
        return Account(notes=tuple(notes))


def request_for(trainer: str, source: data.CorpusKey, config: Any, out: str) -> TrainerRequest:
    """Return the request for a trainer that is not OpenFlamingo."""
    kind = EnergonRequest if trainer == "energon" else RowsRequest
    return kind(source, config, out, trainer)


def _sentence(note: str) -> str:
    """Write a note as a sentence.

    Examples
    --------
    >>> _sentence("all 2 shards are there")
    'All 2 shards are there.'
    """
    return f"{note[:1].upper()}{note[1:]}."
