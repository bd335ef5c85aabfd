"""Programs that read an export as its trainer would; each runs in the trainer's own environment."""
