"""Apache Iceberg's own sink for Kafka Connect, in a worker of the run's own: topics to a table."""
