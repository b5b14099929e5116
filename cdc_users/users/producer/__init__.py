"""Writes straight to Kafka, without Locust or gevent."""
