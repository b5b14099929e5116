"""Pipelines of other makers, shipped ready to run: a pipeline file each in `shipped/`, and what
starts them.
"""
