"""Files and tables of a run that has ended."""
