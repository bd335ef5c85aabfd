"""Many documents: shards, columns, and the sweep that turns them into exact curves."""
