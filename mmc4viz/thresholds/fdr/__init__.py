"""The false-discovery rate, estimated without labels."""
