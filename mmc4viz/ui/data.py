"""Cached corpus, curves, document table and audit, shared by all sessions.

Every cache key consists of the data's identity (paths, sizes, modification times) and only the
settings that the value depends on. Nothing expensive depends on the threshold. Long computations
show their progress, and are abandoned when the user changes something.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data import corpus
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import MANIFEST, Index, ScoreSet, open_index
from mmc4viz.data.ingest import read_digested
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.scale import Scale, Thresholds
from mmc4viz.data.shards import Shard, format_of, named
from mmc4viz.data.similarity_file import SimilarityFile, similarity_files, with_similarity
from mmc4viz.data.storage import unchanged
from mmc4viz.formats.format import Format
from mmc4viz.formats.registry import RECOGNISED, InputFormat
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.reference_figures import ReferenceComparison, compare_figures
from mmc4viz.reference_thresholds import REFERENCE as REFERENCE
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.division import Division
from mmc4viz.slices.table import SliceTable, attribute_named, open_slice_table
from mmc4viz.sweep import audit, duplicates, pairs
from mmc4viz.sweep.audit import Stored, stored
from mmc4viz.sweep.document_table import DocumentTable, Verdicts
from mmc4viz.sweep.estimate import Estimate, estimate
from mmc4viz.sweep.pairs import (
    Difference,
    PairOutcome,
    Pairs,
    differing,
    document_starts,
    image_counts,
    image_starts,
    pairs_of,
)
from mmc4viz.sweep.query import (
    SORTS,
    Corpus,
    InSlice,
    Ordered,
    Query,
    chosen,
    ordered,
    ranks,
    sort_values,
)
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import Matched, match_corpus, sweep
from mmc4viz.types import ImageStatus, LoaderConfig, ShardError
from mmc4viz.ui.cache import Memo, cached, progress, tell
from mmc4viz.ui.html import many

_V = TypeVar("_V")
Tell = Callable[[int], None]

SEED = 0  # of the sample
_MOST_NOTES = 5  # about ignored content of shards


@dataclass(frozen=True)
class FileId:
    """A file's path, size and modification time."""

    path: str
    size: int
    changed: int


@dataclass(frozen=True)
class CorpusKey:
    """The identity of a corpus with one model's scores.

    Attributes
    ----------
    shards : tuple of FileId
        In the order given; empty with an index.
    tokenizer : FileId
        Its name, or its file.
    image_dir : FileId or None
        Images of shards that contain none.
    sidecar : FileId or None
        A similarity file whose scores replace the shards' own.
    index : tuple of FileId
        An index's folder and its manifest, used instead of shards.
    sample : int or None
        The sample size; None means all documents.
    similarity : str or None
        The index's score set; None for the shards' own scores.
    given : InputFormat
        How shards are to be read.
    """

    shards: tuple[FileId, ...]
    tokenizer: FileId
    image_dir: FileId | None = None
    sidecar: FileId | None = None
    index: tuple[FileId, ...] = ()
    sample: int | None = None
    similarity: str | None = None
    given: InputFormat = RECOGNISED

    @property
    def other_model(self) -> bool:
        """Whether the scores are not the shards' own."""
        return self.sidecar is not None or self.similarity is not None


@dataclass(frozen=True)
class Facts:
    """Facts about a source.

    Attributes
    ----------
    documents, shards : int
        The numbers opened; of a sample, its own.
    whole : int or None
        Documents of the corpus; None if they were not counted.
    notes, errors : list of str
        Caveats; problems with reading.
    """

    documents: int
    shards: int
    whole: int | None
    notes: list[str]
    errors: list[str]


@dataclass(frozen=True)
class Spread:
    """The distribution of matched scores.

    Attributes
    ----------
    scale : Scale
    ends : (float, float)
        The lowest and the highest score, NaN without any.
    low, high : float
        The lowest and the highest finite score, NaN without any.
    counts : ndarray of int64, shape (T,)
        Pairs in each step of the grid; scores outside it count at its ends.
    """

    scale: Scale
    ends: tuple[float, float]
    low: float
    high: float
    counts: NDArray[np.int64]


_MATCHED: Memo[Matched] = Memo()
_SPREADS: Memo[Spread] = Memo()
_CURVES: Memo[Curves] = Memo()
_ESTIMATES: Memo[Estimate] = Memo()


