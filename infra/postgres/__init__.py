"""Source tables, publications and replication slots: the harness creates and marks them, and only
it removes them.
"""
