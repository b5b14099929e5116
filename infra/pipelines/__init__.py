"""Pipelines of other makers, ready to run: a pipeline file each in `shipped/`, and the processes
that start them.
"""
