"""Open an index and its score sets.

An index has one Arrow file per shard with checksums (`mmc4viz.data.checked`), whose metadata say
what it was made from; the manifest repeats them. Large files are memory-mapped.

A score set has one Arrow file per shard in ``DIR/similarity/NAME/``, with the columns of
`similarity_schema`, which replace the shards' own matrices (the set `OWN`).
`mmc4viz.data.build_index.attach` adds score sets.

A score set names its CLIP model; that of the shards' own scores is recorded in
``DIR/similarity/own.json``, and is `UNKNOWN` until the user names it, except for the sample data.
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
from mmc4viz.data.columns import Columns, schemas
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
from mmc4viz.formats.registry import NAMES
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.loader.describe import Description
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.types import ConfigError, LoaderConfig, ShardError, TokenizerError

FORMAT: Final = "2"
SUFFIX: Final = ".arrow"
SETS: Final = "similarity"  # the folder of an index's score sets
IN_MEMORY: Final = 64 << 20  # bytes; larger indexes are memory-mapped
_KEY: Final = b"mmc4viz"
_SHARD_LAYOUTS: Final = tuple(schemas())
RECORDED: Final = ("faces", "digest")  # what every file has since; those of an older version do not

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index file was made from.

    Attributes
    ----------
    path : str
        The shard's path, absolute or with protocol.
    position : int
        Its position in the list of shards, which can determine its image folder.
    fingerprint : str
        The shard's fingerprint when it was read; for a local one with a digest of all its bytes.
    tokenizer : str
        Name of the tokenizer that counted the tokens.
    tokenizer_digest : str
        Digest of its definition, by which another one of the same name is noticed.
    verify : str
        How images were validated: ``full``, ``header`` or ``none``.
    image_dir : str or None
    error : str or None
        Why reading the shard stopped early, if it did.
    documents : int
    pillow : str
        The Pillow version that decoded the images; informational.
    relative : str
        The shard's path relative to the index if both are local, else empty.
    recorded : str
        What is recorded besides what the loader looks at (`recorded_with`); empty in a file of an
        older version.
    input_format : str
        The format in which the shard was read; empty for MMC4's own.
    unit : str
        What its texts were cut into.
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
    recorded: str = ""
    input_format: str = ""
    unit: str = TextUnit.SENTENCE
    format: str = FORMAT

    def made_like(self, other: Origin) -> bool:
        """Whether this was made with the settings of another, and records at least as much.

        Fingerprints are not compared.
        """
        skip = {"path", "relative", "fingerprint", "error", "documents", "pillow", "recorded"}
        skip |= set() if other.input_format else {"input_format"}  # recognized
        mine, others = asdict(self), asdict(other)
        enough = set(self.recorded.split(",")) >= set(other.recorded.split(","))
        return enough and all(mine[name] == others[name] for name in mine if name not in skip)


def recorded_with(describe: frozenset[Description]) -> str:
    """Return the names of what a file records besides what the loader looks at.

    Examples
    --------
    >>> recorded_with(frozenset())
    'faces,digest'
    """
    return ",".join([*RECORDED, *sorted(describe)])


@lru_cache(maxsize=16)
def digest(tokenizer: Tokenizer) -> str:
    """Return a digest of a tokenizer's definition."""
    return hashlib.sha256(tokenizer.description().encode()).hexdigest()[:16]


def absolute(path: str) -> str:
    """Return the path that identifies a shard in an index."""
    return path if is_remote(path) else os.path.abspath(path)


def relative(path: str, folder: str) -> str:
    """Return a shard's path relative to an index; empty unless both are local."""
    if is_remote(path) or is_remote(folder):
        return ""
    return os.path.relpath(os.path.abspath(path), os.path.abspath(folder))


