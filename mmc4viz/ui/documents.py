"""The page Documents: every document, filtered and sorted, and one of them in full."""

from __future__ import annotations

import streamlit as st

from mmc4viz.ui.sidebar import Choice


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Documents", anchor=False)
