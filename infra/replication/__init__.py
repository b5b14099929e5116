"""PostgreSQL's logical replication: the protocol's connection, and pgoutput's messages as
events.
"""
