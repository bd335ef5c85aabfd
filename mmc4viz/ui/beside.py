"""Two pictures beside each other, or one below the other where there is no room."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def pair_of_columns(name: str) -> list[DeltaGenerator]:
    """Return two columns; the name is the page's own, and given once."""
    with st.container(key=f"beside-{name}"):
        return list(st.columns(2))
