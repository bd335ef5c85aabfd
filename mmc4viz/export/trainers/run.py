"""Export shards to a trainer, one task each: plan, resume, totals.

Parquet files and MDS folders are written under a temporary name and put in place when complete; a
hidden record next to them says how they were made. A run that was stopped continues with the same
command.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from shutil import disk_usage
from typing import Any, Final

import numpy as np

from mmc4viz.apply.resuming import record_of, still_valid, writing_alone
from mmc4viz.apply.shard import checked_columns, indexed_columns, slice_shifts
from mmc4viz.apply.tar import digest_of
from mmc4viz.apply.tasks import (
    Record,
    ReplacingError,
    exists,
    indexed_shards,
    record_at,
    write_record,
)
from mmc4viz.config_file import SLICE_THRESHOLDS
from mmc4viz.data.build_index import scratch_of
from mmc4viz.data.columns import Columns
from mmc4viz.data.ingest import read_columns
from mmc4viz.data.jobs import OUT_OF_MEMORY, MakeExecutor, run
from mmc4viz.data.shards import Shard, image_source
from mmc4viz.data.storage import (
    is_remote,
    make_folder,
    open_for_reading,
    put_in_place,
    remove,
    size_of,
    unchanged,
    whole_fingerprint,
)
from mmc4viz.export.trainers import mds
from mmc4viz.export.trainers.parquet import write_parquet
from mmc4viz.export.trainers.rows import (
    ExportError,
    TrainingRow,
    chosen_in,
    refuse_random,
    training_rows,
)
from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.slices.thresholds import attribute_of
from mmc4viz.types import LoaderConfig, ShardError, SliceThresholds

_RECORDS: Final = ".mmc4viz"
_SUFFIX: Final = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".jsonl.gz", ".jsonl.zip")


class RowFormat(StrEnum):
    """How rows are stored."""

    PARQUET = "parquet"
    MDS = "mds"


ROW_FORMATS: Final = {
    "hf": RowFormat.PARQUET,
    "torchtitan": RowFormat.PARQUET,
    "mds": RowFormat.MDS,
}
"""The format that each trainer of rows reads."""


@dataclass(frozen=True, slots=True)
class RowOptions:
    """What rows are made of besides the settings: the format, and a folder of images."""

    format: RowFormat
    image_dir: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the options by name."""
        return {"format": str(self.format), "image_dir": self.image_dir}


@dataclass(frozen=True, slots=True)
class ExportTask:
    """One shard to be exported.

    Attributes
    ----------
    shard : Shard
    out : str
        The output folder, local or remote.
    config : LoaderConfig
        The chosen settings.
    options : RowOptions
    index_file, set_file : str or None
        As in `mmc4viz.apply.tasks.RewriteTask`.
    overwrite : bool
        Whether what was written with different settings may be replaced.
    slices : SliceThresholds or None
        Slice thresholds that belong to the settings' one.
    """

    shard: Shard
    out: str
    config: LoaderConfig
    options: RowOptions
    index_file: str | None = None
    set_file: str | None = None
    overwrite: bool = False
    slices: SliceThresholds | None = None

    @property
    def stem(self) -> str:
        """The shard's last name without its suffix."""
        name = self.shard.base
        suffix = next((one for one in _SUFFIX if name.lower().endswith(one)), "")
        return (name.removesuffix(name[-len(suffix) :]) if suffix else name) or name

    @property
    def target(self) -> str:
        """Path of the file that makes the shard's output complete."""
        out = self.out.rstrip("/") or "/"
        if self.options.format is RowFormat.MDS:
            return f"{out}/{self.stem}/{mds.INDEX}"
        return f"{out}/{self.stem}.parquet"

    @property
    def record(self) -> str:
        """Path of the shard's record, hidden from readers of the output."""
        return f"{self.out.rstrip('/') or '/'}/{_RECORDS}/{self.stem}.json"

    def settings(self) -> dict[str, Any]:
        """Return the settings with their slice thresholds, as a record holds them."""
        slices = {} if self.slices is None else {SLICE_THRESHOLDS: self.slices.as_dict()}
        return self.config.as_dict() | slices


@dataclass(frozen=True)
class Exported:
    """The result of one shard.

    Attributes
    ----------
    shard : str
        Its path.
    status : str
        ``written``, ``skipped`` (written before), ``incomplete`` (the shard is truncated), or
        ``failed``.
    reason : str or None
        Why it is incomplete or failed.
    counts : dict of str to int
        ``documents``, ``single`` (with one image token, kept with a probability), ``images``, and
        ``chatgpt`` (ChatGPT-generated documents, which are left out).
    n_bytes, out_bytes : int
        Size of the shard and of what was written.
    """

    shard: str
    status: str
    reason: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    n_bytes: int = 0
    out_bytes: int = 0