def identify(path: str) -> FileId:
    """Identify a file or folder; anything else is identified by its name alone."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return FileId(path, -1, -1)
    return FileId(path, facts.st_size, facts.st_mtime_ns)


def source_of(
    shards: Iterable[Shard],
    tokenizer: str,
    image_dir: str | None,
    sidecar: str | None,
    given: InputFormat = RECOGNISED,
) -> CorpusKey:
    """Return the key of shards."""
    return CorpusKey(
        shards=tuple(identify(shard.path) for shard in shards),
        tokenizer=identify(tokenizer),
        image_dir=identify(image_dir) if image_dir else None,
        sidecar=identify(sidecar) if sidecar else None,
        given=given,
    )


def index_at(folder: str) -> tuple[FileId, ...]:
    """Identify an index by its folder and its manifest."""
    return identify(folder), identify(os.path.join(folder, MANIFEST))


@cached("Opening the index")
def index_of(index: tuple[FileId, ...], similarity: str | None = None) -> Index:
    """Open an index with one of its score sets; raises an IndexFileError if it is not one."""
    if similarity is None:
        return open_index(index[0].path)
    return index_of(index).with_similarity(similarity)


def sets_of(source: CorpusKey) -> tuple[ScoreSet, ...]:
    """Return the score sets of an index except the shards' own; empty without an index."""
    return index_of(source.index).sets[1:] if source.index else ()


def tokenizer_of(source: CorpusKey) -> Tokenizer:
    """Return the tokenizer; raises a TokenizerError if it cannot be loaded."""
    if source.index:
        return index_of(source.index).tokenizer
    return _load_tokenizer(source.tokenizer)


@cached("Loading the tokenizer")
def _load_tokenizer(file: FileId) -> Tokenizer:
    return load_tokenizer(file.path)


def columns_of(source: CorpusKey) -> tuple[Columns, ...]:
    """Return the columns of each shard, or of the sample, with the chosen model's scores."""
    if source.sample is not None:
        return tuple(part for parts in drawn_of(source).clusters for part in parts)
    if source.sidecar is not None:
        return _rescored(source)
    if source.index:
        return index_of(source.index, source.similarity).columns
    return _read(source)


@cached("Reading the shards")
def _read(source: CorpusKey) -> tuple[Columns, ...]:
    counter, folder = tokenizer_of(source), source.image_dir.path if source.image_dir else None
    shards = named((shard.path for shard in source.shards), source.given)
    return tuple(read_digested(shard, counter, folder, tell)[0] for shard in shards)


@cached("Reading scores")
def _rescored(source: CorpusKey) -> tuple[Columns, ...]:
    assert source.sidecar is not None
    return _put_over(columns_of(replace(source, sidecar=None)), source.sidecar)


def _put_over(parts: Iterable[Columns], sidecar: FileId) -> tuple[Columns, ...]:
    done = []
    for part in with_similarity(parts, sidecar.path):
        done.append(part)
        tell(len(part))
    return tuple(done)


def place_in_corpus(source: CorpusKey, part: int, row: int) -> tuple[int, int]:
    """Return the index of a document's shard in the corpus, and its number there."""
    if source.sample is None:
        return part, row
    columns = columns_of(source)[part]
    return _shard_paths(source).index(columns.shard.path), columns.number(row)


def place_here(source: CorpusKey, shard: int, number: int) -> tuple[int, int] | None:
    """Return the part and row of a corpus document in a source; None if it is not in it."""
    parts, paths = columns_of(source), _shard_paths(source)
    if shard >= len(paths):
        return None
    if source.sample is None:
        return None if parts[shard].row_of(number) is None else (shard, number)
    found = ((at, part.row_of(number)) for at, part in enumerate(parts)
             if part.shard.path == paths[shard])  # fmt: skip
    return next(((at, row) for at, row in found if row is not None), None)


def _shard_paths(source: CorpusKey) -> list[str]:
    if source.index:
        return [part.shard.path for part in index_of(source.index).columns]
    return [shard.path for shard in source.shards]


@cached("Sampling documents")
def drawn_of(source: CorpusKey) -> DrawnSample:
    """Return the sample of a source that has one."""
    assert source.sample is not None
    drawn = corpus_of(source).sample(source.sample, SEED, tell)
    if source.sidecar is None:
        return drawn
    put_over = [_put_over(parts, source.sidecar) for parts in drawn.clusters]
    return replace(drawn, clusters=put_over)


