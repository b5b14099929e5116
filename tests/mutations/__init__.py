"""The mutations of tests/mutation.py, by what the fixes are about."""
