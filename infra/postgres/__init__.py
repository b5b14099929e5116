"""Source tables, publications and replication slots: made by the harness, marked, and removed by
it alone.
"""
