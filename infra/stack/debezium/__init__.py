"""Debezium connectors, and the row that proves that one streams."""
