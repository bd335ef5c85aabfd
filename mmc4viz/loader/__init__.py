"""The loader on one document: from JSON bytes to a verdict."""