def corpus_of(source: CorpusKey) -> Indexed | Shards:
    """Return the index or the shards of a source, without the scores of a similarity file."""
    if source.index:
        return Indexed(index_of(source.index, source.similarity))
    shards = named((shard.path for shard in source.shards), source.given)
    folder = source.image_dir.path if source.image_dir else None
    return Shards(shards, tokenizer_of(source), folder)


@cached()
def check_scores(source: CorpusKey) -> None:
    """Raise a ConfigError if a source has no scores, so that no threshold can be chosen."""
    if not source.other_model:
        corpus.check_scores(columns_of(source))


@cached()
def formats_of(source: CorpusKey) -> list[Format | None]:
    """Return the formats of a source's shards, of those without an index the first one's."""
    if source.index:
        return corpus.formats_of(index_of(source.index).columns)
    return [format_of(shard) for shard in named((source.shards[0].path,), source.given)]


def in_page_order(source: CorpusKey) -> bool:
    """Whether it is known where images stand among the texts."""
    return all(one is not None and one.in_page_order for one in formats_of(source))


def corpus_name(source: CorpusKey) -> str:
    """Return a short name: the index's folder, or the shard's, or that of their folder."""
    if source.index:
        return os.path.basename(source.index[0].path.rstrip("/"))
    return name_of_files([shard.path for shard in source.shards], "shard")


def name_of_files(paths: Sequence[str], noun: str) -> str:
    """Return a short name of files: the only one's, that of their folder, or how many there are."""
    if len(paths) == 1:
        return os.path.basename(paths[0].rstrip("/"))
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    return os.path.basename(folders.pop()) if len(folders) == 1 else many(len(paths), noun)


@cached()
def facts_of(source: CorpusKey) -> Facts:
    """Return counts, caveats and errors of a source."""
    parts = columns_of(source)
    documents, shards = sum(map(len, parts)), len({part.shard.path for part in parts})
    errors = list(dict.fromkeys(part.error for part in parts if part.error is not None))
    unknown = len({part.shard.path for part in parts if part.sizes_unknown})
    notes = list(dict.fromkeys(line for part in parts for line in part.notes))
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"{len(notes) - _MOST_NOTES:,} more notes about ignored content."]
    if documents and not any((part.kind != Kind.UNREADABLE).any() for part in parts):
        notes.append(
            "Every document is unreadable: these may not be MMC4 shards, or they are damaged."
        )
    if source.index:
        index = index_of(source.index)
        if index.verify != "full":
            notes.append(
                f"The index was made with --verify {index.verify}: undecodable images may count as "
                "valid, and their documents as readable."
            )
    if unknown:
        notes.append(
            f"{many(unknown, 'shard')} without images: image sizes are unknown and the size limit "
            "is off. Enter the image folder in the sidebar, or start the app with --image-dir."
        )
    return Facts(documents, shards, _whole(source, documents), notes, errors)


def _whole(source: CorpusKey, opened: int) -> int | None:
    """Return the number of documents in the corpus, None if it is unknown."""
    if source.index:
        return index_of(source.index).n_documents
    if source.sample is None:
        return opened
    fraction = drawn_of(source).fraction
    return round(opened / fraction) if fraction else None


def matched_of(source: CorpusKey, config: LoaderConfig) -> Matched:
    """Return the matched pairs, which depend on the size limit and the assignment."""
    key, total = (source, config.for_matching()), facts_of(source).documents
    words = "Matching images and sentences"
    return _computed(_MATCHED, key, words, lambda tell: _match(source, config, tell), total)


def is_matched(source: CorpusKey, config: LoaderConfig) -> bool:
    """Whether the matched pairs are cached."""
    return (source, config.for_matching()) in _MATCHED


def prepare(source: CorpusKey, config: LoaderConfig, tell: Tell) -> None:
    """Compute matched pairs and their distribution in the background."""
    key = source, config.for_matching()
    matched = _MATCHED.get(key, lambda: _match(source, config, tell))
    _SPREADS.get(key, lambda: _spread(matched))