def located(origin: Origin, folder: str) -> str:
    """Return where a shard is now: at its recorded path, or else at its path from the index.

    The latter finds a corpus that was moved together with its index.
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
    """Write one shard's columns to an index, atomically.

    Parameters
    ----------
    columns : Columns
    origin : Origin
    folder : str
        The index.
    scratch : Path
        A local folder for incomplete files, on the same file system as a local index.

    Raises
    ------
    IndexFileError
        When the disk is full or the folder cannot be written.
    """
    write_batch(columns.batch, origin, folder, file_name(origin.path), scratch)


def write_batch(batch: pa.RecordBatch, origin: Any, folder: str, name: str, scratch: Path) -> None:
    """Write a batch atomically to a file, with its origin as metadata."""
    beside = scratch / name
    metadata = {**(batch.schema.metadata or {}), _KEY: _to_json(asdict(origin))}
    batch = batch.replace_schema_metadata(metadata)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        write_checked(batch, beside)
        beside.chmod(beside.stat().st_mode & 0o444)  # protects processes that have it mapped
        if not is_remote(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        put_in_place(beside, f"{folder.rstrip('/')}/{name}")
    except (OSError, pa.ArrowInvalid) as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise _unwritable(folder, error) from None


def put_text(text: str, beside: Path, target: str) -> None:
    """Write a text file of an index atomically."""
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
    if reason is None and (found := re.search(r"\[errno (\d+)\] (.*)", str(error))):  # pyarrow's
        number, reason = int(found[1]), found[2]
    full = number in (errno.ENOSPC, errno.EDQUOT)
    do = "free some space" if full else "make it writable"
    return IndexFileError(
        f"{folder}: cannot be written: {reason or error}; {do} or choose another folder, then run "
        "the same command again to resume"
    )


def _to_json(fields: Any) -> bytes:
    return json.dumps(fields, sort_keys=True).encode()


def read_origin(path: Path, thorough: bool = False) -> Origin:
    """Read what an index file was made from.

    Parameters
    ----------
    path : Path
    thorough : bool
        Whether to verify all of its columns too.

    Raises
    ------
    IndexFileError
        When it is not a complete index file of this version's format.
    """
    batch, origin = map_columns(path)
    if thorough:
        batch.check()
    return origin


def map_columns(path: Path, in_memory: bool = False) -> tuple[CheckedBatch, Origin]:
    """Open an index file; raises like `read_origin`."""
    batch, metadata = map_batch(path, _SHARD_LAYOUTS, in_memory)
    return batch, origin_in(metadata, Origin, path)


def map_batch(
    path: Path, layouts: Sequence[pa.Schema], in_memory: bool = False
) -> tuple[CheckedBatch, dict[str, Any]]:
    """Open an Arrow file of an index, and return its batch and metadata.

    Parameters
    ----------
    path : Path
    layouts : sequence of pyarrow.Schema
        Accepted schemas.
    in_memory : bool
        Whether to read the file now rather than map it into memory.

    Raises
    ------
    IndexFileError
        When it is damaged, or has another format or schema.
    """
    batch = open_checked(path, how_to_repair, in_memory)
    try:
        metadata = json.loads((batch.schema.metadata or {})[_KEY])
        if metadata.get("format") != FORMAT:
            raise IndexFileError(
                f"{path}: index format {metadata.get('format')} is not supported (expected "
                f"{FORMAT}): {how_to_repair(path)}"
            )
        if not any(batch.schema.equals(layout) for layout in layouts):
            raise KeyError("unexpected columns")
        whole = metadata["documents"] == batch.num_rows
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"not an index file ({error!s:.80})"
        raise IndexFileError(f"{path}: {reason}: {how_to_repair(path)}") from None
    if not whole:
        raise IndexFileError(f"{path}: incomplete: {how_to_repair(path)}")
    return batch, metadata


def how_to_repair(path: Path) -> str:
    """Return advice on repairing a file of an index."""
    if _caches() in path.parents:
        return "delete it, and it is downloaded again"
    if path.parent.parent.name == SETS:
        index = path.parents[2]
        again = f"mmc4viz index --out {index} --similarity {path.parent.name}=FILE"
    else:
        again = f"mmc4viz index SHARD... --out {path.parent}"
    return f"run {again} (only damaged files are rebuilt)"


def small(paths: Iterable[Path]) -> bool:
    """Whether to read files into memory rather than map them.

    Files in memory are safe from later changes; truncating a mapped file crashes its users.
    """
    try:
        return sum(path.stat().st_size for path in paths) <= IN_MEMORY
    except OSError:  # opening it will report the error
        return True


def origin_in(metadata: dict[str, Any], kind: type[T], path: Path) -> T:
    """Return the origin in a file's metadata."""
    try:
        return kind(**metadata)
    except TypeError as error:
        reason = f"not an index file ({error!s:.80})"
        raise IndexFileError(f"{path}: {reason}: {how_to_repair(path)}") from None


def files_of(folder: str) -> list[Path]:
    """Return an index's files in natural order; those of a remote index are downloaded.

    Raises
    ------
    IndexFileError
        When the folder does not exist or contains no index.
    """
    local = local_copy(folder)
    if not local.is_dir():
        raise IndexFileError(
            f"{folder}: index not found; make it with mmc4viz index SHARD... --out {folder}"
        )
    found = (p for p in local.glob(f"*{SUFFIX}") if not p.name.startswith("."))
    paths = sorted(found, key=lambda path: natural(path.name))
    if not paths:
        raise IndexFileError(
            f"{folder}: not an index; make one with mmc4viz index SHARD... --out {folder}"
        )
    return paths


