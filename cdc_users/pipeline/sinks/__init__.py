"""The sinks that the harness knows, one file each (declaration.py says what a file has)."""
