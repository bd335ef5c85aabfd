"""The command that proposes thresholds: ``suggest``. Counts and estimates nothing itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click
import numpy as np

from mmc4viz.cli.common import (
    INDEX,
    SEED,
    SHARDS,
    SIMILARITY,
    finish,
    open_corpus,
    progress,
    spare_inputs,
    unmatched,
    with_settings,
)
from mmc4viz.data.scale import misfits
from mmc4viz.data.storage import whole_file
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.sweep import Matched, match_corpus, sweep
from mmc4viz.text import table
from mmc4viz.thresholds.by_yield import YIELDS, Target, by_yield, steps_of_curves
from mmc4viz.thresholds.fdr.estimate import by_fdr, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import read_decoys, stack_of
from mmc4viz.thresholds.labels.precision import labelled_for, propose, remarks
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError, LoaderConfig


class Share(click.ParamType[float]):
    """A share between 0 and 1, also in per cent."""

    name = "share"

    def __init__(self, option: str) -> None:
        self.option = option

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read ``0.1`` or ``10%``."""
        text = str(value).strip()
        try:
            number = Decimal(text.removesuffix("%"))
            share = float(number / 100 if text.endswith("%") else number)
        except (ArithmeticError, ValueError):  # a signaling NaN is no float
            share = -1.0
        if not 0 < share < 1:
            raise ConfigError(
                f"{self.option} takes a share between 0 and 1, as in 0.1 or 10%: not {value}"
            )
        return share


@click.command()
@SHARDS
@with_settings
@INDEX
@SIMILARITY
@click.option(
    "--keep",
    multiple=True,
    metavar="WHAT=AMOUNT",
    help=f"Leave at least so much: documents=50%, pairs=1000000; of {', '.join(YIELDS)}. "
    "Repeated, all at once.",
)
@click.option(
    "--fdr", multiple=True, type=Share("--fdr"), metavar="RATE",
    help="Share of incorrect pairs at most, estimated without labels: 0.1 or 10%; repeatable. "
    "Supposes one right sentence an image and independent noise: right on simulated corpora, it "
    "failed on real MMC4 pages.",
)  # fmt: skip
@click.option(
    "--decoys", metavar="FILE",
    help="What mmc4viz score --decoys wrote, for --fdr: noise is then seen, not assumed.",
)  # fmt: skip
@click.option(
    "--precision", multiple=True, type=Share("--precision"), metavar="SHARE",
    help="Share of right pairs at least, from labels: 0.9 or 90%; repeatable.",
)  # fmt: skip
@click.option("--labels", "labels_file", metavar="FILE", help="A file of labels, for --precision.")
@click.option(
    "--documents", type=click.IntRange(1, 2**31 - 1), default=10_000, show_default=True,
    metavar="N",
    help="Of a larger corpus, look at so many for --fdr, drawn at random.",
)  # fmt: skip
@SEED
@click.option("--out", metavar="FILE", help="Also write it as JSON, for export --proposal FILE.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
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
    """Propose thresholds: by what is to be left, or by how many pairs may be wrong.

    Each comes with what is left at it, what it rests on and how sure it is; or with the reason why
    there is none.
    """
    targets = [Target.parse(text) for text in keep]
    _check(targets, fdr, precision, labels_file, decoys)
    config, corpus = open_corpus(options)
    spare_inputs(corpus, [labels_file, decoys], [out])
    with progress("documents") as advance:
        matched = match_corpus(corpus.columns(advance), config)
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
    found = _counted(matched, config, targets, found)
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
    """Refuse what makes no sense before anything is read."""
    if not targets and not fdr and not precision:
        raise ConfigError(
            "say what the threshold is for: --keep documents=50%, or --precision 0.9 --labels FILE"
        )
    if bool(precision) != bool(labels_file):
        raise ConfigError("--precision SHARE and --labels FILE go together")
    if decoys is not None and not fdr:
        raise ConfigError("--decoys FILE goes with --fdr RATE")


def _understood(target: Target) -> str | None:
    """Say how a number was read that may have been meant as a share."""
    if target.share or target.amount > 100:
        return None
    number, name = float(target.amount), target.quantity
    share = 100 * number if number <= 1 else number
    return (
        f"--keep {name}={number:g} was read as a number of {_words(name)}, not as a share: for "
        f"{share:g} % of them, --keep {name}={share:g}%"
    )


def _by_precision(
    path: str,
    config: LoaderConfig,
    matched: Matched,
    wanted: Sequence[float],
    notes: list[str],
) -> list[Proposal]:
    """Ask the labels of a file; ``notes`` gets a line about labels that do not count."""
    population = Population([part.columns for part in matched.parts], pairs_of(matched))
    found = labelled_for(path, config, population)
    notes += [f"{path}: {remark}" for remark in remarks(found)]
    return [propose(found.sample, share) for share in wanted]


def _counted(
    matched: Matched, config: LoaderConfig, targets: Sequence[Target], others: Sequence[Proposal]
) -> list[Proposal]:
    """Propose by yield, and say what is left at other proposals."""
    grid = matched.scale.thresholds()
    lines = [one.threshold for one in others if one.threshold is not None]
    curves, keep = sweep(matched, config, np.union1d(grid, lines)), config.single_image_keep
    found = [by_yield(steps_of_curves(curves, keep, grid), targets)] if targets else []
    every = steps_of_curves(curves, keep)
    for one in others:
        line = one.threshold
        found.append(one if line is None else one.leaving(every.at(curves.step(line))))
    return found


def _as_text(found: Sequence[Proposal]) -> str:
    """Return proposals as a table, and below it why and why not."""
    head = ("target", "threshold", "estimate", "95 % interval", *map(_words, YIELDS))
    lines = [table([head, *map(_row, found)])]
    lines += [f"{one.target}: none: {one.reason}" for one in found if one.reason is not None]
    lines += [f"({text})" for text in dict.fromkeys(one.assumption for one in found)]
    return "\n".join(lines)


def _row(one: Proposal) -> tuple[str, ...]:
    threshold = "none" if one.threshold is None else f"{one.threshold!r}"
    between = "–" if one.low is None or one.high is None else f"{one.low:.1%} to {one.high:.1%}"
    left = [f"{one.kept[name]:,.10g}" if name in one.kept else "–" for name in YIELDS]
    return one.target, threshold, _share(one.estimate), between, *left


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _words(name: str) -> str:
    return name.replace("_", " ")