def local_copy(folder: str) -> Path:
    """Return a local folder of index files; a remote one is copied, only files that changed."""
    if not is_remote(folder):
        return Path(folder)
    local = cache_of(folder)
    local.mkdir(parents=True, exist_ok=True)
    wanted = {_copy_of(path, local) for path in listing(folder) if path.endswith(SUFFIX)}
    for stale in set(local.glob(f"*{SUFFIX}")) - wanted:
        stale.unlink()
    return local


def local_file(folder: str, name: str) -> Path:
    """Return the local path of an index's file, which need not exist; a remote one is copied."""
    if not is_remote(folder):
        return Path(folder, name)
    return _copy_of(f"{folder.rstrip('/')}/{name}", cache_of(folder))


def _copy_of(path: str, local: Path) -> Path:
    """Download a remote file, unless this version of it is cached."""
    tag = hashlib.sha256(fingerprint(path).encode()).hexdigest()[:10]
    copy = local / f"{os.path.basename(path).removesuffix(SUFFIX)}.{tag}{SUFFIX}"
    if not copy.exists():
        download(path, copy)
    return copy


def cache_of(folder: str) -> Path:
    """Return the local cache folder of a remote folder."""
    return _caches() / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mmc4viz"


FOLDER: Final = SETS
OWN: Final = "own"
_NAME: Final = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
_SET_LAYOUTS: Final = tuple(similarity_schema(t) for t in (pa.float32(), pa.float64()))


@dataclass(frozen=True, slots=True)
class ScoreSet:
    """One CLIP model's scores of an index's documents.

    Attributes
    ----------
    name : str
        Name of the set; ``own`` for the shards' own scores.
    model : str
        The CLIP model's name, or ``unknown``.
    weights : str
        A digest or revision of the model's weights; empty if unknown.
    preprocessing : str
        How images and text were preprocessed; empty if unknown.
    scale : str
        As declared, or recognized from the data: cosine, ×100, softmax, sigmoid or unknown.
    """

    name: str
    model: str
    weights: str = ""
    preprocessing: str = ""
    scale: str = "unknown"


@dataclass(frozen=True, slots=True)
class ScoreSetOrigin:
    """What a file of a score set was made from.

    Attributes
    ----------
    set, model, weights, preprocessing, scale : str
        As in `ScoreSet`; ``scale`` is empty if the similarity file declares none.
    sidecar : str
        Fingerprint of the similarity file.
    index_file : str
        Digest of the origin of the index file with the same documents.
    documents : int
        Documents of the shard.
    matched : int
        Documents with similarity.
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
    """Return a score set's name, or raise a ConfigError if it is invalid.

    Examples
    --------
    >>> checked_name("vit-b.32")
    'vit-b.32'
    >>> checked_name("../b")
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: '../b' is not a valid score set name: use letters, digits, - _ and .
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a valid score set name: use letters, digits, - _ and .")
    if name == OWN:
        raise ConfigError(f"{OWN!r} is reserved for the shards' own scores; choose another name")
    return name


def folder_of(index: str, name: str) -> str:
    """Return the folder of a score set."""
    return f"{index.rstrip('/')}/{FOLDER}/{name}"


def identity(origin: Origin) -> str:
    """Return a digest of an index file's origin, which tells its documents and their order."""
    skip = {"position", "relative", "recorded"}
    facts = {name: value for name, value in asdict(origin).items() if name not in skip}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def names_in(index: str) -> list[str]:
    """Return the sorted names of an index's score sets, without the shards' own."""
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
    """Open a score set's file; raises an IndexFileError if it is invalid."""
    batch, metadata = map_batch(path, _SET_LAYOUTS, in_memory)
    return batch, origin_in(metadata, ScoreSetOrigin, path)


def mapped(index: str, name: str) -> dict[str, tuple[CheckedBatch, ScoreSetOrigin]]:
    """Open all files of a score set, by the identity of the index file that each belongs to.

    Raises
    ------
    IndexFileError
        For an invalid file.
    """
    paths = _paths(index, name)
    in_memory = small(paths)
    found = (map_set_file(path, in_memory) for path in paths)
    return {origin.index_file: (batch, origin) for batch, origin in found}


def _paths(index: str, name: str) -> list[Path]:
    return sorted(local_copy(folder_of(index, name)).glob(f"[!.]*{SUFFIX}"))


