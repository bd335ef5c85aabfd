"""Build an index, and add score sets to it.

Each shard is a separate job that writes one file atomically. When adding a score set, a shard whose
documents do not match the similarity file fails without affecting the others; an incomplete set is
refused when it is used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir

from mmc4viz.data.checked import IndexFileError
from mmc4viz.data.columns import Columns, Kind, Verify
from mmc4viz.data.index import (
    FOLDER,
    SUFFIX,
    Origin,
    ScoreSetOrigin,
    absolute,
    checked_name,
    digest,
    file_name,
    files_of,
    folder_of,
    identity,
    local_file,
    located,
    map_set_file,
    names_in,
    open_index,
    read_origin,
    recorded_with,
    relative,
    write_batch,
    write_file,
    write_manifest,
)
from mmc4viz.data.ingest import read_digested
from mmc4viz.data.jobs import OUT_OF_MEMORY, MakeExecutor, run
from mmc4viz.data.shards import Shard, images_of
from mmc4viz.data.similarity_file import OpenSimilarityFile, open_similarity_file, similarity_of
from mmc4viz.data.storage import (
    NotThereError,
    fingerprint,
    is_remote,
    locked,
    make_folder,
    remove,
    size_of,
    unchanged,
)
from mmc4viz.loader.describe import NOTHING, Description
from mmc4viz.loader.images import pillow_version
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.types import Mmc4vizError, ShardError


@dataclass(frozen=True, slots=True)
class IndexTask:
    """A shard to be indexed."""

    shard: Shard
    folder: str
    tokenizer: str
    verify: Verify
    image_dir: str | None
    describe: frozenset[Description] = NOTHING


@dataclass(frozen=True, slots=True)
class Done:
    """The result for one shard.

    Attributes
    ----------
    shard : str
        Its path.
    status : str
        ``read``, ``skipped`` (already indexed), ``incomplete`` (read in part), or ``failed``.
    reason : str or None
        Why it was not read completely.
    documents, unreadable, n_bytes : int
        Documents read, those of them unreadable under any settings, and bytes of the shard.
    notes : sequence of str
        What was not read, one line each.
    """

    shard: str
    status: str
    reason: str | None = None
    documents: int = 0
    unreadable: int = 0
    n_bytes: int = 0
    notes: Sequence[str] = ()


OnDone = Callable[[Done], None]


def build(jobs: Sequence[IndexTask], make_executor: MakeExecutor, on_done: OnDone) -> list[Done]:
    """Index shards; those already indexed in the same way are skipped.

    A shard that could be read only in part is tried again each time, since the error may be gone;
    its earlier result is replaced only if more can be read.

    Parameters
    ----------
    jobs : sequence of IndexTask
        All for one folder.
    make_executor : callable
        Returns the workers; called again when one died, which breaks the whole pool.
    on_done : callable
        Called with the result of each shard as it is finished.

    Returns
    -------
    list of Done
        In the order of the jobs.

    Raises
    ------
    Mmc4vizError
        For a shard listed twice, or an index that cannot be written.
    """
    _refuse_repeats(jobs)
    folder = jobs[0].folder
    if not is_remote(folder):
        make_folder(folder, IndexFileError)
        _rename_moved(jobs, folder)
    done = run(index_shard, jobs, make_executor, on_done, _failed)
    if any(one.status != "failed" for one in done):
        write_manifest(folder, scratch_of(folder))
    return done


def _failed(job: IndexTask, reason: str) -> Done:
    return Done(job.shard.path, "failed", f"{job.shard.path}: {reason}")


def _rename_moved(jobs: Sequence[IndexTask], folder: str) -> None:
    """Rename the files of shards that were moved together with the index."""
    lacking = {absolute(job.shard.path) for job in jobs}
    lacking = {path for path in lacking if not Path(folder, file_name(path)).exists()}
    for path in Path(folder).glob(f"*{SUFFIX}") if lacking else ():
        with suppress(IndexFileError):
            now = located(read_origin(path), folder)
            if now in lacking and path.name != file_name(now):
                path.replace(path.with_name(file_name(now)))


def _refuse_repeats(jobs: Sequence[IndexTask]) -> None:
    seen: set[str] = set()
    for job in jobs:
        if (path := absolute(job.shard.path)) in seen:
            raise ShardError(f"{job.shard.path}: listed twice; list each shard once")
        seen.add(path)


def scratch_of(folder: str) -> Path:
    """Return the folder for incomplete files."""
    if is_remote(folder):
        one = hashlib.sha256(folder.encode()).hexdigest()[:10]
        return Path(gettempdir()) / f"mmc4viz-{os.getuid()}" / one
    return Path(folder) / ".partial"


def index_shard(job: IndexTask) -> Done:
    """Index one shard, in a worker.

    Returns
    -------
    Done
        Also for a shard that cannot be read, so that the others continue.

    Raises
    ------
    Mmc4vizError
        When another run is indexing the same shard, or the index cannot be written.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is one core
    path = job.shard.path
    busy = f"{path}: another run is indexing it into {job.folder}; wait until it ends"
    lock = scratch_of(job.folder) / f"{file_name(path)}.lock"
    with locked(lock, IndexFileError(busy)):
        try:
            return _index_unlocked(job)
        except ShardError as error:
            return Done(job.shard.path, "failed", str(error))
        except MemoryError:
            return _failed(job, OUT_OF_MEMORY)


