"""Many shards → shards on which the unmodified loader does what was chosen: workers, resuming.

A shard is one task; a task writes one whole shard and its record. What is done to a document is
`rewrite`'s job.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from mmc4viz.corpus.build import scratch_of
from mmc4viz.corpus.columns import Columns, Verify
from mmc4viz.corpus.files import absolute, digest, files_of, local_copy, map_columns
from mmc4viz.corpus.ingest import read_columns
from mmc4viz.corpus.sets import OWN, folder_of, identity, map_set_file
from mmc4viz.corpus.shards import Layout, Shard
from mmc4viz.corpus.similarity import put_over
from mmc4viz.corpus.storage import file_system, fingerprint, is_remote, listing, size_of
from mmc4viz.corpus.workers import ROUNDS, MakeExecutor, run
from mmc4viz.handover.counts import Counts
from mmc4viz.handover.options import Options, refuse_impossible
from mmc4viz.handover.records import (
    SUFFIX,
    ApplyError,
    Record,
    put,
    read_record,
    size_there,
    write_record,
)
from mmc4viz.handover.rewrite import (
    Rewritten,
    Setting,
    ShardColumns,
    SharedSentenceError,
    rewrite_shard,
)
from mmc4viz.handover.tars import Output, Unpacked, unpacked, written
from mmc4viz.loader.tokens import load_tokenizer
from mmc4viz.model import LoaderConfig, ShardError


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to be rewritten.

    Attributes
    ----------
    shard : Shard
    out : str
        The folder of the rewritten shards, local or remote.
    config : LoaderConfig
        The chosen setting.
    options : Options
    index_file : str or None
        The shard's file of an index; without, the shard is read for its columns first.
    set_file : str or None
        Its file of the similarity set that the setting was chosen on, if that is not the shard's
        own.
    dry_run : bool
        Whether nothing is written.
    """

    shard: Shard
    out: str
    config: LoaderConfig
    options: Options = field(default_factory=Options)
    index_file: str | None = None
    set_file: str | None = None
    dry_run: bool = False

    @property
    def target(self) -> str:
        """Where the rewritten shard goes."""
        return f"{self.out.rstrip('/') or '/'}/{self.shard.name}"


@dataclass(frozen=True)
class Applied:
    """What became of one shard.

    Attributes
    ----------
    shard : str
        Its path.
    status : str
        ``written``, ``counted`` (a dry run), ``skipped`` (it was written before), ``broken off``,
        or ``failed``.
    reason : str or None
        Why it broke off or failed.
    counts : Counts
        Also of a shard that was written before.
    left_out : tuple of str
        Documents that are not in the output, with the reason.
    shared : str or None
        In a dry run, words for the first document with several images on one sentence.
    n_bytes : int
        Of the original.
    out_bytes : int
        Of the rewritten shard; of a dry run, before it is packed.
    """

    shard: str
    status: str
    reason: str | None = None
    counts: Counts = field(default_factory=Counts)
    left_out: tuple[str, ...] = ()
    shared: str | None = None
    n_bytes: int = 0
    out_bytes: int = 0


def tasks_for_shards(
    shards: Sequence[Shard],
    out: str,
    config: LoaderConfig,
    options: Options,
    *,
    dry_run: bool = False,
) -> list[Task]:
    """Return a task a shard; each is read for its columns before it is rewritten."""
    return [Task(shard, out, config, options, dry_run=dry_run) for shard in shards]


def tasks_for_index(
    folder: str,
    out: str,
    config: LoaderConfig,
    options: Options,
    *,
    similarity: str | None = None,
    dry_run: bool = False,
) -> list[Task]:
    """Return a task for each of an index's shards.

    Parameters
    ----------
    folder : str
        The index.
    out, config, options
        As in `Task`.
    similarity : str, optional
        The index's similarity set that the setting was chosen on.
    dry_run : bool

    Raises
    ------
    IndexFileError
        When there is no index, or no such set.
    ApplyError
        When the index cannot say which images fail to decode, but that is asked for.
    """
    sets = {} if similarity in (None, OWN) else _set_files(folder, str(similarity))
    found = []
    for path in files_of(folder):
        _, origin = map_columns(path)
        if options.drop_undecodable and origin.verify != Verify.FULL:
            raise ApplyError(
                f"{folder}: made with --verify {origin.verify}, so it does not say which images "
                "fail to decode; index again with --verify full, or name the SHARDs"
            )
        if sets and identity(origin) not in sets:
            raise ApplyError(f"{folder}: the similarity set {similarity!r} lacks {origin.path}")
        shard = Shard(origin.path, origin.position)
        task = Task(
            shard, out, config, options, str(path), sets.get(identity(origin)), dry_run=dry_run
        )
        found.append(task)
    return sorted(found, key=lambda task: (task.shard.position, task.shard.path))


