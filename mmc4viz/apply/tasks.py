"""Tasks: which shard is written where, and the record next to each output.

A record marks a shard as written by apply: it is written before the shard is put in place, and
records whether the shard is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from mmc4viz.apply.options import Options, RewriteCounts
from mmc4viz.apply.tar import digest_of
from mmc4viz.config_file import SLICE_THRESHOLDS
from mmc4viz.data.columns import Verify
from mmc4viz.data.index import (
    OWN,
    Origin,
    files_of,
    folder_of,
    identity,
    local_copy,
    map_columns,
    map_set_file,
    shard_of,
)
from mmc4viz.data.shards import SUFFIXES, Shard
from mmc4viz.data.storage import (
    alike,
    file_system,
    is_remote,
    listing,
    natural,
    open_for_reading,
    put_in_place,
    size_of,
)
from mmc4viz.formats.format import Container
from mmc4viz.types import LoaderConfig, Mmc4vizError, SliceThresholds

FORMAT: Final = "1"
SUFFIX: Final = ".apply.json"


class ApplyError(Mmc4vizError):
    """Rewritten shards cannot be written to their output folder."""


class ReplacingError(ApplyError):
    """Existing shards were written with different settings, and overwriting was not requested."""


@dataclass(frozen=True)
class Record:
    """How a shard was made, and the result.

    Attributes
    ----------
    shard : str
        Absolute path or address of the original.
    fingerprint : str
        Fingerprint of the original.
    similarity : str
        Name and fingerprint of the score set; empty for the shard's own scores.
    tokenizer_digest : str
    verify : str
        Image validation of the index: full, header or none.
    config, options : dict
        The settings and options.
    whole : bool
        Whether the shard is complete.
    size : int
        Size of the shard in bytes.
    digest : str
        Digest of the shard, by which a later run recognizes it.
    counts : dict
    left_out : list of str
    error : str or None
        Where the original is truncated.
    format, version : str
    """

    shard: str
    fingerprint: str
    similarity: str
    tokenizer_digest: str
    verify: str
    config: dict[str, Any]
    options: dict[str, Any]
    whole: bool = False
    size: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    error: str | None = None
    format: str = FORMAT
    version: str = field(default_factory=lambda: version("mmc4viz"))

    def made_like(self, other: Record) -> bool:
        """Whether both were made from the same bytes in the same way."""
        skip = {"whole", "size", "digest", "counts", "left_out", "error", "version"}
        mine, others = asdict(self), asdict(other)
        return all(mine[name] == others[name] for name in mine if name not in skip)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self.counts.get("documents", 0)

    def unlike(self, other: Record) -> list[str]:
        """Describe the settings and inputs in which another record differs."""
        then, now = self.config | self.options, other.config | other.options
        slices = then.pop(SLICE_THRESHOLDS, None), now.pop(SLICE_THRESHOLDS, None)
        found = [f"{n} {then.get(n)}, now {now[n]}" for n in now if then.get(n) != now[n]]
        found += ["different slice thresholds"] * (slices[0] != slices[1])
        if self.similarity != other.similarity:
            found.append("different scores")
        elif self.tokenizer_digest != other.tokenizer_digest and not found:
            found.append("different tokenizer of the same name")
        if self.shard != other.shard and not alike(self.fingerprint, other.fingerprint):
            found.append(f"made from {self.shard}")
        return found


def write_record(record: Record, path: str, scratch: Path) -> None:
    """Write a shard's record to its path atomically."""
    scratch.mkdir(parents=True, exist_ok=True)
    partial = scratch / f"{os.path.basename(path)}.record"
    partial.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", "utf-8")
    put_in_place(partial, path)


def read_record(target: str) -> Record | None:
    """Read a rewritten shard's record; None if it is missing or malformed."""
    record = record_at(target + SUFFIX)
    try:
        RewriteCounts.of({} if record is None else record.counts)
    except (ValueError, TypeError):
        return None
    return record


def record_at(path: str) -> Record | None:
    """Read the record at a path; None if it is missing or malformed."""
    try:
        if not exists(path):
            return None
        with open_for_reading(path) as file:
            record = Record(**json.loads(file.read()))
        if not all(type(number) is int for number in record.counts.values()):
            return None
        parts = (record.config, record.options, record.left_out, record.digest, record.shard)
        kinds = (dict, dict, list, str, str)
        return record if all(map(isinstance, parts, kinds)) else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def exists(path: str) -> bool:
    """Whether a file exists."""
    return bool(listing(path)) if is_remote(path) else os.path.lexists(path)


def is_intact(target: str, record: Record) -> bool:
    """Whether a shard is as recorded: by digest, or by size if it is remote."""
    if not exists(target) or size_of(target) != record.size:
        return False
    return is_remote(target) or digest_of(target) == record.digest


_TARS: Final = tuple(suffix for suffix in SUFFIXES if suffix.startswith((".tar", ".tgz")))


@dataclass(frozen=True, slots=True)
class RewriteTask:
    """One shard to be rewritten.

    Attributes
    ----------
    shard : Shard
    out : str
        The output folder, local or remote.
    config : LoaderConfig
        The chosen settings.
    options : Options
    index_file : str or None
        The shard's file in an index; None if the shard is to be read for its columns.
    set_file : str or None
        The shard's file in the score set on which the settings were chosen; None for the shard's
        own scores.
    dry_run : bool
        Whether nothing is written.
    overwrite : bool
        Whether shards written with different settings may be replaced.
    slices : SliceThresholds or None
        Slice thresholds that belong to the settings' one.
    """

    shard: Shard
    out: str
    config: LoaderConfig
    options: Options = field(default_factory=Options)
    index_file: str | None = None
    set_file: str | None = None
    dry_run: bool = False
    overwrite: bool = False
    slices: SliceThresholds | None = None

    @property
    def target(self) -> str:
        """Path of the rewritten shard."""
        return f"{self.out.rstrip('/') or '/'}/{self.shard.name}"

    def settings(self) -> dict[str, Any]:
        """Return the settings with their slice thresholds, as a record holds them."""
        slices = {} if self.slices is None else {SLICE_THRESHOLDS: self.slices.as_dict()}
        return self.config.as_dict() | slices


