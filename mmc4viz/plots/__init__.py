"""Curves, scores and single documents → Plotly figures. No Streamlit, no text from documents."""

from mmc4viz.plots.curves import YIELDS, funnel, score_histogram, yield_of, yields
from mmc4viz.plots.document import displaced
from mmc4viz.plots.style import COLOURS

__all__ = [
    "COLOURS",
    "YIELDS",
    "displaced",
    "funnel",
    "score_histogram",
    "yield_of",
    "yields",
]
