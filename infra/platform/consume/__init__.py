"""Kafka to batches: polling, decoding, bounded queues, delivery, committed positions."""
