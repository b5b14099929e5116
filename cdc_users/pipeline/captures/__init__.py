"""What can read the database's log, one file each (declaration.py says what a file has)."""
