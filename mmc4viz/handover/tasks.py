"""Which shards are to be rewritten, with what, and where they go. Rewrites nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mmc4viz.corpus.columns import Verify
from mmc4viz.corpus.files import files_of, local_copy, located, map_columns
from mmc4viz.corpus.sets import OWN, folder_of, identity, map_set_file
from mmc4viz.corpus.shards import SUFFIXES, Layout, Shard
from mmc4viz.corpus.storage import file_system, is_remote, listing, natural, size_of
from mmc4viz.handover.options import Options
from mmc4viz.handover.records import SUFFIX, ApplyError
from mmc4viz.model import LoaderConfig

_TARS: Final = tuple(suffix for suffix in SUFFIXES if suffix.startswith((".tar", ".tgz")))


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
    overwrite : bool
        Whether shards that stand there, made with another setting, may be replaced.
    """

    shard: Shard
    out: str
    config: LoaderConfig
    options: Options = field(default_factory=Options)
    index_file: str | None = None
    set_file: str | None = None
    dry_run: bool = False
    overwrite: bool = False

    @property
    def target(self) -> str:
        """Where the rewritten shard goes."""
        return f"{self.out.rstrip('/') or '/'}/{self.shard.name}"


def tasks_for_shards(
    shards: Sequence[Shard],
    out: str,
    config: LoaderConfig,
    options: Options,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
) -> list[Task]:
    """Return a task a shard; each is read for its columns before it is rewritten."""
    named = [Shard(shard.path, shard.position) for shard in shards]  # as files are: by base name
    return [
        Task(shard, out, config, options, dry_run=dry_run, overwrite=overwrite) for shard in named
    ]


def tasks_for_index(
    folder: str,
    out: str,
    config: LoaderConfig,
    options: Options,
    *,
    similarity: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
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
    dry_run, overwrite : bool

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
        shard = Shard(located(origin, folder), origin.position)
        task = Task(
            shard, out, config, options, str(path), sets.get(identity(origin)), dry_run, overwrite
        )
        found.append(task)
    return sorted(found, key=lambda task: (task.shard.position, natural(task.shard.path)))


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
    here = names_in(tasks[0].out)
    todo = [task for task in tasks if task.shard.name not in here]
    needed = sum(size_of(task.shard.path) for task in todo)
    if is_remote(tasks[0].out):
        return needed, None
    folder = Path(tasks[0].out).resolve()
    while not folder.is_dir():
        folder = folder.parent
    return needed, shutil.disk_usage(folder).free


def check_places(tasks: Sequence[Task]) -> None:
    """Refuse shards that would take a place that is not theirs.

    Raises
    ------
    ApplyError
        One line with the first of them.
    """
    out = tasks[0].out
    here, seen = names_in(out), dict[str, str]()
    for task in tasks:
        path, name = task.shard.path, task.shard.name
        if task.shard.layout is not Layout.TAR:
            raise ApplyError(
                f"{path}: apply rewrites WebDataset tars; make them from MMC4's own jsonl with "
                "OpenFlamingo's convert_mmc4_to_wds.py first"
            )
        if not name.lower().endswith(_TARS):
            raise ApplyError(f"{path}: not named as a tar is ({' '.join(_TARS)}); rename it first")
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


def names_in(out: str) -> set[str]:
    """Return the names of what is in a folder; of one that is not there, none."""
    if is_remote(out):
        return {os.path.basename(path) for path in listing(out)}
    if os.path.lexists(out) and not os.path.isdir(out):
        raise ApplyError(f"{out}: is no folder")
    return set(os.listdir(out)) if os.path.isdir(out) else set()
