"""The command ``compare``, and several CLIP models' scores of one corpus, by name.

A CLIP model's scores are a score set of the index, or a Parquet file next to the shards or given
by ``NAME=FILE``. Each is shown under one name (`mmc4viz.data.index`) and can be selected by the
score set's or the CLIP model's name; ``own`` always selects the scores in the shards.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mmc4viz.cli.common import finish, named_file, open_corpus, progress, unmatched
from mmc4viz.cli.messages import print_note
from mmc4viz.data.columns import Columns
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import OWN, names_of
from mmc4viz.data.similarity_file import model_in, similarity_files, with_similarity
from mmc4viz.data.storage import is_remote
from mmc4viz.export.tables import (
    LabelComparison,
    as_json,
    as_text,
    compare_labels,
    compare_models,
)
from mmc4viz.sweep.sweep import Matched, match_corpus
from mmc4viz.text import csv_text, json_text, table, write_rows
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import distribution
from mmc4viz.thresholds.compare.frontier import NO_QUALITY, by_fdr, by_precision, shared
from mmc4viz.thresholds.compare.roc import Evidence, evidence
from mmc4viz.thresholds.fdr.estimate import FdrEstimate, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.thresholds.model_scores import Model, check_comparable
from mmc4viz.types import ConfigError, LoaderConfig


def compare(
    models: tuple[str, ...],
    files: tuple[str, ...],
    labels_file: str | None,
    fdr: bool,
    thresholds: str | None,
    frontier: str | None,
    form: str,
    **options: Any,
) -> None:
    """Find equivalent thresholds between CLIP models."""
    if options["shards"] == () and not options["index_dir"] and models:
        raise ConfigError("give SHARDs before --models, or --index DIR")
    config, corpus, found = similarities(options, files)
    asked = _thresholds(thresholds, config)
    candidates = _matched(chosen(found, models), config)
    if not any(len(one.model.pairs) for one in candidates):
        corpus.errors.append(unmatched(candidates[0].model.matched.n_documents))
        finish(corpus)
    labels = None if labels_file is None else evidence(labels_file, candidates)
    rates = rates_of(candidates) if fdr else {}
    if frontier is not None:
        _print_frontier(candidates, frontier, asked, labels, rates, form)
        finish(corpus)
        return
    compared = [
        compare_models(candidates[0], other, asked, labels, rates) for other in candidates[1:]
    ]
    separated = None if labels is None else _separated(candidates, labels)
    spreads = [distribution(one.model) for one in candidates]
    for threshold in asked:
        _warn(candidates[0], threshold)
    if form == "csv":
        write_rows([row for one in compared for row in one.rows()], form, sys.stdout)
    elif form == "json":
        click.echo(json_text(as_json(config, spreads, compared, separated), 1))
    else:
        click.echo(as_text(spreads, compared, separated))
    finish(corpus)


def _print_frontier(
    candidates: Sequence[Candidate],
    quantity: str,
    thresholds: Sequence[float],
    labels: Evidence | None,
    rates: dict[str, FdrEstimate],
    form: str,
) -> None:
    """Print what is kept against how good it is; without an estimate, the overlap."""
    if len(thresholds) != 1:
        raise ConfigError("--frontier has all thresholds: give one with --threshold to mark it")
    at = thresholds[0]
    found = [by_precision(candidates, labels, quantity, at)] if labels is not None else []
    found += [by_fdr(candidates, rates, quantity, at)] if rates else []
    rows = [row for one in found for row in one.rows()]
    for one in found:
        for line in one.missing:
            print_note(line)
    if not found:
        print_note(NO_QUALITY)
        first, *others = candidates
        rows = [row for other in others for row in shared(first, other, quantity, at).rows()]
    if form == "json":
        write_rows(rows, form, sys.stdout)
    elif form == "csv" and rows:
        click.echo(csv_text(list(rows[0]), [list(row.values()) for row in rows]), nl=False)
    elif rows:
        click.echo(table([list(rows[0]), *(map(_shown, row.values()) for row in rows)]))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _thresholds(listed: str | None, config: LoaderConfig) -> list[float]:
    """Parse ``--thresholds``; without it, return the settings' threshold."""
    if listed is None:
        return [config.threshold]
    try:
        found = [float(text) for text in listed.split(",")]
    except ValueError:
        raise ConfigError(
            f"--thresholds expects numbers such as 0.2,0.24, not {listed!r}"
        ) from None
    if not all(map(math.isfinite, found)):
        raise ConfigError(f"--thresholds expects finite numbers, not {listed!r}")
    return sorted(set(found))


def _matched(wanted: Sequence[Similarity], config: LoaderConfig) -> list[Candidate]:
    """Match under every model's scores, and check that the models can be compared."""
    if len(wanted) < 2:
        check_comparable([Model(one.name, Matched([], config)) for one in wanted])
    candidates = []
    with progress("documents") as advance:
        for one in wanted:
            matched = match_corpus(one.read(advance), config)
            candidates.append(Candidate(Model(one.name, matched), config))
    check_comparable([one.model for one in candidates])
    return candidates