def _match(source: CorpusKey, config: LoaderConfig, tell: Tell) -> Matched:
    wanted = source, config.for_matching()
    previous = _MATCHED.kept(lambda key: _same_but_for_size(key, wanted))
    return match_corpus(columns_of(source), wanted[1], tell, previous)


def _same_but_for_size(key: Hashable, wanted: tuple[CorpusKey, LoaderConfig]) -> bool:
    source, settings = wanted
    if not isinstance(key, tuple) or key[0] != source:
        return False
    return bool(key[1].with_(min_kb=settings.min_kb) == settings)


def spread_of(source: CorpusKey, config: LoaderConfig) -> Spread:
    """Return the distribution of the matched scores."""
    key = source, config.for_matching()
    return _SPREADS.get(key, lambda: _spread(matched_of(source, config)))


def _spread(matched: Matched) -> Spread:
    scale, scores = matched.scale, matched.scores()
    grid = scale.thresholds()
    place = np.searchsorted(grid, scores, side="right") - 1
    counts = np.bincount(np.maximum(place, 0), minlength=len(grid))
    return Spread(scale, _ends(scores), *_ends(scores[np.isfinite(scores)]), counts)


def _ends(scores: NDArray[np.float64]) -> tuple[float, float]:
    return (float(scores.min()), float(scores.max())) if len(scores) else (np.nan, np.nan)


@lru_cache(maxsize=8)
def with_reference(scale: Scale) -> Thresholds:
    """Return a scale's grid with the reference threshold added; the array is shared."""
    grid = np.union1d(scale.thresholds(), [REFERENCE])
    grid.flags.writeable = False
    return grid


def _grid(source: CorpusKey, config: LoaderConfig) -> Thresholds:
    return with_reference(spread_of(source, config).scale)


def curves_of(source: CorpusKey, config: LoaderConfig) -> Curves:
    """Return every statistic on the scale's grid and at the reference threshold.

    For a sample, these are estimates for the corpus.
    """
    if source.sample is not None:
        return estimate_of(source, config).curves
    settings = config.for_curves()
    return _computed(
        _CURVES,
        (source, settings),
        "Computing curves",
        lambda tell: sweep(matched_of(source, config), settings, _grid(source, config), tell),
        facts_of(source).documents,
    )


def estimate_of(source: CorpusKey, config: LoaderConfig) -> Estimate:
    """Return the estimates from a sample."""
    settings = config.for_curves()
    facts, grid = facts_of(source), _grid(source, config)
    return _computed(
        _ESTIMATES,
        (source, settings),
        "Estimating",
        lambda tell: estimate(drawn_of(source), settings, grid, facts.whole, tell),
        facts.documents,
    )


def folders_of(source: CorpusKey) -> tuple[str, ...]:
    """Return the folders of the shards."""
    return _folders(source.index, source.shards)


@cached()
def _folders(index: tuple[FileId, ...], shards: tuple[FileId, ...]) -> tuple[str, ...]:
    parts = index_of(index).columns if index else ()
    paths = [part.shard.path for part in parts] or [shard.path for shard in shards]
    return tuple(sorted({os.path.dirname(os.path.abspath(path)) for path in paths}))


def similarity_files_beside(folders: Iterable[str]) -> list[SimilarityFile]:
    """Find similarity files of other models in folders."""
    try:
        return _similarity_files(tuple(map(identify, folders)))
    except OSError as error:
        raise ShardError(f"cannot list the shards' folder: {error.strerror}") from None


@cached()
def _similarity_files(folders: tuple[FileId, ...]) -> list[SimilarityFile]:
    return similarity_files(Path(folder.path) for folder in folders)


def shard_at(source: CorpusKey, part: int) -> tuple[Shard, str | None]:
    """Return a part's shard and its image folder, for reading a document.

    Raises
    ------
    ShardError
        If an indexed shard is missing or has changed.
    """
    shard = columns_of(source)[part].shard
    if not source.index:
        return shard, source.image_dir.path if source.image_dir else None
    index = index_of(source.index)
    origin = index.origins[[one.shard for one in index.columns].index(shard)]
    if not unchanged(shard.path, origin.fingerprint):
        raise ShardError(f"{shard.path}: changed since it was indexed; run mmc4viz index again")
    return shard, origin.image_dir


