"""Debezium Server: PostgreSQL's log to HTTP, another database or a stream, in one process."""
