"""Read shards and indexes: everything that touches a disk or a network."""