def _separated(candidates: Sequence[Candidate], labels: Evidence) -> LabelComparison:
    """Compare how well the models separate labeled pairs; note labels that do not count."""
    unmatched_labels = set.intersection(*(set(one.gone) for one in labels.of.values()))
    if unmatched_labels:
        print_note(f"labels of pairs that no model matches here: {len(unmatched_labels):,}")
    return compare_labels(candidates, labels)


def _warn(first: Candidate, threshold: float) -> None:
    """Print a note if a threshold keeps all pairs or none."""
    n_pairs = len(first.model.pairs)
    kept = n_pairs - first.model.pairs.cut(threshold)
    if n_pairs and kept in (0, n_pairs):
        low, high = first.model.pairs.score[[0, -1]].tolist()
        print_note(
            f"{threshold:g} keeps {'none' if not kept else 'all'} of {first.name}'s {n_pairs:,} "
            f"{'pair' if n_pairs == 1 else 'pairs'} (scores: {low:.4g} to {high:.4g})"
        )


Advance = Callable[[int], object]


@dataclass(frozen=True)
class Similarity:
    """One CLIP model's scores, not read yet.

    Attributes
    ----------
    name : str
        The name shown.
    others : tuple of str
        Other names by which it can be selected.
    read : callable
        Returns the columns; takes a callback for progress in documents.
    """

    name: str
    others: tuple[str, ...]
    read: Callable[[Advance], Sequence[Columns]]


def similarities(
    options: dict[str, Any], files: Sequence[str]
) -> tuple[LoaderConfig, Indexed | Shards, list[Similarity]]:
    """Open a corpus and find every CLIP model's scores of it.

    Parameters
    ----------
    options : dict
        The command's options, as for `open_corpus`.
    files : sequence of str
        ``NAME=FILE`` for shards.

    Raises
    ------
    Mmc4vizError
        If the corpus cannot be opened, or a file has no name.
    """
    config, corpus = open_corpus(options | {"similarity": None})
    config.require_threshold()
    return config, corpus, similarities_of(corpus, config, files)


def similarities_of(
    corpus: Indexed | Shards,
    config: LoaderConfig,
    files: Sequence[str],
    own: Sequence[Columns] | None = None,
) -> list[Similarity]:
    """Find every CLIP model's scores of a corpus; ``own`` is the shards' columns if read."""
    if not isinstance(corpus, Indexed):
        return _of_shards(corpus, config, [named_file(text) for text in files], own)
    if files:
        raise ConfigError(
            "--similarity NAME=FILE works with SHARDs only; to add the file to the index, run "
            f"mmc4viz index --out {corpus.index.folder} --similarity NAME=FILE"
        )
    return _of_index(corpus, config)


def _of_index(corpus: Indexed, config: LoaderConfig) -> list[Similarity]:
    def reading(name: str) -> Callable[[Advance], Sequence[Columns]]:
        return lambda _: corpus.index.with_similarity(name).columns

    index = corpus.index
    named = {name: one for name, one in index.models.items() if one != index.similarity}
    named[config.clip_model] = index.similarity  # the one in use, under its current name
    order = list(index.models.values())
    found = sorted(named.items(), key=lambda item: order.index(item[1]))
    return [
        Similarity(name, (one, *([] if one == OWN else [index.set_models[one]])), reading(one))
        for name, one in found
    ]


def _of_shards(
    corpus: Shards,
    config: LoaderConfig,
    named: Sequence[tuple[str, str]],
    columns: Sequence[Columns] | None = None,
) -> list[Similarity]:
    """Return the shards' own scores, and the given files or else those next to the shards."""
    own: list[Sequence[Columns]] = [] if columns is None else [columns]

    def read(advance: Advance) -> Sequence[Columns]:
        if not own:
            own.append(corpus.columns(advance))
        return own[0]

    def reading(path: str) -> Callable[[Advance], Sequence[Columns]]:
        return lambda advance: list(with_similarity(read(advance), path))

    folders = {Path(shard.path).parent for shard in corpus.shards if not is_remote(shard.path)}
    if named:
        models = {name: model_in(Path(path), name) for name, path in named}
        shown = {one: name for name, one in names_of(config.clip_model, models).items()}
        others = [Similarity(shown[n], (n, models[n]), reading(path)) for n, path in named]
    else:
        others = [
            Similarity(one.model, (), reading(one.path))
            for one in similarity_files(sorted(folders))
        ]
    return [Similarity(config.clip_model, (OWN,), read), *others]


def chosen(found: Sequence[Similarity], wanted: Sequence[str]) -> list[Similarity]:
    """Return the wanted models in their order, or all of them.

    Raises
    ------
    ConfigError
        If no model, or more than one, has a wanted name.
    """
    return [_one(found, name) for name in wanted] or list(found)


def _one(found: Sequence[Similarity], name: str) -> Similarity:
    by_name = [one for one in found if one.name == name]
    matching = by_name or [one for one in found if name in one.others]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(one.name for one in found)
    several = "several score sets are" if matching else "no score set is"
    raise ConfigError(f"{several} named {name!r}; available: {known}")


def rates_of(candidates: Sequence[Candidate]) -> dict[str, FdrEstimate]:
    """Estimate the false-discovery rate of every CLIP model."""
    found = {}
    with progress("models", len(candidates)) as advance:
        for one in candidates:
            found[one.name] = estimate_fdr(stack_of(one.model.matched))
            advance(1)
    return found
