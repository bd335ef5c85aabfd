"""Rows of a table, one by one: those to look at, their images, and lists of those kept."""
