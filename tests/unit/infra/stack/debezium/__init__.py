"""Tests of infra.stack.debezium."""