def described(index: str, name: str) -> ScoreSet:
    """Describe a score set by its first file; the scale is empty if it was not declared."""
    _, origin = map_set_file(_paths(index, name)[0])
    return ScoreSet(origin.set, origin.model, origin.weights, origin.preprocessing, origin.scale)


def with_set(
    index: str, name: str, columns: Sequence[Columns], origins: Sequence[Origin]
) -> tuple[Columns, ...]:
    """Replace the similarity in the columns of an index by that of a score set.

    Raises
    ------
    IndexFileError
        When there is no such set, or it is missing or outdated for some shards.
    """
    if name not in (names := names_in(index)):
        known = ", ".join([OWN, *names])
        raise IndexFileError(f"{index}: no score set {name!r}; available: {known}")
    files = mapped(index, name)
    lacking = [origin.path for origin in origins if identity(origin) not in files]
    if lacking:
        raise IndexFileError(
            f"{index}: the score set {name!r} is missing or outdated for {len(lacking)} of "
            f"{len(origins)} shards ({os.path.basename(lacking[0])}); run mmc4viz index "
            f"--out {index} --similarity {name}=FILE"
        )
    return tuple(
        put_over(part, files[identity(origin)][0])
        for part, origin in zip(columns, origins, strict=True)
    )


UNKNOWN: Final = LoaderConfig().clip_model
"""The name of a CLIP model that was never named."""
SAMPLE_MODEL: Final = "sample-a"
_FILE: Final = "own.json"


def sample_folder() -> Path | None:
    """Return the folder of the sample: a wheel has it in the package, a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    folders = (package / "sample_data", package.parent / "sample_data")
    return next((folder for folder in folders if any(folder.glob("*.tar"))), None)


def model_of_shards(paths: Iterable[str]) -> str:
    """Return the CLIP model of shards' own scores, which is known only for the sample data.

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
    """Return the CLIP model of an index's own scores: as recorded, or else by the shards' path.

    Raises
    ------
    IndexFileError
        When the record is invalid.
    """
    found = recorded(index)
    return model_of_shards(paths) if found == UNKNOWN else found


def recorded(index: str) -> str:
    """Return the CLIP model recorded for an index's own scores; `UNKNOWN` if there is none.

    Raises
    ------
    IndexFileError
        When the record is invalid.
    """
    path = _place(index)
    try:
        with open_for_reading(path) as file:
            found = _recorded_model(file.read())
    except (FileNotFoundError, NotADirectoryError, ShardError):
        return UNKNOWN
    except OSError as error:
        raise IndexFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        found = None
    if not isinstance(found, str) or not found or not found.isprintable():
        raise IndexFileError(
            f"{path}: damaged, or does not name a CLIP model: run mmc4viz index --out {index} "
            "--clip-model NAME"
        )
    return found


def _recorded_model(raw: bytes) -> Any:
    """Return the CLIP model in a record; those of older versions have no digest."""
    found = json.loads(raw)
    return (found if found.keys() == {"clip_model"} else unsealed(raw))["clip_model"]


def record(index: str, name: str, scratch: Path) -> None:
    """Record the CLIP model of an index's own scores, replacing an earlier record."""
    put_text(sealed({"clip_model": name}), scratch / f"{os.getpid()}-{_FILE}", _place(index))


def _place(index: str) -> str:
    return f"{index.rstrip('/')}/{FOLDER}/{_FILE}"


