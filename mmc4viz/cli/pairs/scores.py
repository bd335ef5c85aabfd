"""The command ``compare`` on a table of pairs: two of its scores."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.common import finish
from mmc4viz.cli.curve import thresholds_of
from mmc4viz.cli.pairs.opened import open_pairs
from mmc4viz.pairs.comparison import ComparedScores, compared, quantiles, rank_correlation
from mmc4viz.pairs.layout import UNKNOWN, ScoreColumn
from mmc4viz.pairs.opened import OpenedPairs
from mmc4viz.text import table, write_rows
from mmc4viz.thresholds.compare.disagreement import QUANTILES
from mmc4viz.types import ConfigError


def compare(
    models: tuple[str, ...],
    named: tuple[str, ...],
    thresholds: str | None,
    threshold: float | None,
    form: str,
    **options: Any,
) -> None:
    """Find equivalent thresholds of two scores of a table."""
    if models and named:
        raise ConfigError("--models and --score name the same: give one of them")
    alone = dict.fromkeys(("and_", "or_", "sum_"))
    opened = open_pairs(options | alone | {"named": named or models}, count_now=False, joint=True)
    if len(opened.columns) != 2:
        names = ", ".join(one.name for one in opened.columns)
        raise ConfigError(
            f"compare takes two scores, not {len(opened.columns)} ({names}): name them with "
            "--models A B"
        )
    first, second = opened.columns
    asked = _thresholds(opened, thresholds, threshold)
    found = [compared(opened.curves, first, second, at) for at in asked]
    rho, rows = rank_correlation(opened.curves)
    if form == "csv":
        write_rows([one.row() for one in found], form, sys.stdout)
    elif form == "json":
        known = rows > 1 and not math.isnan(rho)
        content = {
            "scores": [_spread(opened, one) for one in opened.columns],
            "matches": [one.row() for one in found],
            "correlation": {"rows": rows, "spearman": rho if known else None},
        }
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(_as_text(opened, found, rho, rows))
    finish(opened)


def _thresholds(opened: OpenedPairs, listed: str | None, threshold: float | None) -> list[float]:
    """Return the first score's thresholds, ascending."""
    asked = thresholds_of(listed, None)
    if asked is not None:
        return sorted(set(asked.tolist()))
    return [opened.chosen(threshold).thresholds[0]]


def _spread(opened: OpenedPairs, column: ScoreColumn) -> dict[str, Any]:
    found = quantiles(opened.curves, column, QUANTILES)
    names = [f"{100 * q:g}%" for q in QUANTILES][: len(found)]
    return {
        "score": column.name,
        "model": column.model or None,
        "scale": column.scale.name,
        "pairs": int(opened.curves.curve([column])[0]),
        "quantiles": dict(zip(names, found, strict=True)),
    }


def _as_text(opened: OpenedPairs, found: Sequence[ComparedScores], rho: float, rows: int) -> str:
    spreads = [("score", "CLIP model", "scale", "pairs", *(f"{100 * q:g}%" for q in QUANTILES))]
    for column in opened.columns:
        one = _spread(opened, column)
        values = [f"{value:g}" for value in one["quantiles"].values()] or ["–"] * len(QUANTILES)
        spreads.append((one["score"], one["model"] or "–", one["scale"], f"{one['pairs']:,}",
                        *values))  # fmt: skip
    a, b = _names(opened.columns)
    head = ("same number of", a, b, f"kept ({a})", f"kept ({b})", "by both", f"only {a}",
            f"only {b}", "pair overlap (IoU)", "method")  # fmt: skip
    of = f"\nrank correlation (Spearman) of {rows:,} pairs with both scores: "
    said = "" if math.isnan(rho) else f"{of}{round(rho, 4) + 0.0:.4f}"
    return f"{table(spreads)}\n\n{table([head, *map(_cells, found)])}{said}"


def _names(columns: Sequence[ScoreColumn]) -> list[str]:
    """Return the CLIP models of scores if they tell them apart, else the columns."""
    models = [one.model for one in columns]
    known = all(models) and UNKNOWN not in models and len(set(models)) == len(models)
    return models if known else [one.name for one in columns]


def _cells(one: ComparedScores) -> tuple[str, ...]:
    both = one.overlap
    counts = (*one.kept, both.both, both.only_first, both.only_second)
    return (
        "pairs",
        f"{one.threshold:.12g}",
        f"{one.equivalent:.12g}",
        *(f"{count:,}" for count in counts),
        f"{both.jaccard:.1%}",
        "exact" if one.exact else "closest",
    )
