"""A shard directory is written, verified, decoded, shown."""