def _index_unlocked(job: IndexTask) -> Done:
    tokenizer = load_tokenizer(job.tokenizer)
    origin = Origin(
        path=absolute(job.shard.path),
        position=job.shard.position,
        fingerprint="",
        tokenizer=job.tokenizer,
        tokenizer_digest=digest(tokenizer),
        verify=str(job.verify),
        image_dir=images_of(job.shard, job.image_dir),
        relative=relative(job.shard.path, job.folder),
        recorded=recorded_with(job.describe),
        input_format=job.shard.format,
        unit=str(job.shard.unit),
    )
    before = _existing_shard(job, origin)
    if before is not None and before.error is None:
        return Done(job.shard.path, "skipped", None, before.documents)
    known = fingerprint(job.shard.path)
    columns, whole = read_digested(
        job.shard, tokenizer, job.image_dir, verify=job.verify, describe=job.describe
    )
    known_whole = whole.added_to(known)
    if fingerprint(job.shard.path) != known:
        raise ShardError(f"{job.shard.path}: changed while it was read; run again")
    if columns.error is not None and before is not None and len(columns) <= before.documents:
        return Done(job.shard.path, "incomplete", columns.error, before.documents)
    if columns.error is not None and not len(columns):
        raise ShardError(columns.error)
    origin = replace(
        origin, fingerprint=known_whole, error=columns.error, documents=len(columns),
        pillow=pillow_version(), input_format=columns.shard.format,
    )  # fmt: skip
    write_file(columns, origin, job.folder, scratch_of(job.folder))
    return Done(
        job.shard.path,
        "read" if columns.error is None else "incomplete",
        columns.error,
        len(columns),
        int((columns.kind == Kind.UNREADABLE).sum()),
        size_of(job.shard.path),
        columns.notes,
    )


def _existing_shard(job: IndexTask, origin: Origin) -> Origin | None:
    """Return the origin of this shard's file in the index, if the file is up to date."""
    try:
        before = read_origin(local_file(job.folder, file_name(job.shard.path)), thorough=True)
    except Mmc4vizError:
        return None
    here = located(before, job.folder) == origin.path and before.made_like(origin)
    return before if here and unchanged(job.shard.path, before.fingerprint) else None


