"""Exact statistics at every threshold."""
