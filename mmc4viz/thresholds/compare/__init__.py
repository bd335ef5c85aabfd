"""Compare CLIP models."""
