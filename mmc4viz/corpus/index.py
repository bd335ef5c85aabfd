"""An index opened: a folder with one uncompressed Arrow file a shard, and a manifest.

Files are mapped, never loaded. Its similarity is the shards' own, or that of one of its sets. The
manifest only repeats what the files' metadata say. Making columns is the build's job.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from mmc4viz.corpus.checked import sealed, unsealed
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.files import (
    FORMAT,
    SUFFIX,
    IndexFileError,
    Origin,
    absolute,
    digest,
    file_name,
    files_of,
    local_file,
    located,
    map_columns,
    put_text,
    read_origin,
    relative,
    small,
    write_file,
)
from mmc4viz.corpus.naming import model_of_index, names_of
from mmc4viz.corpus.scales import scale_in
from mmc4viz.corpus.sets import OWN, SimilaritySet, described, names_in, with_set
from mmc4viz.corpus.shards import Shard, named
from mmc4viz.corpus.storage import is_remote, natural, open_for_reading
from mmc4viz.loader.tokens import Tokenizer, load_tokenizer
from mmc4viz.model import ShardError, TokenizerError

__all__ = [
    "FORMAT",
    "MANIFEST",
    "OWN",
    "SUFFIX",
    "Index",
    "IndexFileError",
    "Origin",
    "SimilaritySet",
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
    def sets(self) -> tuple[SimilaritySet, ...]:
        """Its similarity sets, the shards' own first; scales nobody declared are recognised."""
        own = SimilaritySet(OWN, self.own_model, scale=scale_in(self._own or self.columns))
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
        """Its similarity sets by the names they are shown by, the shards' own first."""
        return names_of(self.own_model, self.set_models)

    @property
    def model(self) -> str:
        """The name of the CLIP model whose similarity is in the columns."""
        return next(name for name, one in self.models.items() if one == self.similarity)

    def _described(self, name: str) -> SimilaritySet:
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
        Name of one of its similarity sets; the shards' own (``own``) when left out.

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
