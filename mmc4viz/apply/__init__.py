"""Write shards on which the unmodified loader yields a chosen selection."""
