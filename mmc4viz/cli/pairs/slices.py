"""The command ``slices`` on a table of pairs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import click

from mmc4viz.arrays import Ints
from mmc4viz.cli.common import finish, progress
from mmc4viz.cli.pairs.opened import OpenedPairs, open_pairs
from mmc4viz.data.jobs import processes
from mmc4viz.pairs.count import CountPlan
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.pairs.slices.division import SITE, attribute_of
from mmc4viz.pairs.slices.sliced import (
    ASSUMPTION,
    SLICE_HEAD,
    PairSlice,
    PairSlices,
    compared_slices,
    kept_by_slice,
    ordered_slices,
    slices_of,
)
from mmc4viz.slices.words import share, signed
from mmc4viz.text import csv_text, printable, table
from mmc4viz.types import ConfigError

_HEAD: Final = (
    "slice", "rows", "of all", "kept", "share", "difference", "95% CI", "cost", "median score",
)  # fmt: skip


def slices(
    names: tuple[str, ...], most: int, sort: str, threshold: float | None, form: str, **options: Any
) -> None:
    """Show for which sites, or values of a column, one threshold does not fit."""
    opened = open_pairs(options, count_now=False)
    selection = opened.chosen(threshold)
    asked = [attribute_of(opened.table, name) for name in dict.fromkeys(names or (SITE,))]
    plan = _plan(opened, selection)
    workers = len(os.sched_getaffinity(0))
    found = []
    with progress("rows") as advance:
        for attribute in asked:
            make = partial(processes, workers)
            one = slices_of(opened.table, attribute, plan, most, make, workers, advance)
            found.append((one, _compared(opened, one, selection)))
            opened.notes += one.notes
            opened.errors += one.tally.errors
    each = [(one, ordered_slices(compared, sort)) for one, compared in found]
    if form == "json":
        click.echo(json.dumps([_as_dict(*one, selection) for one in each], indent=1))
    elif form == "csv":
        lines = [{"attribute": one.division.attribute.name, **row.as_dict()}
                 for one, compared in each for row in compared]  # fmt: skip
        cells = [["" if v is None else v for v in line.values()] for line in lines]
        click.echo(csv_text(["attribute", *SLICE_HEAD], cells), nl=False)
    else:
        blocks = [_as_text(*one, selection) for one in each]
        click.echo("\n\n".join(blocks) + f"\n({ASSUMPTION})")
    finish(opened)


def _plan(opened: OpenedPairs, selection: PairSelection) -> CountPlan:
    """Return what to count: the scores that decide, and no others."""
    together = selection.together != "one"
    return replace(opened.plan, columns=selection.scores, joint=together)


def _compared(opened: OpenedPairs, one: PairSlices, selection: PairSelection) -> list[PairSlice]:
    """Compare slices at a threshold: looked up, or counted where it is between two steps."""
    kept: Ints
    try:
        kept = one.kept(selection.scores, selection.thresholds, selection.together)
    except ConfigError:
        kept = kept_by_slice(opened.table, one, selection, opened.errors)
    return compared_slices(one, kept, selection.scores[0])


def _as_text(one: PairSlices, compared: Sequence[PairSlice], selection: PairSelection) -> str:
    """Return slices as a table, with a heading."""
    rows, kept = (sum(getattr(of, name) for of in compared) for name in ("rows", "kept"))
    part = f" ({kept / rows:.1%})" if rows else ""
    label = printable(one.division.attribute.label)
    lines = [_HEAD, *map(_row, compared)]
    return f"{label}: {kept:,} of {rows:,} rows kept{part} at {selection}\n{table(lines)}"


def _row(one: PairSlice) -> tuple[str, ...]:
    interval = "–" if one.low is None else f"{signed(one.low)} to {signed(one.high)}"
    return (
        one.name,
        f"{one.rows:,}",
        share(one.part),
        f"{one.kept:,}",
        share(one.share),
        signed(one.difference),
        interval,
        f"{round(one.cost, 1) + 0.0:,.1f}",
        "–" if one.median is None else f"{one.median:g}",
    )


def _as_dict(
    one: PairSlices, compared: Sequence[PairSlice], selection: PairSelection
) -> dict[str, Any]:
    return {
        "attribute": one.division.attribute.name,
        "label": one.division.attribute.label,
        "column": one.division.attribute.column,
        "selection": str(selection),
        "rows": sum(of.rows for of in compared),
        "kept": sum(of.kept for of in compared),
        "assumption": ASSUMPTION,
        "notes": list(one.notes),
        "slices": [of.as_dict() for of in compared],
    }