def names_of(own: str, models: Mapping[str, str]) -> dict[str, str]:
    """Give every score set a display name, which is that of its CLIP model.

    If several sets have the same model, the plain name goes to the shards' own scores, or else to
    the set named like the model; the others have the set's name appended.

    Parameters
    ----------
    own : str
        The model of the shards' own scores.
    models : mapping of str to str
        The model of each other set, by the set's name.

    Returns
    -------
    dict of str to str
        Sets by display name, the shards' own first.

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
    """An open index.

    Attributes
    ----------
    folder : str
    columns : tuple of Columns
        One part per shard in order of position, with the similarity of the selected score set.
    origins : tuple of Origin
        What each part was made from, with recorded paths; `columns` have the current ones.
    similarity : str
        Name of the selected score set; ``own`` for the shards' own.
    """

    folder: str
    columns: tuple[Columns, ...]
    origins: tuple[Origin, ...]
    similarity: str = OWN
    _own: tuple[Columns, ...] = ()

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that counted the tokens."""
        return self.columns[0].tokenizer

    @property
    def verify(self) -> str:
        """How images were validated: the weakest level of all shards."""
        order = ("none", "header", "full")
        return min((origin.verify for origin in self.origins), key=order.index)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return sum(len(part) for part in self.columns)

    @cached_property
    def sets(self) -> tuple[ScoreSet, ...]:
        """Its score sets, the shards' own first; undeclared scales are recognized."""
        own = ScoreSet(OWN, self.own_model, scale=scale_in(self._own or self.columns))
        return (own, *(self._described(name) for name in names_in(self.folder)))

    @cached_property
    def own_model(self) -> str:
        """The CLIP model of the shards' own scores, or ``unknown``."""
        return model_of_index(self.folder, (part.shard.path for part in self.columns))

    @cached_property
    def set_models(self) -> dict[str, str]:
        """The CLIP model of each score set by the set's name, without the shards' own."""
        known = _models_in_manifest(self.folder) if is_remote(self.folder) else {}
        names = names_in(self.folder)
        return {name: known.get(name) or described(self.folder, name).model for name in names}

    @cached_property
    def models(self) -> dict[str, str]:
        """Its score sets by display name, the shards' own first."""
        return names_of(self.own_model, self.set_models)

    @property
    def model(self) -> str:
        """The display name of the selected score set's CLIP model."""
        return next(name for name, one in self.models.items() if one == self.similarity)

    def _described(self, name: str) -> ScoreSet:
        found = described(self.folder, name)
        if found.scale:
            return found
        return replace(found, scale=scale_in(self.with_similarity(name).columns))

    def with_similarity(self, name: str | None) -> Index:
        """Return the same index with another score set selected.

        Raises
        ------
        IndexFileError
            When there is no such set, or it is missing or outdated for some shards.
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
        Local or remote.
    tokenizer : str, optional
        The tokenizer that must have counted the tokens; any by default.
    similarity : str, optional
        Name of a score set; the shards' own (``own``) by default.

    Raises
    ------
    IndexFileError
        When it is not an index, was made with another tokenizer, or has no such complete score set.
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
        Columns(replace(shard_of(origin, folder), name=shard.name), batch, counted, origin.error)
        for (batch, origin), shard in zip(mapped, shards, strict=True)
    )
    return Index(folder, columns, origins).with_similarity(similarity)


def shard_of(origin: Origin, folder: str) -> Shard:
    """Return the shard that an index file was made from, where it is now, as it was read.

    Raises
    ------
    IndexFileError
        When this version does not know the format that it was read in.
    """
    if origin.input_format not in ("", *NAMES) or origin.unit not in list(TextUnit):
        raise IndexFileError(
            f"{origin.path}: indexed as {origin.input_format!r} cut by {origin.unit!r}, which this "
            "version does not know; index it again"
        )
    path, unit = located(origin, folder), TextUnit(origin.unit)
    return Shard(path, origin.position, format=origin.input_format, unit=unit)


def _one_tokenizer(folder: str, origins: tuple[Origin, ...], asked: str | None) -> Tokenizer:
    """Load the tokenizer that counted, and check that it is the requested one."""
    names = sorted({origin.tokenizer for origin in origins})
    if len(names) > 1:
        raise IndexFileError(
            f"{folder}: indexed with different tokenizers ({', '.join(names)}); index all shards "
            "again with the same one"
        )
    if asked is not None and digest(load_tokenizer(asked)) != origins[0].tokenizer_digest:
        raise IndexFileError(
            f"{folder}: indexed with the tokenizer {names[0]}, not {asked}; omit --tokenizer, or "
            f"index again with --tokenizer {asked}"
        )
    try:
        tokenizer = load_tokenizer(names[0] if asked is None else asked)
    except TokenizerError as error:
        raise IndexFileError(f"{folder}: its tokenizer cannot be loaded: {error}") from None
    if any(digest(tokenizer) != origin.tokenizer_digest for origin in origins):
        raise IndexFileError(
            f"{folder}: the tokenizer {names[0]} has changed since the shards were indexed; index "
            "them again"
        )
    return tokenizer


def _models_in_manifest(folder: str) -> dict[str, str]:
    """Read the score sets' models from the manifest, which avoids downloading the sets."""
    try:
        with open_for_reading(f"{folder.rstrip('/')}/{MANIFEST}") as file:
            sets = unsealed(file.read())["sets"]
        return {str(one["name"]): str(one["model"]) for one in sets}
    except (OSError, ShardError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def write_manifest(folder: str, scratch: Path) -> list[Origin]:
    """Write the manifest from the index's files; return their origins."""
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
