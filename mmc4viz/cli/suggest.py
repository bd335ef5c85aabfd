"""The command ``suggest``: suggests thresholds for a target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from mmc4viz.cli.common import (
    finish,
    open_corpus,
    progress,
    spare_inputs,
    unmatched,
)
from mmc4viz.data.scale import misfits
from mmc4viz.data.storage import whole_file
from mmc4viz.notebook import OpenedCorpus
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import table
from mmc4viz.thresholds.by_yield import YIELDS, Target
from mmc4viz.thresholds.fdr.estimate import by_fdr, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import read_decoys, stack_of
from mmc4viz.thresholds.labels.precision import labelled_for, propose, remarks
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError, LoaderConfig


def suggest(
    keep: tuple[str, ...],
    fdr: tuple[float, ...],
    precision: tuple[float, ...],
    decoys: str | None,
    labels_file: str | None,
    documents: int,
    seed: int,
    out: str | None,
    form: str,
    **options: Any,
) -> None:
    """Suggest thresholds for a target yield, FDR or precision."""
    targets = [Target.parse(text) for text in keep]
    _check(targets, fdr, precision, labels_file, decoys)
    config, corpus = open_corpus(options)
    spare_inputs(corpus, [labels_file, decoys], [out])
    with progress("documents") as advance:
        opened = OpenedCorpus(corpus, config.clip_model, seed=seed, progress=advance)
        matched = opened.matched(config)
    if not len(matched.scores()):
        corpus.errors.append(unmatched(matched.n_documents))
        finish(corpus)
    found: list[Proposal] = []
    if fdr:
        stack, others = stack_of(matched, documents, seed), None
        if decoys is not None:
            parts = [part.columns for part in matched.parts]
            others = read_decoys(decoys, parts, config, documents, seed)
        estimate = estimate_fdr(stack, decoys=others, seed=seed)
        found += [by_fdr(estimate, wanted) for wanted in fdr]
    if precision and labels_file:
        found += _by_precision(labels_file, config, matched, precision, corpus.notes)
    found = opened.with_yields(found, config, targets)
    text = json.dumps([one.as_dict() for one in found], indent=1)
    if out is not None:
        with whole_file(out) as file:
            file.write(f"{text}\n".encode())
    if form == "json":
        click.echo(text)
    else:
        click.echo(_as_text(found))
    corpus.notes += filter(None, map(_understood, targets))
    proposed = np.array(sorted({p.threshold for p in found if p.threshold is not None}))
    corpus.notes += misfits(proposed, matched.scale.name, matched.scores())
    finish(corpus)


def _check(
    targets: Sequence[Target],
    fdr: Sequence[float],
    precision: Sequence[float],
    labels_file: str | None,
    decoys: str | None,
) -> None:
    """Reject contradictory options before any shard is read."""
    if not targets and not fdr and not precision:
        raise ConfigError(
            "specify a target: --keep documents=50%, --fdr 10%, or --precision 90% --labels FILE"
        )
    if bool(precision) != bool(labels_file):
        raise ConfigError("--precision SHARE and --labels FILE must be given together")
    if decoys is not None and not fdr:
        raise ConfigError("--decoys FILE requires --fdr RATE")


def _understood(target: Target) -> str | None:
    """Return a note on a count that may have been meant as a percentage."""
    if target.share or target.amount > 100:
        return None
    number, name = float(target.amount), target.quantity
    share = 100 * number if number <= 1 else number
    return (
        f"--keep {name}={number:g} is a count of {_words(name)}, not a percentage; for {share:g}%, "
        f"use --keep {name}={share:g}%"
    )


def _by_precision(
    path: str,
    config: LoaderConfig,
    matched: Matched,
    wanted: Sequence[float],
    notes: list[str],
) -> list[Proposal]:
    """Propose by precision from a label file; add remarks on its labels to ``notes``."""
    population = Population([part.columns for part in matched.parts], pairs_of(matched))
    found = labelled_for(path, config, population)
    notes += [f"{path}: {remark}" for remark in remarks(found)]
    return [propose(found.sample, share) for share in wanted]


def _as_text(found: Sequence[Proposal]) -> str:
    """Return the proposals as a table, followed by reasons and assumptions."""
    head = ("target", "threshold", "estimate", "95% CI", *map(_words, YIELDS))
    lines = [table([head, *map(_row, found)])]
    lines += [
        f"{one.target}: no threshold: {one.reason}" for one in found if one.reason is not None
    ]
    lines += [f"({text})" for text in dict.fromkeys(one.assumption for one in found)]
    return "\n".join(lines)


def _row(one: Proposal) -> tuple[str, ...]:
    threshold = "none" if one.threshold is None else f"{one.threshold!r}"
    between = "–" if one.low is None or one.high is None else f"{one.low:.1%}–{one.high:.1%}"
    left = [f"{one.kept[name]:,.10g}" if name in one.kept else "–" for name in YIELDS]
    return one.target, threshold, _share(one.estimate), between, *left


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _words(name: str) -> str:
    return name.replace("_", " ")