def _set_files(folder: str, name: str) -> dict[str, str]:
    """Return a set's files by the identity of the index file that each belongs to."""
    paths = sorted(local_copy(folder_of(folder, name)).glob("[!.]*.arrow"))
    if not paths:
        raise ApplyError(f"{folder}: no similarity set {name!r}")
    return {map_set_file(path)[1].index_file: str(path) for path in paths}


def disk_use(tasks: Sequence[Task]) -> tuple[int, int | None]:
    """Return about how many bytes will be written, and how many are free (None if unknown).

    The shards' own sizes, without those that are written already: more is hardly ever written,
    and less where images lose their bytes.
    """
    here = _names_in(tasks[0].out)
    todo = [task for task in tasks if task.shard.name not in here]
    needed = sum(size_of(task.shard.path) for task in todo)
    if is_remote(tasks[0].out):
        return needed, None
    folder = Path(tasks[0].out).resolve()
    while not folder.is_dir():
        folder = folder.parent
    return needed, shutil.disk_usage(folder).free


def apply_shards(
    tasks: Sequence[Task], make_executor: MakeExecutor, on_done: Callable[[Applied], object]
) -> list[Applied]:
    """Rewrite shards; those that are written as asked already are skipped.

    Parameters
    ----------
    tasks : sequence of Task
        All with one setting and one folder.
    make_executor : callable
        Returns the workers.
    on_done : callable
        Told of each shard as it is finished.

    Returns
    -------
    list of Applied
        In the order of the tasks.

    Raises
    ------
    ConfigError
        For a setting that the loader has no means for.
    SharedSentenceError
        For a document with several images on one sentence, unless nothing is written.
    ApplyError
        When shards would get in each other's, their own or something else's place, or the place
        cannot be written.
    """
    refuse_impossible(tasks[0].config)
    _check_places(tasks)
    if not tasks[0].dry_run and not is_remote(tasks[0].out):
        _make_folder(tasks[0].out)
    results: dict[int, Applied] = {}
    for place, applied in run(apply_to_shard, tasks, make_executor):
        results[place] = applied
        on_done(applied)
    for place, task in enumerate(tasks):
        if place not in results:
            reason = f"{task.shard.path}: its worker died {ROUNDS} times (out of memory?)"
            results[place] = Applied(task.shard.path, "failed", reason)
            on_done(results[place])
    return [results[place] for place in range(len(tasks))]


