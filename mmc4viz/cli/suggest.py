"""The command ``suggest``: suggests thresholds for a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final

import click
import numpy as np

from mmc4viz.cli.common import (
    check_budget,
    finish,
    open_corpus,
    progress,
    slice_thresholds_of,
    spare_inputs,
    unmatched,
)
from mmc4viz.data.scale import Thresholds, misfits
from mmc4viz.data.storage import whole_file
from mmc4viz.notebook import Limits, OpenedCorpus
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import json_text, table
from mmc4viz.thresholds.by_yield import YIELDS, Target
from mmc4viz.thresholds.combined import Combined, Condition, of_fdr, of_precision
from mmc4viz.thresholds.fdr.estimate import by_fdr, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import read_decoys, stack_of
from mmc4viz.thresholds.labels.precision import LabelledSample, labelled_for, propose, remarks
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError, LoaderConfig


def suggest(
    keep: tuple[str, ...],
    fdr: tuple[float, ...],
    precision: tuple[float, ...],
    decoys: str | None,
    labels_file: str | None,
    passes: float | None,
    budget: str | None,
    corpus_size: str | None,
    single_image: float | None,
    documents: int,
    seed: int,
    out: str | None,
    form: str,
    **options: Any,
) -> None:
    """Suggest thresholds for a target yield, FDR or precision, and for all targets at once."""
    targets = [Target.parse(text) for text in keep]
    check_budget(budget, corpus_size)
    limits = Limits(passes, budget, corpus_size, single_image)
    _check(targets, fdr, precision, labels_file, decoys, limits)
    config, corpus = open_corpus(options, by_slice=True)
    config.require_threshold()
    slices = slice_thresholds_of(options, config, corpus)
    if slices is not None and (fdr or precision):
        raise ConfigError(
            "--fdr and --precision are about one threshold for all pairs, and the config has "
            "slice thresholds: omit them, or remove slice_thresholds from a copy"
        )
    spare_inputs(corpus, [labels_file, decoys], [out])
    with progress("documents") as advance:
        opened = OpenedCorpus(
            corpus, config.clip_model, seed=seed, progress=advance, slice_thresholds=slices
        )
        matched = opened.matched(config)
    if not len(matched.scores()):
        corpus.errors.append(unmatched(matched.n_documents))
        finish(corpus)
    found, rates = list[Proposal](), list[Callable[[Thresholds], Condition]]()
    if fdr:
        stack, others = stack_of(matched, documents, seed), None
        if decoys is not None:
            parts = [part.columns for part in matched.parts]
            others = read_decoys(decoys, parts, config, documents, seed)
        estimate = estimate_fdr(stack, decoys=others, seed=seed)
        found += [by_fdr(estimate, wanted) for wanted in fdr]
        rates += [partial(of_fdr, estimate, wanted=wanted) for wanted in fdr]
    if precision and labels_file:
        sample = _sample(labels_file, config, matched, corpus.notes)
        found += [propose(sample, wanted) for wanted in precision]
        rates += [partial(of_precision, sample, wanted=wanted) for wanted in precision]
    found = opened.with_yields(found, config, targets)
    kinds = bool(targets) + bool(fdr) + bool(precision)
    if kinds > 1 or limits.passes is not None or limits.single_image is not None:
        found.append(opened.combined(config, targets, limits, rates))
    text = json_text([one.as_dict() for one in found], 1)
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
    limits: Limits,
) -> None:
    """Reject contradictory options before any shard is read."""
    if (limits.passes is None) != (limits.budget is None):
        raise ConfigError("--passes NUMBER and --budget AMOUNT must be given together")
    limited = limits.passes is not None or limits.single_image is not None
    if not targets and not fdr and not precision and not limited:
        raise ConfigError(
            "specify a target: --keep documents=50%, --fdr 10%, --precision 90% --labels FILE, "
            "--passes 4 --budget 60M, or --single-image 40%"
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


def _sample(path: str, config: LoaderConfig, matched: Matched, notes: list[str]) -> LabelledSample:
    """Read the labels of a file; add remarks on them to ``notes``."""
    population = Population([part.columns for part in matched.parts], pairs_of(matched))
    found = labelled_for(path, config, population)
    notes += [f"{path}: {remark}" for remark in remarks(found)]
    return found.sample


def _as_text(found: Sequence[Proposal]) -> str:
    """Return the proposals as a table, followed by reasons and assumptions."""
    head = ("target", "threshold", "estimate", "95% CI", *map(_words, YIELDS))
    lines = [table([head, *map(_row, found)])]
    for one in found:
        lines += [f"{_name(one)}: no threshold: {one.reason}"] if one.reason is not None else []
        lines += _at_once(one) if isinstance(one, Combined) else []
    assumed = [one.assumptions if isinstance(one, Combined) else (one.assumption,) for one in found]
    lines += [f"({text})" for text in dict.fromkeys(chain(*assumed))]
    return "\n".join(lines)


def _at_once(one: Combined) -> list[str]:
    """Return what all targets come to at the threshold or the nearest, and which of them bind."""
    at = one.nearest if one.threshold is None else one.threshold
    rows = [(each.target, each.words, "met" if each.met else "missed") for each in one.targets]
    lines = [f"{_ALL}: {one.in_words()}"] if one.threshold is not None else []
    if at is not None and rows:
        lines.append(table([("target", f"at {at!r}", ""), *rows]))
    return lines


_ALL: Final = "all at once"


def _name(one: Proposal) -> str:
    return _ALL if isinstance(one, Combined) else one.target


def _row(one: Proposal) -> tuple[str, ...]:
    threshold = "none" if one.threshold is None else f"{one.threshold!r}"
    between = "–" if one.low is None or one.high is None else f"{one.low:.1%}–{one.high:.1%}"
    left = [f"{one.kept[name]:,.10g}" if name in one.kept else "–" for name in YIELDS]
    return _name(one), threshold, _share(one.estimate), between, *left


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _words(name: str) -> str:
    return name.replace("_", " ")
