"""Where one threshold does not fit all: slices of a corpus, and how each differs from the whole."""
