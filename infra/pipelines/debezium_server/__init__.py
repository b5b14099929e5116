"""Debezium Server: PostgreSQL's log to HTTP, Kafka or another database, in one process."""
