"""Columns ↔ disk: an index is a folder with one uncompressed Arrow file a shard, and a manifest.

Each file's metadata says what it was made from, so that the manifest only repeats it. Files are
mapped, never loaded. Making the columns is the build's job.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from mmc4viz.corpus.columns import Columns, schema
from mmc4viz.corpus.shards import Shard
from mmc4viz.corpus.storage import download, fingerprint, is_remote, listing, upload
from mmc4viz.loader.tokens import Tokenizer, load_tokenizer
from mmc4viz.model import Mmc4vizError, TokenizerError

FORMAT: Final = "1"
SUFFIX: Final = ".arrow"
MANIFEST: Final = "manifest.json"
_KEY: Final = b"mmc4viz"


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
    format: str = FORMAT

    def made_like(self, other: Origin) -> bool:
        """Whether both were made from the same bytes in the same way."""
        skip = {"error", "documents"}
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
    return f"{base}-{hashlib.sha256(absolute(path).encode()).hexdigest()[:10]}{SUFFIX}"


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
    name = file_name(origin.path)
    beside = scratch / name
    metadata = {**(columns.batch.schema.metadata or {}), _KEY: _to_json(asdict(origin))}
    batch = columns.batch.replace_schema_metadata(metadata)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        if is_remote(folder):
            upload(f"{folder.rstrip('/')}/{name}", beside)
            beside.unlink()
        else:
            beside.replace(Path(folder) / name)
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
    return _map(path)[1]


def _map(path: Path) -> tuple[pa.RecordBatch, Origin]:
    """Map an index file into memory."""
    advice = "delete it and run mmc4viz index again"
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            found = reader.schema
            metadata = json.loads((found.metadata or {})[_KEY])
            if metadata.get("format") != FORMAT:
                raise IndexFileError(
                    f"{path}: format {metadata.get('format')} of the index, this version reads "
                    f"{FORMAT}: {advice}"
                )
            batch = reader.get_batch(0)
            if not any(found.equals(schema(t)) for t in (pa.float32(), pa.float64())):
                raise KeyError("other columns")
            origin = Origin(**metadata)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise IndexFileError(f"{path}: no whole index file ({error!s:.80}): {advice}") from None
    if origin.documents != batch.num_rows or reader.num_record_batches != 1:
        raise IndexFileError(f"{path}: no whole index file: {advice}")
    return batch, origin


def files_of(folder: str) -> list[Path]:
    """Return an index's files, in order of their names; a remote one is copied first.

    Raises
    ------
    IndexFileError
        When the folder is not there or holds no index.
    """
    local = _local_copy(folder) if is_remote(folder) else Path(folder)
    if not local.is_dir():
        raise IndexFileError(f"{folder}: no such index; mmc4viz index SHARD... --out {folder}")
    paths = sorted(p for p in local.glob(f"*{SUFFIX}") if not p.name.startswith("."))
    if not paths:
        raise IndexFileError(
            f"{folder}: no index files here; mmc4viz index SHARD... --out {folder}"
        )
    return paths


def _local_copy(folder: str) -> Path:
    """Copy a remote index to a local cache, each file once for each of its versions."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mmc4viz"
    local = root / hashlib.sha256(folder.encode()).hexdigest()[:16]
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


@dataclass(frozen=True)
class Index:
    """An opened index: its columns are mapped, not loaded.

    Attributes
    ----------
    folder : str
    columns : tuple of Columns
        A part a shard, in the order of their positions.
    origins : tuple of Origin
        Likewise.
    """

    folder: str
    columns: tuple[Columns, ...]
    origins: tuple[Origin, ...]

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose counts are in it."""
        return self.columns[0].tokenizer

    @property
    def verify(self) -> str:
        """How far all of its images were checked: the least of its files."""
        order = ("none", "header", "full")
        return min((origin.verify for origin in self.origins), key=order.index)

    @property
    def n_documents(self) -> int:
        """Documents in it."""
        return sum(len(part) for part in self.columns)


def open_index(folder: str, tokenizer: str | None = None) -> Index:
    """Open an index.

    Parameters
    ----------
    folder : str
        Local, or on a store.
    tokenizer : str, optional
        The one asked for; the index's own when left out.

    Raises
    ------
    IndexFileError
        When it is none, or was made with another tokenizer.
    """
    mapped = sorted(
        (_map(path) for path in files_of(folder)), key=lambda item: (item[1].position, item[1].path)
    )
    origins = tuple(origin for _, origin in mapped)
    counted = _one_tokenizer(folder, origins, tokenizer)
    columns = tuple(
        Columns(Shard(origin.path, origin.position), batch, counted, origin.error)
        for batch, origin in mapped
    )
    return Index(folder, columns, origins)


def _one_tokenizer(folder: str, origins: tuple[Origin, ...], asked: str | None) -> Tokenizer:
    """Load the tokenizer that counted, and make sure it is the one asked for."""
    names = sorted({origin.tokenizer for origin in origins})
    if len(names) > 1:
        raise IndexFileError(
            f"{folder}: counted with different tokenizers ({', '.join(names)}); index all shards "
            "again with one"
        )
    if asked is not None and digest(load_tokenizer(asked)) != origins[0].tokenizer_digest:
        raise IndexFileError(
            f"{folder}: counted with the tokenizer {names[0]}, not {asked}; leave --tokenizer out, "
            f"or index again with --tokenizer {asked}"
        )
    try:
        tokenizer = load_tokenizer(names[0] if asked is None else asked)
    except TokenizerError as error:
        raise IndexFileError(f"{folder}: its tokenizer cannot be loaded: {error}") from None
    if any(digest(tokenizer) != origin.tokenizer_digest for origin in origins):
        raise IndexFileError(
            f"{folder}: the tokenizer {names[0]} has changed since; index all shards again"
        )
    return tokenizer


def write_manifest(folder: str, scratch: Path) -> list[Origin]:
    """Derive the manifest from the index's files; return what they were made from."""
    origins = sorted(
        (read_origin(path) for path in files_of(folder)), key=lambda o: (o.position, o.path)
    )
    content = {
        "format": FORMAT,
        "documents": sum(origin.documents for origin in origins),
        "shards": [asdict(origin) | {"file": file_name(origin.path)} for origin in origins],
    }
    scratch.mkdir(parents=True, exist_ok=True)
    beside = scratch / f"{os.getpid()}-{MANIFEST}"
    beside.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    if is_remote(folder):
        upload(f"{folder.rstrip('/')}/{MANIFEST}", beside)
        beside.unlink()
    else:
        beside.replace(Path(folder) / MANIFEST)
    return origins
