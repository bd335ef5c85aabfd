"""The share of wrong pairs without labels: what wrong matches look like, and how many are left."""
