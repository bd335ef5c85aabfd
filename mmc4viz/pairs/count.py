"""Count a table into a tally: in this process, in worker processes or on Dask; or into an index.

An index of a table is a folder with a tally per file, a tally of all of them, and ``pairs.json``,
which says what was counted. Each file is a job of its own that writes its tally atomically, so a
run that was killed goes on where it was.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmc4viz.data import jobs
from mmc4viz.data.build_index import scratch_of
from mmc4viz.data.checked import IndexFileError
from mmc4viz.data.index import absolute, file_name
from mmc4viz.data.jobs import OUT_OF_MEMORY, run
from mmc4viz.data.scale import Scale
from mmc4viz.data.storage import (
    fingerprint,
    is_remote,
    locked,
    make_folder,
    open_for_reading,
    put_in_place,
    size_of,
    unchanged,
)
from mmc4viz.pairs.histogram import PairTally, TallyCounter, unpacked
from mmc4viz.pairs.layout import LAYOUTS, OTHER, KeepRule, PairLayout, ScoreColumn
from mmc4viz.pairs.recognise import MANIFEST, JoinedFile, TableFile
from mmc4viz.pairs.selection import RowCondition, admitted, downloaded, downloads, unreadable
from mmc4viz.pairs.table import PairTable, batches, needed, open_file, row_groups
from mmc4viz.types import ConfigError, Mmc4vizError, ShardError

_FORMAT: Final = 2
_TOTAL: Final = "total.npz"
_SUFFIX: Final = ".npz"
_JOBS_EACH: Final = 8  # jobs per worker


@dataclass(frozen=True, slots=True)
class CountPlan:
    """What is counted, alike for all files of a table.

    Attributes
    ----------
    layout : str
        Name of the layout.
    columns : tuple of ScoreColumn
    joint : bool
        Whether the first two are also counted together.
    where : tuple of RowCondition
    rule : KeepRule
    joined : JoinedFile or None
        Another file whose columns are joined to the table; an index has none.
    """

    layout: str
    columns: tuple[ScoreColumn, ...]
    joint: bool
    where: tuple[RowCondition, ...]
    rule: KeepRule
    joined: JoinedFile | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, as an index records it."""
        found = asdict(self)
        del found["joined"]
        return json.loads(json.dumps(found))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> CountPlan:
        """Return it from plain values."""
        return cls(
            found["layout"],
            tuple(
                ScoreColumn(one["name"], one["model"], Scale(**one["scale"]))
                for one in found["columns"]
            ),
            found["joint"],
            tuple(RowCondition(**one) for one in found["where"]),
            KeepRule(**found["rule"]),
        )

    def counter(self) -> TallyCounter:
        """Return a new counter."""
        return TallyCounter(self.columns, self.rule, len(self.where), self.joint)


def plan_of(
    table: PairTable,
    columns: Sequence[ScoreColumn],
    where: Sequence[RowCondition] = (),
    strict: bool = False,
) -> CountPlan:
    """Return what to count of a table: columns, the first two of them together if both are scores.

    Raises
    ------
    ConfigError
        Without a column.
    """
    if not columns:
        known = f", such as {table.numbers[0].name}" if table.numbers else ""
        raise ConfigError(
            f"{table.paths[0]}: no scores ({table.layout.words}); name a numeric column with "
            f"--score COLUMN=MODEL{known}, or join those of another file with --scores FILE"
        )
    rule = replace(table.layout.rule, strict=strict or table.layout.rule.strict)
    joint = len(columns) > 1 and all(one.is_score for one in columns[:2])
    return CountPlan(table.layout.name, tuple(columns), joint, tuple(where), rule, table.joined)


def layout_named(name: str) -> PairLayout:
    """Return the layout of a name."""
    return next((one for one in LAYOUTS if one.name == name), OTHER)


Piece = tuple[str, tuple[int, ...] | None]
"""The path of a file, and row groups of it; None for all."""


@dataclass(frozen=True, slots=True)
class CountJob:
    """Files, or row groups of a file, that a worker counts.

    Attributes
    ----------
    plan : CountPlan
    pieces : tuple of Piece
    """

    plan: CountPlan
    pieces: tuple[Piece, ...]


