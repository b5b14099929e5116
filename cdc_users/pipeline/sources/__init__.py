"""Where rows can go in, one file each (declaration.py says what a file has)."""
