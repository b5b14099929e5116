"""The sources: where rows can go in. One file each (declaration.py says what a file has)."""
