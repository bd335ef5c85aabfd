"""Choosing a threshold that one can defend: by yield, by false-discovery rate, by precision."""
