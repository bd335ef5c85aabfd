"""Files that hold samples: how each kind is read in order, and one sample again by its place."""