def _computed(
    memo: Memo[_V], key: Hashable, words: str, make: Callable[[Tell], _V], total: int | None = None
) -> _V:
    """Look up or compute a value, showing progress."""
    with progress(words, total) as tell:
        return memo.get(key, lambda: make(tell))


@dataclass(frozen=True)
class Audit:
    """The audit's numbers for given settings."""

    mispaired: audit.Mispaired
    lost: audit.Lost
    capped: audit.Capped
    undecodable: audit.Undecodable
    band: audit.SizeRange
    stored: Stored
    fit: audit.ThresholdFit
    repeated: duplicates.Duplicates
    once: duplicates.YieldOnce


@dataclass(frozen=True)
class _Fixed:
    """The part of an audit that does not depend on the threshold."""

    crowded: audit.Crowded
    unmatched: Ints
    undecodable: audit.Undecodable
    band: audit.SizeRange
    stored: Stored


_PAIRS: Memo[Pairs] = Memo()
_STANDINGS: Memo[DocumentTable] = Memo()
_VERDICTS: Memo[Verdicts] = Memo()
_CHOSEN: Memo[Ints] = Memo()
_ORDERED: Memo[Ordered] = Memo()
_RANKS: Memo[Ints] = Memo()
_JUDGED: Memo[list[PairOutcome]] = Memo()
_DIFFERING: Memo[tuple[int, list[Difference]]] = Memo()
_FIXED: Memo[_Fixed] = Memo()
_AUDITS: Memo[Audit] = Memo()
_DUPLICATES: Memo[duplicates.Duplicates] = Memo()


def pairs_for(source: CorpusKey, config: LoaderConfig) -> Pairs:
    """Return all matched pairs, sorted by score."""
    key = source, config.for_matching()
    matched = matched_of(source, config)
    with progress("Sorting the pairs"):
        return _PAIRS.get(key, lambda: pairs_of(matched))


def verdicts_for(source: CorpusKey, config: LoaderConfig) -> Verdicts:
    """Return the verdict of every document."""
    settings = config.for_verdicts()

    def resolve() -> DocumentTable:
        return DocumentTable(matched_of(source, config), settings)

    def look_up() -> Verdicts:
        with progress("Computing document outcomes"):
            standings = _STANDINGS.get((source, config.for_curves()), resolve)
        return standings.at(config.lowest_score)

    return _VERDICTS.get((source, settings), look_up)


def corpus_for(source: CorpusKey, config: LoaderConfig) -> Corpus:
    """Return everything a list of documents is made from."""
    return Corpus(
        matched_of(source, config),
        config.for_verdicts(),
        verdicts_for(source, config),
        pairs_for(source, config),
        lambda: duplicates_of(source),
    )


def duplicates_of(source: CorpusKey) -> duplicates.Duplicates:
    """Return the duplicates of a corpus, whatever its settings."""
    return _DUPLICATES.get(source, lambda: duplicates.find(list(columns_of(source))))


def chosen_for(source: CorpusKey, config: LoaderConfig, query: Query) -> Ints:
    """Return the documents that match a query."""
    key = source, config.for_verdicts(), query

    def make() -> Ints:
        among = None if query.slice is None else _documents_in(source, config, query.slice)
        return chosen(corpus_for(source, config), query, among)

    return _CHOSEN.get(key, make)


def _documents_in(source: CorpusKey, config: LoaderConfig, asked: InSlice) -> Ints:
    """Return the positions of a slice's documents."""
    table = asked.table if isinstance(asked.table, FileId) else None
    division = division_of(source, config.for_matching(), asked.attribute, table)
    return division.documents_in(asked.name, pairs_for(source, config))


@cached("Opening the slice table")
def slice_table(file: FileId) -> SliceTable:
    """Open a user's table to divide by."""
    return open_slice_table(file.path)


@cached("Dividing into slices")
def division_of(
    source: CorpusKey, config: LoaderConfig, name: str, table: FileId | None
) -> Division:
    """Divide a corpus by an attribute, or by a column of a table.

    Parameters
    ----------
    source : CorpusKey
    config : LoaderConfig
        Only the settings of matching (`LoaderConfig.for_matching`).
    name : str
    table : FileId or None

    Raises
    ------
    ConfigError
        If it cannot be divided by this.
    """
    attribute = attribute_named(name, None if table is None else slice_table(table))
    known = pairs_for(source, config) if attribute.unit == "image" else None
    return attribute.divide(SlicedCorpus(matched_of(source, config), known))


