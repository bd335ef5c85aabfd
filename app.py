"""The dashboard for ``streamlit run app.py``; ``mmc4viz app`` opens the same."""

from mmc4viz.ui.main import run

run()