def prune(folder: str) -> list[str]:
    """Remove files of shards that no longer exist; return the shards.

    Raises
    ------
    IndexFileError
        When the folder contains no index.
    ShardError
        When it cannot be determined whether a shard exists; nothing is removed then.
    """
    gone, sets = [], names_in(folder)
    for path in files_of(folder):
        origin = read_origin(path)
        if _is_gone(located(origin, folder)):
            gone.append((path, origin))
    for path, origin in gone:
        name = file_name(origin.path) if is_remote(folder) else path.name
        remove(f"{folder.rstrip('/')}/{name}")
        for one in sets:
            with suppress(ShardError):  # the set may be incomplete
                remove(f"{folder_of(folder, one)}/{file_name(origin.path)}")
    if gone:
        try:
            write_manifest(folder, scratch_of(folder))
        except IndexFileError:
            remove(f"{folder.rstrip('/')}/manifest.json")
    return [origin.path for _, origin in gone]


def _is_gone(path: str) -> bool:
    try:
        fingerprint(path)
    except NotThereError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Attached:
    """The result of adding a score set.

    Attributes
    ----------
    shards : list of Done
        One per shard of the index: ``read``, ``skipped`` or ``failed``; ``documents`` counts those
        with similarity.
    unused : int
        Rows of the similarity file for documents that are not in the index.
    """

    shards: list[Done]
    unused: int


def attach(folder: str, name: str, path: str, on_done: Callable[[Done], object]) -> Attached:
    """Add a similarity file to an index as a score set.

    Parameters
    ----------
    folder : str
        The index, local or remote.
    name : str
        Name of the set; an existing set of that name is replaced shard by shard.
    path : str
        The similarity file (Parquet).
    on_done : callable
        Called with the result of each shard as it is finished.

    Raises
    ------
    Mmc4vizError
        For an invalid name, similarity file or index.
    """
    sidecar = open_similarity_file(path)
    wanted = _wanted(checked_name(name), sidecar)
    index = open_index(folder)
    busy = f"{folder}: another run is writing the score set {name!r}; wait until it ends"
    lock = scratch_of(folder) / f"similarity-{name}.lock"
    with locked(lock, IndexFileError(busy)):
        done = []
        for part, origin in zip(index.columns, index.origins, strict=True):
            made = replace(wanted, index_file=identity(origin))
            done.append(_attach(folder, part, origin, sidecar, made))
            on_done(done[-1])
    if any(one.status != "failed" for one in done):
        write_manifest(folder, scratch_of(folder))
    unused = sidecar.n_documents - sum(one.documents for one in done)
    return Attached(done, max(unused, 0) if all(d.status != "failed" for d in done) else 0)


def _wanted(name: str, sidecar: OpenSimilarityFile) -> ScoreSetOrigin:
    facts = sidecar.facts
    return ScoreSetOrigin(
        set=name,
        model=facts["clip_model"] or name,
        weights=facts["weights"],
        preprocessing=facts["preprocessing"],
        scale=facts["scale"],
        sidecar=fingerprint(sidecar.path),
        index_file="",
    )


def _existing_set(where: str, name: str) -> ScoreSetOrigin | None:
    """Return the origin of a score set's file; None if it is damaged or missing."""
    try:
        batch, origin = map_set_file(local_file(where, name))
        batch.check()
    except Mmc4vizError:
        return None
    return origin


def _attach(
    folder: str, part: Columns, origin: Origin, sidecar: OpenSimilarityFile, made: ScoreSetOrigin
) -> Done:
    """Write the score set's file for one shard, unless it is up to date."""
    where, name = folder_of(folder, made.set), file_name(origin.path)
    before = _existing_set(where, name)
    if before is not None and unchanged(sidecar.path, before.sidecar):
        made = replace(made, sidecar=before.sidecar)
    if before is not None and replace(before, documents=0, matched=0) == made:
        return Done(origin.path, "skipped", None, before.matched)
    try:
        batch, n_matched = similarity_of(part, sidecar)
    except ShardError as error:
        return Done(origin.path, "failed", str(error))
    made = replace(made, documents=len(part), matched=n_matched)
    write_batch(batch, made, where, name, scratch_of(folder) / FOLDER / made.set)
    return Done(origin.path, "read", None, n_matched, 0, batch.nbytes)
