"""The page Borderline: pairs around the threshold, image and sentence."""

from __future__ import annotations

import streamlit as st

from mmc4viz.ui.sidebar import Choice


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Borderline", anchor=False)
