"""A run that has ended, as files and tables."""
