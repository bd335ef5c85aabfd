"""Slices of the open corpus at the current threshold: divisions and curves are cached, so that
moving the threshold looks up and sweeps nothing.
"""  # noqa: D205

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from mmc4viz.data.storage import is_remote
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.comparison import SliceComparison, compare, document_curves
from mmc4viz.slices.differences import FEWEST
from mmc4viz.slices.words import NOT_VALUES
from mmc4viz.sweep.statistics import Curves
from mmc4viz.thresholds.labels.precision import Labelled
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, label_data, state
from mmc4viz.ui.cache import Memo, cached
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.start import read_start

_COMPARED: Memo[SliceComparison] = Memo()
BY: Final = "s.by"
"""What divides, in the address."""
_FEWEST_SITES: Final = 3
NEEDS_ALL: Final = "Slices need all documents: set the sample size in the sidebar to 0."


def table_at(path: str) -> data.FileId | None:
    """Identify a user's table, None without a path.

    Raises
    ------
    ConfigError
        If it is outside the roots, no file, or no such table.
    """
    if not path:
        return None
    found = data.identify(read_start().roots.path(path))
    if not is_remote(path) and not os.path.isfile(path):
        raise ConfigError(f"{path}: no such file; enter the path of a Parquet file on this server")
    data.slice_table(found)
    return found


@dataclass(frozen=True)
class DividedBy:
    """What divides: an attribute, or a column of the user's ``table``."""

    name: str
    table: data.FileId | None = None


def first_choice(choice: Choice) -> str:
    """Return what to divide by unless something is chosen: sites, if there are several to compare.

    Otherwise the number of images on the page, which tells documents apart in every corpus.
    """
    sites = data.division_of(choice.source, choice.config.for_matching(), "site", None)
    sizes = zip(sites.names, sites.sizes.tolist(), strict=True)
    able = [name for name, size in sizes if size >= FEWEST and name not in NOT_VALUES]
    return "site" if len(able) >= _FEWEST_SITES else "images"


def chosen(choice: Choice) -> DividedBy:
    """Return what the page Slices divides by; raises a ConfigError as `table_at` does."""
    name, table = state.get(BY) or first_choice(choice), table_at(state.get(state.SLICE_TABLE))
    of_table = table is not None and name in data.slice_table(table).columns
    return DividedBy(name, table if of_table else None)


@cached("Computing the curves of each slice")
def curves_of(
    source: data.CorpusKey, config: LoaderConfig, name: str, table: data.FileId | None
) -> list[Curves]:
    """Return every statistic of each slice of documents at every threshold of the grid.

    Parameters
    ----------
    source : CorpusKey
    config : LoaderConfig
        Only what curves depend on (`LoaderConfig.for_curves`).
    name : str
        What divides.
    table : FileId or None
    """
    division = data.division_of(source, config.for_matching(), name, table)
    grid = data.spread_of(source, config).scale.thresholds()
    return document_curves(data.matched_of(source, config), division, config, grid)


def comparison_of(choice: Choice, by: DividedBy) -> tuple[SliceComparison, str]:
    """Compare slices at the current threshold, with precision where there are labels.

    Returns
    -------
    (SliceComparison, str)
        And why the labels cannot be used; empty without any.

    Raises
    ------
    ConfigError
        If the corpus cannot be divided by this.
    """
    source, config = choice.source, choice.config
    labelled, key, problem = _labels(choice)

    def make() -> SliceComparison:
        division = data.division_of(source, config.for_matching(), by.name, by.table)
        grid = data.spread_of(source, config).scale.thresholds()
        corpus = SlicedCorpus(data.matched_of(source, config), data.pairs_for(source, config))
        if division.unit == "document":
            curves = curves_of(source, config.for_curves(), by.name, by.table)
            return compare(corpus, division, config, grid, labelled, curves=curves)
        found = data.verdicts_for(source, config)
        return compare(corpus, division, config, grid, labelled, found)

    return _COMPARED.get((source, config, by, key), make), problem


def _labels(choice: Choice) -> tuple[Labelled | None, Hashable, str]:
    """Return the labels with a key of them, or why they cannot be read."""
    try:
        path = label_data.path_of(choice)
        design = label_data.design_of(path, choice)
        if design is None:
            return None, None, ""
        found = label_data.labelled_of(path, design, choice)
        return found, label_data.key_of(path, design, choice), ""
    except Mmc4vizError as error:
        return None, None, str(error)
