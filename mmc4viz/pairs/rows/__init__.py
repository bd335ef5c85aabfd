"""Rows of a table, one by one: their images."""
