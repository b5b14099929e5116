"""The direct reader's transports: publishers, and the names and partitions that they use."""
