"""Open an index and its score sets.

Every file is a checked Arrow file (`mmc4viz.data.checked`), whose metadata says what it was made
from. What the columns mean is not this room's affair.

A set has one mapped uncompressed Arrow file a shard, in ``DIR/similarity/NAME/``, with the columns
of `similarity_schema`; put over a shard's columns they take the place of its own matrices. These,
as the shards carry them, are the set `OWN`. Sets are made by `attach`, found and mapped here.

The name that nobody said is `UNKNOWN`, everywhere. An index records what it was told of its shards'
own similarity in ``DIR/similarity/own.json``; a score set says it itself. Of shards nothing is
known but of those of the sample. Settles no setting: a person may always name a model.

Files are mapped, never loaded. Its similarity is the shards' own, or that of one of its sets. The
manifest only repeats what the files' metadata say. Making columns is the build's job.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa

from mmc4viz.data.checked import (
    CheckedBatch,
    IndexFileError,
    open_checked,
    sealed,
    unsealed,
    write_checked,
)
from mmc4viz.data.columns import Columns, schema
from mmc4viz.data.scale import scale_in
from mmc4viz.data.shards import Shard, named
from mmc4viz.data.similarity_file import put_over, similarity_schema
from mmc4viz.data.storage import (
    download,
    fingerprint,
    is_remote,
    listing,
    natural,
    open_for_reading,
    put_in_place,
)
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.types import ConfigError, LoaderConfig, ShardError, TokenizerError

FORMAT: Final = "2"
SUFFIX: Final = ".arrow"
SETS: Final = "similarity"  # the folder of an index in which its sets are
IN_MEMORY: Final = 64 << 20  # bytes; files that are more together are mapped
_KEY: Final = b"mmc4viz"
_SHARD_LAYOUTS: Final = tuple(schema(t) for t in (pa.float32(), pa.float64()))

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
    batch, metadata = map_batch(path, _SHARD_LAYOUTS, in_memory)
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


FOLDER: Final = SETS
OWN: Final = "own"
_NAME: Final = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
_SET_LAYOUTS: Final = tuple(similarity_schema(t) for t in (pa.float32(), pa.float64()))


@dataclass(frozen=True, slots=True)
class ScoreSet:
    """One model's similarity of an index's documents.

    Attributes
    ----------
    name : str
        By which it is asked for; ``own`` for what the shards carry.
    model : str
        The CLIP model's name, ``unknown`` where nobody said it.
    weights : str
        What its weights are told by, a digest or a revision; empty where nobody said it.
    preprocessing : str
        How images and text were prepared; likewise.
    scale : str
        As declared, else as recognised from the data: cosine, ×100, softmax, sigmoid or unknown.
    """

    name: str
    model: str
    weights: str = ""
    preprocessing: str = ""
    scale: str = "unknown"


@dataclass(frozen=True, slots=True)
class ScoreSetOrigin:
    """What a file of a set was made from.

    Attributes
    ----------
    set, model, weights, preprocessing, scale : str
        As in `ScoreSet`; ``scale`` is empty where the sidecar declares none.
    sidecar : str
        Fingerprint of the Parquet file.
    index_file : str
        Digest of what the index file was made from whose documents these are.
    documents : int
        Of the shard.
    matched : int
        Those of them that have similarity.
    format : str
    """

    set: str
    model: str
    weights: str
    preprocessing: str
    scale: str
    sidecar: str
    index_file: str
    documents: int = 0
    matched: int = 0
    format: str = FORMAT


def checked_name(name: str) -> str:
    """Return a set's name, or refuse it.

    Examples
    --------
    >>> checked_name("vit-b.32")
    'vit-b.32'
    >>> checked_name("../b")
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: '../b' is no name for a score set: letters, digits, - _ and .
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a score set: letters, digits, - _ and .")
    if name == OWN:
        raise ConfigError(f"{OWN!r} names the shards' own similarity; choose another name")
    return name


def folder_of(index: str, name: str) -> str:
    """Return a set's folder."""
    return f"{index.rstrip('/')}/{FOLDER}/{name}"


