"""Plotly figures and the colors used on every page; each module has those of one subject.

Figures are labeled directly, without legends, and contain no text from documents.
"""

from mmc4viz.charts.kept import values_of_a_setting, yields
from mmc4viz.charts.labels import precision, probability
from mmc4viz.charts.loaders import under_loaders
from mmc4viz.charts.models import (
    agreement,
    equivalents,
    joint,
    joint_counts,
    overlaps,
    precision_recall,
    roc,
    thresholds,
)
from mmc4viz.charts.pairs import both_thresholds, number_yield, rebinned
from mmc4viz.charts.scores import (
    bin_edges,
    count_histogram,
    densities,
    displaced,
    positions,
    score_histogram,
)
from mmc4viz.charts.style import COLOURS, INK, TEXT_COLOURS, above, axis, figure

__all__ = [
    "COLOURS",
    "INK",
    "TEXT_COLOURS",
    "above",
    "agreement",
    "axis",
    "bin_edges",
    "both_thresholds",
    "count_histogram",
    "densities",
    "displaced",
    "equivalents",
    "figure",
    "joint",
    "joint_counts",
    "number_yield",
    "overlaps",
    "positions",
    "precision",
    "precision_recall",
    "probability",
    "rebinned",
    "roc",
    "score_histogram",
    "thresholds",
    "under_loaders",
    "values_of_a_setting",
    "yields",
]
