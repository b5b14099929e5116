"""The benchmark suite of the specification: thin tests that run a scenario each in a process of
its own.
"""
