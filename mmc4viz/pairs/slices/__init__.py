"""Slices of a table of pairs: what divides it, and what every threshold keeps of each part."""
