"""The commands ``curve``, ``explain``, ``index``, ``suggest`` and ``export`` on tables of pairs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import click
import numpy as np

from mmc4viz.cli.common import finish, progress
from mmc4viz.cli.curve import thresholds_of
from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.cli.pairs.opened import open_pairs
from mmc4viz.data.index import absolute
from mmc4viz.data.jobs import by_status, dask, processes
from mmc4viz.data.storage import refuse_inputs, remember, size_of, whole_file
from mmc4viz.pairs.count import (
    PairFileDone,
    PairIndexTask,
    build_pair_index,
    open_pair_index,
    plan_of,
)
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.opened import OpenedPairs
from mmc4viz.pairs.rows.examples import NearRows, PairRow, first_rows, rows_near
from mmc4viz.pairs.selection import PairSelection, conditions_on
from mmc4viz.pairs.settings import PairSettings, chosen_by
from mmc4viz.pairs.table import open_table
from mmc4viz.text import json_text, printable, table, write_rows
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError

_SHOWN = 60  # characters of a text or url in a table


def curve(
    thresholds: str | None, grid: str | None, form: str, threshold: float | None, **options: Any
) -> None:
    """Print what each threshold keeps."""
    asked = thresholds_of(thresholds, grid)
    if asked is None and threshold is not None:
        if not np.isfinite(threshold):
            raise ConfigError(f"--threshold: {threshold} is not a finite number")
        asked = np.array([threshold])
    opened = open_pairs(options)
    write_rows(list(opened.curve_rows(asked)), form, sys.stdout)
    finish(opened)


def explain(
    form: str, threshold: float | None, first: int | None, near: int | None, **options: Any
) -> None:
    """Show rows with their scores, and why each is kept or not."""
    if first is not None and near is not None:
        raise ConfigError("give --first or --near, not both")
    opened = open_pairs(options, count_now=False)
    selection = opened.chosen(threshold)
    if near is None:
        rows = first_rows(opened.table, selection, first or 20, opened.errors)
    else:
        rows = rows_near(opened.table, selection, NearRows(max(near // 2, 1)), opened.errors)
    if form == "jsonl":
        for row in rows:
            click.echo(json_text(row.as_dict(selection), ascii_only=False))
    else:
        click.echo(f"{selection}\n{table(_cells(rows, selection), left=(0, 2, 3))}")
    finish(opened)


def _cells(rows: Sequence[PairRow], selection: PairSelection) -> Iterator[Sequence[str]]:
    names = [one.name for one in selection.scores]
    yield ["file", "row", "id", "status", *names, "  text", "reason"]
    for row in rows:
        scores = [_number(score) for score in row.scores]
        place = os.path.basename(row.path), f"{row.number:,}", _short(row.id)
        yield [*place, row.status, *scores, _short(row.text or row.url), row.reason]


def _number(score: float) -> str:
    if np.isnan(score):
        return "–"
    return f"{score:.4f}" if abs(score) < 1e6 else f"{score:.6g}"


def _short(text: str) -> str:
    plain = printable(text)
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 1]}…"


def app(
    shards: tuple[str, ...],
    index_dir: str | None,
    image_dir: str | None,
    labels: str | None,
    roots: tuple[str, ...],
    read_only: bool,
    named: tuple[str, ...],
    where: tuple[str, ...],
    strict: bool,
    **server: Any,
) -> None:
    """Open the dashboard on a table or its index."""
    from mmc4viz.cli.app import serve, start_of  # imported late: other commands need no dashboard

    if shards and index_dir:
        raise ConfigError("give a TABLE or --index DIR, not both")
    given = start_of(index_dir, image_dir, labels, roots, read_only=read_only)
    if index_dir is None:
        opened = open_table([remember(one) for one in shards], named)
        conditions_on(where, opened)
        given["shards"] = [absolute(path) for path in opened.paths]
    else:
        open_pair_index(index_dir)
    serve(given | {"named": named, "where": where, "strict": strict}, **server)


def index(
    shards: tuple[str, ...],
    out: str,
    workers: int,
    scheduler: str | None,
    named: tuple[str, ...],
    where: tuple[str, ...],
    strict: bool,
) -> None:
    """Count a table into an index, so that its files are read only once."""
    found, out = open_table(shards, named), remember(out)
    columns = found.columns if found.scores else ()
    plan = plan_of(found, columns, conditions_on(where, found), strict)
    tasks = [PairIndexTask(path, out, plan) for path in found.paths]
    make = partial(dask, scheduler, print_note) if scheduler else partial(processes, workers)
    done: list[PairFileDone] = []
    with progress("B", sum(size_of(path) for path in found.paths)) as advance:
        done = build_pair_index(tasks, make, lambda one: advance(size_of(one.path)))
    rows: list[tuple[Any, ...]] = [("", "files", "rows", "MB")]
    rows += [(*row, f"{n / 1e6:.1f}") for *row, n in by_status(done, "rows", "n_bytes")]
    click.echo(table(rows))
    problems = [one for one in done if one.status in ("failed", "incomplete")]
    for problem in problems:
        print_error(str(problem.reason))
    if problems:
        sys.exit(2)


def suggest(
    keep: tuple[str, ...],
    fraction: tuple[float, ...],
    precision: tuple[float, ...],
    labels_file: str | None,
    out: str | None,
    form: str,
    **options: Any,
) -> None:
    """Suggest thresholds that keep enough rows, or good enough rows according to labels."""
    from mmc4viz.thresholds.by_yield import Target  # imported late: curve starts without it

    targets = [Target.parse(text) for text in keep]
    if not targets and not fraction and not precision:
        raise ConfigError(
            "specify a target: --keep pairs=30%, --keep pairs=1000000, --fraction 0.3 or "
            "--precision 90% --labels FILE"
        )
    if bool(precision) != bool(labels_file):
        raise ConfigError("--precision SHARE and --labels FILE must be given together")
    opened = open_pairs(options, count_now=False)
    columns, found = opened.alternatives()[0], opened.suggest(targets, fraction)
    if labels_file is not None:
        selection = opened.selection(0.0, *opened.fixed, columns=columns)
        found += _by_labels(opened, selection, labels_file, precision)
    records = [{"score": opened.name_of(columns), **one.as_dict()} for one in found]
    text = json_text(records, 1)
    if out is not None:
        from mmc4viz.export.pairs import refuse

        refuse(opened, out)
        refuse_inputs([out], [labels_file] if labels_file else [])
        with whole_file(out) as file:
            file.write(f"{text}\n".encode())
    click.echo(text if form == "json" else _as_text(opened, columns, found))
    finish(opened)


def _by_labels(
    opened: OpenedPairs, selection: PairSelection, path: str, precision: Sequence[float]
) -> list[Proposal]:
    """Suggest the lowest thresholds with enough precision; note labels that do not count."""
    from mmc4viz.pairs.labels.estimate import by_precision_of_rows, labels_for
    from mmc4viz.pairs.labels.population import RowPopulation, TableFiles, labeled_selection
    from mmc4viz.thresholds.labels.precision import remarks

    if selection.together in ("and", "or"):
        raise ConfigError(
            f"--precision is about one score, or a --sum, not --{selection.together}: labels are "
            "drawn by one score"
        )
    files = TableFiles(opened.table.paths)
    population = RowPopulation(opened.table, opened.curves, labeled_selection(selection), files)
    found = labels_for(path, population)
    opened.notes.extend(f"{path}: {remark}" for remark in remarks(found))
    return [by_precision_of_rows(found.sample, wanted) for wanted in precision]


def _as_text(opened: OpenedPairs, columns: Sequence[ScoreColumn], found: Sequence[Proposal]) -> str:
    rows = [("target", "score", "threshold", "pairs", "share")]
    for one in found:
        kept = one.kept.get("pairs")
        cells = (
            ("–", "–") if kept is None else (f"{int(kept):,}", f"{kept / opened.tally.rows:.2%}")
        )
        threshold = "none" if one.threshold is None else f"{one.threshold!r}"
        rows.append((one.target, opened.name_of(columns), threshold, *cells))
    lines = [table(rows, left=(0, 1))]
    lines += [
        f"{one.target}: estimated precision {one.estimate:.1%} (95% CI {one.low:.1%} to "
        f"{one.high:.1%}), from {one.labels:,} labels at or above it"
        for one in found
        if one.threshold is not None and one.estimate is not None
    ]
    lines += [f"{one.target}: no threshold: {one.reason}" for one in found if one.reason]
    lines += [f"({text})" for text in dict.fromkeys(one.assumption for one in found)]
    return "\n".join(lines)


def export(
    out: str | None,
    note: str | None,
    proposal: str | None,
    manifest_file: str | None,
    ids_file: str | None,
    report_file: str | None,
    slices_by: tuple[str, ...],
    overwrite: bool,
    threshold: float | None,
    **options: Any,
) -> None:
    """Write the settings, which rows are kept, and the report."""
    from mmc4viz.export.pairs import PairFiles, write_pairs  # imported late to start faster

    opened = open_pairs(options, count_now=False)
    why = None if proposal is None else chosen_by(proposal)
    if why is not None:
        if threshold not in (None, why["threshold"]):
            raise ConfigError(f"--threshold {threshold!r} contradicts {proposal}; omit one of them")
        threshold = float(why["threshold"])
    selection = opened.chosen(threshold)
    index = options["index_dir"]
    command = ["mmc4viz", "export", *(["--index", index] if index else options["shards"])]
    named = options["named"][0] if options["named"] else ""
    command += PairSettings.of(opened.plan.layout, selection, opened.joined).flags(named)
    files = PairFiles(
        out, ids_file, manifest_file, report_file, note or "", why, slices_by, tuple(command),
        overwrite,
    )  # fmt: skip
    kept = write_pairs(opened, selection, files, print_note)
    click.echo(f"{selection}: {kept:,} rows kept")
    finish(opened)
