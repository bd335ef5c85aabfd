"""Curves, scores and single documents → Plotly figures. No Streamlit, no text from documents."""

from mmc4viz.plots.curves import YIELDS, funnel, score_histogram, yield_of, yields
from mmc4viz.plots.document import MOST_COLUMNS, MOST_ROWS, displaced, heat_map, ruler
from mmc4viz.plots.style import COLOURS

__all__ = [
    "COLOURS",
    "MOST_COLUMNS",
    "MOST_ROWS",
    "YIELDS",
    "displaced",
    "funnel",
    "heat_map",
    "ruler",
    "score_histogram",
    "yield_of",
    "yields",
]
