"""The page Audit: what the loader does unseen, in numbers and examples."""

from __future__ import annotations

import streamlit as st

from mmc4viz.ui.sidebar import Choice


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Audit", anchor=False)
