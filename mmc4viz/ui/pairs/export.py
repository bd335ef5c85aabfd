"""The page Export of a table of pairs: settings, which rows are kept, and equal commands."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from mmc4viz.export.pairs import PairContent, pair_report
from mmc4viz.pairs.opened import OpenedPairs
from mmc4viz.pairs.rows.manifest import write_kept, write_uids
from mmc4viz.pairs.settings import PairSettings, settings_text
from mmc4viz.text import plain
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import ConfigError, ShardError
from mmc4viz.ui import fields
from mmc4viz.ui.components.download import offer
from mmc4viz.ui.html import many, note, part, show_problems
from mmc4viz.ui.pairs import basis, row_labels, slices, table_data
from mmc4viz.ui.pairs.table_data import PairChoice

_MOST_ROWS: Final = 2_000_000  # of a download; more are written by a command


def show(choice: PairChoice) -> None:
    """Draw the page."""
    st.title("Export", anchor=False)
    kept, rows = choice.n_kept, choice.curves.tally.rows
    st.text(f"A pair is kept if {choice.selection}: {kept:,} of {many(rows, 'pair')}.")
    show_problems(choice.curves.tally.errors, ())
    st.header("Settings", anchor=False)
    chosen, line = basis.reasons_of(choice)
    note(line)
    words = fields.text("Note", "pair-note", "note", most=500)
    facts = _facts(choice, words, chosen)
    with st.container(horizontal=True):
        for kind in ("yaml", "json"):
            name = f"settings.{kind}"
            offer(
                f"Download settings ({kind.upper()})", name, partial(_settings, choice, facts, name)
            )
    st.header("Kept pairs", anchor=False)
    if kept > _MOST_ROWS:
        note(f"More than {_MOST_ROWS:,} pairs are written by a command, below.")
    else:
        _downloads(choice)
    st.header("Report", anchor=False)
    divided = fields.yes_or_no(
        "Include slices", "export-slices", "x.slices", default=False,
        help="Divided as on the page Slices.",
    )  # fmt: skip
    by = (slices.chosen(choice),) if divided else ()
    write = partial(_report, choice, facts, by)
    offer("Download report (HTML)", "mmc4viz-report.html", write, "text/html")
    held = f"both scores compared, {f'slices by {plain(by[0])}, ' if by else ''}"
    note(
        "One file: what was read, kept pairs with their curve and distribution, "
        f"{held}methods, settings and command."
    )
    st.header("Commands", anchor=False)
    st.text("The same on the command line:")
    for line in commands(choice, basis.target_of() if chosen else None, by):
        st.html(part("raw", line))


def _settings(choice: PairChoice, facts: dict[str, Any], name: str) -> str:
    settings = PairSettings.of(choice.curves.plan.layout, choice.selection)
    return settings_text(settings, facts, name)


def _facts(choice: PairChoice, words: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return what settings and report record of the table: counts, files, note and basis."""
    facts: dict[str, Any] = {"kept": choice.n_kept, "rows": choice.curves.tally.rows}
    facts["files"] = [os.path.basename(path) for path in _paths(choice)]
    return facts | ({"note": words} if words else {}) | ({"chosen": chosen} if chosen else {})


def _paths(choice: PairChoice) -> tuple[str, ...]:
    """Return the files of the table."""
    files = tuple(one.path for one in choice.source.files)
    return files or table_data.index_paths(choice.source)


def _report(choice: PairChoice, facts: dict[str, Any], by: Sequence[str] = ()) -> str:
    """Return the report, from what was counted for the pages; the table is read for slices."""
    curves, selection = choice.curves, choice.selection
    opened = OpenedPairs(
        _paths(choice),
        curves.plan,
        selection.scores,
        known=None if choice.source.index else table_data.table_of(choice.source),
        counted={curves.plan: curves},
    )
    command = shlex.split(commands(choice, by=by)[-1])
    report = pair_report(PairContent.of(opened, selection, command, facts, by))
    _check_read(choice, opened.errors)
    return report


def _downloads(choice: PairChoice) -> None:
    """Offer the kept rows as files, which are made when they are asked for."""
    kinds = [("kept.parquet", "Kept pairs (Parquet)"), ("kept.csv", "Kept pairs (CSV)")]
    if choice.curves.plan.layout == "datacomp":
        kinds.insert(0, ("uids.npy", "DataComp's list of uids (NPY)"))
    with st.container(horizontal=True):
        for name, words in kinds:
            offer(words, name, partial(_file, choice, name))
    st.caption("File, row, id, url and scores of each kept pair.")


def _file(choice: PairChoice, name: str) -> bytes:
    """Return the content of a file that `mmc4viz.pairs.rows.manifest` writes.

    Raises
    ------
    ConfigError, ShardError
        If what is read is not what was counted: nothing is written then.
    """
    errors: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        arguments = path, table_data.table_of(choice.source), choice.selection, errors
        kept = sum(write_uids(*arguments)) if name.endswith(".npy") else write_kept(*arguments)
        _check_read(choice, errors)
        if kept != choice.n_kept:
            raise ConfigError(
                f"{table_data.corpus_name(choice.source)}: {kept:,} kept pairs were read, but "
                f"{choice.n_kept:,} were counted: the table has changed or is damaged; "
                "open it again, or run the command below"
            )
        with open(path, "rb") as file:
            return file.read()


def _check_read(choice: PairChoice, errors: list[str]) -> None:
    """Raise a ShardError for the first file that could be counted, but cannot be read now."""
    new = [one for one in errors if one not in choice.curves.tally.errors]
    if new:
        more = f" (and {len(new) - 1:,} more)" if len(new) > 1 else ""
        raise ShardError(
            f"{new[0].rstrip('.')}{more}. Nothing was written: restore the file, then try again."
        )


def commands(
    choice: PairChoice, target: tuple[Basis, float] | None = None, by: Sequence[str] = ()
) -> list[str]:
    """Return the commands that show the same and write the same.

    Parameters
    ----------
    choice : PairChoice
    target : (Basis, float), optional
        What the threshold was chosen by.
    by : sequence of str
        What the report divides by.
    """
    paths = list(dict.fromkeys(_patterns(choice)))
    settings, named = PairSettings.of(choice.curves.plan.layout, choice.selection), _named(choice)
    flags = settings.flags(named)
    writes = ["--out", "settings.yaml", "--manifest", "kept.parquet", "--report", "report.html"]
    writes += [word for one in by for word in ("--by", one)]
    if choice.curves.plan.layout == "datacomp":
        writes += ["--ids", "uids.npy"]
    found = [["curve", *paths, *flags]]
    if target is not None and target[0] == Basis.PRECISION:
        suggest = settings.flags(named, threshold=False)
        suggest += [
            "--precision",
            f"{100 * target[1]:.12g}%",
            "--labels",
            row_labels.path_of(choice),
        ]
        found.append(["suggest", *paths, *suggest, "--out", "proposal.json"])
        writes = ["--proposal", "proposal.json", *writes]
    found.append(["export", *paths, *flags, *writes])
    return [shlex.join(["mmc4viz", *words]) for words in found]


def _named(choice: PairChoice) -> str:
    """Return the first score as an option names it."""
    first = choice.selection.scores[0]
    named = {one.partition("=")[0]: one for one in choice.source.named}
    return named.get(first.name, first.name)


def _patterns(choice: PairChoice) -> list[str]:
    if choice.source.index:
        return ["--index", choice.source.index[0].path]
    paths = [one.path for one in choice.source.files]
    folders = {os.path.dirname(path) for path in paths}
    return [f"{folders.pop()}/"] if len(paths) > 3 and len(folders) == 1 else paths
