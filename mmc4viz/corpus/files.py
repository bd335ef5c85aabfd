"""The files of an index: what each was made from, writing them whole, mapping them, finding them.

Every file is a checked Arrow file (`mmc4viz.corpus.checked`), whose metadata says what it was made
from. What the columns mean is not this room's affair.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa

from mmc4viz.corpus.checked import CheckedBatch, open_checked, write_checked
from mmc4viz.corpus.checked import IndexFileError
from mmc4viz.corpus.columns import Columns, schema
from mmc4viz.corpus.storage import download, fingerprint, is_remote, listing, natural, put_in_place
from mmc4viz.loader.tokens import Tokenizer

FORMAT: Final = "2"
SUFFIX: Final = ".arrow"
SETS: Final = "similarity"  # the folder of an index in which its sets are
IN_MEMORY: Final = 64 << 20  # bytes; files that are more together are mapped
_KEY: Final = b"mmc4viz"
_LAYOUTS: Final = tuple(schema(t) for t in (pa.float32(), pa.float64()))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index file was made from.

    Attributes
    ----------
    path : str
        The shard, absolute or with its protocol.
    position : int
        Its place in the list given, by which images are found in a folder.
    fingerprint : str
        Of the shard when it was read, with a digest of all of it where it is a local one.
    tokenizer : str
        Name of the tokenizer whose counts are in it.
    tokenizer_digest : str
        Of that tokenizer's own description, so that another one of the same name is noticed.
    verify : str
        How far images were checked: ``full``, ``header`` or ``none``.
    image_dir : str or None
    error : str or None
        What broke the shard off.
    documents : int
    pillow : str
        The Pillow that decoded the images (`mmc4viz.loader.images.pillow`), for the record.
    relative : str
        The shard's path from the index, where both are local; empty elsewhere.
    format : str
    """

    path: str
    position: int
    fingerprint: str
    tokenizer: str
    tokenizer_digest: str
    verify: str
    image_dir: str | None = None
    error: str | None = None
    documents: int = 0
    pillow: str = ""
    relative: str = ""
    format: str = FORMAT

    def made_like(self, other: Origin) -> bool:
        """Whether both were made in the same way; of which bytes is up to the fingerprint."""
        skip = {"path", "relative", "fingerprint", "error", "documents", "pillow"}
        mine, others = asdict(self), asdict(other)
        return all(mine[name] == others[name] for name in mine if name not in skip)


@lru_cache(maxsize=16)
def digest(tokenizer: Tokenizer) -> str:
    """Return a digest of a tokenizer's description."""
    return hashlib.sha256(tokenizer.description().encode()).hexdigest()[:16]


def absolute(path: str) -> str:
    """Return the path by which a shard is known in an index."""
    return path if is_remote(path) else os.path.abspath(path)


def relative(path: str, folder: str) -> str:
    """Return a shard's path from an index, empty unless both are local."""
    if is_remote(path) or is_remote(folder):
        return ""
    return os.path.relpath(os.path.abspath(path), os.path.abspath(folder))


def located(origin: Origin, folder: str) -> str:
    """Return where a shard is now: where it was, else where it was from its index's place.

    So a corpus that was moved together with its index is found.
    """
    if is_remote(origin.path) or not origin.relative or os.path.exists(origin.path):
        return origin.path
    near = os.path.normpath(os.path.join(os.path.abspath(folder), origin.relative))
    return near if os.path.isfile(near) else origin.path


def file_name(path: str) -> str:
    """Return the name of a shard's file in an index.

    Examples
    --------
    >>> file_name("/data/shard-0001.tar")
    'shard-0001.tar-f2b1b6bc68.arrow'
    """
    base = re.sub(r"[^\w.-]", "_", os.path.basename(path))[:80]
    return f"{base}-{hashlib.sha256(os.fsencode(absolute(path))).hexdigest()[:10]}{SUFFIX}"


def write_file(columns: Columns, origin: Origin, folder: str, scratch: Path) -> None:
    """Write one shard's columns: beside its place, then renamed; to a store in one upload.

    Parameters
    ----------
    columns : Columns
    origin : Origin
    folder : str
        The index.
    scratch : Path
        A local folder for what is not whole yet, on the same file system as a local index.

    Raises
    ------
    IndexFileError
        When the disk is full or the folder cannot be written.
    """
    write_batch(columns.batch, origin, folder, file_name(origin.path), scratch)


def write_batch(batch: pa.RecordBatch, origin: Any, folder: str, name: str, scratch: Path) -> None:
    """Write a batch as one whole file, with what it was made from; likewise."""
    beside = scratch / name
    metadata = {**(batch.schema.metadata or {}), _KEY: _to_json(asdict(origin))}
    batch = batch.replace_schema_metadata(metadata)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        write_checked(batch, beside)
        beside.chmod(beside.stat().st_mode & 0o444)  # who has it mapped must not see it change
        if not is_remote(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        put_in_place(beside, f"{folder.rstrip('/')}/{name}")
    except (OSError, pa.ArrowInvalid) as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise _unwritable(folder, error) from None


def put_text(text: str, beside: Path, target: str) -> None:
    """Put a text file in its place in an index: beside it first, then renamed; likewise."""
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text)
        if not is_remote(target):
            Path(target).parent.mkdir(exist_ok=True)
        put_in_place(beside, target)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise _unwritable(os.path.dirname(target), error) from None


