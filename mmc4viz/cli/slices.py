"""The command ``slices``: where one threshold does not fit all."""

from __future__ import annotations

import os
from typing import Any

import click

from mmc4viz.cli.common import finish, open_corpus, progress, spare_inputs, unmatched
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.notebook import OpenedCorpus
from mmc4viz.slices.attributes import Attribute, SlicedCorpus
from mmc4viz.slices.comparison import ASSUMPTION, Slice, SliceComparison, ordered
from mmc4viz.slices.rows import HEAD, as_dict, cells
from mmc4viz.slices.table import SliceTable, attribute_named, attributes_asked
from mmc4viz.slices.thresholds import (
    ProposedThresholds,
    propose_equal_precision,
    propose_equal_share,
    refuse_unsuitable,
    with_file,
)
from mmc4viz.slices.words import ALONE, share, table_of, unit_of
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import csv_text, json_text, printable, table
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds


def slices(
    names: tuple[str, ...],
    table_file: str | None,
    most: int,
    sort: str,
    labels_file: str | None,
    form: str,
    propose: str | None,
    precision: float | None,
    out: str | None,
    **options: Any,
) -> None:
    """Show for which sites, pages or images one threshold does not fit."""
    _check(propose, precision, labels_file, out)
    asked, own = attributes_asked(names or (() if table_file else ("site",)), table_file)
    if propose is not None:
        _propose(asked, own, most, labels_file, precision, form, out, options)
        return
    config, corpus = open_corpus(options)
    config.require_threshold()
    with progress("documents") as advance:
        opened = OpenedCorpus(corpus, config.clip_model, progress=advance)
        matched = opened.matched(config)
        found = opened.compare_slices(asked, config, own, most, labels_file)
    if not len(matched.scores()):
        corpus.notes.append(unmatched(matched.n_documents))
    if form == "json":
        click.echo(json_text([as_dict(one, ordered(one.slices, sort)) for one in found], 1))
    elif form == "csv":
        lines = [row for one in found for row in cells(one, ordered(one.slices, sort))]
        click.echo(csv_text(HEAD, lines), nl=False)
    else:
        blocks = [_as_text(one, ordered(one.slices, sort)) for one in found]
        alone = ALONE * (labels_file is not None)
        click.echo("\n\n".join(blocks) + f"\n({ASSUMPTION}{alone})")
    finish(corpus)


def _check(
    propose: str | None, precision: float | None, labels_file: str | None, out: str | None
) -> None:
    """Reject options that contradict each other before anything is read."""
    if propose is None and (precision is not None or out is not None):
        option = "--precision" if precision is not None else "--out"
        raise ConfigError(f"{option} is for a proposal: add --propose share or precision")
    if propose == "share" and (precision is not None or labels_file is not None):
        raise ConfigError("--precision and --labels are for --propose precision, not share")
    if propose == "precision" and (precision is None or labels_file is None):
        raise ConfigError("--propose precision needs --precision SHARE and --labels FILE")
    if out is None:
        return
    if not out.lower().endswith((".yaml", ".yml", ".json")):
        raise ConfigError(f"--out {out}: the name must end in .yaml or .json")
    if not os.path.isdir(os.path.dirname(os.path.abspath(out))):
        raise ConfigError(f"{out}: cannot be written: no such folder")


def _propose(
    asked: list[str],
    own: SliceTable | None,
    most: int,
    labels_file: str | None,
    precision: float | None,
    form: str,
    out: str | None,
    options: dict[str, Any],
) -> None:
    """Propose thresholds for the slices of one attribute, print them, and write them."""
    if len(asked) > 1:
        raise ConfigError(
            f"--propose divides documents by one thing at a time, not {len(asked)}: name it with "
            "one --by"
        )
    attribute = attribute_named(asked[0], own)
    refuse_unsuitable(attribute, own)
    config, corpus = open_corpus(options)
    config.require_threshold()
    read = [labels_file, options["config_file"], None if own is None else own.path]
    spare_inputs(corpus, read, [out])
    with progress("documents") as advance:
        opened = OpenedCorpus(corpus, config.clip_model, progress=advance)
        matched = opened.matched(config)
    sliced = SlicedCorpus(matched)
    if not len(matched.scores()):
        corpus.errors.append(unmatched(matched.n_documents))
        finish(corpus)
    if labels_file is not None and precision is not None:
        labelled = opened.labelled(sliced.pairs, config, labels_file)
        found = propose_equal_precision(sliced, attribute, config, labelled, precision, most)
    else:
        grid = matched.scale.thresholds()
        found = propose_equal_share(sliced, attribute, config, grid, most)
    corpus.notes += found.notes
    found = with_file(found, own)
    _print_proposed(found, attribute, form)
    if out is not None:
        _write(out, found.table, matched, config, corpus, options)
    finish(corpus)


def _print_proposed(found: ProposedThresholds, attribute: Attribute, form: str) -> None:
    rows = [found.as_row(one) for one in found.slices]
    if form == "json":
        click.echo(json_text(found.as_dict(), 1))
        return
    if form == "csv":
        click.echo(csv_text(list(rows[0]), [list(row.values()) for row in rows]), nl=False)
        return
    size, before, kept = (sum(getattr(one, name) for one in found.slices) for name in
                          ("size", "before", "kept"))  # fmt: skip
    head = ("slice", "documents", "threshold", "kept", "share", "before", "")
    lines = [
        (one.name, f"{one.size:,}", f"{one.threshold!r}", f"{one.kept:,.10g}", share(one.share),
         share(one.before / one.size), one.said or ("" if one.own else "as the settings"))
        for one in found.slices
    ]  # fmt: skip
    click.echo(
        f"{printable(attribute.label)}: {kept:,.10g} of {size:,} documents kept with these "
        f"thresholds ({kept / size:.1%}), {before:,.10g} at {found.table.base:g} "
        f"({before / size:.1%})\n{table([head, *lines], left=(0, 6))}\n({found.assumption})"
    )


def _write(
    out: str,
    slices: SliceThresholds,
    matched: Matched,
    config: LoaderConfig,
    corpus: Indexed | Shards,
    options: dict[str, Any],
) -> None:
    """Write the settings with slice thresholds as a config."""
    from mmc4viz.cli.export.settings import (
        note_on_table,
        write_config,
    )  # imported late to start faster

    if not slices.thresholds:
        corpus.notes.append(f"{out} was not written: no slice has a threshold of its own")
        return
    write_config(out, config, matched, corpus, options, slices)
    note_on_table(slices, out)


def _as_text(found: SliceComparison, slices: list[Slice]) -> str:
    """Return a division's slices as a table, with a heading."""
    share = f" ({found.share:.1%})" if found.size else ""
    kept = f"{found.kept:,.10g} of {found.size:,} {unit_of(found)} kept{share}"
    head, rows = table_of(found, slices)
    return f"{printable(found.label)}: {kept} at {found.threshold:g}\n{table([head, *rows])}"
