"""One module a page; each has `show`. Named so, for Streamlit lists a folder `pages` by itself."""