def identity(origin: Origin) -> str:
    """Digest what an index file was made from, but for its place among shards and folders."""
    skip = {"position", "relative"}
    facts = {name: value for name, value in asdict(origin).items() if name not in skip}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def names_in(index: str) -> list[str]:
    """Return the names of an index's sets, sorted, without the shards' own."""
    if is_remote(index):
        try:
            files = listing(f"{index.rstrip('/')}/{FOLDER}/*/*{SUFFIX}")
        except ShardError:
            return []
        names = {os.path.basename(os.path.dirname(path)) for path in files}
    else:
        names = {path.parent.name for path in Path(index, FOLDER).glob(f"*/*{SUFFIX}")}
    return sorted(name for name in names if _NAME.fullmatch(name) and name != OWN)


def map_set_file(path: Path, in_memory: bool = False) -> tuple[CheckedBatch, ScoreSetOrigin]:
    """Map a set's file; raises an IndexFileError where it is none."""
    batch, metadata = map_batch(path, _SET_LAYOUTS, in_memory)
    return batch, origin_in(metadata, ScoreSetOrigin, path)


def mapped(index: str, name: str) -> dict[str, tuple[CheckedBatch, ScoreSetOrigin]]:
    """Map all files of a set, by the identity of the index file that each belongs to.

    Raises
    ------
    IndexFileError
        For a file that is none.
    """
    paths = _paths(index, name)
    in_memory = small(paths)
    found = (map_set_file(path, in_memory) for path in paths)
    return {origin.index_file: (batch, origin) for batch, origin in found}


def _paths(index: str, name: str) -> list[Path]:
    return sorted(local_copy(folder_of(index, name)).glob(f"[!.]*{SUFFIX}"))


def described(index: str, name: str) -> ScoreSet:
    """Say what a set is, by the first of its files; an empty scale is one nobody declared."""
    _, origin = map_set_file(_paths(index, name)[0])
    return ScoreSet(origin.set, origin.model, origin.weights, origin.preprocessing, origin.scale)


def with_set(
    index: str, name: str, columns: Sequence[Columns], origins: Sequence[Origin]
) -> tuple[Columns, ...]:
    """Put a set over the columns of an index.

    Raises
    ------
    IndexFileError
        When there is no such set, or it is not of every shard as it is indexed now.
    """
    if name not in (names := names_in(index)):
        known = ", ".join([OWN, *names])
        raise IndexFileError(f"{index}: no score set {name!r}; there are: {known}")
    files = mapped(index, name)
    lacking = [origin.path for origin in origins if identity(origin) not in files]
    if lacking:
        raise IndexFileError(
            f"{index}: the score set {name!r} lacks {len(lacking)} of {len(origins)} shards, "
            f"or they were indexed anew since ({os.path.basename(lacking[0])}); run mmc4viz index "
            f"--out {index} --similarity {name}=FILE"
        )
    return tuple(
        put_over(part, files[identity(origin)][0])
        for part, origin in zip(columns, origins, strict=True)
    )


UNKNOWN: Final = LoaderConfig().clip_model
"""The name of a CLIP model that nobody has named."""
SAMPLE_MODEL: Final = "sample-a"
_FILE: Final = "own.json"


def sample_folder() -> Path | None:
    """Return the folder of the sample: a wheel has it in the package, a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    folders = (package / "sample_data", package.parent / "sample_data")
    return next((folder for folder in folders if any(folder.glob("*.tar"))), None)


def model_of_shards(paths: Iterable[str]) -> str:
    """Name the CLIP model whose similarity shards carry, as far as their place tells it.

    Examples
    --------
    >>> model_of_shards(["/corpus/0.tar"])
    'unknown'
    """
    sample, shards = sample_folder(), list(paths)
    if sample is None or not shards:
        return UNKNOWN
    return SAMPLE_MODEL if all(_is_of_sample(path, sample) for path in shards) else UNKNOWN


def _is_of_sample(path: str, sample: Path) -> bool:
    """Whether a shard lies in the sample's folder, or is a copy by name and size."""
    if is_remote(path):
        return False
    if os.path.realpath(os.path.dirname(path)) == str(sample):
        return True
    try:
        return os.path.getsize(path) == os.path.getsize(sample / os.path.basename(path))
    except OSError:
        return False


