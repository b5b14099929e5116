"""The direct reader: reads a replication slot without Kafka Connect, decodes changes and publishes
them.
"""
