"""Similarity from a dual encoder: a model's files, its inputs, and files of scores."""
