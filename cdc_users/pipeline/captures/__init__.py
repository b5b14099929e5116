"""The captures: what can read the database's log. One file each (declaration.py says what a file
has).
"""