def count_job(job: CountJob) -> PairTally:
    """Count some files, in a worker; a file that cannot be read costs only itself."""
    counter = job.plan.counter()
    for path, groups in job.pieces:
        _count_file(job.plan, counter, path, groups)
    return counter.tally()


def _count_file(
    plan: CountPlan, counter: TallyCounter, path: str, groups: Sequence[int] | None = None
) -> None:
    try:
        file = open_file(path, plan.joined)
        _count_rows(plan, counter, file, groups)
    except ShardError as error:
        counter.errors.append(str(error))


def _count_rows(
    plan: CountPlan, counter: TallyCounter, file: TableFile, groups: Sequence[int] | None
) -> None:
    layout = layout_named(plan.layout)
    names = [*(one.name for one in plan.columns), *(one.column for one in plan.where)]
    wanted = needed([*names, *downloads(file)], layout, file.columns)
    for batch in batches(file, wanted, groups):
        numbers = [batch.numbers(one.name, layout) for one in plan.columns]
        values, bad = [one.values for one in numbers], [one.malformed for one in numbers]
        counter.rows += batch.rows
        if plan.where or downloads(file):
            here = downloaded(batch)
            pool = admitted(batch, plan.where, layout) & here
            met = [int(one.met(batch, layout).sum()) for one in plan.where]
            counter.met += np.array(met, np.int64)
            broken = int(unreadable(batch).sum())
            counter.unreadable += broken
            counter.not_downloaded += int(batch.rows - here.sum()) - broken
            counter.filtered += int((here & ~pool).sum())
            values = [one[pool] for one in values]
            bad = [min(count, int(np.isnan(v).sum())) for v, count in zip(values, bad, strict=True)]
        counter.add(values, [one.single for one in numbers], bad)


MakeWorkers = Callable[[], AbstractContextManager[Executor]]


def count(
    table: PairTable,
    plan: CountPlan,
    make_executor: MakeWorkers | None = None,
    workers: int = 1,
    progress: Callable[[int], object] = lambda _: None,
) -> PairTally:
    """Count a table.

    Parameters
    ----------
    table : PairTable
    plan : CountPlan
    make_executor : callable, optional
        Returns workers; without it, or for a small table, this process counts.
    workers : int
        Number of workers.
    progress : callable, optional
        Called with the number of rows counted since the last call.

    Returns
    -------
    PairTally
        With a line for each file that could not be read completely.
    """
    total = plan.counter()

    def take(one: PairTally) -> None:
        total.include(one)
        progress(one.rows)

    if make_executor is None or is_small(table.paths):
        for path in table.paths:
            take(count_job(CountJob(plan, ((path, None),))))
    else:
        jobs.get_ready(__name__)
        parts = [CountJob(plan, pieces) for pieces in parts_of(table.paths, workers)]
        run(_counted_small, parts, make_executor, take, _lost)
    return total.tally()


def _counted_small(job: CountJob) -> PairTally:
    try:
        return count_job(job)
    except MemoryError:
        return _lost(job, OUT_OF_MEMORY)


def _lost(job: CountJob, reason: str) -> PairTally:
    names = ", ".join(path for path, _ in job.pieces[:3])
    return replace(job.plan.counter().tally(), errors=(f"{names}: {reason}",))


def is_small(paths: Sequence[str]) -> bool:
    """Whether files are so small that workers would not pay."""
    total = 0
    for path in paths:
        with suppress(ShardError):
            total += size_of(path)
        if total > jobs.SMALL:
            return False
    return True


