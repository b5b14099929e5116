"""Rows for a table of the user's own, made from what its catalog says."""