def ordered_for(
    source: CorpusKey, config: LoaderConfig, query: Query, sort: str, upside_down: bool
) -> Ordered:
    """Return the documents that match a query, sorted."""

    def make() -> Ordered:
        documents = chosen_for(source, config, query)
        return order(source, config, documents, sort, upside_down)

    return _ORDERED.get((source, config.for_verdicts(), query, sort, upside_down), make)


def order(
    source: CorpusKey, config: LoaderConfig, documents: Ints, sort: str, upside_down: bool
) -> Ordered:
    """Sort documents."""
    if sort in ("key", "url"):
        columns = list(columns_of(source))
        values = _RANKS.get((source, sort), lambda: ranks(columns, sort))
    else:
        values = sort_values(corpus_for(source, config), sort)
    return ordered(documents, values, SORTS.get(sort, False) != upside_down)


def place_of(source: CorpusKey, config: LoaderConfig, document: int) -> tuple[int, int]:
    """Return the part and row of a document, given by its position among all documents."""
    return pairs.place_of(document_starts(matched_of(source, config)), document)


def position_of(source: CorpusKey, config: LoaderConfig, place: tuple[int, int]) -> int:
    """Return a document's position among all documents, given by its part and row."""
    return int(document_starts(matched_of(source, config))[place[0]]) + place[1]


def judged_for(
    source: CorpusKey, config: LoaderConfig, n: int, find: Callable[..., list[PairOutcome]]
) -> list[PairOutcome]:
    """Return n pairs that `highest_dropped` or `lowest_kept` finds."""

    def make() -> list[PairOutcome]:
        corpus = corpus_for(source, config)
        return find(corpus.matched, corpus.config, corpus.pairs, corpus.found, n)

    return _JUDGED.get((source, config.for_verdicts(), find.__name__, n), make)


def differing_for(
    source: CorpusKey, config: LoaderConfig, keeps: str, loses: str, n: int
) -> tuple[int, list[Difference]]:
    """Return the pairs that one assignment keeps and another does not."""

    def make() -> tuple[int, list[Difference]]:
        one = pairs_for(source, config.with_(assignment=keeps))
        other = pairs_for(source, config.with_(assignment=loses))
        starts = image_starts(matched_of(source, config))
        return differing(one, other, starts, config.threshold, n)

    key = source, config.for_matching(), config.threshold, keeps, loses, n
    return _DIFFERING.get(key, make)


@cached("Computing published figures")
def figures_for(source: CorpusKey, clip_model: str) -> ReferenceComparison:
    """Return the published figures beside those of the corpus, or of the sample."""
    return compare_figures(
        columns_of(source),
        lambda config: matched_of(source, config),
        clip_model,
        own_scores=not source.other_model,
        drawn=None if source.sample is None else drawn_of(source),
    )


def audit_for(source: CorpusKey, config: LoaderConfig) -> Audit:
    """Return the audit's numbers."""
    corpus = corpus_for(source, config)
    key = source, config.for_verdicts(), config.single_image_keep
    with progress("Auditing"):
        return _AUDITS.get(key, lambda: _audit(source, corpus, config))


def _audit(source: CorpusKey, corpus: Corpus, config: LoaderConfig) -> Audit:
    key = source, config.for_matching(), config.max_images
    fixed = _FIXED.get(key, lambda: _fixed(corpus))
    repeated = duplicates_of(source)
    return Audit(
        audit.mispaired(corpus.found, config.single_image_keep),
        audit.lost(corpus.matched, corpus.found, config, fixed.unmatched),
        audit.capped(fixed.crowded, corpus.found, config),
        fixed.undecodable,
        fixed.band,
        fixed.stored,
        audit.fit(corpus.pairs.score, config.threshold, corpus.matched.scale),
        repeated,
        duplicates.yields(repeated, corpus.found, corpus.pairs, config),
    )


def _fixed(corpus: Corpus) -> _Fixed:
    matched, config = corpus.matched, corpus.config
    return _Fixed(
        audit.crowded(corpus.pairs, corpus.found, config.max_images),
        image_counts(matched, ImageStatus.UNMATCHED),
        audit.undecodable(matched, config),
        audit.band(matched, config),
        stored(matched),
    )
