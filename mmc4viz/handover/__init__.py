"""Handing over: the setting with its provenance, manifests, rewritten shards, the report."""
