"""The caches behind lists of documents, galleries of pairs and the audit, like those of `data`.

Shared by all sessions and bounded. Every key holds the data's identity and what of the setting a
view depends on; what depends on the threshold is only vectorised work. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmc4viz.arrays import Ints
from mmc4viz.corpus import audit
from mmc4viz.corpus.listing import (
    SORTS,
    Corpus,
    Ordered,
    Query,
    chosen,
    ordered,
    ranks,
    sort_values,
)
from mmc4viz.corpus.pairs import (
    Difference,
    Judged,
    Pairs,
    differing,
    document_starts,
    highest_lost,
    image_counts,
    image_starts,
    lowest_kept,
    pairs_of,
)
from mmc4viz.corpus.standings import Standings
from mmc4viz.corpus.stored import Stored, stored
from mmc4viz.corpus.verdicts import Verdicts
from mmc4viz.model import ImageFate, LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.progress import progress


@dataclass(frozen=True)
class Audit:
    """The audit's numbers under one setting."""

    misbound: audit.Misbound
    lost: audit.Lost
    capped: audit.Capped
    undecodable: audit.Undecodable
    band: audit.Band
    stored: Stored
    fit: audit.Fit


_PAIRS: Memo[Pairs] = Memo()
_STANDINGS: Memo[Standings] = Memo()
_VERDICTS: Memo[Verdicts] = Memo()
_CHOSEN: Memo[Ints] = Memo()
_ORDERED: Memo[Ordered] = Memo()
_RANKS: Memo[Ints] = Memo()
_JUDGED: Memo[list[Judged]] = Memo()
_DIFFERING: Memo[tuple[int, list[Difference]]] = Memo()
_UNDECODABLE: Memo[audit.Undecodable] = Memo()
_BAND: Memo[audit.Band] = Memo()
_STORED: Memo[Stored] = Memo()
_CROWDED: Memo[audit.Crowded] = Memo()
_UNMATCHED: Memo[Ints] = Memo()
_LOST: Memo[audit.Lost] = Memo()
_CAPPED: Memo[audit.Capped] = Memo()


def _matching(config: LoaderConfig) -> LoaderConfig:
    """Leave of a setting what matched pairs depend on."""
    return LoaderConfig(min_kb=config.min_kb, assignment=config.assignment)


def _judging(config: LoaderConfig) -> LoaderConfig:
    """Leave of a setting what verdicts depend on."""
    return config.with_(single_image_keep=0.5, clip_model="-", tokenizer="-")


def pairs_for(source: data.Source, config: LoaderConfig) -> Pairs:
    """Return all matched pairs by score; of the setting, size limit and assignment matter."""
    key = source, _matching(config)
    matched = data.matched_of(source, config)
    with progress("Sorting the pairs"):
        return _PAIRS.get(key, lambda: pairs_of(matched))


def verdicts_for(source: data.Source, config: LoaderConfig) -> Verdicts:
    """Return what becomes of every document."""
    settings = _judging(config)

    def resolve() -> Standings:
        return Standings(data.matched_of(source, config), settings)

    def look_up() -> Verdicts:
        with progress("Resolving every document"):
            standings = _STANDINGS.get((source, settings.with_(threshold=0.0)), resolve)
        return standings.at(config.threshold)

    return _VERDICTS.get((source, settings), look_up)


def corpus_for(source: data.Source, config: LoaderConfig) -> Corpus:
    """Return all that a list of documents is made from."""
    return Corpus(
        data.matched_of(source, config),
        _judging(config),
        verdicts_for(source, config),
        pairs_for(source, config),
    )


def chosen_for(source: data.Source, config: LoaderConfig, query: Query) -> Ints:
    """Return the documents that a query asks for."""
    key = source, _judging(config), query
    return _CHOSEN.get(key, lambda: chosen(corpus_for(source, config), query))


def ordered_for(
    source: data.Source, config: LoaderConfig, query: Query, sort: str, upside_down: bool
) -> Ordered:
    """Return the documents that a query asks for, in their order."""

    def make() -> Ordered:
        documents = chosen_for(source, config, query)
        return order(source, config, documents, sort, upside_down)

    return _ORDERED.get((source, _judging(config), query, sort, upside_down), make)


def order(
    source: data.Source, config: LoaderConfig, documents: Ints, sort: str, upside_down: bool
) -> Ordered:
    """Put some documents in their order."""
    if sort in ("key", "url"):
        columns = list(data.columns_of(source))
        values = _RANKS.get((source, sort), lambda: ranks(columns, sort))
    else:
        values = sort_values(corpus_for(source, config), sort)
    return ordered(documents, values, SORTS.get(sort, False) != upside_down)


def starts_of(source: data.Source, config: LoaderConfig) -> Ints:
    """Return where each shard's documents begin among all."""
    return document_starts(data.matched_of(source, config))


def lost_for(source: data.Source, config: LoaderConfig, n: int) -> list[Judged]:
    """Return the highest-scoring pairs that the model does not get."""
    return _judged(source, config, n, highest_lost)


def kept_for(source: data.Source, config: LoaderConfig, n: int) -> list[Judged]:
    """Return the lowest-scoring pairs that the model gets."""
    return _judged(source, config, n, lowest_kept)


def _judged(
    source: data.Source, config: LoaderConfig, n: int, find: Callable[..., list[Judged]]
) -> list[Judged]:
    def make() -> list[Judged]:
        corpus = corpus_for(source, config)
        return find(corpus.matched, corpus.config, corpus.pairs, corpus.found, n)

    return _JUDGED.get((source, _judging(config), find.__name__, n), make)


def differing_for(
    source: data.Source, config: LoaderConfig, keeps: str, loses: str, n: int
) -> tuple[int, list[Difference]]:
    """Return the pairs that one assignment has at or above the threshold and another has not."""

    def make() -> tuple[int, list[Difference]]:
        one = pairs_for(source, config.with_(assignment=keeps))
        other = pairs_for(source, config.with_(assignment=loses))
        starts = image_starts(data.matched_of(source, config))
        return differing(one, other, starts, config.threshold, n)

    key = source, config.min_kb, config.threshold, keeps, loses, n
    return _DIFFERING.get(key, make)


def _crowded(source: data.Source, corpus: Corpus) -> audit.Crowded:
    cap = corpus.config.max_images
    key = source, _matching(corpus.config), cap
    return _CROWDED.get(key, lambda: audit.crowded(corpus.pairs, corpus.found, cap))


def _unmatched(source: data.Source, corpus: Corpus) -> Ints:
    key = source, _matching(corpus.config)
    return _UNMATCHED.get(key, lambda: image_counts(corpus.matched, ImageFate.UNMATCHED))


def audit_for(source: data.Source, config: LoaderConfig) -> Audit:
    """Return the audit's numbers; what does not depend on the threshold is kept apart."""
    corpus = corpus_for(source, config)
    key, matched = (source, config.min_kb), corpus.matched
    with progress("Auditing"):
        return Audit(
            audit.misbound(corpus.found, config.single_image_keep),
            _LOST.get(
                (source, corpus.config),
                lambda: audit.lost(
                    matched, corpus.found, corpus.config, _unmatched(source, corpus)
                ),
            ),
            _CAPPED.get(
                (source, corpus.config),
                lambda: audit.capped(_crowded(source, corpus), corpus.found, config),
            ),
            _UNDECODABLE.get(key, lambda: audit.undecodable(matched, config)),
            _BAND.get(key, lambda: audit.band(matched, config)),
            _STORED.get(source, lambda: stored(matched)),
            audit.fit(corpus.pairs.score, config.threshold, matched.scale),
        )