def _unwritable(folder: str, error: Exception) -> IndexFileError:
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
    if reason is None and (said := re.search(r"\[errno (\d+)\] (.*)", str(error))):  # pyarrow's
        number, reason = int(said[1]), said[2]
    full = number in (errno.ENOSPC, errno.EDQUOT)
    do = "free some room" if full else "make it writable"
    return IndexFileError(
        f"{folder}: cannot be written: {reason or error}; {do} or choose another folder, then run "
        "the same command again: it goes on where it stopped"
    )


def _to_json(fields: Any) -> bytes:
    return json.dumps(fields, sort_keys=True).encode()


def read_origin(path: Path, thorough: bool = False) -> Origin:
    """Read what an index file was made from.

    Parameters
    ----------
    path : Path
    thorough : bool
        Whether all of its columns are checked, too.

    Raises
    ------
    IndexFileError
        When it is no whole index file, or of another format.
    """
    batch, origin = map_columns(path)
    if thorough:
        batch.check()
    return origin


def map_columns(path: Path, in_memory: bool = False) -> tuple[CheckedBatch, Origin]:
    """Map the columns of a shard into memory; raises as `read_origin` does."""
    batch, metadata = map_batch(path, _LAYOUTS, in_memory)
    return batch, origin_in(metadata, Origin, path)


def map_batch(
    path: Path, layouts: Sequence[pa.Schema], in_memory: bool = False
) -> tuple[CheckedBatch, dict[str, Any]]:
    """Map a file into memory, with what it was made from.

    Parameters
    ----------
    path : Path
    layouts : sequence of pyarrow.Schema
        Those that it may have.
    in_memory : bool
        Whether it is read now in place of being mapped.

    Raises
    ------
    IndexFileError
        When it is damaged, or of another format or layout.
    """
    batch = open_checked(path, mend, in_memory)
    try:
        metadata = json.loads((batch.schema.metadata or {})[_KEY])
        if metadata.get("format") != FORMAT:
            raise IndexFileError(
                f"{path}: format {metadata.get('format')} of the index, this version reads "
                f"{FORMAT}: {mend(path)}"
            )
        if not any(batch.schema.equals(layout) for layout in layouts):
            raise KeyError("other columns")
        whole = metadata["documents"] == batch.num_rows
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexFileError(f"{path}: no index file ({error!s:.80}): {mend(path)}") from None
    if not whole:
        raise IndexFileError(f"{path}: no whole index file: {mend(path)}")
    return batch, metadata


def mend(path: Path) -> str:
    """Say what is to be done about a file of an index that cannot be used."""
    if _caches() in path.parents:
        return "delete it: it is fetched again"
    if path.parent.parent.name == SETS:
        index = path.parents[2]
        again = f"mmc4viz index --out {index} --similarity {path.parent.name}=FILE"
    else:
        again = f"mmc4viz index SHARD... --out {path.parent}"
    return f"run {again} again; it makes anew only what is damaged"


def small(paths: Iterable[Path]) -> bool:
    """Whether files are read into memory rather than mapped.

    Nothing that happens to a file then disturbs those who use it; a mapped one that is cut short
    ends their process.
    """
    try:
        return sum(path.stat().st_size for path in paths) <= IN_MEMORY
    except OSError:  # opening it will say what is wrong
        return True


def origin_in(metadata: dict[str, Any], kind: type[T], path: Path) -> T:
    """Return what a file's metadata says that it was made from."""
    try:
        return kind(**metadata)
    except TypeError as error:
        raise IndexFileError(f"{path}: no index file ({error!s:.80}): {mend(path)}") from None


def files_of(folder: str) -> list[Path]:
    """Return an index's files, in order of their names; a remote one is copied first.

    Raises
    ------
    IndexFileError
        When the folder is not there or holds no index.
    """
    local = local_copy(folder)
    if not local.is_dir():
        raise IndexFileError(f"{folder}: no such index; mmc4viz index SHARD... --out {folder}")
    found = (p for p in local.glob(f"*{SUFFIX}") if not p.name.startswith("."))
    paths = sorted(found, key=lambda path: natural(path.name))
    if not paths:
        raise IndexFileError(
            f"{folder}: no index files here; mmc4viz index SHARD... --out {folder}"
        )
    return paths


def local_copy(folder: str) -> Path:
    """Return a folder of index files; of a remote one a local copy, each file once a version."""
    if not is_remote(folder):
        return Path(folder)
    local = cache_of(folder)
    local.mkdir(parents=True, exist_ok=True)
    wanted = {_copy_of(path, local) for path in listing(folder) if path.endswith(SUFFIX)}
    for stale in set(local.glob(f"*{SUFFIX}")) - wanted:
        stale.unlink()
    return local


def local_file(folder: str, name: str) -> Path:
    """Return one of an index's files, which need not be there; of a remote one a local copy."""
    if not is_remote(folder):
        return Path(folder, name)
    return _copy_of(f"{folder.rstrip('/')}/{name}", cache_of(folder))


def _copy_of(path: str, local: Path) -> Path:
    """Fetch a remote file, unless this version of it is there."""
    tag = hashlib.sha256(fingerprint(path).encode()).hexdigest()[:10]
    copy = local / f"{os.path.basename(path).removesuffix(SUFFIX)}.{tag}{SUFFIX}"
    if not copy.exists():
        download(path, copy)
    return copy


def cache_of(folder: str) -> Path:
    """Return where a remote folder's files are kept on this machine."""
    return _caches() / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mmc4viz"
