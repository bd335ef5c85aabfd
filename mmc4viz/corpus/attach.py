"""Sidecar → similarity set of an index: one file a shard, resuming.

A shard whose documents are not in the sidecar as they are in the index fails, and the others go
on; a set that lacks a shard is refused when it is asked for. Nothing of it is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from filelock import FileLock, Timeout

from mmc4viz.corpus.build import Done, scratch_of
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.files import IndexFileError, Origin, file_name, local_file, write_batch
from mmc4viz.corpus.index import open_index, write_manifest
from mmc4viz.corpus.sets import FOLDER, SetOrigin, checked_name, folder_of, identity, map_set_file
from mmc4viz.corpus.sidecar import OpenSidecar, open_sidecar
from mmc4viz.corpus.similarity import similarity_of
from mmc4viz.corpus.storage import fingerprint, unchanged
from mmc4viz.model import Mmc4vizError, ShardError


@dataclass(frozen=True, slots=True)
class Attached:
    """What became of a sidecar.

    Attributes
    ----------
    shards : list of Done
        One for each shard of the index: ``read``, ``skipped`` or ``failed``; its ``documents`` are
        those with similarity.
    unused : int
        Rows of the sidecar of documents that the index does not have.
    """

    shards: list[Done]
    unused: int


def attach(folder: str, name: str, path: str, on_done: Callable[[Done], object]) -> Attached:
    """Take a sidecar into an index as a similarity set.

    Parameters
    ----------
    folder : str
        The index, local or on a store.
    name : str
        Of the set; one of that name is replaced shard by shard.
    path : str
        The Parquet file.
    on_done : callable
        Told of each shard as it is finished.

    Raises
    ------
    Mmc4vizError
        For a name that is none, a file that is no sidecar, or no index.
    """
    sidecar = open_sidecar(path)
    wanted = _wanted(checked_name(name), sidecar)
    index = open_index(folder)
    with _locked(folder, name):
        done = []
        for part, origin in zip(index.columns, index.origins, strict=True):
            made = replace(wanted, index_file=identity(origin))
            done.append(_attach(folder, part, origin, sidecar, made))
            on_done(done[-1])
    if any(one.status != "failed" for one in done):
        write_manifest(folder, scratch_of(folder))
    unused = sidecar.n_documents - sum(one.documents for one in done)
    return Attached(done, max(unused, 0) if all(d.status != "failed" for d in done) else 0)


def _wanted(name: str, sidecar: OpenSidecar) -> SetOrigin:
    facts = sidecar.facts
    return SetOrigin(
        set=name,
        model=facts["clip_model"] or name,
        weights=facts["weights"],
        preprocessing=facts["preprocessing"],
        scale=facts["scale"],
        sidecar=fingerprint(sidecar.path),
        index_file="",
    )


def _existing(where: str, name: str) -> SetOrigin | None:
    """Return what a set's file was made from; None for one that is spoilt or not there."""
    try:
        batch, origin = map_set_file(local_file(where, name))
        batch.check()
    except Mmc4vizError:
        return None
    return origin


def _attach(
    folder: str, part: Columns, origin: Origin, sidecar: OpenSidecar, made: SetOrigin
) -> Done:
    """Make one shard's file, unless it is there."""
    where, name = folder_of(folder, made.set), file_name(origin.path)
    before = _existing(where, name)
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


@contextmanager
def _locked(folder: str, name: str) -> Iterator[None]:
    """Hold a set's lock, which dies with its process."""
    scratch = scratch_of(folder)
    scratch.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(scratch / f"similarity-{name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise IndexFileError(
            f"{folder}: another run is at the similarity set {name!r} right now; wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()
