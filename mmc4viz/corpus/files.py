"""The files of an index: what each was made from, writing them whole, mapping them, finding them.

Every file is one uncompressed Arrow file with a single batch, whose metadata says what it was made
from. What the columns mean is not this room's affair.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa

from mmc4viz.corpus.columns import Columns, schema
from mmc4viz.corpus.storage import download, fingerprint, is_remote, listing, natural, put_in_place
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import Mmc4vizError

FORMAT: Final = "1"
SUFFIX: Final = ".arrow"
ADVICE: Final = "delete it and run mmc4viz index again"
_KEY: Final = b"mmc4viz"

T = TypeVar("T")


class IndexFileError(Mmc4vizError):
    """An index, or a file of one, that cannot be used as it is."""


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
        Size and time, or ETag, of the shard when it was read.
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
    format: str = FORMAT

    def made_like(self, other: Origin) -> bool:
        """Whether both were made from the same bytes in the same way."""
        skip = {"error", "documents", "pillow"}
        mine, others = asdict(self), asdict(other)
        return all(mine[name] == others[name] for name in mine if name not in skip)


@lru_cache(maxsize=16)
def digest(tokenizer: Tokenizer) -> str:
    """Return a digest of a tokenizer's description."""
    return hashlib.sha256(tokenizer.description().encode()).hexdigest()[:16]


def absolute(path: str) -> str:
    """Return the path by which a shard is known in an index."""
    return path if is_remote(path) else os.path.abspath(path)


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
        with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        if not is_remote(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        put_in_place(beside, f"{folder.rstrip('/')}/{name}")
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise IndexFileError(
            f"{folder}: cannot be written: {error.strerror or error}; free some room or choose "
            "another folder, then run the same command again: it goes on where it stopped"
        ) from None


def _to_json(fields: Any) -> bytes:
    return json.dumps(fields, sort_keys=True).encode()


def read_origin(path: Path) -> Origin:
    """Read what an index file was made from.

    Raises
    ------
    IndexFileError
        When it is no whole index file, or of another format.
    """
    return map_columns(path)[1]


def map_columns(path: Path) -> tuple[pa.RecordBatch, Origin]:
    """Map the columns of a shard into memory; raises as `read_origin` does."""
    batch, metadata = map_batch(path, [schema(t) for t in (pa.float32(), pa.float64())])
    return batch, origin_in(metadata, Origin, path)


def map_batch(path: Path, layouts: Sequence[pa.Schema]) -> tuple[pa.RecordBatch, dict[str, Any]]:
    """Map a file into memory, with what it was made from.

    Parameters
    ----------
    path : Path
    layouts : sequence of pyarrow.Schema
        Those that it may have.

    Raises
    ------
    IndexFileError
        When it is no whole file, or of another format or layout.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            found = reader.schema
            metadata = json.loads((found.metadata or {})[_KEY])
            if metadata.get("format") != FORMAT:
                raise IndexFileError(
                    f"{path}: format {metadata.get('format')} of the index, this version reads "
                    f"{FORMAT}: {ADVICE}"
                )
            batch = reader.get_batch(0)
            if not any(found.equals(layout) for layout in layouts):
                raise KeyError("other columns")
            whole = metadata["documents"] == batch.num_rows and reader.num_record_batches == 1
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexFileError(f"{path}: no whole index file ({error!s:.80}): {ADVICE}") from None
    if not whole:
        raise IndexFileError(f"{path}: no whole index file: {ADVICE}")
    return batch, metadata


def origin_in(metadata: dict[str, Any], kind: type[T], path: Path) -> T:
    """Return what a file's metadata says that it was made from."""
    try:
        return kind(**metadata)
    except TypeError as error:
        raise IndexFileError(f"{path}: no whole index file ({error!s:.80}): {ADVICE}") from None


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
    wanted = {}
    for path in listing(folder):
        name = os.path.basename(path)
        if name.endswith(SUFFIX):
            tag = hashlib.sha256(fingerprint(path).encode()).hexdigest()[:10]
            wanted[f"{name.removesuffix(SUFFIX)}.{tag}{SUFFIX}"] = path
    for name, path in wanted.items():
        if not (local / name).exists():
            download(path, local / name)
    local.mkdir(parents=True, exist_ok=True)
    for stale in local.glob(f"*{SUFFIX}"):
        if stale.name not in wanted:
            stale.unlink()
    return local


def cache_of(folder: str) -> Path:
    """Return where a remote folder's files are kept on this machine."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mmc4viz"
    return root / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
