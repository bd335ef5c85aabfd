"""Choosing a threshold, and comparing those of several CLIP models."""
