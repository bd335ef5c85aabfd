"""The dashboard's entry: page, sidebar, and which page is shown. Computes and draws nothing."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from mmc4viz.model import Mmc4vizError
from mmc4viz.ui import tune
from mmc4viz.ui.inert import note
from mmc4viz.ui.sidebar import choose
from mmc4viz.ui.start import read_start

_NOTHING = """
<p>No shards are named, and the sample is not here.</p>
<p>Name shards in the sidebar, one a line, or start with them:
<code>mmc4viz app shards/</code>. WebDataset tars as OpenFlamingo's converter writes them, and
MMC4's own <code>.jsonl</code>, are read.</p>
<p>The sample shards stand in the project's source repository, in the folder
<code>sample_data</code>; an installed package does not carry them.</p>
"""


def run() -> None:
    """Draw the dashboard once."""
    st.set_page_config(page_title="mmc4viz", layout="wide", initial_sidebar_state="auto")
    st.html(Path(__file__).with_name("page.css"))
    start = read_start()
    if start.problem is not None:
        note(start.problem, "error")
    try:
        choice = choose(start)
        if choice is None:
            st.html(_NOTHING)
        else:
            tune.show(choice)
    except Mmc4vizError as error:
        note(str(error), "error")


if __name__ == "__main__":
    run()