def _make_folder(folder: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ApplyError(f"{folder}: cannot be made: {error.strerror}") from None


def _check_places(tasks: Sequence[Task]) -> None:
    """Refuse shards that would take a place that is not theirs."""
    out = tasks[0].out
    here, seen = _names_in(out), dict[str, str]()
    for task in tasks:
        path, name = task.shard.path, task.shard.name
        if task.shard.layout is not Layout.TAR:
            raise ApplyError(
                f"{path}: apply rewrites WebDataset tars; make them from MMC4's own jsonl with "
                "OpenFlamingo's convert_mmc4_to_wds.py first"
            )
        if (other := seen.setdefault(name, path)) is not path:
            raise ApplyError(
                f"{path}: {other} has the same name, and both would be {task.target}; apply them "
                "into folders of their own"
            )
        if _same_folder(path, out):
            raise ApplyError(f"{path}: --out is its own folder; shards are never changed in place")
        if name in here and name + SUFFIX not in here:
            raise ApplyError(
                f"{task.target}: is there already, and not apply's; choose another --out"
            )


def _same_folder(path: str, out: str) -> bool:
    if is_remote(path) != is_remote(out):
        return False
    if not is_remote(path):
        return os.path.realpath(os.path.dirname(os.path.abspath(path))) == os.path.realpath(out)
    (store, shard), (other, folder) = file_system(path), file_system(out)
    return type(store) is type(other) and os.path.dirname(shard) == folder.rstrip("/")


def _names_in(out: str) -> set[str]:
    if is_remote(out):
        return {os.path.basename(path) for path in listing(out)}
    if os.path.lexists(out) and not os.path.isdir(out):
        raise ApplyError(f"{out}: is no folder")
    return set(os.listdir(out)) if os.path.isdir(out) else set()


def apply_to_shard(task: Task) -> Applied:
    """Rewrite one shard; the whole of what a worker does.

    Returns
    -------
    Applied
        A shard that cannot be read is no exception: the others go on.

    Raises
    ------
    SharedSentenceError, ApplyError
        As `apply_shards` says.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is one core
    try:
        if task.dry_run:
            with TemporaryDirectory(prefix="mmc4viz-") as folder:
                return _apply(task, Path(folder))
        scratch = scratch_of(task.out)
        with _locked(task, scratch):
            return _apply(task, scratch)
    except SharedSentenceError:
        raise
    except ShardError as error:
        return Applied(task.shard.path, "failed", str(error))


@contextmanager
def _locked(task: Task, scratch: Path) -> Iterator[None]:
    """Hold a shard's lock, which dies with its process."""
    scratch.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(scratch / f"{task.shard.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ApplyError(
            f"{task.target}: another run is writing it right now; wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _apply(task: Task, scratch: Path) -> Applied:
    record = _record(task)
    if not task.dry_run:
        before = read_record(task.target)
        same = before is not None and before.whole and before.made_like(record)
        if before is not None and same and size_there(task.target) == before.size:
            return _skipped(task, before)
    spool = scratch / f"{task.shard.name}.in"
    try:
        plain = unpacked(task.shard, spool)
        return _rewrite(task, record, plain, scratch)
    finally:
        spool.unlink(missing_ok=True)


def _record(task: Task) -> Record:
    """Return the record of a shard that is to be written."""
    now, similarity, verify = fingerprint(task.shard.path), "", str(Verify.FULL)
    if task.index_file is not None:
        _, origin = map_columns(Path(task.index_file))
        verify = origin.verify
        if origin.fingerprint != now:
            raise ShardError(f"{task.shard.path}: has changed since it was indexed; index it again")
    if task.set_file is not None:
        _, made = map_set_file(Path(task.set_file))
        similarity = f"{made.set}:{made.sidecar}"
    return Record(
        absolute(task.shard.path),
        now,
        similarity,
        digest(load_tokenizer(task.config.tokenizer)),
        verify,
        task.config.as_dict(),
        task.options.as_dict(),
    )


def _skipped(task: Task, before: Record) -> Applied:
    return Applied(
        task.shard.path,
        "skipped",
        before.error,
        Counts.of(before.counts),
        tuple(before.left_out),
        out_bytes=before.size,
        n_bytes=size_of(task.shard.path),
    )


def _columns(task: Task, plain: Unpacked) -> ShardColumns:
    """Return a shard's columns, from an index or by reading it."""
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
    if task.set_file is None:
        return ShardColumns(own, own)
    return ShardColumns(own, put_over(own, map_set_file(Path(task.set_file))[0]))


def _rewrite(task: Task, record: Record, plain: Unpacked, scratch: Path) -> Applied:
    columns = _columns(task, plain)
    setting = Setting(task.config, task.options, columns.own.tokenizer)

    def rewrite(out: Output) -> Rewritten:
        return rewrite_shard(
            columns, lambda: open(plain.path, "rb"), out, setting, refuse_shared=not task.dry_run
        )

    if task.dry_run:
        out = Output(None)
        return _applied(task, rewrite(out), out.size, "counted")
    beside = scratch / f"{task.shard.name}.part"
    try:
        with written(beside, plain.packing) as file:
            done = rewrite(Output(file))
        if fingerprint(task.shard.path) != record.fingerprint:
            raise ShardError(
                f"{task.shard.path}: changes while it is read; run again when it is still"
            )
        size = beside.stat().st_size
        write_record(record, task.target, scratch)
        put(beside, task.target)
        counts, left_out = done.counts.as_dict(), done.left_out
        write_record(
            replace(
                record, whole=True, size=size, counts=counts, left_out=left_out, error=done.error
            ),
            task.target,
            scratch,
        )
    except OSError as error:
        raise ApplyError(
            f"{task.out}: cannot be written: {error.strerror or error}; free some room or choose "
            "another folder, then run the same command again: it goes on where it stopped"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return _applied(task, done, size, "written")


def _applied(task: Task, done: Rewritten, size: int, status: str) -> Applied:
    return Applied(
        task.shard.path,
        status if done.error is None else "broken off",
        done.error,
        done.counts,
        tuple(done.left_out),
        done.shared,
        size_of(task.shard.path),
        size,
    )
