"""The Iceberg sink: a change log that grows, or a table kept equal to the source."""
