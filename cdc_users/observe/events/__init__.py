"""Reads change events and their values from any source into one form."""