def export_tasks(
    shards: Sequence[Shard],
    index: tuple[str, str | None] | None,
    out: str,
    config: LoaderConfig,
    options: RowOptions,
    *,
    overwrite: bool = False,
    slices: SliceThresholds | None = None,
) -> list[ExportTask]:
    """Return one task per shard.

    Parameters
    ----------
    shards : sequence of Shard
        To be read without an index; empty with one.
    index : (str, str or None), optional
        An index and the score set on which the settings were chosen.
    out, config, options, overwrite, slices
        As in `ExportTask`.

    Raises
    ------
    ExportError
        If two shards would be written to one place, or over another file, or the loader draws at
        random what an export would fix.
    ReplacingError
        If one was written with different settings, and may not be replaced.
    """
    refuse_random(config)
    if index is None:
        tasks = [ExportTask(replace(s, name=""), out, config, options) for s in shards]
    else:
        tasks = [
            ExportTask(
                one.shard,
                out,
                config,
                replace(options, image_dir=options.image_dir or one.origin.image_dir),
                one.index_file,
                one.set_file,
            )
            for one in indexed_shards(*index)
        ]
    tasks = [replace(task, overwrite=overwrite, slices=slices) for task in tasks]
    seen: dict[str, str] = {}
    for task in tasks:
        if (other := seen.setdefault(task.stem, task.shard.path)) is not task.shard.path:
            raise ExportError(
                f"{task.shard.path}: {other} has the same name, so both would be written to "
                f"{task.target}; use separate output folders"
            )
        _check_place(task)
    return tasks


def _check_place(task: ExportTask) -> None:
    """Reject an output that is there already and was made otherwise."""
    before = record_at(task.record)
    kind = None if before is None else before.options.get("format")
    if kind not in (None, task.options.format):
        raise ExportError(
            f"{task.out}: the shards were written there as {kind}; choose another --out"
        )
    if not exists(task.target):
        return
    if before is None:
        raise ExportError(
            f"{task.target}: already exists and was not written by mmc4viz export; choose another "
            "--out"
        )
    now = replace(before, config=task.settings(), options=task.options.as_dict())
    if (unlike := before.unlike(now)) and not task.overwrite:
        raise ReplacingError(
            f"{task.target}: was written with different settings ({'; '.join(unlike)}); choose "
            "another --out, or add --overwrite"
        )


_EXAMINED: Final = 4  # shards of which the size is computed; the others' follows from theirs


@dataclass(frozen=True, slots=True)
class ExportSize:
    """About what an export will write.

    Attributes
    ----------
    documents, images : int or None
        None if that is not known without reading the shards.
    n_bytes : int
        An upper bound if documents are not known.
    """

    documents: int | None
    images: int | None
    n_bytes: int


