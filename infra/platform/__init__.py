"""The reference CDC platform, the system under test: a process that the harness meets only on the
network.
"""
