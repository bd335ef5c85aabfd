"""The numbers of a picture or a list as CSV, made when they are asked for."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import streamlit as st

from mmc4viz.ui.inert import plain


def offer(name: str, head: Sequence[str], rows: Callable[[], Iterable[Sequence[Any]]]) -> None:
    """Draw a button that downloads rows as ``name``.csv."""
    st.download_button(
        "CSV",
        data=lambda: written(head, rows()),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"csv-{name}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
        help="These numbers as a file of comma-separated values.",
    )


def written(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Write CSV in which no cell is a spreadsheet's formula, whatever it parts cells by.

    Examples
    --------
    >>> written(["a", "b"], [["=1+1", -0.5]])
    '"a","b"\r\n"\'=1+1",-0.5\r\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = plain(value)
    begins = unicodedata.normalize("NFKC", text.lstrip()[:1])  # wide signs count as well
    return f"'{text}" if (begins and begins in "=+-@|%") or text[:1] in ("\t", "\n") else text
