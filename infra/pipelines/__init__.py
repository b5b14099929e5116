"""Pipelines of other makers, shipped ready to run: a folder with a pipeline file each, and what
starts them.
"""
