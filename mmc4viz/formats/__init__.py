"""Formats of corpora: how each is recognized, and how a sample becomes MMC4's JSON."""
