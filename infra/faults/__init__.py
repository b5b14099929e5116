"""Faults: what is done to a pipeline and its servers under load, and undone for sure."""