def parts_of(paths: Sequence[str], workers: int) -> list[tuple[Piece, ...]]:
    """Divide a table into parts for workers: of single files or, if there are few, row groups."""
    most = _JOBS_EACH * workers
    pieces: list[Piece] = []
    for path in paths:
        groups: list[int] = []
        if len(paths) < most:
            with suppress(ShardError):
                groups = row_groups(open_file(path))
        parts = min(len(groups), -(-most // len(paths)))
        if parts > 1:
            split = np.array_split(np.arange(len(groups)), parts)
            pieces += [(path, tuple(part.tolist())) for part in split]
        else:
            pieces.append((path, None))
    return [tuple(pieces[n::most]) for n in range(min(most, len(pieces)))]


# --- an index ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PairIndexTask:
    """A file to be counted into an index."""

    path: str
    folder: str
    plan: CountPlan


@dataclass(frozen=True, slots=True)
class PairFileDone:
    """The result for one file of a table.

    Attributes
    ----------
    path : str
    status : str
        ``counted``, ``skipped`` (counted before), ``incomplete`` or ``failed``.
    reason : str or None
        Why it was not counted completely.
    rows, n_bytes : int
        Rows counted, and the size of the file.
    """

    path: str
    status: str
    reason: str | None = None
    rows: int = 0
    n_bytes: int = 0


def build_pair_index(
    tasks: Sequence[PairIndexTask],
    make_executor: MakeWorkers,
    on_done: Callable[[PairFileDone], object],
) -> list[PairFileDone]:
    """Count files into an index; those counted before in the same way are skipped.

    Returns
    -------
    list of PairFileDone
        In the order of the tasks.

    Raises
    ------
    Mmc4vizError
        When the index cannot be written.
    """
    folder, plan = tasks[0].folder, tasks[0].plan
    if not is_remote(folder):
        make_folder(folder, IndexFileError)
    done = run(count_into_index, tasks, make_executor, on_done, _failed)
    counted = [one for one in done if one.status != "failed"]
    counter = plan.counter()
    for one in counted:
        counter.include(_read(f"{folder}/{_name_of(one.path)}")[0])
    total = counter.tally()
    failed = tuple(str(one.reason) for one in done if one.status == "failed")
    _write(total, {"plan": plan.as_dict()}, folder, _TOTAL)
    content = {
        "format": _FORMAT,
        "plan": plan.as_dict(),
        "rows": total.rows,
        "files": [{"path": absolute(one.path), "rows": one.rows} for one in counted],
        "failed": failed,
    }
    _put(json.dumps(content, indent=1).encode() + b"\n", folder, MANIFEST)
    return done


def _failed(task: PairIndexTask, reason: str) -> PairFileDone:
    return PairFileDone(task.path, "failed", f"{task.path}: {reason}")


def _name_of(path: str) -> str:
    return file_name(path).removesuffix(".arrow") + _SUFFIX


def count_into_index(task: PairIndexTask) -> PairFileDone:
    """Count one file into an index, in a worker."""
    name = _name_of(task.path)
    busy = f"{task.path}: another run is counting it into {task.folder}; wait until it ends"
    with locked(scratch_of(task.folder) / f"{name}.lock", IndexFileError(busy)):
        try:
            return _counted(task, name)
        except ShardError as error:
            return PairFileDone(task.path, "failed", str(error))
        except MemoryError:
            return _failed(task, OUT_OF_MEMORY)


def _counted(task: PairIndexTask, name: str) -> PairFileDone:
    before = _before(task, name)
    if before is not None:
        return PairFileDone(task.path, "skipped", None, before.rows)
    known = fingerprint(task.path)
    tally = count_job(CountJob(task.plan, ((task.path, None),)))
    if fingerprint(task.path) != known:
        raise ShardError(f"{task.path}: changed while it was read; run again")
    if tally.errors and not tally.rows:
        raise ShardError(tally.errors[0])
    facts = {"plan": task.plan.as_dict(), "path": absolute(task.path), "fingerprint": known}
    _write(tally, facts, task.folder, name)
    status, reason = ("incomplete", tally.errors[0]) if tally.errors else ("counted", None)
    return PairFileDone(task.path, status, reason, tally.rows, size_of(task.path))


def _before(task: PairIndexTask, name: str) -> PairTally | None:
    """Return the tally of a file that is in the index, complete and up to date."""
    try:
        tally, facts = _read(f"{task.folder}/{name}")
    except ShardError:
        return None
    same = facts.get("plan") == task.plan.as_dict() and facts.get("path") == absolute(task.path)
    if not same or tally.errors or not unchanged(task.path, str(facts.get("fingerprint"))):
        return None
    return tally


def _write(tally: PairTally, facts: dict[str, Any], folder: str, name: str) -> None:
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps({"format": _FORMAT, **facts}).encode(), np.uint8)
    np.savez_compressed(buffer, facts=text, **tally.packed())  # type: ignore[arg-type]
    _put(buffer.getvalue(), folder, name)


def _put(data: bytes, folder: str, name: str) -> None:
    beside = Path(scratch_of(folder)) / f"{os.getpid()}-{name}"
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        put_in_place(beside, f"{folder.rstrip('/')}/{name}")
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise IndexFileError(
            f"{folder}: cannot be written: {error.strerror or error}; run the same command again "
            "to resume"
        ) from None


def _check(tally: PairTally, plan: CountPlan) -> None:
    """Raise a ValueError if a tally is not one of a plan."""
    kinds = []
    for one in (tally, plan.counter().tally()):
        arrays = [one.met, one.joint, one.sums, *(column.histogram for column in one.columns)]
        kinds.append([(a.shape, a.dtype) if a is not None else None for a in arrays])
    if kinds[0] != kinds[1]:
        raise ValueError


def _read(path: str) -> tuple[PairTally, dict[str, Any]]:
    """Read a tally of an index with its facts.

    Raises
    ------
    ShardError
        If it is missing, damaged or of another version.
    """
    try:
        with open_for_reading(path) as file:
            data = file.read()
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        facts = json.loads(arrays["facts"].tobytes())
        if facts["format"] != _FORMAT:
            raise ValueError
        tally = unpacked(arrays)
        _check(tally, CountPlan.from_dict(facts["plan"]))
        return tally, facts
    except FileNotFoundError:
        raise ShardError(f"{path}: not found") from None
    except (Mmc4vizError, MemoryError):
        raise
    except Exception:  # malicious bytes make NumPy and zipfile raise almost anything
        raise ShardError(f"{path}: damaged; run mmc4viz index again") from None


@dataclass(frozen=True, slots=True)
class PairIndex:
    """An index of a table.

    Attributes
    ----------
    folder : str
    plan : CountPlan
    tally : PairTally
    paths : tuple of str
        The files that it was made from.
    """

    folder: str
    plan: CountPlan
    tally: PairTally
    paths: tuple[str, ...]

    def check(
        self, where: tuple[RowCondition, ...], *, strict: bool, instead: str = "give the TABLE"
    ) -> None:
        """Raise a ConfigError, with what to do instead, if it was made under other conditions."""
        if (where and where != self.plan.where) or (strict and not self.plan.rule.strict):
            made = " and ".join(map(str, self.plan.where)) or "all rows"
            raise ConfigError(
                f"{self.folder}: counts {made}, by {self.plan.rule.sign}: {instead} for other "
                "conditions, or make another index"
            )


def open_pair_index(folder: str) -> PairIndex:
    """Open an index of a table.

    Raises
    ------
    ShardError
        If it is incomplete or damaged.
    """
    folder = folder.rstrip("/")
    try:
        with open_for_reading(f"{folder}/{MANIFEST}") as file:
            content = json.loads(file.read())
        paths = tuple(str(one["path"]) for one in content["files"])
        plan, failed = content["plan"], tuple(map(str, content["failed"]))
    except (ValueError, LookupError, TypeError, OSError, RecursionError):
        raise ShardError(f"{folder}: {MANIFEST} is damaged; run mmc4viz index again") from None
    tally, facts = _read(f"{folder}/{_TOTAL}")
    if facts["plan"] != plan or tally.rows != content.get("rows"):
        raise ShardError(f"{folder}: incomplete; run the same mmc4viz index again to finish it")
    tally = replace(tally, errors=(*tally.errors, *failed))
    return PairIndex(folder, CountPlan.from_dict(facts["plan"]), tally, paths)


def tallies(folder: str, paths: Sequence[str]) -> Iterator[PairTally]:
    """Yield the tallies of an index's files."""
    for path in paths:
        yield _read(f"{folder}/{_name_of(path)}")[0]