def tasks_for_shards(
    shards: Sequence[Shard],
    out: str,
    config: LoaderConfig,
    options: Options,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
) -> list[RewriteTask]:
    """Return one task per shard, without an index."""
    named = [replace(shard, name="") for shard in shards]  # named by base name
    return [
        RewriteTask(shard, out, config, options, dry_run=dry_run, overwrite=overwrite)
        for shard in named
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
) -> list[RewriteTask]:
    """Return one task per shard of an index.

    Parameters
    ----------
    folder : str
        The index.
    out, config, options
        As in `RewriteTask`.
    similarity : str, optional
        The score set on which the settings were chosen.
    dry_run, overwrite : bool

    Raises
    ------
    IndexFileError
        If there is no index or no such score set.
    ApplyError
        If undecodable images are to be dropped but the index did not decode them.
    """
    found = []
    for one in indexed_shards(folder, similarity):
        if options.drop_undecodable and one.origin.verify != Verify.FULL:
            raise ApplyError(
                f"{folder}: --drop-undecodable needs an index built with --verify full, not "
                f"{one.origin.verify}; run mmc4viz index again, or give SHARDs instead"
            )
        found.append(
            RewriteTask(
                one.shard, out, config, options, one.index_file, one.set_file, dry_run, overwrite
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class IndexedShard:
    """A shard with its file in an index and in a score set, as `RewriteTask` has them."""

    shard: Shard
    index_file: str
    set_file: str | None
    origin: Origin


def indexed_shards(folder: str, similarity: str | None) -> list[IndexedShard]:
    """Return the shards of an index in order, with their files in a score set, if it is not own.

    Raises
    ------
    IndexFileError
        If there is no index or no such score set.
    ApplyError
        If the score set does not cover a shard.
    """
    sets = {} if similarity in (None, OWN) else _set_files(folder, str(similarity))
    found = []
    for path in files_of(folder):
        _, origin = map_columns(path)
        if sets and identity(origin) not in sets:
            raise ApplyError(f"{folder}: the score set {similarity!r} does not cover {origin.path}")
        shard = shard_of(origin, folder)
        found.append(IndexedShard(shard, str(path), sets.get(identity(origin)), origin))
    return sorted(found, key=lambda one: (one.shard.position, natural(one.shard.path)))


def _set_files(folder: str, name: str) -> dict[str, str]:
    """Return a score set's files by the identity of their index file."""
    paths = sorted(local_copy(folder_of(folder, name)).glob("[!.]*.arrow"))
    if not paths:
        raise ApplyError(f"{folder}: no score set {name!r}")
    return {map_set_file(path)[1].index_file: str(path) for path in paths}


def disk_use(tasks: Sequence[RewriteTask]) -> tuple[int, int | None]:
    """Return about how many bytes will be written, and how many are free (None if unknown).

    This is the total size of the shards that are not written yet. Rewritten shards are rarely
    larger, and smaller if images are removed.
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


def check_places(tasks: Sequence[RewriteTask]) -> None:
    """Reject outputs that would overwrite each other, the inputs or other files.

    Raises
    ------
    ApplyError
        For the first such shard.
    """
    out = tasks[0].out
    here, seen = names_in(out), dict[str, str]()
    for task in tasks:
        path, name = task.shard.path, task.shard.name
        if task.shard.layout is not Container.TAR or not task.shard.is_mmc4:
            raise ApplyError(
                f"{path}: apply needs WebDataset tars; convert MMC4's .jsonl with OpenFlamingo's "
                "convert_mmc4_to_wds.py first"
            )
        if not name.lower().endswith(_TARS):
            raise ApplyError(f"{path}: not named like a tar ({' '.join(_TARS)}); rename it first")
        if (other := seen.setdefault(name, path)) is not path:
            raise ApplyError(
                f"{path}: {other} has the same name, so both would be written to {task.target}; "
                "use separate output folders"
            )
        if _same_folder(path, out):
            raise ApplyError(
                f"{path}: --out is the shard's own folder; shards are never changed in place"
            )
        if name in here and name + SUFFIX not in here:
            raise ApplyError(
                f"{task.target}: already exists and was not written by apply; choose another --out"
            )


def _same_folder(path: str, out: str) -> bool:
    if is_remote(path) != is_remote(out):
        return False
    if not is_remote(path):
        return os.path.realpath(os.path.dirname(os.path.abspath(path))) == os.path.realpath(out)
    (store, shard), (other, folder) = file_system(path), file_system(out)
    return type(store) is type(other) and os.path.dirname(shard) == folder.rstrip("/")


def names_in(out: str) -> set[str]:
    """Return the names of a folder's entries; none if it does not exist."""
    if is_remote(out):
        return {os.path.basename(path) for path in listing(out)}
    if os.path.lexists(out) and not os.path.isdir(out):
        raise ApplyError(f"{out}: is not a folder")
    return set(os.listdir(out)) if os.path.isdir(out) else set()
