"""Labels of the open table of pairs: the population they are drawn from, and cached estimates."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.labels.estimate import (
    LabelledRows,
    RowSample,
    by_other_score,
    labelled_rows,
    rows_of_pairs,
)
from mmc4viz.pairs.labels.population import (
    RowPopulation,
    TableFiles,
    labeled_selection,
)
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.rows.examples import PairRow
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.exchange import agreements
from mmc4viz.thresholds.labels.precision import curve, probability
from mmc4viz.thresholds.labels.sampling import Design, find_design
from mmc4viz.thresholds.labels.store import PairId
from mmc4viz.types import ShardError
from mmc4viz.ui import cache, state
from mmc4viz.ui.cache import Memo, cached, progress
from mmc4viz.ui.label_data import LabelResults, curve_thresholds
from mmc4viz.ui.pairs import table_data
from mmc4viz.ui.pairs.table_data import PairChoice, TableKey
from mmc4viz.ui.start import label_file, read_start

_FILES: Final = Memo[TableFiles]()
_POPULATIONS: Final = Memo[RowPopulation]()
_RESULTS: Final = Memo["RowResults"]()
_OTHERS: Final = Memo[RowSample]()


@dataclass(frozen=True)
class RowResults(LabelResults):
    """Results computed from the labels of a table."""

    labelled: LabelledRows


def path_of(choice: PairChoice) -> str:
    """Return the label file (`label_file`)."""
    return label_file(read_start(), choice.source.index[0].path if choice.source.index else "")


def population_of(
    choice: PairChoice, selection: PairSelection, curves: PairCurves
) -> RowPopulation:
    """Return the rows from which labels are drawn by the first score of a selection."""
    table, wanted = table_data.table_of(choice.source), labeled_selection(selection)
    files = _FILES.get(choice.source, lambda: TableFiles(table.paths))
    return _POPULATIONS.get(
        (choice.source, wanted),
        lambda: RowPopulation(table, curves, wanted, files, cache.tell),
    )


def population_for(choice: PairChoice) -> RowPopulation:
    """Return the rows from which labels are drawn."""
    return population_of(choice, choice.selection, choice.curves)


def design_of(path: str, population: RowPopulation) -> Design | None:
    """Return the label sample of a table and score; None if there is none."""
    return find_design(path, population.key) if os.path.exists(path) else None


def prepare(population: RowPopulation, design: Design, rows: int) -> None:
    """Read the table, unless enough rows to draw are known."""
    with progress("Drawing pairs", unit="rows"):
        population.prepare(design.borders, rows)


def results_of(path: str, design: Design, population: RowPopulation) -> RowResults:
    """Return the results of the current labels."""
    said = store.read(path)

    def make() -> RowResults:
        with progress("Estimating precision"):
            found = labelled_rows(path, design, population)
            scale = population.selection.scale
            mine = [one for one in said if population.files.holds(one.pair.content)]
            return RowResults(
                curve(found.sample, curve_thresholds(design, scale)),
                probability(found.sample),
                agreements(mine),
                found,
            )

    return _RESULTS.get((path, design, population.key, population.selection, tuple(said)), make)


def results_for(choice: PairChoice) -> RowResults | None:
    """Return the results of the labels of the chosen score; None without any label."""
    path, population = path_of(choice), population_for(choice)
    design = design_of(path, population)
    found = None if design is None else results_of(path, design, population)
    return found if found is not None and len(found.labelled.sample) else None


def other_sample(
    found: LabelledRows, population: RowPopulation, curves: PairCurves, other: ScoreColumn
) -> RowSample:
    """Return the labels as a sample of what another score keeps."""
    correct = tuple(found.sample.correct.tolist())
    key = population.key, population.selection, found.pairs, correct, found.design, other
    return _OTHERS.get(key, lambda: by_other_score(found, population, curves, other))


@cached("Reading the pair")
def row_of(source: TableKey, selection: PairSelection, pair: PairId) -> PairRow | None:
    """Return a row by its identity; None if it is not there."""
    table = table_data.table_of(source)
    files = _FILES.get(source, lambda: TableFiles(table.paths))
    return rows_of_pairs(table, selection, files, [pair]).get(pair)


def chosen_row(choice: PairChoice) -> tuple[PairId, PairRow] | None:
    """Return the row that was chosen on another page; None without one that is there."""
    selection = labeled_selection(choice.selection)
    table = table_data.table_of(choice.source)

    def parse(text: str) -> tuple[PairId, PairRow] | None:
        found = re.fullmatch(r"(\d{1,9})\.(\d{1,12})", text, re.ASCII)
        if found is None or int(found[1]) >= len(table.paths):
            return None
        files = _FILES.get(choice.source, lambda: TableFiles(table.paths))
        name = os.path.basename(table.paths[int(found[1])])
        pair = PairId(name, "", 0, 0, files.contents[int(found[1])], int(found[2]))
        with suppress(ShardError):  # there is no such row
            row = row_of(choice.source, selection, pair)
            return None if row is None else (replace(pair, key=row.id), row)
        return None

    return state.understood(state.PAIR, parse, "a pair of this table")
