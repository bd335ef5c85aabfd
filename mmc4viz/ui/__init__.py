"""The dashboard: one file a page. The only place that imports Streamlit, and caches for it."""
