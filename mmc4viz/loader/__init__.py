"""One document: from its JSON bytes to the loader's verdict. Knows nothing of shards or corpora."""
