"""Faults of a pipeline and its servers under load; each is always undone."""
