"""The reference CDC platform, the system under test: a process that the harness only meets on the
network.
"""
