"""Reading shards, indexes and similarity files, from disk or over the network."""