def model_of_index(index: str, paths: Iterable[str]) -> str:
    """Name the CLIP model whose similarity an index's shards carry: as told, else by their place.

    Raises
    ------
    IndexFileError
        When what was recorded is no name.
    """
    found = recorded(index)
    return model_of_shards(paths) if found == UNKNOWN else found


def recorded(index: str) -> str:
    """Read what an index was told of its shards' model; `UNKNOWN` if nothing.

    Raises
    ------
    IndexFileError
        When the record is none.
    """
    path = _place(index)
    try:
        with open_for_reading(path) as file:
            found = _told(file.read())
    except (FileNotFoundError, NotADirectoryError, ShardError):
        return UNKNOWN
    except OSError as error:
        raise IndexFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        found = None
    if not isinstance(found, str) or not found or not found.isprintable():
        raise IndexFileError(
            f"{path}: names no CLIP model, or is damaged: run mmc4viz index --out {index} "
            "--clip-model NAME"
        )
    return found


def _told(raw: bytes) -> Any:
    """Return what a record says; those of older versions have no digest."""
    found = json.loads(raw)
    return (found if found.keys() == {"clip_model"} else unsealed(raw))["clip_model"]


def record(index: str, name: str, scratch: Path) -> None:
    """Record which model's similarity the shards of an index carry; told again, the last counts."""
    put_text(sealed({"clip_model": name}), scratch / f"{os.getpid()}-{_FILE}", _place(index))


def _place(index: str) -> str:
    return f"{index.rstrip('/')}/{FOLDER}/{_FILE}"


def names_of(own: str, models: Mapping[str, str]) -> dict[str, str]:
    """Give every score set a name to be shown and labelled by: that of its CLIP model.

    Where several are of one model, the shards' own has its name, else the set that is called like
    it; the others have the set's name behind it.

    Parameters
    ----------
    own : str
        The model whose similarity the shards carry.
    models : mapping of str to str
        The model of each further set, by the set's name.

    Returns
    -------
    dict of str to str
        Sets by their shown names, the shards' own first.

    Examples
    --------
    >>> names_of("a", {"mine": "b", "other": "c"})
    {'a': 'own', 'b': 'mine', 'c': 'other'}
    >>> names_of("a", {"b": "b", "again": "b", "third": "a"})
    {'a': 'own', 'b': 'b', 'b (again)': 'again', 'a (third)': 'third'}
    """
    plain = {own: OWN}
    for name, model in sorted(models.items(), key=lambda item: (item[0] != item[1], item[0])):
        plain.setdefault(model, name)
    shown = {own: OWN}
    for name, model in models.items():
        words = model if plain[model] == name else f"{model} ({name})"
        shown[words if words not in shown else f"{words} ({name})"] = name
    return shown


