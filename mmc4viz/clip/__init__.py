"""Score images and sentences with a CLIP model."""
