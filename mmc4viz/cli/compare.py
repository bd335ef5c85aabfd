"""The command ``compare``: equivalent thresholds of CLIP models."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from mmc4viz.cli.common import (
    INDEX,
    SHARDS,
    ManyModels,
    Similarity,
    chosen,
    finish,
    progress,
    rates_of,
    similarities,
    unmatched,
    with_settings,
)
from mmc4viz.cli.messages import print_note
from mmc4viz.export.tables import LabelComparison, ModelComparison, as_json, as_text
from mmc4viz.sweep.sweep import Matched, match_corpus
from mmc4viz.text import write_rows
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import (
    correlation_of_entries,
    correlation_of_pairs,
    distribution,
)
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold, NoEquivalent
from mmc4viz.thresholds.compare.roc import Evidence, evidence, match_in_every_respect, tell_apart
from mmc4viz.thresholds.fdr.estimate import FdrEstimate
from mmc4viz.thresholds.model_scores import Model, ModelsError, line_up
from mmc4viz.types import ConfigError, LoaderConfig


@click.command(cls=ManyModels)
@SHARDS
@with_settings
@INDEX
@click.option(
    "--models",
    multiple=True,
    metavar="A B ...",
    help="Models to compare, the first with each of the others; own is the scores in the shards. "
    "[all]",
)
@click.option(
    "--similarity",
    "files",
    metavar="NAME=FILE",
    multiple=True,
    help="Similarity file of another model; repeatable. [similarity_*.parquet next to the SHARDs]",
)
@click.option(
    "--labels",
    "labels_file",
    metavar="FILE",
    help="Label file: adds thresholds of equal precision, and how well each model separates "
    "correct from incorrect pairs.",
)
@click.option(
    "--fdr",
    is_flag=True,
    help="Add thresholds of equal false-discovery rate, estimated without labels. Assumes one "
    "correct sentence per image and independent noise; this failed on real MMC4 pages.",
)
@click.option(
    "--thresholds", metavar="T,T,...", help="Thresholds of the first model. [--threshold]"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Output format.",
)
def compare(
    models: tuple[str, ...],
    files: tuple[str, ...],
    labels_file: str | None,
    fdr: bool,
    thresholds: str | None,
    form: str,
    **options: Any,
) -> None:
    """Find equivalent thresholds between CLIP models.

    --threshold is the first model's threshold. Each row gives the other model's threshold that
    keeps the same number of documents, pairs, image tokens or text tokens, or has the same
    estimated false-discovery rate or precision, and how much the two selections overlap.
    """
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
    compared = [_compared(candidates[0], other, asked, labels, rates) for other in candidates[1:]]
    separated = None if labels is None else _separated(candidates, labels)
    spreads = [distribution(one.model) for one in candidates]
    for threshold in asked:
        _warn(candidates[0], threshold)
    if form == "csv":
        write_rows([row for one in compared for row in one.rows()], form, sys.stdout)
    elif form == "json":
        click.echo(json.dumps(as_json(config, spreads, compared, separated), indent=1))
    else:
        click.echo(as_text(spreads, compared, separated))
    finish(corpus)


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
        line_up([Model(one.name, Matched([], config)) for one in wanted])
    candidates = []
    with progress("documents") as advance:
        for one in wanted:
            matched = match_corpus(one.read(advance), config)
            candidates.append(Candidate(Model(one.name, matched), config))
    line_up([one.model for one in candidates])
    return candidates


def _compared(
    first: Candidate,
    second: Candidate,
    thresholds: Sequence[float],
    labels: Evidence | None,
    rates: Mapping[str, FdrEstimate],
) -> ModelComparison:
    """Compare two models at each threshold."""
    found: list[EquivalentThreshold | NoEquivalent] = []
    for threshold in thresholds:
        found += match_in_every_respect(first, second, threshold, rates, labels)
    models = first.model, second.model
    ranks = [correlation_of_pairs(*models), correlation_of_entries(*models)]
    return ModelComparison(first.name, second.name, found, ranks)


def _separated(candidates: Sequence[Candidate], labels: Evidence) -> LabelComparison:
    """Compare how well the models separate labeled pairs; note labels that do not count."""
    unmatched_labels = set.intersection(*(set(one.gone) for one in labels.of.values()))
    if unmatched_labels:
        print_note(f"labels of pairs that no model matches here: {len(unmatched_labels):,}")
    models = [one.model for one in candidates]
    try:
        return LabelComparison(labels.words, tell_apart(models, labels))
    except ModelsError as error:
        return LabelComparison(labels.words, str(error))


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
