"""The command ``slices``: where one threshold does not fit all."""

from __future__ import annotations

import json
from typing import Any

import click

from mmc4viz.cli.common import finish, open_corpus, progress, unmatched
from mmc4viz.notebook import OpenedCorpus
from mmc4viz.slices.comparison import ASSUMPTION, Slice, SliceComparison, ordered
from mmc4viz.slices.rows import HEAD, as_dict, cells
from mmc4viz.slices.table import SliceTable, attribute_named, open_slice_table
from mmc4viz.slices.words import table_of, unit_of
from mmc4viz.text import csv_text, printable, table
from mmc4viz.types import ConfigError

_MOST_COLUMNS = 20  # of a table, when none is named


def slices(
    names: tuple[str, ...],
    table_file: str | None,
    most: int,
    sort: str,
    labels_file: str | None,
    form: str,
    **options: Any,
) -> None:
    """Show for which sites, pages or images one threshold does not fit."""
    asked, own = attributes_asked(names or (() if table_file else ("site",)), table_file)
    config, corpus = open_corpus(options)
    with progress("documents") as advance:
        opened = OpenedCorpus(corpus, config.clip_model, progress=advance)
        matched = opened.matched(config)
        found = opened.compare_slices(asked, config, own, most, labels_file)
    if not len(matched.scores()):
        corpus.notes.append(unmatched(matched.n_documents))
    if form == "json":
        click.echo(json.dumps([as_dict(one, ordered(one.slices, sort)) for one in found], indent=1))
    elif form == "csv":
        lines = [row for one in found for row in cells(one, ordered(one.slices, sort))]
        click.echo(csv_text(HEAD, lines), nl=False)
    else:
        blocks = [_as_text(one, ordered(one.slices, sort)) for one in found]
        alone = " The CI of a precision holds for its slice alone." * (labels_file is not None)
        click.echo("\n\n".join(blocks) + f"\n({ASSUMPTION}{alone})")
    finish(corpus)


def attributes_asked(
    names: tuple[str, ...], table_file: str | None
) -> tuple[list[str], SliceTable | None]:
    """Return what to divide by, by default every column of the user's table, and the table.

    Raises
    ------
    ConfigError
        If there is no such attribute, or no such table.
    """
    own = None if table_file is None else open_slice_table(table_file)
    if own is not None and not names:
        names = own.columns
        if len(names) > _MOST_COLUMNS:
            raise ConfigError(
                f"{own.path}: has {len(names):,} columns; name those to divide by with --by"
            )
    asked = list(dict.fromkeys(names))
    for name in asked:
        attribute_named(name, own)  # before anything is read
    return asked, own


def _as_text(found: SliceComparison, slices: list[Slice]) -> str:
    """Return a division's slices as a table, with a heading."""
    share = f" ({found.share:.1%})" if found.size else ""
    kept = f"{found.kept:,.10g} of {found.size:,} {unit_of(found)} kept{share}"
    head, rows = table_of(found, slices)
    return f"{printable(found.label)}: {kept} at {found.threshold:g}\n{table([head, *rows])}"
