"""The command ``slices`` on a table of pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.cli.common import finish
from mmc4viz.cli.pairs.opened import open_pairs
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.pairs.slices.division import SITE
from mmc4viz.pairs.slices.sliced import (
    ASSUMPTION,
    SLICE_HEAD,
    SLICE_WORDS,
    PairSlice,
    PairSlices,
    ordered_slices,
)
from mmc4viz.text import csv_text, printable, table


def slices(
    names: tuple[str, ...], most: int, sort: str, threshold: float | None, form: str, **options: Any
) -> None:
    """Show for which sites, or values of a column, one threshold does not fit."""
    opened = open_pairs(options, count_now=False)
    selection = opened.chosen(threshold)
    found = opened.slices(names or (SITE,), selection, most)
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


def _as_text(one: PairSlices, compared: Sequence[PairSlice], selection: PairSelection) -> str:
    """Return slices as a table, with a heading."""
    rows, kept = (sum(getattr(of, name) for of in compared) for name in ("rows", "kept"))
    part = f" ({kept / rows:.1%})" if rows else ""
    label = printable(one.division.attribute.label)
    lines = [SLICE_WORDS, *(one.cells() for one in compared)]
    return f"{label}: {kept:,} of {rows:,} rows kept{part} at {selection}\n{table(lines)}"


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