def export_size(tasks: Sequence[ExportTask]) -> ExportSize:
    """Estimate what is still to be written: from the index, else from the shards' sizes.

    It is computed for a few shards, spread over all, and scaled by the shards' sizes.
    """
    todo = _todo(tasks)
    sizes = [size_of(task.shard.path) for task in todo]
    if any(task.index_file is None for task in todo):
        return ExportSize(None, None, sum(sizes))
    step = max(1, -(-len(todo) // _EXAMINED))
    found = [_shard_size(task) for task in todo[::step]]
    scale = sum(sizes) / max(1, sum(sizes[::step]))
    documents, images, n_bytes = (
        round(scale * sum(number)) for number in zip((0, 0, 0), *found, strict=True)
    )
    return ExportSize(documents, images, n_bytes)


def _todo(tasks: Sequence[ExportTask]) -> list[ExportTask]:
    """Return the tasks that are not finished yet, as far as their records say."""
    return [task for task in tasks if not _is_recorded(task)]


def _is_recorded(task: ExportTask) -> bool:
    record = record_at(task.record) if exists(task.target) else None
    if record is None or not record.whole:
        return False
    return (record.config, record.options) == (task.settings(), task.options.as_dict())


def _shard_size(task: ExportTask) -> tuple[int, int, int]:
    """Return about how many documents, images and bytes a shard will give."""
    columns = indexed_columns(task).chosen
    chosen = chosen_in(columns, task.config, slice_shifts(task, columns))
    starts = columns.offsets("images") - columns.offsets("images")[0]
    sizes = columns.image("n_bytes").clip(0)
    owner = chosen.row.repeat(chosen.first[1:] - chosen.first[:-1])
    images = int(sizes[starts[owner] + chosen.image].sum())
    ends = np.concatenate([[0], np.cumsum(sizes)])
    embedded = (ends[starts[chosen.row + 1]] - ends[starts[chosen.row]]).sum() * 4 // 3
    text = int(columns.numbers("size")[chosen.row].sum() - embedded)  # with the matrix
    return len(chosen), len(chosen.image), images + max(0, text)


def size_note(tasks: Sequence[ExportTask]) -> str:
    """Return a note on how much will be written, and how much space is free.

    Raises
    ------
    ExportError
        If the space is insufficient.
    """
    found, out, free = export_size(tasks), tasks[0].out, _free(tasks[0].out)
    if not found.n_bytes and not _todo(tasks):
        return f"all {len(tasks):,} shards are in {out} already"
    if free is not None and found.n_bytes > free:
        raise ExportError(
            f"{out}: not enough space: about {_size(found.n_bytes)} needed, {_size(free)} free; "
            "choose another --out"
        )
    space = "" if free is None else f" ({_size(free)} free)"
    if found.documents is None:
        return f"up to about {_size(found.n_bytes)} will be written to {out}{space}"
    return (
        f"about {_size(found.n_bytes)} will be written to {out}{space}: about "
        f"{found.documents:,} documents with {found.images:,} images"
    )


def _free(out: str) -> int | None:
    if is_remote(out):
        return None
    folder = Path(out).resolve()
    while not folder.is_dir():
        folder = folder.parent
    return disk_usage(folder).free


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def export_shards(
    tasks: Sequence[ExportTask],
    make_executor: MakeExecutor,
    on_done: Callable[[Exported], object],
) -> list[Exported]:
    """Export shards, skipping those that are already finished.

    Parameters
    ----------
    tasks : sequence of ExportTask
        With the same settings, format and output folder.
    make_executor : callable
        Returns the executor.
    on_done : callable
        Called with each finished shard.

    Returns
    -------
    list of Exported
        In the order of the tasks.

    Raises
    ------
    ReplacingError
        If a shard was written with different settings, and may not be replaced.
    ExportError
        If images are missing, a limit is exceeded, or the output cannot be written.
    """
    first = tasks[0]
    if first.slices is not None:
        attribute_of(first.slices)  # with the digest of the user's table, if there is one
    if not is_remote(first.out):
        make_folder(os.path.join(first.out, _RECORDS), ExportError)
    done = run(export_shard, tasks, make_executor, on_done, _failed)
    if first.options.format is RowFormat.MDS and not any(one.status == "failed" for one in done):
        _merge(tasks)
    return done


def _failed(task: ExportTask, reason: str) -> Exported:
    return Exported(task.shard.path, "failed", f"{task.shard.path}: {reason}")


def export_shard(task: ExportTask) -> Exported:
    """Export one shard in a worker.

    Returns
    -------
    Exported
        With status ``failed`` if the shard cannot be read.

    Raises
    ------
    ReplacingError, ExportError
        As in `export_shards`.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core per worker
    try:
        with writing_alone(task.target, task.out, task.stem, ExportError) as scratch:
            return _export(task, scratch)
    except ShardError as error:
        return Exported(task.shard.path, "failed", str(error))
    except MemoryError:
        return _failed(task, OUT_OF_MEMORY)


def _export(task: ExportTask, scratch: Path) -> Exported:
    record = record_of(task)
    before = still_valid(record_at(task.record), record, task)
    if before is not None and before.whole and _files_intact(task):
        return _exported(task, before, "skipped")
    if task.index_file is None:
        record = replace(record, fingerprint=whole_fingerprint(task.shard.path))
    columns = _columns(task)
    counts = {"documents": 0, "single": 0, "images": 0, "chatgpt": 0}
    rows = _counted(task, columns, counts)
    try:
        record = _write(task, record, rows, counts, scratch, columns.error)
    except OSError as error:
        raise ExportError(
            f"{task.out}: cannot be written: {error.strerror or error}; free some space or choose "
            "another --out, then run the same command again to resume"
        ) from None
    return _exported(task, record, "written")


def _columns(task: ExportTask) -> Columns:
    """Return the shard's columns with the scores on which the settings were chosen."""
    if task.index_file is not None:
        return indexed_columns(task).chosen
    tokenizer = load_tokenizer(task.config.tokenizer)
    return checked_columns(read_columns(task.shard, tokenizer, task.options.image_dir))


def _counted(task: ExportTask, columns: Columns, counts: dict[str, int]) -> Iterator[TrainingRow]:
    """Yield the shard's rows and count them."""

    def leave_out(_: str) -> None:
        counts["chatgpt"] += 1

    chosen = chosen_in(columns, task.config, slice_shifts(task, columns))
    source = image_source(task.shard, task.options.image_dir)
    chatgpt = profile_of(task.config).reads_chatgpt
    for row in training_rows(task.shard, columns, chosen, source, leave_out, chatgpt=chatgpt):
        counts["documents"] += 1
        counts["single"] += row.probability < 1
        counts["images"] += row.n_images
        yield row


def _write(
    task: ExportTask,
    record: Record,
    rows: Iterator[TrainingRow],
    counts: dict[str, int],
    scratch: Path,
    error: str | None,
) -> Record:
    """Write a shard's rows and put them in place between two versions of its record."""
    scratch.mkdir(parents=True, exist_ok=True)
    prefix = f"{task.stem}.part."
    partial = scratch / f"{prefix}whole"
    files: list[mds.MdsFile] = []
    try:
        if task.options.format is RowFormat.MDS:
            files = mds.write_mds(scratch, prefix, task.shard.name, rows)
            final = [replace(one, name=_final(one.name, prefix)) for one in files]
            partial.write_text(mds.index_text(final), "utf-8")
        else:
            write_parquet(partial, task.shard.name, rows)
        if not unchanged(task.shard.path, record.fingerprint):
            raise ShardError(
                f"{task.shard.path}: changed while it was read; run again once it is complete"
            )
        size, digest = partial.stat().st_size, digest_of(str(partial))
        write_record(record, task.record, scratch)
        if files:
            _put_files(task, scratch, files, prefix)
        elif task.options.format is RowFormat.MDS and not is_remote(task.out):
            make_folder(os.path.dirname(task.target), ExportError)
        put_in_place(partial, task.target)
    finally:
        partial.unlink(missing_ok=True)
        for left in scratch.glob(f"{_literal(prefix)}*.mds"):
            left.unlink(missing_ok=True)
    record = replace(
        record, whole=error is None, size=size, digest=digest, counts=counts, error=error
    )
    write_record(record, task.record, scratch)
    return record


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _final(name: str, prefix: str) -> str:
    return f"shard.{name.removeprefix(prefix)}"


def _put_files(task: ExportTask, scratch: Path, files: list[mds.MdsFile], prefix: str) -> None:
    """Put a shard's MDS files into its folder, and remove those of another setting."""
    folder = os.path.dirname(task.target)
    if exists(task.target):
        for old in _mds_files(task):
            with suppress(OSError, ShardError):
                remove(f"{folder}/{old.name}")
        remove(task.target)
    if not is_remote(folder):
        make_folder(folder, ExportError)
    for one in files:
        put_in_place(scratch / one.name, f"{folder}/{_final(one.name, prefix)}")


def _mds_files(task: ExportTask) -> list[mds.MdsFile]:
    """Return the files of a shard's MDS folder; none if its index is missing or malformed."""
    try:
        with open_for_reading(task.target) as file:
            found = mds.files_in(json.loads(file.read()))
    except (OSError, ValueError, LookupError, TypeError, ShardError):
        return []
    return [one for one in found if os.path.basename(one.name) == one.name]


def _files_intact(task: ExportTask) -> bool:
    """Whether the files that a shard's MDS index lists are as they were written."""
    if task.options.format is not RowFormat.MDS:
        return True
    folder = os.path.dirname(task.target)
    paths = {f"{folder}/{one.name}": one for one in _mds_files(task)}
    return all(
        exists(path)
        and size_of(path) == one.size
        and (is_remote(path) or digest_of(path) == one.digest)
        for path, one in paths.items()
    )


def _merge(tasks: Sequence[ExportTask]) -> None:
    """Write the index of all shards, as MosaicML's ``merge_index`` would."""
    files = [
        replace(one, name=f"{task.stem}/{one.name}") for task in tasks for one in _mds_files(task)
    ]
    out, scratch = tasks[0].out, scratch_of(tasks[0].out)
    partial = scratch / mds.INDEX
    try:
        partial.write_text(mds.index_text(files), "utf-8")
        put_in_place(partial, f"{out.rstrip('/') or '/'}/{mds.INDEX}")
    except OSError as error:
        raise ExportError(f"{out}: cannot be written: {error.strerror or error}") from None


def _exported(task: ExportTask, record: Record, status: str) -> Exported:
    out_bytes = record.size + sum(
        one.size for one in (_mds_files(task) if task.options.format is RowFormat.MDS else ())
    )
    return Exported(
        task.shard.path,
        status if record.error is None else "incomplete",
        record.error,
        record.counts,
        size_of(task.shard.path),
        out_bytes,
    )