__all__ = [
    "FORMAT",
    "MANIFEST",
    "OWN",
    "SUFFIX",
    "Index",
    "IndexFileError",
    "Origin",
    "ScoreSet",
    "absolute",
    "digest",
    "file_name",
    "files_of",
    "local_file",
    "located",
    "open_index",
    "read_origin",
    "relative",
    "write_file",
    "write_manifest",
]

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True)
class Index:
    """An opened index: its columns are mapped, not loaded.

    Attributes
    ----------
    folder : str
    columns : tuple of Columns
        A part a shard, in the order of their positions; with the similarity asked for.
    origins : tuple of Origin
        Likewise, as they were; where a shard is now, its columns say.
    similarity : str
        Name of the set whose similarity is in the columns; ``own`` for the shards' own.
    """

    folder: str
    columns: tuple[Columns, ...]
    origins: tuple[Origin, ...]
    similarity: str = OWN
    _own: tuple[Columns, ...] = ()

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

    @cached_property
    def sets(self) -> tuple[ScoreSet, ...]:
        """Its score sets, the shards' own first; scales nobody declared are recognised."""
        own = ScoreSet(OWN, self.own_model, scale=scale_in(self._own or self.columns))
        return (own, *(self._described(name) for name in names_in(self.folder)))

    @cached_property
    def own_model(self) -> str:
        """The CLIP model whose similarity the shards carry; ``unknown`` where nobody said it."""
        return model_of_index(self.folder, (part.shard.path for part in self.columns))

    @cached_property
    def set_models(self) -> dict[str, str]:
        """The CLIP model of each of its sets, by the set's name, without the shards' own."""
        told = _told_models(self.folder) if is_remote(self.folder) else {}
        names = names_in(self.folder)
        return {name: told.get(name) or described(self.folder, name).model for name in names}

    @cached_property
    def models(self) -> dict[str, str]:
        """Its score sets by the names they are shown by, the shards' own first."""
        return names_of(self.own_model, self.set_models)

    @property
    def model(self) -> str:
        """The name of the CLIP model whose similarity is in the columns."""
        return next(name for name, one in self.models.items() if one == self.similarity)

    def _described(self, name: str) -> ScoreSet:
        found = described(self.folder, name)
        if found.scale:
            return found
        return replace(found, scale=scale_in(self.with_similarity(name).columns))

    def with_similarity(self, name: str | None) -> Index:
        """Return the same index with another of its sets in the columns.

        Raises
        ------
        IndexFileError
            When there is no such set, or it is not of every shard as it is indexed now.
        """
        if (name or OWN) == self.similarity:
            return self
        own = self._own or self.columns
        if name is None or name == OWN:
            return replace(self, columns=own, similarity=OWN, _own=())
        columns = with_set(self.folder, name, own, self.origins)
        return replace(self, columns=columns, similarity=name, _own=own)


def open_index(folder: str, tokenizer: str | None = None, similarity: str | None = None) -> Index:
    """Open an index.

    Parameters
    ----------
    folder : str
        Local, or on a store.
    tokenizer : str, optional
        The one asked for; the index's own when left out.
    similarity : str, optional
        Name of one of its score sets; the shards' own (``own``) when left out.

    Raises
    ------
    IndexFileError
        When it is none, was made with another tokenizer, or has no such set of all its shards.
    """
    paths = files_of(folder)
    in_memory = small(paths)
    mapped = sorted(
        (map_columns(path, in_memory) for path in paths),
        key=lambda item: (item[1].position, natural(item[1].path)),
    )
    origins = tuple(origin for _, origin in mapped)
    counted = _one_tokenizer(folder, origins, tokenizer)
    shards = named(located(origin, folder) for origin in origins)
    columns = tuple(
        Columns(Shard(shard.path, origin.position, shard.name), batch, counted, origin.error)
        for (batch, origin), shard in zip(mapped, shards, strict=True)
    )
    return Index(folder, columns, origins).with_similarity(similarity)


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


def _told_models(folder: str) -> dict[str, str]:
    """Read the sets' models from the manifest, so that no set of a store is copied to know them."""
    try:
        with open_for_reading(f"{folder.rstrip('/')}/{MANIFEST}") as file:
            told = unsealed(file.read())["sets"]
        return {str(one["name"]): str(one["model"]) for one in told}
    except (OSError, ShardError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def write_manifest(folder: str, scratch: Path) -> list[Origin]:
    """Derive the manifest from the index's files; return what they were made from."""
    origins = sorted(
        (read_origin(path) for path in files_of(folder)),
        key=lambda o: (o.position, natural(o.path)),
    )
    content = {
        "format": FORMAT,
        "documents": sum(origin.documents for origin in origins),
        "clip_model": model_of_index(folder, (located(origin, folder) for origin in origins)),
        "sets": [asdict(described(folder, name)) for name in names_in(folder)],
        "shards": [asdict(origin) | {"file": file_name(origin.path)} for origin in origins],
    }
    beside = scratch / f"{os.getpid()}-{MANIFEST}"
    put_text(sealed(content), beside, f"{folder.rstrip('/')}/{MANIFEST}")
    return origins
