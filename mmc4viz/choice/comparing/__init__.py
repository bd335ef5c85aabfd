"""CLIP models side by side over the same documents."""
