"""The way out of Postgres without Kafka Connect: a replication slot read directly, decoded and
published.
"""
