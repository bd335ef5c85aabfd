"""Choose thresholds, and compare those of several CLIP models."""
