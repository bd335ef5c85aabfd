"""Two CLIP models side by side."""
