"""What numbers rest on besides the setting: the corpus, whose similarity, which tokenizer.

Facts of an opened corpus; nothing of it is read, and nothing is compared or written here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.files import absolute
from mmc4viz.corpus.index import Index
from mmc4viz.corpus.sets import OWN
from mmc4viz.corpus.source import Indexed, Shards
from mmc4viz.corpus.storage import fingerprint
from mmc4viz.loader.images import pillow
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import LoaderConfig


@dataclass(frozen=True)
class ShardFacts:
    """One shard as it was: path, fingerprint, and its documents where they were counted."""

    path: str
    fingerprint: str
    documents: int | None = None


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus as it was.

    Attributes
    ----------
    shards : tuple of ShardFacts
    documents : int or None
        Readable or not; None where nobody counted them.
    index : str or None
        The index that answered in place of the shards.
    verify : str
        How far images were checked.
    image_dir : str or None
    pillow : str
        The version, or versions, that decoded the images (`mmc4viz.loader.images.pillow`).
    """

    shards: tuple[ShardFacts, ...]
    documents: int | None = None
    index: str | None = None
    verify: str = "full"
    image_dir: str | None = None
    pillow: str = field(default_factory=pillow)


@dataclass(frozen=True)
class SimilarityFacts:
    """Whose similarity decides.

    Attributes
    ----------
    model : str
        The CLIP model's name.
    source : str or None
        The set or file it was read from; None for the shards' own.
    fingerprint : str or None
        Of that file.
    scale : str or None
    lowest, highest : float
        Of the matched scores; NaN where there are none or nobody looked.
    """

    model: str
    source: str | None = None
    fingerprint: str | None = None
    scale: str | None = None
    lowest: float = math.nan
    highest: float = math.nan


@dataclass(frozen=True)
class Basics:
    """What numbers rest on besides the setting: corpus, similarity, tokenizer."""

    corpus: CorpusFacts
    similarity: SimilarityFacts
    tokenizer: Tokenizer


def corpus_of_index(index: Index) -> CorpusFacts:
    """Return what an index was made from."""
    shards = tuple(
        ShardFacts(part.shard.path, origin.fingerprint, origin.documents)
        for part, origin in zip(index.columns, index.origins, strict=True)
    )
    folders = {origin.image_dir for origin in index.origins}
    return CorpusFacts(
        shards,
        index.n_documents,
        absolute(index.folder),
        index.verify,
        folders.pop() if len(folders) == 1 else None,
        ", ".join(sorted({origin.pillow for origin in index.origins} - {""})),
    )


def corpus_of_shards(paths: Iterable[str], image_dir: str | None = None) -> CorpusFacts:
    """Return what shards are now; raises a ShardError for one that is not there."""
    shards = tuple(ShardFacts(absolute(path), fingerprint(path)) for path in paths)
    return CorpusFacts(shards, image_dir=image_dir)


def basics_of(corpus: Indexed | Shards, config: LoaderConfig) -> Basics:
    """Return what the numbers of an opened corpus rest on; nothing of it is read.

    Raises
    ------
    ShardError
        For a shard that is not there.
    """
    if isinstance(corpus, Indexed):
        index = corpus.index
        source = None if index.similarity == OWN else index.similarity
        facts = corpus_of_index(index)
    else:
        source = None
        facts = corpus_of_shards([shard.path for shard in corpus.shards], corpus.image_dir)
    return Basics(facts, SimilarityFacts(config.clip_model, source), corpus.tokenizer)


def with_documents(basics: Basics, parts: Sequence[Columns]) -> Basics:
    """Return the same with the documents of shards that have been read whole."""
    counts = {absolute(part.shard.path): len(part) for part in parts}
    shards = tuple(replace(one, documents=counts.get(one.path)) for one in basics.corpus.shards)
    corpus = replace(basics.corpus, shards=shards, documents=sum(map(len, parts)))
    return replace(basics, corpus=corpus)
